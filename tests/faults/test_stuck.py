"""A person's decision when any call fails: it is carried out once, with one row in the trail, or not at all."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from chalicelib.core import due, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import NotFound
from chalicelib.core.table import Row
from chalicelib.operators import stuck
from chalicelib.orders import byhand
from chalicelib.orders import service as orders
from chalicelib.orders.service import Back, Order
from infra.local.clients import Store
from tests.factories import NOW, OWNER, Books, books, emptied
from tests.groupbuys import a_campaign, broken, open_paid_group, opened, orders_of, pay
from tests.harness.faults import each_fault

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

LATER = NOW + 30 * DAY


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An order, and the id under which something about it is stuck."""

    order: Order
    stuck_id: str = ""


def a_mismatch() -> Scene:
    """Five fen came for an order that is unpaid."""
    emptied()
    order = pay(opened(a_campaign()).order, "pay_wrong", amount_fen=5)
    return Scene(order=order, stuck_id=stuck.listed(limit=1)[0][0].id)


def a_given_up_refund() -> Scene:
    """A refund that nobody took."""
    emptied()
    (order,) = orders_of(open_paid_group(a_campaign()))
    orders.refund(order.order_id, back=Back(reason="shop"), now=NOW)
    (refund,) = orders.money_of(order.order_id)[1]
    waits = Row.due_shard.set("stuck#refund")
    table.apply(table.update(Row, (refund.pk, refund.sk), waits, refuse=NotFound))
    return Scene(order=order, stuck_id=stuck.id_of("refund", refund))


def an_overdue_order() -> Scene:
    """An order that was paid a month ago."""
    emptied()
    return Scene(order=orders_of(open_paid_group(a_campaign()))[0])


def an_unfinished_order() -> Scene:
    """The same, and it was found out."""
    scene = an_overdue_order()
    looked_at(scene)
    return Scene(order=scene.order, stuck_id=stuck.listed(limit=1)[0][0].id)


def settled(how: str) -> Callable[[Scene], None]:
    """An operator settles it."""

    def settle(scene: Scene) -> None:
        stuck.settle(stuck_id=scene.stuck_id, how=how, reason="x", by=OWNER, now=LATER)

    return settle


def looked_at(scene: Scene) -> None:
    for entry in due._due("unfinished#0", now=LATER):
        byhand.look_at(entry, LATER)


def named(scene: Scene) -> None:
    orders.named(scene.order.order_id, mall_order_id="M-1")


def once(store: Store, scene: Scene) -> Books:
    """The books, in which there is one decision and nothing is stuck or broken."""
    there = books(store.client)
    assert len([row for row in there.of("audit") if row["action"].startswith("stuck.")]) == 1
    assert stuck.listed(limit=9) == ([], None)
    assert broken(store, scene.order.campaign_id) == []
    return there


def test_a_wrong_amount_goes_back_once(store: Store) -> None:
    def check(scene: Scene) -> None:
        there = once(store, scene)
        assert (there.only("payment")["state"], there.only("refund")["state"]) == ("returned", "due")

    each_fault(settled("refund"), client=table.client(), setup=a_mismatch, check=check)


def test_a_wrong_amount_is_accepted_once(store: Store) -> None:
    def check(scene: Scene) -> None:
        there = once(store, scene)
        assert (there.only("payment")["state"], there.only("order")["state"]) == ("taken", "paid")
        assert (there["refund"], there.only("group")["missing"]) == (0, 2)

    each_fault(settled("accepted"), client=table.client(), setup=a_mismatch, check=check)


def test_a_refund_is_confirmed_by_hand_once(store: Store) -> None:
    def check(scene: Scene) -> None:
        there = once(store, scene)
        assert (there.only("refund")["state"], there.only("order")["state"]) == ("done", "refunded")
        assert there.only("order")["refunded_fen"] == scene.order.amount_fen

    each_fault(settled("paid"), client=table.client(), setup=a_given_up_refund, check=check)


def test_an_unfinished_order_is_found_once(store: Store) -> None:
    def check(scene: Scene) -> None:
        (found,) = stuck.listed(limit=9)[0]
        assert (found.story.order_id, found.row.due_at) == (scene.order.order_id, LATER)
        assert books(store.client).only("payment")["rev"] == 2

    each_fault(looked_at, client=table.client(), setup=an_overdue_order, check=check)


def test_an_unfinished_order_is_completed_by_hand_once(store: Store) -> None:
    def check(scene: Scene) -> None:
        order = once(store, scene).only("order")
        assert (order["state"], order["completed_at"]) == ("completed", LATER)

    each_fault(settled("completed"), client=table.client(), setup=an_unfinished_order, check=check)


def test_an_order_is_named_with_the_row_that_finds_it_or_not_at_all(store: Store) -> None:
    def check(scene: Scene) -> None:
        there = books(store.client)
        assert there.only("order")["mall_order_id"] == "M-1"
        assert there.only("mall_order")["order_id"] == scene.order.order_id

    each_fault(named, client=table.client(), setup=an_overdue_order, check=check)
