"""HTTP for WeChat Pay: what it tells of payments and refunds, twice and out of order, until the answer is 200."""

from typing import Any

from chalicelib.core import doors
from chalicelib.core.errors import Busy, Conflict, NotFound, SignatureInvalid
from chalicelib.core.http import Api, Call
from chalicelib.core.telemetry import logger
from chalicelib.members import service as members
from chalicelib.orders import service, wechatpay
from chalicelib.wechat import pay
from chalicelib.wechat.schemas import SealedNotice, Taken

api = Api(__name__)


class NotOurs(Conflict):
    """What WeChat Pay tells is of another merchant, program, order or currency than is known here."""

    code = "notice_not_ours"
    en = "This is not about an order of ours."
    zh = "通知内容与本商户订单不符。"
    advice = "Nothing for a page: compare the merchant platform's settings with the program's."


@api.post(
    "/v1/wechat/{program_id}/payments", door=doors.WECHAT, refuses=[SignatureInvalid, NotFound, NotOurs, Busy]
)
def payment(call: Call, program_id: str, body: SealedNotice) -> Taken:
    """A payment was made: it is confirmed, comes late, or is listed as of a wrong amount, once."""
    told = pay.notice(body, now=call.now)
    resource = told.resource
    program = members.program(program_id, now=call.now)
    _compare(resource, mchid=pay.mchid(), appid=program.appid)
    if resource["trade_state"] == "SUCCESS":
        _compare(resource["amount"], currency="CNY")
        order = service.show(resource["out_trade_no"])
        _compare({"gateway": order.gateway}, gateway="wechat")
        service.pay(order.order_id, wechatpay.paid_of(resource), now=call.now)
    return Taken()


@api.post(
    "/v1/wechat/{program_id}/refunds", door=doors.WECHAT, refuses=[SignatureInvalid, NotFound, NotOurs, Busy]
)
def refund(call: Call, program_id: str, body: SealedNotice) -> Taken:
    """A refund is given, or waits for a person because it could not be."""
    told = pay.notice(body, now=call.now)
    resource = told.resource
    _compare(resource, mchid=pay.mchid())
    owed = service.find_refund(resource["out_trade_no"], resource["out_refund_no"])
    _compare(resource["amount"], refund=owed.amount_fen)
    status = resource["refund_status"]
    if status == "SUCCESS":
        service.confirm_refund(owed, now=call.now)
    elif status in ("ABNORMAL", "CLOSED"):
        service.hand_over_refund(owed, why=wechatpay.not_given(status), now=call.now)
    return Taken()


def _compare(told: dict[str, Any], **ours: Any) -> None:
    for name, value in ours.items():
        if told.get(name) != value:
            logger.error("wechat pay tells of something else", field=name, told=told.get(name), ours=value)
            raise NotOurs(field=name)
