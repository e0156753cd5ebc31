"""The CPU of a request beside a bare handler's, and of three operations beside the stacks that others would take.

Every way is called with the same event on the same recorded answers, in turn, in one process (`paired`).

The design had 1.3 times a bare handler for every request. That is out of reach where there is one call of DynamoDB
alone: what a request costs besides (its session, its route, its input, the expressions, one line of the log) is the
same for one call and for five, and a bare handler has none of it. So the budget is 1.4 times for half of all
operations, and twice for the dearest.
"""

import contextlib
import importlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

import app
from bench.requests import floor, paired, replay
from bench.requests.hot import HOT, Hot
from bench.requests.paired import CALLS, ROUNDS, Cost, Way
from bench.requests.shop import Asked, Made, Shop
from chalicelib.core import limits, table
from tests.harness.gateway import Context
from tests.proof import line

FLOOR, TUNED, APP = "bare botocore", "bare botocore, with Liebian's client", "Liebian"
MEDIAN, MOST = 1.4, 2.0
RESOLVER, FAST = "powertools resolver, boto3 resource", "FastAPI, Mangum, pydantic, pynamodb"
_HEAD = """| operation | calls | bare, µs | Liebian, µs | × bare | quartiles | with our client, × bare |
|---|---|---|---|---|---|---|
"""
_STACKS = """| operation | way | µs | × bare | quartiles |
|---|---|---|---|---|
"""


class NotServed(Exception):
    """A way did not answer as it should, or made other calls."""


def of(made: Made, *, stacks: bool = False, rounds: int = ROUNDS, calls: int = CALLS) -> dict[str, Cost]:
    """One operation in all its ways, while what was remembered for it still is."""
    with _silent(), _served(made.asked) as wire:
        ways = {FLOOR: floor.bare(made), TUNED: floor.tuned(made), APP: _app(made, wire)}
        if stacks:
            ways |= _stacks(made)
        for name, way in ways.items():
            _tried(name, way)
        return paired.measured(ways, floor=FLOOR, rounds=rounds, calls=calls)


def over(found: Mapping[Hot, Mapping[str, Cost]], *, room: float) -> list[str]:
    """What costs more than the budget and as much ``room`` as a busy machine takes."""
    ratios = {hot: costs[APP].ratio for hot, costs in found.items()}
    told = [
        f"{hot.name}: {ratio:.2f} times bare botocore's CPU, and {MOST} is the most"
        for hot, ratio in ratios.items()
        if ratio > MOST * room
    ]
    middle = median(ratios.values())
    return told + [f"half of all cost more than {middle:.2f} times, not {MEDIAN}"] * (middle > MEDIAN * room)


def _app(made: Made, wire: replay.Wire) -> Way:
    def call() -> Any:
        wire.begin()
        # Nobody makes a thousand such calls in a minute.
        limits._counted.clear()
        answer = app.app(made.event, Context())
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
    session = importlib.import_module("bench.requests.stacks.session")
    event = {**session.as_jwt(made.event), "path": made.event["path"].removeprefix("/api")}
    return {
        RESOLVER: lambda: resolver.handler(event, Context()),
        FAST: lambda: fast.handler(event, Context()),
    }


def _tried(name: str, way: Way) -> None:
    answer: Any = way()
    if not 200 <= answer["statusCode"] < 300:
        raise NotServed(f"{name}: {answer}")


def everything(shop: Shop, *, stacks: bool = True, every: int = 1, **how: int) -> dict[Hot, dict[str, Cost]]:
    """All that ask DynamoDB, and nobody else: WeChat's stand-in would be measured with them; ``every`` so many."""
    found = {}
    for hot in [one for one in HOT if not one.asks_wechat][::every]:
        made = shop.made(hot.route, by=hot.by)
        if made.asked:
            found[hot] = of(made, stacks=stacks and hot.stacks, **how)
    return found


def table_of(found: Mapping[Hot, Mapping[str, Cost]], made: Mapping[Hot, Made]) -> str:
    """Each beside the bare handler."""
    return _HEAD + "".join(
        line(
            hot.name,
            len(made[hot].asked),
            f"{costs[FLOOR].us:.0f}",
            *_shown(costs[APP]),
            f"{costs[TUNED].ratio:.2f}",
        )
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
