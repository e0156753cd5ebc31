"""Orders of the simulated WeChat Pay, and the phone that pays them.

``POST /v3/pay/transactions/jsapi`` and its query and close (pay.weixin.qq.com, docs/merchant/products/
jsapi-payment/apilist.html, doc/v3/merchant/4013070356, docs/merchant/products/close-order/introduction.html):

    an order asked for again with the same parameters gives its prepay_id again, a new one after two hours;
    with others it is OUT_TRADE_NO_USED; paid, ORDERPAID; closed, ORDER_CLOSED
    time_expire is a minute from now at least, and after it nobody can pay
    closing answers 204, also for a number that is not known (developers.weixin.qq.com/community/pay/doc/
    000ac25b728328e60221a8d536b000); a paid one ORDERPAID, a closed one ORDER_CLOSED

``POST /_simulator/pay`` takes what wx.requestPayment takes, and pays as the phone would: it believes nothing that
the merchant did not sign. Chosen here: that an order past its time_expire is refused with TRADE_ERROR.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chalicelib.wechat import paysigning
from infra.local.wechat import login, notices
from infra.local.wechat.frame import Answer, Platform, Request, endpoint, said
from infra.local.wechat.merchant import MCHID, Refused, keys, pay_endpoint, time_of

PREPAY_LIVES_S = 7200
EXPIRES_AT_LEAST_IN_S = 60
LIVES_S = 7 * 86400
NUMBER = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
DESCRIPTIONS = {
    "SUCCESS": "支付成功",
    "REFUND": "转入退款",
    "NOTPAY": "订单未支付",
    "CLOSED": "订单已关闭",
}


@dataclass(kw_only=True)
class Trade:
    """One order: what the merchant asked for, and what became of it."""

    asked: Mapping[str, Any]
    expires_at: float
    state: str = "NOTPAY"
    transaction_id: str = ""
    paid_at: float = 0.0
    prepays: dict[str, float] = field(default_factory=dict)

    @property
    def number(self) -> str:
        """The merchant's."""
        return str(self.asked["out_trade_no"])

    @property
    def total(self) -> int:
        """In fen."""
        return int(self.asked["amount"]["total"])


class Trades:
    """All orders by the merchant's number; ``funds_fen`` is what refunds can be taken from, besides payments."""

    def __init__(self) -> None:
        self.by_number: dict[str, Trade] = {}
        self.funds_fen = 0

    def paid(self, *, number: str = "", transaction_id: str = "") -> Trade | None:
        """The order that was paid under either number."""
        for trade in self.by_number.values():
            if trade.paid_at and (trade.number == number or trade.transaction_id == (transaction_id or None)):
                return trade
        return None


@pay_endpoint("POST", "/v3/pay/transactions/jsapi")
def order(platform: Platform, request: Request) -> Mapping[str, Any]:
    """The prepay_id of an order that is new, or asked for again as it was."""
    asked, now = request.json, platform.clock()
    _check(platform, asked)
    with platform.lock:
        trades = platform.of(Trades).by_number
        trade = trades.get(asked["out_trade_no"])
        if trade is None:
            trade = trades[asked["out_trade_no"]] = Trade(asked=asked, expires_at=_expiry(asked, now=now))
            platform.tell("an order was made", number=trade.number, total=trade.total)
        return {"prepay_id": _prepay(trade, asked, now=now)}


@pay_endpoint("GET", "/v3/pay/transactions/out-trade-no/{number}")
def query(platform: Platform, request: Request, number: str) -> Mapping[str, Any]:
    """An order by the merchant's number."""
    _mine(request.query.get("mchid"))
    with platform.lock:
        trade = platform.of(Trades).by_number.get(number)
        if trade is None:
            raise Refused("ORDER_NOT_EXIST", "订单不存在")
        return transaction(trade)


@pay_endpoint("GET", "/v3/pay/transactions/id/{transaction_id}")
def query_by_id(platform: Platform, request: Request, transaction_id: str) -> Mapping[str, Any]:
    """A paid order by WeChat's number."""
    _mine(request.query.get("mchid"))
    with platform.lock:
        trade = platform.of(Trades).paid(transaction_id=transaction_id)
        if trade is None:
            raise Refused("ORDER_NOT_EXIST", "订单不存在")
        return transaction(trade)


@pay_endpoint("POST", "/v3/pay/transactions/out-trade-no/{number}/close")
def close(platform: Platform, request: Request, number: str) -> None:
    """Nobody can pay it any more."""
    _mine(request.json.get("mchid"))
    with platform.lock:
        trade = platform.of(Trades).by_number.get(number)
        if trade is None:
            return
        if trade.paid_at:
            raise Refused("ORDERPAID", "该订单已支付")
        if trade.state == "CLOSED":
            raise Refused("ORDER_CLOSED", "该订单已关闭")
        trade.state = "CLOSED"


@endpoint("POST", "/_simulator/pay")
def pay(platform: Platform, request: Request) -> Answer:
    """Pay with what wx.requestPayment was given, and tell the merchant."""
    given, now = {name: str(value) for name, value in request.json.items()}, platform.clock()
    with platform.lock:
        trade = _trade_of(platform, given)
        why_not = "an unknown prepay_id" if trade is None else _unpayable(trade, given, now=now)
        if trade is None or why_not:
            return said({"errMsg": f"requestPayment:fail {why_not}"}, status=400)
        trade.state, trade.paid_at = "SUCCESS", now
        trade.transaction_id = f"4200{int(now)}{secrets.randbelow(10**14):014d}"
        platform.tell("an order was paid", number=trade.number, total=trade.total)
        told = success(trade)
    notices.tell(platform, told)
    return said({"errMsg": "requestPayment:ok"})


def success(trade: Trade) -> notices.Told:
    """What the merchant is told of a paid order."""
    return notices.Told(
        what="payments",
        url=trade.asked["notify_url"],
        event_type="TRANSACTION.SUCCESS",
        original_type="transaction",
        resource=transaction(trade),
        summary="支付成功",
    )


def transaction(trade: Trade) -> dict[str, Any]:
    """An order as queries and notifications show it."""
    asked = trade.asked
    shown = {
        "appid": asked["appid"],
        "mchid": MCHID,
        "out_trade_no": trade.number,
        "trade_state": trade.state,
        "trade_state_desc": DESCRIPTIONS[trade.state],
        "amount": {"total": trade.total, "currency": "CNY"},
    }
    if not trade.paid_at:
        return shown
    return shown | {
        "transaction_id": trade.transaction_id,
        "trade_type": "JSAPI",
        "bank_type": "OTHERS",
        "attach": asked.get("attach", ""),
        "success_time": time_of(trade.paid_at),
        "payer": {"openid": asked["payer"]["openid"]},
        "amount": shown["amount"] | {"payer_total": trade.total, "payer_currency": "CNY"},
    }


def _mine(mchid: Any) -> None:
    if mchid != MCHID:
        raise Refused("PARAM_ERROR", "商户号有误")


def _check(platform: Platform, asked: Mapping[str, Any]) -> None:
    """Refuse what the documentation calls wrong."""
    _mine(asked.get("mchid"))
    if asked.get("appid") not in platform.programs:
        raise Refused("APPID_MCHID_NOT_MATCH", "appid和mchid不匹配")
    amount, payer = asked.get("amount") or {}, asked.get("payer") or {}
    notify_url = str(asked.get("notify_url", ""))
    with platform.lock:
        person = platform.of(login.Logins).people.get(payer.get("openid", ""))
    right = {
        "out_trade_no": NUMBER.fullmatch(str(asked.get("out_trade_no", ""))),
        "description": 1 <= len(str(asked.get("description", ""))) <= 127,
        "notify_url": re.fullmatch(r"https?://[^?#]{1,240}", notify_url),
        "amount.total": type(amount.get("total")) is int and amount["total"] >= 1,
        "amount.currency": amount.get("currency", "CNY") == "CNY",
        "payer.openid": person is not None and person[0] == asked["appid"],
    }
    for name, fits in right.items():
        if not fits:
            raise Refused("PARAM_ERROR", f"参数{name}有误")


def _expiry(asked: Mapping[str, Any], *, now: float) -> float:
    if "time_expire" not in asked:
        return now + LIVES_S
    try:
        wanted = datetime.fromisoformat(asked["time_expire"])
    except (TypeError, ValueError):
        raise Refused("PARAM_ERROR", "time_expire格式有误") from None
    if wanted.tzinfo is None:
        raise Refused("PARAM_ERROR", "time_expire格式有误")
    return max(wanted.timestamp(), now + EXPIRES_AT_LEAST_IN_S)


def _prepay(trade: Trade, asked: Mapping[str, Any], *, now: float) -> str:
    if trade.paid_at:
        raise Refused("ORDERPAID", "该订单已支付")
    if trade.state == "CLOSED":
        raise Refused("ORDER_CLOSED", "该订单已关闭")
    if trade.asked != asked:
        raise Refused("OUT_TRADE_NO_USED", "商户订单号重复")
    if now >= trade.expires_at:
        raise Refused("TRADE_ERROR", "已超过支付结束时间")
    live = [prepay_id for prepay_id, made_at in trade.prepays.items() if now < made_at + PREPAY_LIVES_S]
    if not live:
        live = [f"wx{secrets.token_hex(17)}"]
        trade.prepays[live[0]] = now
    return live[0]


def _trade_of(platform: Platform, given: Mapping[str, str]) -> Trade | None:
    prepay_id = given.get("package", "").removeprefix("prepay_id=")
    trades = platform.of(Trades).by_number.values()
    return next((trade for trade in trades if prepay_id in trade.prepays), None)


def _unpayable(trade: Trade, given: Mapping[str, str], *, now: float) -> str:
    """Why the phone does not pay this; empty when it does."""
    names = ("appId", "timeStamp", "nonceStr", "package")
    signed = paysigning.lines(*(given.get(name, "") for name in names))
    prepay_id = given["package"].removeprefix("prepay_id=")
    public_key = keys().merchant.public_key()
    because = {
        "paySign": paysigning.is_signed(signed, given.get("paySign", ""), public_key=public_key),
        "signType": given.get("signType") == "RSA",
        "appId": given["appId"] == trade.asked["appid"],
        "it was paid": not trade.paid_at,
        "it was closed": trade.state != "CLOSED",
        "it is too late": now < trade.expires_at,
        "the prepay_id is over": now < trade.prepays[prepay_id] + PREPAY_LIVES_S,
    }
    return next((why for why, fits in because.items() if not fits), "")
