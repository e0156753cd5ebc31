"""Pure rules of coupons: what they are worth on a basket, together and alone, when they hold, and for whom.

Each coupon is worth what it is worth on the basket's own amounts, whatever else is used; together they never take
more off a line than the line has. So the order in which coupons are laid down does not matter to the sum.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from chalicelib.core.clock import DAY
from chalicelib.core.errors import Invalid
from chalicelib.core.money import part_fen, share_within_fen

STACK_AT_MOST = 5
"""Coupons that one order may use."""
LOOKS_AT_MOST = 5000
"""Combinations that a quote weighs; nobody's real wallet comes near it, and no made-up one holds up the rest."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a coupon is worth, on what, from which amount on, and beside which others.

    ``percent_bps`` is what is taken off. A fixed price, and an exchange, is for one unit, the dearest.
    """

    kind: str
    value_fen: int = 0
    percent_bps: int = 0
    cap_fen: int | None = None
    threshold_fen: int = 0
    scope: Mapping[str, Any] = msgspec.field(default_factory=lambda: {"kind": "all"})
    exclusive: bool = True
    group: str | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a basket."""

    product_id: str
    category_ids: tuple[str, ...] = ()
    price_fen: int
    quantity: int = 1

    @property
    def amount_fen(self) -> int:
        """What the line costs."""
        return self.price_fen * self.quantity


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is about to buy."""

    lines: tuple[Line, ...]
    freight_fen: int = 0


class Saving(msgspec.Struct, frozen=True, kw_only=True):
    """What comes off each line, and off the freight."""

    per_line: tuple[int, ...]
    freight_fen: int = 0

    @property
    def fen(self) -> int:
        """What comes off in all."""
        return sum(self.per_line) + self.freight_fen


class WhyNot(msgspec.Struct, frozen=True, kw_only=True):
    """Why a coupon does not apply: a code, and what goes with it."""

    code: str
    details: Mapping[str, int] = msgspec.field(default_factory=dict)


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon that applies."""

    coupon_id: str
    terms: Terms
    group: str
    ends_at: int
    saving: Saving


# --- one coupon ---------------------------------------------------------------------------------------------


def in_scope(scope: Mapping[str, Any], product_id: str, category_ids: Collection[str]) -> bool:
    """Whether a product is meant."""
    if product_id in scope.get("exclude_product_ids", ()):
        return False
    if scope["kind"] == "products":
        return product_id in scope.get("ids", ())
    if scope["kind"] == "categories":
        return bool(set(category_ids) & set(scope.get("ids", ())))
    return True


def saving_of(terms: Terms, basket: Basket) -> Saving | WhyNot:
    """What a coupon alone saves on a basket, or why it saves nothing."""
    meant = [in_scope(terms.scope, line.product_id, line.category_ids) for line in basket.lines]
    amounts = [line.amount_fen if yes else 0 for line, yes in zip(basket.lines, meant, strict=True)]
    if not any(meant):
        return WhyNot(code="not_in_scope")
    if sum(amounts) < terms.threshold_fen:
        missing = terms.threshold_fen - sum(amounts)
        return WhyNot(code="below_threshold", details={"missing_fen": missing})
    if terms.kind == "free_shipping":
        saving = Saving(per_line=(0,) * len(amounts), freight_fen=_capped(basket.freight_fen, terms))
    elif terms.kind in ("fixed_price", "exchange"):
        saving = _one_unit(terms, basket, meant)
    else:
        off = terms.value_fen if terms.kind == "amount_off" else _percent(sum(amounts), terms)
        saving = Saving(per_line=shared(min(off, sum(amounts)), amounts))
    return saving if saving.fen else WhyNot(code="saves_nothing")


def _percent(amount_fen: int, terms: Terms) -> int:
    return _capped(part_fen(amount_fen, rate_bps=terms.percent_bps), terms)


def _capped(fen: int, terms: Terms) -> int:
    return fen if terms.cap_fen is None else min(fen, terms.cap_fen)


def _one_unit(terms: Terms, basket: Basket, meant: Sequence[bool]) -> Saving:
    price = terms.value_fen if terms.kind == "fixed_price" else 0
    dearest = max(
        (at for at, yes in enumerate(meant) if yes and basket.lines[at].quantity),
        key=lambda at: basket.lines[at].price_fen,
        default=0,
    )
    off = _capped(max(0, basket.lines[dearest].price_fen - price), terms) if any(meant) else 0
    return Saving(per_line=tuple(off if at == dearest else 0 for at in range(len(meant))))


def shared(fen: int, amounts: Sequence[int]) -> tuple[int, ...]:
    """``fen`` over lines in proportion, the last taking the remainder; what the last cannot bear, others do.

    ``fen`` is at most the sum of ``amounts``, and no line gives more than it has.
    """
    return tuple(share_within_fen(fen, most=amounts))


# --- several ------------------------------------------------------------------------------------------------


def together(savings: Sequence[Saving], basket: Basket) -> list[Saving]:
    """What each saves when all are used: the later ones no more than the earlier have left."""
    left, freight = [line.amount_fen for line in basket.lines], basket.freight_fen
    real = []
    for saving in savings:
        per_line = tuple(min(off, has) for off, has in zip(saving.per_line, left, strict=True))
        off_freight = min(saving.freight_fen, freight)
        left = [has - off for has, off in zip(left, per_line, strict=True)]
        freight -= off_freight
        real.append(Saving(per_line=per_line, freight_fen=off_freight))
    return real


def total(savings: Sequence[Saving], basket: Basket) -> int:
    """What all of them save together."""
    return sum(saving.fen for saving in together(savings, basket))


def may_combine(options: Sequence[Option]) -> bool:
    """An exclusive coupon is used alone, of a group one is used, and an order uses a few at most."""
    if len(options) > STACK_AT_MOST or (len(options) > 1 and any(one.terms.exclusive for one in options)):
        return False
    return len({one.group for one in options}) == len(options)


def best(options: Sequence[Option], basket: Basket) -> tuple[Option, ...]:
    """The allowed combination that saves most; of equal ones fewer coupons, and those that end first.

    Together coupons never save more than the sum of what each saves alone, so a branch that cannot reach the best
    so far even then is not walked. Exact, but for wallets that would take more than `LOOKS_AT_MOST` looks.
    """
    ranked = sorted(options, key=lambda one: (-one.saving.fen, one.ends_at, one.coupon_id))
    # The walk takes the first of two that save the same, which is the smaller one and the one that ends first.
    found = deque(islice(_better(ranked, basket), LOOKS_AT_MOST), maxlen=1)
    return found[0]


def _better(ranked: Sequence[Option], basket: Basket) -> Iterator[tuple[Option, ...]]:
    """The best combination seen so far, after each look."""
    found: tuple[Option, ...] = ()
    most = 0
    stack: list[tuple[tuple[Option, ...], int]] = [((), 0)]
    whole = sum(line.amount_fen for line in basket.lines) + basket.freight_fen
    while stack:
        chosen, at = stack.pop()
        fen = total([one.saving for one in chosen], basket)
        if fen > most:
            found, most = chosen, fen
        yield found
        room = STACK_AT_MOST - len(chosen)
        following = []
        for next_at in range(at, len(ranked)):
            reach = fen + sum(one.saving.fen for one in ranked[next_at : next_at + room])
            if min(reach, whole) <= most:
                break
            if may_combine([*chosen, ranked[next_at]]):
                following.append(((*chosen, ranked[next_at]), next_at + 1))
        stack += reversed(following)


# --- when and for whom --------------------------------------------------------------------------------------


def window(validity: Mapping[str, Any], *, now: int, zone: ZoneInfo) -> tuple[int, int]:
    """From when until when a coupon claimed now can be used; whole days end as the brand's days do."""
    if validity["kind"] == "fixed":
        return validity["starts_at"], validity["ends_at"]
    if not validity.get("from_next_day"):
        return now, now + validity["days"] * DAY
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today + timedelta(days=1)
    return int(first.timestamp()), int((first + timedelta(days=validity["days"])).timestamp())


def why_not_for(
    audience: Mapping[str, Any],
    *,
    registered_at: int,
    tags: Collection[str],
    level: int,
    new_since: int,
    now: int,
) -> str | None:
    """Why a member may not claim: a code; None when they may.

    New is who registered after claiming began (``new_since``), or within the audience's last days.
    """
    kind = audience["kind"]
    if kind == "new_members":
        days = audience.get("within_days")
        since = new_since if days is None else now - days * DAY
        return None if registered_at >= since else "new_members_only"
    if kind == "level":
        return None if level >= audience["at_least"] else "level_too_low"
    if kind == "tag":
        return None if set(tags) & set(audience["any_of"]) else "tag_missing"
    return "not_for_claiming" if kind == "none" else None


# --- what a struct cannot say -------------------------------------------------------------------------------

_WORTH = {
    "amount_off": "value_fen",
    "percent_off": "percent_bps",
    "fixed_price": "value_fen",
}


def valid_template(given: Any, *, levels: int) -> None:
    """What a struct cannot say of a template; ``levels``: how many the shop has.

    Raises:
        Invalid: the first thing that is wrong, by its field.
    """
    needed = _WORTH.get(given.kind)
    if needed and getattr(given, needed) is None:
        raise Invalid(field=needed, reason=f"{given.kind} needs it")
    if given.kind == "amount_off" and not given.value_fen:
        raise Invalid(field="value_fen", reason="it must be above zero")
    if given.claim.ends_at <= given.claim.starts_at:
        raise Invalid(field="claim.ends_at", reason="it must be after starts_at")
    if given.scope.kind != "all" and not given.scope.ids:
        raise Invalid(field="scope.ids", reason=f"{given.scope.kind} needs some")
    if given.stock_shards > 1 and given.stock is not None and given.stock < given.stock_shards:
        raise Invalid(field="stock_shards", reason="more shards than units")
    _valid_validity(given.validity, claim=given.claim)
    valid_audience(given.audience, levels=levels)


def _valid_validity(validity: Any, *, claim: Any) -> None:
    if validity.kind == "days":
        if validity.days is None:
            raise Invalid(field="validity.days", reason="days needs it")
        return
    if validity.starts_at is None or validity.ends_at is None:
        raise Invalid(field="validity.ends_at", reason="fixed needs starts_at and ends_at")
    if validity.ends_at <= validity.starts_at:
        raise Invalid(field="validity.ends_at", reason="it must be after starts_at")
    if validity.ends_at <= claim.starts_at:
        raise Invalid(field="validity.ends_at", reason="it ends before anybody can claim")


def valid_audience(audience: Any, *, levels: int) -> None:
    """Who may claim is said in full.

    Raises:
        Invalid: it is not, or the shop has no such level.
    """
    if audience.kind == "level" and audience.at_least is None:
        raise Invalid(field="for.at_least", reason="level needs it")
    if audience.kind == "level" and audience.at_least > levels:
        raise Invalid(field="for.at_least", reason="the shop has no such level", levels=levels)
    if audience.kind == "tag" and not audience.any_of:
        raise Invalid(field="for.any_of", reason="tag needs some")
