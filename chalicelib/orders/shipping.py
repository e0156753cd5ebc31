"""What was sent for an order that WeChat Pay took the money of: told to WeChat, which pays the shop out only then.

https://developers.weixin.qq.com/miniprogram/dev/platform-capabilities/business-capabilities/order-shipping/
order-shipping.html (发货信息管理): one call for a payment, and one correction, which is left to a person in the
program's own backend. A group's orders are sent once the group is filled, and not before. Said by the mall's event
``order.shipped``, or by an operator where there is no mall.

    entity     pk              sk          written by        read by
    Shipment   ORDER#<ord_>    SHIPMENT    note              tell, operators
    due: ship#k from the first moment, gone once WeChat knows; stuck after ten failures
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pynamodb.attributes import UnicodeAttribute

from chalicelib.core import due, table
from chalicelib.core.errors import Conflict, Invalid
from chalicelib.core.table import IntAttribute, Key, Row, Write
from chalicelib.core.telemetry import logger
from chalicelib.members import service as members
from chalicelib.operators import stuck
from chalicelib.operators.stuck import ByHand, Story, Trouble
from chalicelib.orders import service
from chalicelib.orders.schemas import Shipped
from chalicelib.orders.service import Order
from chalicelib.wechat import client
from chalicelib.wechat.client import App

JOB = "ship"
DESCRIPTION_CHARACTERS = 120
SF = "SF"
"""顺丰: a parcel of theirs is looked up by a phone number besides (the page's ``contact``)."""
_LOGISTICS = {"express": 1, "local": 2, "virtual": 3, "pickup": 4}
_UNIFIED, _BY_TRANSACTION = 1, 2
_TOLD_ALREADY = (10060002, 10060003, 10060023)
"""已完成发货, 已使用重新发货机会, 发货信息未更新."""
_SENT = 2
"""WeChat's order_state from 已发货 on."""


class Shipment(Row, discriminator="shipment"):
    """How an order was sent: ``due`` until WeChat knows it, then ``told``; or ``by_hand`` of an operator."""

    FACTS: ClassVar = {}

    order_id = UnicodeAttribute()
    how = UnicodeAttribute()
    express_company = UnicodeAttribute(null=True)
    tracking_no = UnicodeAttribute(null=True)
    contact = UnicodeAttribute(null=True)
    sent_at = IntAttribute()

    @staticmethod
    def key(order_id: str) -> Key:
        """One shipment for an order."""
        return f"ORDER#{order_id}", "SHIPMENT"


class NotShippable(Conflict):
    """The order is not paid, was given back, or its group is not filled yet: nothing is sent."""

    code = "order_not_shippable"
    en = "This order is not to be sent yet."
    zh = "订单暂不可发货。"
    advice = "Wait for `group.filled`; see details.state."


class ShipmentDiffers(Conflict):
    """The order was sent otherwise before; WeChat allows one correction, in the program's own backend."""

    code = "shipment_differs"
    en = "This order was sent otherwise already."
    zh = "该订单已录入其他发货信息。"
    advice = "Correct it in the mini-program's backend, where WeChat allows it once."


def note(order: Order, given: Shipped, *, also: Sequence[Write] = (), now: int) -> None:
    """An order was sent; said again, nothing changes. What WeChat took the money of, WeChat is told, once; ``also``
    is written with it.

    Raises:
        NotShippable, ShipmentDiffers. Invalid: an express parcel without its company and number, or contact.
    """
    if given.how == "express" and not (given.express_company and given.tracking_no):
        raise Invalid(field="tracking_no", reason="an express parcel has a company and a number")
    if given.express_company == SF and not given.contact:
        raise Invalid(field="contact", reason="WeChat wants the receiver's or sender's phone for SF Express")
    if not service.may_ship(order):
        raise NotShippable(state=order.state)
    service.shipped(order.order_id, now=now)
    if order.gateway == "wechat":
        _keep(order, given, also, now=now)


def _keep(order: Order, given: Shipped, also: Sequence[Write], *, now: int) -> None:
    pk, sk = Shipment.key(order.order_id)
    row = Shipment(
        pk,
        sk,
        state="due",
        order_id=order.order_id,
        how=given.how,
        express_company=given.express_company,
        tracking_no=given.tracking_no,
        contact=given.contact,
        sent_at=now,
        **due.slot(job=JOB, pk=pk, at=now),
    )
    try:
        table.transact([table.create(row), *also])
    except table.Taken as first:
        if _said(first.row) != _said(row):
            raise ShipmentDiffers from first


def _said(row: Shipment) -> Sequence[str | None]:
    return row.how, row.express_company, row.tracking_no, row.contact


def of(order_id: str) -> Shipment | None:
    """How an order was sent, if WeChat has to know."""
    return table.get(Shipment, Shipment.key(order_id))


@due.handles(JOB)
def tell(entry: due.Entry, now: int) -> None:
    """Tell WeChat how an order was sent, unless it knows.

    Raises:
        what `client.call` raises: it is told again later, and then a person sees it.
    """
    row = table.get(Shipment, (entry.pk, entry.sk))
    if row is None or row.state != "due":
        return
    order = service.show(row.order_id)
    app = members.app(order.prepay_program or "", now=now)
    if not (row.attempts and _known(app, order, now=now)):
        _upload(app, row, order, now=now)
    _told(row)


def _upload(app: App, row: Shipment, order: Order, *, now: int) -> None:
    try:
        client.call(app, "POST", "/wxa/sec/order/upload_shipping_info", body=_body(row, order), now=now)
    except client.WeChatRefused as refused:
        if refused.errcode not in _TOLD_ALREADY:
            raise
        logger.info("WeChat knows it already", order=order.order_id, errcode=refused.errcode)


def _known(app: App, order: Order, *, now: int) -> bool:
    """Whether an earlier try that seemed to fail has arrived: a second would use up the one correction."""
    asked = {"transaction_id": order.payment_id}
    told = client.call(app, "POST", "/wxa/sec/order/get_order", body=asked, safe=True, now=now)
    return int(told.get("order", {}).get("order_state", 1)) >= _SENT


def _body(row: Shipment, order: Order) -> dict[str, Any]:
    parcel: dict[str, Any] = {"item_desc": order.title[:DESCRIPTION_CHARACTERS]}
    if row.how == "express":
        parcel |= {"tracking_no": row.tracking_no, "express_company": row.express_company}
    if row.contact:
        parcel["contact"] = {"receiver_contact": row.contact}
    at = datetime.fromtimestamp(row.sent_at, UTC)
    openid = members.openid(order.member_id, program_id=order.prepay_program or "")
    return {
        "order_key": {"order_number_type": _BY_TRANSACTION, "transaction_id": order.payment_id},
        "logistics_type": _LOGISTICS[row.how],
        "delivery_mode": _UNIFIED,
        "shipping_list": [parcel],
        "upload_time": f"{at:%Y-%m-%dT%H:%M:%S}.000+00:00",
        "payer": {"openid": openid},
    }


class _Told(Exception):
    """Another worker was first."""


def _told(row: Shipment) -> None:
    done = (Shipment.state.set("told"), *due.emptied())
    waits = Shipment.state == "due"
    try:
        table.apply(table.update(Shipment, (row.pk, row.sk), *done, when=waits, refuse=lambda _: _Told()))
    except _Told:
        logger.info("another worker told it", order=row.order_id)


def _by_hand(row: Shipment, hand: ByHand) -> None:
    table.transact([stuck.emptied(row, hand, Shipment.state.set("by_hand")), hand.audit])


def _tell(rows: Sequence[Shipment]) -> list[Story]:
    names: tuple[Literal["how", "express_company", "tracking_no", "sent_at"], ...]
    names = ("how", "express_company", "tracking_no", "sent_at")
    return [
        Story(order_id=row.order_id, details={name: getattr(row, name) for name in names}) for row in rows
    ]


stuck.trouble(
    Trouble(
        job=JOB,
        en="An order that was sent, and WeChat does not take the word for it: its money stays frozen",
        zh="微信未接受发货信息的订单，货款将继续冻结",
        urgency=0,
        tell=_tell,
        settle={"entered": _by_hand},
    )
)
