"""Coupon claims a second on one template, against the number of its stock shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.scale.running import NOW, Outcomes, Place, arrivals, played, running, stood_up

PROCESSES = 10_000
"""More than any of these needs, so that what bends is the table."""


@dataclass(frozen=True, kw_only=True)
class Sale:
    """A template's first seconds."""

    rate: float
    seconds: float
    shards: int
    due_shards: int = 32
    warm_writes: int = 80_000
    times: float = 1.0


@dataclass(frozen=True)
class Sold:
    """How it went."""

    sale: Sale
    outcomes: Outcomes
    sent: int
    conflicts: int
    throttles: int
    ended_after_s: float
    hottest: str
    table_units: float

    @property
    def refused(self) -> float:
        """Of all claims, those told to come again later, in percent."""
        return self.outcomes.share("busy")


def held(sale: Sale) -> Sold:
    """The claims of a sale, each by a member of their own, on a stock that is enough for all."""
    with stood_up(shards=sale.due_shards) as client:
        made = partial(_template, sale)
        with running(client, warm_writes=sale.warm_writes, times=sale.times, set_up=made) as (
            place,
            template,
        ):
            times = arrivals(place.dice, rate=sale.rate, seconds=sale.seconds)
            calls = [(at, partial(_claim, place, template.template_id, n)) for n, at in enumerate(times)]
            outcomes = played(place, calls, processes=PROCESSES)
            _hold_true(place, template, outcomes)
            return _told(sale, place, outcomes)


def _told(sale: Sale, place: Place, outcomes: Outcomes) -> Sold:
    seen = place.limits.seen
    return Sold(
        sale,
        outcomes,
        seen.sent,
        seen.refused["conflict"],
        seen.refused["throttle"],
        place.time.now,
        seen.hottest,
        seen.units["write truth"] / max(1, outcomes.ended["ok"]),
    )


def _template(sale: Sale) -> Any:
    from tests.coupons import a_template

    enough = int(sale.rate * sale.seconds * 4) + 1000 * sale.shards
    return a_template(stock=enough, stock_shards=sale.shards)


def _claim(place: Place, template_id: str, n: int) -> None:
    from chalicelib.coupons import service

    service.claim(template_id=template_id, member_id=f"mbr_{n:026d}", now=place.now)


def _hold_true(place: Place, template: Any, outcomes: Outcomes) -> None:
    """The run proves nothing unless each claim took one unit: C1, seen in the rows."""
    rows = place.store.items()
    coupons = sum(row["kind"]["S"] == "coupon" for row in rows)
    issued = sum(int(row["issued"]["N"]) for row in rows if row["kind"]["S"] == "coupon_stock")
    assert coupons == issued == outcomes.ended["ok"], (coupons, issued, outcomes.ended)


def at_once(shards: Sequence[int], *, rate: float, seconds: float) -> list[Sold]:
    """The same sale with each of these."""
    return [held(Sale(rate=rate, seconds=seconds, shards=one)) for one in shards]


__all__ = ["NOW", "Sale", "Sold", "at_once", "held"]
