"""What DynamoDB allows and how long it takes, in the place of botocore's transport, in virtual time.

Published, and enforced here:

- a partition takes 1,000 write and 3,000 read units a second, and so does a key, which is in one partition [1];
- a new on-demand table, and each of its indexes, is warm for 4,000 write and 12,000 read units a second [1], which
  is what its first partitions take; warm throughput can be raised ahead of a sale [2];
- an index that cannot follow throttles the writes of its table [3];
- a write that meets a transaction under way on its row is refused, and so is a transaction that meets another [4];
- a row of a transaction costs twice the units [4].

How long a call takes is drawn from percentiles that were measured in a function on AWS [5]. For how long a
transaction owns its rows nobody has published: here it is all that it takes longer than a single write.

The numbers in brackets are those of `SOURCES`. What the model leaves out, the section itself says.
"""

import bisect
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from botocore.exceptions import ClientError

from bench.scale.virtual import Virtual
from bench.store import as_left
from tests.harness.counter import READ_BYTES, WRITE_BYTES, entry_units, item_size
from tests.harness.wire import READS, Call, Index, Item, Key, Params, conflicting, key_of, throttled

PARTITION_WRITES, PARTITION_READS = 1000, 3000
NEW_TABLE_WRITES = 4000
TABLE_QUOTA = 40_000
"""Write units a second that a table may have by default; more is asked for."""

SOURCES = (
    ("1", "docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput-scenarios.html"),
    ("2", "docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html"),
    ("3", "docs.aws.amazon.com/amazondynamodb/latest/developerguide/gsi-throttling.html"),
    ("4", "docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html"),
    ("5", "github.com/alexdebrie/dynamodb-performance-testing, put-batch-transaction-performance"),
    ("6", "docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html"),
    ("7", "docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"),
    ("8", "docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"),
)

SHARES = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)
SINGLE_MS = (5.47, 7.55, 11.3, 13.2, 16.2, 29.0)
OF_FIVE_MS = (19.4, 25.3, 30.7, 36.4, 92.5, 218.0)
OF_TWENTY_FIVE_MS = (23.5, 32.1, 40.5, 47.2, 97.5, 258.0)
"""Milliseconds of a PutItem, and of transactions of 5 and of 25 rows, at these shares of all calls [5]."""

SENT_BY_BOTOCORE = 3
"""Times that botocore sends a throttled single call, as the app's client is set; a cancelled transaction once."""
AT_FIRST = 0.1
"""Of a second's worth, what is there when a run begins: asked is what is borne for long, not in a burst."""
BACKOFF_S, MOST_BACKOFF_S = 1.0, 20.0
"""botocore's standard mode after a throttle: a random part of 1 s, then of 2 s."""


@dataclass
class Latency:
    """How long calls take: ``times`` what was measured, by these dice."""

    dice: random.Random
    times: float = 1.0

    def single(self) -> float:
        """Seconds of a call of one row, or a read."""
        return self._drawn(SINGLE_MS)

    def transaction(self, rows: int) -> float:
        """Seconds of a transaction: between those of 5 and of 25 rows, and on in that line."""
        more = (max(rows, 5) - 5) / 20
        across = [
            five + (many - five) * more for five, many in zip(OF_FIVE_MS, OF_TWENTY_FIVE_MS, strict=True)
        ]
        return self._drawn(across)

    def _drawn(self, measured: Sequence[float]) -> float:
        share = self.dice.random()
        upper = bisect.bisect_left(SHARES, share, lo=1)
        low, high = SHARES[upper - 1], SHARES[upper]
        between = (share - low) / (high - low)
        return self.times * (measured[upper - 1] + between * (measured[upper] - measured[upper - 1])) / 1000


@dataclass
class Bucket:
    """Units that are left of a second's worth."""

    each_second: float
    left: float
    seen_at: float = 0.0

    def has(self, units: float, *, now: float) -> bool:
        """Whether so many are there; what is asked for at once may be more than a second brings, if it is full."""
        self.left = min(self.each_second, self.left + (now - self.seen_at) * self.each_second)
        self.seen_at = now
        return self.left >= min(units, self.each_second)


@dataclass
class Throughput:
    """A table, or an index, of so many partitions, over which its keys are spread by a hash."""

    partitions: int
    part: float = 1.0
    buckets: dict[tuple[str, int], Bucket] = field(default_factory=dict)

    def of(self, key: str, kind: str) -> Bucket:
        """What a key draws from: its partition, with the other keys that are in it."""
        name = kind, crc32(key.encode()) % self.partitions
        if name not in self.buckets:
            each = self.part * (PARTITION_WRITES if kind == "write" else PARTITION_READS)
            self.buckets[name] = Bucket(each, AT_FIRST * each)
        return self.buckets[name]


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Units that one row of a call costs one key of a table or index; ``row``: which of the call's."""

    where: str
    key: str
    units: float
    row: int


@dataclass
class Seen:
    """What the layer did: calls by operation, refusals, units by table and index, and who was refused most."""

    calls: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)

    @property
    def hottest(self) -> str:
        """Reading or writing, which table or index, and the kind of the key that was throttled most."""
        most = self.throttled.most_common(1)
        return most[0][0].partition("#")[0] if most else "none"

    @property
    def sent(self) -> int:
        """All calls."""
        return self.calls.total()


class Limits:
    """The layer; to be worn by a `Memory`, under the app's own client functions.

    ``part``: of what a partition takes, for a run with as small a part of the calls.
    """

    def __init__(
        self, time: Virtual, store: Any, *, latency: Latency, warm_writes: int, part: float = 1.0
    ) -> None:
        self.time, self.store, self.latency, self.seen = time, store, latency, Seen()
        self.partitions, self.part = max(1, warm_writes // PARTITION_WRITES), part
        self._places: dict[str, Throughput] = {}
        self._owned: set[Key] = set()

    def __call__(self, below: Call, operation: str, params: Params) -> Params:
        """A call as botocore makes it: a single one that is throttled is sent again by itself."""
        for sent in range(1, SENT_BY_BOTOCORE + 1):
            self.seen.calls[operation] += 1
            try:
                return self._once(below, operation, params)
            except ClientError as refusal:
                again = refusal.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
                if not again or sent == SENT_BY_BOTOCORE:
                    raise
            self.time.wait(self.latency.dice.random() * min(BACKOFF_S * 2 ** (sent - 1), MOST_BACKOFF_S))
        raise AssertionError("the last one is raised")

    def _once(self, below: Call, operation: str, params: Params) -> Params:
        if operation in READS:
            return self._read(below, operation, params)
        actions = _actions(operation, params)
        keys = [key_of(given) for _, given in actions]
        several = operation == "TransactWriteItems"
        there = self.latency.single() / 2
        self.time.wait(there)
        self._admit(operation, keys, there)
        self._afford(operation, params, self._spent(actions, keys, copies=2 if several else 1), "write")
        try:
            if several:
                self._own(keys, self.latency.transaction(len(keys)) - 2 * there)
            return below(operation, params)
        finally:
            self.time.wait(there)

    def played_back(self, operation: str, keys: Sequence[Key], spent: Sequence[Spending]) -> None:
        """A call whose rows nobody holds: it takes its time and its units, and meets others on its keys."""
        self.seen.calls[operation] += 1
        there = self.latency.single() / 2
        self.time.wait(there)
        if operation not in READS:
            told: Params = {"TransactItems": keys}
            self._admit(operation, keys, there)
            self._afford(operation, told, spent, "write")
            self._own(keys, self.latency.transaction(len(keys)) - 2 * there)
        self.time.wait(there)

    def _own(self, keys: Sequence[Key], seconds: float) -> None:
        self._owned.update(keys)
        self.time.wait(seconds)
        self._owned.difference_update(keys)

    def _read(self, below: Call, operation: str, params: Params) -> Params:
        there = self.latency.single() / 2
        self.time.wait(there)
        answer = below(operation, params)
        self._afford(operation, params, _spent_reading(operation, params, answer), "read")
        self.time.wait(there)
        return answer

    def _admit(self, operation: str, keys: Sequence[Key], there: float) -> None:
        """Refuse what meets a transaction under way; one that fails takes as long as one that does not [5]."""
        hit = [key in self._owned for key in keys]
        if any(hit):
            self.seen.refused["conflict"] += 1
            several = operation == "TransactWriteItems"
            self.time.wait(self.latency.transaction(len(keys)) - there if several else there)
            raise conflicting(self.store, operation, hit)

    def _afford(self, operation: str, params: Params, spent: Sequence[Spending], kind: str) -> None:
        """Take the units, all or none; refuse when a key, or the partition it is in, has none left."""
        for one in spent:
            if not self._of(one.where).of(one.key, kind).has(one.units, now=self.time.now):
                self.seen.refused["throttle"] += 1
                self.seen.throttled[f"{kind} {one.where} {one.key}"] += 1
                self.time.wait(self.latency.single() / 2)
                raise throttled(self.store, operation, params, hit=one.row)
        for one in spent:
            self.seen.units[f"{kind} {one.where}"] += one.units  # type: ignore[assignment]
            self._of(one.where).of(one.key, kind).left -= one.units

    def _of(self, where: str) -> Throughput:
        if where not in self._places:
            self._places[where] = Throughput(self.partitions, self.part)
        return self._places[where]

    def _spent(
        self, actions: Sequence[tuple[str, Params]], keys: Sequence[Key], *, copies: int
    ) -> list[Spending]:
        """By AWS's rule, from the rows as they would be; none of these shrinks by a kilobyte."""
        spent = []
        for row, ((name, given), key) in enumerate(zip(actions, keys, strict=True)):
            old = self.store.rows.get(key)
            new = as_left(name, given, old)
            units = copies * _units(WRITE_BYTES, _size(new or old or {}))
            spent.append(Spending(where=key[0], key=key[1], units=units, row=row))
            for index, described in self.store.indexes[key[0]].items():
                spent += _followed(f"{key[0]}/{index}", described, old or {}, new or {}, row)
        return spent


def _actions(operation: str, params: Params) -> list[tuple[str, Params]]:
    if operation == "TransactWriteItems":
        return [next(iter(one.items())) for one in params["TransactItems"]]
    return [(operation.removesuffix("Item"), params)]


def _followed(where: str, index: Index, old: Item, new: Item, row: int) -> list[Spending]:
    """What an index is billed for a row; at the partition that the entry comes to, or leaves."""
    if index.keys[0] not in old and index.keys[0] not in new:
        return []
    units = entry_units(index, old, new)
    if not units:
        return []
    at = index.entry(new) or index.entry(old)
    return [Spending(where=where, key=at[index.keys[0]]["S"], units=units, row=row)]


def _spent_reading(operation: str, params: Params, answer: Params) -> list[Spending]:
    if operation == "GetItem":
        rate, item = 1.0 if params.get("ConsistentRead") else 0.5, answer.get("Item", {})
        return [
            Spending(where=params["TableName"], key=params["Key"]["pk"]["S"], units=rate * _read(item), row=0)
        ]
    if operation == "BatchGetItem":
        return [
            Spending(where=table, key=item["pk"]["S"], units=_read(item), row=0)
            for table, items in answer["Responses"].items()
            for item in items
        ]
    where = "/".join(filter(None, (params["TableName"], params.get("IndexName"))))
    items = answer["Items"]
    # Entries of an index are as long as each other, near enough for a page's four kilobytes a unit.
    size = len(items) * item_size(items[0]) if items else 0
    key = next(iter(params["ExpressionAttributeValues"].values()))["S"]
    return [Spending(where=where, key=key, units=0.5 * _units(READ_BYTES, size), row=0)]


def _size(item: Item) -> int:
    """`item_size`, told at once of a set of bytes, which a visit's row has a hundred of."""
    plain = {name: value for name, value in item.items() if "BS" not in value}
    sets = (len(name) + sum(map(len, value["BS"])) for name, value in item.items() if "BS" in value)
    return item_size(plain) + sum(sets)


def _read(item: Item) -> int:
    return _units(READ_BYTES, item_size(item))


def _units(block: int, size: int) -> int:
    return max(1, -(-size // block))
