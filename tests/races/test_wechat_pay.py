"""WeChat tells of payments while holds run out and pages come back: each order ends in one way, and its money."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from chalicelib.core import cache
from chalicelib.groupbuys import ending
from chalicelib.groupbuys.holding import held_by
from chalicelib.orders import service as orders
from chalicelib.orders.service import Back, Order, OrderOver
from chalicelib.orders.wechatpay import WeChatPay
from infra.local.wechat import notices
from infra.local.wechat.pay import success
from tests.factories import NOW
from tests.groupbuys import broken
from tests.paying import Desk, at_the_desk, entry_of, refund_told, seat_of
from tests.races.arena import STORM, Arena, rounds

pytestmark = [pytest.mark.engine, pytest.mark.alone("groupbuys", "orders")]
THREADS = 16


@pytest.fixture
def desk(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    cache.clear_all()
    with at_the_desk(monkeypatch) as there:
        there.platform.faults |= {"/notices/payments": "withheld", "/notices/refunds": "withheld"}
        yield there
    cache.clear_all()


def telling(desk: Desk, order: Order) -> Callable[[], None]:
    """WeChat tells of the payment, and again while it is not taken."""

    def tell() -> None:
        told = success(desk.trade(order))
        for _ in range(9):
            headers, body = notices.message(desk.platform, told)
            if desk.take(told.url, headers, body) == 200:
                return
        raise AssertionError("it was never taken")

    return tell


def letting_go(desk: Desk, order: Order) -> Callable[[], object]:
    """The job finds that the hold has run out."""
    return lambda: ending.let_go(held_by(order), now=NOW)


def checking(desk: Desk, order: Order) -> Callable[[], object]:
    """The page comes back."""
    return lambda: desk.check(order)


def beginning(desk: Desk, order: Order) -> Callable[[], None]:
    """The phone begins once more, if it still can."""

    def begin() -> None:
        with suppress(OrderOver):
            desk.begin(order)

    return begin


def begun(desk: Desk, count: int) -> list[Order]:
    """So many orders that a phone can pay, in one group."""
    group = desk.a_group(sizes={20: 8900})
    held = [desk.a_seat(group=group) for _ in range(count)]
    for order in held:
        desk.begin(order)
    return [orders.show(order.order_id) for order in held]


def test_the_harness_sees_money_lost_when_a_hold_is_not_closed_at_wechat(
    arena: Arena, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = begun(desk, 2)
    for order in held:
        desk.pays(order)
    monkeypatch.setattr(WeChatPay, "close", lambda *_, **__: None)

    arena.collide(*[letting_go(desk, order) for order in held])

    assert [desk.differs(orders.show(order.order_id)) for order in held] != [[], []]


@rounds(STORM)
def test_what_is_told_meets_the_end_of_the_hold_and_the_page_that_comes_back(
    arena: Arena, desk: Desk
) -> None:
    held = begun(desk, 6)
    paid, unpaid = held[:4], held[4:]
    for order in paid:
        desk.pays(order)
    meet = [does(desk, order) for order in held for does in (letting_go, checking, beginning)]

    outcomes = arena.race(*[telling(desk, order) for order in paid], *meet, threads=THREADS)

    outcomes.expect(won=len(paid) + 3 * len(held))
    for order in paid:
        assert (orders.show(order.order_id).state, seat_of(order)) == ("paid", "confirmed")
    for order in unpaid:
        assert (orders.show(order.order_id).state, seat_of(order)) == ("cancelled", None)
        assert desk.trade(order).state == "CLOSED"
    assert [desk.differs(orders.show(order.order_id)) for order in held] == [[]] * len(held)
    assert broken(arena, held[0].campaign_id or "") == []


@rounds(STORM)
def test_a_refund_is_asked_for_by_two_workers_while_wechat_tells(arena: Arena, desk: Desk) -> None:
    [order] = begun(desk, 1)
    desk.pays(order)
    desk.check(order)
    orders.refund(order.order_id, back=Back(reason="operator"), now=NOW)
    entry, asked = entry_of(order), threading.Event()

    def work() -> None:
        orders.send_refund(entry, NOW)
        asked.set()

    def tell() -> None:
        asked.wait(20)
        told = refund_told(desk, order)
        while desk.take(told.url, *notices.message(desk.platform, told)) != 200:
            continue

    arena.race(*[work] * 6, *[tell] * 4, threads=THREADS).expect(won=10)

    row = orders.show(order.order_id)
    assert (row.state, row.refunded_fen, desk.given_back(order)) == (
        "refunded",
        order.amount_fen,
        order.amount_fen,
    )
    assert desk.differs(row) == [] and broken(arena, order.campaign_id or "") == []
