"""The conditions of writes as terms with a name, and the app without some of them.

    with recording() as seen:                        # every term of every write that is built
        ...
    with without({Term(...)}):                       # the app as if somebody had forgotten it
        ...

A term is one comparison in the condition of one kind of row, in the writes that one function builds for another:
``settling._late → settling._one_less: Group free >= ?``. Nothing in the source is touched: the functions of
`core/table` that build writes are wrapped, and look who calls them.
"""

import sys
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from pynamodb.expressions.condition import Condition

from chalicelib.core import table
from chalicelib.core.table import Write

BUILDERS = ("create", "update", "upsert", "delete", "check")
ROOMS = (
    "chalicelib.orders.giving",
    "chalicelib.groupbuys.service",
    "chalicelib.groupbuys.holding",
    "chalicelib.groupbuys.settling",
    "chalicelib.groupbuys.ending",
    "chalicelib.orders.service",
)
OTHERS = ("orders.aftersale", "orders.shipped", "orders.named", "orders.complete")
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
    for name, build in real.items():
        setattr(table, name, _watching(build, off, seen))
    try:
        yield
    finally:
        for name, build in real.items():
            setattr(table, name, build)


def _watching(build: Callable[..., Write], off: Set[Term], seen: Seen) -> Callable[..., Write]:
    def watched(*args: Any, **how: Any) -> Write:
        write, site = build(*args, **how), _site(sys._getframe(1))
        if site is None or write.when is None or site.startswith(OTHERS):
            return write
        kind = type(write.row).__name__
        seen({Term(site=site, kind=kind, text=text(leaf)) for leaf in leaves(write.when)})
        return replace(
            write, when=_left(write.when, {one.text for one in off if (one.site, one.kind) == (site, kind)})
        )

    return watched


def _site(frame: FrameType | None) -> str | None:
    """Who builds the write, and for whom; None outside the rooms."""
    names: list[str] = []
    while frame is not None and len(names) < 2:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module not in (*ROOMS, __name__):
            break
        # Worn twice, as when a trial is recorded, the builders are called by each other.
        if module in ROOMS and not name.startswith("<"):
            names.append(f"{_short(module)}.{name}")
        frame = frame.f_back
    return " → ".join(reversed(names)) or None


def _short(module: str) -> str:
    room, name = module.removeprefix("chalicelib.").split(".")
    return "orders" if room == "orders" else name


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
