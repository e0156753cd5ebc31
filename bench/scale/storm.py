"""A group with few seats that a crowd wants to join in the same seconds."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.scale.running import NOW, Outcomes, Place, arrivals, played, running, stood_up


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """So many people in so many seconds on one group of ``size``, whose head has paid."""

    people: int
    seconds: float = 1.0
    size: int = 5
    warm_writes: int = 40_000
    as_shown: bool = False


@dataclass(frozen=True)
class Came:
    """How it went; ``full_after_s``: when the last seat was taken."""

    crowd: Crowd
    outcomes: Outcomes
    calls: Counter[str]
    conflicts: int
    throttles: int
    full_after_s: float
    slowest_s: float
    hottest: str


def held(crowd: Crowd) -> Came:
    """The crowd comes; exactly the free seats are given."""
    with stood_up(shards=16) as client:
        made = partial(_group, crowd)
        with running(client, warm_writes=crowd.warm_writes, set_up=made) as (place, group):
            seated: list[float] = []
            times = arrivals(place.dice, rate=crowd.people / crowd.seconds, seconds=crowd.seconds)
            calls = [(at, partial(_join, place, group, crowd, n, seated)) for n, at in enumerate(times)]
            outcomes = played(place, calls, processes=10_000)
            assert outcomes.ended["ok"] == len(seated) == crowd.size - 1, outcomes.ended
            seen = place.limits.seen
            return Came(
                crowd,
                outcomes,
                seen.calls,
                seen.refused["conflict"],
                seen.refused["throttle"],
                max(seated),
                max(outcomes.answered_s),
                seen.hottest,
            )


def _group(crowd: Crowd) -> Any:
    from tests.groupbuys import a_campaign, open_paid_group

    campaign = a_campaign(sizes={crowd.size: 8900}, stock=1000)
    return open_paid_group(campaign, now=NOW)


def _join(place: Place, group: Any, crowd: Crowd, n: int, seated: list[float]) -> None:
    from chalicelib.groupbuys import service
    from tests.groupbuys import shown_of

    buying = service.Buying(member_id=f"mbr_{n:026d}", sku_id=None, quantity=1)
    shown = shown_of(group) if crowd.as_shown else None
    service.join(group_id=group.group_id, buying=buying, shown=shown, now=place.now)
    seated.append(place.time.now)
