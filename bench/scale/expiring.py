"""Very many groups that end in one minute: how many minutes of the job that ends them."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

from bench import expiry
from bench.scale import jobs
from bench.scale.jobs import Due, Machine, Portion
from bench.scale.limits import Spending
from bench.scale.running import NOW, Place, app_imported, stood_up, worn
from bench.store import Large

GROUPS = 100_000
TIMES = 12


@dataclass(frozen=True, kw_only=True)
class Minute:
    """The groups of one campaign that end in it, and on what; ``minutes``: that are played, 0: all."""

    due_shards: int
    memory_mb: int
    stock_shards: int
    groups: int = GROUPS
    minutes: int = 0
    warm_writes: int = 40_000


@dataclass(frozen=True)
class Ended:
    """How it went."""

    minute: Minute
    done: int
    minutes: int
    conflicts: int
    throttles: int

    @property
    def needed(self) -> float:
        """Minutes for all of it, at the rate of those that were played."""
        return self.minutes * self.minute.groups / self.done


Cost = tuple[Portion, Portion]
"""Of a group with one payer, and with two."""


def cost() -> Cost:
    """What the app's own handler does for a group."""
    from chalicelib.core import table
    from chalicelib.groupbuys import ending

    with stood_up(shards=1) as client:
        shelf = expiry.a_minute(TIMES)
        store = table._client = Large(client, made=expiry._made, due=shelf, beside=expiry._beside)
        doing = [partial(ending.expire_group, one, NOW) for one in _entries(TIMES)]
        one, two = (jobs.recorded(store, doing[first::2]) for first in (0, 1))
        return one, two


def _entries(groups: int) -> list[Any]:
    from chalicelib.core import due

    found = [
        due.Entry(pk=one.pk, sk=one.sk, kind=one.kind, due_shard=shard, due_at=one.at, due_ref=one.ref)
        for shard, some in expiry.a_minute(groups).items()
        for one in some
        if one.kind == "group"
    ]
    return sorted(found, key=lambda entry: entry.pk)


def held(minute: Minute, told: Cost) -> Ended:
    """The job runs every minute on all that has ended."""
    app_imported()
    with stood_up(shards=minute.due_shards) as client:
        store = _due(client, minute)
        with worn(store, warm_writes=minute.warm_writes) as place:
            return _played(place, store, minute, told)


def _pk(n: int) -> str:
    return f"GROUP#grp_{n:026d}"


def _due(client: Any, minute: Minute) -> Due:
    from chalicelib.core import due
    from chalicelib.groupbuys.holding import EXPIRE_JOB

    shards: dict[str, list[int]] = {f"{EXPIRE_JOB}#{k}": [] for k in range(minute.due_shards)}
    for n in sorted(range(minute.groups), key=lambda n: (n % 60, n)):
        shards[due.shard_of(EXPIRE_JOB, _pk(n))].append(n)

    def entry(n: int) -> dict[str, Any]:
        texts = {"pk": _pk(n), "sk": "META", "kind": "group", "due_ref": ""}
        texts["due_shard"] = due.shard_of(EXPIRE_JOB, _pk(n))
        return {
            **{name: {"S": text} for name, text in texts.items()},
            "due_at": {"N": str(NOW - 60 + n % 60)},
        }

    return Due(client, shards=shards, entry=entry, number=lambda pk: int(pk[-26:]))


def _played(place: Place, store: Due, minute: Minute, told: Cost) -> Ended:
    from chalicelib.core import due
    from chalicelib.groupbuys.holding import EXPIRE_JOB

    machine = Machine(time=place.time, limits=place.limits, memory_mb=minute.memory_mb)

    def end(entry: Any, now: int) -> None:
        _end(machine, store, told, minute, entry)

    with (
        mock.patch.dict(due._handlers, {EXPIRE_JOB: end}),
        jobs.scheduled(
            place, "expire_groups", minutes=minute.minutes or 600, stop=partial(_all_done, store, minute)
        ) as begun,
    ):
        place.time.run()
    refused: Counter[str] = place.limits.seen.refused
    return Ended(minute, len(store.done), begun[0], refused["conflict"], refused["throttle"])


def _all_done(store: Due, minute: Minute) -> bool:
    return len(store.done) == minute.groups


def _end(machine: Machine, store: Due, told: Cost, minute: Minute, entry: Any) -> None:
    """What the handler did when it was recorded, for this group: its shard of the stock is shared with others."""
    from chalicelib.core import due, facts
    from chalicelib.core.shards import shard_for
    from chalicelib.orders import service as orders

    n = store.number(entry.pk)
    portion = told[n // 60 % 2]
    machine.work(portion.cpu_s)
    for made in portion.calls[:-1]:
        machine.read(made)
    *_, last = portion.calls
    stock = f"STOCK#{shard_for(entry.pk, minute.stock_shards)}"
    rest = [f"{entry.pk}#{m}" for m in range(last.rows - 2)]
    keys = [jobs.key_named(pk) for pk in (entry.pk, stock, *rest)]
    refunds = {pk: (due.shard_of(orders.REFUND_JOB, pk), 1) for pk in rest[::3]}
    indexed = {entry.pk: (due.shard_of(facts.JOB, entry.pk), 2), **refunds}
    board = Spending(where="truth/rank", key="OPEN#campaign", units=1, row=0)
    machine.transact(last, keys=keys, spent=[*jobs.of_rows(keys, indexed=indexed), board])
    store.done.add(n)
