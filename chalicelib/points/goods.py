"""What points can buy and a level can bring, by kind; other rooms add theirs.

A kind of goods is its writes, which join the transaction that pays for them under its cause, and carry the
conditions and refusals of their own room; and a check of what an operator configures.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from chalicelib.core import ledger
from chalicelib.core.errors import Invalid
from chalicelib.core.table import Write

What = dict[str, Any]
CARDS = ("makeup_card", "freeze_card")


class Giving(msgspec.Struct, frozen=True, kw_only=True):
    """To whom, what, and the natural key under which it is given once."""

    member_id: str
    what: What
    cause: str
    now: int


Give = Callable[[Giving], Sequence[Write]]
Check = Callable[[What, int], None]


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    give: Give
    check: Check


_kinds: dict[str, _Kind] = {}


def goods(kind: str, *, give: Give, check: Check) -> None:
    """Add a kind of goods; its name is for ever. ``check(what, now)`` raises Invalid for what cannot be given."""
    _kinds[kind] = _Kind(give=give, check=check)


def check(kind: str, what: What, *, now: int) -> None:
    """What an operator configured can be given.

    Raises:
        Invalid: there is no such kind, or nothing like this in it.
    """
    if kind not in _kinds:
        raise Invalid(field="goods", reason="no such kind", kinds=sorted(_kinds))
    _kinds[kind].check(what, now)


def given(kind: str, giving: Giving) -> list[Write]:
    """The writes that give it."""
    return list(_kinds[kind].give(giving))


def _cards(book: str) -> Give:
    def give(giving: Giving) -> list[Write]:
        return ledger.posted(
            owner=giving.member_id,
            book=book,
            amount=giving.what["count"],
            cause=giving.cause,
            reason="points",
            now=giving.now,
        )

    return give


def _check_cards(what: What, now: int) -> None:
    count = what.get("count")
    if set(what) != {"count"} or type(count) is not int or not 1 <= count <= 100:
        raise Invalid(field="what", reason="{count: 1 to 100} is needed")


for card in CARDS:
    goods(card, give=_cards(card), check=_check_cards)
