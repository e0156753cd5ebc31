"""Two who meet over one member's leaving, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import estates
from chalicelib.core.clock import DAY
from chalicelib.core.errors import NotFound
from chalicelib.members import leaving
from chalicelib.members import service as members
from chalicelib.members.models import Leaving
from tests.factories import NOW, OWNER, PROGRAM, a_member, a_proof, caught_up
from tests.harness.meetings import before_write
from tests.leaving import CLOSED, ERASE_AT, asked, entry_of, run, the_row
from tests.merging import HOME, UNION, sign_in, two_members
from tests.withdrawals import earn

pytestmark = pytest.mark.usefixtures("direct")
DECIDED_AT = ERASE_AT + CLOSED


@pytest.fixture
def alice() -> str:
    """A member who has asked to be erased."""
    member_id = a_member(proof=a_proof("alice"))
    asked(member_id)
    return member_id


def blocked(member_id: str) -> None:
    members.block(member_id=member_id, reason="rude", by=OWNER, now=ERASE_AT)


def unblocked(member_id: str) -> None:
    members.unblock(member_id=member_id, reason="a mistake", by=OWNER, now=ERASE_AT)


def is_owed(member_id: str) -> None:
    """Something stands in the way."""
    earn(1_00, owner=member_id)


def is_paid(member_id: str) -> None:
    """It does so no more."""
    earn(-1_00, owner=member_id)


# --- asking and taking back ---------------------------------------------------------------------------------


def at_once(member_id: str) -> Leaving:
    """The mall says so."""
    return leaving.at_once(member_id, now=NOW + DAY)


@pytest.mark.parametrize("ask", [asked, at_once])
def test_who_asks_twice_at_once_has_asked_once_and_given_up_what_they_said(
    ask: Callable[[str], Leaving],
) -> None:
    alice = a_member()

    with before_write(1, lambda: asked(alice, forfeit=True)):
        row = ask(alice)

    assert (row.forfeit, the_row(alice).forfeit) == (True, True)


@pytest.mark.parametrize("ask", [asked, at_once])
def test_who_becomes_another_while_they_ask_is_not_erased(ask: Callable[[str], Leaving]) -> None:
    two = two_members()

    with before_write(1, lambda: sign_in(HOME, UNION)), pytest.raises(NotFound):
        ask(two.one)

    assert leaving.find(two.one) is None


def test_money_is_given_up_until_the_doors_close_and_no_longer(alice: str) -> None:
    run(now=ERASE_AT)

    assert not asked(alice, forfeit=True, now=ERASE_AT).forfeit


def test_money_is_given_up_also_while_it_is_put_off(alice: str) -> None:
    is_owed(alice)
    entry = entry_of(alice)

    with before_write(1, lambda: leaving.go_on(entry, ERASE_AT)):
        assert asked(alice, forfeit=True, now=ERASE_AT).forfeit

    assert (the_row(alice).erase_at, the_row(alice).forfeit) == (ERASE_AT + DAY, True)


def test_doors_that_have_closed_stay_closed_as_long_as_they_must_whatever_the_mall_says(alice: str) -> None:
    entry = entry_of(alice)

    with before_write(2, lambda: leaving.go_on(entry, ERASE_AT)):
        at_once(alice)

    assert (the_row(alice).state, the_row(alice).due_at) == ("closing", DECIDED_AT)


def test_who_has_become_another_is_to_be_erased_no_more() -> None:
    two = two_members()
    asked(two.one)
    sign_in(HOME, UNION)

    with before_write(1, lambda: leaving.hand_over(two.one, two.other, NOW)):
        leaving.hand_over(two.one, two.other, NOW)

    assert leaving.find(two.one) is None


# --- the job ------------------------------------------------------------------------------------------------


def test_what_another_run_sees_in_the_way_keeps_the_doors_open(alice: str) -> None:
    entry = entry_of(alice)

    def put_off() -> None:
        is_owed(alice)
        leaving.go_on(entry, ERASE_AT)

    with before_write(1, put_off):
        leaving.go_on(entry, ERASE_AT)

    assert (the_row(alice).state, members.show(alice).state) == ("waiting", "active")


@pytest.mark.parametrize("change", [blocked, unblocked])
def test_who_is_blocked_or_not_while_the_doors_close_is_so_when_they_open_again(
    alice: str, change: Callable[[str], None]
) -> None:
    if change is unblocked:
        blocked(alice)
    entry = entry_of(alice)

    with before_write(1, lambda: change(alice)):
        leaving.go_on(entry, ERASE_AT)
    run(now=ERASE_AT)
    is_owed(alice)
    run(now=DECIDED_AT)

    assert members.show(alice).state == ("blocked" if change is blocked else "active")


def test_doors_that_another_run_closes_stay_closed(alice: str) -> None:
    is_owed(alice)
    entry = entry_of(alice)

    def close() -> None:
        is_paid(alice)
        leaving.go_on(entry, ERASE_AT)

    with before_write(1, close):
        leaving.go_on(entry, ERASE_AT)

    assert (the_row(alice).state, members.show(alice).state) == ("closing", "leaving")


def test_who_asks_anew_while_they_are_put_off_has_fifteen_days_again(alice: str) -> None:
    is_owed(alice)
    entry = entry_of(alice)

    def ask_anew() -> None:
        leaving.take_back(alice, now=ERASE_AT)
        asked(alice, forfeit=True, now=ERASE_AT)

    with before_write(1, ask_anew):
        leaving.go_on(entry, ERASE_AT)

    assert the_row(alice).erase_at == ERASE_AT + leaving.CHANGE_OF_MIND_S


def test_who_is_being_erased_is_not_let_in_again(alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(now=ERASE_AT)
    is_owed(alice)
    entry = entry_of(alice)

    def begin_erasing() -> None:
        is_paid(alice)
        monkeypatch.setattr(leaving, "_erase", lambda row, now: None)
        leaving.go_on(entry, DECIDED_AT)

    with before_write(1, begin_erasing):
        leaving.go_on(entry, DECIDED_AT)

    assert (the_row(alice).state, members.show(alice).state) == ("erasing", "leaving")


def test_doors_that_another_run_opens_again_stay_open(alice: str) -> None:
    run(now=ERASE_AT)
    entry = entry_of(alice)

    def open_again() -> None:
        is_owed(alice)
        leaving.go_on(entry, DECIDED_AT)

    with before_write(1, open_again):
        leaving.go_on(entry, DECIDED_AT)

    assert (the_row(alice).state, members.show(alice).state) == ("waiting", "active")


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One room, and what it says next: whether it has more."""
    says: list[bool] = []
    monkeypatch.setattr(estates, "_erasures", {"shelf": lambda member_id, now: bool(says and says.pop(0))})
    return says


def being_erased(member_id: str, rooms: list[bool]) -> Any:
    """Somebody whose erasing goes on later, as a room had more."""
    caught_up(now=NOW)
    run(now=ERASE_AT)
    rooms[:] = [True] * leaving.ROUNDS
    run(now=DECIDED_AT)
    assert the_row(member_id).state == "erasing"
    return entry_of(member_id)


def test_who_is_erased_while_another_run_finds_more_is_erased(alice: str, rooms: list[bool]) -> None:
    entry = being_erased(alice, rooms)
    rooms[:] = [True] * leaving.ROUNDS

    with before_write(1, lambda: leaving.go_on(entry, entry.due_at)):
        leaving.go_on(entry, entry.due_at)

    assert the_row(alice).state == "erased"
    assert the_row(alice).due_at is None


@pytest.mark.parametrize("write", [1, 2], ids=["before a proof goes", "before the last write"])
def test_who_comes_back_while_another_run_erases_them_stays(
    alice: str, rooms: list[bool], write: int
) -> None:
    entry = being_erased(alice, rooms)
    came: list[str] = []

    def comes_back() -> None:
        leaving.go_on(entry, entry.due_at)
        back = members.find_or_register(proofs=[a_proof("alice")], program_id=PROGRAM, now=entry.due_at)[0]
        came.append(back.member_id)

    with before_write(write, comes_back):
        leaving.go_on(entry, entry.due_at + 60)

    assert [members.find(proof=a_proof("alice")).member_id] == came
    assert (the_row(alice).erased_at, members.show(alice).state) == (entry.due_at, "erased")
