"""A store as unkind as AWS, round either local engine, which never conflicts, throttles or lags by itself.

    with Hostile(client, dice=random.Random(7), in_flight=0.005, throttle=0.02, timeout_after=0.02) as hostile:
        outcomes = race(*[join] * 64)
    assert hostile.counts["conflict"] > 0

- Conflicts: a transaction owns its keys while it is in flight, at least ``in_flight`` seconds; a transaction or a
  single write that touches them is refused, and so is a transactional read. BatchWriteItem never conflicts here.
- Odds from 0 to 1, one roll a call: ``throttle`` (a batch is then half done); ``timeout_before`` and
  ``timeout_after`` the effect, botocore having given up; ``lost_reply``: botocore sends the call a second time by
  itself, a transaction under the same token.
- ``index_delay`` seconds: indexes lag, as `late` tells.

The rolls follow ``dice``; under threads, which call gets which roll is up to the threads.
"""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Self

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from tests.harness.late import LateIndexes
from tests.harness.wire import (
    READS,
    WRITES,
    Call,
    Key,
    Params,
    conflicting,
    key_of,
    throttled,
    wrapped,
    written,
)

ODDS = ("throttle", "timeout_before", "timeout_after", "lost_reply")


@dataclass
class Hostile:
    """The layer, worn by ``client`` inside the with block.

    ``counts`` says what it did: ``calls``, ``conflict``, ``late`` (entries hidden) and the names of the odds.
    """

    client: Any
    _: KW_ONLY
    dice: random.Random
    in_flight: float = 0.0
    throttle: float = 0.0
    timeout_before: float = 0.0
    timeout_after: float = 0.0
    lost_reply: float = 0.0
    index_delay: float = 0.0
    clock: Callable[[], float] = time.monotonic
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._owned: set[Key] = set()
        self._answered: dict[str, Params] = {}
        self._late = LateIndexes(self.client, delay_s=self.index_delay, clock=self.clock)
        self._worn: AbstractContextManager[None] = wrapped(self.client, self._call)

    def __enter__(self) -> Self:
        self._worn.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._worn.__exit__(*error)

    def _call(self, below: Call, operation: str, params: Params) -> Params:
        if operation not in READS | WRITES:
            return below(operation, params)
        fate = self._roll()
        if fate == "throttle":
            return self._throttled(below, operation, params)
        if fate == "timeout_before":
            raise self._no_answer()
        refusals_are_lost = suppress(ClientError) if fate == "timeout_after" else nullcontext()
        with self._owning(operation, params), self._late.watching(operation, params), refusals_are_lost:
            answer = self._send(below, operation, params, twice=fate == "lost_reply")
        if fate == "timeout_after":
            self._count("timeout_after")
            raise ReadTimeoutError(endpoint_url=self.client.meta.endpoint_url)
        return answer

    def _roll(self) -> str:
        with self._lock:
            self.counts["calls"] += 1
            rolled = self.dice.random()
        for fate in ODDS:
            rolled -= getattr(self, fate)
            if rolled < 0:
                return fate
        return "calm"

    def _count(self, what: str, times: int = 1) -> None:
        with self._lock:
            self.counts[what] += times

    def _no_answer(self) -> Exception:
        # A read time-out looks the same before and after the effect: who concludes anything from it is wrong.
        self._count("timeout_before")
        with self._lock:
            kind = self.dice.choice([ReadTimeoutError, ConnectTimeoutError])
        error: Exception = kind(endpoint_url=self.client.meta.endpoint_url)
        return error

    def _throttled(self, below: Call, operation: str, params: Params) -> Params:
        self._count("throttle")
        if operation.startswith("Transact"):
            with self._lock:
                hit = self.dice.randrange(len(params["TransactItems"]))
            raise throttled(self.client, operation, params, hit=hit)
        done, left = _halves(params["RequestItems"]) if operation.startswith("Batch") else ({}, {})
        if not done:
            raise throttled(self.client, operation, params)
        unprocessed = "UnprocessedKeys" if operation in READS else "UnprocessedItems"
        return {**below(operation, {**params, "RequestItems": done}), unprocessed: left}

    @contextmanager
    def _owning(self, operation: str, params: Params) -> Iterator[None]:
        touched = _touched(operation, params)
        mine = set(touched) if operation == "TransactWriteItems" else set()
        with self._lock:
            hit = [key in self._owned for key in touched]
            if any(hit):
                self.counts["conflict"] += 1
                raise conflicting(self.client, operation, hit)
            self._owned |= mine
        try:
            if mine:
                time.sleep(self.in_flight)
            yield
        finally:
            with self._lock:
                self._owned -= mine

    def _send(self, below: Call, operation: str, params: Params, *, twice: bool) -> Params:
        if operation == "TransactWriteItems":
            # botocore adds the token below this layer: of two sends, each would get its own. Not from the dice:
            # the engine remembers tokens for minutes, also those of another test with the same seed.
            params = {"ClientRequestToken": str(uuid.uuid4()), **params}
            below = self._once_a_token(below)
        if twice:
            self._count("lost_reply")
            with suppress(ClientError):
                below(operation, params)
        return (
            self._read_late(below, operation, params) if "IndexName" in params else below(operation, params)
        )

    def _once_a_token(self, below: Call) -> Call:
        # AWS answers a token it has carried out as it did the first time; moto carries it out again.
        def call(operation: str, params: Params) -> Params:
            token = params["ClientRequestToken"]
            if token not in self._answered:
                self._answered[token] = below(operation, params)
            return self._answered[token]

        return call

    def _read_late(self, below: Call, operation: str, params: Params) -> Params:
        answer, hidden = self._late.served(operation, params, below)
        self._count("late", hidden)
        return answer


def _touched(operation: str, params: Params) -> list[Key]:
    if operation == "BatchWriteItem":
        return []
    if operation == "TransactGetItems":
        return [key_of(action["Get"]) for action in params["TransactItems"]]
    return written(operation, params)


def _halves(asked: Params) -> tuple[Params, Params]:
    """A batch cut in two: what a throttled store still does, and what it hands back."""
    done: Params = {}
    left: Params = {}
    for table, wanted in asked.items():
        entries = wanted["Keys"] if isinstance(wanted, dict) else wanted
        cut = len(entries) // 2
        for part, some in ((done, entries[:cut]), (left, entries[cut:])):
            if some:
                part[table] = {**wanted, "Keys": some} if isinstance(wanted, dict) else some
    return done, left
