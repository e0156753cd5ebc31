"""What the mall is told of groups: it ships a group's orders when the group is filled, and not before.

Which orders those are it knows by itself: every answer about an order names the group that its seat is in.
"""

from collections.abc import Sequence
from typing import Any

from chalicelib.core import deliveries, facts
from chalicelib.core.table import Write
from chalicelib.groupbuys import reading
from chalicelib.groupbuys.models import Group
from chalicelib.orders.service import Order


@facts.reaction("order.paid", name="groupbuys.tell_mall_opened")
def tell_opened(order: Order, now: int) -> Sequence[Write]:
    """The head has paid, and others can join; told by the head's order, which is owed, as the group is not."""
    if order.purpose != "group" or not order.head:
        return []
    group = reading.find(order.group_id)
    return _told("group.opened", group, {"expires_at": group.expires_at}, now=now)


@facts.reaction("group.filled", name="groupbuys.tell_mall_filled")
def tell_filled(group: Group, now: int) -> Sequence[Write]:
    """The group's orders can be shipped; ``members`` is how many people really paid."""
    return _told("group.filled", group, {"members": group.real_members, "ended_at": group.ended_at}, now=now)


@facts.reaction("group.expired", name="groupbuys.tell_mall_expired")
def tell_expired(group: Group, now: int) -> Sequence[Write]:
    """The group was not filled: its orders are given back, each by a ``refund.requested`` of its own."""
    return _told("group.expired", group, {"ended_at": group.ended_at}, now=now)


def _told(event_type: str, group: Group, more: dict[str, Any], *, now: int) -> Sequence[Write]:
    told = {"group_id": group.group_id, "campaign_id": group.campaign_id, "size": group.size, **more}
    return deliveries.owe(event_type, cause=[group.group_id], data=told, now=now)
