"""Two who meet over one reward, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from chalicelib.core import table
from chalicelib.core.errors import Busy
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.rewards import granting, merging, service
from chalicelib.rewards.models import Day, First, Grant, Progress
from chalicelib.rewards.service import InForce
from tests import rewards
from tests.factories import NOW, TODAY, a_link, a_member
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.merging import HOME, UNION, Two, sign_in, two_members
from tests.rewards import POINTS, VOUCHER, a_few_vouchers, a_rule, an_order, got, making, points, terms

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.alone("rewards", "orders")]
OFTEN = {"per_member": 9, "per_day": 9}


@pytest.fixture
def alice(direct: Direct) -> Iterator[str]:
    """Somebody who buys; in the end limits, purses, lists and points are what the grants say."""
    yield a_member()
    assert rewards.broken(direct) == []


def a_tier(at: int) -> dict[str, Any]:
    """Ten points for so many orders."""
    return {"at": at, "give": POINTS}


def a_paid_rule(**told: Any) -> InForce:
    """A rule on who pays for an order; ten points for each, unless told otherwise."""
    return a_rule(**{"on": "order.paid", "to": "actor", **told})


def paid(*given: Order) -> None:
    """The rules hear of these orders, as they are now."""
    for order in given:
        granting._react("order.paid", orders.show(order.order_id), NOW)


def earned(member_id: str) -> Order:
    """An order that has earned something."""
    order = an_order(member_id)
    paid(order)
    return order


def back(order: Order) -> None:
    """All that the order earned is taken back."""
    granting.take_back(f"order#{order.order_id}", now=NOW)


# --- giving -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 1], ids=["the first ever", "not the first"])
def test_of_two_orders_that_count_at_once_the_second_reaches_the_tier(alice: str, before: int) -> None:
    a_paid_rule(tiers=[a_tier(before + 2)])
    for _ in range(before):
        earned(alice)
    one, other = an_order(alice), an_order(alice)

    with before_write(1, lambda: paid(other)):
        paid(one)

    assert got(alice) == [("given", 10)]


def test_of_two_orders_that_are_paid_at_once_one_is_the_first(alice: str) -> None:
    a_paid_rule(where={"first_order": True})
    one, other = an_order(alice), an_order(alice)

    with before_write(1, lambda: paid(other)):
        paid(one)

    assert got(alice) == [("given", 10)]


# --- taking back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [{"limits": OFTEN}, {"limits": OFTEN, "tiers": [a_tier(2)]}])
def test_what_is_taken_back_by_two_at_once_goes_back_once(alice: str, told: dict[str, Any]) -> None:
    rule = a_paid_rule(**told)
    order, _ = earned(alice), earned(alice)

    with before_write(1, lambda: back(order)):
        back(order)

    assert (counted(rule, alice), of_today(rule, alice)) == (1, 1)


def test_what_gave_something_that_stays_goes_back_to_its_purse_once(alice: str) -> None:
    a_few_vouchers(2)
    rule = a_paid_rule(give=VOUCHER, limits={"total": 5})
    order = earned(alice)

    with before_write(1, lambda: back(order)):
        back(order)

    assert [row.left for row in service.purse(rule.rule_id, shards=1)] == [5]


def test_of_two_orders_that_go_back_at_once_the_second_takes_the_tier_along(alice: str) -> None:
    a_paid_rule(tiers=[a_tier(1)])
    one, other = earned(alice), earned(alice)

    with before_write(1, lambda: back(other)):
        back(one)

    assert got(alice) == [("taken_back", 10)]


def test_of_two_parts_that_go_back_at_once_what_is_left_is_the_lesser(alice: str) -> None:
    a_paid_rule(give=[{"kind": "points", "per_yuan": 1}])
    order = earned(alice)

    def left(fen: int) -> None:
        granting.shrink(f"order#{order.order_id}", amount_fen=fen, now=NOW)

    with before_write(1, lambda: left(4000)):
        left(5000)

    assert points(alice) == 40


# --- rules --------------------------------------------------------------------------------------------------


def edited(rule: InForce, **told: Any) -> None:
    """An operator writes it anew."""
    service.edit(rule.rule_id, terms(on="order.paid", to="actor", **told), making=making())


def switched(rule: InForce) -> None:
    """An operator switches it off."""
    service.switch(rule.rule_id, to="off", making=making())


def renamed(rule: InForce) -> None:
    """An operator calls it something else."""
    edited(rule, title="Another")


def test_a_rule_is_made_by_two_at_once_and_gives_by_then(alice: str) -> None:
    told = terms(on="order.paid", to="actor", limits={"total": 5})

    def made() -> str:
        by = making(now=NOW - service.BEGINS_AFTER_S, key="made")
        return service.make(told, state="on", making=by).rule_id

    with before_write(1, lambda: (made(), earned(alice))):
        rule_id = made()

    assert [row.left for row in service.purse(rule_id, shards=1)] == [4]


def test_what_a_rule_may_give_is_lowered_while_it_gives_the_last(alice: str) -> None:
    rule = a_paid_rule(limits={"total": 2})
    earned(alice)

    with before_write(1, lambda: earned(alice)), pytest.raises(Busy):
        edited(rule, limits={"total": 1})

    assert [row.left for row in service.purse(rule.rule_id, shards=1)] == [0]


@pytest.mark.parametrize("change", [renamed, switched])
def test_of_two_who_change_a_rule_at_once_one_does_it_again(
    alice: str, change: Callable[[InForce], None]
) -> None:
    rule = a_paid_rule()

    with before_write(1, lambda: edited(rule, title="First")), pytest.raises(Busy):
        change(rule)

    assert [one.terms.title for one in service.versions(rule.rule_id)] == ["First", "Bring a friend"]


# --- who becomes another ------------------------------------------------------------------------------------


@pytest.fixture
def two() -> Two:
    """Two members who have proved to be one; what they have is still where it was."""
    found = two_members()
    assert sign_in(HOME, UNION).member_id == found.other
    return found


def goes_over(two: Two) -> None:
    """Some of the rewards go over."""
    merging.hand_over(two.one, two.other, NOW)


def gone_over(two: Two) -> None:
    """All of them have."""
    while merging.hand_over(two.one, two.other, NOW):
        pass


def counted(rule: InForce, member_id: str) -> int:
    """How often the rule has counted for a member."""
    row = table.get(Progress, Progress.key(member_id, rule.rule_id))
    return row.n if row is not None else 0


def of_today(rule: InForce, member_id: str) -> int:
    """How often it has today."""
    row = table.get(Day, Day.key(member_id, rule.rule_id, TODAY))
    return row.n if row is not None else 0


COUNTS = {"all of them": 2, "today's": 3}
"""The write of the one reward's going over that brings each count: the list's entry is the first."""


@pytest.mark.parametrize("write", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("whose", ["one", "other"])
def test_what_counts_while_the_counts_go_over_is_counted(two: Two, write: int, whose: str) -> None:
    rule = a_paid_rule(limits=OFTEN)
    earned(two.one)

    with before_write(write, lambda: earned(getattr(two, whose))), pytest.raises(Busy):
        goes_over(two)
    gone_over(two)

    assert (counted(rule, two.other), of_today(rule, two.other)) == (2, 2)


def test_a_tier_that_is_reached_while_the_counts_go_over_stays_reached(two: Two) -> None:
    rule = a_paid_rule(tiers=[a_tier(1), a_tier(2)])
    earned(two.one), earned(two.other)

    with before_write(2, lambda: earned(two.other)), pytest.raises(Busy):
        goes_over(two)
    gone_over(two)

    row = table.get(Progress, Progress.key(two.other, rule.rule_id))
    assert row is not None and (row.n, row.tiers) == (3, {"1": 1, "2": 1})


def test_what_is_taken_back_while_it_goes_over_is_taken_back(two: Two) -> None:
    a_paid_rule()
    order = earned(two.one)

    with before_write(1, lambda: back(order)), pytest.raises(Busy):
        goes_over(two)
    gone_over(two)

    assert got(two.other) == [("taken_back", 10)]


@pytest.mark.parametrize("told", [{}, {"tiers": [a_tier(1)]}], ids=["each", "a tier"])
def test_what_goes_over_while_it_is_taken_back_is_taken_back_where_it_went(
    two: Two, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any]
) -> None:
    monkeypatch.setattr(merging, "AT_ONCE", 1)
    a_paid_rule(**told)
    order = earned(two.one)

    with before_write(1, lambda: goes_over(two)), pytest.raises(Busy):
        back(order)
    back(order)

    assert (got(two.one), got(two.other)) == ([], [("taken_back", 10)])


def test_a_day_s_count_that_goes_over_while_it_is_lessened_is_lessened_where_it_went(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "AT_ONCE", 1)
    rule = a_paid_rule(limits={"per_day": 9})
    order = earned(two.one)
    goes_over(two)

    with before_write(1, lambda: goes_over(two)):
        back(order)

    assert table.get(Day, Day.key(two.one, rule.rule_id, TODAY)) is None
    assert of_today(rule, two.other) == 0


def test_what_the_other_is_given_while_the_same_order_s_goes_over_is_theirs_too(two: Two) -> None:
    rule = a_paid_rule(to="both")
    order = an_order(two.one, link=a_link(sharer_id=two.other).code)

    def broken_off() -> None:
        raise Busy

    with suppress(Busy), before_write(2, broken_off):
        paid(order)

    with before_write(1, lambda: paid(order)), pytest.raises(Busy):
        goes_over(two)
    gone_over(two)

    theirs = table.get(Grant, Grant.key(f"order#{order.order_id}", rule.rule_id, two.other))
    assert theirs is not None and theirs.state == "given"
    assert got(two.other) == [("given", 10), ("given", 10)]


def test_a_first_order_that_is_noted_while_the_other_s_goes_over_stays_the_first(two: Two) -> None:
    def noted(member_id: str, order_id: str) -> None:
        table.apply(table.create(First(*First.key(member_id), order_id=order_id)))

    noted(two.one, "ord_1")

    with before_write(1, lambda: noted(two.other, "ord_2")), pytest.raises(Busy):
        goes_over(two)
    gone_over(two)

    there = table.get(First, First.key(two.other))
    assert there is not None and there.order_id == "ord_2"
