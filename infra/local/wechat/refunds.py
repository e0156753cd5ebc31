"""Refunds of the simulated WeChat Pay (pay.weixin.qq.com, doc/v3/partner/4012709253, doc/v3/merchant/4014959631).

One number is one refund, however often it is asked for; with other amounts it is INVALID_REQUEST. Of one order no
more than was paid, in fifty parts at most. A refund that was taken on is PROCESSING, and becomes what ``outcome``
says: SUCCESS, ABNORMAL (the payer's card is gone; a person chooses another way), CLOSED, or it stays. Then the
merchant is told. It comes out of ``Trades.funds_fen`` and what payments brought; NOT_ENOUGH when that is less.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.wechat import notices
from infra.local.wechat.frame import Answer, Platform, Request, endpoint, said
from infra.local.wechat.merchant import MCHID, Refused, pay_endpoint, time_of
from infra.local.wechat.pay import Trade, Trades

NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
PARTS_AT_MOST = 50
ACCOUNT = "支付用户零钱"


@dataclass(kw_only=True)
class Refund:
    """Money that goes back."""

    asked: Mapping[str, Any]
    trade: Trade
    refund_id: str
    made_at: float
    status: str = "PROCESSING"
    done_at: float = 0.0

    @property
    def fen(self) -> int:
        """How much."""
        return int(self.asked["amount"]["refund"])


@dataclass
class Refunds:
    """All refunds by the merchant's number, and what becomes of the next."""

    by_number: dict[str, Refund] = field(default_factory=dict)
    outcome: str = "SUCCESS"

    def of(self, trade: Trade) -> list[Refund]:
        """Those of one order that are not closed."""
        return [one for one in self.by_number.values() if one.trade is trade and one.status != "CLOSED"]


@pay_endpoint("POST", "/v3/refund/domestic/refunds")
def refund(platform: Platform, request: Request) -> Mapping[str, Any]:
    """Take a refund on, or say how it stands."""
    asked, told = request.json, None
    _check(asked)
    with platform.lock:
        refunds = platform.of(Refunds)
        known = refunds.by_number.get(asked["out_refund_no"])
        if known is not None:
            return _again(known, asked)
        taken_on = refunds.by_number[asked["out_refund_no"]] = _new(platform, asked)
        shown = transaction(taken_on)
        if refunds.outcome != "PROCESSING":
            told = _become(platform, taken_on, refunds.outcome)
    if told is not None:
        notices.tell(platform, told)
    return shown


@pay_endpoint("GET", "/v3/refund/domestic/refunds/{number}")
def query(platform: Platform, request: Request, number: str) -> Mapping[str, Any]:
    """A refund by the merchant's number."""
    with platform.lock:
        known = platform.of(Refunds).by_number.get(number)
        if known is None:
            raise Refused("RESOURCE_NOT_EXISTS", "退款单不存在")
        return transaction(known)


@endpoint("POST", "/_simulator/refunds/{number}/{status}")
def become(platform: Platform, request: Request, number: str, status: str) -> Answer:
    """What a refund becomes that is PROCESSING or ABNORMAL."""
    with platform.lock:
        known = platform.of(Refunds).by_number[number]
        told = _become(platform, known, status)
    if told is not None:
        notices.tell(platform, told)
    return said({"status": status})


def transaction(refund: Refund) -> dict[str, Any]:
    """A refund as its answers show it."""
    trade, done = refund.trade, {"success_time": time_of(refund.done_at)} if refund.done_at else {}
    return {
        "refund_id": refund.refund_id,
        "out_refund_no": refund.asked["out_refund_no"],
        "transaction_id": trade.transaction_id,
        "out_trade_no": trade.number,
        "channel": "ORIGINAL",
        "user_received_account": ACCOUNT,
        **done,
        "create_time": time_of(refund.made_at),
        "status": refund.status,
        "funds_account": "UNSETTLED",
        "amount": {
            "total": trade.total,
            "refund": refund.fen,
            "payer_total": trade.total,
            "payer_refund": refund.fen,
            "settlement_refund": refund.fen,
            "settlement_total": trade.total,
            "discount_refund": 0,
            "currency": "CNY",
        },
    }


def _check(asked: Mapping[str, Any]) -> None:
    amount = asked.get("amount") or {}
    right = {
        "out_refund_no": NUMBER.fullmatch(str(asked.get("out_refund_no", ""))),
        "amount.refund": type(amount.get("refund")) is int and amount["refund"] >= 1,
        "amount.total": type(amount.get("total")) is int,
        "amount.currency": amount.get("currency") == "CNY",
        "reason": len(str(asked.get("reason", "")).encode()) <= 80,
        "transaction_id": bool(asked.get("transaction_id")) != bool(asked.get("out_trade_no")),
    }
    for name, fits in right.items():
        if not fits:
            raise Refused("PARAM_ERROR", f"参数{name}有误")


def _again(known: Refund, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    if known.asked["amount"] != asked["amount"]:
        raise Refused("INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试")
    return transaction(known)


def _new(platform: Platform, asked: Mapping[str, Any]) -> Refund:
    trades, refunds = platform.of(Trades), platform.of(Refunds)
    number, transaction_id = asked.get("out_trade_no", ""), asked.get("transaction_id", "")
    trade = trades.paid(number=number, transaction_id=transaction_id)
    if trade is None:
        raise Refused("RESOURCE_NOT_EXISTS", "订单不存在")
    others, amount = refunds.of(trade), asked["amount"]
    if amount["total"] != trade.total or sum(one.fen for one in others) + amount["refund"] > trade.total:
        raise Refused("INVALID_REQUEST", "申请退款金额大于订单可退金额")
    if len(others) >= PARTS_AT_MOST:
        raise Refused("INVALID_REQUEST", "部分退款次数超限")
    brought = sum(one.total for one in trades.by_number.values() if one.paid_at)
    gone = sum(one.fen for one in refunds.by_number.values() if one.status != "CLOSED")
    if trades.funds_fen + brought - gone < amount["refund"]:
        raise Refused("NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
    trade.state = "REFUND"
    refund_id = f"5030{secrets.randbelow(10**24):024d}"
    platform.tell("a refund was taken on", number=asked["out_refund_no"], fen=amount["refund"])
    return Refund(asked=asked, trade=trade, refund_id=refund_id, made_at=platform.clock())


def _become(platform: Platform, refund: Refund, status: str) -> notices.Told | None:
    """The refund's new state, and what the merchant is told of it (wiki/doc/apiv3/apis/chapter4_4_11.shtml)."""
    refund.status, refund.done_at = status, platform.clock() if status == "SUCCESS" else 0.0
    if "notify_url" not in refund.asked:
        return None
    shown = transaction(refund)
    kept = (
        "out_trade_no",
        "transaction_id",
        "out_refund_no",
        "refund_id",
        "success_time",
        "user_received_account",
    )
    amount = {name: shown["amount"][name] for name in ("total", "refund", "payer_total", "payer_refund")}
    named = {name: shown[name] for name in kept if name in shown}
    return notices.Told(
        what="refunds",
        url=refund.asked["notify_url"],
        event_type=f"REFUND.{status}",
        original_type="refund",
        resource={"mchid": MCHID, **named, "refund_status": status, "amount": amount},
        summary="退款成功" if status == "SUCCESS" else "退款异常",
    )
