"""What coupons' routes take and answer."""

from typing import Annotated, Any, Literal

import msgspec

from chalicelib.core.http import Listing
from chalicelib.members.schemas import Id, MemberRef, Reason, Tag
from chalicelib.sharing.schemas import CardText, Epoch

Fen = Annotated[int, msgspec.Meta(ge=0, le=10_000_000_00)]
Percent = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Units = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
Times = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=30 * 86400)]
Lasting = Annotated[int, msgspec.Meta(ge=60, le=30 * 86400)]
Ids = Annotated[list[Id], msgspec.Meta(max_length=200)]
Shards = Annotated[int, msgspec.Meta(ge=1, le=400)]
OrderRef = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
Batch = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$(?!\n)")]
Kind = Literal["amount_off", "percent_off", "fixed_price", "free_shipping", "exchange"]
Status = Literal["unused", "locked", "gifting", "waiting", "redeemed", "expired", "gifted", "void", "lapsed"]


# --- templates ----------------------------------------------------------------------------------------------


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which products count towards the threshold and get the discount."""

    kind: Literal["all", "categories", "products"] = "all"
    ids: Ids = []
    exclude_product_ids: Ids = []


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From when until when."""

    starts_at: Epoch
    ends_at: Epoch


class Validity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a coupon can be used: the same time for all, or so many days after it was claimed."""

    kind: Literal["fixed", "days"]
    starts_at: Epoch | None = None
    ends_at: Epoch | None = None
    days: Days | None = None
    from_next_day: bool = False


class Audience(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may claim; ``none``: it is only given, in packs, by code, in batches, as a reward."""

    kind: Literal["all", "new_members", "level", "tag", "none"] = "all"
    within_days: Days | None = None
    at_least: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    any_of: Annotated[list[Tag], msgspec.Meta(max_length=20)] = []


class TermsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a coupon is worth; of a percentage, ``percent_bps`` is what is taken off (1500: 15 %, 8.5 折)."""

    kind: Kind
    value_fen: Fen | None = None
    percent_bps: Percent | None = None
    cap_fen: Fen | None = None
    threshold_fen: Fen
    scope: Scope = Scope()
    exclusive: bool = True
    group: Id | None = None


class EditTemplate(TermsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template as operators say it; what is claimed already keeps the terms it was claimed under."""

    title: CardText
    per_member: Times = 1
    per_member_daily: Times | None = None
    claim: Window
    validity: Validity
    audience: Audience = msgspec.field(name="for", default=Audience())
    giftable: bool = False
    remind_before_s: Seconds = 86400


class MakeTemplate(EditTemplate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new template; ``stock`` null is unlimited. Shards: one for every 25 claims a second that are expected."""

    stock: Units | None
    stock_shards: Shards = 1


class AddUnits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More units of a template, or, below zero, fewer."""

    units: Annotated[int, msgspec.Meta(ge=-100_000_000, le=100_000_000)]


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may know of a template before they claim it."""

    template_id: str
    title: str
    kind: str
    value_fen: int
    percent_bps: int
    cap_fen: int | None
    threshold_fen: int
    scope: Any
    exclusive: bool
    group: str | None
    claim: Window
    validity: Any
    per_member: int
    per_member_daily: int | None
    giftable: bool


class MyOffer(Offer, frozen=True, kw_only=True):
    """And whether this member can: ``claimable``, ``claimed``, ``not_started``, ``sold_out``, ``not_eligible``."""

    status: str
    why: str | None
    claimed: int


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """What can be claimed, those that end first first."""

    items: list[MyOffer]
    ask_subscriptions: list[str] = []
    now: int


class AdminTemplate(Offer, frozen=True, kw_only=True):
    """A template as operators see it."""

    state: str
    version: int
    audience: Any = msgspec.field(name="for")
    remind_before_s: int
    stock_shards: int
    left: int | None
    issued: int
    created_at: int
    now: int


class AdminTemplates(msgspec.Struct, frozen=True, kw_only=True):
    """All templates, newest first."""

    items: list[AdminTemplate]
    now: int


class OffersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Only what can be used on this product, which is in this category."""

    product_id: Id | None = None
    category_id: Id | None = None


# --- coupons ------------------------------------------------------------------------------------------------


class CouponAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon under the terms it was claimed under."""

    coupon_id: str
    template_id: str
    title: str
    state: str
    usable: bool
    kind: str
    value_fen: int
    percent_bps: int
    cap_fen: int | None
    threshold_fen: int
    scope: Any
    exclusive: bool
    group: str | None
    source: str
    claimed_at: int
    starts_at: int
    ends_at: int
    giftable: bool
    order_ref: str | None
    locked_until: int | None
    used_at: int | None
    gift_code: str | None
    now: int


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """The coupon that is now the member's."""

    coupon: CouponAnswer
    now: int


class ClaimMany(msgspec.Struct, frozen=True, kw_only=True):
    """Several at one tap."""

    template_ids: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=20)]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why not, as the envelope of an error would say it."""

    code: str
    message: str
    details: Any


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one of them."""

    template_id: str
    coupon: CouponAnswer | None
    error: Refusal | None


class ClaimedMany(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each, in the order asked for."""

    items: list[Outcome]
    now: int


class MyCouponsQuery(Listing, frozen=True, kw_only=True):
    """Which of my coupons; ``unused`` is what can be used now or later."""

    status: Status | None = None


class MyCoupons(msgspec.Struct, frozen=True, kw_only=True):
    """A page of my coupons, newest first, and how many there are of each status."""

    items: list[CouponAnswer]
    next: str | None
    counts: dict[str, int]
    now: int


class MemberCoupons(msgspec.Struct, frozen=True, kw_only=True):
    """A member's newest coupons, as operators see them."""

    items: list[CouponAnswer]
    now: int


class ShopCode(msgspec.Struct, frozen=True, kw_only=True):
    """What the shop scans; it changes each minute."""

    code: str
    changes_at: int
    now: int


class Verify(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code that a member shows in the shop."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.]{1,200}$(?!\n)")]


# --- baskets ------------------------------------------------------------------------------------------------


class LineBody(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a basket."""

    product_id: Id
    sku_id: Id | None = None
    category_ids: Annotated[list[Id], msgspec.Meta(max_length=20)] = []
    price_fen: Fen
    quantity: Times = 1


Lines = Annotated[list[LineBody], msgspec.Meta(min_length=1, max_length=100)]


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A basket that somebody is about to buy."""

    lines: Lines
    freight_fen: Fen = 0


class Quoted(msgspec.Struct, frozen=True, kw_only=True):
    """What one coupon would do for the basket."""

    coupon: CouponAnswer
    applies: bool
    saves_fen: int
    why_not: Refusal | None


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The allowed combination that saves most, with what comes off each line, in order."""

    coupon_ids: list[str]
    discount_fen: int
    per_line: list[int]
    freight_fen: int


class QuoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Each of my coupons on this basket, and the best combination."""

    items: list[Quoted]
    best: Best
    now: int


class MallQuote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, asked by the mall's server."""

    member: MemberRef
    lines: Lines
    freight_fen: Fen = 0


class MallLock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold these coupons for an order: all of them or none."""

    member: MemberRef
    mall_order_id: OrderRef
    coupon_ids: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=5)]
    lines: Lines
    freight_fen: Fen = 0
    lock_s: Lasting = 1800


class MallOrderRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order whose coupons are meant."""

    mall_order_id: OrderRef


class LockAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The coupons of an order: ``locked``, ``redeemed``, ``released`` or ``returned``."""

    mall_order_id: str
    state: str
    member_id: str
    coupon_ids: list[str]
    per_coupon: list[int]
    per_line: list[int]
    freight_fen: int
    discount_fen: int
    locked_until: int
    now: int


class Void(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a coupon is taken away; kept in the audit trail."""

    reason: Reason


# --- gifts --------------------------------------------------------------------------------------------------


class GiftAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon on its way to a friend: ``open``, ``taken`` or ``back``; who gives it is shown masked."""

    code: str
    state: str
    giver: str
    coupon: CouponAnswer
    given_at: int
    ends_at: int
    now: int


# --- share packs --------------------------------------------------------------------------------------------

Pieces = Annotated[int, msgspec.Meta(ge=1, le=50)]


class SharersOwn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sharer's own coupon, good once so many friends have claimed as new members."""

    template_id: Id
    after_new: Annotated[int, msgspec.Meta(ge=1, le=50)]


class EditPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a share pack is made of; ``amounts`` are the pieces in the order in which they are taken, published."""

    title: CardText
    after: Literal["campaign", "order"]
    template_id: Id
    pieces: Pieces
    amounts: (
        Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=10_000_000_00)]], msgspec.Meta(max_length=50)]
        | None
    ) = None
    new_friends_only: bool = False
    sharer: SharersOwn | None = None
    starts_at: Epoch
    ends_at: Epoch
    open_for_s: Lasting = 86400


class PlanAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, before anybody shares: what friends get, in which order, and what the sharer gets for what."""

    plan_id: str
    title: str
    state: str
    after: str
    pieces: int
    amounts: list[int] | None
    new_friends_only: bool
    friends: Offer
    sharer: Offer | None
    sharer_after_new: int
    starts_at: int
    ends_at: int
    open_for_s: int
    now: int


class Plans(msgspec.Struct, frozen=True, kw_only=True):
    """Plans, newest first."""

    items: list[PlanAnswer]
    now: int


class OpenPack(msgspec.Struct, frozen=True, kw_only=True):
    """Which pack; after an order, which order."""

    plan_id: Id
    order_id: Id | None = None


class MallOpenPack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pack for a member who has paid an order of the mall."""

    member: MemberRef
    plan_id: Id
    mall_order_id: OrderRef


class PieceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A piece that was taken; who took it is shown masked."""

    n: int
    friend: str
    value_fen: int | None
    new: bool
    taken_at: int


class PackAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A pack's whole page: terms, counts, outcomes, and whether I can take a piece, and why not."""

    pack_id: str
    plan_id: str
    title: str
    state: str
    sharer: str
    mine: bool
    friends: Offer
    pieces: int
    amounts: list[int] | None
    left: int
    new_friends_only: bool
    new_missing: int
    sharer_coupon_id: str | None
    taken: list[PieceAnswer]
    can_take: bool
    why_not: Refusal | None
    opened_at: int
    ends_at: int
    now: int


class MyPack(msgspec.Struct, frozen=True, kw_only=True):
    """One of my packs: how many pieces are left, and how many new friends until my own coupon unlocks."""

    pack_id: str
    plan_id: str
    title: str
    state: str
    pieces: int
    left: int
    new_missing: int
    sharer_coupon_id: str | None
    opened_at: int
    ends_at: int


# --- invitations --------------------------------------------------------------------------------------------


class EditInvite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who brings ``every`` new members gets a coupon, ``times`` times at most; each of them may get one too."""

    title: CardText
    every: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    times: Times = 1
    sharer_template_id: Id
    friend_template_id: Id | None = None
    starts_at: Epoch
    ends_at: Epoch


class InviteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of inviting, and how far I am."""

    plan_id: str
    title: str
    every: int
    times: int
    sharer: Offer
    friend: Offer | None
    starts_at: int
    ends_at: int
    brought: int
    won: int
    missed: int
    missing: int
    now: int


class Invites(msgspec.Struct, frozen=True, kw_only=True):
    """What inviting brings now."""

    items: list[InviteAnswer]
    now: int


class AdminInvite(msgspec.Struct, frozen=True, kw_only=True):
    """A plan of inviting as operators see it; ``counts``: of all that are on, people earn by this one now."""

    plan_id: str
    title: str
    state: str
    counts: bool
    every: int
    times: int
    sharer: Offer
    friend: Offer | None
    starts_at: int
    ends_at: int
    created_at: int
    now: int


class AdminInvites(msgspec.Struct, frozen=True, kw_only=True):
    """Plans of inviting, newest first."""

    items: list[AdminInvite]
    now: int


# --- batches and codes --------------------------------------------------------------------------------------


PART = 1000
"""Members of a part at most."""


class GrantPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a batch: each of these members gets one coupon; the same part again changes nothing."""

    batch: Batch
    part: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    member_ids: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=PART)]


class GrantRefused(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who got none, and why."""

    member_id: str
    code: str


class GrantProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is; ``refused`` are the first hundred."""

    batch: str
    members: int
    waiting: int
    given: int
    refused: list[GrantRefused]
    refused_in_all: int
    now: int


class MakeCodes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many codes, each good for ``uses`` members; the same batch again answers with the same codes."""

    batch: Batch
    count: Annotated[int, msgspec.Meta(ge=1, le=500)]
    uses: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    ends_at: Epoch


class CodesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The codes of a batch."""

    batch: str
    state: str
    uses: int
    ends_at: int
    codes: list[str]
    now: int


class CodeToPrint(msgspec.Struct, frozen=True, kw_only=True):
    """One code, with what is printed beside it."""

    code: str
    title: str
    uses: int
    ends_at: int
    state: str


class CodesToPrint(msgspec.Struct, frozen=True, kw_only=True):
    """The codes of a batch, a line each."""

    items: list[CodeToPrint]
    now: int


class UseCode(msgspec.Struct, frozen=True, kw_only=True):
    """What is printed; blanks, dashes and the size of letters do not matter."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
