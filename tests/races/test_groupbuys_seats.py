"""Seats: as many as there are, one for a member, and one unpaid order for a member and campaign (G1, G6).

What the naive versions do is what the app does, with every condition off and nobody writing before all have read.
"""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.groupbuys.models import Group
from chalicelib.groupbuys.service import Buying
from chalicelib.orders.service import Order
from tests.factories import a_word
from tests.groupbuys import (
    a_buyer,
    a_campaign,
    broken,
    broken_images,
    buyers,
    buying,
    check,
    joining,
    joining_to_pay,
    naively,
    open_paid_group,
    opened,
    orders_of,
    pay,
    paying,
    take,
)
from tests.races.arena import BAND, CROWD, ROUGH, STORM, Arena, rounds, rounds_of

pytestmark = [pytest.mark.engine, pytest.mark.alone("groupbuys", "orders")]


# --- the last seats -----------------------------------------------------------------------------------------


def test_the_harness_sees_seats_taken_twice_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign(sizes={3: 8900})
    group = open_paid_group(campaign)
    crowd = [joining(group, buying(member_id)) for member_id in buyers(8)]
    naively(monkeypatch)

    arena.collide(*crowd).expect(won=8)

    assert "seats_add_up" in str(broken(arena, campaign.campaign_id))
    assert "(free, missing, size) = (-1, 2, 3)" in str(broken_images(arena, campaign.campaign_id))


@rounds_of("as_shown", (False, ROUGH), (True, STORM))
def test_many_joiners_for_4_seats(arena: Arena, as_shown: bool) -> None:
    campaign = a_campaign(sizes={5: 8900})
    group = open_paid_group(campaign)
    crowd = [joining(group, buying(member_id), as_shown=as_shown) for member_id in buyers(CROWD)]

    outcomes = arena.race(*crowd)

    outcomes.expect(won=4, group_full=CROWD - 4)
    for order in outcomes.winners[:3]:
        pay(order)
    check(arena, campaign)


@rounds(STORM)
def test_payers_and_joiners_for_the_last_seats(arena: Arena) -> None:
    campaign = a_campaign(sizes={9: 8900})
    group = open_paid_group(campaign, payers=2)
    held = [paying(take(group)) for _ in range(3)]
    crowd = [joining_to_pay(group, buying(member_id)) for member_id in buyers(CROWD - 3)]

    outcomes = arena.race(*crowd[:30], *held, *crowd[30:])

    outcomes.expect(won=7, group_full=CROWD - 7)
    assert len(orders_of(group)) == 9
    check(arena, campaign)
    assert {order.state for order in orders_of(group)} == {"paid"}


@rounds(ROUGH)
def test_as_many_buyers_as_seats(arena: Arena) -> None:
    campaign = a_campaign(sizes={BAND + 1: 8900}, per_member_units=1)
    group = open_paid_group(campaign)

    outcomes = arena.race(*[joining(group, buying(member_id)) for member_id in buyers(BAND)])

    outcomes.expect(won=BAND)
    arena.race(*[paying(order) for order in outcomes.winners]).expect(won=BAND)
    check(arena, campaign)
    assert {order.state for order in orders_of(group)} == {"paid"}


# --- one member ---------------------------------------------------------------------------------------------


def test_the_harness_sees_two_orders_of_one_member_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign()
    wants = buying()
    naively(monkeypatch)

    arena.collide(*[lambda: opened(campaign, wants)] * 8).expect(won=8)

    assert "unpaid orders" in str(broken(arena, campaign.campaign_id))


def check_one_order(arena: Arena, orders: list[Order]) -> Order:
    """Everybody was told of the same order, and there is no other."""
    assert len({order.order_id for order in orders}) == 1
    assert len(arena.rows("order", member_id=orders[0].member_id)) == 1
    return orders[0]


@rounds(STORM)
def test_one_member_who_opens_many_times_has_one_group(arena: Arena) -> None:
    campaign = a_campaign(stock=40, shards=2)
    wants = buying()

    outcomes = arena.race(*[lambda: opened(campaign, wants).order] * CROWD)

    outcomes.expect(won=CROWD)
    pay(check_one_order(arena, outcomes.winners))
    check(arena, campaign)


@rounds(ROUGH)
def test_one_member_who_joins_many_times_has_one_seat(arena: Arena) -> None:
    campaign = a_campaign(sizes={5: 8900}, reserve="seat", max_units_per_seat=2)
    group = open_paid_group(campaign)
    wants = buying(quantity=2)

    both = [joining(group, wants, as_shown=as_shown) for as_shown in (True, False)]

    outcomes = arena.race(*both * (CROWD // 2))

    outcomes.expect(won=CROWD)
    check_one_order(arena, outcomes.winners)
    check(arena, campaign)


@rounds(STORM)
def test_one_member_who_opens_and_joins_everywhere_has_one_unpaid_order(arena: Arena) -> None:
    campaign = a_campaign()
    groups = [open_paid_group(campaign) for _ in range(3)]
    wants = buying()
    calls = [joining(group, wants) for group in groups] + [lambda: opened(campaign, wants).order]

    outcomes = arena.race(*calls * (BAND // 4))

    outcomes.expect(won=BAND)
    check_one_order(arena, outcomes.winners)
    check(arena, campaign)


@rounds(STORM)
def test_the_limits_hold_for_one_member_who_buys_everywhere_at_once(arena: Arena) -> None:
    campaign = a_campaign(per_member_units=4, per_member_groups=2)
    groups = [open_paid_group(campaign) for _ in range(8)]
    member_id = a_buyer()
    joins = [joining_to_pay(group, buying(member_id)) for group in groups]
    opens = [lambda: pay(opened(campaign, buying(member_id)).order)] * 4

    outcomes = arena.race(*joins * 3, *opens * 2)

    outcomes.expect_won_or("limit_reached")
    [part] = arena.rows("groupbuy_part", pk=f"PART#{campaign.campaign_id}#{member_id}")
    assert (part["units"], part["groups"] <= 2) == (4, True)
    check(arena, campaign)


# --- the mall first, the phone first ------------------------------------------------------------------------


def test_the_harness_sees_two_orders_for_one_of_the_mall_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign()
    wants = buying(mall_order_id=a_word("mall-"))
    naively(monkeypatch)

    arena.collide(*[lambda: opened(campaign, wants)] * 8).expect(won=8)

    assert broken(arena, campaign.campaign_id) != []


def mall_first(group: Group, wants: Buying) -> Callable[[], Order]:
    """The mall's server asks for a seat for its order."""
    return lambda: take(group, replace(wants, mall_order_id=f"mall-{wants.member_id}"))


@rounds(STORM)
def test_mall_first_and_phone_first_at_once_make_one_order(arena: Arena) -> None:
    campaign = a_campaign(sizes={9: 8900})
    group = open_paid_group(campaign)
    wants = buying()

    outcomes = arena.race(*[mall_first(group, wants), joining(group, wants)] * (BAND // 2))

    outcomes.expect_won_or("order_in_the_way")
    order = check_one_order(arena, outcomes.winners)
    # The phone is told of the mall's order; the mall is not told of the phone's as if it were its own.
    wanted = BAND if order.mall_order_id else BAND // 2
    outcomes.expect(won=wanted, order_in_the_way=BAND - wanted)
    check(arena, campaign)


@rounds(STORM)
def test_one_order_of_the_mall_that_comes_many_times_is_seated_once(arena: Arena) -> None:
    campaign = a_campaign(per_member_units=1)
    wants = buying(mall_order_id=a_word("mall-"))
    calls = [lambda: opened(campaign, wants).order] * (CROWD - 1)

    outcomes = arena.race(*calls, lambda: pay(opened(campaign, wants).order, "pay-1"))

    outcomes.expect(won=CROWD)
    assert check_one_order(arena, outcomes.winners).mall_order_id == wants.mall_order_id
    [order] = arena.rows("order", member_id=wants.member_id)
    assert order["state"] == "paid"


@rounds(ROUGH)
def test_one_order_of_the_mall_for_many_members_is_seated_for_one(arena: Arena) -> None:
    campaign = a_campaign()
    wants = [buying(member_id, mall_order_id=f"mall-{campaign.campaign_id}") for member_id in buyers(CROWD)]

    outcomes = arena.race(*[lambda one=one: opened(campaign, one).order for one in wants])

    outcomes.expect(won=1, order_in_the_way=CROWD - 1)
    check(arena, campaign)
