"""What group-buys' routes take and answer."""

from typing import Annotated, Any, Literal

import msgspec

from chalicelib.core.http import Listing
from chalicelib.members.schemas import HttpsUrl, Id
from chalicelib.orders.schemas import OrderAnswer
from chalicelib.sharing.schemas import CardAnswer, CardText, Epoch, LinkCode, Sharer

Fen = Annotated[int, msgspec.Meta(ge=1, le=10_000_000_00)]
Units = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Size = Annotated[int, msgspec.Meta(ge=2, le=500)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=30 * 86400)]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a unit costs in a group of this size."""

    size: Size
    price_fen: Fen


class Sku(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One variant of the product, with the units set aside for the campaign."""

    sku_id: Id
    title: CardText
    list_price_fen: Fen
    stock: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
    head_price_fen: Fen | None = None
    prices: Annotated[list[Price], msgspec.Meta(min_length=1, max_length=10)]


class Product(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A snapshot of what is sold."""

    id: Id
    title: CardText
    image_url: HttpsUrl | None = None
    category_ids: Annotated[list[Id], msgspec.Meta(max_length=20)] = []
    skus: Annotated[list[Sku], msgspec.Meta(min_length=1, max_length=20)]


class EditCampaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group-buy campaign; times in epoch seconds, money in fen.

    Without ``reserve`` it is ``group`` where that is possible, for one SKU and one unit a seat, else ``seat``.
    """

    title: CardText
    product: Product
    mode: Literal["fixed", "ladder"] = "fixed"
    reserve: Literal["group", "seat"] | None = None
    new_members_only: bool = False
    max_units_per_seat: Units = 1
    per_member_units: Units = 10
    per_member_groups: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    visible_from: Epoch | None = None
    starts_at: Epoch
    ends_at: Epoch
    group_lifetime_s: Seconds = 86400
    hold_s: Seconds = 900
    open_hold_s: Seconds | None = None
    late_payment: Literal["elsewhere", "refund"] = "elsewhere"
    fill_at_expiry_from: Size | None = None
    stock_shards: Annotated[int, msgspec.Meta(ge=1, le=400)] = 1


class CopyCampaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a copy is, and what is different about it; ``stock``: units by SKU, where they are not as before."""

    title: CardText | None = None
    visible_from: Epoch | None = None
    starts_at: Epoch
    ends_at: Epoch
    stock: dict[str, Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]] = {}


class SkuAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A variant with its prices."""

    sku_id: str
    title: str
    list_price_fen: int
    head_price_fen: int | None
    prices: list[Price]


class CampaignAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as everybody may see it."""

    campaign_id: str
    title: str
    state: str
    product_id: str
    product_title: str
    image_url: str | None
    skus: list[SkuAnswer]
    mode: str
    sizes: list[int]
    new_members_only: bool
    max_units_per_seat: int
    per_member_units: int
    per_member_groups: int
    starts_at: int
    ends_at: int
    group_lifetime_s: int
    fill_at_expiry_from: int | None
    now: int


class AdminCampaign(CampaignAnswer, frozen=True, kw_only=True):
    """A campaign with what is left of its stock; ``terms`` are what an edit sends back, changed."""

    reserve: str
    late_payment: str
    hold_s: int
    open_hold_s: int
    visible_from: int
    stock_left: dict[str, int]
    terms: EditCampaign
    copied_from: str | None
    closed_at: int | None
    open_groups: str | None


class OpenGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What the head buys, and for how many people; ``link`` is the link that led here, if one did."""

    sku_id: Id | None = None
    quantity: Units = 1
    size: Size | None = None
    link: LinkCode | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the page showed of the group, its price for the SKU that is bought."""

    campaign_id: Id
    size: int
    price_fen: Fen


class JoinGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What the joiner buys; ``link`` is the link that led here, if one did.

    With what was ``shown`` the join is quicker, and nothing is bought at another price.
    """

    sku_id: Id | None = None
    quantity: Units = 1
    link: LinkCode | None = None
    shown: Shown | None = None


class SeatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One seat; whose it is, masked for strangers."""

    member: Sharer
    head: bool
    state: str
    mine: bool
    joined_at: int


class JoinableGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group that can be joined."""

    group_id: str
    size: int
    missing: int
    expires_at: int
    head: Sharer


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What the share button hands over: the reader's own link to the group, and its card."""

    code: str
    card: CardAnswer


class GroupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A group's page in one call; ``real_members`` is how many people it was filled with.

    ``share`` is there for who has a seat and did not switch their link off; others mint one for ``share_target``.
    ``ask_subscriptions``, in the page alone: what to hand to wx.requestSubscribeMessage in the tap that joins.
    """

    group_id: str
    state: str
    size: int
    free: int
    missing: int
    expires_at: int | None
    ended_at: int | None
    real_members: int | None
    prices_fen: dict[str, int]
    steps: list[Any] | None
    campaign: CampaignAnswer
    seats: list[SeatAnswer]
    my_order: OrderAnswer | None
    can_join: bool
    cannot_join_because: str | None
    joinable: list[JoinableGroup]
    share_target: dict[str, str]
    share: Share | None
    poll_after_s: int | None
    ask_subscriptions: list[str] = []
    now: int


class Seated(msgspec.Struct, frozen=True, kw_only=True):
    """The group, and the order that pays for the seat in it."""

    group: GroupAnswer
    order: OrderAnswer


class GroupList(msgspec.Struct, frozen=True, kw_only=True):
    """Groups that can be joined, nearest to full first."""

    items: list[JoinableGroup]
    now: int


class CampaignsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which campaigns: all, or those of a product."""

    product_id: Id | None = None


class ProductGroupbuy(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign of a product, and the groups in it that can be joined, nearest to full first."""

    campaign: CampaignAnswer
    can_open: bool
    joinable: list[JoinableGroup]


class ProductOffers(msgspec.Struct, frozen=True, kw_only=True):
    """How a product can be bought together now."""

    product_id: str
    groupbuys: list[ProductGroupbuy]
    now: int


class CampaignList(msgspec.Struct, frozen=True, kw_only=True):
    """Campaigns that can be seen."""

    items: list[CampaignAnswer]
    now: int


class MyGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One of my groups."""

    group_id: str
    state: str
    size: int
    missing: int
    expires_at: int | None
    order_id: str
    head: bool
    joined_at: int


class MyGroupsQuery(Listing, frozen=True, kw_only=True):
    """A page of my groups."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """The seat is free again."""

    group_id: str
    order_id: str
    state: str
    now: int


class ReportDay(msgspec.Struct, frozen=True, kw_only=True):
    """One day of a campaign; visitors opened links to its groups, each once an hour.

    ``refunded_fen`` is of what counts in ``turnover_fen``: a payment that was never taken is in neither.
    """

    day: str
    visitors: int
    opened: int
    joined: int
    paid: int
    filled: int
    failed: int
    new_members: int
    turnover_fen: int
    refunded_fen: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a campaign, newest day first; days on which nothing happened are left out."""

    campaign_id: str
    items: list[ReportDay]
    now: int
