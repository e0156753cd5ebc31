"""The conditions of writes as terms with a name, and the app without some of them.

    with recording() as seen:                        # every term of every write that is built
        ...
    with without({Term(...)}):                       # the app as if somebody had forgotten it
        ...

A term is one comparison in the condition of one kind of row, in the writes that one function builds for another:
``groupbuys.settling._late → groupbuys.settling._one_less: Group free >= ?``. Core asks the same for whomever it
asks, and of whatever kind of row: ``core.due.postpone: Row due_at = ?``. Nothing in the source is touched: the
making of a `table.Write`, and `Write.also`, are wrapped, and look who calls them.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any
from unittest.mock import patch

from botocore.exceptions import ClientError
from pynamodb.expressions.condition import Condition

from chalicelib.core import table
from chalicelib.core.table import Row, Write
from tests.harness import meetings

HOUSE = "chalicelib."
CORE = ("core.", "operators.service.", "operators.stuck.")
"""What rooms use and what calls them back: its functions are named alone."""
EDGES = (".routes", ".mall", ".admin")
"""Who calls a room from outside, for whom its functions do what they do for anybody."""
BETWEEN = (__name__, table.__name__, meetings.__name__)
"""Who only hands on what is asked for."""
ASKED = "_asked"
"""What a write is asked for is noted on it."""
SHOWN = ("state",)
"""Attributes whose value is a part of the rule."""
MONTH = re.compile(r"m\d+")
"""The slots of an account's ring of months: which of them is asked is a matter of the date."""


@dataclass(frozen=True, order=True, kw_only=True)
class Term:
    """One comparison in one kind of write."""

    site: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.site}: {self.kind} {self.text}"

    @property
    def room(self) -> str:
        """Whose function builds the write."""
        return self.site.rpartition(" → ")[2].partition(".")[0]

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
def refusing() -> Iterator[set[Term]]:
    """The terms of every write that is refused meanwhile, if it was built under `recording`.

    Where no write is refused that asks for a term, nothing changes without it.
    """
    refused: set[Term] = set()
    one, all_ = table._judge_one, table._judge_all

    def judge_one(write: Write, error: ClientError) -> None:
        refused.update(_terms_of(write))
        one(write, error)

    def judge_all(writes: Sequence[Write], error: ClientError) -> None:
        reasons = error.response.get("CancellationReasons", [])
        refused.update(
            *(_terms_of(each) for each, why in zip(writes, reasons, strict=False) if table._failed(why))
        )
        all_(writes, error)

    with patch.multiple(table, _judge_one=judge_one, _judge_all=judge_all):
        yield refused


def _terms_of(write: Write) -> frozenset[Term]:
    return getattr(write, ASKED, frozenset())


def _marked(write: Write, terms: Set[Term]) -> None:
    object.__setattr__(write, ASKED, _terms_of(write) | terms)


@contextmanager
def _watched(off: Set[Term], seen: Seen) -> Iterator[None]:
    made, also = Write.__init__, Write.also
    setattr(Write, "__init__", _watching(made, off, seen))  # noqa: B010 - a method is not assigned to
    setattr(Write, "also", _watching_more(also, off, seen))  # noqa: B010
    try:
        yield
    finally:
        setattr(Write, "__init__", made)  # noqa: B010
        setattr(Write, "also", also)  # noqa: B010


def _watching(made: Callable[..., None], off: Set[Term], seen: Seen) -> Callable[..., None]:
    def watched(write: Write, **how: Any) -> None:
        frame = _caller(sys._getframe(1))
        if frame is not None and frame.f_code is replace.__code__:
            # A copy, as `also` makes one, asks for what the other did.
            made(write, **how)
            return _marked(write, _terms_of(frame.f_locals["obj"]))
        terms = _terms(how["row"], how["when"], frame)
        seen(terms)
        made(write, **{**how, "when": _left(how["when"], off & terms)})
        return _marked(write, terms)

    return watched


def _watching_more(also: Callable[..., Write], off: Set[Term], seen: Seen) -> Callable[..., Write]:
    def watched(write: Write, when: Condition) -> Write:
        terms = _terms(write.row, when, _caller(sys._getframe(1)))
        seen(terms)
        more = _left(when, off & terms)
        both = replace(write) if more is None else also(write, more)
        _marked(both, terms)
        return both

    return watched


def _terms(row: Row, when: Condition | None, frame: FrameType | None) -> Set[Term]:
    """What is asked of the row; nothing outside the house."""
    site = _site(frame)
    if site is None or when is None:
        return frozenset()
    kind = _kind(row, site)
    return {Term(site=site, kind=kind, text=text(leaf)) for leaf in leaves(when)}


def _site(frame: FrameType | None) -> str | None:
    """Who builds the write, and for whom; None outside the house."""
    names: list[str] = []
    while frame is not None and len(names) < 2 and _is_told(frame, names):
        named = f"{_module(frame).removeprefix(HOUSE)}.{frame.f_code.co_name}"
        if named.startswith(CORE):
            return " → ".join(names) or named
        if not frame.f_code.co_name.startswith("<"):
            names.insert(0, named)
        frame = _caller(frame.f_back)
    return " → ".join(names) or None


def _is_told(frame: FrameType, names: list[str]) -> bool:
    module = _module(frame)
    return module.startswith(HOUSE) and not (names and module.endswith(EDGES))


def _caller(frame: FrameType | None) -> FrameType | None:
    """The first that does more than to hand on."""
    while frame is not None and _module(frame) in BETWEEN:
        frame = frame.f_back
    return frame


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _kind(row: Row, site: str) -> str:
    """Whatever kind core is given is any row to it, but for the kinds that it has itself."""
    kind = type(row)
    theirs = not kind.__module__.removeprefix(HOUSE).startswith(CORE[0])
    return "Row" if site.startswith(CORE) and theirs else kind.__name__


def leaves(condition: Condition) -> Iterator[Condition]:
    """Its comparisons."""
    if condition.operator in ("AND", "OR"):
        for one in condition.values:
            yield from leaves(one)
    else:
        yield condition


def text(leaf: Condition) -> str:
    """A comparison in words that are the same whatever it compares with."""
    if leaf.operator == "NOT":
        return f"not {text(leaf.values[0])}"
    path, *others = leaf.values
    name = ".".join(path.path) if hasattr(path, "path") else str(path)
    name = "m?" if MONTH.fullmatch(name) else name
    if leaf.operator == "attribute_exists":
        return "exists" if name == "pk" else f"{name} exists"
    if leaf.operator == "attribute_not_exists":
        return "is new" if name == "pk" else f"no {name}"
    told = [next(iter(one.value.values())) if name in SHOWN else "?" for one in others]
    return f"{name} {leaf.operator.lower()} {' or '.join(told)}"


def _left(condition: Any, off: Set[Term]) -> Any:
    """The condition when these comparisons always hold; None: nothing is asked any more."""
    return None if condition is None else _without(condition, {term.text for term in off})


def _without(condition: Any, off: Set[str]) -> Any:
    if condition.operator not in ("AND", "OR"):
        return None if text(condition) in off else condition
    one, other = (_without(part, off) for part in condition.values)
    if condition.operator == "OR":
        return one | other if one is not None and other is not None else None
    if one is None or other is None:
        return other if one is None else one
    return one & other
