"""The gateways that money comes and goes by, behind one interface.

``mall``: the mall takes the money, says so by a signed event, and gives it back when asked by a webhook.
``sandbox``: a page that pays when it is posted to; for the local run and stages that are not prod.
``wechat``: WeChat Pay, in `wechatpay`.
"""

import json
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

import msgspec

from chalicelib.core import deliveries, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import AppError, Conflict, NotFound
from chalicelib.operators.stuck import ByHand
from chalicelib.orders.models import Order, Refund


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as its gateway reported it; ``by_hand``: of a wrong amount, and a person accepted it as it is."""

    payment_id: str
    amount_fen: int
    by_hand: ByHand | None = None


class Phone(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody pays: in which program, and where we are reached from there."""

    program_id: str
    base_url: str


class NotRefunded(Exception):
    """The gateway did not take the refund; it keeps its number and is tried again."""


class Ended(Exception):
    """Nobody can pay this any more: it was paid, or closed, or let go meanwhile."""


class PaymentUnavailable(AppError):
    """The gateway gives no answer now; what was asked may have happened, and asked again it happens once."""

    status = 503
    code = "payment_unavailable"
    en = "Payment is not available right now. Please try again."
    zh = "支付服务暂时不可用，请稍后重试。"
    advice = "Try the same call again after Retry-After."
    retry_after_s = 2


class PaymentRefused(AppError):
    """The gateway does not take this payment, whoever asks: its settings are wrong; the log says how."""

    status = 500
    code = "payment_refused"
    en = "This cannot be paid right now. Please contact the shop."
    zh = "暂时无法支付，请联系商家。"
    advice = "Show the message and how to reach the service desk."


class BegunElsewhere(Conflict):
    """The order is being paid in another program of the brand, where alone it can be; ``details.program_id``."""

    code = "payment_begun_elsewhere"
    en = "This order is being paid in another mini-program."
    zh = "该订单已在其他小程序中发起支付。"
    advice = "Let the person pay in `details.program_id`, or cancel the order and begin anew."


class PayerUnknown(Conflict):
    """The member never signed in to this program by WeChat, so WeChat cannot be told who pays."""

    code = "payer_unknown"
    en = "Please sign in with WeChat to pay."
    zh = "请先使用微信登录后再支付。"
    advice = "Call wx.login and POST /v1/sessions again, then begin the payment."


class Gateway(Protocol):
    """How to take money for an order and give it back.

    ``begins``: payments are begun here, each under the order's one number, and so must be closed here.
    """

    begins: ClassVar[bool]

    def begin(self, order: Order, *, payment_id: str, phone: Phone, now: int) -> dict[str, Any]:
        """What the phone needs to pay; begun again, for the same payment.

        Raises:
            Ended: it can be paid no more. PaymentUnavailable, PaymentRefused, BegunElsewhere, PayerUnknown.
        """
        ...

    def look_up(self, order: Order, *, now: int) -> Paid | None:
        """The payment that the gateway has for what was begun; None: it has none, or tells of it by itself."""
        ...

    def close(self, order: Order, *, now: int) -> Paid | None:
        """What was begun can never be paid any more: None; or the payment, when that came before.

        Done again it answers the same. Whatever it raises, the order keeps what it holds.
        """
        ...

    def refund(self, order: Order, refund: Refund, *, now: int) -> bool:
        """Give money back: true when it is back, false when it was taken on and will be confirmed."""
        ...

    def confirms_within_s(self, refund: Refund, *, now: int) -> int:
        """How long to wait for that before it is asked again."""
        ...


class Sandbox:
    """Pretends: whoever posts to the page has paid, and money is back at once."""

    begins: ClassVar[bool] = True

    def begin(self, order: Order, *, payment_id: str, phone: Phone, now: int) -> dict[str, Any]:
        """Where to post to."""
        path = f"/v1/sandbox/orders/{order.order_id}/payments/{payment_id}"
        return {"gateway": "sandbox", "pay_url": f"{phone.base_url}{path}"}

    def look_up(self, order: Order, *, now: int) -> Paid | None:
        """None: the page tells of a payment as it is made."""
        return None

    def close(self, order: Order, *, now: int) -> Paid | None:
        """The page takes no money under this number any more."""
        closed = Order.prepay_closed.set(True)
        table.apply(table.update(Order, Order.key(order.order_id), closed, refuse=NotFound))
        return None

    def refund(self, order: Order, refund: Refund, *, now: int) -> bool:
        """Back at once."""
        return True

    def confirms_within_s(self, refund: Refund, *, now: int) -> int:
        """It never has to be asked again."""
        return DAY


class Mall:
    """The mall's own cash desk: it begins and ends payments itself, and tells of them by events."""

    begins: ClassVar[bool] = False

    def begin(self, order: Order, *, payment_id: str, phone: Phone, now: int) -> dict[str, Any]:
        """The phone pays in the mall, which reads the order from its own server."""
        return {"gateway": "mall", "order_id": order.order_id}

    def look_up(self, order: Order, *, now: int) -> Paid | None:
        """None: the mall says by an event what was paid, until it is answered."""
        return None

    def close(self, order: Order, *, now: int) -> Paid | None:
        """Nothing was begun here; what is paid in the mall after all comes late, and is placed or given back."""
        return None

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

    def confirms_within_s(self, refund: Refund, *, now: int) -> int:
        """The mall has a day."""
        return DAY


_GATEWAYS: dict[str, Gateway] = {"sandbox": Sandbox(), "mall": Mall()}


def add(name: str, gateway: Gateway) -> None:
    """One more, which a file of its own knows."""
    _GATEWAYS[name] = gateway


def of(name: str) -> Gateway:
    """The gateway of this name."""
    return _GATEWAYS[name]
