"""Leaving against staying, joining and signing in at the same moment: nobody is erased with a seat that is open."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import cache, table
from chalicelib.groupbuys import service as groupbuys
from chalicelib.groupbuys.models import Group
from chalicelib.members import leaving
from chalicelib.members import service as members
from chalicelib.members.models import Leaving
from tests.factories import NOW, PROGRAM, a_member, a_proof, a_word
from tests.groupbuys import a_campaign, buying, opened, pay
from tests.leaving import CLOSED, ERASE_AT, asked, entry_of
from tests.races.arena import STORM, Arena, rounds

pytestmark = [pytest.mark.engine, pytest.mark.alone("groupbuys", "orders")]
MEMBERS = 8


@pytest.fixture
def group(arena: Arena) -> Group:
    """A group with more seats than come."""
    campaign = a_campaign(sizes={50: 8900}, ends_at=ERASE_AT + 9 * CLOSED)
    seated = opened(campaign, now=ERASE_AT)
    pay(seated.order, now=ERASE_AT)
    return seated.group


def leavers(count: int) -> dict[str, str]:
    """Members who asked to be erased, by their proof."""
    proofs = [a_proof(a_word()) for _ in range(count)]
    found = {proof: a_member(proof=proof) for proof in proofs}
    for member_id in found.values():
        asked(member_id)
    cache.clear_all()
    return found


def the_job(member_id: str, *, now: int) -> Callable[[], None]:
    """A worker that was told that it is due, whatever became of it since."""
    entry = entry_of(member_id)
    return lambda: leaving.go_on(entry, now)


def through_the_door(member_id: str, do: Callable[[], Any]) -> Callable[[], Any]:
    """A call of the member's session."""
    token, _ = members.token_for(members.show(member_id), program_id=PROGRAM, visitor="v", now=ERASE_AT)

    def call() -> Any:
        members.admit(token, ERASE_AT)
        return do()

    return call


def joining(group: Group, member_id: str) -> Callable[[], Any]:
    """A tap on join."""
    wants = buying(member_id)
    return through_the_door(
        member_id, lambda: groupbuys.join(group_id=group.group_id, buying=wants, now=ERASE_AT)
    )


def staying(member_id: str) -> Callable[[], Any]:
    """A tap on stay."""
    return through_the_door(member_id, lambda: leaving.take_back(member_id, now=ERASE_AT))


def asking(member_id: str) -> Callable[[], Any]:
    """A tap on leave, again."""
    return through_the_door(member_id, lambda: asked(member_id, now=ERASE_AT))


def check(arena: Arena) -> dict[str, str]:
    """How each is, by member: erased with nothing open, or here and whole."""
    states: dict[str, str] = {row["member_id"]: row["state"] for row in arena.rows("member")}
    seated = {row["member_id"] for row in arena.rows("seat")}
    proven = {row["member_id"] for row in arena.rows("identity")}
    rows = {row["member_id"]: row for row in arena.rows("leaving")}
    refused = {row["sk"] for row in arena.rows("blocked")}
    for member_id, state in states.items():
        if state == "erased":
            assert member_id not in seated | proven
            assert rows[member_id]["state"] == "erased"
        else:
            assert (state, member_id in refused) == ("active", False)
            assert state == "active"
            waits = rows.get(member_id)
            assert waits is None or waits["state"] == "waiting"
    return states


def test_the_harness_sees_a_seat_of_nobody_when_it_is_asked_only_once(
    arena: Arena, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alice,) = leavers(1).values()
    monkeypatch.setattr(leaving, "_decide", _without_asking)

    arena.collide(the_job(alice, now=ERASE_AT), joining(group, alice)).expect(won=2)
    the_job(alice, now=ERASE_AT + CLOSED)()

    with pytest.raises(AssertionError):
        check(arena)


def test_the_same_join_opens_the_doors_again(arena: Arena, group: Group) -> None:
    (alice,) = leavers(1).values()

    arena.collide(the_job(alice, now=ERASE_AT), joining(group, alice)).expect(won=2)
    assert members.show(alice).state == "leaving"
    the_job(alice, now=ERASE_AT + CLOSED)()

    assert check(arena)[alice] == "active"


def _without_asking(row: Leaving, now: int) -> None:
    to_erase = leaving._turned(row, Leaving.due_at.set(now), to="erasing")
    leaving._erase(table.apply(to_erase), now)  # type: ignore[arg-type]


@rounds(STORM)
def test_the_job_a_join_and_staying_at_the_same_moment(arena: Arena, group: Group) -> None:
    there = leavers(MEMBERS)
    calls = []
    for n, member_id in enumerate(there.values()):
        calls += [the_job(member_id, now=ERASE_AT)] * 2
        others = (asking(member_id), staying(member_id), joining(group, member_id), staying(member_id))
        calls += [others[n % 4], *([joining(group, member_id)] if n % 4 == 3 else [])]
    arena.race(*calls, threads=16)
    left = [one for one in there.values() if leaving.find(one) is not None]
    first = {one: the_job(one, now=ERASE_AT + CLOSED) for one in left}
    arena.race(*[first[one] for one in left for _ in range(2)], threads=16)

    states = check(arena)
    joined = {row["member_id"] for row in arena.rows("seat")}
    assert {states[one] for one in there.values() if one in joined} <= {"active"}
    assert {states[one] for one in list(there.values())[::4]} == {"erased"}


@rounds(STORM)
def test_two_jobs_and_sign_ins_while_a_member_is_erased(arena: Arena) -> None:
    there = leavers(4)
    for member_id in there.values():
        the_job(member_id, now=ERASE_AT)()
    at = ERASE_AT + CLOSED

    def signing_in(proof: str) -> Callable[[], str]:
        return lambda: members.find_or_register(proofs=[proof], program_id=PROGRAM, now=at)[0].member_id

    outcomes = arena.race(
        *[
            call
            for proof, one in there.items()
            for call in [the_job(one, now=at)] * 2 + [signing_in(proof)] * 2
        ],
        threads=16,
    )

    outcomes.expect_won_or("member_leaving")
    for member_id in there.values():
        leaving.go_on(entry_of(member_id), at + leaving.AGAIN_S)
    assert {check(arena)[one] for one in there.values()} == {"erased"}
    assert len(arena.rows("erased")) == len(there)
    for proof, member_id in there.items():
        back, new = members.find_or_register(proofs=[proof], program_id=PROGRAM, now=at)
        assert (back.member_id != member_id, new, back.registered_at) == (True, False, NOW)
