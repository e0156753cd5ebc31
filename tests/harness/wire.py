"""How the harness wraps the shared client, and reads behind everything that is wrapped round it.

    def layer(below, operation, params):
        return below(operation, params)

    with wrapped(client, layer):
        client.put_item(...)              # goes through the layer
        plain(client, "GetItem", {...})   # goes through no layer

Layers nest: the one put on last is met first. Only the document API is understood (no PartiQL), on tables
whose key is ``pk`` and ``sk``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

Params = dict[str, Any]
Item = dict[str, Any]
Call = Callable[[str, Params], Params]
Layer = Callable[[Call, str, Params], Params]
Key = tuple[str, str, str]
"""Table, pk, sk."""

READS = frozenset({"GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan"})
SINGLE_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
WRITES = SINGLE_WRITES | {"BatchWriteItem", "TransactWriteItems"}


@contextmanager
def wrapped(client: Any, layer: Layer) -> Iterator[None]:
    """Every call of ``client`` goes through ``layer``, which may send it on to what lies below."""
    below = client._make_api_call
    bare = "_make_api_call" not in vars(client)
    client._make_api_call = lambda operation, params: layer(below, operation, params)
    try:
        yield
    finally:
        if bare:
            del client._make_api_call
        else:
            client._make_api_call = below


def plain(client: Any, operation: str, params: Params) -> Params:
    """The call sent past every layer: not counted, never failed."""
    answer: Params = type(client)._make_api_call(client, operation, params)
    return answer


def image(client: Any, key: Key) -> Item:
    """The row as it is, read past every layer; empty when there is none."""
    table, pk, sk = key
    asked = {"TableName": table, "Key": {"pk": {"S": pk}, "sk": {"S": sk}}, "ConsistentRead": True}
    item: Item = plain(client, "GetItem", asked).get("Item", {})
    return item


def written(operation: str, params: Params) -> list[Key]:
    """The keys a call writes or, in a transaction, also checks; in the order of the request."""
    if operation in SINGLE_WRITES:
        return [key_of(params)]
    if operation == "TransactWriteItems":
        return [key_of(write) for action in params["TransactItems"] for write in action.values()]
    if operation == "BatchWriteItem":
        asked = params["RequestItems"].items()
        return [
            key_of({"TableName": table, **put}) for table, puts in asked for p in puts for put in p.values()
        ]
    return []


def key_of(action: Params) -> Key:
    """The key that one action of a request touches."""
    at = action.get("Item") or action["Key"]
    return action["TableName"], at["pk"]["S"], at["sk"]["S"]


@dataclass(frozen=True)
class Index:
    """One index: its own two keys, and what it projects (None: everything)."""

    keys: tuple[str, ...]
    projected: frozenset[str] | None

    def entry(self, item: Item) -> Item:
        """What the index holds of a row; empty when the row is not in it."""
        if not all(name in item for name in self.keys):
            return {}
        return {name: value for name, value in item.items() if not self.projected or name in self.projected}


def indexes(client: Any, table: str) -> dict[str, Index]:
    """The indexes of a table, by name."""
    described = plain(client, "DescribeTable", {"TableName": table})["Table"]
    return {one["IndexName"]: _index(one) for one in described.get("GlobalSecondaryIndexes", [])}


def _index(described: Params) -> Index:
    keys = tuple(key["AttributeName"] for key in described["KeySchema"])
    projection = described["Projection"]
    if projection["ProjectionType"] == "ALL":
        return Index(keys, None)
    return Index(keys, frozenset({"pk", "sk", *keys, *projection.get("NonKeyAttributes", [])}))


def refusal(client: Any, operation: str, code: str, message: str = "", **more: Any) -> ClientError:
    """The exception botocore would raise for this answer of the store."""
    metadata = {"HTTPStatusCode": 400, "HTTPHeaders": {}, "RequestId": "harness", "RetryAttempts": 0}
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata, **more}
    return client.exceptions.from_code(code)(response, operation)


def cancelled(client: Any, operation: str, codes: list[str]) -> ClientError:
    """A refused transaction with one reason per action, ``"None"`` for those that would have gone through."""
    reasons = [{"Code": code} if code == "None" else {"Code": code, "Message": code} for code in codes]
    message = (
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{', '.join(codes)}]"
    )
    return refusal(client, operation, "TransactionCanceledException", message, CancellationReasons=reasons)


def conflicting(client: Any, operation: str, hit: list[bool]) -> ClientError:
    """The answer to a write that met a transaction in flight on the keys marked in ``hit``."""
    if operation in SINGLE_WRITES:
        return refusal(
            client, operation, "TransactionConflictException", "Transaction is ongoing for the item"
        )
    return cancelled(client, operation, ["TransactionConflict" if one else "None" for one in hit])


def throttled(client: Any, operation: str, params: Params, *, hit: int = 0) -> ClientError:
    """The answer to a call that is more than the table takes just now; of a transaction, its action ``hit`` is."""
    if not operation.startswith("Transact"):
        message = "The level of configured provisioned throughput for the table was exceeded"
        return refusal(client, operation, "ProvisionedThroughputExceededException", message)
    codes = ["None"] * len(params["TransactItems"])
    codes[hit] = "ThrottlingError"
    return cancelled(client, operation, codes)
