"""Two operators, or an operator and a job, meet over what waits for a person: one decision happens, once.

Some eight rows of each kind, and eight calls at each of them.
"""

from collections.abc import Callable
from functools import partial

import pytest

from chalicelib.core import due, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import NotFound
from chalicelib.core.table import Row
from chalicelib.groupbuys.models import Campaign
from chalicelib.operators import stuck
from chalicelib.orders import byhand
from chalicelib.orders import service as orders
from chalicelib.orders.service import Back, Order
from tests.factories import NOW, OWNER
from tests.groupbuys import (
    a_campaign,
    broken,
    naively,
    open_paid_group,
    opened,
    orders_of,
    pay,
    react,
    refunding,
)
from tests.races.arena import STORM, Arena, rounds

pytestmark = pytest.mark.engine
Call = Callable[[], object]
LATER = NOW + 30 * DAY


def a_mismatch(campaign: Campaign) -> Order:
    """An order of which a wrong payment came."""
    return pay(opened(campaign).order, "pay_wrong", amount_fen=5)


def wrong(order: Order) -> str:
    """The id of its wrong payment."""
    return stuck.id_of("mismatch", Row(f"ORDER#{order.order_id}", "PAYMENT#pay_wrong"))


def settling(stuck_id: str, how: str) -> Call:
    """An operator settles it."""
    return lambda: stuck.settle(stuck_id=stuck_id, how=how, reason="x", by=OWNER, now=NOW)


def a_given_up_refund(campaign: Campaign) -> Order:
    """A paid order whose refund nobody took."""
    (order,) = orders_of(open_paid_group(campaign))
    orders.refund(order.order_id, back=Back(reason="shop"), now=NOW)
    (refund,) = orders.money_of(order.order_id)[1]
    waits = Row.due_shard.set("stuck#refund")
    table.apply(table.update(Row, (refund.pk, refund.sk), waits, refuse=NotFound))
    return order


def the_refund(order: Order) -> str:
    """The id of its refund."""
    (refund,) = orders.money_of(order.order_id)[1]
    return stuck.id_of("refund", refund)


def an_unfinished_order(campaign: Campaign) -> Order:
    """A paid order that waits to be completed."""
    (order,) = orders_of(open_paid_group(campaign))
    return order


def completing(order: Order) -> Call:
    """The mall says that it is done."""
    return lambda: orders.complete(order.order_id, now=LATER)


def decisions(arena: Arena) -> int:
    """How many decisions the trail has."""
    return len(arena.rows("audit", action="stuck.settled")) + len(
        arena.rows("audit", action="stuck.cancelled")
    )


# --- wrong amounts ------------------------------------------------------------------------------------------


def test_the_harness_sees_money_go_back_that_was_accepted_too(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign()
    order = a_mismatch(campaign)
    naively(monkeypatch)

    arena.collide(settling(wrong(order), "accepted"), settling(wrong(order), "refund"))

    assert broken(arena, campaign.campaign_id) != []


@rounds(STORM)
def test_a_wrong_amount_is_refunded_or_returned_or_accepted_but_one_of_them(arena: Arena) -> None:
    campaign = a_campaign()
    held = [a_mismatch(campaign) for _ in range(8)]
    ways = ("refund", "returned", "accepted", "accepted")
    calls = [settling(wrong(order), how) for order in held for how in ways * 2]

    outcomes = arena.race(*calls)

    outcomes.expect_won_or("not_found", least=2 * len(held))
    assert broken(arena, campaign.campaign_id) == []
    assert (len(arena.rows("payment", state="mismatch")), decisions(arena)) == (0, len(held))


# --- refunds ------------------------------------------------------------------------------------------------


@rounds(STORM)
def test_a_refund_is_confirmed_once_by_the_bank_the_mall_or_the_job(arena: Arena) -> None:
    campaign = a_campaign()
    held = [a_given_up_refund(campaign) for _ in range(8)]
    calls: list[Call] = []
    for order in held:
        (refund,) = orders.money_of(order.order_id)[1]
        calls += [settling(the_refund(order), "paid")] * 3
        calls += [partial(orders.confirm_refund, refund, now=NOW)] * 2
        calls.append(partial(stuck.retry, stuck_id=the_refund(order), by=OWNER, now=NOW))
    calls += [lambda: due.run(job="refund", worker="w", now=NOW, seconds=5)] * 4

    outcomes = arena.race(*calls)
    due.run(job="refund", worker="last", now=NOW + DAY, seconds=30)

    outcomes.expect_won_or("not_found")
    for order in held:
        done = orders.show(order.order_id)
        assert (done.state, done.refunded_fen) == ("refunded", order.amount_fen)
    assert {row["state"] for row in arena.rows("refund")} == {"done"}
    assert broken(arena, campaign.campaign_id) == []


# --- paid orders that were never completed ------------------------------------------------------------------


@rounds(STORM)
def test_an_order_is_completed_or_refunded_and_none_that_went_on_is_listed(arena: Arena) -> None:
    campaign = a_campaign()
    held = [an_unfinished_order(campaign) for _ in range(12)]
    entries = {one.pk: one for one in due._due("unfinished#0", now=LATER)}
    calls: list[Call] = []
    for n, order in enumerate(held):
        entry = entries[f"ORDER#{order.order_id}"]
        calls += [partial(byhand.look_at, entry, LATER)] * 3
        calls += [completing(order) if n % 2 else refunding(order)] * 2

    arena.race(*calls).expect(won=60)
    react(arena, now=LATER, kinds=("order",))
    due.run(job="unfinished", worker="last", now=LATER, seconds=30)

    assert stuck.listed(limit=99) == ([], None)
    assert {orders.show(order.order_id).state for order in held} <= {"completed", "refunding", "refunded"}


# --- the mall's numbers -------------------------------------------------------------------------------------


def test_the_harness_sees_one_number_name_four_orders_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign()
    held = [opened(campaign).order for _ in range(4)]
    naively(monkeypatch)

    arena.collide(*[partial(orders.named, one.order_id, mall_order_id="M-1") for one in held]).expect(won=4)

    assert {row.get("mall_order_id") for row in arena.rows("order")} == {"M-1"}


@rounds(STORM)
def test_a_number_of_the_mall_names_one_order_and_an_order_has_one(arena: Arena) -> None:
    campaign = a_campaign(stock=200)
    held = [opened(campaign).order for _ in range(16)]
    named = [partial(orders.named, one.order_id, mall_order_id=f"M-{n % 4}") for n, one in enumerate(held)]

    outcomes = arena.race(*named * 4)

    outcomes.expect(won=4 * 4, mall_order_taken=12 * 4)
    there = {row["pk"]: row["order_id"] for row in arena.rows("mall_order")}
    mine = {row["mall_order_id"]: row["order_id"] for row in arena.rows("order") if "mall_order_id" in row}
    assert there == {f"MALLORDER#{number}": order_id for number, order_id in mine.items()}
    assert len(there) == 4
