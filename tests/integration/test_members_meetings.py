"""Two who meet over one member or program, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import due, estates, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy, NotFound
from chalicelib.members import merging, rules
from chalicelib.members import service as members
from chalicelib.members.models import Identity, Member, Merge
from chalicelib.members.schemas import EditProgram
from infra.local.clients import Store
from tests.factories import NOW, OWNER, PROGRAM, a_member, a_program, a_proof, books
from tests.harness.meetings import before_write
from tests.leaving import CLOSED, ERASE_AT, asked, run
from tests.merging import HOME, UNION, sign_in, two_members

pytestmark = pytest.mark.usefixtures("direct")
NUMBER = "+8613800138000"


def blocked(member_id: str) -> None:
    members.block(member_id=member_id, reason="fraud", by=OWNER, now=NOW)


def unblocked(member_id: str) -> None:
    members.unblock(member_id=member_id, reason="a mistake", by=OWNER, now=NOW)


def tagged(member_id: str, tag: str) -> None:
    members.tag(member_id, tags={tag}, by=OWNER, now=NOW)


# --- signing in ---------------------------------------------------------------------------------------------


def test_a_unionid_that_another_brings_first_makes_them_one() -> None:
    one = a_member(proof=HOME)
    other: list[str] = []

    with before_write(1, lambda: other.append(sign_in(a_proof("bob3"), UNION).member_id)):
        found = sign_in(HOME, UNION)

    assert {found.member_id, *other, sign_in(UNION).member_id, sign_in(HOME).member_id} == set(other)
    assert members.survivor(one).member_id == other[0]


def test_a_proof_that_comes_while_its_member_becomes_another_is_the_others() -> None:
    two = two_members()

    with before_write(1, lambda: sign_in(HOME, UNION)):
        assert sign_in(HOME, "external#m-1").member_id == two.other

    assert members.find(proof="external#m-1").member_id == two.other


def test_a_session_key_that_comes_when_its_member_is_erased_is_kept_nowhere() -> None:
    proof = a_proof("alice")
    asked(a_member(proof=proof))

    def erase() -> None:
        run(now=ERASE_AT)
        run(now=ERASE_AT + CLOSED)

    with before_write(1, erase), pytest.raises(NotFound):
        members.find_or_register(proofs=[proof], program_id=PROGRAM, session_key="key", now=ERASE_AT)

    assert table.get(Identity, Identity.key(proof)) is None


def test_a_number_that_two_bring_at_once_is_one_members() -> None:
    alice, bob = a_member(), a_member()

    with before_write(1, lambda: members.add_phone(bob, NUMBER)), pytest.raises(members.PhoneTaken):
        members.add_phone(alice, NUMBER)


def test_who_becomes_another_while_they_bring_a_number_brings_it_again() -> None:
    two = two_members()

    with before_write(1, lambda: sign_in(HOME, UNION)), pytest.raises(Busy):
        members.add_phone(two.one, NUMBER)

    assert members.whose([rules.phone_proof(NUMBER)]) == {}


# --- becoming one -------------------------------------------------------------------------------------------


def test_what_somebody_says_of_themselves_while_they_become_another_is_not_lost() -> None:
    two = two_members()

    with before_write(1, lambda: members.edit(member_id=two.one, nickname="Late")):
        sign_in(HOME, UNION)

    assert members.show(two.other).nickname == "Late"


def test_nobody_becomes_who_is_blocked_meanwhile() -> None:
    two = two_members()

    with before_write(1, lambda: blocked(two.other)), pytest.raises(members.MemberBlocked):
        sign_in(HOME, UNION)

    assert members.show(two.one).state == "active"


def the_merge(member_id: str) -> Any:
    """How far it is looked after."""
    return table.get(Merge, Merge.key(member_id))


def test_who_becomes_another_by_two_sign_ins_at_once_became_so_once() -> None:
    two = two_members()

    with before_write(1, lambda: sign_in(HOME, UNION)):
        assert sign_in(HOME, UNION, now=NOW + 1).member_id == two.other

    assert (the_merge(two.one).merged_at, members.show(two.one).merged_at) == (NOW, NOW)


def test_the_last_look_ends_it_though_an_earlier_one_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estates, "_hand_overs", {})
    two = two_members()
    sign_in(HOME, UNION)
    row = the_merge(two.one)
    told = {"pk": row.pk, "sk": row.sk, "kind": "", "due_ref": ""}
    entry = due.Entry(due_at=row.due_at, due_shard=row.due_shard, **told)

    with before_write(1, lambda: merging.hand_over(entry, NOW + 365 * DAY)):
        merging.hand_over(entry, NOW + merging.LOOKS_S[0])

    assert (the_merge(two.one).state, the_merge(two.one).due_at) == ("done", None)


# --- what operators and others say of them ------------------------------------------------------------------


def test_of_two_who_tag_at_once_one_is_told_to_look_again(store: Store) -> None:
    alice = a_member()

    with before_write(1, lambda: tagged(alice, "theirs")), pytest.raises(Busy):
        tagged(alice, "ours")

    assert (members.show(alice).tags, books(store.client)["audit"]) == ({"theirs"}, 1)


@pytest.mark.parametrize("change", [blocked, unblocked])
def test_of_two_who_say_the_same_at_once_one_is_in_the_trail(
    store: Store, change: Callable[[str], None]
) -> None:
    alice = a_member()
    if change is unblocked:
        blocked(alice)
    before = books(store.client)["audit"]

    with before_write(1, lambda: change(alice)):
        change(alice)

    assert books(store.client)["audit"] == before + 1


@pytest.mark.parametrize("say", [members.edit, members.present])
def test_who_is_being_erased_says_nothing_of_themselves_any_more(say: Callable[..., Any]) -> None:
    alice = a_member()
    asked(alice)
    run(now=ERASE_AT)
    more = {} if say is members.edit else {"program_id": PROGRAM, "now": ERASE_AT}

    with pytest.raises(NotFound):
        say(member_id=alice, nickname="Late", **more)

    assert members.show(alice).nickname is None


class Checked:
    """What WeChat says of a nickname."""

    room, state = "members", "approved"

    def __init__(self, member_id: str, name: str) -> None:
        self.ref, self.content = member_id, name


def test_what_is_said_of_a_name_is_not_of_the_one_that_is_pending_by_now() -> None:
    alice = a_member()
    pending = Member.nickname_pending.set("New")
    table.apply(table.update(Member, Member.key(alice), pending, refuse=KeyError))

    members._name(Checked(alice, "Old"), NOW)

    member = members.show(alice)
    assert member.nickname is None
    assert member.nickname_pending == "New"


# --- programs -----------------------------------------------------------------------------------------------


def edited(name: str) -> None:
    told = a_program("shop", name=name)
    given = EditProgram(**{one: getattr(told, one) for one in EditProgram.__struct_fields__})
    members.edit_program("shop", given, by=OWNER, now=NOW)


def removed() -> None:
    members.remove_program("shop", by=OWNER, now=NOW)


@pytest.mark.parametrize("change", [lambda: edited("Ours"), removed], ids=["edited", "removed"])
def test_a_program_that_another_edits_meanwhile_is_as_they_said(
    store: Store, change: Callable[[], None]
) -> None:
    members.add_program(a_program("shop"), by=OWNER, now=NOW)

    with before_write(1, lambda: edited("Theirs")), pytest.raises(Busy):
        change()

    assert books(store.client).only("program")["name"] == "Theirs"


def test_a_program_that_two_add_at_once_is_the_first_ones(store: Store) -> None:
    with (
        before_write(1, lambda: members.add_program(a_program("shop", name="Theirs"), by=OWNER, now=NOW)),
        pytest.raises(members.ProgramExists),
    ):
        members.add_program(a_program("shop", name="Ours"), by=OWNER, now=NOW)

    there = books(store.client)
    assert (there.only("program")["name"], there.only("program_count")["n"]) == ("Theirs", 1)
