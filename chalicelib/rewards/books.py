"""The books of rewards: what a rule's purse has given is its grants that were not taken back."""

from collections.abc import Iterable, Iterator

from chalicelib.core.books import Counter, Tally
from chalicelib.rewards import service
from chalicelib.rewards.models import Grant


def _uses(row: Grant) -> Iterable[tuple[str, int]]:
    return [(f"{row.rule_id}#{row.shard}", 1)] if row.state == "given" else []


def _counters() -> Iterator[Counter]:
    for row in service.purses():
        key = row.pk.removeprefix("PURSE#")
        yield Counter(key=key, rev=row.rev, says={"given": row.given - row.taken_back})


PURSES = Tally(name="reward_purses", kinds=frozenset({"reward_grant"}), uses=_uses, counters=_counters)
