"""Very many commissions that are due: how many minutes of the job that settles them."""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

from bench.scale import jobs
from bench.scale.jobs import Due, Machine, Made, Portion
from bench.scale.running import NOW, Place, app_imported, stood_up, worn
from bench.settlement import a_shop
from bench.store import Large

SMALL, LARGE = 8, 98
"""Commissions of the portions that are recorded; what others take lies on the line through both."""
TIMES = 8
LATE_S = 997
"""Since when the oldest of them is due."""
COMMISSIONS, PROMOTERS = 1_000_000, 50_000


@dataclass(frozen=True, kw_only=True)
class Month:
    """What falls due at once, and on what it is settled; ``minutes``: that are played, 0: all."""

    due_shards: int
    memory_mb: int
    commissions: int = COMMISSIONS
    promoters: int = PROMOTERS
    minutes: int = 0
    warm_writes: int = 40_000


@dataclass(frozen=True)
class Settled:
    """How it went."""

    month: Month
    done: int
    minutes: int
    transactions: int
    throttles: int

    @property
    def needed(self) -> float:
        """Minutes for all of it, at the rate of those that were played."""
        return self.minutes * self.month.commissions / self.done


@dataclass(frozen=True)
class Cost:
    """A portion of few commissions, and one as large as may be."""

    small: Portion
    large: Portion

    def of(self, k: int) -> tuple[list[Made], float]:
        """The calls for so many, and the app's own CPU."""
        made = [
            Made(few.operation, _between(few.rows, many.rows, k), _between_s(few.cpu_s, many.cpu_s, k))
            for few, many in zip(self.small.calls, self.large.calls, strict=True)
        ]
        return made, _between_s(self.small.cpu_s, self.large.cpu_s, k)


def _between_s(few: float, many: float, k: int) -> float:
    return max(0.0, few + (many - few) * (k - SMALL) / (LARGE - SMALL))


def _between(few: int, many: int, k: int) -> int:
    return max(1, round(_between_s(few, many, k)))


def cost() -> Cost:
    """What the app's own handler does for a portion."""
    with stood_up(shards=1) as client:
        return Cost(*(_portion(client, k) for k in (SMALL, LARGE)))


def _portion(client: Any, k: int) -> Portion:
    from chalicelib.commissions import settling
    from chalicelib.core import due, table

    made, entries, of = a_shop(commissions=k * TIMES, promoters=TIMES)
    store = table._client = Large(client, made=made, due=entries)
    mine = defaultdict[str, list[due.Entry]](list)
    for shard, some in entries.items():
        for one in some:
            mine[one.ref].append(
                due.Entry(
                    pk=one.pk, sk=one.sk, kind=one.kind, due_shard=shard, due_at=one.at, due_ref=one.ref
                )
            )
    doing = [partial(settling.settle, some, NOW) for some in mine.values()]
    return jobs.recorded(store, doing)


def held(month: Month, told: Cost) -> Settled:
    """The job runs every minute on all that is due."""
    app_imported()
    with stood_up(shards=month.due_shards) as client:
        store = _due(client, month)
        with worn(store, warm_writes=month.warm_writes) as place:
            return _played(place, store, month, told)


def _due(client: Any, month: Month) -> Due:
    from chalicelib.commissions import settling
    from chalicelib.core import due

    promoters = [f"mbr_{n:026d}" for n in range(month.promoters)]
    where = [due.shard_of(settling.JOB, one) for one in promoters]
    shards: dict[str, list[int]] = {shard: [] for shard in sorted(set(where))}
    # In the order of the index: by when they are due, and then by key.
    for late in reversed(range(LATE_S)):
        for n in range(late, month.commissions, LATE_S):
            shards[where[n % month.promoters]].append(n)

    def entry(n: int) -> dict[str, Any]:
        texts = {"pk": f"COMMISSION#ord_{n:026d}", "sk": "L1", "kind": "commission"}
        texts |= {"due_ref": promoters[n % month.promoters], "due_shard": where[n % month.promoters]}
        return {**{name: {"S": text} for name, text in texts.items()}, "due_at": {"N": str(NOW - n % LATE_S)}}

    return Due(client, shards=shards, entry=entry, number=lambda pk: int(pk[-26:]))


def _played(place: Place, store: Due, month: Month, told: Cost) -> Settled:
    from chalicelib.commissions import settling
    from chalicelib.core import due

    machine = Machine(time=place.time, limits=place.limits, memory_mb=month.memory_mb)

    def settle(entries: Any, now: int) -> None:
        _settle(machine, store, told, entries)

    handlers = {settling.JOB: (settle, settling.MOST)}
    most = month.minutes or 600
    stop = partial(_all_done, store, month)
    with (
        mock.patch.dict(due._together, handlers),
        jobs.scheduled(place, "run_room_jobs", minutes=most, stop=stop) as begun,
    ):
        place.time.run()
    seen = place.limits.seen
    sent = seen.calls["TransactWriteItems"]
    return Settled(month, len(store.done), begun[0], sent, seen.refused["throttle"])


def _all_done(store: Due, month: Month) -> bool:
    return len(store.done) == month.commissions


def _settle(machine: Machine, store: Due, told: Cost, entries: Any) -> None:
    """What the handler did when it was recorded, for these."""
    from chalicelib.core import due, facts

    calls, cpu_s = told.of(len(entries))
    machine.work(cpu_s)
    for made in calls[:-1]:
        machine.read(made)
    keys = [jobs.key_named(entry.pk) for entry in entries]
    both = [jobs.key_named(f"{entries[0].due_ref}#{what}#{entries[0].pk}") for what in ("account", "entry")]
    indexed = {entry.pk: (due.shard_of(facts.JOB, entry.pk), 2) for entry in entries}
    machine.transact(calls[-1], keys=[*both, *keys], spent=jobs.of_rows([*both, *keys], indexed=indexed))
    store.done.update(store.number(entry.pk) for entry in entries)
