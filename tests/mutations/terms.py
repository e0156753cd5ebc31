"""The conditions of writes as terms with a name, and the app without some of them.

    with recording() as seen:                        # every term of every write that is built
        ...
    with without({Term(...)}):                       # the app as if somebody had forgotten it
        ...

A term is one comparison in the condition of one kind of row, in the writes that one function builds for another:
``settling._late → settling._one_less: Group free >= ?``. Core asks the same for whomever it asks, and of whatever
kind of row: ``due.postpone: Row due_at = ?``. Nothing in the source is touched: the functions of `core/table` that
build writes, and `Write.also`, are wrapped, and look who calls them.
"""

import sys
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from pynamodb.expressions.condition import Condition

from chalicelib.core import table
from chalicelib.core.table import Row, Write

BUILDERS = ("create", "update", "upsert", "delete", "check")
ROOMS = {
    "chalicelib.groupbuys.campaigns": "campaigns",
    "chalicelib.groupbuys.closing": "closing",
    "chalicelib.groupbuys.editing": "editing",
    "chalicelib.groupbuys.ending": "ending",
    "chalicelib.groupbuys.holding": "holding",
    "chalicelib.groupbuys.service": "service",
    "chalicelib.groupbuys.settling": "settling",
    "chalicelib.groupbuys.shelving": "shelving",
    "chalicelib.orders.byhand": "byhand",
    "chalicelib.orders.giving": "orders",
    "chalicelib.orders.service": "orders",
}
"""Whose functions are named, and by what."""
CORE = {
    "chalicelib.core.due": "due",
    "chalicelib.core.facts": "facts",
    "chalicelib.operators.stuck": "stuck",
}
"""What rooms use and what calls them back: its functions are named alone."""
OTHERS = ("orders.aftersale", "orders.shipped", "orders.named")
"""What the mall tells of its own doings, of which no seat and no money hangs."""
SHOWN = ("state",)
"""Attributes whose value is a part of the rule."""


@dataclass(frozen=True, order=True, kw_only=True)
class Term:
    """One comparison in one kind of write."""

    site: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.site}: {self.kind} {self.text}"

    @classmethod
    def parsed(cls, told: str) -> "Term":
        """The term of this name."""
        site, _, rest = told.partition(": ")
        kind, _, text = rest.partition(" ")
        return cls(site=site, kind=kind, text=text)


Seen = Callable[[Set[Term]], object]


@contextmanager
def recording() -> Iterator[set[Term]]:
    """The terms of every write that the rooms build meanwhile."""
    seen: set[Term] = set()
    with _watched(frozenset(), seen.update):
        yield seen


@contextmanager
def without(terms: Set[Term]) -> Iterator[None]:
    """These terms are not asked for."""
    with _watched(terms, lambda seen: None):
        yield


@contextmanager
def _watched(off: Set[Term], seen: Seen) -> Iterator[None]:
    real = {name: getattr(table, name) for name in BUILDERS}
    also = Write.also
    for name, build in real.items():
        setattr(table, name, _watching(build, off, seen))
    setattr(Write, "also", _watching_more(also, off, seen))  # noqa: B010 - a method is not assigned to
    try:
        yield
    finally:
        for name, build in real.items():
            setattr(table, name, build)
        setattr(Write, "also", also)  # noqa: B010


def _watching(build: Callable[..., Write], off: Set[Term], seen: Seen) -> Callable[..., Write]:
    def watched(*args: Any, **how: Any) -> Write:
        write = build(*args, **how)
        return replace(write, when=_asked(write.row, write.when, sys._getframe(1), off, seen))

    return watched


def _watching_more(also: Callable[..., Write], off: Set[Term], seen: Seen) -> Callable[..., Write]:
    def watched(write: Write, when: Condition) -> Write:
        more = _asked(write.row, when, sys._getframe(1), off, seen)
        return write if more is None else also(write, more)

    return watched


def _asked(row: Row, when: Condition | None, frame: FrameType, off: Set[Term], seen: Seen) -> Any:
    """What is still asked of the row when these terms are off; outside the rooms, all of it."""
    site = _site(frame)
    if site is None or when is None or site.startswith(OTHERS):
        return when
    kind = _kind(row, site)
    seen({Term(site=site, kind=kind, text=text(leaf)) for leaf in leaves(when)})
    return _left(when, {one.text for one in off if (one.site, one.kind) == (site, kind)})


def _site(frame: FrameType | None) -> str | None:
    """Who builds the write, and for whom; None outside the rooms."""
    names: list[str] = []
    while frame is not None and len(names) < 2:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module in CORE:
            return " → ".join(names) or f"{CORE[module]}.{name}"
        if module not in (*ROOMS, __name__):
            break
        # Worn twice, as when a trial is recorded, the builders are called by each other.
        if module in ROOMS and not name.startswith("<"):
            names.insert(0, f"{ROOMS[module]}.{name}")
        frame = frame.f_back
    return " → ".join(names) or None


def _kind(row: Row, site: str) -> str:
    """Whatever kind core is given is any row to it, but for the kinds that it has itself."""
    kind = type(row)
    given = site.partition(".")[0] in CORE.values() and kind.__module__ not in CORE
    return "Row" if given else kind.__name__


def leaves(condition: Condition) -> Iterator[Condition]:
    """Its comparisons."""
    if condition.operator in ("AND", "OR"):
        for one in condition.values:
            yield from leaves(one)
    else:
        yield condition


def text(leaf: Condition) -> str:
    """A comparison in words that are the same whatever it compares with."""
    path, *others = leaf.values
    name = ".".join(path.path) if hasattr(path, "path") else str(path)
    if leaf.operator == "attribute_exists":
        return "exists" if name == "pk" else f"{name} exists"
    if leaf.operator == "attribute_not_exists":
        return "is new" if name == "pk" else f"no {name}"
    told = [next(iter(one.value.values())) if name in SHOWN else "?" for one in others]
    return f"{name} {leaf.operator.lower()} {' or '.join(told)}"


def _left(condition: Any, off: Set[str]) -> Any:
    """The condition when these comparisons always hold; None: nothing is asked any more."""
    if condition.operator not in ("AND", "OR"):
        return None if text(condition) in off else condition
    one, other = (_left(part, off) for part in condition.values)
    if condition.operator == "OR":
        return one | other if one is not None and other is not None else None
    if one is None or other is None:
        return other if one is None else one
    return one & other
