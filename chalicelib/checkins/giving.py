"""What a turn gives and what it costs, as writes of the transaction that marks it; one line for each kind of gift.

Several postings to one account are one, so a price is set off against what the same turn brings.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from chalicelib.checkins.rules import Gifts
from chalicelib.core import ledger, table
from chalicelib.core.errors import AppError, Busy
from chalicelib.core.table import Write
from chalicelib.coupons import service as coupons
from chalicelib.points import service as points

MAKEUP_CARD, FREEZE_CARD = "makeup_card", "freeze_card"


class CardsShort(Exception):
    """There are fewer freeze cards than were counted on."""


class NotGiven(Exception):
    """A coupon of this template cannot be given, and why."""

    def __init__(self, template_id: str, code: str) -> None:
        super().__init__(f"{template_id}: {code}")
        self.template_id = template_id
        self.code = code


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a make-up costs: points, or a card."""

    points: int = 0
    cards: int = 0


class Handing(msgspec.Struct, frozen=True, kw_only=True):
    """To whom, for what, and how much of each kind in all; below zero it is taken."""

    member_id: str
    cause: str
    reason: str
    now: int
    amounts: Mapping[str, int]
    coupons: Sequence[str] = ()


Giver = Callable[[Handing], Sequence[Write]]


def price_of(makeups: Mapping[str, Any], pay: Literal["points", "card"] | str | None) -> Price | None:
    """What a make-up costs, paid in this way; None: not to be had so."""
    if makeups["points"] is not None and pay in ("points", None):
        return Price(points=makeups["points"])
    return Price(cards=1) if makeups["cards"] and pay in ("card", None) else None


def freeze_cards(member_id: str) -> int:
    """How many missed turns a member could have frozen."""
    return ledger.balance(owner=member_id, book=FREEZE_CARD)


def without(gifts: Gifts, missed: Mapping[str, str]) -> Gifts:
    """The gifts less the coupons that could not be given."""
    return Gifts({gift: amount for gift, amount in gifts.items() if gift[1] not in missed})


def handed(
    gifts: Gifts, *, member_id: str, cause: str, price: Price | None, freezes: int, now: int
) -> list[Write]:
    """The writes that give the gifts and take the price, once for ``cause``.

    Raises (when sent):
        NotEnoughPoints, NotEnough: points or make-up cards are too few. CardsShort: freeze cards are. NotGiven: a
        coupon is not to be had. Taken: the cause was given before.
    """
    amounts = {kind: gifts[kind, ""] for kind in ("points", "growth", MAKEUP_CARD, FREEZE_CARD)}
    amounts["points"] -= price.points if price else 0
    amounts[MAKEUP_CARD] -= price.cards if price else 0
    amounts[FREEZE_CARD] -= freezes
    templates = [template for kind, template in sorted(gifts) if kind == "coupon"]
    reason = "makeup" if price else "checkin"
    handing = Handing(
        member_id=member_id, cause=cause, reason=reason, now=now, amounts=amounts, coupons=templates
    )
    return [write for giver in GIVERS for write in giver(handing)]


def _points(handing: Handing) -> Sequence[Write]:
    """Points and growth; what a level adds to points is the points room's own."""
    net, growth = handing.amounts["points"], handing.amounts["growth"]
    told: dict[str, Any] = {"cause": handing.cause, "reason": handing.reason, "now": handing.now}
    taken = points.spent(handing.member_id, points=-net, **told) if net < 0 else []
    return [*taken, *points.earned(handing.member_id, points=max(net, 0), growth=growth, **told)]


def _makeup_cards(handing: Handing) -> Sequence[Write]:
    return _posted(handing, MAKEUP_CARD)


def _freeze_cards(handing: Handing) -> Sequence[Write]:
    return _posted(handing, FREEZE_CARD, short=lambda _: CardsShort())


def _posted(handing: Handing, book: str, **refusals: Any) -> list[Write]:
    amount = handing.amounts[book]
    if not amount:
        return []
    return ledger.posted(
        owner=handing.member_id,
        book=book,
        amount=amount,
        cause=handing.cause,
        reason=handing.reason,
        now=handing.now,
        **refusals,
    )


def _coupons(handing: Handing) -> Sequence[Write]:
    """One coupon of each template; the stock of a template is not taken from twice in one transaction."""
    writes: list[Write] = []
    for template_id in handing.coupons:
        try:
            told: dict[str, Any] = {"cause": handing.cause, "now": handing.now}
            granted = coupons.granted(template_id, handing.member_id, **told)
        except AppError as refused:
            raise _not_given(refused, template_id) from refused
        writes += [_named(write, template_id) for write in granted]
    return writes


def _named(write: Write, template_id: str) -> Write:
    """The same write, whose refusal says which coupon it was about."""

    def refuse(row: Any) -> Exception:
        refused = table.refusal(write, row)
        return _not_given(refused, template_id) if isinstance(refused, AppError) else refused

    return write.but(refuse=refuse)


def _not_given(refused: AppError, template_id: str) -> Exception:
    if isinstance(refused, coupons.AlreadyGranted):
        return table.Taken(None)
    return refused if isinstance(refused, Busy) else NotGiven(template_id, refused.code)


GIVERS: list[Giver] = [_points, _makeup_cards, _freeze_cards, _coupons]
"""Who hands what over; a new kind of gift is a line here."""
