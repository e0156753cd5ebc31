"""The embedded store without HTTP in between: the same tables in the same process, ten times as fast.

    client = Direct(table.client())               # stands in for the app's client, under every other layer
    assert client.get_item(TableName="truth", Key=...)["Item"] == ...
    client.records()                              # what the stream has told, out of the store's own memory

For tests that make tens of thousands of calls. It understands what `core/table` asks for, and no more: whoever
wants to know what moto's own front says goes through the real client.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.key_condition_expression import parse_expression

from infra.local import embedded
from tests.harness.wire import Item, Params, indexes, refusal

_METHODS = {
    "get_item": "GetItem",
    "batch_get_item": "BatchGetItem",
    "query": "Query",
    "scan": "Scan",
    "put_item": "PutItem",
    "update_item": "UpdateItem",
    "delete_item": "DeleteItem",
    "transact_write_items": "TransactWriteItems",
}
_ACTIONS = {"PutItem": "Put", "UpdateItem": "Update", "DeleteItem": "Delete"}


class Direct:
    """A client of the embedded store; what it does not understand goes to the real one."""

    def __init__(self, real: Any) -> None:
        self.real, self.meta, self.exceptions = real, real.meta, real.exceptions
        self.described = functools.cache(lambda name: real.describe_table(TableName=name))
        self.answers: dict[str, Callable[[Params], Params]] = {
            "GetItem": self._get,
            "BatchGetItem": self._get_many,
            "Query": self._query,
            "Scan": self._scan,
            "TransactWriteItems": self._transact,
            "DescribeTable": lambda params: self.described(params["TableName"]),
        }

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            raise AttributeError(name)
        return lambda **params: self._make_api_call(_METHODS[name], params)

    def _make_api_call(self, operation: str, params: Params) -> Params:
        with embedded._lock:
            if operation in _ACTIONS:
                return self._write(operation, params)
            if operation in self.answers:
                return self.answers[operation](params)
        return type(self.real)._make_api_call(self.real, operation, params)  # type: ignore[no-any-return]

    # --- looking ---

    def items(self, table: str = "truth") -> list[Item]:
        """All rows in DynamoDB's own form, in no order."""
        return [row.to_json()["Attributes"] for rows in _table(table).items.values() for row in rows.values()]

    def records(self, *, after: int = 0) -> list[dict[str, Any]]:
        """What the truth table's stream has told since the store was emptied, but for the first so many."""
        shard = _table("truth").stream_shard
        return [_as_lambda_gives_it(record.to_json()) for record in shard.items[after:]] if shard else []

    def news(self) -> list[dict[str, Any]]:
        """The same, told once and then forgotten: for runs so long that all of it would be too much."""
        told, shard = self.records(), _table("truth").stream_shard
        if shard:
            shard.starting_sequence_number += len(shard.items)
            shard.items.clear()
        return told

    # --- calls ---

    def _image(self, table: str, key: Item) -> Item | None:
        there = _table(table)
        row = there.get_item(*_backend().get_keys_value(there, key))
        return row.to_json()["Attributes"] if row else None

    def _get(self, params: Params) -> Params:
        item = self._image(params["TableName"], params["Key"])
        return {"Item": item} if item else {}

    def _get_many(self, params: Params) -> Params:
        answer: Params = {"Responses": {}, "UnprocessedKeys": {}}
        for table, wanted in params["RequestItems"].items():
            found = [self._image(table, key) for key in wanted["Keys"]]
            answer["Responses"][table] = [item for item in found if item]
        return answer

    def _scan(self, params: Params) -> Params:
        """All of the table behind a row, or of an index from a value on; in pages, as the store itself has it."""
        if "Limit" in params:
            answer: Params = type(self.real)._make_api_call(self.real, "Scan", params)
            return answer
        items = _behind(self.items(params["TableName"]), params.get("ExclusiveStartKey"))
        if "IndexName" in params:
            index = indexes(self, params["TableName"])[params["IndexName"]]
            items = [entry for item in items if (entry := index.entry(item))]
        return {"Items": [item for item in items if _is_from(item, params)], "ScannedCount": len(items)}

    def _query(self, params: Params) -> Params:
        table, index = params["TableName"], params.get("IndexName")
        hashes, ranges, _ = parse_expression(
            key_condition_expression=params["KeyConditionExpression"],
            expression_attribute_names=params.get("ExpressionAttributeNames", {}),
            expression_attribute_values=params.get("ExpressionAttributeValues", {}),
            schema=_backend().get_schema(table_name=table, index_name=index),
        )
        _, compared, values = ranges[-1] if ranges else (None, None, [])
        rows, scanned, last = _backend().query(
            table,
            hashes[0][1],
            compared,
            values,
            params.get("Limit"),  # type: ignore[arg-type]
            params.get("ExclusiveStartKey"),  # type: ignore[arg-type]
            params.get("ScanIndexForward", True),
            [],
            index_name=index,
            hash_key_conditions=hashes,
            range_key_conditions=ranges,
        )
        items = [row.to_json()["Attributes"] for row in rows]
        answer = {"Items": items, "Count": len(items), "ScannedCount": scanned}
        key = {name: value.to_json() for name, value in (last or {}).items()}
        return answer | ({"LastEvaluatedKey": key} if key else {})

    def _write(self, operation: str, params: Params) -> Params:
        key = params.get("Key") or {name: params["Item"][name] for name in ("pk", "sk")}
        before = self._image(params["TableName"], key)
        failed = self._carried_out([{_ACTIONS[operation]: params}])
        if failed:
            _, message, item = failed[0]
            more = {"Item": item} if item else {}
            raise refusal(self, operation, "ConditionalCheckFailedException", message, **more)
        after = before if operation == "DeleteItem" else self._image(params["TableName"], key)
        return {"Attributes": after}

    def _transact(self, params: Params) -> Params:
        failed = self._carried_out(params["TransactItems"])
        if failed:
            reasons = [
                {"Code": code or "None", "Message": message} | ({"Item": item} if item else {})
                for code, message, item in failed
            ]
            code = "TransactionCanceledException"
            raise refusal(self, "TransactWriteItems", code, code, CancellationReasons=reasons)
        return {}

    def _carried_out(self, asked: list[Params]) -> list[tuple[Any, ...]]:
        """The reasons why not, one for each action; none when it is done."""
        actions = [embedded._action(_backend(), one) for one in asked]
        reasons = [embedded._judge(action) for action in actions]
        if any(code for code, _, _ in reasons):
            return reasons
        for action in actions:
            self._apply(action.operation, action.given)
        return []

    def _apply(self, operation: str, given: Params) -> None:
        table = given["TableName"]
        if operation == "Put":
            _backend().put_item(table, given["Item"], overwrite=True)
        elif operation == "Delete":
            _backend().delete_item(table, given["Key"])
        elif operation == "Update":
            item = self._image(table, given["Key"]) or given["Key"]
            _backend().put_item(table, updated(item, given), overwrite=True)


def _behind(items: list[Item], start: Item | None) -> list[Item]:
    """What comes after the row where a reader ended; all of it, where there is no such row."""
    found = [
        n for n, item in enumerate(items) if start and all(item[name] == start[name] for name in ("pk", "sk"))
    ]
    return items[found[0] + 1 :] if found else items


def _is_from(item: Item, params: Params) -> bool:
    """Whether a value of the row's is as great as the condition wants, the one kind that a scan has here."""
    if "FilterExpression" not in params:
        return True
    name, compared, value = params["FilterExpression"].split()
    assert compared == ">=", params["FilterExpression"]
    has = item.get(params["ExpressionAttributeNames"][name], {"S": ""})
    return bool(has["S"] >= params["ExpressionAttributeValues"][value]["S"])


def _backend() -> DynamoDBBackend:
    backends = (one for regions in dynamodb_backends.values() for one in regions.values())
    return next(backend for backend in backends if backend.tables)


def _table(name: str) -> Table:
    return _backend().tables[name]


def _as_lambda_gives_it(record: dict[str, Any]) -> dict[str, Any]:
    """The record with what the Streams API leaves out; its images are the store's own, to be looked at only."""
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/truth/stream/1"
    return {
        **record,
        "eventSourceARN": arn,
        "dynamodb": {**record["dynamodb"], "ApproximateCreationDateTime": 0},
    }


# --- update expressions -------------------------------------------------------------------------------------

_SUMS = {"+": 1, "-": -1}


@functools.lru_cache(maxsize=1000)
def _clauses(expression: str) -> dict[str, list[list[str]]]:
    """``{"SET": [["#0", "=", ":0"], …], "ADD": …}``; moto reads an expression anew, and 20 times as slowly."""
    expression = re.sub(r"if_not_exists \((#\w+), ([:#]\w+)\)", r"\1|\2", expression)
    words = re.split(r"\b(SET|REMOVE|ADD|DELETE)\b", expression)[1:]
    return {
        clause: [action.split() for action in told.split(",")]
        for clause, told in zip(words[::2], words[1::2], strict=True)
    }


def updated(item: Item, given: Params) -> Item:
    """The row as the update leaves it."""
    names, values = given.get("ExpressionAttributeNames", {}), given.get("ExpressionAttributeValues", {})
    new, clauses = dict(item), _clauses(given["UpdateExpression"])

    def value(word: str) -> Params:
        first, _, otherwise = word.partition("|")
        if otherwise:
            return item[names[first]] if names[first] in item else value(otherwise)
        found: Params = values[word] if word.startswith(":") else item[names[word]]
        return found

    for name, _, *told in clauses.get("SET", ()):
        new[names[name]] = value(told[0]) if len(told) == 1 else _sum(told[1], value(told[0]), value(told[2]))
    for name, added in clauses.get("ADD", ()):
        new[names[name]] = _added(item.get(names[name]), value(added))
    for (name,) in clauses.get("REMOVE", ()):
        new.pop(names[name], None)
    for name, fewer in clauses.get("DELETE", ()):
        left = _taken_out(new.pop(names[name], None), value(fewer))
        new.update({names[name]: left} if left else {})
    return new


def _sum(sign: str, one: Params, other: Params) -> Params:
    return {"N": str(int(one["N"]) + _SUMS[sign] * int(other["N"]))}


def _added(old: Params | None, more: Params) -> Params:
    if old is None:
        return more
    kind, content = next(iter(more.items()))
    return _sum("+", old, more) if kind == "N" else {kind: sorted({*old[kind], *content})}


def _taken_out(old: Params | None, fewer: Params) -> Params | None:
    """What is left of a set; a set with nothing in it is none."""
    kind, content = next(iter(fewer.items()))
    left = sorted({*(old or {}).get(kind, ())} - {*content})
    return {kind: left} if left else None
