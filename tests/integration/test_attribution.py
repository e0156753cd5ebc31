"""Whose order it is: as of the second it was made, by the policy, and told with who else it might have been."""

from typing import Any

import pytest

from chalicelib.core import cache, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Invalid
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.sharing import attribution, policies
from chalicelib.sharing import orders as attributed
from chalicelib.sharing.models import OrderAttribution
from chalicelib.sharing.schemas import EditPolicy
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_link, a_member, a_visit, a_word, reacted

WEEK = 7 * DAY


@pytest.fixture(autouse=True)
def emptied_store(store: Store) -> None:
    """Every test here stands on the embedded store."""


def in_force(mode: Any = "first", *, now: int = NOW - DAY, **more: Any) -> None:
    """This policy, made the day before."""
    policies.make(EditPolicy(mode=mode, **more), by=OWNER, now=now)


def came(member_id: str, promoter_id: str, *, now: int = NOW) -> str:
    """The member opens a link of the promoter's; whose customer they are then."""
    cache.clear_all()
    return attribution.bind(member_id, visit=a_visit(link=a_link(sharer_id=promoter_id)), now=now).promoter_id


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


def test_who_was_promised_a_customer_for_ever_keeps_them_under_another_policy() -> None:
    bob, alice, carol = (a_member() for _ in range(3))
    came(bob, alice)
    in_force("last", now=NOW + 1)

    assert came(bob, carol, now=NOW + DAY) == alice
    row = of(an_order(bob, at=NOW + 2 * DAY), now=NOW + WEEK)
    assert (row.policy, row.binding_policy) == (1, 0)
    assert told(row) == [("visit", alice, "won", "first"), ("visit", carol, "lost", "bound_to_another")]
