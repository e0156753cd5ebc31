"""The CPU of several ways to do one thing, in turn in one process: medians of many rounds, and their spread.

What else the machine does slows all of them alike, so that what is told is ratios of the same round.
"""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

ROUNDS, CALLS, FIRST = 15, 10, 5
Way = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU microseconds of a call, and how many times those of the floor: the median, and the quartiles."""

    us: float
    ratio: float
    low: float
    high: float


def measured(
    ways: Mapping[str, Way], *, floor: str, rounds: int = ROUNDS, calls: int = CALLS
) -> dict[str, Cost]:
    """Each way's cost beside that of the one named ``floor``; ``calls`` of each in every one of ``rounds``."""
    for way in ways.values():
        _spent(way, FIRST)
    took = {name: list[float]() for name in ways}
    # What was there before is nobody's to clear away, and much of it.
    gc.freeze()
    for _ in range(rounds):
        gc.collect()
        for name, way in ways.items():
            took[name].append(_spent(way, calls))
    gc.unfreeze()
    return {name: _cost(times, took[floor]) for name, times in took.items()}


def _spent(way: Way, calls: int) -> float:
    began = time.process_time_ns()
    for _ in range(calls):
        way()
    return (time.process_time_ns() - began) / calls / 1000


def _cost(times: list[float], floor: list[float]) -> Cost:
    ratios = [one / least for one, least in zip(times, floor, strict=True)]
    low, _, high = quantiles(ratios, n=4)
    return Cost(us=median(times), ratio=median(ratios), low=low, high=high)
