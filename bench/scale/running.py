"""The app set up in virtual time: its client is a `Memory` under `Limits`, and it waits by the virtual clock.

What runs is the app's own code above botocore: its choice of rows and shards, its conditions, what it remembers in
a process, how it judges a refusal, and when it tries again. What is modelled lies below: DynamoDB's limits and
times, botocore's repeats, and the function's processes, each of which remembers for itself.
"""

import importlib
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from bench.scale.limits import Latency, Limits
from bench.scale.store import Memory
from bench.scale.virtual import Fleet, Process, Virtual
from bench.settlement import stood_up
from tests.harness.wire import wrapped

NOW = 1_767_232_800
"""10:00 on 1 January 2026 in Shanghai, when every run begins."""
SEED = 8


class Clock:
    """Stands in for `time` in the app: nobody sleeps, but the virtual clock goes on."""

    def __init__(self, time: Virtual) -> None:
        self._time = time

    def monotonic(self) -> float:
        """What the virtual clock shows."""
        return self._time.now

    def sleep(self, seconds: float) -> None:
        """Let others work for so long."""
        self._time.wait(seconds)


@dataclass
class Outcomes:
    """How calls ended, how long those took that did what was asked and when, and how long any answer took."""

    ended: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)
    done_at: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """All of them."""
        return self.ended.total()

    def share(self, *codes: str) -> float:
        """Of all calls, those that ended so, in percent."""
        return 100 * sum(self.ended[code] for code in codes) / self.calls if self.calls else 0.0

    def took_ms(self, share: float) -> float:
        """This share of the calls that did what was asked took no longer."""
        ranked = sorted(self.took_s)
        return 1000 * ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else 0.0


@dataclass
class Place:
    """What a scenario has to play with."""

    store: Memory
    time: Virtual
    limits: Limits
    dice: random.Random

    @property
    def now(self) -> int:
        """The app's clock, in whole seconds."""
        return NOW + int(self.time.now)


@contextmanager
def running(
    client: Any,
    *,
    warm_writes: int,
    times: float = 1.0,
    part: float = 1.0,
    set_up: Callable[[], Any] = lambda: None,
) -> Iterator[tuple[Place, Any]]:
    """The app on an empty store, once ``set_up`` has been made on it in no time; ``client`` is one of nothing."""
    from chalicelib.core import table

    table.reset()
    store = table._client = Memory(client)
    made = set_up()
    with worn(store, warm_writes=warm_writes, times=times, part=part) as place:
        yield place, made


@contextmanager
def worn(store: Memory, *, warm_writes: int, times: float = 1.0, part: float = 1.0) -> Iterator[Place]:
    """The same on rows that are there."""
    from chalicelib.core import cache, table, telemetry

    table._client = store
    time, dice = Virtual(), random.Random(SEED)  # noqa: S311 - the same dice again must fall the same
    limits = Limits(time, store, latency=Latency(dice, times), warm_writes=warm_writes, part=part)
    with ExitStack() as on:
        on.enter_context(mock.patch.object(table, "time", Clock(time)))
        on.enter_context(mock.patch.object(table, "random", dice))
        on.enter_context(mock.patch.object(cache.Cache, "_values", _remembered(time), create=True))
        on.enter_context(mock.patch.object(telemetry.logger._logger, "disabled", new=True))
        on.enter_context(wrapped(store, limits))
        yield Place(store, time, limits, dice)


def _remembered(time: Virtual) -> property:
    """What a cache remembers: in each of the function's processes something of its own."""
    elsewhere = Process()

    def held(cache: Any) -> dict[Any, Any]:
        process = (time.current.process if time.current else None) or elsewhere
        return process.remembered.setdefault(id(cache), {})

    return property(held, lambda cache, values: None)


def arrivals(dice: random.Random, *, rate: float, seconds: float) -> list[float]:
    """When calls come that know nothing of each other: a Poisson process."""
    found, at = [], dice.expovariate(rate)
    while at < seconds:
        found.append(at)
        at += dice.expovariate(rate)
    return found


def played(
    place: Place,
    calls: Sequence[tuple[float, Callable[[], Any]]],
    *,
    processes: int,
    born: Callable[[], Process] = Process,
) -> Outcomes:
    """Every call made at its moment in a process of its own, and how it ended; an open loop."""
    outcomes, fleet = Outcomes(), Fleet(place.time, processes, born)

    def called(at: float, do: Callable[[], Any]) -> None:
        def tried() -> None:
            outcomes.ended[code := _code_of(do)] += 1
            outcomes.answered_s.append(place.time.now - at)
            if code == "ok":
                outcomes.took_s.append(place.time.now - at)
                outcomes.done_at.append(place.time.now)

        if not fleet.call(tried):
            outcomes.ended["turned away"] += 1

    for at, do in calls:
        place.time.begin(at=at, do=lambda at=at, do=do: called(at, do))  # type: ignore[misc]
    place.time.run()
    outcomes.ended += Counter()
    return outcomes


def _code_of(do: Callable[[], Any]) -> str:
    """``ok``, or the code of the refusal."""
    from chalicelib.core.errors import AppError

    try:
        do()
    except AppError as refused:
        return refused.code
    return "ok"


def app_imported() -> None:
    """The whole app: who reacts, and which jobs there are."""
    importlib.import_module("app")


__all__ = ["NOW", "Outcomes", "Place", "app_imported", "arrivals", "played", "running", "stood_up"]
