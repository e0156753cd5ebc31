"""Dry runs: what a rule would have given for what has happened, read from the notes that reactions keep.

A note is one unit on the traffic table for each occurrence of a fact that any rule is on, switched on or off, or
that REWARD_FACTS names; it is swept after 35 days. A dry run reads the notes of the days asked for, four partitions
a day and eight to twenty notes a read unit, and never more than 20,000 of them. It writes nothing.
"""

from collections.abc import Iterator

import msgspec

from chalicelib.core import table
from chalicelib.core.clock import DAY
from chalicelib.rewards import rules, service
from chalicelib.rewards.granting import chance, day_of
from chalicelib.rewards.models import SEEN_SHARDS, Seen
from chalicelib.rewards.rules import Happened, Tally

LOOKED_AT_MOST = 20_000


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule would have done, and whether all of these days were looked at."""

    tally: Tally
    complete: bool


def dry_run(rule_id: str, *, days: int, now: int) -> Tried:
    """What a rule would have given in the last ``days`` days, today included, had it been on in them.

    Its own start and end do not count here, its conditions, amounts and limits do.

    Raises:
        NotFound: there is no such rule.
    """
    terms = service.terms_of(service.show(rule_id))
    found = list(_notes(terms.on, days=days, now=now))
    happened = [_happened(row) for row in sorted(found, key=lambda row: (row.at, row.sk))]
    tally = rules.tried(
        terms,
        happened[:LOOKED_AT_MOST],
        draw=lambda occurrence, member_id: chance(rule_id, occurrence, member_id, now=now),
    )
    return Tried(tally=tally, complete=len(found) <= LOOKED_AT_MOST)


def _notes(on: str, *, days: int, now: int) -> Iterator[Seen]:
    """Notes of the days, newest day first, one more than are looked at."""
    read = 0
    for back in range(days):
        for k in range(SEEN_SHARDS):
            pk = Seen.key(on, day_of(now - back * DAY), k, "")[0]
            page = table.query(Seen, pk, limit=1000, consistent=False)
            while True:
                yield from page.rows
                read += len(page.rows)
                if read > LOOKED_AT_MOST or page.next_key is None:
                    break
                page = table.query(Seen, pk, limit=1000, consistent=False, after=page.next_key)
            if read > LOOKED_AT_MOST:
                return


def _happened(row: Seen) -> Happened:
    return Happened(key=row.sk, actor=row.actor, day=day_of(row.at), known=row.known)
