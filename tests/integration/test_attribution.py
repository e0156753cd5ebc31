"""Whose order it is: as of the second it was made, by the policy, and told with who else it might have been."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core import cache, ids, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import AppError, Invalid
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.safety import risk
from chalicelib.sessions import service as sessions
from chalicelib.sharing import admin, attribution, invitees, invites, policies, routes, signals
from chalicelib.sharing import orders as attributed
from chalicelib.sharing.history import Coming, replayed
from chalicelib.sharing.models import OrderAttribution
from chalicelib.sharing.refusals import NotBound
from chalicelib.sharing.schemas import DryRun, EditPolicy, SignalLimits
from infra.local.clients import Store
from tests.factories import (
    NOW,
    OWNER,
    PROGRAM,
    a_call,
    a_link,
    a_member,
    a_visit,
    a_word,
    an_openid,
    called,
    came_by,
    emptied,
    only,
    reacted,
)
from tests.harness.counter import counting
from tests.harness.rows import rows

pytestmark = pytest.mark.usefixtures("direct")

WEEK = 7 * DAY


@pytest.fixture(autouse=True)
def emptied_store(store: Store) -> None:
    """Every test here stands on the embedded store."""


def refusal(do: Callable[[], object]) -> str:
    """The code with which this is refused."""
    with pytest.raises(AppError) as refused:
        do()
    return refused.value.code


def in_force(mode: Any = "first", *, now: int = NOW - DAY, **more: Any) -> None:
    """This policy, made the day before."""
    policies.make(EditPolicy(mode=mode, **more), by=OWNER, now=now)


def came(member_id: str, promoter_id: str, *, now: int = NOW) -> str:
    """The member opens a link of the promoter's; whose customer they are then."""
    cache.clear_all()
    visit = a_visit(link=a_link(sharer_id=promoter_id), now=now)
    return attribution.bind(member_id, visit=visit, now=now).promoter_id


def moved(member_id: str, promoter_id: str | None, *, now: int = NOW) -> None:
    """An operator gives the member to somebody."""
    attribution.move(member_id, promoter_id=promoter_id, reason="asked", by=OWNER, now=now)


def an_order(
    member_id: str,
    *,
    at: int = NOW,
    paid_at: int | None = None,
    link: str | None = None,
    state: str = "pending",
) -> Order:
    """An order of the mall's, as it lies in the table."""
    order_id = a_word("ord_")
    row = Order(
        *Order.key(order_id),
        state=state,
        order_id=order_id,
        member_id=member_id,
        purpose="mall",
        gateway="mall",
        link=link,
        campaign_id="",
        group_id="",
        sku_id="",
        quantity=1,
        size=1,
        lifetime_s=0,
        head=False,
        taken=[],
        title="Tea",
        amount_fen=100,
        created_at=at,
        held_until=at,
        paid_at=paid_at,
        **orders.listed(member_id, order_id, now=at),
    )
    table.apply(table.create(row))
    return row


def of(order: Order, *, now: int = NOW) -> OrderAttribution:
    """Its attribution, asked for now."""
    return attributed.of_order(order, now=now)


def told(row: OrderAttribution) -> list[tuple[str, str, str, str]]:
    """The candidates in short."""
    return [(one["kind"], one["promoter_id"], one["outcome"], one["rule"]) for one in row.candidates]


# --- the snapshot -------------------------------------------------------------------------------------------


def test_an_order_is_its_buyers_promoters_with_the_visit_that_won() -> None:
    bob, alice = a_member(), a_member()
    visit = a_visit(link=a_link(sharer_id=alice))
    attribution.bind(bob, visit=visit, now=NOW)

    row = of(an_order(bob, at=NOW))

    assert (row.promoter_id, row.policy, row.self_purchase) == (alice, 0, False)
    assert row.level_two_id is None
    assert (row.link, row.visit_id, row.bound_at) == (visit.link.code, visit.visit_id, NOW)
    assert told(row) == [("visit", alice, "won", "first")]


def test_a_binding_after_the_order_is_too_late_whenever_it_is_asked() -> None:
    bob, alice = a_member(), a_member()
    order = an_order(bob, at=NOW)
    came(bob, alice, now=NOW + 1)

    assert of(order, now=NOW + WEEK).promoter_id is None


def test_a_customer_who_is_moved_between_order_and_payment_stays_with_the_order() -> None:
    """malls.md 3 (23): the order kept its promoter's id, but the commission resolved the binding anew."""
    in_force(depth=2)
    bob, alice, carol, dave = (a_member() for _ in range(4))
    came(alice, dave)
    came(bob, alice)
    early, late = an_order(bob, at=NOW + 10), an_order(bob, at=NOW + 10)
    assert of(early).promoter_id == alice

    moved(bob, carol, now=NOW + 20)
    moved(alice, None, now=NOW + 20)

    for order in (early, late):
        row = of(order, now=NOW + WEEK)
        assert (row.promoter_id, row.level_two_id) == (alice, dave)
    after = of(an_order(bob, at=NOW + 20), now=NOW + 30)
    assert after.promoter_id == carol
    assert after.level_two_id is None
    assert ("visit", alice, "lost", "operator") in told(after)


def test_the_reaction_makes_it_as_soon_as_the_order_is_there(store: Store) -> None:
    bob, alice = a_member(), a_member()
    came(bob, alice)
    order = an_order(bob, at=NOW)

    reacted(store.client, now=NOW)

    found = attributed.find(order.order_id)
    assert found is not None and found.promoter_id == alice


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"mode": "first_window"}, "window_days"),
        ({"mode": "first", "window_days": 30}, "window_days"),
        ({"mode": "first", "renew_by_purchase": True}, "renew_by_purchase"),
        ({"mode": "first", "protect_days": 3}, "protect_days"),
    ],
)
def test_fields_of_a_policy_that_do_not_go_together_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        in_force(**fields)
    assert refused.value.details["field"] == field


# --- windows ------------------------------------------------------------------------------------------------


def test_a_window_ends_by_the_clock_and_another_may_bind_then() -> None:
    in_force("first_window", window_days=7)
    bob, alice, carol = (a_member() for _ in range(3))
    came(bob, alice)

    assert came(bob, carol, now=NOW + WEEK - 1) == alice
    assert attribution.binding(bob, now=NOW + WEEK) is None
    assert came(bob, carol, now=NOW + WEEK + 1) == carol
    by_time = [
        of(an_order(bob, at=NOW + at), now=NOW + 2 * WEEK).promoter_id for at in (0, WEEK - 1, WEEK, WEEK + 1)
    ]
    assert by_time == [alice, alice, None, carol]


@pytest.mark.parametrize("told_in_time", [True, False], ids=["told", "told late"])
def test_a_purchase_within_the_window_begins_it_anew_though_its_fact_comes_late(
    store: Store, told_in_time: bool
) -> None:
    in_force("first_window", window_days=7, renew_by_purchase=True)
    bob, alice, carol = (a_member() for _ in range(3))
    came(bob, alice)
    an_order(bob, at=NOW + DAY, paid_at=NOW + 6 * DAY, state="paid")
    if told_in_time:
        reacted(store.client, now=NOW + 6 * DAY)

    assert of(an_order(bob, at=NOW + 12 * DAY), now=NOW + 30 * DAY).promoter_id == alice
    assert of(an_order(bob, at=NOW + 13 * DAY), now=NOW + 30 * DAY).promoter_id is None
    assert came(bob, carol, now=NOW + 12 * DAY) == alice
    assert came(bob, carol, now=NOW + 13 * DAY) == carol


# --- taking -------------------------------------------------------------------------------------------------


def test_the_newest_visit_takes_a_binding_unless_it_is_protected() -> None:
    in_force("last", protect_days=3)
    bob, alice, carol = (a_member() for _ in range(3))
    came(bob, alice)

    assert came(bob, carol, now=NOW + 3 * DAY - 1) == alice
    assert came(bob, carol, now=NOW + 3 * DAY) == carol
    row = of(an_order(bob, at=NOW + 4 * DAY), now=NOW + WEEK)
    assert told(row) == [("visit", carol, "won", "last"), ("visit", alice, "lost", "taken")]
    assert of(an_order(bob, at=NOW + 2 * DAY), now=NOW + WEEK).promoter_id == alice


def test_a_visit_from_before_takes_nothing_back() -> None:
    in_force("last")
    bob, alice, carol = (a_member() for _ in range(3))
    old = a_visit(link=a_link(sharer_id=alice), now=NOW)
    came(bob, carol, now=NOW + 60)

    assert attribution.bind(bob, visit=old, now=NOW + 120).promoter_id == carol


def test_who_was_promised_a_customer_for_ever_keeps_them_under_another_policy() -> None:
    bob, alice, carol = (a_member() for _ in range(3))
    came(bob, alice)
    in_force("last", now=NOW + 1)

    assert came(bob, carol, now=NOW + DAY) == alice
    row = of(an_order(bob, at=NOW + 2 * DAY), now=NOW + WEEK)
    assert (row.policy, row.binding_policy) == (1, 0)
    assert told(row) == [("visit", alice, "won", "first"), ("visit", carol, "lost", "bound_to_another")]


def test_the_holders_own_visits_and_lost_ones_are_noted_once_an_hour(store: Store) -> None:
    bob, alice, carol = (a_member() for _ in range(3))
    came(bob, alice)
    for at in (1, 2, HOUR, 2 * HOUR):
        came(bob, carol, now=NOW + at)
    came(bob, alice, now=NOW + HOUR)

    touches = {row["promoter_id"]: row for row in rows(store.client, "truth", kind="binding_touch")}
    assert (touches[carol]["reason"], touches[carol]["hours"]) == (
        "bound_to_another",
        {NOW, NOW + HOUR, NOW + 2 * HOUR},
    )
    assert (touches[alice]["reason"], touches[alice]["hours"]) == ("bound_to_you", {NOW + HOUR})
    assert "owner" not in touches[alice]


def test_a_member_who_comes_in_many_hours_has_the_newest_noted(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr("chalicelib.sharing.touches.HOURS_KEPT", 3)
    bob, alice, carol = (a_member() for _ in range(3))
    came(bob, alice)
    for n in range(5):
        came(bob, carol, now=NOW + n * HOUR)

    touch = only(store.client, "binding_touch")
    assert touch["hours"] == {NOW + 3 * HOUR, NOW + 4 * HOUR}
    assert (touch["first_at"], touch["last_at"]) == (NOW, NOW + 4 * HOUR)


def test_a_purchase_through_ones_own_link_is_its_promoters_unless_the_policy_says_otherwise(
    monkeypatch: Any,
) -> None:
    bob, alice = a_member(), a_member()
    came(bob, alice)
    own = a_link(sharer_id=bob).code
    monkeypatch.setattr(attributed, "_promoters", [lambda member_id, at: member_id == bob])

    row = of(an_order(bob, at=NOW, link=own))
    assert told(row) == [("visit", alice, "won", "first"), ("order_link", bob, "lost", "own_link")]

    in_force(self_purchase=True, depth=2, now=NOW + 1)
    row = of(an_order(bob, at=NOW + 1, link=own))
    assert (row.promoter_id, row.level_two_id, row.self_purchase) == (bob, alice, True)
    assert told(row) == [("self", bob, "won", "self_purchase"), ("visit", alice, "lost", "self_purchase")]


def test_a_link_alone_earns_nobody_an_order() -> None:
    bob, alice = a_member(), a_member()

    row = of(an_order(bob, link=a_link(sharer_id=alice).code))

    assert row.promoter_id is None
    assert told(row) == [("order_link", alice, "lost", "link_alone")]


def test_an_identity_that_was_a_member_is_never_new_again() -> None:
    in_force("new_members")
    proof, alice, carol = an_openid(), a_member(), a_member()
    bob = a_member(proof=proof)
    members.block(member_id=bob, reason="fraud", by=OWNER, now=NOW)
    members.unblock(member_id=bob, reason="appeal", by=OWNER, now=NOW)

    by = came_by(link=a_link(sharer_id=alice).code)
    signed_in = sessions.sign_in(proofs=[proof], program_id=PROGRAM, came_by=by, now=NOW + DAY)

    assert (signed_in.member.member_id, signed_in.new, signed_in.bound) == (bob, False, False)
    assert signed_in.visit_refused == "not_a_new_member"
    assert carol != bob


# --- codes --------------------------------------------------------------------------------------------------


def by_code(member_id: str, promoter_id: str, *, now: int = NOW) -> tuple[str, bool]:
    """The member types the promoter's code in; whose customer they are, and whether that is new."""
    promoter = invites.whose(invites.code_of(promoter_id, now=now).lower())
    held, new = attribution.bind_by_code(member_id, promoter_id=promoter, now=now)
    return held.promoter_id, new


def test_a_code_is_one_members_for_ever_and_binds_like_a_visit() -> None:
    bob, alice, carol = (a_member() for _ in range(3))

    assert invites.code_of(alice, now=NOW) == invites.code_of(alice, now=NOW + WEEK)
    assert by_code(bob, alice) == (alice, True)
    assert by_code(bob, alice) == (alice, False)
    assert refusal(lambda: by_code(bob, carol)) == "bound_to_another"
    assert refusal(lambda: by_code(carol, carol)) == "self_referral"
    assert refusal(lambda: by_code(alice, bob)) == "would_circle"
    assert refusal(lambda: invites.whose("22222222")) == "invite_code_unknown"


def test_a_code_that_another_member_has_is_passed_over(monkeypatch: Any) -> None:
    alice, carol = a_member(), a_member()
    real = ids.keyed_code
    same = lambda *parts, **how: "AAAAAAAA" if parts[-1] == "0" else real(*parts, **how)  # noqa: E731
    monkeypatch.setattr(ids, "keyed_code", same)

    first, second = invites.code_of(alice, now=NOW), invites.code_of(carol, now=NOW)

    assert (first, invites.whose(first), invites.whose(second)) == ("AAAAAAAA", alice, carol)


def test_for_new_members_a_code_may_be_typed_on_the_first_day() -> None:
    in_force("new_members")
    bob, alice, dora = (a_member() for _ in range(3))

    assert by_code(bob, alice, now=NOW + DAY) == (alice, True)
    assert refusal(lambda: by_code(dora, alice, now=NOW + DAY + 1)) == "not_a_new_member"
    moved(bob, None, now=NOW + 1)
    assert refusal(lambda: by_code(bob, alice, now=NOW + 2)) == "not_a_new_member"


def test_a_binding_that_is_protected_says_until_when() -> None:
    in_force("last", protect_days=3)
    bob, alice, carol = (a_member() for _ in range(3))
    by_code(bob, alice)

    with pytest.raises(AppError) as refused:
        by_code(bob, carol, now=NOW + DAY)

    assert refused.value.code == "binding_protected"
    assert refused.value.details == {"since": NOW, "protected_until": NOW + 3 * DAY}


# --- invitees -----------------------------------------------------------------------------------------------


def people(promoter_id: str, *, now: int = NOW + DAY) -> list[tuple[str, str, str | None, int | None]]:
    """A promoter's people in short, page by page."""
    found: list[invitees.Invitee] = []
    after = None
    while True:
        page, after = invitees.of(promoter_id, limit=2, after=after, lang="en", now=now)
        found += page
        if after is None:
            return [(one.member_id, one.state, one.reason, one.since) for one in found]


def test_a_promoter_sees_whom_they_have_and_why_not_the_others() -> None:
    in_force("first_window", window_days=7)
    alice, carol = a_member(), a_member()
    bob, dave, erin, fay = (a_member() for _ in range(4))
    came(bob, alice)
    came(dave, carol)
    came(dave, alice, now=NOW + 1)
    came(erin, alice, now=NOW + 2)
    moved(erin, carol, now=NOW + 3)
    came(fay, carol, now=NOW - 2 * WEEK)
    came(fay, alice, now=NOW + 4)

    assert people(alice) == [
        (fay, "bound", None, None),
        (erin, "lost", "moved", NOW + 3),
        (dave, "lost", "bound_to_another", NOW),
        (bob, "bound", None, None),
    ]
    assert (fay, "lost", "window_over", NOW + 4) in people(carol)
    assert people(alice, now=NOW + WEEK)[-1] == (bob, "over", "window_over", NOW + WEEK)


def test_who_was_lost_and_came_back_stands_there_once() -> None:
    in_force("last")
    bob, alice, carol = (a_member() for _ in range(3))
    for n, promoter in enumerate((alice, carol, alice)):
        came(bob, promoter, now=NOW + n)

    assert people(alice) == [(bob, "bound", None, None)]
    assert people(carol) == [(bob, "lost", "taken", NOW + 2)]


def test_the_timeline_of_an_invitee_says_what_happened_and_why_not() -> None:
    alice, carol = a_member(), a_member()
    bob = a_member(now=NOW - DAY)
    members.edit(member_id=bob, nickname="Bobby")
    came(bob, carol)
    came(bob, alice, now=NOW + HOUR)
    moved(bob, alice, now=NOW + 2 * HOUR)
    moved(bob, None, now=NOW + 3 * HOUR)

    seen = invitees.one(alice, bob, lang="en", now=NOW + DAY)

    assert (seen.invitee.name, seen.invitee.state, seen.invitee.reason) == ("B**", "lost", "moved")
    assert [(step.at - NOW, step.what, step.reason) for step in seen.steps] == [
        (-DAY, "registered", None),
        (HOUR, "opened", None),
        (2 * HOUR, "bound", None),
        (3 * HOUR, "lost", "operator"),
        (3 * HOUR, "not_bound", "moved"),
    ]
    assert invitees.one(alice, alice, lang="en", now=NOW).invitee.reason == "self_referral"
    assert refusal(lambda: invitees.one(a_member(), bob, lang="en", now=NOW)) == "not_found"


# --- signals ------------------------------------------------------------------------------------------------


def bound_at(promoter_id: str, *, device: str | None, address: str | None = None, now: int = NOW) -> str:
    """Somebody new registers by the promoter's link, on this device."""
    by = replace(
        came_by(link=a_link(sharer_id=promoter_id).code),
        places=signals.places(device=device, address=address, now=now),
    )
    return sessions.sign_in(proofs=[an_openid()], program_id=PROGRAM, came_by=by, now=now).member.member_id


def kinds(member_id: str, *, at: int) -> list[str]:
    """What looks like fraud in an order of this member."""
    return [one["kind"] for one in of(an_order(member_id, at=at), now=at).signals]


def test_many_members_on_one_device_or_address_hold_and_are_told_in_numbers(store: Store) -> None:
    in_force(signals=SignalLimits(device_members=3, address_members=3))
    alice = a_member()
    first = [bound_at(alice, device="phone-1", address="2001:db8:1:2::7") for _ in range(2)]
    reacted(store.client, now=NOW)
    assert kinds(first[0], at=NOW + 1) == []

    third = bound_at(alice, device="phone-1", address="2001:db8:1:2::8", now=NOW + 2)
    other = bound_at(alice, device="phone-2", address="198.51.100.9", now=NOW + 2)
    reacted(store.client, now=NOW + 2)

    row = of(an_order(third, at=NOW + 3), now=NOW + 3)
    assert row.signals == [
        {"kind": "device_burst", "evidence": {"members": 3, "limit": 3}},
        {"kind": "address_burst", "evidence": {"members": 3, "limit": 3}},
    ]
    assert kinds(other, at=NOW + 3) == []
    there = str([*rows(store.client, "truth"), *rows(store.client, "traffic")])
    assert "phone-1" not in there and "2001" not in there.replace("12001", "")


def test_a_customer_on_the_promoters_own_device_holds() -> None:
    alice_proof = an_openid()
    alice = a_member(proof=alice_proof)
    device = signals.places(device="phone-1", address=None, now=NOW)
    sessions.sign_in(
        proofs=[alice_proof], program_id=PROGRAM, came_by=replace(came_by(), places=device), now=NOW - DAY
    )

    assert kinds(bound_at(alice, device="phone-1"), at=NOW + 1) == ["promoter_device"]


def test_many_bindings_within_an_hour_hold_those_that_came_last() -> None:
    in_force(signals=SignalLimits(bindings_per_hour=3))
    alice = a_member()
    bobs = [a_member() for _ in range(4)]
    for n, bob in enumerate(bobs):
        came(bob, alice, now=NOW + n)

    assert [kinds(bob, at=NOW + 9) for bob in bobs] == [[], [], ["velocity"], ["velocity"]]
    late = a_member()
    came(late, alice, now=NOW + 2 * HOUR)
    assert kinds(late, at=NOW + 2 * HOUR) == []


def test_orders_of_new_customers_that_went_back_hold_the_next(store: Store) -> None:
    in_force(signals=SignalLimits(refunded_orders=2))
    alice, bobs = a_member(), [a_member() for _ in range(3)]
    for bob in bobs:
        came(bob, alice)
    for bob in bobs[:2]:
        order = an_order(bob, at=NOW + 1)
        of(order)
        for _ in range(2):
            signals.note_refunded(order, NOW + 2)

    row = of(an_order(bobs[2], at=NOW + 3), now=NOW + 3)
    assert row.signals == [{"kind": "refunded_customers", "evidence": {"orders": 2, "limit": 2}}]


def test_who_once_brought_their_promoter_makes_a_ring() -> None:
    bob, alice = a_member(), a_member()
    came(alice, bob)
    moved(alice, None, now=NOW + 1)
    came(bob, alice, now=NOW + 2)

    assert kinds(bob, at=NOW + 3) == ["ring"]


@pytest.mark.parametrize(("members", "seen"), [(3, ["ring"]), (5, ["ring"]), (9, ["ring"]), (10, [])])
def test_a_ring_is_seen_as_far_as_it_is_walked(members: int, seen: list[str]) -> None:
    first, *others = (a_member() for _ in range(members))
    last = others[-1]
    came(last, first)
    moved(last, None, now=NOW + 1)
    for n, (who, by) in enumerate(zip([first, *others[:-1]], others, strict=True)):
        moved(who, by, now=NOW + 2 + n)

    order = an_order(first, at=NOW + DAY)

    found = of(order, now=NOW + DAY).signals
    assert [one["kind"] for one in found] == seen
    assert [one["evidence"]["members"] for one in found] == [members] * len(seen)


def test_a_chain_that_ends_is_no_ring_and_costs_a_read_for_each_who_was_brought() -> None:
    chain = [a_member() for _ in range(6)]
    for who, by in zip(chain, chain[1:], strict=False):
        moved(who, by)
    order = an_order(chain[0], at=NOW + DAY)

    with counting(table.client()) as spent:
        attributed.as_if(order, now=NOW + DAY)

    assert kinds(chain[0], at=NOW + DAY) == []
    # The policy, six members' bindings, the hour's bindings of the promoter, their refunds.
    assert spent.operations["Query"] == 1 + 6 + 1 + 1


def test_a_ring_that_closed_lately_is_seen_behind_more_old_bindings_than_are_looked_at() -> None:
    buyer, promoter = a_member(), a_member()
    *others, last = sorted(a_member() for _ in range(signals.WALKED_AT_MOST + 2))
    moved(last, buyer)
    for n, one in enumerate([*others, last]):
        moved(promoter, one, now=NOW + n)
    moved(last, a_member(), now=NOW + HOUR)
    moved(buyer, promoter, now=NOW + HOUR)

    assert kinds(buyer, at=NOW + DAY) == ["ring"]


def test_three_who_brought_one_another_on_one_device_hold_and_strangers_on_it_do_not(store: Store) -> None:
    in_force(signals=SignalLimits(device_members=60))
    top = a_member()
    strangers = [bound_at(a_member(), device="tablet", now=NOW + n) for n in range(3)]
    first = bound_at(top, device="phone-1")
    second = bound_at(first, device="phone-2", now=NOW + 1)
    third = bound_at(second, device="phone-1", now=NOW + 2)
    fourth = bound_at(third, device="phone-1", now=NOW + 3)
    reacted(store.client, now=NOW + 4)

    assert [kinds(one, at=NOW + 5) for one in (*strangers, first, second, third)] == [[]] * 6
    row = of(an_order(fourth, at=NOW + 5), now=NOW + 5)
    assert row.signals == [
        {"kind": "promoter_device", "evidence": {"members": 3}},
        {"kind": "device_cluster", "evidence": {"members": 3}},
    ]


# --- dry runs -----------------------------------------------------------------------------------------------


def dry_run(mode: Any, *, now: int = NOW + WEEK, **more: Any) -> tuple[dict[str, Any], int]:
    """Whose the orders would have been, by order id, and how many would have been another's."""
    asked = {"from_": NOW - DAY, "until": NOW + WEEK, "limit": 2} | more
    found: dict[str, Any] = {}
    after, changed = None, 0
    while True:
        page = admin.dry_run(a_call(operator=OWNER, now=now), DryRun(mode=mode, after=after, **asked))
        found |= {one.order_id: (one.would.promoter_id, one.would.level_two_id) for one in page.items}
        after, changed = page.next, changed + page.changed
        if after is None:
            return found, changed


def test_a_dry_run_says_whose_past_orders_would_have_been() -> None:
    bob, alice, carol, dave = (a_member() for _ in range(4))
    came(alice, dave)
    came(bob, alice)
    came(bob, carol, now=NOW + DAY)
    early, late, nobodys = (
        an_order(who, at=NOW + at) for who, at in ((bob, 1), (bob, 2 * DAY - 1), (dave, 5))
    )
    for order in (early, late, nobodys):
        of(order)

    everybody = (early.order_id, late.order_id, nobodys.order_id)
    for terms, would, changed in (
        ({"mode": "first"}, ((alice, None), (alice, None), (None, None)), 0),
        ({"mode": "first", "depth": 2}, ((alice, dave), (alice, dave), (None, None)), 2),
        ({"mode": "last"}, ((alice, None), (carol, None), (None, None)), 1),
        ({"mode": "last", "protect_days": 2}, ((alice, None), (alice, None), (None, None)), 0),
        ({"mode": "first_window", "window_days": 1}, ((alice, None), (carol, None), (None, None)), 1),
        ({"mode": "new_members"}, ((None, None), (None, None), (None, None)), 2),
    ):
        assert dry_run(**terms) == (dict(zip(everybody, would, strict=True)), changed), terms
    assert of(late).promoter_id == alice


def test_a_dry_run_over_named_orders_takes_those_that_have_no_attribution_yet(store: Store) -> None:
    bob, alice, carol = (a_member() for _ in range(3))
    came(bob, alice)
    came(bob, carol, now=NOW + DAY)
    order = an_order(bob, at=NOW + 2 * DAY)

    assert dry_run("last", order_ids=[order.order_id, "ord_none"]) == ({order.order_id: (carol, None)}, 1)
    assert rows(store.client, "truth", kind="attribution") == []


def test_a_dry_run_over_an_order_that_is_named_twice_tells_of_it_once(store: Store) -> None:
    bob, alice = a_member(), a_member()
    came(bob, alice)
    made, unmade = an_order(bob, at=NOW + 1), an_order(bob, at=NOW + 2)
    of(made)

    named = [one.order_id for one in (made, unmade)] * 2
    page = admin.dry_run(a_call(operator=OWNER, now=NOW + WEEK), DryRun(mode="first", order_ids=named))

    assert [one.order_id for one in page.items] == [made.order_id, unmade.order_id]


@pytest.mark.parametrize(
    "asked",
    [{"from_": None}, {"until": None}, {"from_": NOW, "until": NOW - 1}, {"until": NOW + 31 * DAY}],
)
def test_a_dry_run_over_no_time_or_too_long_a_time_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        dry_run("last", **asked)


# --- who sees it --------------------------------------------------------------------------------------------


def test_an_order_is_explained_to_its_promoters_and_to_operators_and_to_nobody_else() -> None:
    in_force(depth=2)
    bob, alice, carol, dave = (a_member() for _ in range(4))
    came(alice, dave)
    came(bob, alice)
    came(bob, carol, now=NOW + 1)
    order = an_order(bob, at=NOW + 2)
    of(order)

    first, second = (routes.show_attribution(called(who), order.order_id) for who in (alice, dave))
    assert (first.level, second.level) == (1, 2)
    assert [(one.yours, one.promoter_id, one.outcome, one.rule) for one in first.candidates] == [
        (True, alice, "won", "first"),
        (False, None, "lost", "bound_to_another"),
    ]
    for who in (bob, carol):
        assert refusal(lambda who=who: routes.show_attribution(called(who), order.order_id)) == "not_found"  # type: ignore[misc]
    shown = admin.show_attribution(a_call(operator=OWNER), order.order_id)
    assert [one.promoter_id for one in shown.candidates] == [alice, carol]
    unmade = an_order(bob, at=NOW + 2)
    assert admin.show_attribution(a_call(operator=OWNER), unmade.order_id).promoter_id == alice


# --- rows and replay ----------------------------------------------------------------------------------------


STEPS = st.tuples(st.integers(0, 4 * DAY), st.sampled_from(["visit", "code", "moved", "undone", "bought"]))
POLICIES = st.sampled_from(
    [
        EditPolicy(mode="first"),
        EditPolicy(mode="first_window", window_days=5),
        EditPolicy(mode="first_window", window_days=5, renew_by_purchase=True),
        EditPolicy(mode="last", protect_days=3),
        EditPolicy(mode="last", window_days=6, renew_by_purchase=True),
    ]
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    given_policy=EditPolicy(mode="first_window", window_days=5, renew_by_purchase=True),
    steps=[((0, "visit"), 0), ((DAY, "bought"), 0), ((4 * DAY, "bought"), 0), ((4 * DAY, "visit"), 1)],
)
@given(given_policy=POLICIES, steps=st.lists(st.tuples(STEPS, st.integers(0, 2)), max_size=7))
def test_the_rows_say_of_every_second_what_the_rules_say(
    given_policy: EditPolicy, steps: list[tuple[tuple[int, str], int]]
) -> None:
    """Members come, buy and are moved; asked in the end, each order is whose it was, though no fact was told."""
    emptied()
    policies.make(given_policy, by=OWNER, now=NOW - DAY)
    bob, promoters, at = a_member(), [a_member() for _ in range(3)], NOW
    comings: list[Coming] = []
    bought: list[int] = []
    for (later, what), who in steps:
        at += later + 1
        told_so = happened(bob, what, promoters[who], at=at, bought=bought)
        if told_so is not None:
            comings.append(told_so)

    terms = policies.proposed(given_policy)
    for moment in {
        at + 1,
        *(one.at + 5 * DAY - 1 for one in comings),
        *(one + 5 * DAY - 1 for one in bought),
    }:
        cache.clear_all()
        row = attributed.as_if(an_order(bob, at=moment), now=at + WEEK)
        span = replayed(comings, bought, terms=terms, at=moment)
        assert row.promoter_id == (span.promoter_id if span else None), (moment - NOW, comings)


def happened(bob: str, what: str, promoter: str, *, at: int, bought: list[int]) -> Coming | None:
    """It happens to the rows; and what the rules are told of it."""
    if what == "bought":
        bought.append(at)
        an_order(bob, at=at, paid_at=at, state="paid")
        return None
    if what in ("moved", "undone"):
        to = promoter if what == "moved" else None
        cache.clear_all()
        held = attribution.binding(bob, now=at)
        moved(bob, to, now=at)
        if held is not None and held.promoter_id == to:
            return None  # theirs already: nothing is changed by it, nor begins anew
        return Coming(at=at, promoter_id=to, how="operator")
    if what == "visit":
        came(bob, promoter, now=at)
    else:
        with suppress(NotBound):
            by_code(bob, promoter, now=at)
    return Coming(at=at, promoter_id=promoter, how="visit")


def test_a_customer_whom_wechat_holds_to_be_risky_holds_the_commission(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = {"risky": 3}
    monkeypatch.setattr(risk, "known", ranks.get)
    with_limit = {"kind": "wechat_risk", "evidence": {"rank": 3, "limit": 3}}

    found = [signals._risk("risky", limits=SignalLimits(risk_rank=limit)) for limit in (0, 4, 3)]
    assert found == [[], [], [with_limit]]
    assert signals._risk("unknown", limits=SignalLimits(risk_rank=1)) == []
