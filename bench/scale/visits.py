"""One link that everybody opens: visits a second, and over which rows they spread."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

from bench.scale.running import NOW, Outcomes, Place, arrivals, played, running, stood_up
from bench.scale.virtual import Process

Levels = tuple[tuple[int, int], ...]
"""(partitions, rows a partition and hour) of each level."""


@dataclass(frozen=True, kw_only=True)
class Rush:
    """Some seconds of a link's hour; ``full``: levels that earlier visitors in it have filled, ``known``: and
    every process has seen it.

    ``part``: it is played with this part of the visits, of the processes, and of what a partition takes, which
    bends at the same place; only that rows fill as much more slowly.
    """

    rate: float
    seconds: float
    full: int = 0
    warm_writes: int = 200_000
    processes: int = 3_000
    part: float = 1.0
    known: bool = False
    levels: Levels | None = None


@dataclass(frozen=True)
class Rushed:
    """How it went; ``rows`` and ``partitions``: with at least one new visitor, by level."""

    rush: Rush
    outcomes: Outcomes
    sent: int
    throttles: int
    full_refusals: int
    ended_after_s: float
    counted: int
    rows: dict[int, int]
    hottest: str

    @property
    def each_second(self) -> float:
        """Visits counted a second while they came, of all of which a part was played."""
        in_time = sum(at <= self.rush.seconds for at in self.outcomes.done_at)
        return in_time / self.rush.seconds / self.rush.part


def held(rush: Rush) -> Rushed:
    """The visits of a rush, each by somebody who was not there in this hour."""
    from chalicelib.sharing import models, visits

    levels = rush.levels or models.LEVELS
    with (
        stood_up(shards=1) as client,
        mock.patch.object(models, "LEVELS", levels),
        mock.patch.object(visits, "LEVELS", levels),
        running(client, warm_writes=rush.warm_writes, part=rush.part, set_up=partial(_link, rush)) as (
            place,
            link,
        ),
    ):
        before = _counted(place)
        outcomes = _rush(place, link, rush)
        counted = _counted(place) - before
        # One that was told to come again was counted nowhere, and nobody twice.
        assert outcomes.ended["ok"] == counted, (outcomes.ended, counted)
        return _told(rush, place, outcomes, counted)


def _rush(place: Place, link: Any, rush: Rush) -> Outcomes:
    times = arrivals(place.dice, rate=rush.rate * rush.part, seconds=rush.seconds)
    calls = [(at, partial(_visit, place, link.code, n)) for n, at in enumerate(times)]
    most = round(rush.processes * rush.part)
    return played(place, calls, processes=most, born=_born(place, link, rush))


def _told(rush: Rush, place: Place, outcomes: Outcomes, counted: int) -> Rushed:
    seen = place.limits.seen
    throttled = sum(times for key, times in seen.throttled.items() if key.startswith("write"))
    full = seen.calls["UpdateItem"] - throttled - counted
    rows = Counter(int(row["pk"]["S"].rpartition("#")[2].split(".")[0]) for row in _hours(place))
    return Rushed(
        rush,
        outcomes,
        seen.sent,
        seen.refused["throttle"],
        full,
        place.time.now,
        counted,
        dict(sorted(rows.items())),
        seen.hottest,
    )


def _born(place: Place, link: Any, rush: Rush) -> Callable[[], Process]:
    """A process that remembers the link and what it has seen of it, or nothing."""
    from chalicelib.sharing import service, visits

    if not rush.known:
        return Process
    full = {
        (row["pk"]["S"], row["sk"]["S"]): (NOW, b"".join(sorted(row["seen"]["BS"]))) for row in _hours(place)
    }
    links = {link.code: (NOW, link)}
    return lambda: Process({id(visits._full): dict(full), id(service._links): dict(links)})


def _link(rush: Rush) -> Any:
    from tests.factories import a_link

    link = a_link(sharer_id="mbr_00000000000000000000000000")
    for level in range(rush.full):
        _fill(link.code, level)
    return link


def _fill(code: str, level: int) -> None:
    """Every row of a level has had all the visitors that it takes."""
    from chalicelib.core import clock, config, table
    from chalicelib.sharing import models

    hour = clock.local_hour(NOW, zone=config.settings().zone)
    partitions, rows = models.LEVELS[level]
    for number in range(partitions * rows):
        # Which row a visitor falls into is the key's own rule; these are numbered so that every row has one.
        key = models.Hour.key(code, hour=hour, level=level, visitor=number.to_bytes(8, "big"))
        seen = {hash_.to_bytes(8, "big") for hash_ in range(models.ROW_HOLDS)}
        row = models.Hour(*key, n=models.ROW_HOLDS, seen=seen, group=models.ROW_HOLDS, ttl=NOW)
        table.apply(table.create(row))


def _visit(place: Place, code: str, n: int) -> None:
    from chalicelib.sharing import service, visits

    link = service.find(code, now=place.now)
    visits.record(link=link, visitor=f"v{n}", wx_scene=1007, now=place.now)


def _hours(place: Place) -> list[dict[str, Any]]:
    return [row for row in place.store.items("traffic") if row["kind"]["S"] == "visit_hour"]


def _counted(place: Place) -> int:
    return sum(int(row["n"]["N"]) for row in _hours(place))
