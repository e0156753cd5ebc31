"""HTTP for operators: looking orders up, one order with its money, and giving it back."""

from typing import Any

import msgspec

from chalicelib.core import cursors, doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call, Items, Listing
from chalicelib.members import service as members
from chalicelib.members.schemas import MemberRef
from chalicelib.operators import service as operators
from chalicelib.orders import bills, byhand, service, shipping
from chalicelib.orders.answers import mall_order
from chalicelib.orders.models import Bill, Difference
from chalicelib.orders.schemas import (
    AdminOrder,
    BillAnswer,
    BillDifference,
    BillDifferences,
    FindOrders,
    FoundOrder,
    MoneyRow,
    OrderLine,
    RefundOrder,
    ShipmentAnswer,
    Shipped,
)
from chalicelib.orders.service import Line, Order

api = Api(__name__)
unfinished = byhand.look_at  # importing it tells operators what a person can do about an order's money


@api.get(
    "/v1/admin/orders",
    door=doors.operators("support", "finance"),
    refuses=[NotFound, Invalid, cursors.CursorInvalid],
    csv=True,
)
def find(call: Call, query: FindOrders) -> Items[FoundOrder]:
    """The order of this order_id or mall_order_id, or the orders of a member or of a campaign, newest first.

    All of a member's, also those let go unpaid, by our own id or as the mall names them; of a campaign those that
    money came for.
    """
    asked = {name: value for name in _FOUND_BY if (value := getattr(query, name)) is not None}
    if len(asked) != 1:
        raise Invalid(field="order_id", reason="exactly one of these is given", known=list(_FOUND_BY))
    ((name, value),) = asked.items()
    if name in _NAMED_BY:
        name, value = "member_id", _member_named(query)
    if name in _LISTED_BY:
        return _listed(call, query, name, value)
    order = service.show(value) if name == "order_id" else service.find_for_mall(value)
    if order is None:
        raise NotFound
    return Items(items=[_found(order)], now=call.now)


def _member_named(query: FindOrders) -> str:
    ref = MemberRef(**{name: getattr(query, name) for name in (*_NAMED_BY, "program_id")})
    return members.find(proof=members.proofs_of(ref)[0]).member_id


def _listed(call: Call, query: FindOrders, name: str, value: str) -> Items[FoundOrder]:
    where = f"orders#{name}#{','.join(service.boards_of(value))}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = _LISTED_BY[name](value, limit=query.limit, after=after)
    sealed = cursors.seal(page.next_key, where=where, now=call.now)
    return Items(items=[_found(order) for order in page.rows], next=sealed, now=call.now)


_LISTED_BY = {"member_id": service.of_member, "campaign_id": service.of_campaign}
_NAMED_BY = ("external_id", "unionid", "openid")
_FOUND_BY = ("order_id", "mall_order_id", "member_id", "campaign_id", *_NAMED_BY)


def _found(order: Order) -> FoundOrder:
    told: dict[str, Any] = {name: getattr(order, name) for name in FoundOrder.__struct_fields__}
    counted = {name: told[name] or 0 for name in ("refundable_fen", "refunded_fen")}
    return FoundOrder(**{**told, **counted, "head": bool(order.head)})


@api.get("/v1/admin/orders/{order_id}", door=doors.operators("support", "finance"), refuses=[NotFound])
def show(call: Call, order_id: str) -> AdminOrder:
    """One order with its payments and refunds."""
    return _order(service.show(order_id), call)


@api.post(
    "/v1/admin/orders/{order_id}/refund",
    door=doors.operators("support", "finance"),
    refuses=[NotFound, service.OrderOver, Busy],
)
def refund(call: Call, order_id: str, body: RefundOrder) -> AdminOrder:
    """Give a paid order back; while its group is open its seat is free again."""
    service.refund_for(order_id, reason=body.reason, by=call.operator, now=call.now)
    return _order(service.show(order_id), call)


def _order(order: Order, call: Call) -> AdminOrder:
    shown = mall_order(order, now=call.now)
    payments, refunds = service.money_of(order.order_id)
    money = [
        MoneyRow(
            kind="payment",
            id=row.payment_id,
            state=row.state or "",
            amount_fen=row.amount_fen,
            reason=None,
            at=row.at,
        )
        for row in payments
    ]
    money += [
        MoneyRow(
            kind="refund",
            id=row.refund_id,
            state=row.state or "",
            amount_fen=row.amount_fen,
            reason=row.reason,
            at=row.created_at,
        )
        for row in refunds
    ]
    told = {name: getattr(shown, name) for name in shown.__struct_fields__}
    return AdminOrder(**told, lines=[_line(line) for line in service.lines_of(order)], money=money)


def _line(line: Line) -> OrderLine:
    return OrderLine(**{name: getattr(line, name) for name in OrderLine.__struct_fields__})


_FINANCE = doors.operators("support", "finance")


@api.get("/v1/admin/bills", door=_FINANCE, refuses=[cursors.CursorInvalid], csv=True)
def list_bills(call: Call, query: Listing) -> Items[BillAnswer]:
    """WeChat Pay's bills, newest first, and whether our books agree."""
    after = cursors.unseal(query.after, where="bills", now=call.now)
    page = bills.listed(limit=query.limit, after=after)
    next_page = cursors.seal(page.next_key, where="bills", now=call.now)
    return Items(items=[_bill(row) for row in page.rows], next=next_page, now=call.now)


@api.get("/v1/admin/bills/differences", door=_FINANCE, refuses=[cursors.CursorInvalid], csv=True)
def list_differences(call: Call, query: BillDifferences) -> Items[BillDifference]:
    """The payments and refunds of a day in which WeChat Pay's bill and our books differ, and those that did."""
    where = f"bills#{query.day}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = bills.differences(query.day, limit=query.limit, after=after)
    next_page = cursors.seal(page.next_key, where=where, now=call.now)
    return Items(items=[_difference(row) for row in page.rows], next=next_page, now=call.now)


def _bill(row: Bill) -> BillAnswer:
    names = [name for name in BillAnswer.__struct_fields__ if name != "day"]
    return BillAnswer(day=row.sk, **{name: getattr(row, name) for name in names})


def _difference(row: Difference) -> BillDifference:
    return BillDifference(**{name: getattr(row, name) for name in BillDifference.__struct_fields__})


@api.post(
    "/v1/admin/orders/{order_id}/shipment",
    door=doors.operators("support"),
    refuses=[NotFound, Invalid, shipping.NotShippable, shipping.ShipmentDiffers],
)
def ship(call: Call, order_id: str, body: Shipped) -> ShipmentAnswer:
    """Say how an order was sent that WeChat Pay took the money of: WeChat is told, and pays the shop out."""
    order = service.show(order_id)
    if order.gateway != "wechat":
        raise shipping.NotShippable(state=order.state, gateway=order.gateway)
    audit = operators.recorded(
        by=call.operator,
        action="order.shipped",
        subject=order_id,
        before=None,
        after=msgspec.to_builtins(body),
        member_id=order.member_id,
        now=call.now,
    )
    shipping.note(order, body, also=[audit], now=call.now)
    row = shipping.of(order_id)
    assert row is not None
    return ShipmentAnswer(
        order_id=order_id,
        how=row.how,  # type: ignore[arg-type]
        express_company=row.express_company,
        tracking_no=row.tracking_no,
        contact=row.contact,
        state=row.state or "",
        sent_at=row.sent_at,
        now=call.now,
    )
