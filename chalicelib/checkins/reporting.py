"""What came of a campaign: its month rows are the count, found through the owner index and added up when asked for.

Counting in the check-in itself would cost every check-in two units and one contended row; this costs who reads.
"""

from collections import Counter
from typing import Any

import msgspec

from chalicelib.checkins.marking import SHARDS, owner_of
from chalicelib.checkins.models import Month
from chalicelib.core import table

PAGE = 100
PAGES_AT_MOST = 10


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """What some of a month's rows add up to; ``next_key``: where the others begin."""

    members: int
    checked_in: Counter[int]
    made_up: Counter[int]
    next_key: table.Raw | None


def month(campaign_id: str, month: str, *, after: table.Raw | None) -> Sum:
    """The sum of up to a thousand members' rows."""
    members, checked_in, made_up = 0, Counter[int](), Counter[int]()
    place: dict[str, Any] | None = after or {"shard": 0, "key": None}
    for _ in range(PAGES_AT_MOST + SHARDS):
        if place is None or members >= PAGE * PAGES_AT_MOST:
            break
        owner = owner_of(campaign_id, month, place["shard"])
        page = table.owned(owner, limit=PAGE, after=place["key"])
        rows = [row for row in page.rows if isinstance(row, Month)]
        members += len(rows)
        checked_in.update(int(day) for row in rows for day in row.days or ())
        made_up.update(int(day) for row in rows for day in row.made_up or ())
        place = _next(place["shard"], page.next_key)
    return Sum(members=members, checked_in=checked_in, made_up=made_up, next_key=place)


def _next(shard: int, key: table.Raw | None) -> dict[str, Any] | None:
    if key is not None:
        return {"shard": shard, "key": key}
    return {"shard": shard + 1, "key": None} if shard + 1 < SHARDS else None
