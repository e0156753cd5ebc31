"""The other way to do it: the smallest servers that one zone of AWS may lose, always on, with PostgreSQL and Redis.

Two small servers in two zones behind a load balancer, a database with a standby, and two nodes of a cache; public
addresses, as a NAT gateway would cost more than all of them. What such a server logs and answers is taken to be as
much as here. Nothing is taken for the people who watch and mend it, nor for a second of each while it is replaced.
"""

from collections.abc import Mapping

from bench.cost.monthly import HOURS, Line
from bench.cost.prices import Region

ZONES = 2
DISK_GB, DATABASE_GB = 8, 20
PARTS: Mapping[str, tuple[str, ...]] = {
    "two t4g.small": ("server_hours", "disk_gb"),
    "a load balancer": ("balancer_hours", "balancer_units"),
    "public addresses": ("address_hours",),
    "db.t4g.small, Multi-AZ": ("database_hours", "database_gb"),
    "two cache.t4g.micro": ("cache_hours",),
    "logs and data, as here": ("log_gb", "log_stored_gb", "data_out_gb"),
}


def asked(shop: Mapping[str, float]) -> dict[str, float]:
    """What it asks for in a month, beside a shop that asks for this here."""
    same = {thing: shop.get(thing, 0.0) for thing in PARTS["logs and data, as here"]}
    return same | {
        "server_hours": ZONES * HOURS,
        "disk_gb": ZONES * DISK_GB,
        "balancer_hours": HOURS,
        "balancer_units": HOURS,
        # The load balancer has one in each zone, and so has each server.
        "address_hours": 2 * ZONES * HOURS,
        "database_hours": HOURS,
        "database_gb": DATABASE_GB,
        "cache_hours": ZONES * HOURS,
    }


def bill(shop: Mapping[str, float], region: Region, *, allowance: bool) -> list[Line]:
    """What that costs."""
    found = asked(shop)
    return [
        Line(part=part, thing=thing, quantity=found[thing], amount=_amount(region, thing, found, allowance))
        for part, things in PARTS.items()
        for thing in things
    ]


def _amount(region: Region, thing: str, found: Mapping[str, float], allowance: bool) -> float | None:
    price = region.prices.get(thing)
    return price.of(found[thing], allowance=allowance) if price else None
