"""The gateways that money comes and goes by, behind one interface.

``mall``: the mall takes the money, says so by a signed event, and gives it back when asked by a webhook.
``sandbox``: a page that pays when it is posted to; for the local run and stages that are not prod.
"""

import json
from datetime import UTC, datetime
from typing import Any, Protocol

from chalicelib.core import deliveries
from chalicelib.orders.models import Order, Refund


class NotRefunded(Exception):
    """The gateway did not take the refund; it keeps its number and is tried again."""


class Gateway(Protocol):
    """How to take money for an order and give it back."""

    def begin(self, order_id: str, *, payment_id: str, base_url: str) -> dict[str, Any]:
        """What the phone needs to pay."""
        ...

    def refund(self, order: Order, refund: Refund, *, now: int) -> bool:
        """Give money back: true when it is back, false when it was taken on and will be confirmed."""
        ...


class Sandbox:
    """Pretends: whoever posts to the page has paid, and money is back at once."""

    def begin(self, order_id: str, *, payment_id: str, base_url: str) -> dict[str, Any]:
        """Where to post to."""
        return {
            "gateway": "sandbox",
            "pay_url": f"{base_url}/v1/sandbox/orders/{order_id}/payments/{payment_id}",
        }

    def refund(self, order: Order, refund: Refund, *, now: int) -> bool:
        """Back at once."""
        return True


class Mall:
    """The mall's own cash desk."""

    def begin(self, order_id: str, *, payment_id: str, base_url: str) -> dict[str, Any]:
        """The phone pays in the mall, which reads the order from its own server."""
        return {"gateway": "mall", "order_id": order_id}

    def refund(self, order: Order, refund: Refund, *, now: int) -> bool:
        """Ask the mall, which confirms with an event ``order.refunded`` that names the refund."""
        data = {
            "refund_id": refund.refund_id,
            "order_id": order.order_id,
            "mall_order_id": order.mall_order_id,
            "payment_id": refund.payment_id,
            "amount_fen": refund.amount_fen,
            "reason": refund.reason,
        }
        # The moment it became owed, so that the message is the same however often it is sent.
        at = f"{datetime.fromtimestamp(refund.created_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
        body = json.dumps({"type": "refund.requested", "timestamp": at, "data": data}, ensure_ascii=False)
        try:
            deliveries.post(body, delivery_id=refund.refund_id, now=now)
        except deliveries.NotDelivered as failure:
            raise NotRefunded(str(failure)) from failure
        return False


_GATEWAYS: dict[str, Gateway] = {"sandbox": Sandbox(), "mall": Mall()}


def of(name: str) -> Gateway:
    """The gateway of this name."""
    return _GATEWAYS[name]
