"""What a room says of its books, so that they can be proved: sums within a partition, and tallies of all the table.

A `Sum` is proved by reading its partition. A `Tally` counts what lies all over the table: what every row says it
uses is added up in a pass over all rows, and compared with the counters that nothing has changed meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Numbers = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Differs:
    """What a row says, and what the rows it counts add up to."""

    says: Numbers
    adds_up: Numbers


class Unsure(Exception):
    """The numbers kept moving, or somebody owes a change of theirs: whether they add up cannot be said now."""


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A book whose every number is proved from a partition: of any row of these ``kinds``, if its key ``ends`` so.

    ``prove`` reads it and answers with None when all is well; a number that moves is `Unsure`, and not wrong.
    """

    name: str
    kinds: frozenset[str]
    prove: Callable[[str], Differs | None]
    ends: str = ""


@dataclass(frozen=True, kw_only=True)
class Counter:
    """A counter, or several as one, as they are now; ``rev`` is another after every change of theirs."""

    key: str
    rev: int
    says: Numbers


@dataclass(frozen=True, kw_only=True)
class Tally:
    """A book whose counters count rows of these ``kinds``, wherever they are.

    ``uses``: what a row uses, by the key of the counter. A row may use more or less only together with a change of
    that counter, in the same transaction.
    """

    name: str
    kinds: frozenset[str]
    uses: Callable[[Any], Iterable[tuple[str, int]]]
    counters: Callable[[], Iterator[Counter]]
