"""The embedded store: moto in this process, held to the promises of DynamoDB that our rules lean on.

It is the default of the local run and of the tests, needs nothing but pip, and forgets everything on `stop`.
Stock moto 5.2 oversells under threads, copies the whole table for every action of a transaction and so cuts
kept stream iterators off, ignores client tokens, and reports a row that an update begins twice. Each patch
below cures one of these; `tests/store_contract.py` holds this store and DynamoDB Local to the same promises.

Import this module before any botocore session is made: moto reaches only sessions that come after it.
"""

import base64
import contextlib
import copy
import functools
import hashlib
import inspect
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.exceptions import JsonRESTError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import (
    ERROR_TYPE_PREFIX,
    AttributeDoesNotExist,
    IncorrectDataType,
    InvalidUpdateExpressionInvalidDocumentPath,
    ItemSizeToUpdateTooLarge,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.models.utilities import bytesize, dynamo_json_dump
from moto.dynamodb.responses import DynamoHandler
from moto.dynamodbstreams.models import ShardIterator

from infra.local import clients

MAX_ACTIONS = 100
MAX_ITEM_BYTES = 405_000
"""moto's limit for the whole of an item, a little under DynamoDB's 400 KB."""
TOKENS_LIVE_S = 600

_REFUSED = ("ConditionalCheckFailed", "The conditional request failed")
_FINE = (None, None, None)

# What only the row shows to be impossible: a reason to cancel, where a malformed request is an error at once.
_IMPOSSIBLE = (
    AttributeDoesNotExist,
    IncorrectDataType,
    InvalidUpdateExpressionInvalidDocumentPath,
    ItemSizeToUpdateTooLarge,
)

_ON_ITEMS = {
    "BatchGetItem": "batch_get_item",
    "BatchWriteItem": "batch_write_item",
    "DeleteItem": "delete_item",
    "GetItem": "get_item",
    "PutItem": "put_item",
    "Query": "query",
    "Scan": "scan",
    "TransactGetItems": "transact_get_items",
    "TransactWriteItems": "transact_write_items",
    "UpdateItem": "update_item",
}

_lock = threading.RLock()
_undo = contextlib.ExitStack()
_started = False
_tokens: dict[str, tuple[float, str]] = {}


def start() -> None:
    """From here on botocore's calls without an endpoint of their own end in this process."""
    global _started  # noqa: PLW0603 - moto is one per process as well
    if _started:
        return
    clients.pretend_credentials()
    for owner, name, ours in _patches():
        _undo.enter_context(mock.patch.object(owner, name, ours))
    moto = mock_aws()
    moto.start()
    _undo.callback(moto.stop)
    _started = True


def stop() -> None:
    """Forget everything and give botocore back."""
    global _started  # noqa: PLW0603
    _undo.close()
    _tokens.clear()
    _started = False


def empty() -> None:
    """Delete all rows of all tables, and their stream; much cheaper than new tables.

    Sequence numbers go on, so a kept stream iterator goes on with what is written from now.
    """
    with _lock:
        backends = [backend for regions in dynamodb_backends.values() for backend in regions.values()]
        for table in [table for backend in backends for table in backend.tables.values()]:
            _empty(table)
        _tokens.clear()


def _empty(table: Table) -> None:
    table.items.clear()
    if table.stream_shard is not None:
        table.stream_shard.starting_sequence_number += len(table.stream_shard.items)
        table.stream_shard.items.clear()


def _patches() -> list[tuple[type, str, Callable[..., Any]]]:
    return [
        (BotocoreStubber, "process_request", _one_at_a_time(BotocoreStubber.process_request)),
        (DynamoDBBackend, "transact_write_items", _transact),
        (DynamoDBBackend, "update_item", _reported_once(DynamoDBBackend.update_item)),
        (DynamoHandler, "transact_write_items", _once_per_token(DynamoHandler.transact_write_items)),
        (ShardIterator, "get", _staying_when_idle(ShardIterator.get)),
        (Table, "query", _looking_only_there(Table.query)),
        (LimitedSizeDict, "__setitem__", _weighed_once(LimitedSizeDict.__setitem__)),
    ]


def _one_at_a_time(process: Callable[..., Any]) -> Callable[..., Any]:
    """DynamoDB serves the writes of one item one after the other; moto interleaves them."""

    @functools.wraps(process)
    def locked(stubber: BotocoreStubber, request: Any) -> Any:
        if ".amazonaws.com" not in request.url:
            return None  # another store with an endpoint of its own
        with _lock:
            operation = _operation(request)
            return _served(operation, request) if operation else process(stubber, request)

    return locked


def _operation(request: Any) -> str | None:
    """The method of moto's that does an operation on items; none for all else, which goes moto's own way."""
    target = request.headers.get("X-Amz-Target", b"")
    service, _, name = (target.decode() if isinstance(target, bytes) else target).partition(".")
    plain = service == "DynamoDB_20120810" and b'"B"' not in request.body and b'"BS"' not in request.body
    return _ON_ITEMS.get(name) if plain else None


def _served(operation: str, request: Any) -> tuple[int, dict[str, str], str]:
    """The work itself: moto's way to it and back, by the models of all services, takes three times as long."""
    handler = DynamoHandler()
    handler.body = json.loads(request.body)
    handler.current_account, handler.region = DEFAULT_ACCOUNT_ID, request.url.split(".")[1]
    try:
        return 200, {}, json.dumps(getattr(handler, operation)().result, default=_in_base64)
    except JsonRESTError as refused:
        return refused.code, {}, refused.description


def _in_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _once_per_token(transact: Callable[[DynamoHandler], ActionResult]) -> Callable[..., ActionResult]:
    """A transaction sent again under its token, because its reply was lost, has one effect."""

    def once(handler: DynamoHandler) -> ActionResult:
        token = handler.body.get("ClientRequestToken")
        asked = hashlib.sha256(dynamo_json_dump(handler.body["TransactItems"]).encode()).hexdigest()
        _forget_old_tokens()
        if token in _tokens and _tokens[token][1] != asked:
            kind = ERROR_TYPE_PREFIX + "IdempotentParameterMismatchException"
            raise JsonRESTError(kind, "The token was used for another transaction.")
        if token in _tokens:
            return ActionResult({"ConsumedCapacity": [], "ItemCollectionMetrics": {}})
        answer = transact(handler)
        if token:
            _tokens[token] = (time.monotonic(), asked)  # only now: a refused transaction may be sent again
        return answer

    return once


def _forget_old_tokens() -> None:
    oldest_kept = time.monotonic() - TOKENS_LIVE_S
    while _tokens and _tokens[token := next(iter(_tokens))][0] < oldest_kept:
        del _tokens[token]


@dataclass(frozen=True, kw_only=True)
class _Action:
    """One action of a transaction and the row it is about, as it is before."""

    operation: str
    given: dict[str, Any]
    table: Table
    hash_key: DynamoType
    range_key: DynamoType | None
    item: Item | None

    @property
    def target(self) -> tuple[str, DynamoType, DynamoType | None]:
        return self.table.name, self.hash_key, self.range_key


def _transact(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
    """Judge all conditions first, then apply: nothing has to be copied or taken back for a refusal."""
    if len(transact_items) > MAX_ACTIONS:
        raise TooManyTransactionsException
    actions = [_action(backend, item) for item in transact_items]
    if len({action.target for action in actions}) != len(actions):
        raise MultipleTransactionsException
    _cancel_if_any([_judge(action) for action in actions])
    with _all_or_nothing(actions):
        _cancel_if_any([_apply(backend, action) for action in actions])


def _action(backend: DynamoDBBackend, item: dict[str, Any]) -> _Action:
    if len(item) != 1:
        raise TransactWriteSingleOpException
    operation, given = next(iter(item.items()))
    table = backend.get_table(given["TableName"])
    hash_key, range_key = backend.get_keys_value(table, given.get("Key") or given["Item"])
    return _Action(
        operation=operation,
        given=given,
        table=table,
        hash_key=hash_key,
        range_key=range_key,
        item=table.get_item(hash_key, range_key),
    )


def _judge(action: _Action) -> tuple[Any, ...]:
    condition = get_filter_expression(
        action.given.get("ConditionExpression"),
        action.given.get("ExpressionAttributeNames"),
        action.given.get("ExpressionAttributeValues"),
    )
    if condition.expr(action.item):
        return _FINE
    wanted = action.given.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    old = action.item.to_json()["Attributes"] if wanted and action.item else None
    return (*_REFUSED, old)


def _apply(backend: DynamoDBBackend, action: _Action) -> tuple[Any, ...]:
    given = action.given
    names, values = given.get("ExpressionAttributeNames"), given.get("ExpressionAttributeValues")
    try:
        if action.operation == "Put":
            backend.put_item(given["TableName"], given["Item"], overwrite=True)
        elif action.operation == "Delete":
            backend.delete_item(given["TableName"], given["Key"])
        elif action.operation == "Update":
            update = given["UpdateExpression"]
            backend.update_item(given["TableName"], given["Key"], update, names or {}, values or {})
    except _IMPOSSIBLE as impossible:
        return "ValidationError", impossible.exception_msg, None
    return _FINE


def _cancel_if_any(reasons: list[tuple[Any, ...]]) -> None:
    if any(code for code, _, _ in reasons):
        raise TransactionCanceledException(reasons)


@contextlib.contextmanager
def _all_or_nothing(actions: list[_Action]) -> Iterator[None]:
    """Put the rows concerned, and only those, back when an action turns out to be impossible."""
    before = [copy.deepcopy(action.item) for action in actions]
    shards = [shard for action in actions if (shard := action.table.stream_shard)]
    lengths = [len(shard.items) for shard in shards]
    try:
        yield
    except Exception:
        for action, item in zip(actions, before, strict=True):
            _put_back(action, item)
        for shard, length in zip(shards, lengths, strict=True):
            del shard.items[length:]
        raise


def _put_back(action: _Action, item: Item | None) -> None:
    rows: Any = action.table.items
    key = action.hash_key
    if action.range_key is not None:
        rows, key = rows[key], action.range_key
    if item is None:
        rows.pop(key, None)
    else:
        rows[key] = item


def _reported_once(update_item: Callable[..., Item]) -> Callable[..., Item]:
    """moto begins a row by a put of its bare key, which DynamoDB's stream never shows."""

    def update(backend: DynamoDBBackend, table_name: str, *args: Any, **kwargs: Any) -> Item:
        shard = backend.get_table(table_name).stream_shard
        length = len(shard.items) if shard else 0
        item = update_item(backend, table_name, *args, **kwargs)
        if shard and len(shard.items) == length + 2:
            bare, whole = shard.items[length:]
            whole.record["dynamodb"]["SequenceNumber"] = bare.record["dynamodb"]["SequenceNumber"]
            shard.items.remove(bare)
        return item

    return update


def _looking_only_there(query: Callable[..., Any]) -> Callable[..., Any]:
    """moto sorts the whole table for each query, by keys that are slow to compare, and then takes one partition."""

    asked = inspect.signature(query)

    @functools.wraps(query)
    def narrowed(table: Table, *args: Any, **kwargs: Any) -> Any:
        given = asked.bind(table, *args, **kwargs).arguments
        if given.get("index_name"):
            [(name, wanted)] = given["hash_key_conditions"]
            found = [row for rows in table.items.values() for row in rows.values() if _has(row, name, wanted)]
        else:
            found = list(table.items.get(given["hash_key"], {}).values())
        with mock.patch.object(table, "all_items", lambda: found):
            return query(table, *args, **kwargs)

    return narrowed


def _weighed_once(set_item: Callable[..., None]) -> Callable[..., None]:
    """moto weighs a whole item anew for every attribute of it; so ours does only when it may be too heavy."""

    def weighing(item: Any, name: str, value: Any) -> None:
        before = getattr(item, "at_most", None)
        if before is None:
            before = sum(_weight(*one) for one in item.items())
        at_most = before + _weight(name, value)
        if at_most <= MAX_ITEM_BYTES:
            item.at_most = at_most
            dict.__setitem__(item, name, value)
        else:
            set_item(item, name, value)

    return weighing


def _weight(name: str, value: Any) -> int:
    return bytesize(name) + (value.size() if isinstance(value, DynamoType) else bytesize(str(value)))


def _has(row: Item, name: str, wanted: DynamoType) -> bool:
    there = row.attrs.get(name)
    return there is not None and there.value == wanted.value and there.type == wanted.type


def _staying_when_idle(get: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """moto makes and keeps an iterator per call: a reader that waits for records would fill the memory."""

    def read(iterator: ShardIterator, limit: int = 1000) -> dict[str, Any]:
        shard = iterator.stream_shard
        iterator.sequence_number = max(iterator.sequence_number, shard.starting_sequence_number)
        if iterator.sequence_number == shard.starting_sequence_number + len(shard.items):
            return {"NextShardIterator": iterator.arn, "Records": []}
        return get(iterator, limit)

    return read
