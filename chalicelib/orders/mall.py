"""HTTP for the mall's servers: orders to charge for, events, and the day's books."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from chalicelib.core import doors, table
from chalicelib.core.errors import Busy, Conflict, Invalid, NotFound
from chalicelib.core.http import Api, Call
from chalicelib.members import leaving
from chalicelib.members import service as members
from chalicelib.members.schemas import MemberRef
from chalicelib.operators import service as operators
from chalicelib.orders import giving, news, ordinary, service, shipping
from chalicelib.orders.answers import mall_order, order_answer
from chalicelib.orders.giving import Given
from chalicelib.orders.schemas import (
    Difference,
    EventTaken,
    MallEvent,
    MallLine,
    MallOrder,
    Reconcile,
    Reconciled,
)
from chalicelib.orders.service import Order, Paid

api = Api(__name__)


@api.get("/v1/mall/orders/{order_id}", door=doors.MALL, refuses=[NotFound])
def show(call: Call, order_id: str) -> MallOrder:
    """What to charge, read by the mall's server, which never trusts the phone for a price."""
    return mall_order(service.show(order_id), now=call.now)


class OrderNotKnown(Conflict):
    """Money, or what settles it, is told of an order that the mall has not told or named yet."""

    code = "order_not_known"
    en = "This order is not known yet."
    zh = "尚无此订单。"
    advice = "Send it again, with the same id, after order.created or order.paid of this order was taken."


IS_SOLD_WITH = ("product_id", "quantity", "paid_fen")


@api.post(
    "/v1/mall/events",
    door=doors.MALL,
    refuses=[
        Invalid,
        NotFound,
        OrderNotKnown,
        giving.PaymentNotKnown,
        service.OrderOver,
        service.MallOrderTaken,
        service.OrderNamed,
        members.MemberBlocked,
        members.MemberLeaving,
        Busy,
    ],
)
def take_event(call: Call, body: MallEvent) -> EventTaken:
    """Something happened in the mall; told again, or out of order, it leads to the same."""
    if body.type in _OF_NO_ORDER:
        handled = _OF_NO_ORDER[body.type](body, call.now)
        return EventTaken(id=body.id, handled=handled, order=None, now=call.now)
    order = _order_of(body.order_id, body.mall_order_id) or _ordinary(body, now=call.now)
    if order is None and body.type in _OF_MONEY:
        raise OrderNotKnown(order_id=body.order_id, mall_order_id=body.mall_order_id)
    takes = _TAKES.get(body.type)
    if order is None or takes is None:
        return EventTaken(id=body.id, handled=False, order=None, now=call.now)
    order = takes(order, body, call.now) or service.show(order.order_id)
    return EventTaken(id=body.id, handled=True, order=order_answer(order, now=call.now), now=call.now)


def _linked(event: MallEvent, now: int) -> bool:
    """Whom the mall knows by several names is one member here."""
    members.referred(_member_of(event), now=now)
    return True


def _member_of(event: MallEvent) -> MemberRef:
    if event.member is None:
        raise Invalid(field="member", reason=f"{event.type} needs member")
    return event.member


def _deleted(event: MallEvent, now: int) -> bool:
    """Whom the mall deleted is blocked here at once, by an operator's own means, and erased as soon as nothing of
    theirs is open.
    """
    for proof in members.proofs_of(_member_of(event)):
        with suppress(NotFound):
            member_id = members.find(proof=proof).member_id
            members.block(member_id=member_id, reason=leaving.DELETED, by=operators.MALL, now=now)
            leaving.at_once(member_id, now=now)
            return True
    return False


def _once(take: Callable[[MallEvent, int], bool]) -> Callable[[MallEvent, int], bool]:
    """What an operator may undo is done once for an event: told again late, it does not undo that."""

    def once(event: MallEvent, now: int) -> bool:
        key = f"{event.type}#{event.id}"
        if operators.was_said(by=operators.MALL, idempotency_key=key):
            return True
        if not take(event, now):
            return False
        with suppress(operators.Repeated):
            table.transact(operators.said_once(event.type, by=operators.MALL, idempotency_key=key))
        return True

    return once


_OF_NO_ORDER: dict[str, Callable[[MallEvent, int], bool]] = {
    "member.linked": _linked,
    "member.deleted": _once(_deleted),
    "product.off_shelf": _once(news.taken),
}


def _ordinary(event: MallEvent, *, now: int) -> Order | None:
    """The order that is made of what the mall tells of an ordinary one, if it tells that."""
    told = _told(event, now=now)
    return ordinary.made(told, now=now) if told is not None else None


def _told(event: MallEvent, *, now: int) -> ordinary.Told | None:
    """An ordinary order as the mall tells it.

    Raises:
        Invalid: the lines are not what was sold, or do not add up. MemberBlocked: the shop blocked who bought.
    """
    if event.type not in ("order.created", "order.paid") or event.lines is None:
        return None
    if event.order_id is not None or event.mall_order_id is None:
        return None
    if event.member is None:
        raise Invalid(field="member", reason="an order with lines needs its member")
    if event.type == "order.paid":
        _payment_of(event)
    sold = _sold(event)
    return ordinary.Told(
        mall_order_id=event.mall_order_id,
        member_id=members.referred(event.member, now=now).member_id,
        link=event.link,
        created_at=min(event.created_at or now, now),
        amount_fen=sum(line["paid_fen"] for line in sold),
        lines=sold,
    )


def _sold(event: MallEvent) -> list[dict[str, Any]]:
    lines = event.lines or []
    _no_line_twice("lines", [line.line_id for line in lines])
    for n, line in enumerate(lines):
        for name in IS_SOLD_WITH:
            if getattr(line, name) is None:
                raise Invalid(field=f"lines[{n}].{name}", reason="a line that was sold has it")
    fen = sum(line.paid_fen or 0 for line in lines)
    if event.goods_fen != fen:
        raise Invalid(field="goods_fen", reason="it is the sum of the lines' paid_fen", sum=fen)
    told = [{name: getattr(line, name) for name in line.__struct_fields__} for line in lines]
    return [{name: value for name, value in one.items() if value not in (None, [])} for one in told]


def _no_line_twice(field: str, line_ids: Sequence[str]) -> None:
    for n, line_id in enumerate(line_ids):
        if line_id in line_ids[:n]:
            raise Invalid(field=f"{field}[{n}].line_id", reason="it stands twice")


def _order_of(order_id: str | None, mall_order_id: str | None) -> Order | None:
    if order_id:
        return service.find(order_id)
    return service.find_for_mall(mall_order_id) if mall_order_id else None


def _created(order: Order, event: MallEvent, now: int) -> None:
    if event.mall_order_id:
        service.named(order.order_id, mall_order_id=event.mall_order_id)


def _paid(order: Order, event: MallEvent, now: int) -> None:
    paid = _payment_of(event)
    if order.purpose == ordinary.PURPOSE and event.lines is not None:
        ordinary.retold(order, amount_fen=paid.amount_fen, lines=_sold(event))
    service.pay(order.order_id, paid, now=now)


def _payment_of(event: MallEvent) -> Paid:
    if event.payment_id is None or event.goods_fen is None:
        raise Invalid(field="payment_id", reason="order.paid needs payment_id and goods_fen")
    return Paid(payment_id=event.payment_id, amount_fen=event.goods_fen)


def _refunded(order: Order, event: MallEvent, now: int) -> None:
    """Ours is confirmed; the mall's own is followed: all of a payment, or a part."""
    if event.refund_id and event.refund_id.startswith("rfd_"):
        service.confirm_refund(service.find_refund(order.order_id, event.refund_id), now=now)
        return
    number = event.refund_id or event.id
    lines, amount_fen = _back_by_line(order, event), event.amount_fen
    if lines is not None and amount_fen is None:
        amount_fen = sum(lines.values())
    if lines is not None and amount_fen != sum(lines.values()):
        raise Invalid(
            field="amount_fen", reason="it is the sum of the lines' amount_fen", sum=sum(lines.values())
        )
    given = Given(number=number, amount_fen=amount_fen, payment_id=event.payment_id, lines=lines)
    giving.follow(order, given, now=now)


def _back_by_line(order: Order, event: MallEvent) -> dict[str, int] | None:
    """What of an ordinary order went back, by line, if the mall says so."""
    if order.purpose != ordinary.PURPOSE or event.lines is None:
        return None
    _no_line_twice("lines", [line.line_id for line in event.lines])
    for n, line in enumerate(event.lines):
        if line.amount_fen is None:
            raise Invalid(field=f"lines[{n}].amount_fen", reason="a line that goes back has it")
    return {line.line_id: line.amount_fen or 0 for line in event.lines}


def _cancelled(order: Order, event: MallEvent, now: int) -> Order:
    return service.cancel(order, now=now)


def _shipped(order: Order, event: MallEvent, now: int) -> None:
    if event.shipped is None:
        service.shipped(order.order_id, now=now)
    else:
        shipping.note(order, event.shipped, now=now)


def _aftersale(order: Order, event: MallEvent, *, is_open: bool) -> None:
    service.aftersale(order.order_id, is_open=is_open, at=event.at, aftersale_id=event.aftersale_id)


_OF_MONEY = ("order.paid", "order.refunded", "order.completed", "aftersale.opened", "aftersale.closed")
# Each answers with the order as it is then, if it has it.
_TAKES: dict[str, Callable[[Order, MallEvent, int], Order | None]] = {
    "order.created": _created,
    "order.paid": _paid,
    "order.refunded": _refunded,
    "order.cancelled": _cancelled,
    "order.completed": lambda order, event, now: service.complete(order.order_id, now=now),
    "order.shipped": _shipped,
    "aftersale.opened": lambda order, event, now: _aftersale(order, event, is_open=True),
    "aftersale.closed": lambda order, event, now: _aftersale(order, event, is_open=False),
}


@api.post("/v1/mall/reconciliations", door=doors.MALL, refuses=[Invalid])
def reconcile(call: Call, body: Reconcile) -> Reconciled:
    """Compare a day of the mall's books with ours: every difference is listed, none is repaired.

    Of more than 200 orders send slices, sorted by order_id: each says ``after`` which it begins, ``until`` which
    it goes; one without them is the whole day. What came here on that day and is not in it is ``missing_there``.
    """
    known = [(line, _order_of(line.order_id, line.mall_order_id)) for line in body.orders]
    found = [difference for line, order in known for difference in _differences(line, order)]
    found += _missing_there(body, {order.order_id for _, order in known if order is not None})
    return Reconciled(day=body.day, compared=len(body.orders), differences=found, now=call.now)


def _missing_there(body: Reconcile, known: set[str]) -> list[Difference]:
    try:
        paid = service.paid_on(body.day)
    except ValueError as no_day:
        raise Invalid(field="day", reason="there is no such day") from no_day
    return [
        Difference(
            order_id=order.order_id,
            mall_order_id=order.mall_order_id,
            what="missing_there",
            theirs=None,
            ours=service.came_fen(order),
        )
        for order in paid
        if order.gateway == "mall" and order.order_id not in known and _within(body, order.order_id)
    ]


def _within(body: Reconcile, order_id: str) -> bool:
    return (body.after is None or order_id > body.after) and (body.until is None or order_id <= body.until)


def _differences(line: MallLine, order: Order | None) -> list[Difference]:
    if order is None:
        return [_difference(line, "unknown_here", line.paid_fen, None)]
    payments, refunds = service.money_of(order.order_id)
    paid_fen = sum(payment.amount_fen for payment in payments)
    back_fen = sum(refund.amount_fen for refund in refunds if refund.state == "done")
    pairs: list[tuple[str, int | str | None, int | str | None]] = [
        ("paid_fen", line.paid_fen, paid_fen),
        ("refunded_fen", line.refunded_fen, back_fen),
        ("state", line.state or order.state, order.state),
    ]
    return [_difference(line, what, theirs, ours) for what, theirs, ours in pairs if theirs != ours]


def _difference(line: MallLine, what: str, theirs: int | str | None, ours: int | str | None) -> Difference:
    return Difference(
        order_id=line.order_id, mall_order_id=line.mall_order_id, what=what, theirs=theirs, ours=ours
    )
