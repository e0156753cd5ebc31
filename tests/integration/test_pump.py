"""The pump over the embedded store, and how it follows a stream of several shards."""

from typing import Any

import pytest

from infra.local.clients import Store
from infra.local.pump import Position
from tests.pump_contract import PumpContract


class TestPumpOverTheEmbeddedStore(PumpContract):
    """The contract, on the embedded store."""

    @pytest.fixture
    def subject(self, store: Store) -> Store:
        """The embedded store."""
        return store


class Expired(Exception):
    """As botocore raises it for an iterator of more than 15 minutes."""


class Shards:
    """A Streams API with several shards, each a list of sequence numbers; ``closed`` ones end."""

    class exceptions:  # noqa: N801 - as botocore names it
        """Where a client keeps its errors."""

        ExpiredIteratorException = Expired

    def __init__(self, *, shards: dict[str, list[int]], parents: dict[str, str], closed: set[str]) -> None:
        self.shards, self.parents, self.closed = shards, parents, closed
        self.expired: set[str] = set()

    def describe_stream(self, *, StreamArn: str, ExclusiveStartShardId: str = "") -> dict[str, Any]:
        """One shard a page."""
        name = next(name for name in self.shards if name > ExclusiveStartShardId)
        shard: dict[str, Any] = {"ShardId": name, "SequenceNumberRange": {"StartingSequenceNumber": "0"}}
        if name in self.parents:
            shard["ParentShardId"] = self.parents[name]
        if name in self.closed:
            shard["SequenceNumberRange"]["EndingSequenceNumber"] = "9"
        page: dict[str, Any] = {"Shards": [shard]}
        if name != max(self.shards):
            page["LastEvaluatedShardId"] = name
        return {"StreamDescription": page}

    def get_shard_iterator(
        self, *, StreamArn: str, ShardId: str, ShardIteratorType: str, SequenceNumber: str = "-1"
    ) -> dict[str, Any]:
        """An iterator says where it stands."""
        at = int(SequenceNumber) + 1
        if ShardIteratorType == "LATEST":
            at = max(self.shards[ShardId], default=-1) + 1
        self.expired.clear()
        return {"ShardIterator": f"{ShardId}:{at}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:
        """One record a call."""
        if ShardIterator in self.expired:
            raise Expired
        shard, at = ShardIterator.split(":")
        found = [number for number in self.shards[shard] if number >= int(at)][:1]
        answer: dict[str, Any] = {"Records": [{"dynamodb": {"SequenceNumber": str(n)}} for n in found]}
        if found or shard not in self.closed:
            answer["NextShardIterator"] = f"{shard}:{found[0] + 1 if found else at}"
        return answer


def read(position: Position) -> list[int]:
    """Everything that is there to read."""
    seen: list[int] = []
    while batches := list(position.batches()):
        seen += [int(record["dynamodb"]["SequenceNumber"]) for batch in batches for record in batch]
    return seen


def a_family(**changes: Any) -> Shards:
    """A closed shard and the two that it was split into."""
    family: dict[str, Any] = {
        "shards": {"a": [1, 2], "b": [3], "c": [4]},
        "parents": {"b": "a", "c": "a"},
        "closed": {"a"},
    }
    return Shards(**{**family, **changes})


def test_a_shard_is_read_after_its_parent() -> None:
    position = Position(streams=a_family(), arn="arn", start="TRIM_HORIZON")

    assert read(position) == [1, 2]
    assert sorted(read(position)) == [3, 4]


def test_from_the_latest_record_closed_shards_are_left_out() -> None:
    streams = a_family()
    position = Position(streams=streams, arn="arn", start="LATEST")
    streams.shards["c"].append(5)

    assert read(position) == [5]


def test_an_expired_iterator_is_replaced_where_it_stood() -> None:
    streams = a_family(shards={"a": [1, 2]}, parents={}, closed=set())
    position = Position(streams=streams, arn="arn", start="TRIM_HORIZON")
    first = [int(record["dynamodb"]["SequenceNumber"]) for batch in position.batches() for record in batch]

    streams.expired.add("a:2")

    assert (first, list(position.batches()), read(position)) == ([1], [], [2])


def test_a_batch_that_was_not_finished_is_read_again() -> None:
    position = Position(streams=a_family(), arn="arn", start="TRIM_HORIZON")
    for _ in position.batches():
        break

    assert read(position)[0] == 1
