"""Paying by WeChat Pay when a storage call fails, and when WeChat does: taken once, given back once, no seat lost.

Every fault of the store at every call of beginning, being told, closing and giving back; and every fault of WeChat
at each of them. Then the caller's retry, and the books: the rows of the table, and what WeChat has.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib.core import cache, due, table
from chalicelib.groupbuys import ending
from chalicelib.groupbuys.holding import RELEASE_JOB, held_by
from chalicelib.orders import service as orders
from chalicelib.orders import wechat
from chalicelib.orders.gateways import NotRefunded, PaymentUnavailable
from chalicelib.orders.service import REFUND_JOB, Back, Order
from chalicelib.wechat import pay
from chalicelib.wechat.schemas import SealedNotice
from infra.local.clients import Store
from infra.local.wechat import notices, refunds
from infra.local.wechat.notices import Told
from infra.local.wechat.pay import Trades, success
from tests.factories import NOW, a_call, a_word, emptied
from tests.groupbuys import AFTERWARDS, broken, proposed
from tests.harness.direct import Direct
from tests.harness.faults import each_fault
from tests.paying import Desk, at_the_desk, entry_of, refund_told, seat_of

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

WECHATS = (Trades, refunds.Refunds)
"""What WeChat keeps of orders."""
VIEWS = {"payments": wechat.payment, "refunds": wechat.refund}
LATER = NOW + 3600


def _tables() -> list[Any]:
    return [
        table for by in dynamodb_backends.values() for one in by.values() for table in one.tables.values()
    ]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, direct: Direct) -> Iterator[Desk]:
    with at_the_desk(monkeypatch) as there:
        there.platform.faults |= {"/notices/payments": "withheld", "/notices/refunds": "withheld"}
        yield there


class Scene:
    """What the cases begin from: orders in a group that never fills."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.group = desk.a_group(sizes={9: 8900})

    def planted(self, plant: Callable[[], Order]) -> Callable[[], Order]:
        """The order that ``plant`` makes, made once; both stores and WeChat are laid down anew for every case."""
        kept: list[tuple[Order, dict[str, Any], dict[Any, Any]]] = []
        platform = self.desk.platform

        def setup() -> Order:
            if not kept:
                order = plant()
                items = {one.name: copy.deepcopy(one.items) for one in _tables()}
                kept.append((order, items, {kind: copy.deepcopy(platform.of(kind)) for kind in WECHATS}))
            order, items, parts = kept[0]
            emptied()
            for one in _tables():
                one.items.update(copy.deepcopy(items[one.name]))
            platform._parts.update(copy.deepcopy(parts))
            cache.clear_all()
            return order

        return setup

    def held(self) -> Order:
        """An unpaid order."""
        order = self.desk.a_seat(group=self.group)
        cache.clear_all()
        return order

    def begun(self) -> Order:
        """One that a phone can pay."""
        order = self.held()
        self.desk.begin(order)
        cache.clear_all()
        return orders.show(order.order_id)

    def paid_untold(self) -> Order:
        """One that was paid, and nobody has said so."""
        order = self.held()
        self.desk.pays(order)
        cache.clear_all()
        return orders.show(order.order_id)

    def owed_back(self) -> Order:
        """One that was paid and is owed back."""
        order = self.held()
        self.desk.took(order)
        orders.refund(order.order_id, back=Back(reason="operator"), now=NOW)
        cache.clear_all()
        return orders.show(order.order_id)

    def taken_on(self) -> Order:
        """One whose refund WeChat has taken on."""
        order = self.owed_back()
        give_back(order)
        return order

    def same(self, order: Order) -> None:
        """Both books say the same of the order."""
        assert self.desk.differs(orders.show(order.order_id)) == []


@pytest.fixture
def scene(desk: Desk, store: Store) -> Iterator[Scene]:
    """Whatever the cases did to their orders, no rule is broken at the end."""
    there = Scene(desk)
    yield there
    assert broken(store, there.group.campaign_id) == []


def tell(desk: Desk, told: Told) -> None:
    """WeChat tells, and what refuses it is raised."""
    _, body = notices.message(desk.platform, told)
    what = told.url.rsplit("/", 1)[1]
    VIEWS[what](a_call(now=NOW), "demo", msgspec.json.decode(body, type=SealedNotice))


def give_back(order: Order) -> None:
    """The job finds that the refund is due."""
    [refund] = orders.money_of(order.order_id)[1]
    if refund.state != "done":
        orders.send_refund(entry_of(order), NOW)


def let_go(order: Order) -> None:
    """The job finds that the hold has run out."""
    if orders.show(order.order_id).state == "pending":
        ending.let_go(held_by(order), now=NOW)


# --- the store fails --------------------------------------------------------------------------------------------


def test_one_order_is_begun(desk: Desk, scene: Scene) -> None:
    def begun(order: Order) -> None:
        assert orders.show(order.order_id).prepay_id is not None
        assert len(desk.trade(order).prepays) == 1

    each_fault(desk.begin, client=table.client(), setup=scene.planted(scene.held), check=begun)


def test_a_payment_that_is_told_is_taken_once(desk: Desk, scene: Scene) -> None:
    def taken(order: Order) -> None:
        assert (orders.show(order.order_id).state, seat_of(order)) == ("paid", "confirmed")
        scene.same(order)

    def told(order: Order) -> None:
        tell(desk, success(desk.trade(order)))

    each_fault(told, client=table.client(), setup=scene.planted(scene.paid_untold), check=taken)


def test_an_unpaid_hold_is_closed_and_let_go_once(desk: Desk, scene: Scene) -> None:
    def gone(order: Order) -> None:
        assert (orders.show(order.order_id).state, seat_of(order)) == ("cancelled", None)
        assert desk.trade(order).state == "CLOSED"
        scene.same(order)

    each_fault(let_go, client=table.client(), setup=scene.planted(scene.begun), check=gone)


def test_a_hold_that_was_paid_untold_is_confirmed_once(scene: Scene) -> None:
    def taken(order: Order) -> None:
        assert (orders.show(order.order_id).state, seat_of(order)) == ("paid", "confirmed")
        scene.same(order)

    each_fault(let_go, client=table.client(), setup=scene.planted(scene.paid_untold), check=taken)


def test_money_goes_back_once(desk: Desk, scene: Scene) -> None:
    def back(order: Order) -> None:
        assert desk.given_back(order) == order.amount_fen

    each_fault(give_back, client=table.client(), setup=scene.planted(scene.owed_back), check=back)


def test_a_refund_that_is_told_is_confirmed_once(desk: Desk, scene: Scene) -> None:
    def told(order: Order) -> None:
        tell(desk, refund_told(desk, order))

    def confirmed(order: Order) -> None:
        row = orders.show(order.order_id)
        assert (row.state, row.refunded_fen) == ("refunded", order.amount_fen)
        scene.same(order)

    each_fault(told, client=table.client(), setup=scene.planted(scene.taken_on), check=confirmed)


# --- WeChat fails -------------------------------------------------------------------------------------------------

FAULTS = ("busy", "lost", "slow")
STEPS: dict[str, Callable[[Desk, Order], object]] = {
    "begin": lambda desk, order: desk.begin(order),
    "check": lambda desk, order: desk.check(order),
    "close": lambda desk, order: let_go(orders.show(order.order_id)),
    "refund": lambda desk, order: give_back(order),
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> Iterator[None]:
    """Who waits 0.2 s for an answer that takes 0.6."""
    monkeypatch.setattr(pay, "READ_S", 0.2)
    desk.simulator.slow_s = 0.6
    pay._pool.cache_clear()
    yield
    pay._pool.cache_clear()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("failing", STEPS)
def test_whatever_wechat_does_not_answer_happens_once(
    failing: str, fault: Any, desk: Desk, scene: Scene
) -> None:
    paid, unpaid = scene.held(), scene.held()
    for step, do in STEPS.items():
        its = {"close": [unpaid], "refund": [paid]}.get(step, [paid, unpaid])
        if step == "refund":
            orders.refund(paid.order_id, back=Back(reason="operator"), now=NOW)
        if step == failing:
            desk.platform.faults["/v3"] = fault
            for order in its:
                with pytest.raises((PaymentUnavailable, NotRefunded)):
                    do(desk, order)
            del desk.platform.faults["/v3"]
        for order in its:
            do(desk, order)
        if step == "begin":
            desk.pays(paid)

    assert orders.show(unpaid.order_id).state == "cancelled" and desk.trade(unpaid).state == "CLOSED"
    assert due.run(job=REFUND_JOB, worker=a_word("w"), now=LATER, seconds=30).failed == 0
    assert (orders.show(paid.order_id).state, desk.given_back(paid)) == ("refunded", paid.amount_fen)
    for order in (paid, unpaid):
        scene.same(order)


@pytest.mark.parametrize("fault", ["twice", "disorder", "withheld", "lost", "slow", "busy"])
def test_however_wechat_tells_it_counts_once(fault: Any, desk: Desk, scene: Scene, store: Store) -> None:
    desk.platform.faults |= {"/notices/payments": fault, "/notices/refunds": fault}
    seated = [scene.held(), scene.held()]
    for order in seated:
        desk.pays(order)
    # Who was never told of finds out as the hold runs out.
    for entry in proposed(store, RELEASE_JOB):
        ending.release_hold(entry, AFTERWARDS)
    assert {orders.show(order.order_id).state for order in seated} == {"paid"}
    for order in seated:
        orders.refund(order.order_id, back=Back(reason="operator"), now=NOW)
    for n in range(3):
        due.run(job=REFUND_JOB, worker=a_word("w"), now=NOW + n * 3601, seconds=30)
        assert notices.wait(desk.platform)

    for order in seated:
        row = orders.show(order.order_id)
        assert (row.state, row.refunded_fen) == ("refunded", order.amount_fen)
        assert desk.given_back(order) == order.amount_fen
        scene.same(order)
