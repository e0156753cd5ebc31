"""HTTP for the mall's servers: orders to charge for, events, and the day's books."""

from collections.abc import Callable

from chalicelib.core import doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call
from chalicelib.orders import service
from chalicelib.orders.answers import mall_order, order_answer
from chalicelib.orders.schemas import (
    Difference,
    EventTaken,
    MallEvent,
    MallLine,
    MallOrder,
    Reconcile,
    Reconciled,
)
from chalicelib.orders.service import Back, Order, Paid

api = Api(__name__)


@api.get("/v1/mall/orders/{order_id}", door=doors.MALL, refuses=[NotFound])
def show(call: Call, order_id: str) -> MallOrder:
    """What to charge, read by the mall's server, which never trusts the phone for a price."""
    return mall_order(service.show(order_id), now=call.now)


@api.post(
    "/v1/mall/events", door=doors.MALL, refuses=[Invalid, service.OrderOver, service.MallOrderTaken, Busy]
)
def take_event(call: Call, body: MallEvent) -> EventTaken:
    """Something happened in the mall; told again, or out of order, it leads to the same."""
    order = _order_of(body.order_id, body.mall_order_id)
    takes = _TAKES.get(body.type)
    if order is None or takes is None:
        return EventTaken(id=body.id, handled=False, order=None, now=call.now)
    takes(order, body, call.now)
    order = service.show(order.order_id)
    return EventTaken(id=body.id, handled=True, order=order_answer(order, now=call.now), now=call.now)


def _order_of(order_id: str | None, mall_order_id: str | None) -> Order | None:
    if order_id:
        return service.find(order_id)
    return service.find_for_mall(mall_order_id) if mall_order_id else None


def _created(order: Order, event: MallEvent, now: int) -> None:
    if event.mall_order_id:
        service.named(order.order_id, mall_order_id=event.mall_order_id)


def _paid(order: Order, event: MallEvent, now: int) -> None:
    if event.payment_id is None or event.goods_fen is None:
        raise Invalid(field="payment_id", reason="order.paid needs payment_id and goods_fen")
    service.pay(order.order_id, Paid(payment_id=event.payment_id, amount_fen=event.goods_fen), now=now)


def _refunded(order: Order, event: MallEvent, now: int) -> None:
    """Ours is confirmed; the mall's own is followed, in full or in part."""
    if event.refund_id and event.refund_id.startswith("rfd_"):
        service.confirm_refund(service.find_refund(order.order_id, event.refund_id), now=now)
        return
    cause = f"mall#{event.refund_id or event.id}"
    if order.state == "refunded" or service.refund_known(order.order_id, cause):
        return  # told again: half of an order must not take the other half with it
    if event.amount_fen is None or event.amount_fen == order.refundable_fen:
        service.refund(order.order_id, back=Back(reason="mall", done=True), now=now)
        return
    service.told_partly_refunded(order, amount_fen=event.amount_fen, cause=cause, now=now)


def _cancelled(order: Order, event: MallEvent, now: int) -> None:
    service.cancel(order, now=now)


_TAKES: dict[str, Callable[[Order, MallEvent, int], None]] = {
    "order.created": _created,
    "order.paid": _paid,
    "order.refunded": _refunded,
    "order.cancelled": _cancelled,
    "order.completed": lambda order, event, now: service.complete(order.order_id, now=now),
    "order.shipped": lambda order, event, now: service.shipped(order.order_id, now=now),
    "aftersale.opened": lambda order, event, now: service.aftersale(
        order.order_id, is_open=True, at=event.at
    ),
    "aftersale.closed": lambda order, event, now: service.aftersale(
        order.order_id, is_open=False, at=event.at
    ),
}


@api.post("/v1/mall/reconciliations", door=doors.MALL, refuses=[Invalid])
def reconcile(call: Call, body: Reconcile) -> Reconciled:
    """Compare a day of the mall's books with ours: every difference is listed, none is repaired."""
    found = [difference for line in body.orders for difference in _differences(line)]
    return Reconciled(day=body.day, compared=len(body.orders), differences=found, now=call.now)


def _differences(line: MallLine) -> list[Difference]:
    order = _order_of(line.order_id, line.mall_order_id)
    if order is None:
        return [_difference(line, "unknown_here", line.paid_fen, None)]
    payments, refunds = service.money_of(order.order_id)
    paid_fen = sum(payment.amount_fen for payment in payments)
    back_fen = sum(refund.amount_fen for refund in refunds if refund.state == "done")
    pairs = [("paid_fen", line.paid_fen, paid_fen), ("refunded_fen", line.refunded_fen, back_fen)]
    return [_difference(line, what, theirs, ours) for what, theirs, ours in pairs if theirs != ours]


def _difference(line: MallLine, what: str, theirs: int | None, ours: int | None) -> Difference:
    return Difference(
        order_id=line.order_id, mall_order_id=line.mall_order_id, what=what, theirs=theirs, ours=ours
    )
