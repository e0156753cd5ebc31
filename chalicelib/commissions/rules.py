"""Pure rules of commissions: which rate serves a line, what the line earns, which tier and step is reached."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from chalicelib.core.money import part_fen

Level = Literal["level1", "level2", "head"]
Basis = Literal["bps", "fen"]
LEVELS: dict[str, Level] = {"L1": "level1", "L2": "level2", "H": "head"}
"""What a commission's key calls the levels that rates name."""
Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
PagePath = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-][A-Za-z0-9_./-]{0,127}$(?!\n)")]
Fen = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
MuchFen = Annotated[int, msgspec.Meta(ge=1, le=100_000_000_000)]
Tier = Annotated[int, msgspec.Meta(ge=1, le=20)]
Many = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


# --- rates --------------------------------------------------------------------------------------------------


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rate is for: a level, and whatever else is named must be so. Two rates never have the same scope."""

    level: Level
    product_id: Id | None = None
    campaign_id: Id | None = None
    category_id: Id | None = None
    tier: Tier | None = None
    new_buyers_only: bool = False
    min_order_fen: Fen = 0


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a rate: basis points of what was paid, or so many fen a unit."""

    rate_id: str
    n: int
    since: int
    on: bool
    scope: Scope
    basis: Basis
    value: int


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """What rates may ask of a line that was sold; whether its buyer is new is looked up only if one asks."""

    level: Level
    product_id: str
    quantity: int
    paid_fen: int
    category_ids: Sequence[str] = ()
    campaign_id: str | None = None
    tier: int = 1
    order_fen: int = 0
    new_buyer: Callable[[], bool] = msgspec.field(default=lambda: False)


def best(rates: Sequence[Rate], sold: Sold) -> Rate | None:
    """The rate that serves a line: of those that fit, the most particular.

    The order, the first difference decides: names its product; its campaign; its category; its tier; only new
    buyers; a higher least order. Of two categories of one product the one that gives more for what was paid.
    """
    found = (rate for rate in rates if rate.on and _fits(rate.scope, sold))
    fitting = sorted(found, key=lambda rate: _particular(rate, sold), reverse=True)
    for rate in fitting:
        if not rate.scope.new_buyers_only or sold.new_buyer():
            return rate
    return None


def _fits(scope: Scope, sold: Sold) -> bool:
    return (
        scope.level == sold.level
        and scope.product_id in (None, sold.product_id)
        and scope.campaign_id in (None, sold.campaign_id)
        and (scope.category_id is None or scope.category_id in sold.category_ids)
        and scope.tier in (None, sold.tier)
        and sold.order_fen >= scope.min_order_fen
    )


def _particular(rate: Rate, sold: Sold) -> tuple[Any, ...]:
    scope, paid_fen = rate.scope, sold.paid_fen
    named = (scope.product_id, scope.campaign_id, scope.category_id, scope.tier)
    least = (scope.new_buyers_only, scope.min_order_fen)
    gives_fen = earned_fen(
        basis=rate.basis, value=rate.value, quantity=sold.quantity, paid_fen=paid_fen, base_fen=paid_fen
    )
    return (*(one is not None for one in named), *least, gives_fen, rate.value, rate.rate_id)


def came_from(scope: Scope) -> str:
    """What the scope is named for, in a word: the first of what it names."""
    for name in ("product", "campaign", "category"):
        if getattr(scope, f"{name}_id") is not None:
            return name
    return "tier" if scope.tier is not None else "default"


# --- what is earned -----------------------------------------------------------------------------------------


class Line(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A line of an order as a commission keeps it: what was paid, what is left of it, the rate, what it earns."""

    line_id: str
    product_id: str
    quantity: int
    paid_fen: int
    base_fen: int
    rate_id: str
    rate_n: int
    basis: Basis
    value: int
    source: str
    amount_fen: int


class Change(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Something that happened to a commission, and why; ``fen`` is what it is worth after that."""

    at: int
    what: str
    cause: str
    fen: int


def earned_fen(*, basis: Basis, value: int, quantity: int, paid_fen: int, base_fen: int) -> int:
    """What a line earns, rounded down to the fen; of fen a unit as much as is left of what was paid, in proportion.

    Never more than is left of the line.
    """
    if basis == "bps":
        return part_fen(base_fen, rate_bps=value)
    whole = min(value * quantity, paid_fen)
    return whole * base_fen // paid_fen if paid_fen else 0


def line_of(
    sold: Any,
    rate: Rate,
) -> Line:
    """A line of an order, ``orders.service.Line``, under a rate."""
    given = {"basis": rate.basis, "value": rate.value, "quantity": sold.quantity}
    paid = {"paid_fen": sold.paid_fen, "base_fen": sold.net_fen}
    return Line(
        line_id=sold.line_id,
        product_id=sold.product_id,
        **given,
        **paid,
        rate_id=rate.rate_id,
        rate_n=rate.n,
        source=came_from(rate.scope),
        amount_fen=earned_fen(**given, **paid),
    )


def with_left(line: Line, base_fen: int, *, paid_fen: int | None = None) -> Line:
    """The line when so much is left of it; ``paid_fen``, where what was paid for it became less."""
    paid_fen = line.paid_fen if paid_fen is None else paid_fen
    amount_fen = earned_fen(
        basis=line.basis,
        value=line.value,
        quantity=line.quantity,
        paid_fen=paid_fen,
        base_fen=base_fen,
    )
    return msgspec.structs.replace(line, paid_fen=paid_fen, base_fen=base_fen, amount_fen=amount_fen)


def total_fen(lines: Sequence[Line]) -> int:
    """What the lines earn in all."""
    return sum(line.amount_fen for line in lines)


def base_fen(lines: Sequence[Line]) -> int:
    """What is left of what was paid for the lines."""
    return sum(line.base_fen for line in lines)


# --- terms, tiers, steps ------------------------------------------------------------------------------------


class TierTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tier and all that must be reached for it; the first needs nothing."""

    name: Name
    settled_fen: MuchFen | None = None
    orders: Many | None = None
    invitees: Many | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From so much settled sales of a month on, so many basis points of all of them as a bonus."""

    from_fen: MuchFen
    bonus_bps: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class DistributionTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The terms that promoters agree to. ``earned_by_spend_fen``: who has bought so much is one by it."""

    open: bool = True
    auto_approval: bool = False
    earned_by_spend_fen: MuchFen | None = None
    hold_days: Annotated[int, msgspec.Meta(ge=0, le=180)] = 7
    tiers: Annotated[list[TierTerms], msgspec.Meta(max_length=20)] = []
    steps: Annotated[list[Step], msgspec.Meta(max_length=20)] = []
    landing_page: PagePath = "pages/index/index"
    text_zh: Annotated[str, msgspec.Meta(max_length=5000)] = ""
    text_en: Annotated[str, msgspec.Meta(max_length=5000)] = ""


CONDITIONS = ("settled_fen", "orders", "invitees")


def tier_for(tiers: Sequence[TierTerms], counts: Mapping[str, int]) -> int:
    """The highest tier of which all is reached; 1, if there are none."""
    reached = 1
    for number, tier in enumerate(tiers, start=1):
        asked = {name: getattr(tier, name) for name in CONDITIONS if getattr(tier, name) is not None}
        if all(counts.get(name, 0) >= least for name, least in asked.items()):
            reached = number
    return reached


def step_for(steps: Sequence[Step], sales_fen: int) -> Step | None:
    """The highest step that so much reaches."""
    return next((step for step in reversed(steps) if sales_fen >= step.from_fen), None)
