"""Members: one person is one member, a blocked one is refused, and the brand has ten programs at most."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import facts, session, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy, NotFound, Unauthorized
from chalicelib.members import admin, routes
from chalicelib.members import service as members
from chalicelib.members.models import Blocked, Program
from chalicelib.members.schemas import EditProgram, HandOver
from chalicelib.members.service import MemberBlocked, ProgramExists, TooManyPrograms
from infra.local.clients import Store
from tests.factories import (
    NOW,
    OWNER,
    a_call,
    a_member,
    a_program,
    a_proof,
    a_unionid,
    books,
    only,
    reacted,
)
from tests.harness.rows import rows, stream_records
from tests.harness.wire import Call, Params, wrapped
from tests.uploads import sent

pytestmark = pytest.mark.usefixtures("direct")


def sign_in(*proofs: str, program_id: str = "demo") -> tuple[str, bool]:
    member, new = members.find_or_register(proofs=proofs, program_id=program_id, now=NOW)
    return member.member_id, new


def token_of(member_id: str) -> str:
    return members.token_for(members.show(member_id), program_id="demo", visitor="a-visitor", now=NOW)[0]


# --- one person ---------------------------------------------------------------------------------------------


def test_a_person_who_comes_again_is_the_same_member_and_not_new() -> None:
    first, again = sign_in(a_proof("bob")), sign_in(a_proof("bob"))

    assert (first[1], again) == (True, (first[0], False))


def test_a_unionid_joins_the_logins_of_two_programs_to_one_member() -> None:
    here, new_here = sign_in(a_proof("bob"), a_unionid("bob"))
    there, new_there = sign_in(a_proof("bob2", program_id="fair"), a_unionid("bob"), program_id="fair")

    assert (here, new_here, new_there) == (there, True, False)
    assert sign_in(a_proof("bob2", program_id="fair")) == (here, False)
    assert members.show(here).identities == {
        a_proof("bob"),
        a_unionid("bob"),
        a_proof("bob2", program_id="fair"),
    }


def test_the_same_openid_in_two_programs_is_two_people() -> None:
    here, _ = sign_in(a_proof("bob"))
    there, new = sign_in(a_proof("bob", program_id="fair"), program_id="fair")

    assert new and here != there


def test_a_unionid_that_comes_late_is_attached_and_proves_the_member_from_then_on() -> None:
    bob, _ = sign_in(a_proof("bob"))

    assert sign_in(a_proof("bob"), a_unionid("bob")) == (bob, False)
    assert sign_in(a_unionid("bob")) == (bob, False)


def test_proofs_that_name_two_people_change_neither_and_the_first_proof_decides(store: Store) -> None:
    bob, _ = sign_in(a_proof("bob"), a_unionid("bob"))
    other, _ = sign_in(a_unionid("ann"))
    before = rows(store.client, "truth")

    assert sign_in(a_proof("bob"), a_unionid("ann")) == (bob, False)
    assert sign_in(a_unionid("ann"), a_proof("bob")) == (other, False)
    assert rows(store.client, "truth") == before


def test_somebody_registered_by_another_call_meanwhile_is_found_and_still_new(store: Store) -> None:
    meanwhile: list[str] = []

    def another_first(below: Call, operation: str, params: Params) -> Params:
        if operation == "TransactWriteItems" and not meanwhile:
            meanwhile.append("")
            meanwhile[0] = sign_in(a_proof("bob"))[0]
        return below(operation, params)

    with wrapped(table.client(), another_first):
        found = sign_in(a_proof("bob"))

    assert found == (meanwhile[0], True)
    assert books(store.client) == {"member": 1, "identity": 1}


def test_a_member_knows_the_link_and_visit_they_came_by(store: Store) -> None:
    came = members.Came(link="ABCDEFGHJK", visit_id="vis_1")
    members.find_or_register(proofs=[a_proof("bob")], program_id="demo", now=NOW, came=came)

    row = only(store.client, "member")
    assert (row["came_link"], row["came_visit"], row["program_id"]) == ("ABCDEFGHJK", "vis_1", "demo")


def test_operators_find_a_member_by_every_proof_and_see_them_masked() -> None:
    proofs = [a_proof("bob"), a_unionid("bob"), "external#shop-77"]
    bob, _ = sign_in(*proofs)

    assert {members.find(proof=proof).member_id for proof in proofs} == {bob}
    shown = admin.show_member(a_call(operator=OWNER), bob)
    assert shown.identities == ["external#…p-77", "openid#demo#…-bob", "unionid#…-bob"]
    with pytest.raises(NotFound):
        members.find(proof=a_proof("nobody"))


# --- sessions and blocking ----------------------------------------------------------------------------------


def test_a_session_admits_its_member_for_a_week_and_not_a_second_longer() -> None:
    token = token_of(a_member(proof=a_proof("bob")))

    assert members.admit(token, NOW + 7 * DAY - 1).program_id == "demo"
    with pytest.raises(Unauthorized):
        members.admit(token, NOW + 7 * DAY)


@pytest.mark.parametrize("claims", [{"prg": "demo"}, {"sub": "mbr_1"}, {}])
def test_a_token_of_ours_that_is_no_session_admits_nobody(claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        members.admit(session.sign(claims, purpose="session", now=NOW, for_s=60), NOW)
    visit = session.sign({"sub": "mbr_1", "prg": "demo"}, purpose="visit", now=NOW, for_s=60)
    with pytest.raises(Unauthorized):
        members.admit(visit, NOW)


def block(member_id: str, *, now: int = NOW) -> None:
    members.block(member_id=member_id, reason="fraud", by=OWNER, now=now)


def unblock(member_id: str, *, now: int = NOW) -> None:
    members.unblock(member_id=member_id, reason="a mistake", by=OWNER, now=now)


def in_another_process(change: Callable[[], None]) -> None:
    """This process goes on remembering what it had read before."""
    remembered = members._blocked.get("all", now=NOW, load=members._read_blocked)
    change()
    members._blocked.put("all", remembered, now=NOW)


def test_a_blocked_member_is_refused_at_sign_in_at_once_and_at_the_door_within_twenty_seconds() -> None:
    bob = a_member(proof=a_proof("bob"))
    token = token_of(bob)

    in_another_process(lambda: block(bob))

    with pytest.raises(MemberBlocked):
        sign_in(a_proof("bob"))
    assert members.admit(token, NOW + 19).member_id == bob
    with pytest.raises(MemberBlocked):
        members.admit(token, NOW + 20)


def test_a_member_blocked_by_this_process_is_refused_at_once() -> None:
    bob = a_member()
    token = token_of(bob)
    members.admit(token, NOW)

    block(bob)

    with pytest.raises(MemberBlocked):
        members.admit(token, NOW)


def test_an_unblocked_member_is_let_in_again_within_twenty_seconds() -> None:
    bob = a_member(proof=a_proof("bob"))
    token = token_of(bob)
    block(bob)

    in_another_process(lambda: unblock(bob))

    assert sign_in(a_proof("bob")) == (bob, False)
    with pytest.raises(MemberBlocked):
        members.admit(token, NOW + 19)
    assert members.admit(token, NOW + 20).member_id == bob


def test_a_block_outlives_every_session_from_before_it_and_its_row_may_then_be_swept(store: Store) -> None:
    bob = a_member(proof=a_proof("bob"))
    block(bob)
    assert only(store.client, "blocked")["ttl"] >= NOW + 7 * DAY
    table.apply(table.delete(Blocked, Blocked.key(bob), refuse=NotFound))

    with pytest.raises(MemberBlocked):
        sign_in(a_proof("bob"))
    unblock(bob)
    assert sign_in(a_proof("bob")) == (bob, False)


def test_blocking_and_unblocking_twice_is_one_change_each_with_its_reason_in_the_trail(store: Store) -> None:
    bob = a_member()
    for change in (block, block, unblock, unblock):
        change(bob)

    trail = {row["action"]: row for row in rows(store.client, "truth", kind="audit")}
    assert len(rows(store.client, "truth", kind="audit")) == 2
    assert [trail[name]["subject"] for name in ("member.blocked", "member.unblocked")] == [bob, bob]
    assert "fraud" in trail["member.blocked"]["after"]
    assert "a mistake" in trail["member.unblocked"]["after"]
    assert {row["by"] for row in trail.values()} == {OWNER.key_id}


def test_nobody_can_be_blocked_who_is_not_there(store: Store) -> None:
    for change in (block, unblock):
        with pytest.raises(NotFound):
            change("mbr_nobody")
    assert books(store.client) == {}


def test_blocking_is_a_fact_and_so_is_unblocking(store: Store) -> None:
    bob = a_member()
    block(bob)
    unblock(bob)

    found = [fact.name for record in stream_records(store.client, "truth") if (fact := facts.read(record))]
    assert found == ["member.registered", "member.blocked", "member.unblocked"]


def test_two_operators_who_block_at_once_block_once(store: Store) -> None:
    bob, meanwhile = a_member(), list[str]()

    def another_first(below: Call, operation: str, params: Params) -> Params:
        if operation == "TransactWriteItems" and not meanwhile:
            meanwhile.append(bob)
            block(bob)
        return below(operation, params)

    with wrapped(table.client(), another_first):
        block(bob)

    assert len(rows(store.client, "truth", kind="audit")) == 1


# --- profiles -----------------------------------------------------------------------------------------------


def test_a_profile_is_remembered_for_thirty_seconds_and_a_change_of_ones_own_is_seen_at_once() -> None:
    bob = a_member()
    members.edit(member_id=bob, nickname="Bob")
    before = members.profile(bob, now=NOW)
    in_another = table.update(
        members.Member, members.Member.key(bob), members.Member.nickname.set("Rob"), refuse=NotFound
    )
    table.apply(in_another)

    assert before == members.profile(bob, now=NOW + 29)
    seen = members.profile(bob, now=NOW + 30)
    assert seen is not None and seen.nickname == "Rob"
    members.edit(member_id=bob, nickname="Bobby")
    seen = members.profile(bob, now=NOW + 30)
    assert seen is not None and seen.nickname == "Bobby"


def test_what_an_edit_leaves_out_stays_and_an_empty_edit_writes_nothing(store: Store) -> None:
    bob = a_member()
    members.edit(member_id=bob, nickname="Bob", avatar=sent(bob))
    member = members.edit(member_id=bob, nickname="Rob")
    rev = only(store.client, "member")["rev"]

    assert member.nickname == "Rob" and member.avatar is not None
    assert members.edit(member_id=bob, nickname=None).nickname == "Rob"
    assert only(store.client, "member")["rev"] == rev


def test_nobody_has_no_profile_and_cannot_be_edited(store: Store) -> None:
    assert members.profile("mbr_nobody", now=NOW) is None
    with pytest.raises(NotFound):
        members.edit(member_id="mbr_nobody", nickname="Bob")
    assert books(store.client) == {}


def test_an_edit_is_no_fact_and_keeps_what_is_owed(store: Store) -> None:
    bob = a_member()
    members.edit(member_id=bob, nickname="Bob")

    assert "due_at" in only(store.client, "member")
    reacted(store.client, now=NOW)
    assert "due_at" not in only(store.client, "member")


# --- programs -----------------------------------------------------------------------------------------------


def add(program_id: str, **changes: Any) -> Program:
    return members.add_program(a_program(program_id, **changes), by=OWNER, now=NOW)


def an_edit(**changes: Any) -> EditProgram:
    told = a_program("x", **changes)
    return EditProgram(**{name: getattr(told, name) for name in EditProgram.__struct_fields__})


def test_a_brand_has_ten_programs_at_most_and_the_last_place_is_free_again_after_a_removal(
    store: Store,
) -> None:
    for number in range(10):
        add(f"p{number}")
    with pytest.raises(TooManyPrograms):
        add("p10")
    assert len(members.programs(now=NOW)) == 10

    members.remove_program("p3", by=OWNER, now=NOW)
    add("p10")

    assert members.programs(now=NOW).keys() == {f"p{number}" for number in range(11) if number != 3}
    assert only(store.client, "program_count")["n"] == 10
    with pytest.raises(TooManyPrograms):
        add("p3")


def test_adding_the_same_again_answers_the_same_even_when_there_are_ten(store: Store) -> None:
    for number in range(10):
        add(f"p{number}")

    assert add("p7").program_id == "p7"
    assert len(rows(store.client, "truth", kind="audit")) == 10


def test_adding_another_under_a_taken_id_is_refused_and_changes_nothing(store: Store) -> None:
    add("shop")

    with pytest.raises(ProgramExists):
        add("shop", name="Another")

    assert only(store.client, "program")["name"] == "Tea"
    assert only(store.client, "program_count")["n"] == 1


def test_what_is_not_there_can_neither_be_edited_nor_removed_nor_signed_in_to(store: Store) -> None:
    with pytest.raises(NotFound):
        members.edit_program("shop", an_edit(), by=OWNER, now=NOW)
    with pytest.raises(NotFound):
        members.remove_program("shop", by=OWNER, now=NOW)
    with pytest.raises(NotFound):
        members.program("shop", now=NOW)
    assert books(store.client) == {}


def test_programs_are_remembered_for_thirty_seconds_and_a_change_of_ones_own_is_seen_at_once() -> None:
    add("shop")
    members.programs(now=NOW)
    table.apply(table.update(Program, Program.key("shop"), Program.name.set("Elsewhere"), refuse=NotFound))

    assert members.program("shop", now=NOW + 29).name == "Tea"
    assert members.program("shop", now=NOW + 30).name == "Elsewhere"
    members.edit_program("shop", an_edit(name="Here"), by=OWNER, now=NOW + 30)
    assert members.program("shop", now=NOW + 30).name == "Here"


def test_every_change_of_a_program_is_in_the_trail_before_and_after(store: Store) -> None:
    add("shop")
    members.edit_program("shop", an_edit(name="New"), by=OWNER, now=NOW + 1)
    members.remove_program("shop", by=OWNER, now=NOW + 2)

    trail = sorted(rows(store.client, "truth", kind="audit"), key=lambda row: row["at"])
    names = [
        tuple(json.loads(row[side])["name"] if row.get(side) else None for side in ("before", "after"))
        for row in trail
    ]
    assert names == [(None, "Tea"), ("Tea", "New"), ("New", None)]
    assert [row["action"] for row in trail] == ["program.added", "program.edited", "program.removed"]
    assert {row["subject"] for row in trail} == {"shop"}


def test_an_edit_of_what_somebody_else_has_edited_meanwhile_is_not_lost_on_them(store: Store) -> None:
    add("shop")
    meanwhile: list[str] = []

    def another_first(below: Call, operation: str, params: Params) -> Params:
        if operation == "TransactWriteItems" and not meanwhile:
            meanwhile.append("edited")
            members.edit_program("shop", an_edit(name="Theirs"), by=OWNER, now=NOW)
        return below(operation, params)

    with wrapped(table.client(), another_first), pytest.raises(Busy):
        members.edit_program("shop", an_edit(name="Ours"), by=OWNER, now=NOW)

    assert only(store.client, "program")["name"] == "Theirs"


def test_a_hand_over_carries_the_link_to_the_other_program() -> None:
    over = HandOver(program_id="shop", path="pages/home/home?link={link}")
    add("fair", hand_overs=[over])
    add("shop")

    (given,) = members.hand_overs("fair", link="ABCDEFGHJK", now=NOW)
    assert (given.program_id, given.path) == ("shop", "pages/home/home?link=ABCDEFGHJK")
    assert members.hand_overs("shop", link="ABCDEFGHJK", now=NOW) == []
    assert members.hand_overs("unknown", link="ABCDEFGHJK", now=NOW) == []


def test_everybody_sees_the_programs_and_nobody_the_name_of_a_secret() -> None:
    add("shop", secret_name="the-secret-s-name")

    (shown,) = routes.list_programs(a_call()).items
    assert shown.program_id == "shop" and not hasattr(shown, "secret_name")
    (for_operators,) = admin.list_programs(a_call(operator=OWNER)).items
    assert for_operators.secret_name == "the-secret-s-name"
