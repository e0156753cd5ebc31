"""Feeds the stream handlers from a store's own Streams API, as Lambda's event source mappings do in a deployment.

Every reader stands for one mapping: a position of its own, its own handler and filter, batches in order, partial
failures, bisecting, ten retries, and then the record is given up. Works on the embedded store and on DynamoDB
Local; the handlers cannot tell it from Lambda.
"""

import base64
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

logger = logging.getLogger(__name__)

BATCH = 100
RETRIES = 10
FIRST_WAIT_S = 0.02
LONGEST_WAIT_S = 0.1
ROUNDS = 10_000

Record = dict[str, Any]
Handler = Callable[[dict[str, Any], Any], dict[str, Any] | None]
Start = Literal["TRIM_HORIZON", "LATEST"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What Lambda passes beside the event, as far as handlers look at it."""

    function_name: str
    function_version: str = "local"
    memory_limit_in_mb: int = 512
    aws_request_id: str = "local"

    @property
    def invoked_function_arn(self) -> str:
        """Named like Lambda's."""
        return f"arn:aws:lambda:local:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Nothing ends a local handler."""
        return 60_000


class Position:
    """Where one reader stands: an iterator for every shard that it may read now."""

    def __init__(self, *, streams: Any, arn: str, start: Start) -> None:
        self._streams = streams
        self._arn = arn
        self._start = start
        self._iterators: dict[str, str] = {}
        self._finished: set[str] = set()
        self._seen: dict[str, str] = {}
        self._open()

    def batches(self) -> Iterator[list[Record]]:
        """The next records of every shard; a batch that the caller does not come back from is read again."""
        if not self._iterators:
            self._open()
        for shard in list(self._iterators):
            yield from self._read(shard)

    def _read(self, shard: str) -> Iterator[list[Record]]:
        try:
            answer = self._streams.get_records(ShardIterator=self._iterators[shard], Limit=BATCH)
        except self._streams.exceptions.ExpiredIteratorException:  # after 15 minutes, a suspended laptop's
            self._iterators[shard] = self._iterator(shard)
            return
        except self._streams.exceptions.TrimmedDataAccessException:
            # The place itself is gone: on from the oldest record that there is.
            self._seen.pop(shard, None)
            self._iterators[shard] = self._iterator(shard)
            yield from self._read(shard)
            return
        if answer["Records"]:
            yield answer["Records"]
            self._seen[shard] = answer["Records"][-1]["dynamodb"]["SequenceNumber"]
        if answer.get("NextShardIterator"):
            self._iterators[shard] = answer["NextShardIterator"]
        else:
            del self._iterators[shard]
            self._finished.add(shard)
            self._open()

    def _open(self) -> None:
        shards = self._shards()
        if self._start == "LATEST":
            self._finished.update(shard["ShardId"] for shard in shards if _is_closed(shard))
        unread = {shard["ShardId"] for shard in shards} - self._finished
        for shard in shards:
            name, parent = shard["ShardId"], shard.get("ParentShardId")
            if name in unread and name not in self._iterators and parent not in unread:
                self._iterators[name] = self._iterator(name)
        self._start = "TRIM_HORIZON"  # of a shard that opens later, everything is new

    def _shards(self) -> list[dict[str, Any]]:
        shards: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            stream = self._streams.describe_stream(StreamArn=self._arn, **more)["StreamDescription"]
            shards += stream["Shards"]
            if not stream.get("LastEvaluatedShardId"):
                return shards
            more = {"ExclusiveStartShardId": stream["LastEvaluatedShardId"]}

    def _iterator(self, shard: str) -> str:
        seen = self._seen.get(shard)
        where: dict[str, str] = {"ShardIteratorType": self._start}
        if seen:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": seen}
        answer = self._streams.get_shard_iterator(StreamArn=self._arn, ShardId=shard, **where)
        return str(answer["ShardIterator"])


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One handler and its own position in the stream."""

    name: str
    handler: Handler
    position: Position
    shape: Callable[[Record], Record]
    on_give_up: Callable[[Record], None]
    wanted: Callable[[Record], bool]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def step(self, pause: Callable[[float], Any]) -> int:
        """Hand over one batch of every shard; answers how many records were read.

        ``pause`` waits before a retry; when it answers true, the reader stops where it stands.
        """
        read = 0
        with self.lock:
            for batch in self.position.batches():
                records = [shaped for record in batch if self.wanted(shaped := self.shape(record))]
                if not self._deliver(records, pause):
                    break
                read += len(batch)
        return read

    def _deliver(self, records: list[Record], pause: Callable[[float], Any]) -> bool:
        size, failures = BATCH, 0
        while records:
            batch = records[:size]
            done, raised = self._call(batch)
            records = records[done:]
            if done:
                failures = 0
            if done == len(batch):
                size = BATCH
            elif raised and len(batch) > 1:
                size = len(batch) // 2  # a handler that raises does not say whose fault it is
            elif failures == RETRIES:
                self.on_give_up(records.pop(0))
                size, failures = BATCH, 0
            else:
                failures += 1
                if pause(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**failures)):
                    return False
        return True

    def _call(self, batch: list[Record]) -> tuple[int, bool]:
        """How many records from the first on are done, and whether the handler raised."""
        try:
            answer = self.handler({"Records": batch}, Context(function_name=self.name))
        except Exception:
            logger.warning("stream handler %s failed", self.name, exc_info=True)
            return 0, True
        failed = {failure["itemIdentifier"] for failure in (answer or {}).get("batchItemFailures", ())}
        numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
        if not failed:
            return len(batch), False
        return min(numbers.index(number) if number in numbers else 0 for number in failed), False


class Pump:
    """All readers of one table's stream."""

    def __init__(
        self,
        *,
        client: Any,
        streams: Any,
        table: str,
        start: Start = "TRIM_HORIZON",
        on_give_up: Callable[[Record], None] | None = None,
    ) -> None:
        self._streams = streams
        self._arn: str = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        self._start = start
        self._on_give_up = on_give_up or _say_given_up
        self._readers: list[Reader] = []

    def add(self, name: str, handler: Handler, *, wanted: Callable[[Record], bool] | None = None) -> None:
        """One more reader, from where the pump starts; ``wanted`` is the mapping's filter."""
        reader = Reader(
            name=name,
            handler=handler,
            position=Position(streams=self._streams, arn=self._arn, start=self._start),
            shape=self._shape,
            on_give_up=self._on_give_up,
            wanted=wanted or (lambda record: True),
        )
        self._readers.append(reader)

    def drain(self) -> int:
        """Pump until no reader finds anything, what the handlers wrote included; answers how many were read.

        Raises:
            RuntimeError: the handlers keep feeding each other.
        """
        total = 0
        for _ in range(ROUNDS):
            read = sum(reader.step(time.sleep) for reader in self._readers)
            if not read:
                return total
            total += read
        raise RuntimeError(f"the stream is not empty after {ROUNDS} rounds")

    def run(self, stop: threading.Event, interval: float = 0.1) -> None:
        """Pump until ``stop``; each reader in a thread of its own, so that a slow one holds up no other."""
        threads = [
            threading.Thread(
                target=_follow, args=(reader, stop, interval), name=f"pump-{reader.name}", daemon=True
            )
            for reader in self._readers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _shape(self, record: Record) -> Record:
        """The record as Lambda would bring it, ready for JSON."""
        change = _without_bytes(record["dynamodb"])
        change["ApproximateCreationDateTime"] = record["dynamodb"]["ApproximateCreationDateTime"].timestamp()
        shaped = {**record, "dynamodb": change, "eventSourceARN": self._arn, "eventVersion": "1.1"}
        shaped["awsRegion"] = self._streams.meta.region_name  # DynamoDB Local says "ddblocal"
        if "userIdentity" in record:
            who = record["userIdentity"]
            shaped["userIdentity"] = {"principalId": who["PrincipalId"], "type": who["Type"]}
        return shaped


def _follow(reader: Reader, stop: threading.Event, interval: float) -> None:
    while not stop.is_set():
        try:
            read = reader.step(stop.wait)
        except (BotoCoreError, ClientError):
            logger.exception("stream reader %s could not read", reader.name)
            read = 0
        if not read:
            stop.wait(interval)


def _is_closed(shard: dict[str, Any]) -> bool:
    return "EndingSequenceNumber" in shard["SequenceNumberRange"]


def _without_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: _without_bytes(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [_without_bytes(part) for part in value]
    return value


def _say_given_up(record: Record) -> None:
    keys = record["dynamodb"]["Keys"]
    logger.error("gave up on %s of %s after %d retries", record["eventName"], keys, RETRIES)
