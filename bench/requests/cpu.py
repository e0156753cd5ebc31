"""The CPU of a request beside the floor, and of three operations beside the stacks that others would take.

Every way is called with the same event on the same recorded answers, in turn, in one process (`paired`).
"""

import contextlib
import importlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.requests import floor, paired, replay
from bench.requests.hot import HOT, Hot
from bench.requests.paired import Cost, Way
from bench.requests.shop import Asked, Made, Shop
from chalicelib.core import limits, table
from tests.harness.gateway import Context, answered
from tests.proof import line

FLOOR, UNTUNED, APP = "floor", "the floor, with a client as it comes", "Liebian"
RESOLVER, FAST = "powertools resolver, boto3 resource", "FastAPI, Mangum, pydantic, pynamodb"
_HEAD = """| operation | calls | floor, µs | Liebian, µs | × floor | quartiles |
|---|---|---|---|---|---|
"""
_STACKS = """| operation | way | µs | × floor | quartiles |
|---|---|---|---|---|
"""


class NotServed(Exception):
    """A way did not answer as it should, or made other calls."""


def of(shop: Shop, hot: Hot) -> dict[str, Cost]:
    """One operation in all its ways."""
    made = shop.made(hot.route, by=hot.by)
    with _silent(), _served(made.asked) as wire:
        ways = {FLOOR: floor.tuned(made), UNTUNED: floor.untuned(made), APP: _app(made, wire)}
        if hot.stacks:
            ways |= _stacks(made)
        for name, way in ways.items():
            _tried(name, way)
        return paired.measured(ways, floor=FLOOR)


def _app(made: Made, wire: replay.Wire) -> Way:
    def call() -> Any:
        wire.begin()
        # Nobody makes a thousand such calls in a minute.
        limits._counted.clear()
        answer = answered(made.event)
        if (wire.sent, answer["statusCode"]) != (len(made.asked), made.status):
            raise NotServed(f"{made.route}: {wire.sent} calls, {answer['statusCode']}")
        return answer

    return call


@contextmanager
def _served(asked: Sequence[Asked]) -> Iterator[replay.Wire]:
    """The app's store is a wire with these answers."""
    client, wire = replay.ours(asked)
    with patch.object(table, "_client", client):
        yield wire


@contextmanager
def _silent() -> Iterator[None]:
    """What is logged is written all the same, to nobody."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _stacks(made: Made) -> dict[str, Way]:
    resolver = importlib.import_module("bench.requests.stacks.resolver")
    fast = importlib.import_module("bench.requests.stacks.fast")
    replay.on_wire(resolver.dynamodb.meta.client, replay.Wire(made.asked))
    # Each of its models has a client of its own, and all of them ask for one request.
    shared, models = replay.Wire(made.asked), (fast.Hour, fast.Month)
    for client in (fast.connection.client, *(one._get_connection().connection.client for one in models)):
        replay.on_wire(client, shared)
    event = {**made.event, "path": made.event["path"].removeprefix("/api")}
    return {
        RESOLVER: lambda: resolver.handler(event, Context()),
        FAST: lambda: fast.handler(event, Context()),
    }


def _tried(name: str, way: Way) -> None:
    answer: Any = way()
    if not 200 <= answer["statusCode"] < 300:
        raise NotServed(f"{name}: {answer}")


def everything(shop: Shop) -> dict[Hot, dict[str, Cost]]:
    """All hot operations."""
    return {hot: of(shop, hot) for hot in HOT}


def table_of(found: Mapping[Hot, Mapping[str, Cost]], made: Mapping[Hot, Made]) -> str:
    """Each beside its floor."""
    return _HEAD + "".join(
        line(hot.name, len(made[hot].asked), f"{costs[FLOOR].us:.0f}", *_shown(costs[APP]))
        for hot, costs in found.items()
    )


def stacks_of(found: Mapping[Hot, Mapping[str, Cost]]) -> str:
    """Those that are served in other ways too."""
    return _STACKS + "".join(
        line(hot.name, name, *_shown(cost))
        for hot, costs in found.items()
        if hot.stacks
        for name, cost in costs.items()
    )


def _shown(cost: Cost) -> tuple[str, str, str]:
    return f"{cost.us:.0f}", f"{cost.ratio:.2f}", f"{cost.low:.2f} to {cost.high:.2f}"
