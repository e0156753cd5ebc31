"""HTTP for operators: one order with its money, and giving it back."""

from chalicelib.core import doors
from chalicelib.core.errors import Busy, NotFound
from chalicelib.core.http import Api, Call
from chalicelib.orders import service
from chalicelib.orders.answers import mall_order
from chalicelib.orders.schemas import AdminOrder, MoneyRow, RefundOrder
from chalicelib.orders.service import Order

api = Api(__name__)


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
    return AdminOrder(**{name: getattr(shown, name) for name in shown.__struct_fields__}, money=money)
