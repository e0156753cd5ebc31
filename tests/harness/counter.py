"""What a piece of code asked of the store: calls, and the units AWS would bill.

    with counting(client) as spent:
        service.claim(...)
    assert (spent.calls, spent.table_units, spent.index_units) == (1, 4, 1)
    assert spent.operations == {"TransactWriteItems": 1}   # `writes`, `reads`: by table and by index

Units are AWS's published rule, applied to the rows before and after each call, because moto invents its figures
and DynamoDB Local doubles transactions wrongly; for single calls the rule agrees with DynamoDB Local's own word.
A refused write is billed by the row that refused it. Units are exact while one call runs at a time, calls always.
"""

import math
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from tests import proof
from tests.harness.wire import (
    READS,
    WRITES,
    Call,
    Index,
    Item,
    Key,
    Params,
    image,
    indexes,
    key_of,
    plain,
    wrapped,
    written,
)

WRITE_BYTES = 1024
READ_BYTES = 4096
BUDGETS_REPORT = "BUDGETS_REPORT"


@dataclass
class Spent:
    """Calls by operation; units by ``table`` and ``table/index``."""

    operations: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    reads: dict[str, float] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """All calls that read or write rows."""
        return sum(self.operations.values())

    @property
    def table_units(self) -> int:
        """Write units of the tables themselves."""
        return sum(units for name, units in self.writes.items() if "/" not in name)

    @property
    def index_units(self) -> int:
        """Write units of all indexes."""
        return sum(units for name, units in self.writes.items() if "/" in name)

    @property
    def read_units(self) -> float:
        """Read units of tables and indexes."""
        return sum(self.reads.values())


def of_the_design(spent: Spent) -> None:
    """Tell `bench.budgets` what the running test counted of an operation that the design has a budget for."""
    proof.note(
        BUDGETS_REPORT,
        calls=spent.calls,
        table=spent.table_units,
        index=spent.index_units,
    )


@contextmanager
def counting(client: Any) -> Iterator[Spent]:
    """Count what goes through ``client``; entered after a `Hostile`, also what that one refuses."""
    spent = Spent()
    with wrapped(client, partial(_count, client, spent, threading.Lock())):
        yield spent


def _count(client: Any, spent: Spent, lock: Any, below: Call, operation: str, params: Params) -> Params:
    if operation not in READS | WRITES:
        return below(operation, params)
    before = {key: image(client, key) for key in written(operation, params)}
    try:
        return below(operation, params)
    finally:
        with lock:
            spent.operations[operation] += 1
            for key, old in before.items():
                spent.writes.update(+_written_units(client, operation, key, old))
            for name, units in _read_units(client, operation, params):
                spent.reads[name] = spent.reads.get(name, 0) + units


def _written_units(client: Any, operation: str, key: Key, old: Item) -> Counter[str]:
    table, new = key[0], image(client, key)
    copies = 2 if operation == "TransactWriteItems" else 1
    units = Counter({table: copies * _units(WRITE_BYTES, max(item_size(old), item_size(new)))})
    for name, index in indexes(client, table).items():
        units[f"{table}/{name}"] = entry_units(index, old, new)
    return units


def entry_units(index: Index, old: Item, new: Item) -> int:
    """What one index is billed for a row that changed: a moved entry is taken out and put in."""
    was, now = index.entry(old), index.entry(new)
    if was == now:
        return 0
    if was and now and any(was[name] != now[name] for name in index.keys):
        return _units(WRITE_BYTES, item_size(was)) + _units(WRITE_BYTES, item_size(now))
    return _units(WRITE_BYTES, max(item_size(was), item_size(now)))


def _read_units(client: Any, operation: str, params: Params) -> list[tuple[str, float]]:
    if operation in ("Query", "Scan"):
        name = "/".join(filter(None, (params["TableName"], params.get("IndexName"))))
        return [(name, _rate(params) * _units(READ_BYTES, _page_size(client, operation, params)))]
    return [
        (key[0], rate * _units(READ_BYTES, item_size(image(client, key))))
        for key, rate in _read_rows(operation, params)
    ]


def _read_rows(operation: str, params: Params) -> list[tuple[Key, float]]:
    if operation == "GetItem":
        return [(key_of(params), _rate(params))]
    if operation == "TransactGetItems":
        return [(key_of(action["Get"]), 2) for action in params["TransactItems"]]
    if operation == "BatchGetItem":
        asked = params["RequestItems"].items()
        return [
            (key_of({"TableName": t, "Key": key}), _rate(wanted))
            for t, wanted in asked
            for key in wanted["Keys"]
        ]
    return []


def _rate(asked: Params) -> float:
    return 1 if asked.get("ConsistentRead") else 0.5


def _page_size(client: Any, operation: str, params: Params) -> int:
    """The bytes that the page read: what a filter or a projection drops was read all the same."""
    dropped = {"FilterExpression", "ProjectionExpression", "Select"}
    asked = {name: value for name, value in params.items() if name not in dropped}
    used = set(re.findall(r"[#:]\w+", asked.get("KeyConditionExpression", "")))
    for placeholders in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        kept = {name: value for name, value in asked.pop(placeholders, {}).items() if name in used}
        asked |= {placeholders: kept} if kept else {}
    return sum(item_size(item) for item in plain(client, operation, asked)["Items"])


def _units(block: int, size: int) -> int:
    return max(1, math.ceil(size / block))


def item_size(item: Item) -> int:
    """Bytes of a row or entry in DynamoDB's own form: names and values, as AWS documents it."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value: Params) -> int:
    """Bytes of one value; a list or map costs 3 and 1 for each element."""
    kind, content = next(iter(value.items()))
    if kind in ("BOOL", "NULL"):
        return 1
    if kind == "L":
        return 3 + sum(1 + value_size(element) for element in content)
    if kind == "M":
        return 3 + len(content) + item_size(content)
    if kind in ("SS", "NS", "BS"):
        return sum(value_size({kind[0]: element}) for element in content)
    return _number_size(content) if kind == "N" else len(content.encode() if kind == "S" else content)


def _number_size(number: str) -> int:
    """One byte, one for each pair of digits (pairs start at the decimal point), one for a minus."""
    sign, digits, exponent = Decimal(number).normalize().as_tuple()
    if digits == (0,):
        return 1
    return 1 + math.ceil((len(digits) + int(exponent) % 2) / 2) + sign
