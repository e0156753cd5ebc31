"""What was sent for a payment: upload_shipping_info and get_order.

developers.weixin.qq.com, platform-capabilities/business-capabilities/order-shipping: one upload for a payment and
one correction (then 10060003); the same again is 10060023; a payment that is not known 10060001; a parcel without
its company and number 40097; the payer of somebody else's payment 40097.
"""

from collections.abc import Mapping
from typing import Any

from infra.local.wechat.frame import Answer, Platform, Request, endpoint, refusal
from infra.local.wechat.pay import Trade, Trades


class Shipments:
    """What was told of each payment, the newest last."""

    def __init__(self) -> None:
        self.by_transaction: dict[str, list[dict[str, Any]]] = {}


@endpoint("POST", "/wxa/sec/order/upload_shipping_info", token=True)
def upload(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """Note how a payment's goods were sent, and tell the payer."""
    told = request.json
    key = told.get("order_key", {})
    with platform.lock:
        trade = platform.of(Trades).paid(transaction_id=str(key.get("transaction_id", "")))
        if trade is None or key.get("order_number_type") != 2:
            return refusal(10060001, "支付单不存在")
        if wrong := _wrong(told, trade):
            return refusal(wrong, "发货信息有误")
        before = platform.of(Shipments).by_transaction.setdefault(trade.transaction_id, [])
        sent = {name: told[name] for name in ("logistics_type", "delivery_mode", "shipping_list")}
        if before and before[-1] == sent:
            return refusal(10060023, "发货信息未更新")
        if len(before) == 2:
            return refusal(10060003, "支付单已使用重新发货机会")
        before.append(sent)
    platform.tell("goods were sent", number=trade.number, **sent["shipping_list"][0])
    return {"errcode": 0, "errmsg": "ok"}


@endpoint("POST", "/wxa/sec/order/get_order", token=True)
def get_order(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """How far a payment's goods are: 1 to be sent, 2 sent."""
    transaction_id = str(request.json.get("transaction_id", ""))
    with platform.lock:
        if platform.of(Trades).paid(transaction_id=transaction_id) is None:
            return refusal(10060001, "支付单不存在")
        sent = bool(platform.of(Shipments).by_transaction.get(transaction_id))
    order = {"transaction_id": transaction_id, "order_state": 2 if sent else 1}
    return {"errcode": 0, "errmsg": "ok", "order": order}


def _wrong(told: Mapping[str, Any], trade: Trade) -> int:
    """The error that the page has for it; 40097 for what it has none for."""
    parcels, express = told.get("shipping_list"), told.get("logistics_type") == 1
    parcel = parcels[0] if isinstance(parcels, list) and len(parcels) == 1 else {}
    known = told.get("logistics_type") in (1, 2, 3, 4) and told.get("delivery_mode") == 1
    judged = {
        40097: not (parcel.get("item_desc") and known and told.get("upload_time")),
        268485226: express and not parcel.get("tracking_no"),
        268485227: express and not parcel.get("express_company"),
        10060031: told.get("payer", {}).get("openid") != trade.asked["payer"]["openid"],
    }
    return next((errcode for errcode, holds in judged.items() if holds), 0)
