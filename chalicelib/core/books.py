"""What a room says of its books, so that they can be proved: sums within a partition, and tallies of all the table.

A `Sum` is proved by reading its partition. A `Tally` counts what lies all over the table: what every row says it
uses is added up in a pass over all rows, and compared with the counters that nothing has changed meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from pynamodb.expressions.condition import Condition

from chalicelib.core import table
from chalicelib.core.table import Page, Raw, Row

Numbers = Mapping[str, int]
ROWS_AT_MOST = 5000
"""Rows of one kind that a proof reads: a second or so, so that no single number can hold up all the others."""


class Differs(msgspec.Struct, frozen=True, kw_only=True):
    """What a row says, and what the rows it counts add up to."""

    says: Numbers
    adds_up: Numbers


class Unsure(Exception):
    """The numbers kept moving, or somebody owes a change of theirs: whether they add up cannot be said now."""


class TooLarge(Unsure):
    """There are more rows than a proof reads: nobody says whether they add up, however often it is tried."""


def read(kind: type[Row], pk: str, sk: Condition | None = None) -> list[Any]:
    """The whole of a partition's range.

    Raises:
        TooLarge: it is more than a proof reads.
    """
    return read_pages(lambda after: table.query(kind, pk, sk, after=after), of=pk)


def read_pages(page_after: Callable[[Raw | None], Page], *, of: str) -> list[Any]:
    """All rows of these pages.

    Raises:
        TooLarge: they are more than a proof reads.
    """
    page = page_after(None)
    rows = list(page.rows)
    while page.next_key is not None and len(rows) <= ROWS_AT_MOST:
        page = page_after(page.next_key)
        rows += page.rows
    if len(rows) > ROWS_AT_MOST:
        raise TooLarge(of)
    return rows


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """A book whose every number is proved from a partition: of any row of these ``kinds``, if its key ``ends`` so.

    ``prove`` reads it, as of now, and answers with None when all is well; a number that moves is `Unsure`, and not
    wrong.
    """

    name: str
    kinds: frozenset[str]
    prove: Callable[[str, int], Differs | None]
    ends: str = ""


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A counter, or several as one, as they are now; ``rev`` is another after every change of theirs."""

    key: str
    rev: int
    says: Numbers


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """A book whose counters count rows of these ``kinds``, wherever they are.

    ``uses``: what a row uses, by the key of the counter. A row may use more or less only together with a change of
    that counter, in the same transaction.
    """

    name: str
    kinds: frozenset[str]
    uses: Callable[[Any], Iterable[tuple[str, int]]]
    counters: Callable[[], Iterator[Counter]]
