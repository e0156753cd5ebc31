"""What the routes of points take and answer."""

from typing import Annotated, Any, Literal

import msgspec

from chalicelib.core.http import Listing
from chalicelib.members.schemas import HttpsUrl, Id, MemberRef, Name, Reason

Points = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Growth = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
Epoch = Annotated[int, msgspec.Meta(ge=0, le=9_999_999_999)]
MallOrderId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
Kind = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}$(?!\n)")]
What = Annotated[dict[str, Any], msgspec.Meta(max_length=10)]


# --- members ------------------------------------------------------------------------------------------------


class Gift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is given: a kind of goods, and which of it."""

    goods: Kind
    what: What


class Perks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a level brings: points ``points_bps`` ten-thousandths as many, a gift when it is reached first, more."""

    points_bps: Annotated[int, msgspec.Meta(ge=10_000, le=100_000)] = 10_000
    free_shipping: bool = False
    discount_bps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    gift: Gift | None = None
    others: Annotated[list[Name], msgspec.Meta(max_length=20)] = []


class LevelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A level and what it brings."""

    level: int
    name: str
    growth: int
    perks: Perks


class NextLevel(LevelAnswer, frozen=True, kw_only=True):
    """The level after mine, and how much growth it still needs."""

    missing: int


class MyPoints(msgspec.Struct, frozen=True, kw_only=True):
    """My points: ``expiring`` of them at ``expires_at``; below zero they are a debt that is netted first."""

    balance: int
    frozen: int
    debt: int
    expiring: int
    expires_at: int | None
    growth: int
    level: LevelAnswer | None
    next_level: NextLevel | None
    now: int


class EntryLine(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a posting."""

    reason: str
    amount: int


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One posting; ``state`` is of what is or was frozen."""

    cause: str
    amount: int
    reason: str
    at: int
    lines: list[EntryLine]
    state: str | None


class EntriesQuery(Listing, frozen=True, kw_only=True):
    """Which book, from where."""

    book: Literal["points", "growth", "makeup_card", "freeze_card"] = "points"


class ExchangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What points buy; ``mine`` is how often I did."""

    exchange_id: str
    title: str
    image_url: str | None
    points: int
    goods: str
    what: What
    per_member: int
    starts_at: int
    ends_at: int
    state: str
    mine: int | None


class ExchangePoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which exchange; with an Idempotency-Key, where it may be made more than once."""

    exchange_id: Id


class ExchangeDone(msgspec.Struct, frozen=True, kw_only=True):
    """What was given for how many points, and how many are left."""

    exchange_id: str
    cause: str
    points: int
    goods: str
    what: What
    balance: int
    now: int


class MyBadge(msgspec.Struct, frozen=True, kw_only=True):
    """A badge, since when I have it, and how far I am."""

    badge_id: str
    title: str
    image_url: str | None
    fact: str
    threshold: int
    count: int
    awarded_at: int | None


class MyBadges(msgspec.Struct, frozen=True, kw_only=True):
    """All badges."""

    items: list[MyBadge]
    now: int


# --- operators ----------------------------------------------------------------------------------------------


class EditPointsRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long points last after their month (null: for ever); what they are worth at the mall's checkout."""

    lasts_months: Annotated[int, msgspec.Meta(ge=1, le=24)] | None = None
    rate_points: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100
    rate_fen: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100
    max_share_bps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 5000


class PointsRuleAnswer(EditPointsRule, frozen=True, kw_only=True):
    """The rule that holds."""

    now: int


class EditLevel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A level: the growth that reaches it, and what a year of it costs."""

    name: Name
    growth: Growth
    yearly_growth: Growth = 0
    perks: Perks = Perks()


class EditLevels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All levels from the lowest up."""

    levels: Annotated[list[EditLevel], msgspec.Meta(min_length=1, max_length=20)]


class LevelsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All levels from the lowest up."""

    levels: list[EditLevel]
    now: int


class EditBadge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A badge: so many facts of this name; off, nobody gets it any more."""

    title: Name
    image_url: HttpsUrl | None = None
    fact: Annotated[str, msgspec.Meta(pattern=r"^[a-z_.]{1,64}$(?!\n)")]
    threshold: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    on: bool = True


class AddBadge(EditBadge, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new badge under an id of the operator's choice."""

    badge_id: Id


class BadgeAnswer(EditBadge, frozen=True, kw_only=True):
    """A badge as operators see it."""

    badge_id: str
    now: int


class BadgeList(msgspec.Struct, frozen=True, kw_only=True):
    """All badges."""

    items: list[BadgeAnswer]
    now: int


class EditExchange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change of an exchange."""

    title: Name
    image_url: HttpsUrl | None = None
    per_member: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    starts_at: Epoch
    ends_at: Epoch


class AddExchange(EditExchange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new exchange: so many points for these goods, as long as there is stock."""

    points: Points
    goods: Kind
    what: What
    stock: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
    stock_shards: Annotated[int, msgspec.Meta(ge=1, le=400)] = 1


class AddUnits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More units, or, below zero, fewer."""

    units: Annotated[int, msgspec.Meta(ge=-1_000_000_000, le=1_000_000_000)]


class AdminExchange(ExchangeAnswer, frozen=True, kw_only=True):
    """An exchange as operators see it."""

    left: int
    stock_shards: int
    now: int


class AdminExchanges(msgspec.Struct, frozen=True, kw_only=True):
    """All exchanges, newest first."""

    items: list[AdminExchange]
    now: int


class Adjust(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points or growth that an operator gives, or, below zero, takes, and why."""

    amount: Annotated[int, msgspec.Meta(ge=-1_000_000_000, le=1_000_000_000)]
    reason: Reason
    book: Literal["points", "growth", "makeup_card", "freeze_card"] = "points"


class MemberPoints(msgspec.Struct, frozen=True, kw_only=True):
    """A member's points as operators see them; ``posted`` is what the entries add up to, and is the balance."""

    member_id: str
    balance: int
    posted: int
    frozen: int
    debt: int
    growth: int
    level: int
    now: int


# --- the mall -----------------------------------------------------------------------------------------------


class FreezePoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points for an order of the mall, taken out of the balance until the order is paid or given up."""

    member: MemberRef
    mall_order_id: MallOrderId
    points: Points
    goods_fen: Annotated[int, msgspec.Meta(ge=1, le=10_000_000_00)]
    hold_s: Annotated[int, msgspec.Meta(ge=60, le=30 * 86400)] = 86400


class SpendPoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order is paid."""

    mall_order_id: MallOrderId


class ReleasePoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order is given up; or, once paid, refunded: all that is left, or ``points``, once a ``refund_id``."""

    mall_order_id: MallOrderId
    points: Points | None = None
    refund_id: MallOrderId | None = None


class CheckoutAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Points in an order: ``frozen``, ``spent`` or ``released``; ``returned`` came back once they were spent."""

    mall_order_id: str
    member_id: str
    state: str
    points: int
    discount_fen: int
    returned: int
    held_until: int
    balance: int
    now: int


class BoundTo(msgspec.Struct, frozen=True, kw_only=True):
    """Who brought a member, and by which link."""

    promoter_id: str
    link: str | None
    bound_at: int


class MallMember(msgspec.Struct, frozen=True, kw_only=True):
    """Who a member is to the shop."""

    member_id: str
    external_ids: list[str]
    state: str
    registered_at: int
    level: LevelAnswer | None
    growth: int
    tags: list[str]
    balance: int
    frozen: int
    debt: int
    binding: BoundTo | None
    now: int
