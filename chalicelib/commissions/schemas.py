"""What the routes of commissions take and answer."""

from typing import Annotated, Literal

import msgspec

from chalicelib.commissions.rules import Basis, DistributionTerms, Level, Scope, Tier
from chalicelib.core.http import Listing
from chalicelib.members.schemas import Id, Reason
from chalicelib.sharing.schemas import CardAnswer
from chalicelib.withdrawals.schemas import WithdrawalShown

Version = Annotated[int, msgspec.Meta(ge=0, le=999_999)]
Month = Annotated[str, msgspec.Meta(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$(?!\n)")]
Day = Annotated[str, msgspec.Meta(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$(?!\n)")]
PromoterState = Literal["applied", "active", "suspended", "refused"]
CommissionState = Literal["pending", "due", "settled", "held", "cancelled", "clawed_back"]


# --- promoters ----------------------------------------------------------------------------------------------


class ApplyPromoter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """I agree to this version of the terms."""

    terms_version: Version


class PromoterAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether I am a promoter, on which tier, and what is missing for the next.

    ``card`` and ``qr_path``, a path of this API, are what a poster of my own link is drawn of.
    """

    state: PromoterState
    tier: int
    tier_name: str | None
    terms_version: int
    agreed_at: int | None
    reason: str | None
    invite_code: str | None
    link: str | None = None
    link_url: str | None = None
    qr_path: str | None = None
    card: CardAnswer | None = None
    invitees: int
    orders: int
    settled_fen: int
    balance_fen: int
    debt_fen: int
    next_tier: "NextTier | None"
    now: int


class NextTier(msgspec.Struct, frozen=True, kw_only=True):
    """The tier after mine, and what of each condition is missing."""

    tier: int
    name: str
    missing_settled_fen: int
    missing_orders: int
    missing_invitees: int


class RateShown(msgspec.Struct, frozen=True, kw_only=True):
    """A rate in force, as everybody may know it."""

    level: Level
    source: str
    product_id: str | None
    campaign_id: str | None
    category_id: str | None
    tier: int | None
    new_buyers_only: bool
    min_order_fen: int
    basis: Basis
    value: int
    text: str


class PolicyShown(msgspec.Struct, frozen=True, kw_only=True):
    """Who binds a customer, and for how long."""

    version: int
    mode: str
    depth: int
    window_days: int | None
    protect_days: int | None
    renew_by_purchase: bool
    self_purchase: bool


class TierShown(msgspec.Struct, frozen=True, kw_only=True):
    """A tier and what it takes."""

    tier: int
    name: str
    settled_fen: int | None
    orders: int | None
    invitees: int | None


class StepShown(msgspec.Struct, frozen=True, kw_only=True):
    """A volume step."""

    from_fen: int
    bonus_bps: int


class RulesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The rules as they are in force, in numbers and in words."""

    version: int
    open: bool
    approval: Literal["automatic", "audited"]
    earned_by_spend_fen: int | None
    hold_days: int
    policy: PolicyShown
    rates: list[RateShown]
    tiers: list[TierShown]
    steps: list[StepShown]
    withdrawals: WithdrawalShown
    text: str
    words: list[str]
    now: int


# --- commissions --------------------------------------------------------------------------------------------


class CommissionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One commission: what it is worth now, and when it settles."""

    commission_id: str
    order_id: str
    level: Level
    state: CommissionState
    amount_fen: int
    buyer: str
    made_at: int
    settles_at: int | None
    settled_at: int | None


class CommissionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the order, and what it earns: ``base_fen`` is what is left of ``paid_fen``."""

    line_id: str
    product_id: str
    quantity: int
    paid_fen: int
    base_fen: int
    rate_id: str
    rate_version: int
    rate_from: str
    basis: Basis
    value: int
    amount_fen: int
    exact: str


class ChangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to it, why, and what it was worth after."""

    at: int
    what: str
    cause: str
    amount_fen: int
    text: str


class Explanation(CommissionAnswer, frozen=True, kw_only=True):
    """One commission in words and numbers."""

    policy_version: int
    hold_days: int
    lines: list[CommissionLine]
    changes: list[ChangeAnswer]
    words: list[str]
    now: int


class EstimateLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product as it would be sold: what would be paid for all of the quantity."""

    product_id: Id
    paid_fen: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    category_ids: Annotated[list[Id], msgspec.Meta(max_length=20)] = []
    campaign_id: Id | None = None


class Estimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What would be earned by these lines."""

    lines: Annotated[list[EstimateLine], msgspec.Meta(min_length=1, max_length=100)]


class EstimatedLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one line would earn; ``if_new_buyer_fen`` when its buyer is new."""

    product_id: str
    amount_fen: int
    if_new_buyer_fen: int
    rate_from: str | None
    label: str


class Estimated(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines would earn."""

    lines: list[EstimatedLine]
    amount_fen: int
    tier: int
    now: int


class MonthAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a promoter had settled in a month, and the bonus of its volume step."""

    month: str
    state: str
    settled_fen: int
    orders: int
    sales_fen: int
    bonus_fen: int | None
    step: StepShown | None
    text: str


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the ranking."""

    place: int
    nickname: str
    settled_fen: int
    mine: bool


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """The promoters of a month, and where I am."""

    month: str
    items: list[Ranked]
    my_settled_fen: int
    now: int


class RankingQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which month; this one, if none is named."""

    month: Month | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


# --- invitees -----------------------------------------------------------------------------------------------


class InviteeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who came to me: ``stage`` is how far it went, ``reason`` why not further."""

    member_id: str
    name: str
    stage: Literal["lost", "over", "bound", "ordered", "settled"]
    link: str | None
    opened_at: int | None
    registered_at: int | None
    bound_at: int | None
    ordered_at: int | None
    orders: int
    reason: str | None
    text: str | None


class InviteeStep(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened; of an order what it earns me, or why not."""

    at: int
    what: str
    link: str | None = None
    reason: str | None = None
    order_id: str | None = None
    commission_id: str | None = None
    state: str | None = None
    amount_fen: int | None = None
    text: str


class InviteeTimeline(InviteeAnswer, frozen=True, kw_only=True):
    """Somebody who came to me, and all that happened, the oldest first."""

    steps: list[InviteeStep]
    now: int


# --- operators ----------------------------------------------------------------------------------------------


class SayRate(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rate for its scope: basis points of what was paid, or fen a unit; never both."""

    bps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    unit_fen: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] | None = None


class RateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A rate as operators see it; versions begin a few seconds after they were said."""

    rate_id: str
    version: int
    state: str
    scope: Scope
    basis: Basis
    value: int
    since: int


class RateList(msgspec.Struct, frozen=True, kw_only=True):
    """All rates, or all versions of one."""

    items: list[RateAnswer]
    now: int


class RateDone(RateAnswer, frozen=True, kw_only=True):
    """A rate as it is now."""

    now: int


class TermsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the terms."""

    version: int
    made_at: int
    terms: DistributionTerms


class TermsDone(TermsAnswer, frozen=True, kw_only=True):
    """The version in force."""

    now: int


class TermsList(msgspec.Struct, frozen=True, kw_only=True):
    """The versions, newest first; version 0 is built in."""

    items: list[TermsAnswer]
    now: int


class AssignPromoter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is made a promoter."""

    member_id: Id


class WithReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


class SetTier(WithReason, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tier, and why."""

    tier: Tier


class PromotersQuery(Listing, frozen=True, kw_only=True):
    """Promoters in which state."""

    state: PromoterState = "applied"


class PromoterRow(msgspec.Struct, frozen=True, kw_only=True):
    """A promoter as operators see them."""

    member_id: str
    state: str
    tier: int
    terms_version: int
    agreed_at: int | None
    applied_at: int
    active_at: int | None
    made_by: str
    reason: str | None


class PromoterDone(PromoterRow, frozen=True, kw_only=True):
    """The promoter as they are now."""

    now: int


class CommissionsQuery(Listing, frozen=True, kw_only=True):
    """Whose commissions."""

    promoter_id: Id


class CommissionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A commission as operators see it; ``evidence`` is why it was held when it was made."""

    commission_id: str
    order_id: str
    level: str
    state: str
    promoter_id: str
    member_id: str
    amount_fen: int
    settled_fen: int | None
    made_at: int
    settles_at: int | None
    settled_at: int | None
    settled_cause: str | None
    evidence: str


class RunAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one day's settling did."""

    day: str
    counted: int
    settled: int
    held: int
    failed: int
    promoters: int
    amount_fen: int
    now: int


class RunLineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that was settled for one promoter, or a commission that waits or failed, and why."""

    what: str
    promoter_id: str
    commissions: int
    amount_fen: int
    cause: str
    at: int
