"""Rewards that were given to somebody who became another: counted once, by whichever name, and taken back whole."""

from typing import Any

import pytest

from chalicelib.core import table
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.rewards import granting
from chalicelib.rewards.models import Progress
from tests import rewards
from tests.factories import NOW
from tests.merging import Two, become_one, two_members

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.alone("rewards", "orders")]
TWO_ORDERS: list[dict[str, Any]] = [{"at": 2, "give": rewards.POINTS}]


def paid(*given: Order) -> None:
    """The rules hear of these orders, as they are now."""
    for order in given:
        granting._react("order.paid", orders.show(order.order_id), NOW)


def back(order: Order, *, now: int = NOW) -> None:
    """All that the order earned is taken back."""
    granting.take_back(f"order#{order.order_id}", now=now)


def counted(rule_id: str, member_id: str) -> int:
    """How often the rule has counted for a member."""
    row = table.get(Progress, Progress.key(member_id, rule_id))
    return row.n if row is not None else 0


@pytest.fixture
def two() -> Two:
    return two_members()


def test_an_order_that_counted_counts_no_second_time_by_the_other_name(two: Two) -> None:
    rule = rewards.a_rule(on="order.paid", to="actor", tiers=TWO_ORDERS)
    order = rewards.an_order(two.one)
    paid(order)
    become_one(two)
    table.apply(orders.handed_over(orders.show(order.order_id), two.other))

    paid(order)

    assert counted(rule.rule_id, two.other) == 1
    assert rewards.got(two.other) == []


def test_a_tier_that_was_reached_by_the_other_name_falls(two: Two) -> None:
    rule = rewards.a_rule(on="order.paid", to="actor", tiers=TWO_ORDERS)
    made = [rewards.an_order(two.one) for _ in range(2)]
    paid(*made)
    assert rewards.points(two.one) == 10
    become_one(two)

    third = rewards.an_order(two.other)
    paid(third)
    for order in (third, made[0]):
        back(order)
        back(order)

    assert counted(rule.rule_id, two.other) == 1
    assert rewards.got(two.other) == [("taken_back", 10)]
    assert rewards.points(two.one) + rewards.points(two.other) == 0


def test_what_counts_of_a_day_is_given_back_by_whichever_name(two: Two) -> None:
    limits = {"per_member": 5, "per_day": 2}
    rule = rewards.a_rule(on="order.paid", to="actor", tiers=TWO_ORDERS, limits=limits)
    made = [rewards.an_order(two.one) for _ in range(2)]
    paid(*made)
    become_one(two)
    for order in made:
        back(order)
    paid(*[rewards.an_order(two.other) for _ in range(2)])

    assert counted(rule.rule_id, two.other) == 2
    assert sorted(rewards.got(two.other)) == [("given", 10), ("taken_back", 10)]
