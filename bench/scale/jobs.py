"""Jobs in virtual time: the scheduled functions as they are deployed, on very much that is due.

The app's own: which function runs what for how long, the shards, the leases, the pages of the index, the portions,
the order, the tries. What a portion does is played back: `recorded` has the app's own handler do some of it, and
notes its calls, their rows and its CPU; in virtual time the same calls are made on keys of their own, under the
limits and by the app's own way of trying again, and the CPU is taken from the function's share of a core.
"""

import time as real_time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

from bench.cost import deployed
from bench.scale import cpu
from bench.scale.limits import Limits, Spending
from bench.scale.running import Clock, Place
from bench.scale.store import Memory
from bench.scale.virtual import Caller, Fleet, Virtual
from tests.harness.wire import READS, Call, Item, Key, Params, key_of, wrapped, written


def memory_mb() -> int:
    """What a job's function has, as deployed."""
    return round(deployed.memory_gb(api=False) * 1024)


# --- what a portion costs -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A call of a handler: how many rows it was about, and the CPU of botocore for it."""

    operation: str
    rows: int
    cpu_s: float


@dataclass(frozen=True)
class Portion:
    """What a handler did for one portion; ``cpu_s``: of the app's own code, without its calls."""

    calls: tuple[Made, ...]
    cpu_s: float

    @property
    def all_cpu_s(self) -> float:
        """With botocore's."""
        return self.cpu_s + sum(call.cpu_s for call in self.calls)


Asked = tuple[str, Params, Params]
"""A call and its answer."""


class Recorder:
    """A layer that notes what a handler asks for, and what CPU the handler itself takes."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.below_s = 0.0

    def __call__(self, below: Call, operation: str, params: Params) -> Params:
        """Let it pass, and take the time."""
        begun = real_time.thread_time()
        answer = below(operation, params)
        self.below_s += real_time.thread_time() - begun
        self.asked.append((operation, params, answer))
        return answer

    def watched(self, do: Callable[[], None]) -> tuple[float, list[Asked]]:
        """The CPU of doing it, and its calls."""
        self.asked, self.below_s = [], 0.0
        begun = real_time.thread_time()
        do()
        return real_time.thread_time() - begun - self.below_s, self.asked


def _rows(operation: str, params: Params, answer: Params) -> int:
    if operation == "BatchGetItem":
        return sum(len(wanted["Keys"]) for wanted in params["RequestItems"].values())
    return len(answer.get("Items", ())) if operation in READS else len(written(operation, params))


def recorded(store: Any, handlings: Sequence[Callable[[], None]]) -> Portion:
    """What the app's own handler does for one of these, which are alike: that with the middle of their CPU."""
    from chalicelib.core import table

    recorder, client = Recorder(), table._new_client()
    with wrapped(store, recorder):
        seen = sorted((recorder.watched(do) for do in handlings), key=lambda one: one[0])
    own, asked = seen[len(seen) // 2]
    calls = [Made(one[0], _rows(*one), cpu.of_botocore(client, *one)) for one in asked]
    return Portion(tuple(calls), own)


# --- much that is due -----------------------------------------------------------------------------------------


@dataclass
class Due(Memory):
    """Very many index entries of one job, told by number: ``shards`` has the numbers that are due in each, oldest
    first, ``entry`` what the index has of one. No rows stand behind them; leases and the like are real."""

    def __init__(
        self,
        real: Any,
        *,
        shards: Mapping[str, list[int]],
        entry: Callable[[int], Item],
        number: Callable[[str], int],
    ) -> None:
        super().__init__(real)
        self.shards, self.entry, self.number = shards, entry, number
        self.done: set[int] = set()
        self._first = dict.fromkeys(shards, 0)

    def _query(self, params: Params) -> Params:
        values = params.get("ExpressionAttributeValues", {})
        shard = next((one["S"] for one in values.values() if one.get("S") in self.shards), None)
        if params.get("IndexName") != "due" or shard is None:
            return super()._query(params)
        numbers, at = self.shards[shard], self._at(shard, params)
        found: list[Item] = []
        while at < len(numbers) and len(found) < params["Limit"]:
            if numbers[at] not in self.done:
                found.append(self.entry(numbers[at]))
            at += 1
        more = {} if at == len(numbers) else {"LastEvaluatedKey": found[-1]}
        return {"Items": found, "Count": len(found), **more}

    def _at(self, shard: str, params: Params) -> int:
        numbers = self.shards[shard]
        while self._first[shard] < len(numbers) and numbers[self._first[shard]] in self.done:
            self._first[shard] += 1
        after = params.get("ExclusiveStartKey")
        if after is None:
            return self._first[shard]
        last = self.number(after["pk"]["S"])
        return bisect_left(numbers, self._rank(last), key=self._rank) + 1

    def _rank(self, number: int) -> Any:
        entry = self.entry(number)
        return int(entry["due_at"]["N"]), entry["pk"]["S"]


# --- playing it back ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a job runs on."""

    time: Virtual
    limits: Limits
    memory_mb: int

    def work(self, seconds: float) -> None:
        """Have the function's CPU for so long, after whoever of its workers has it now."""
        process = self.time.current.process if self.time.current else None
        assert process is not None
        begins = max(self.time.now, process.cpu_free_at)
        process.cpu_free_at = begins + seconds / deployed.share_of_a_processor(self.memory_mb)
        self.time.wait(process.cpu_free_at - self.time.now)

    def read(self, made: Made) -> None:
        """A read as it was recorded, of rows that nobody else reads."""
        self.limits.played_back(made.operation, [], [])
        self.work(made.cpu_s)

    def transact(self, made: Made, *, keys: Sequence[Key], spent: Sequence[Spending]) -> None:
        """A transaction as it was recorded, by the app's own way of trying again."""
        from chalicelib.core import table

        def send() -> None:
            self.work(made.cpu_s)
            self.limits.played_back(made.operation, keys, spent)

        table._patiently(send, lambda refusal: None)


class Pool:
    """Stands in for a thread pool: its workers are callers in virtual time, in the process of who made it."""

    def __init__(self, time: Virtual, workers: int) -> None:
        self._time, self._workers = time, workers

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(self, do: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """What ``do`` gives for each, when all are done."""
        parent = self._time.current
        assert parent is not None
        crew = _Crew(self._time, parent, do, list(items))
        for _ in range(min(self._workers, len(items))):
            self._time.begin(at=self._time.now, do=crew.work)
        self._time.stand()
        return [crew.results[n] for n in range(len(items))]


@dataclass
class _Crew:
    """Who works one list off."""

    time: Virtual
    parent: Caller
    do: Callable[[Any], Any]
    items: list[Any]
    begun: int = 0
    results: dict[int, Any] = field(default_factory=dict)

    def work(self) -> None:
        """Take the next one, until there is none."""
        assert self.time.current is not None
        self.time.current.process = self.parent.process
        while self.begun < len(self.items):
            n, self.begun = self.begun, self.begun + 1
            self.results[n] = self.do(self.items[n])
            if len(self.results) == len(self.items):
                self.time.wake(self.parent, at=self.time.now)


_TOLD = ("version", "account", "region", "detail", "detail-type", "source", "time", "resources")
"""What a schedule's event has besides its id."""


@contextmanager
def scheduled(place: Place, name: str, *, minutes: int, stop: Callable[[], bool]) -> Iterator[list[int]]:
    """The scheduled function of this name, every minute until nothing is left to do; how often it was."""
    import app
    from infra.local.pump import Context

    fleet, begun = Fleet(place.time, minutes), [0]

    def minute(number: int) -> None:
        if not stop():
            begun[0] += 1
            event = {**dict.fromkeys(_TOLD, ""), "id": f"{name}-{number}"}
            fleet.call(lambda: getattr(app, name)(event, Context(function_name=name)))

    for number in range(minutes):
        place.time.begin(at=60.0 * number, do=partial(minute, number))
    with _by_the_clock_of(place):
        yield begun


@contextmanager
def _by_the_clock_of(place: Place) -> Iterator[None]:
    from chalicelib.core import clock, due
    from chalicelib.operators import stuck
    from chalicelib.orders import bills
    from chalicelib.reconciling import service as reconciling

    with (
        mock.patch.object(due, "time", Clock(place.time)),
        mock.patch.object(clock, "now", lambda: place.now),
        mock.patch("concurrent.futures.ThreadPoolExecutor", partial(Pool, place.time)),
        # What these have to do hangs on the calendar, and some of it speaks to WeChat.
        mock.patch.object(reconciling, "plan"),
        mock.patch.object(bills, "plan"),
        mock.patch.object(stuck, "watch_money"),
    ):
        yield


def key_named(pk: str) -> Key:
    """A row of the truth table, of which only the key matters."""
    return "truth", pk, "META"


def of_rows(keys: Sequence[Key], *, indexed: Mapping[str, tuple[str, int]]) -> list[Spending]:
    """Two units for each row of a transaction, and what its index entry costs at which partition."""
    spent = []
    for row, (where, pk, _) in enumerate(keys):
        spent.append(Spending(where=where, key=pk, units=2, row=row))
        if pk in indexed:
            partition, units = indexed[pk]
            spent.append(Spending(where=f"{where}/due", key=partition, units=units, row=row))
    return spent


__all__ = [
    "Due",
    "Machine",
    "Made",
    "Portion",
    "key_named",
    "key_of",
    "memory_mb",
    "of_rows",
    "recorded",
    "scheduled",
]
