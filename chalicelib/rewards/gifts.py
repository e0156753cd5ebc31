"""What rules can give, by kind. A kind of gift is its writes, the writes that take it back, and its words.

The writes join the transaction of the grant, so they carry conditions of their own: what one of them refuses is
not given and is said to be missed, and holds up nothing else. Amounts of one ``account`` are one posting.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from chalicelib.core.table import Write
from chalicelib.rewards.rules import GiftSpec, Piece


class Giving(msgspec.Struct, frozen=True, kw_only=True):
    """Pieces of one account for one member; ``cause`` is the natural key under which they are given once.

    Taken back, they may be a ``part`` of all that is there of the account, ``of``; of its own natural key too.
    """

    member_id: str
    pieces: Sequence[Piece]
    cause: str
    reason: str
    now: int
    part: str = ""
    of: Sequence[Piece] = ()


Writes = Callable[[Giving], list[Write]]
Words = Callable[[str | None, int, str, int], str]
"""Of which, how much, in which language, now."""
Check = Callable[[str | None, int, str], None]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of gift; ``check``: (id, now, field) raises Invalid when there is nothing of this id."""

    spec: GiftSpec
    given: Writes
    taken_back: Writes
    words: Words
    account: str | None = None
    check: Check = lambda gift_id, now, field: None


_kinds: dict[str, Kind] = {}


def kind(name: str, what: Kind) -> None:
    """Add a kind of gift; its name is for ever."""
    _kinds[name] = what


def specs() -> Mapping[str, GiftSpec]:
    """What rules may give."""
    return {name: one.spec for name, one in _kinds.items()}


def find(name: str) -> Kind:
    """The kind of this name; rules are only made of kinds that are there, and kinds never go."""
    return _kinds[name]


def accounts(pieces: Sequence[Piece]) -> dict[str, list[Piece]]:
    """The pieces by what one posting takes: those of one account together, the others each alone."""
    found: dict[str, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(find(piece.kind).account or f"{piece.kind}#{piece.id}", []).append(piece)
    return found


def given(giving: Giving) -> list[Write]:
    """The writes that give the pieces of one account."""
    return find(giving.pieces[0].kind).given(giving)


def taken_back(giving: Giving) -> list[Write]:
    """The writes that take them back."""
    return find(giving.pieces[0].kind).taken_back(giving)
