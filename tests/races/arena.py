"""Where a race is run: on tables of its own and in the weather of its round; the naive and the careless beside it.

    outcomes = arena.race(*[lambda m=m: claim(member=m) for m in members])      # under the hostile layer
    outcomes.expect(won=50, sold_out=14)
    check(arena)                                    # the rows, and the images of the stream

Each round begins on empty tables and with an empty stream, so a check may count whatever there is.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from chalicelib.core import table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write
from infra.local.clients import Store
from tests.harness.hostile import Hostile
from tests.harness.races import Outcomes, race
from tests.harness.rows import Change, Plain, decoded, rows
from tests.harness.wire import WRITES, Call, Params, wrapped

TRUTH, TRAFFIC = "races-truth", "races-traffic"
ON_TRAFFIC = ("visit_hour", "wechat_budget", "member_calls")
"""Kinds of the traffic table that races ask for."""
CROWD = int(os.environ.get("RACE_CROWD", "24"))
"""How many come at once; `make races` has 64 of them."""
BAND = 32
"""A crowd that stays as it is, where each call makes a dozen of the store, and the jobs as many after it."""
INSISTS = 30
T = TypeVar("T")
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What one round has to stand."""

    seed: int
    lost_reply: float = 0.05
    timeout_before: float = 0.0
    timeout_after: float = 0.0

    @property
    def stormy(self) -> bool:
        """Whether time-outs reach the callers."""
        return self.timeout_before + self.timeout_after > 0

    def __str__(self) -> str:
        name = "storm" if self.stormy else "rough" if self.lost_reply else "fair"
        return f"{name}-{self.seed}"


FAIR = Weather(seed=1, lost_reply=0.0)
ROUGH = Weather(seed=2)
STORM = Weather(seed=3, timeout_before=0.02, timeout_after=0.04)


def rounds(*weathers: Weather) -> pytest.MarkDecorator:
    """A round in each of these weathers; RACE_ROUNDS=5 makes it five, with other dice."""
    return pytest.mark.parametrize("weather", [one for each in weathers for one in _dealt(each)], ids=str)


def rounds_of(names: str, *rows: tuple[Any, ...]) -> pytest.MarkDecorator:
    """The same of rounds that differ in more; the last of each row is its weather."""
    dealt = [(*row[:-1], weather) for row in rows for weather in _dealt(row[-1])]
    return pytest.mark.parametrize(f"{names}, weather", dealt, ids=str)


def _dealt(weather: Weather) -> list[Weather]:
    more = range(int(os.environ.get("RACE_ROUNDS", "1")))
    return [replace(weather, seed=weather.seed + 10 * n) for n in more]


class Stream:
    """The records of the truth table since this was made."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._api = store.streams
        self._arn = store.client.describe_table(TableName=TRUTH)["Table"]["LatestStreamArn"]
        self._begins = {shard: self._iterator(shard, "LATEST") for shard in self._shards()}

    def records(self) -> list[Record]:
        """All of them so far, in the shape that Lambda gives a handler."""
        found = [record for shard in self._shards() for record in self._of(shard)]
        for record in found:
            # The Streams API leaves out the first and gives a datetime for the second; Lambda does neither.
            record["eventSourceARN"] = self._arn
            change = record["dynamodb"]
            change["ApproximateCreationDateTime"] = int(change["ApproximateCreationDateTime"].timestamp())
        return found

    def _shards(self) -> list[str]:
        described = self._api.describe_stream(StreamArn=self._arn)["StreamDescription"]
        return [shard["ShardId"] for shard in described["Shards"]]

    def _iterator(self, shard: str, kind: str) -> str:
        asked = {"StreamArn": self._arn, "ShardId": shard, "ShardIteratorType": kind}
        return str(self._api.get_shard_iterator(**asked)["ShardIterator"])

    def _of(self, shard: str) -> Iterator[Record]:
        iterator = self._begins.get(shard) or self._iterator(shard, "TRIM_HORIZON")
        while iterator:
            page = self._api.get_records(ShardIterator=iterator)
            if not page["Records"]:
                return
            yield from page["Records"]
            iterator = page.get("NextShardIterator", "")


def emptied(store: Store) -> None:
    """Both tables have nothing in them."""
    for name in (TRUTH, TRAFFIC):
        keys = [{"pk": {"S": row["pk"]}, "sk": {"S": row["sk"]}} for row in rows(store.client, name)]
        while keys:
            some, keys = keys[:25], keys[25:]
            deletes = [{"DeleteRequest": {"Key": key}} for key in some]
            store.client.batch_write_item(RequestItems={name: deletes})


@dataclass(frozen=True, kw_only=True)
class Arena:
    """Both tables of one round, empty at first, with the app looking at them."""

    client: Any
    stream: Stream
    weather: Weather

    def anew(self) -> "Arena":
        """The same with nothing in it."""
        emptied(self.stream.store)
        return replace(self, stream=Stream(self.stream.store))

    def race(self, *calls: Callable[[], Any], threads: int = CROWD, meet: bool = False) -> Outcomes:
        """All calls at once in this round's weather; ``meet``: nobody writes before all have read.

        Who is told "busy" calls again, as a phone does: a storm says it, and 64 at one row on a slow machine.
        """
        with ExitStack() as layers:
            layers.enter_context(self.hostile())
            if meet:
                layers.enter_context(meeting(self.client, min(threads, len(calls))))
            return race(*map(insisting, calls), threads=threads)

    def collide(self, *calls: Callable[[], Any]) -> Outcomes:
        """All calls at once on a kind store, nobody writing before all have read: for careless versions."""
        with meeting(self.client, len(calls)):
            return race(*calls, threads=len(calls))

    def hostile(self, **more: Any) -> Hostile:
        """The weather as a layer: every transaction owns its rows for 4 ms at least."""
        odds = ("lost_reply", "timeout_before", "timeout_after")
        given = {name: getattr(self.weather, name) for name in odds} | more
        dice = random.Random(self.weather.seed)
        return Hostile(self.client, dice=dice, in_flight=0.004, throttle=0.02, **given)

    def rows(self, kind: str, **wanted: Any) -> list[Plain]:
        """All rows of this kind."""
        there = TRAFFIC if kind in ON_TRAFFIC else TRUTH
        return rows(self.client, there, kind=kind, **wanted)

    def records(self) -> list[Record]:
        """What the stream has told in this round."""
        return self.stream.records()

    def images(self, kind: str) -> list[Change]:
        """Every change of a row of this kind, oldest first."""
        changes = [record["dynamodb"] for record in self.records()]
        sides = [
            [decoded(change[side]) if side in change else None for side in ("OldImage", "NewImage")]
            for change in changes
        ]
        return [Change(old, new) for old, new in sides if (new or old or {})["kind"] == kind]


def insisting(call: Callable[[], T]) -> Callable[[], T]:
    """The call made again, after a moment, for every "busy"."""

    def again() -> T:
        for _ in range(INSISTS):
            with suppress(Busy):
                return call()
            time.sleep(random.uniform(0, 0.02))
        return call()

    return again


@contextmanager
def meeting(client: Any, parties: int) -> Iterator[None]:
    """No thread's first write is sent before ``parties`` threads have come to theirs, or a second is over."""
    all_have_read = threading.Barrier(parties)
    came = threading.local()

    def layer(below: Call, operation: str, params: Params) -> Params:
        if operation in WRITES and not hasattr(came, "before"):
            came.before = True
            with suppress(threading.BrokenBarrierError):
                all_have_read.wait(1.0)
        return below(operation, params)

    with wrapped(client, layer):
        yield


@contextmanager
def overtaken(client: Any, operation: str, by: Callable[[], Any]) -> Iterator[None]:
    """Just before the first call of ``operation``, ``by`` happens: a race whose course is known."""
    left = [by]

    def layer(below: Call, name: str, params: Params) -> Params:
        if name == operation and left:
            left.pop()()
        return below(name, params)

    with wrapped(client, layer):
        yield


def unconditionally(row: Row) -> Row:
    """What a naive version does once it has read that all is well."""
    return table.apply(Write(operation="Put", row=row, when=None, refuse=Busy))


def careless(patch: pytest.MonkeyPatch, change: Callable[[Write], Write]) -> None:
    """Send every write as ``change`` makes it: a version of the app that lacks a condition."""
    real = table._parameters
    patch.setattr(table, "_parameters", lambda write: real(change(write)))
