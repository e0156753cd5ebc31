"""The gifts of the house: points, growth, cards, coupons, badges; each by its own room's writes."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from chalicelib.core import ledger
from chalicelib.core.errors import Conflict, Invalid, NotFound
from chalicelib.core.table import Write
from chalicelib.coupons import service as coupons
from chalicelib.coupons import templates, using
from chalicelib.points import badges
from chalicelib.points import service as points
from chalicelib.points.goods import CARDS
from chalicelib.rewards.gifts import Giving, Kind, kind, specs
from chalicelib.rewards.rules import GiftSpec, Piece


class BadgeHeld(Conflict):
    """The member has this badge already."""

    code = "badge_held"
    en = "You have this badge already."
    zh = "你已拥有该勋章。"
    advice = "Nothing to do."


class GiftStays(Conflict):
    """A gift of this kind is not taken back."""

    code = "gift_stays"
    en = "This gift stays with you."
    zh = "该奖励不予收回。"
    advice = "Nothing to do."


# --- points and growth --------------------------------------------------------------------------------------


def _amount(pieces: Sequence[Piece], name: str) -> int:
    return sum(piece.amount for piece in pieces if piece.kind == name)


def _earned(giving: Giving) -> list[Write]:
    """One posting to each of the two accounts."""
    return points.earned(
        giving.member_id,
        points=_amount(giving.pieces, "points"),
        growth=_amount(giving.pieces, "growth"),
        cause=giving.cause,
        reason=giving.reason,
        now=giving.now,
    )


def _unearned(giving: Giving) -> list[Write]:
    """What was spent already becomes a debt."""
    writes: list[Write] = []
    for book in ("points", "growth"):
        if _amount(giving.pieces, book):
            told: dict[str, Any] = {"cause": giving.cause, "reason": giving.reason, "now": giving.now}
            writes += points.reversal(giving.member_id, book=book, **told, **_in_part(giving, book))
    return writes


def _in_part(giving: Giving, book: str) -> dict[str, Any]:
    """How much of what was posted goes back, in proportion to the pieces: a level may have added to them."""
    if not giving.part:
        return {}
    entry = ledger.find(owner=giving.member_id, book=book, cause=giving.cause)
    left, had = entry.left if entry is not None else 0, _amount(giving.of, book)
    return {"amount": left - left * (had - _amount(giving.pieces, book)) // had, "part": giving.part}


def _worded(zh: str, en: str) -> Kind:
    return Kind(
        spec=GiftSpec(needs_id=False, counted=True),
        given=_earned,
        taken_back=_unearned,
        words=lambda _, amount, lang, now: f"{amount}{zh}" if lang == "zh" else f"{amount} {en}",
        account="points",
    )


kind("points", _worded("积分", "points"))
kind("growth", _worded("成长值", "growth"))


# --- cards --------------------------------------------------------------------------------------------------

_CARD_WORDS = {"makeup_card": ("补签卡", "make-up cards"), "freeze_card": ("保护卡", "freeze cards")}


def _cards_given(giving: Giving, *, book: str) -> list[Write]:
    return ledger.posted(
        owner=giving.member_id,
        book=book,
        amount=_amount(giving.pieces, book),
        cause=giving.cause,
        reason=giving.reason,
        now=giving.now,
    )


def _cards_back(giving: Giving, *, book: str) -> list[Write]:
    return ledger.reversal(
        owner=giving.member_id,
        book=book,
        cause=giving.cause,
        reason=giving.reason,
        now=giving.now,
        **_in_part(giving, book),
    )


def _card_words(gift_id: str | None, amount: int, lang: str, now: int, *, book: str) -> str:
    zh, en = _CARD_WORDS[book]
    return f"{amount}张{zh}" if lang == "zh" else f"{amount} {en}"


for card in CARDS:
    kind(
        card,
        Kind(
            spec=GiftSpec(needs_id=False, counted=True),
            given=partial(_cards_given, book=card),
            taken_back=partial(_cards_back, book=card),
            words=partial(_card_words, book=card),
        ),
    )


# --- coupons ------------------------------------------------------------------------------------------------


def _coupon_given(giving: Giving) -> list[Write]:
    return coupons.granted(_id(giving), giving.member_id, cause=giving.cause, now=giving.now)


def _coupon_back(giving: Giving) -> list[Write]:
    return using.taken_back(_id(giving), giving.member_id, cause=giving.cause, now=giving.now)


def _id(giving: Giving) -> str:
    return giving.pieces[0].id or ""


def _coupon_words(gift_id: str | None, amount: int, lang: str, now: int) -> str:
    try:
        title = templates.find(gift_id or "", now=now).title
    except NotFound:
        title = ""
    return f"优惠券「{title}」" if lang == "zh" else f"the coupon “{title}”"


def _check_coupon(gift_id: str | None, now: int, field: str) -> None:
    try:
        templates.find(gift_id or "", now=now)
    except NotFound as missing:
        raise Invalid(field=f"{field}.id", reason="there is no such coupon template") from missing


kind(
    "coupon",
    Kind(
        spec=GiftSpec(needs_id=True, counted=False),
        given=_coupon_given,
        taken_back=_coupon_back,
        words=_coupon_words,
        check=_check_coupon,
    ),
)


# --- badges -------------------------------------------------------------------------------------------------


def _badge_given(giving: Giving) -> list[Write]:
    award = badges.awarded(giving.member_id, _id(giving), now=giving.now)
    return [award.but(refuse=BadgeHeld)]


def _badge_back(giving: Giving) -> list[Write]:
    raise GiftStays


def _badge_title(gift_id: str | None, now: int) -> str | None:
    return next((badge.title for badge in badges.everything(now=now) if badge.badge_id == gift_id), None)


def _badge_words(gift_id: str | None, amount: int, lang: str, now: int) -> str:
    title = _badge_title(gift_id, now) or ""
    return f"勋章「{title}」" if lang == "zh" else f"the badge “{title}”"


def _check_badge(gift_id: str | None, now: int, field: str) -> None:
    if _badge_title(gift_id, now) is None:
        raise Invalid(field=f"{field}.id", reason="there is no such badge")


kind(
    "badge",
    Kind(
        spec=GiftSpec(needs_id=True, counted=False),
        given=_badge_given,
        taken_back=_badge_back,
        words=_badge_words,
        check=_check_badge,
    ),
)


def names() -> list[str]:
    """The kinds of gifts that rules may give, those of other rooms included."""
    return sorted(specs())
