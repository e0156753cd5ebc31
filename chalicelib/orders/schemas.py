"""What orders' routes take and answer."""

from typing import Annotated, Any, Literal

import msgspec

from chalicelib.core.http import Listing
from chalicelib.members.schemas import Id, MemberRef, Proof, Reason

OrderId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
Amount = Annotated[int, msgspec.Meta(ge=1, le=10_000_000_00)]
NoLess = Annotated[int, msgspec.Meta(ge=0, le=10_000_000_00)]
Epoch = Annotated[int, msgspec.Meta(ge=0, le=10_000_000_000)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$(?!\n)")]
LINES_AT_MOST = 100
EventType = Literal[
    "order.created",
    "order.paid",
    "order.shipped",
    "order.completed",
    "order.cancelled",
    "order.refunded",
    "aftersale.opened",
    "aftersale.closed",
    "product.off_shelf",
    "member.linked",
    "member.deleted",
]


Company = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,128}$(?!\n)")]
Tracking = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,128}$(?!\n)")]
Contact = Annotated[str, msgspec.Meta(pattern=r"^[0-9*+-]{4,32}$(?!\n)")]


class Shipped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an order was sent: by ``express`` with WeChat's id of the company and the parcel's number, by a ``local``
    courier, as ``virtual`` goods, or for ``pickup``. ``contact``: the receiver's phone, masked but for the last
    four digits, which SF Express (SF) asks for."""

    how: Literal["express", "local", "virtual", "pickup"]
    express_company: Company | None = None
    tracking_no: Tracking | None = None
    contact: Contact | None = None


OrderState = Literal["pending", "paid", "completed", "cancelled", "refunding", "refunded"]


class OrderAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An order as its member sees it; an ordinary one of the mall has no campaign, no group and no SKU."""

    order_id: str
    state: str
    title: str
    sku_id: str | None
    quantity: int
    amount_fen: int
    refunded_fen: int
    campaign_id: str | None
    group_id: str | None
    gateway: str
    held_until: int | None
    paid_at: int | None
    now: int


class PaymentBegun(msgspec.Struct, frozen=True, kw_only=True):
    """What the phone needs to pay; in the sandbox, a page to post to."""

    gateway: str
    order_id: str
    amount_fen: int
    pay_url: str | None
    details: dict[str, Any]
    held_until: int | None
    now: int


class MallOrder(OrderAnswer, frozen=True, kw_only=True):
    """An order as the mall sees it: what it must charge, and for whom."""

    member_id: str
    mall_order_id: str | None
    external_ids: list[str]
    payment_id: str | None
    refundable_fen: int
    created_at: int


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order: bought, with all but ``amount_fen``; or what of it went back, with that alone."""

    line_id: OrderId
    product_id: Id | None = None
    sku_id: Id | None = None
    category_ids: Annotated[list[Id], msgspec.Meta(max_length=20)] = []
    title: Title | None = None
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    paid_fen: NoLess | None = None
    amount_fen: Amount | None = None


class MallEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in the mall; fields beyond these are taken and not looked at.

    ``member`` and ``lines`` with a ``mall_order_id`` that is not known make an ordinary order of the mall, with the
    ``link`` that led to it and ``created_at``, when it was made; ``goods_fen`` is then the sum of the lines.
    ``goods_fen`` is what was paid for the goods alone: freight, coupons and points of the mall are told apart.
    ``payment_id`` of a refund says of which payment it was, its ``lines`` how much of which line. ``member`` of
    ``member.linked`` and ``member.deleted`` is whom it is about, ``product_id`` of ``product.off_shelf`` what.
    ``at`` is when it happened, so that an after-sale is closed even when its opening is told last; one with an
    ``aftersale_id`` is closed for good, and needs no ``at``. ``shipped`` says how, which WeChat wants to know of
    what it took the money of.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    type: EventType
    order_id: OrderId | None = None
    mall_order_id: OrderId | None = None
    payment_id: OrderId | None = None
    goods_fen: Amount | None = None
    refund_id: OrderId | None = None
    amount_fen: Amount | None = None
    aftersale_id: OrderId | None = None
    member: MemberRef | None = None
    product_id: Id | None = None
    shipped: Shipped | None = None
    lines: Annotated[list[EventLine], msgspec.Meta(min_length=1, max_length=LINES_AT_MOST)] | None = None
    link: Annotated[str, msgspec.Meta(pattern=r"^[2-9A-HJKMNP-Z]{10}$(?!\n)")] | None = None
    created_at: Epoch | None = None
    at: Epoch | None = None


class EventTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The event is taken; ``handled`` is false where it is about nothing known here, and nothing was done."""

    id: str
    handled: bool
    order: OrderAnswer | None
    now: int


class MallLine(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the mall's books have it; without ``state``, money alone is compared."""

    order_id: OrderId | None = None
    mall_order_id: OrderId | None = None
    paid_fen: NoLess
    refunded_fen: NoLess = 0
    state: OrderState | None = None


class Reconcile(msgspec.Struct, frozen=True, kw_only=True):
    """A day of the mall's books, or the slice of it ``after`` one order_id and ``until`` another."""

    day: Day
    orders: Annotated[list[MallLine], msgspec.Meta(max_length=200)]
    after: OrderId | None = None
    until: OrderId | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where the two books differ: in fen, or, where ``what`` is ``state``, in words."""

    order_id: str | None
    mall_order_id: str | None
    what: str
    theirs: int | str | None
    ours: int | str | None


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """Every difference; none: the books agree on what was sent."""

    day: str
    compared: int
    differences: list[Difference]
    now: int


class RefundOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an operator gives an order's money back."""

    reason: Reason


class MoneyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One payment or refund of an order."""

    kind: str
    id: str
    state: str
    amount_fen: int
    reason: str | None
    at: int


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in an order, and what of its money went back."""

    line_id: str
    product_id: str
    sku_id: str | None
    category_ids: tuple[str, ...]
    title: str | None
    quantity: int
    paid_fen: int
    refunded_fen: int


class AdminOrder(MallOrder, frozen=True, kw_only=True):
    """An order with its lines and its money, as support sees it."""

    lines: list[OrderLine]
    money: list[MoneyRow]


class FindOrders(Listing, frozen=True, kw_only=True):
    """Which orders: exactly one of these is given, an ``openid`` with its ``program_id``."""

    order_id: OrderId | None = None
    mall_order_id: OrderId | None = None
    member_id: OrderId | None = None
    campaign_id: OrderId | None = None
    external_id: Proof | None = None
    unionid: Proof | None = None
    openid: Proof | None = None
    program_id: Id | None = None


class FoundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as a line of a list."""

    order_id: str
    mall_order_id: str | None
    member_id: str
    state: str
    title: str
    sku_id: str | None
    quantity: int
    amount_fen: int
    refundable_fen: int
    refunded_fen: int
    campaign_id: str | None
    group_id: str | None
    head: bool
    gateway: str
    payment_id: str | None
    created_at: int
    paid_at: int | None
    shipped_at: int | None
    completed_at: int | None


class BillAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """WeChat Pay's bill of a day against our books: ``due``, ``agrees`` or ``differs``.

    ``others`` are lines of other systems that the merchant's number serves; they are not looked at.
    """

    day: str
    state: str
    looks: int
    payments: int | None
    refunds: int | None
    others: int | None
    differences: int | None
    compared_at: int | None


class BillDifferences(Listing, frozen=True, kw_only=True):
    """Of which day."""

    day: Day


class BillDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One payment or refund in which the books differ, in fen; since ``gone_at`` they agree.

    ``payment_unknown``, ``refund_unknown``: the bill has it and we do not; ``payment_amount``, ``refund_amount``;
    ``refund_open``: given back there and not confirmed here; ``payment_not_theirs``: taken here and not there;
    ``refund_not_theirs``: back by what is known here, and not there.
    """

    day: str
    what: str
    number: str
    order_id: str
    theirs_fen: int | None
    ours_fen: int | None
    seen_at: int
    gone_at: int | None


class ShipmentAnswer(Shipped, frozen=True, kw_only=True):
    """How an order was sent, and whether WeChat knows: ``due`` until then, ``told``, or entered ``by_hand``."""

    order_id: str
    state: str
    sent_at: int
    now: int
