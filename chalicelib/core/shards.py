"""Which of several shards units of something scarce are taken from; pure, so that every room's rules may use it.

A take picks its shard by a hash; refused, it looks at all shards once and takes from one that has enough, else
from several: going on from shard to shard would strand units.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SHARDS_A_TAKE = 90
"""Shards that one taking may touch, so that it and its way back fit a transaction."""
SOLD_OUT_FOR_S = 2
"""How long a process remembers that nothing is left, before it looks again."""

DAY_ROWS = 8
"""Rows over which a day's counts are spread: one would be shared by every transaction that counts."""


def shard_for(key: str, shards: int) -> int:
    """The shard that is tried first."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "big") % shards


def spread(left: Mapping[int, int], units: int) -> list[tuple[int, int]] | None:
    """Where ``units`` come from: one shard that has enough (the fullest), else several; None: not enough in all,
    or only in crumbs."""
    fullest = sorted(left.items(), key=lambda shard: -shard[1])
    if fullest and fullest[0][1] >= units:
        return [(fullest[0][0], units)]
    plan = []
    for k, has in fullest:
        part = min(has, units)
        if part > 0:
            plan.append((k, part))
            units -= part
    return plan if units == 0 and len(plan) <= SHARDS_A_TAKE else None


def evenly(units: int, shards: int) -> list[int]:
    """``units`` over the shards; the first ones have one more."""
    return [units // shards + (k < units % shards) for k in range(shards)]


def some_of(taken: list[list[int]], units: int) -> list[list[int]]:
    """``units`` out of what was taken, ``[[shard, units], …]``, from the first shards on."""
    back = []
    for k, had in taken:
        part = min(had, units)
        if part:
            back.append([k, part])
        units -= part
    return back


def day_row(day: str, *, cause: str) -> str:
    """The sort key of the row in which what happened to the row ``cause`` counts on this day."""
    return f"DAY#{day}#{shard_for(cause, DAY_ROWS)}"


def day_of(row: Any) -> str:
    """The day of a row ``DAY#<day>`` or of one of its shards."""
    return str(row.sk.split("#")[1])


def by_day(rows: Iterable[Any], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The rows of each day, ``DAY#<day>`` and its shards, added up under these names."""
    days: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = days.setdefault(day_of(row), dict.fromkeys(names, 0))
        for name in names:
            counts[name] += getattr(row, name) or 0
    return days
