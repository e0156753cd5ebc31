"""WeChat Pay as a gateway: an order is paid under its own id, given back under the refund's, and both never change.

WeChat's ``out_trade_no`` is the order's id and its ``out_refund_no`` the refund's, both of 30 characters (32 and 64
may be); so whatever WeChat tells names the order, and a repeat is a repeat there, too. A payment's own id is
WeChat's ``transaction_id``. Begun again, WeChat is asked again with the same parameters and answers with what can
be paid (prepay_ids live two hours; docs/merchant/products/jsapi-payment/apilist.html of pay.weixin.qq.com).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from chalicelib.core import config, table
from chalicelib.core.clock import HOUR, MINUTE
from chalicelib.core.telemetry import logger
from chalicelib.members import service as members
from chalicelib.orders import gateways
from chalicelib.orders.gateways import Ended, NotRefunded, Paid, PaymentRefused, PaymentUnavailable, Phone
from chalicelib.orders.models import Order, Payment, Refund
from chalicelib.wechat import pay
from chalicelib.wechat.pay import PayRefused, PayUnknown

TRANSACTIONS, REFUNDS = "/v3/pay/transactions", "/v3/refund/domestic/refunds"
DESCRIPTION_CHARACTERS = 127
CLOCKS_DIFFER_S = 5
"""By how much WeChat's clock may go before ours."""
_ENDED = ("ORDERPAID", "ORDER_PAID", "ORDER_CLOSED")
_NEVER_TO_BE_PAID = ("CLOSED", "REVOKED", "REFUND")
_WORDS = {
    "group_expired": "拼团未成功，款项退回",
    "ladder": "拼团差价退回",
    "late_payment": "订单已失效，款项退回",
    "paid_twice": "重复支付，款项退回",
}


class WeChatPay:
    """JSAPI orders of the merchant WECHATPAY_MCHID."""

    begins: ClassVar[bool] = True

    def begin(self, order: Order, *, payment_id: str, phone: Phone, now: int) -> dict[str, Any]:
        """What wx.requestPayment takes.

        An order that was let go while WeChat was asked is closed there again.
        """
        if order.prepay_program not in (None, phone.program_id):
            raise gateways.BegunElsewhere(program_id=order.prepay_program)
        if order.held_until is not None and now + CLOCKS_DIFFER_S >= order.held_until:
            # WeChat takes no order whose time is over, as this one's is before the job has let it go.
            raise Ended
        appid = members.program(phone.program_id, now=now).appid
        prepay_id = _prepay(_asked(order, appid=appid, phone=phone), now=now)
        kept = table.get(Order, Order.key(order.order_id))
        if kept is None or kept.state != "pending":
            self.close(order, now=now)
            raise Ended
        return {"gateway": "wechat", **pay.request_payment(prepay_id, appid=appid, now=now)}

    def look_up(self, order: Order, *, now: int) -> Paid | None:
        """What WeChat has for the order."""
        found = _query(order.order_id, now=now)
        return paid_of(found) if found.get("trade_state") == "SUCCESS" else None

    def close(self, order: Order, *, now: int) -> Paid | None:
        """Whatever refuses to be closed is asked what it is: paid, or closed before.

        Raises:
            PaymentUnavailable: nobody knows, or the person is entering the password; it is asked again later.
        """
        path = f"{TRANSACTIONS}/out-trade-no/{order.order_id}/close"
        try:
            pay.call("POST", path, body={"mchid": pay.mchid()}, now=now)
        except PayUnknown as unknown:
            raise PaymentUnavailable from unknown
        except PayRefused as refused:
            found = _query(order.order_id, now=now)
            if found.get("trade_state") == "SUCCESS":
                return paid_of(found)
            if found and found.get("trade_state") not in _NEVER_TO_BE_PAID:
                raise PaymentUnavailable(code=refused.code) from refused
        return None

    def refund(self, order: Order, refund: Refund, *, now: int) -> bool:
        """Asked again under its number it is the same refund; one that was taken on is asked how it stands.

        Raises:
            NotRefunded: WeChat refused it, such as without money (NOT_ENOUGH); did not say; or could not give it
            back (ABNORMAL, CLOSED).
        """
        try:
            found = _taken_on(refund, now=now) if refund.state == "sent" else None
            status = (found or pay.call("POST", REFUNDS, body=_given_back(refund), now=now)).get("status")
        except (PayRefused, PayUnknown) as failure:
            raise NotRefunded(str(failure)) from failure
        if status in ("ABNORMAL", "CLOSED"):
            raise NotRefunded(not_given(status))
        return status == "SUCCESS"

    def confirms_within_s(self, refund: Refund, *, now: int) -> int:
        """A minute at first, then as long as it has taken so far, an hour at most (doc/v3/merchant/4014959631)."""
        return min(max(now - refund.created_at, MINUTE), HOUR)


def paid_of(found: Mapping[str, Any]) -> Paid:
    """The payment that an answer or a notification of SUCCESS tells of."""
    return Paid(payment_id=found["transaction_id"], amount_fen=found["amount"]["total"])


def came(order: Order, *, now: int) -> Paid | None:
    """The payment that WeChat has for an order, whatever went back of it since.

    Raises:
        PaymentUnavailable: it does not say.
    """
    found = _query(order.order_id, now=now)
    return paid_of(found) if found.get("trade_state") in ("SUCCESS", "REFUND") else None


def has_taken(order: Order, *, now: int) -> bool:
    """Whether WeChat has the payment that the order took, whatever went back of it since.

    Raises:
        PaymentUnavailable: it does not say.
    """
    return bool(_query(order.order_id, now=now).get("transaction_id") == order.payment_id)


def has_given(refund: Refund, *, now: int) -> bool:
    """Whether WeChat has a refund that was confirmed here, and says that it is back.

    Raises:
        PayRefused, PayUnknown: it does not say.
    """
    found = _taken_on(refund, now=now)
    return found is not None and found.get("status") == "SUCCESS"


def not_given(status: str) -> str:
    """Why a refund waits for a person."""
    if status == "ABNORMAL":
        return (
            "ABNORMAL: the payer's account cannot take it; choose another in WeChat Pay's merchant platform"
        )
    return "CLOSED: WeChat Pay gave the refund up; give the money back in its merchant platform"


def _asked(order: Order, *, appid: str, phone: Phone) -> dict[str, Any]:
    openid = members.openid(order.member_id, program_id=phone.program_id)
    if openid is None:
        raise gateways.PayerUnknown
    return {
        "appid": appid,
        "mchid": pay.mchid(),
        "description": order.title[:DESCRIPTION_CHARACTERS],
        "out_trade_no": order.order_id,
        **({"time_expire": _rfc3339(order.held_until)} if order.held_until else {}),
        "notify_url": f"{phone.base_url}/v1/wechat/{phone.program_id}/payments",
        "amount": {"total": order.amount_fen, "currency": "CNY"},
        "payer": {"openid": openid},
    }


def _prepay(asked: Mapping[str, Any], *, now: int) -> str:
    try:
        return str(pay.call("POST", f"{TRANSACTIONS}/jsapi", body=asked, now=now)["prepay_id"])
    except PayUnknown as unknown:
        raise PaymentUnavailable from unknown
    except PayRefused as refused:
        if refused.code in _ENDED:
            raise Ended from refused
        logger.error("wechat pay refused an order", code=refused.code, words=refused.message)
        raise PaymentRefused from refused


def _query(order_id: str, *, now: int) -> dict[str, Any]:
    """What WeChat has under this number; nothing, when it never heard of it."""
    path = f"{TRANSACTIONS}/out-trade-no/{order_id}"
    try:
        return pay.call("GET", path, query={"mchid": pay.mchid()}, now=now)
    except PayUnknown as unknown:
        raise PaymentUnavailable from unknown
    except PayRefused as refused:
        if refused.status == 404:
            return {}
        raise PaymentUnavailable(code=refused.code) from refused


def _given_back(refund: Refund) -> dict[str, Any]:
    payment = table.get(Payment, Payment.key(refund.order_id, refund.payment_id))
    if payment is None:
        raise NotRefunded(f"there is no payment {refund.payment_id}")
    order = table.get(Order, Order.key(refund.order_id))
    base_url, program = config.settings().base_url, order.prepay_program if order is not None else None
    told = {"notify_url": f"{base_url}/v1/wechat/{program}/refunds"} if base_url and program else {}
    return {
        "transaction_id": refund.payment_id,
        "out_refund_no": refund.refund_id,
        "reason": _WORDS.get(refund.reason, "商家退款"),
        **told,
        "amount": {"refund": refund.amount_fen, "total": payment.amount_fen, "currency": "CNY"},
    }


def _taken_on(refund: Refund, *, now: int) -> dict[str, Any] | None:
    """The refund as WeChat has it; None: it never took it on."""
    try:
        return pay.call("GET", f"{REFUNDS}/{refund.refund_id}", now=now)
    except PayRefused as refused:
        if refused.status == 404:
            return None
        raise


def _rfc3339(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S+00:00}"


gateways.add("wechat", WeChatPay())
