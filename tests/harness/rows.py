"""The whole table as plain values, and every image that its stream has seen.

    assert sum(row["amount"] for row in rows(client, TRUTH, kind="entry")) == 100
    for change in images(client, TRUTH):                                     # "at every instant"
        assert change.new is None or change.new["kind"] != "group" or 0 <= change.new["free"]

Both read past every layer of the harness. A stream is read from its oldest record, so a table that lives longer
than one test needs fresh ids, and the test must look at its own.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import botocore.session
from botocore.config import Config

from chalicelib.core import table as app_table
from tests.harness.direct import Direct
from tests.harness.wire import Item, Params, plain

Plain = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One record of a stream: a row before and after; None where there was none."""

    old: Plain | None
    new: Plain | None


def rows(client: Any, table: str, **wanted: Any) -> list[Plain]:
    """All rows, or those whose attributes are as ``wanted``, in no order."""
    found: list[Plain] = []
    asked: Params = {"TableName": table, "ConsistentRead": True}
    client = _at_first_hand(client)
    while True:
        page = plain(client, "Scan", asked)
        found += [decoded(item) for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return [row for row in found if all(row.get(name) == wanted[name] for name in wanted)]
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def images(client: Any, table: str) -> list[Change]:
    """Every change of the table since its stream began, oldest first within a row."""
    changes = [record["dynamodb"] for record in stream_records(client, table)]
    return [Change(*(_image(change.get(side)) for side in ("OldImage", "NewImage"))) for change in changes]


def stream_records(client: Any, table: str) -> list[dict[str, Any]]:
    """The same records in the shape that Lambda gives a handler; feed them to `streams.deliveries`."""
    there = _at_first_hand(client)
    if isinstance(there, Direct):
        return there.records()
    arn = plain(client, "DescribeTable", {"TableName": table})["Table"]["LatestStreamArn"]
    streams = _streams_client(client)
    records = [record for shard in _shards(streams, arn) for record in _records(streams, arn, shard)]
    for record in records:
        # The Streams API leaves out the first and gives a datetime for the second; Lambda does neither.
        record["eventSourceARN"] = arn
        change = record["dynamodb"]
        change["ApproximateCreationDateTime"] = int(change["ApproximateCreationDateTime"].timestamp())
    return records


def _at_first_hand(client: Any) -> Any:
    """Where the app has a `Direct` on this very client, that one: moto takes 10 ms to tell a record."""
    mine = app_table.client()
    return mine if isinstance(mine, Direct) and mine.real is client else client


def decoded(item: Item) -> Plain:
    """A row in plain values: whole numbers are int, sets are set."""
    return {name: _value(value) for name, value in item.items()}


def _image(item: Item | None) -> Plain | None:
    return None if item is None else decoded(item)


def _value(value: Params) -> Any:
    kind, content = next(iter(value.items()))
    if kind == "N":
        number = Decimal(content)
        return int(number) if number == number.to_integral_value() else number
    if kind == "M":
        return decoded(content)
    if kind == "L":
        return [_value(element) for element in content]
    if kind in ("SS", "NS", "BS"):
        return {_value({kind[0]: element}) for element in content}
    return None if kind == "NULL" else content


@functools.lru_cache(maxsize=4)
def _streams_client(client: Any) -> Any:
    # Without its account in front of the host name moto does not know the streams endpoint.
    config = Config(account_id_endpoint_mode="disabled")
    credentials = client._request_signer._credentials.get_frozen_credentials()
    endpoint = client.meta.endpoint_url
    return botocore.session.get_session().create_client(
        "dynamodbstreams",
        region_name=client.meta.region_name,
        endpoint_url=None if "amazonaws.com" in endpoint else endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        config=config,
    )


def _shards(streams: Any, arn: str) -> Iterator[str]:
    asked = {"StreamArn": arn}
    while True:
        described = streams.describe_stream(**asked)["StreamDescription"]
        yield from (shard["ShardId"] for shard in described["Shards"])
        if "LastEvaluatedShardId" not in described:
            return
        asked["ExclusiveStartShardId"] = described["LastEvaluatedShardId"]


def _records(streams: Any, arn: str, shard: str) -> Iterator[dict[str, Any]]:
    place = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = streams.get_shard_iterator(**place)["ShardIterator"]
    while iterator:
        page = streams.get_records(ShardIterator=iterator)
        if not page["Records"]:
            return
        yield from page["Records"]
        iterator = page.get("NextShardIterator")
