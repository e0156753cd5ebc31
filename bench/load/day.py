"""Who calls what, when: made from dice before anything is sent, so that no slow answer puts a call off.

Of a hundred calls 70 open a link, 15 check in, 6 claim a coupon, and 9 are of people who buy together: one opens
a group, begins to pay and pays, another joins it and does the same, a second between each or, where time is
short, a tenth of it. Each kind of story begins as a Poisson process of its own. Every twentieth visit, check-in
and claim is somebody's second tap on what was tapped last.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal["visit", "check-in", "claim", "open", "begin", "pay", "join"]
SHARES: Mapping[tuple[Kind, ...], float] = {
    ("visit",): 0.70,
    ("check-in",): 0.15,
    ("claim",): 0.06,
    ("open", "begin", "pay", "join", "begin", "pay"): 0.09,
}
"""Of all calls, those in stories of these calls."""
THINKS_S = 1.0
TAPS_TWICE = 0.05
LINKS = 20
"""The first is opened twice as often as the second, three times as often as the third, and so on."""

_HEAT = [1 / (k + 1) for k in range(LINKS)]


@dataclass(frozen=True, kw_only=True)
class Call:
    """At ``at`` seconds, somebody (``who``, a number) does this with the ``what``-th of its kind."""

    at: float
    kind: Kind
    who: int
    what: int = 0


Story = tuple[Call, ...]
"""Calls of which each wants what the one before was answered."""


def stories(*, rate: float, seconds: float, members: int, dice: Random) -> list[Story]:
    """Those of so many seconds at this rate of calls a second, in the order in which they begin."""
    made = [
        story
        for calls, share in SHARES.items()
        for story in _of(calls, rate * share / len(calls), seconds=seconds, members=members, dice=dice)
    ]
    return sorted(made, key=lambda story: story[0].at)


def _of(calls: Sequence[Kind], rate: float, *, seconds: float, members: int, dice: Random) -> Iterator[Story]:
    n = -1
    for at in _arrivals(rate, seconds=seconds, dice=dice):
        again = len(calls) == 1 and n >= 0 and dice.random() < TAPS_TWICE
        if not again:
            n += 1
            link = dice.choices(range(LINKS), _HEAT)[0]
        pause = min(THINKS_S, seconds / 10)
        told = [
            _call(kind, k, n, link=link, members=members, at=at, pause=pause) for k, kind in enumerate(calls)
        ]
        yield tuple(call for call in told if call.at < seconds)


def _arrivals(rate: float, *, seconds: float, dice: Random) -> Iterator[float]:
    at = dice.expovariate(rate)
    while at < seconds:
        yield at
        at += dice.expovariate(rate)


def _call(kind: Kind, k: int, n: int, *, link: int, members: int, at: float, pause: float) -> Call:
    """The ``k``-th call of the ``n``-th story: of members, each has a turn before any has another."""
    if kind == "visit":
        return Call(at=at, kind=kind, who=n, what=link)
    if kind in ("check-in", "claim"):
        return Call(at=at, kind=kind, who=n % members, what=n // members)
    return Call(at=at + k * pause, kind=kind, who=(2 * n + k // 3) % members)


def wanted(made: Sequence[Story], kind: Kind) -> int:
    """How many things of a kind these stories want."""
    return max((call.what + 1 for story in made for call in story if call.kind == kind), default=0)
