"""What AWS asks for things: `prices.json`, each price with its page and the date on which it was read.

A price has tiers, from a quantity of a month on, and perhaps what is free in a month for good. Allowances that end
after a year are left out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("prices.json")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a price is from: AWS's ``page``, and where its figure was ``seen``, as of ``read``."""

    page: str
    url: str
    seen: str
    read: str


@dataclass(frozen=True, kw_only=True)
class Price:
    """Of ``per`` things, in tiers: (from how many in a month on, how much)."""

    words: str
    per: float
    tiers: Sequence[tuple[float, float]]
    source: Source
    free: float = 0.0

    def of(self, quantity: float, *, allowance: bool = False) -> float:
        """What so many things cost in a month; ``allowance``: less those that are free for good."""
        billed = max(0.0, quantity - self.free) if allowance else quantity
        ends = [begin for begin, _ in self.tiers[1:]] + [float("inf")]
        parts = zip(self.tiers, ends, strict=True)
        return sum(amount * max(0.0, min(billed, end) - begin) for (begin, amount), end in parts) / self.per


@dataclass(frozen=True, kw_only=True)
class Region:
    """The prices of one region, in its currency; those that are not known are not there."""

    name: str
    currency: str
    prices: Mapping[str, Price]

    def missing(self, things: Iterable[str]) -> list[str]:
        """Which of these things have no price here."""
        return sorted({*things} - {*self.prices})


def regions() -> list[str]:
    """All regions of which some price is known."""
    return list(_read()["regions"])


def things() -> dict[str, float]:
    """All that may have a price, and how many of each it is for."""
    return {thing: told["per"] for thing, told in _read()["things"].items()}


def region(name: str, *, given: Mapping[str, float] | None = None) -> Region:
    """A region's prices; ``given``: what somebody read for it, for the usual number of things each."""
    told = _read()["regions"][name]
    known = {thing: _price(thing, one) for thing, one in told["prices"].items()}
    own = Source(page="given on the command line", url="", seen="", read="")
    for thing, amount in (given or {}).items():
        known[thing] = Price(**_read()["things"][thing], tiers=[(0, amount)], source=own)
    return Region(name=name, currency=told["currency"], prices=known)


def _price(thing: str, told: Mapping[str, Any]) -> Price:
    tiers = [(float(begin), float(amount)) for begin, amount in told["tiers"]]
    source = Source(**_read()["sources"][told["source"]])
    return Price(**_read()["things"][thing], tiers=tiers, source=source, free=told.get("free", 0.0))


@cache
def _read() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))
