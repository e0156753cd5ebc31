"""Signing in: nothing that a link says ever stops it, and it says why a link did not bind."""

from typing import Any

import pytest

from chalicelib.core import session
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Invalid
from chalicelib.members import service as members
from chalicelib.members.schemas import HandOver
from chalicelib.sessions import routes
from chalicelib.sessions import service as sessions
from chalicelib.sessions.schemas import SignedIn as Answer
from chalicelib.sessions.service import CameBy, SignedIn
from chalicelib.sharing import policies, visits
from chalicelib.sharing import service as sharing
from chalicelib.sharing.models import Link
from chalicelib.sharing.schemas import EditPolicy
from infra.local.clients import Store
from tests.factories import (
    NOW,
    OWNER,
    TODAY,
    a_call,
    a_link,
    a_member,
    a_program,
    a_proof,
    a_unionid,
    a_visit,
    an_opening,
    books,
    came_by,
    only,
    reacted,
)
from tests.harness.rows import rows

pytestmark = pytest.mark.usefixtures("direct")

BOB = (a_proof("bob"), a_unionid("bob"))


@pytest.fixture
def alice(store: Store) -> str:
    """Somebody who shares."""
    return a_member()


@pytest.fixture
def link(alice: str) -> Link:
    """Her link."""
    return a_link(sharer_id=alice)


def sign_in(by: CameBy | None = None, *, proofs: tuple[str, ...] = BOB, now: int = NOW) -> SignedIn:
    return sessions.sign_in(proofs=proofs, program_id="demo", came_by=by or came_by(), now=now)


def token_of(link: Link, *, now: int = NOW) -> str:
    return visits.token_for(a_visit(link=link, now=now), now=now)


def outcome(signed_in: SignedIn) -> tuple[bool, bool, str | None]:
    return signed_in.new, signed_in.bound, signed_in.visit_refused


# --- new members --------------------------------------------------------------------------------------------


def test_a_new_member_without_a_share_is_nobodys_customer(store: Store) -> None:
    assert outcome(sign_in()) == (True, False, None)
    assert outcome(sign_in()) == (False, False, None)
    assert books(store.client)["binding"] == 0


def test_a_new_member_by_a_link_is_counted_as_a_visit_and_bound(store: Store, alice: str, link: Link) -> None:
    signed_in = sign_in(came_by(link=link.code, wx_scene=1008))

    assert outcome(signed_in) == (True, True, None)
    assert signed_in.visit is not None and signed_in.visit.link.code == link.code
    binding = only(store.client, "binding")
    assert (binding["promoter_id"], binding["link"], binding["cause"]) == (alice, link.code, "registered")
    hour = only(store.client, "visit_hour", table="traffic")
    assert (hour["n"], hour["group"]) == (1, 1)


def test_a_new_member_by_the_token_of_an_earlier_visit_is_bound_and_not_counted_again(
    store: Store, alice: str, link: Link
) -> None:
    visit = an_opening(link=link)

    signed_in = sign_in(came_by(visit_token=visits.token_for(visit, now=NOW)), now=NOW + DAY)

    assert outcome(signed_in) == (True, True, None)
    assert only(store.client, "binding")["visit_id"] == visit.visit_id
    assert only(store.client, "visit_hour", table="traffic")["n"] == 1


def test_a_token_goes_before_a_link(store: Store, link: Link) -> None:
    other = a_link(sharer_id=a_member())

    sign_in(came_by(link=other.code, visit_token=token_of(link)))

    assert only(store.client, "binding")["link"] == link.code


def test_what_came_of_the_sign_in_is_counted_on_the_day_of_the_link(store: Store, link: Link) -> None:
    sign_in(came_by(link=link.code))

    reacted(store.client, now=NOW)

    (day,) = visits.funnel(code=link.code, sharer_id=link.sharer_id, days=1, now=NOW)
    assert (day.day, day.opened, day.new_members, day.bound) == (TODAY, 1, 1, 1)


def test_a_retry_after_a_lost_answer_is_bound_still_and_no_longer_new(link: Link) -> None:
    by = came_by(visit_token=token_of(link))
    first, again = sign_in(by), sign_in(by, now=NOW + 5)

    assert (outcome(first), outcome(again)) == ((True, True, None), (False, True, None))
    assert first.member.member_id == again.member.member_id


# --- links that are over ------------------------------------------------------------------------------------


def test_a_link_that_is_off_or_over_or_unknown_does_not_stop_a_sign_in_which_says_why(alice: str) -> None:
    off, over = a_link(sharer_id=alice), a_link(sharer_id=alice, expires_at=NOW + 1)
    sharing.switch_off(code=off.code, sharer_id=alice)

    found = [
        outcome(sign_in(came_by(link=code), proofs=(a_proof(name),), now=NOW + 1))
        for name, code in (("b", off.code), ("c", over.code), ("d", "2222222222"))
    ]

    assert found == [
        (True, False, "link_off"),
        (True, False, "link_expired"),
        (True, False, "not_found"),
    ]


def test_a_visit_before_its_link_was_switched_off_binds_still(alice: str, link: Link) -> None:
    token = token_of(link)
    sharing.switch_off(code=link.code, sharer_id=alice)

    assert outcome(sign_in(came_by(visit_token=token))) == (True, True, None)


def test_a_token_lasts_two_days_and_then_the_sign_in_goes_on_without_it(store: Store, link: Link) -> None:
    token = token_of(link)

    late = sign_in(came_by(visit_token=token), now=NOW + 2 * DAY)
    assert (outcome(late), late.visit) == ((True, False, "visit_expired"), None)

    in_time = sign_in(came_by(visit_token=token), proofs=(a_proof("carol"),), now=NOW + 2 * DAY - 1)
    assert outcome(in_time) == (True, True, None)


def test_a_member_who_is_bound_is_told_so_whatever_the_link_says(link: Link) -> None:
    token = token_of(link)
    sign_in(came_by(visit_token=token))

    assert outcome(sign_in(came_by(visit_token=token), now=NOW + 2 * DAY)) == (False, True, "visit_expired")
    assert outcome(sign_in()) == (False, True, None)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "..", "é.è.ê"])
def test_what_is_no_token_is_refused_and_registers_nobody(store: Store, token: str) -> None:
    with pytest.raises(Invalid) as refused:
        sign_in(came_by(visit_token=token))

    assert refused.value.details["field"] == "visit_token"
    assert books(store.client) == {}


@pytest.mark.parametrize(
    ("purpose", "claims"),
    [
        ("visit", {"vis": "vis_1"}),
        ("visit", {"vis": "vis_1", "lnk": "2222222222"}),
        ("session", {"vis": "vis_1", "lnk": "2222222222", "at": NOW}),
    ],
)
def test_a_token_of_ours_that_is_no_visit_is_refused_and_registers_nobody(
    store: Store, purpose: session.Purpose, claims: dict[str, Any]
) -> None:
    token = session.sign(claims, purpose=purpose, now=NOW, for_s=60)

    with pytest.raises(Invalid):
        sign_in(came_by(visit_token=token))

    assert books(store.client) == {}


def test_a_token_that_somebody_changed_is_refused(link: Link) -> None:
    token = token_of(link)
    body, _, signature = token.rpartition(".")
    for changed in (
        f"{body}.{signature[::-1]}",
        f"{body[:-2]}.{signature}",
        f".{signature}",
    ):
        with pytest.raises(Invalid):
            sign_in(came_by(visit_token=changed))


# --- old members and policies -------------------------------------------------------------------------------


def test_a_member_of_long_standing_is_bound_by_first_touch(link: Link) -> None:
    sign_in()

    assert outcome(sign_in(came_by(link=link.code), now=NOW + 60)) == (False, True, None)


def test_under_new_members_an_old_member_signs_in_unbound_and_is_told_why(link: Link) -> None:
    policies.make(EditPolicy(mode="new_members"), by=OWNER, now=NOW)
    sign_in()

    assert outcome(sign_in(came_by(link=link.code))) == (False, False, "not_a_new_member")
    by_the_link = sign_in(came_by(link=link.code), proofs=(a_proof("carol"),))
    assert outcome(by_the_link) == (True, True, None)


def test_ones_own_link_binds_nobody(store: Store) -> None:
    bob = sign_in().member.member_id

    assert outcome(sign_in(came_by(link=a_link(sharer_id=bob).code))) == (False, False, "self_referral")


def test_a_token_that_somebody_else_has_used_binds_nobody_and_says_so(store: Store, link: Link) -> None:
    token = token_of(link)
    sign_in(came_by(visit_token=token))

    new = sign_in(came_by(visit_token=token), proofs=(a_proof("carol"),))

    assert outcome(new) == (True, False, "visit_used")
    assert books(store.client)["binding"] == 1
    assert members.show(new.member.member_id).came_link is None


def test_a_blocked_sharer_brings_nobody_and_stops_nobody(alice: str, link: Link) -> None:
    members.block(member_id=alice, reason="fraud", by=OWNER, now=NOW)

    assert outcome(sign_in(came_by(link=link.code))) == (True, False, "promoter_gone")


def test_a_blocked_member_does_not_sign_in_by_any_way(store: Store, link: Link) -> None:
    bob = sign_in().member.member_id
    members.block(member_id=bob, reason="fraud", by=OWNER, now=NOW)

    for by in (came_by(), came_by(link=link.code), came_by(visit_token=token_of(link))):
        with pytest.raises(members.MemberBlocked):
            sign_in(by)
    assert rows(store.client, "truth", kind="binding") == []


# --- the answer ---------------------------------------------------------------------------------------------


def answer(signed_in: SignedIn, *, program_id: str = "demo") -> tuple[int, Answer]:
    reply = routes.signed_in_answer(
        signed_in, a_call(), visitor="a-visitor", program_id=program_id, wx_scene=1008
    )
    return reply.status, reply.body


def test_the_first_answer_is_201_and_the_next_200_for_the_same_member(store: Store) -> None:
    (first, new), (again, known) = answer(sign_in()), answer(sign_in())

    assert (first, again) == (201, 200)
    assert (new.member.new, known.member.new) == (True, False)
    assert new.member.member_id == known.member.member_id


def test_the_session_admits_its_member_through_the_program_they_came_by(store: Store) -> None:
    signed_in = sign_in()
    _, told = answer(signed_in, program_id="fair")

    admitted = members.admit(told.token, NOW)

    assert (admitted.member_id, admitted.program_id) == (signed_in.member.member_id, "fair")
    assert told.expires_at == NOW + 7 * DAY


def test_the_answer_brings_the_page_that_the_link_leads_to_with_open_names_and_hand_overs(
    alice: str, link: Link
) -> None:
    members.edit(member_id=alice, nickname="Alice")
    over = HandOver(program_id="shop", path="pages/home/home?link={link}")
    members.add_program(a_program("fair", hand_overs=[over]), by=OWNER, now=NOW)

    _, told = answer(sign_in(came_by(link=link.code)), program_id="fair")

    assert told.visit is not None
    visit = told.visit
    assert (visit.code, visit.sharer.nickname, visit.arrived_by) == (link.code, "Alice", "group")
    assert [given.path for given in visit.hand_overs] == [f"pages/home/home?link={link.code}"]
    assert (told.bound, visit.bound, told.visit_refused) == (True, True, None)


def test_a_visit_goes_with_the_member_from_one_program_to_another(store: Store, link: Link) -> None:
    visit = an_opening(link=link)
    by = came_by(visit_token=visits.token_for(visit, now=NOW))
    here = sign_in(by)
    there = sessions.sign_in(
        proofs=[a_proof("bob", program_id="fair"), a_unionid("bob")], program_id="fair", came_by=by, now=NOW
    )

    assert outcome(there) == (False, True, None)
    assert here.member.member_id == there.member.member_id
    assert books(store.client)["binding"] == 1


def test_somebody_who_signs_in_by_a_link_and_then_opens_it_counts_once(store: Store, link: Link) -> None:
    sign_in(came_by(link=link.code))
    visits.record(link=link, visitor=members.visitor_key(BOB), wx_scene=None, now=NOW + 5)

    assert only(store.client, "visit_hour", table="traffic")["n"] == 1
