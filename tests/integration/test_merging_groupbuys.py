"""Orders and seats of who became another: the other sees and pays for them, and the rules of groups hold."""

import random

import pytest

from chalicelib.core import due, table
from chalicelib.core.errors import AppError
from chalicelib.groupbuys import ending, holding, merging, reading
from chalicelib.groupbuys.models import Campaign, Part
from chalicelib.groupbuys.refusals import LimitReached
from chalicelib.orders import service as orders
from infra.local.clients import Store
from tests.factories import NOW
from tests.groupbuys import (
    AFTERWARDS,
    a_buyer,
    a_campaign,
    broken,
    buying,
    check,
    open_paid_group,
    opened,
    pay,
    refunding,
    take,
)
from tests.merging import become_one, looked, two_members

pytestmark = pytest.mark.usefixtures("direct")


def part(campaign_id: str, member_id: str) -> tuple[int, int]:
    row = table.get(Part, Part.key(campaign_id, member_id))
    return (row.units, row.groups) if row is not None else (0, 0)


def groups_of(member_id: str) -> list[str]:
    return [row.group_id for row in reading.mine(member_id, limit=9, after=None).rows]


def test_an_unpaid_seat_is_the_others_who_pays_for_it(store: Store) -> None:
    two, campaign = two_members(), a_campaign(sizes={2: 8900}, reserve="seat")
    group = open_paid_group(campaign)
    order = take(group, buying(two.one))
    become_one(two)

    assert orders.show(order.order_id).member_id == two.other
    assert (groups_of(two.one), groups_of(two.other)) == ([], [group.group_id])
    assert pay(order).state == "paid"
    assert reading.find(group.group_id).state == "filled"
    assert (part(campaign.campaign_id, two.one), part(campaign.campaign_id, two.other)) == ((0, 0), (1, 0))
    assert broken(store, campaign.campaign_id) == []


@pytest.mark.parametrize("paid", [True, False])
def test_a_group_that_they_head_is_the_others(store: Store, paid: bool) -> None:
    two, campaign = two_members(), a_campaign(sizes={3: 8900})
    first = opened(campaign, buying(two.one))
    if paid:
        pay(first.order)
    become_one(two)

    assert reading.find(first.group.group_id).head_id == two.other
    assert part(campaign.campaign_id, two.other) == (1, 1)
    if not paid:
        pay(first.order)
    refunding(orders.show(first.order.order_id))()
    check(store, campaign)


def test_a_hold_that_runs_out_lets_the_others_seat_go(store: Store) -> None:
    two, campaign = two_members(), a_campaign(sizes={3: 8900})
    group = open_paid_group(campaign)
    order = take(group, buying(two.one))
    become_one(two)

    due.run(job=holding.RELEASE_JOB, worker="w", now=AFTERWARDS, seconds=30)

    assert orders.show(order.order_id).state == "cancelled"
    assert part(campaign.campaign_id, two.other) == (0, 0)
    assert broken(store, campaign.campaign_id) == []


def test_the_other_leaves_a_seat_that_came_over(store: Store) -> None:
    two, campaign = two_members(), a_campaign(sizes={3: 8900})
    group = open_paid_group(campaign)
    take(group, buying(two.one))
    become_one(two)

    ending.leave(group_id=group.group_id, member_id=two.other, now=NOW)

    assert groups_of(two.other) == []
    assert broken(store, campaign.campaign_id) == []


def test_both_in_one_group_stay_two_seats_until_it_is_over(store: Store) -> None:
    two, campaign = two_members(), a_campaign(sizes={3: 8900})
    group = open_paid_group(campaign, buying(two.other))
    order = pay(take(group, buying(two.one)))
    become_one(two)
    assert orders.show(order.order_id).member_id == two.one

    pay(take(group))
    looked(now=NOW + 3600)

    assert orders.show(order.order_id).member_id == two.other
    assert broken(store, campaign.campaign_id) == []
    refunding(orders.show(order.order_id))()


def test_two_unpaid_orders_in_a_campaign_stay_apart_until_one_is_over(store: Store) -> None:
    two, campaign = two_members(), a_campaign(sizes={3: 8900}, per_member_groups=2)
    theirs, mine = opened(campaign, buying(two.one)).order, opened(campaign, buying(two.other)).order
    become_one(two)
    assert orders.show(theirs.order_id).member_id == two.one

    pay(mine)
    looked(now=NOW + 3600)

    assert orders.show(theirs.order_id).member_id == two.other
    assert part(campaign.campaign_id, two.other) == (2, 2)
    assert broken(store, campaign.campaign_id) == []


def test_what_both_used_of_a_limit_adds_up(store: Store) -> None:
    two, campaign = two_members(), a_campaign(sizes={3: 8900}, per_member_units=2, per_member_groups=5)
    for member_id in (two.one, two.other):
        open_paid_group(campaign, buying(member_id))
    become_one(two)

    with pytest.raises(LimitReached):
        opened(campaign, buying(two.other))
    assert broken(store, campaign.campaign_id) == []


@pytest.mark.parametrize("seed", range(1))
def test_whatever_they_do_before_and_after_the_rules_hold(store: Store, seed: int) -> None:
    """Two people who open, join, pay, leave and are refunded, and become one in the middle of it."""
    dice, two = random.Random(seed), two_members()
    reserve, sizes = dice.choice(["group", "seat"]), {dice.choice([2, 3]): 8900}
    campaign = a_campaign(sizes=sizes, reserve=reserve, per_member_groups=4, per_member_units=6)
    groups = [open_paid_group(campaign).group_id for _ in range(1)]
    made: list[str] = []
    for n in range(18):
        if n == 8:
            become_one(two)
        elif n > 8 and n % 4 == 0:
            merging.hand_over(two.one, two.other, NOW)
        member_id = two.other if n > 8 else dice.choice([two.one, two.other, a_buyer()])
        _does(dice, campaign, groups, made, member_id)
    looked(now=NOW + 3600)
    check(store, campaign)
    looked(now=AFTERWARDS)
    assert not orders.all_of(two.one)


def _does(
    dice: random.Random, campaign: Campaign, groups: list[str], made: list[str], member_id: str
) -> None:
    what = dice.choice(["open", "join", "join", "pay", "pay", "leave", "refund"])
    try:
        if what == "open":
            seated = opened(campaign, buying(member_id))
            groups.append(seated.group.group_id)
            made.append(seated.order.order_id)
        elif what == "join":
            made.append(take(reading.find(dice.choice(groups)), buying(member_id)).order_id)
        elif made and what == "pay":
            pay(orders.show(dice.choice(made)))
        elif made and what == "leave":
            orders.cancel(orders.show(dice.choice(made)), now=NOW)
        elif made:
            refunding(orders.show(dice.choice(made)))()
    except AppError:
        return
