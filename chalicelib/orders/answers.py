"""What people and the mall see of an order."""

from chalicelib.members import service as members
from chalicelib.orders.schemas import MallOrder, OrderAnswer
from chalicelib.orders.service import Order


def order_answer(order: Order, *, now: int) -> OrderAnswer:
    """An order as its member sees it."""
    return OrderAnswer(
        order_id=order.order_id,
        state=order.state or "",
        title=order.title,
        sku_id=order.sku_id,
        quantity=order.quantity,
        amount_fen=order.amount_fen,
        refunded_fen=order.refunded_fen or 0,
        campaign_id=order.campaign_id,
        group_id=order.group_id,
        gateway=order.gateway,
        held_until=order.held_until if order.state == "pending" else None,
        paid_at=order.paid_at,
        now=now,
    )


def mall_order(order: Order, *, now: int) -> MallOrder:
    """An order as the mall sees it."""
    answer = order_answer(order, now=now)
    shown = {name: getattr(answer, name) for name in answer.__struct_fields__}
    return MallOrder(
        **shown,
        member_id=order.member_id,
        mall_order_id=order.mall_order_id,
        external_ids=members.external_ids(order.member_id),
        payment_id=order.payment_id,
        refundable_fen=order.refundable_fen or 0,
        created_at=order.created_at,
    )
