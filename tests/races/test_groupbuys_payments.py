"""Payments: each ends in one place, whatever it meets on its way (G2, G5).

It meets itself, a second payment, the end of its group, the end of its hold, its member leaving, its member's other
order, and other late payments for the last seats.
"""

import functools
from collections.abc import Callable

import pytest

from chalicelib.core import config
from chalicelib.groupbuys import reading
from chalicelib.groupbuys.models import Campaign, Group
from chalicelib.orders import giving
from chalicelib.orders import service as orders
from chalicelib.orders.giving import Given
from chalicelib.orders.service import Order
from tests.groupbuys import (
    AFTERWARDS,
    a_campaign,
    books_of,
    broken,
    buyers,
    buying,
    check,
    ending_it,
    joining_to_pay,
    leaving,
    naively,
    open_paid_group,
    opened,
    orders_of,
    paying,
    releasing,
    take,
)
from tests.races.arena import BAND, STORM, Arena, rounds

pytestmark = [pytest.mark.engine, pytest.mark.alone("groupbuys", "orders")]


def states(arena: Arena, campaign: Campaign) -> set[str]:
    """The states in which the campaign's orders are."""
    return {order["state"] for order in books_of(arena, campaign.campaign_id).orders.values()}


# --- what the harness sees of the naive version -------------------------------------------------------------

Meeting = Callable[[Arena, Group, Order], list[Callable[[], object]]]
MEETINGS: dict[str, Meeting] = {
    "itself": lambda arena, group, order: [paying(order, "pay-1")] * 4,
    "another": lambda arena, group, order: [paying(order), paying(order)],
    "the end of the group": lambda arena, group, order: [paying(order), ending_it(group)],
    "the end of the hold": lambda arena, group, order: [paying(order), releasing(arena, order)],
    "leaving": lambda arena, group, order: [paying(order), leaving(order)],
}


@pytest.mark.parametrize("what", MEETINGS)
def test_the_harness_sees_a_payment_lost_that_meets(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign)
    calls = MEETINGS[what](arena, group, take(group))
    naively(monkeypatch)

    arena.collide(*calls)

    assert broken(arena, campaign.campaign_id) != []


# --- itself, and another one --------------------------------------------------------------------------------


@rounds(STORM)
def test_a_payment_that_is_told_ten_times_at_once_is_taken_once(arena: Arena) -> None:
    campaign = a_campaign()
    groups = [open_paid_group(campaign) for _ in range(3)]
    held = [take(group) for group in groups for _ in range(2)]
    told = [paying(order) for order in held]

    outcomes = arena.race(*told * 10)

    outcomes.expect(won=60)
    assert {reading.find(group.group_id).state for group in groups} == {"filled"}
    check(arena, campaign)
    assert states(arena, campaign) == {"paid"}
    assert arena.rows("refund") == []


@rounds(STORM)
def test_of_four_payments_of_one_order_three_go_back(arena: Arena) -> None:
    campaign = a_campaign()
    held = [opened(campaign).order for _ in range(4)]
    held += [take(open_paid_group(campaign)) for _ in range(4)]

    outcomes = arena.race(*[paying(order) for order in held * 4])

    outcomes.expect(won=BAND)
    assert sorted(row["state"] for row in arena.rows("payment")) == ["returned"] * 24 + ["taken"] * 12
    check(arena, campaign)
    assert len(arena.rows("refund")) >= 24


# --- the end of the group, of the hold, and leaving ---------------------------------------------------------


@rounds(STORM)
def test_payments_against_the_end_of_their_groups(arena: Arena) -> None:
    campaign = a_campaign()
    groups = [open_paid_group(campaign, payers=2) for _ in range(4)]
    groups += [open_paid_group(campaign) for _ in range(4)]
    told = [paying(take(group)) for group in groups]

    outcomes = arena.race(*told, *map(ending_it, groups), *told, *map(ending_it, groups))

    outcomes.expect(won=BAND)
    ends = {reading.find(group.group_id).state for group in groups}
    assert ends <= {"filled", "expired"}
    check(arena, campaign)
    assert states(arena, campaign) <= {"paid", "refunded"}


@rounds(STORM)
def test_payments_against_the_end_of_their_holds(arena: Arena) -> None:
    campaign = a_campaign()
    held = [opened(campaign).order for _ in range(4)]
    held += [take(open_paid_group(campaign)) for _ in range(4)]
    told = [paying(order) for order in held]
    over = [releasing(arena, order) for order in held]

    outcomes = arena.race(*told, *over, *told, *over)

    outcomes.expect(won=BAND)
    check(arena, campaign)
    assert states(arena, campaign) <= {"paid", "refunded"}


@rounds(STORM)
def test_payments_against_leaving(arena: Arena) -> None:
    campaign = a_campaign(late_payment="refund")
    held = [opened(campaign).order for _ in range(4)]
    held += [take(open_paid_group(campaign)) for _ in range(4)]
    told = [paying(order) for order in held]
    gone = [leaving(order) for order in held]

    outcomes = arena.race(*told, *gone, *told, *gone)

    outcomes.expect_won_or("order_over")
    check(arena, campaign)
    assert states(arena, campaign) <= {"paid", "refunded"}


# --- late ---------------------------------------------------------------------------------------------------


def a_late_order(campaign: Campaign, member_id: str, group: Group) -> Order:
    """An order whose seat was given back before its payment came."""
    order = take(group, buying(member_id))
    return leaving(order)()


@rounds(STORM)
@pytest.mark.parametrize("where", ["the same group", "another group", "a group of their own"])
def test_a_late_payment_with_the_members_second_order_waiting(arena: Arena, where: str) -> None:
    campaign = a_campaign(per_member_units=2)
    calls: list[Callable[[], object]] = []
    for member_id in buyers(4):
        group = open_paid_group(campaign)
        first = a_late_order(campaign, member_id, group)
        second = _second(campaign, group, member_id, where)
        late, timely = paying(first), paying(second)
        over = releasing(arena, second)
        calls += [late, timely, over, late, timely, over, late, timely]

    arena.race(*calls).expect(won=BAND)

    check(arena, campaign)
    assert states(arena, campaign) <= {"paid", "refunded", "cancelled"}
    assert len(arena.rows("payment", state="mismatch")) == 0


def _second(campaign: Campaign, group: Group, member_id: str, where: str) -> Order:
    if where == "a group of their own":
        return opened(campaign, buying(member_id)).order
    return take(group if where == "the same group" else open_paid_group(campaign), buying(member_id))


@rounds(STORM)
@pytest.mark.parametrize("reserve", ["group", "seat"])
def test_late_payers_and_joiners_for_the_last_seats(arena: Arena, reserve: str) -> None:
    campaign = a_campaign(sizes={4: 8900}, reserve=reserve)
    groups = [open_paid_group(campaign), open_paid_group(campaign, payers=2)]
    late = [a_late_order(campaign, one, groups[n % 2]) for n, one in enumerate(buyers(8))]
    joins = [joining_to_pay(groups[n % 2], buying(one)) for n, one in enumerate(buyers(BAND - 8))]

    outcomes = arena.race(*map(paying, late), *joins)

    outcomes.expect_won_or("group_full")
    assert {reading.find(group.group_id).state for group in groups} == {"filled"}
    check(arena, campaign)
    assert len(arena.rows("order", state="paid")) == 8


# --- given back by the mall ---------------------------------------------------------------------------------


@rounds(STORM)
def test_the_mall_s_own_refunds_against_the_ends_of_their_groups(arena: Arena) -> None:
    config.override(payment_gateway="mall")
    campaign = a_campaign(gateway="mall", stock=3 * BAND)
    groups = [open_paid_group(campaign) for _ in range(BAND // 2)]
    paid = [orders_of(group)[0] for group in groups]

    def told(order: Order) -> None:
        given = Given(number=f"R-{order.order_id}", amount_fen=order.amount_fen, payment_id=None)
        giving.follow(orders.show(order.order_id), given, now=AFTERWARDS)

    gives = [functools.partial(told, order) for order in paid]
    arena.race(*gives, *[ending_it(group) for group in groups]).expect(won=BAND)

    assert states(arena, campaign) == {"refunded"}
    refunds = books_of(arena, campaign.campaign_id).refunds
    assert [(one["state"], one.get("due_shard")) for one in refunds] == [("done", None)] * len(groups)
    check(arena, campaign)
