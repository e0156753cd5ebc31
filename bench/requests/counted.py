"""Calls, units and bytes of requests, and whether they are still what was agreed: `budgets.json`.

A unit of writing is 1 KB, and twice that in a transaction; a unit of reading 4 KB, half of that where it may be a
moment old: `tests/harness/counter.py`, by AWS's published rule.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.requests.hot import HOT, Hot
from bench.requests.shop import Made, Shop
from tests.doors import DOORS
from tests.proof import line

BUDGETS = Path(__file__).with_name("budgets.json")
NAMES = ("calls", "read units", "write units", "index units")
ROOM = {"read units": 1}
"""A page of rows that is nearly 4 KB is one unit more or less by how long its numbers happen to be."""
_HEAD = """| room | operation | route | calls | read units | write units | index units | bytes in | bytes out |
|---|---|---|---|---|---|---|---|---|
"""


def everything(shop: Shop) -> dict[str, Made]:
    """Every route's request that succeeds."""
    made = (shop.made(route) for route in DOORS)
    return {one.route: one for one in made if one.status < 300}


def hot(shop: Shop) -> dict[Hot, Made]:
    """What is called most."""
    return {one: shop.made(one.route, by=one.by) for one in HOT}


def figures(made: Made) -> list[float]:
    """Of one request, in the order of `NAMES`."""
    spent = made.spent
    return [spent.calls, spent.read_units, spent.table_units, spent.index_units]


def agreed() -> dict[str, list[float]]:
    """What each route may cost."""
    told: dict[str, list[float]] = json.loads(BUDGETS.read_text(encoding="utf-8"))
    return told


def keep(made: Mapping[str, Made]) -> None:
    """From now on each route may cost what it costs now."""
    lines = [f"{json.dumps(route)}: {json.dumps(figures(one))}" for route, one in sorted(made.items())]
    BUDGETS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def over(made: Mapping[str, Made], budgets: Mapping[str, list[float]]) -> list[str]:
    """What costs more than was agreed, and what nothing was agreed for."""
    found = [f"{route} has no budget" for route in made if route not in budgets]
    for route, one in made.items():
        for name, is_now, may_be in zip(NAMES, figures(one), budgets.get(route, ()), strict=False):
            if is_now > may_be + ROOM.get(name, 0):
                found.append(f"{route}: {is_now:g} {name}, {may_be:g} agreed{_calls(one)}")
    return found


def _calls(made: Made) -> str:
    return f" ({', '.join(one.operation for one in made.asked)})"


def table(hot: Mapping[Hot, Made]) -> str:
    """The hot operations."""
    return _HEAD + "".join(line(one.room, one.name, *_row(made)) for one, made in hot.items())


def _row(made: Made) -> Iterable[Any]:
    told = [f"{one:g}" for one in figures(made)]
    return [f"`{made.route}`", *told, len(made.event["body"] or "") * 3 // 4, made.bytes_out]
