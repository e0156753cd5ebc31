"""What the mall is told of groups: opened, filled (only then it ships), expired; each once, until confirmed."""

from collections.abc import Sequence
from typing import Any

from chalicelib.core import config, deliveries, facts
from chalicelib.core.table import Write
from chalicelib.groupbuys import service
from chalicelib.groupbuys.models import Group, Seat
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order


@facts.reaction("group.opened", name="groupbuys.tell_mall")
def tell_opened(group: Group, now: int) -> Sequence[Write]:
    """The head has paid: others may join."""
    return _told("group.opened", group, now=now)


@facts.reaction("group.filled", name="groupbuys.tell_mall")
def tell_filled(group: Group, now: int) -> Sequence[Write]:
    """The orders in it may be shipped, but for those that are given back."""
    return _told("group.filled", group, now=now)


@facts.reaction("group.expired", name="groupbuys.tell_mall")
def tell_expired(group: Group, now: int) -> Sequence[Write]:
    """The group is over; each payer's refund is asked for by a message of its own."""
    return _told("group.expired", group, now=now)


def _told(event_type: str, group: Group, *, now: int) -> list[Write]:
    if not config.settings().mall_webhook_url:
        return []
    seats = [seat for seat in service.with_seats(group.group_id)[1] if seat.state != "held"]
    known = {order.order_id: order for order in orders.those([seat.order_id for seat in seats])}
    data = {
        "group_id": group.group_id,
        "campaign_id": group.campaign_id,
        "state": group.state,
        "size": group.size,
        "real_members": group.real_members,
        "expires_at": group.expires_at,
        "ended_at": group.ended_at,
        "orders": [_order(seat, known[seat.order_id]) for seat in seats],
    }
    return deliveries.owe(event_type, cause=[group.group_id], data=data, now=now)


def _order(seat: Seat, order: Order) -> dict[str, Any]:
    return {
        "order_id": seat.order_id,
        "mall_order_id": order.mall_order_id,
        "sku_id": seat.sku_id,
        "quantity": seat.quantity,
        "state": order.state,
    }
