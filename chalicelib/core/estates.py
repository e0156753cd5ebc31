"""What a member has in each room, when it concerns every room: two members become one, or one leaves.

A room declares how its part is handed over, told, held against leaving, and erased; `members` asks all of them and
knows none. What a room does here is done again after a failure, so that each step is a condition on its own rows.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from chalicelib.core import ledger, table
from chalicelib.core.table import Row

F = TypeVar("F", bound=Callable[..., Any])
TOLD_AT_MOST = 1000
"""Of each kind of thing, how many are told to a member who asks for all; the newest."""
_THE_STORE_S = frozenset(Row.get_attributes()) - {"state"} | {"fingerprint"}


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """What a member must end first; ``code`` is API, ``details`` name the things."""

    code: str
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)


HandOver = Callable[[str, str, int], bool]
"""(from, to, now) -> whether anything was still there; asked again until it says no."""
Export = Callable[[str, int], Mapping[str, Any]]
"""(member, now) -> all that the room keeps of them, by a name that says what it is."""
Obstacles = Callable[[str, int], Sequence[Obstacle]]
Erase = Callable[[str, int], bool]
"""(member, now) -> whether there was still something to erase; asked again until it says no."""

_hand_overs: dict[str, HandOver] = {}
_exports: dict[str, Export] = {}
_obstacles: dict[str, Obstacles] = {}
_erasures: dict[str, Erase] = {}


def _declared(found: dict[str, F], room: str) -> Callable[[F], F]:
    def declare(do: F) -> F:
        found[room] = do
        return do

    return declare


def hands_over(room: str) -> Callable[[HandOver], HandOver]:
    """Declare how this room's things of one member become another's."""
    return _declared(_hand_overs, room)


def exports(room: str) -> Callable[[Export], Export]:
    """Declare what this room tells a member of themselves."""
    return _declared(_exports, room)


def obstructs(room: str) -> Callable[[Obstacles], Obstacles]:
    """Declare what in this room must end before a member can leave."""
    return _declared(_obstacles, room)


def erases(room: str) -> Callable[[Erase], Erase]:
    """Declare how this room forgets who a member was; ledgers stay, under a name that means nobody."""
    return _declared(_erasures, room)


def hand_overs() -> Mapping[str, HandOver]:
    """By room, in the order of declaration."""
    return _hand_overs


def exported(member_id: str, *, now: int) -> dict[str, Mapping[str, Any]]:
    """All that is kept of a member, by room."""
    return {room: tell(member_id, now) for room, tell in _exports.items()}


def obstacles(member_id: str, *, now: int) -> list[Obstacle]:
    """All that a member must end first."""
    return [found for ask in _obstacles.values() for found in ask(member_id, now)]


def erasures() -> Mapping[str, Erase]:
    """By room, in the order of declaration."""
    return _erasures


# --- lists that go over, or go ----------------------------------------------------------------------------------


class _Gone(Exception):
    """It is so already."""


def _gone(_: Any) -> Exception:
    return _Gone()


def list_handed_over(name: str, member_id: str, into: str) -> bool:
    """A page of a member's list is another's, each row by a write of its own; whether there were any.

    The rows name their member in ``member_id``.
    """
    rows = table.owned(f"{member_id}#{name}", limit=100).rows
    for row in rows:
        kind: Any = type(row)
        theirs = (kind.member_id.set(into), kind.owner.set(f"{into}#{name}"))
        own = kind.member_id == member_id
        with suppress(_Gone):
            table.apply(table.update(kind, (row.pk, row.sk), *theirs, when=own, refuse=_gone))
    return bool(rows)


def erased(kind: type[Row], key: table.Key) -> bool:
    """Erase a row; gone already, nothing changes. Whether it was there."""
    with suppress(_Gone):
        table.apply(table.delete(kind, key, refuse=_gone))
        return True
    return False


def list_erased(name: str, member_id: str) -> bool:
    """Erase all rows of a member's list; whether there were any."""
    rows = [row for page in table.owned_pages(f"{member_id}#{name}") for row in page.rows]
    gone = [erased(type(row), (row.pk, row.sk)) for row in rows]
    return any(gone)


# --- how it is told ---------------------------------------------------------------------------------------------


def told(row: Row, *, without: Collection[str] = ()) -> dict[str, Any]:
    """What a row says of its member, but for what the store alone needs and what is left out by name."""
    hidden = _THE_STORE_S.union(without)
    values = {name: getattr(row, name) for name in row.get_attributes() if name not in hidden}
    return {
        name: sorted(value) if isinstance(value, set | frozenset) else value
        for name, value in values.items()
        if value is not None
    }


def some(rows: Iterable[Row], *, without: Collection[str] = (), more: bool = False) -> dict[str, Any]:
    """The first thousand of these, and whether there are more."""
    found = list(rows)
    items = [told(row, without=without) for row in found[:TOLD_AT_MOST]]
    return {"items": items, "truncated": more or len(found) > TOLD_AT_MOST}


def listed(owner: str, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The newest thousand of a member's list in the owner index, as `some` tells them."""
    rows: list[Row] = []
    for page in table.owned_pages(owner):
        rows += page.rows
        if len(rows) >= TOLD_AT_MOST:
            return some(rows, without=without, more=page.next_key is not None)
    return some(rows, without=without)


def of_partition(kind: type[Row], pk: str, sk: Any = None) -> dict[str, Any]:
    """The newest thousand of a partition of the member's own, as `some` tells them."""
    page = table.query(kind, pk, sk, limit=TOLD_AT_MOST, newest_first=True)
    return some(page.rows, more=page.next_key is not None)


def account(owner: str, book: str) -> dict[str, Any]:
    """What a member has in a book, and the newest thousand of its entries."""
    kept = table.get(ledger.Account, ledger.Account.key(owner, book))
    have = {"balance": kept.balance or 0, "frozen": kept.frozen or 0} if kept else {"balance": 0, "frozen": 0}
    return {**have, "entries": listed(f"{owner}#{book}", without=("left", "month", "about"))}
