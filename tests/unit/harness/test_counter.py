"""The counter tells AWS's figures: sizes, single writes, transactions, indexes, reads."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.counter import Spent, counting, item_size, value_size
from tests.harness.wire import Call, Params, wrapped

from .store import Store, key


@pytest.mark.parametrize(
    ("value", "size"),
    [  # each as DynamoDB Local 2.6.1 bills it, found by padding a row until its second unit
        ({"S": "abc"}, 3),
        ({"S": "中文"}, 6),
        ({"B": b"abcd"}, 4),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"N": "0"}, 1),
        ({"N": "9"}, 2),
        ({"N": "100"}, 2),
        ({"N": "123"}, 3),
        ({"N": "-123"}, 4),
        ({"N": "12345"}, 4),
        ({"N": "0.001"}, 2),
        ({"N": "1.5"}, 3),
        ({"N": "1790000000"}, 3),
        ({"N": "1234567890"}, 6),
        ({"L": []}, 3),
        ({"M": {}}, 3),
        ({"L": [{"S": "a"}, {"N": "1"}]}, 8),
        ({"M": {"k": {"S": "a"}}}, 6),
        ({"L": [{"L": [{"N": "3"}, {"N": "5"}]}]}, 13),
        ({"SS": ["a", "bc"]}, 3),
        ({"NS": ["1", "12"]}, 4),
    ],
)
def test_a_value_has_the_size_that_dynamodb_bills(value: dict[str, Any], size: int) -> None:
    assert value_size(value) == size


def test_a_row_is_its_names_and_its_values() -> None:
    assert item_size({"pk": {"S": "a"}, "sk": {"S": "-"}, "count": {"N": "12"}}) == 3 + 3 + 7


def units(store: Store, call: Callable[[], object]) -> tuple[int, int]:
    with counting(store.client) as spent:
        call()
    assert spent.calls == 1
    return spent.table_units, spent.index_units


def test_an_index_bills_what_changes_in_it_and_nothing_else(store: Store) -> None:
    assert units(store, lambda: store.put("a")) == (1, 0)
    assert units(store, lambda: store.put("a", due_shard="s", due_at=1, kind="k")) == (1, 1)
    assert units(store, lambda: store.add("a")) == (1, 0)
    assert units(store, lambda: store.change("a", "SET kind = :kind", kind="other")) == (1, 1)
    assert units(store, lambda: store.change("a", "SET due_at = :at", at=2)) == (1, 2)
    assert units(store, lambda: store.change("a", "REMOVE due_at")) == (1, 1)
    assert units(store, lambda: store.change("a", "SET due_at = :at, big = :big", at=1, big="x" * 2100)) == (
        3,
        1,
    )
    assert units(store, lambda: store.client.delete_item(TableName=store.table, Key=key("a"))) == (3, 1)


def test_a_transaction_bills_twice_for_each_row_also_when_refused_and_once_for_indexes(store: Store) -> None:
    both = ({"Put": store.putting("a", due_shard="s", due_at=1)}, {"ConditionCheck": store.checking("b")})

    with (
        counting(store.client) as refused,
        pytest.raises(store.client.exceptions.TransactionCanceledException),
    ):
        store.transact(*both)
    store.put("b", text="x" * 1100)
    with counting(store.client) as done:
        store.transact(*both)

    assert (refused.table_units, refused.index_units) == (4, 0)
    assert (done.table_units, done.index_units) == (6, 1)
    assert done.writes == {store.table: 6, f"{store.table}/due": 1}
    assert done.operations == {"TransactWriteItems": 1}


def test_reads_bill_by_four_kilobytes_and_half_when_they_may_be_stale(store: Store) -> None:
    store.put("a", due_shard="s", due_at=1, kind="k", big="x" * 5000)
    both = {store.table: {"Keys": [key("a"), key("none")]}}
    partition = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "a"}}}

    def read(call: Callable[[], object]) -> dict[str, float]:
        with counting(store.client) as spent:
            call()
        return spent.reads

    assert read(lambda: store.get("a")) == {store.table: 2}
    assert read(lambda: store.client.get_item(TableName=store.table, Key=key("none"))) == {store.table: 0.5}
    assert read(lambda: store.client.batch_get_item(RequestItems=both)) == {store.table: 1.5}
    assert read(lambda: store.client.query(TableName=store.table, **partition)) == {store.table: 1}
    assert read(store.due) == {f"{store.table}/due": 0.5}
    drops_all = {"ExpressionAttributeNames": {"#k": "kind"}, "FilterExpression": "#k = :pk AND big = :pk"}
    assert read(lambda: store.client.query(TableName=store.table, **partition, **drops_all)) == {
        store.table: 1
    }
    get = {"Get": {"TableName": store.table, "Key": key("a")}}
    assert read(lambda: store.client.transact_get_items(TransactItems=[get])) == {store.table: 4}


def test_what_is_no_reading_or_writing_of_rows_is_not_counted(store: Store) -> None:
    with counting(store.client) as spent:
        store.client.describe_table(TableName=store.table)
    store.put("after")

    assert spent == Spent()


def told_by_the_engine(store: Store, call: Callable[[], object]) -> tuple[float, float]:
    told: list[Any] = []

    def listening(below: Call, operation: str, params: Params) -> Params:
        answer = below(operation, {**params, "ReturnConsumedCapacity": "INDEXES"})
        told.append(answer["ConsumedCapacity"])
        return answer

    with wrapped(store.client, listening):
        call()
    (said,) = told
    of_indexes = said.get("GlobalSecondaryIndexes", {}).values()
    return said["Table"]["CapacityUnits"], sum(one["CapacityUnits"] for one in of_indexes)


@pytest.mark.engine
@pytest.mark.skipif(not os.environ.get("DYNAMODB_ENDPOINT"), reason="moto invents its figures")
def test_single_calls_cost_what_the_engine_says(store: Store) -> None:
    for write in (
        lambda: store.put("a", due_shard="s", due_at=1, kind="k" * 1100),
        lambda: store.put("a", due_shard="s", due_at=2, big="x" * 1000),
        lambda: store.change("a", "SET kind = :kind", kind="k"),
        lambda: store.change("a", "REMOVE due_shard"),
        lambda: store.put("a", due_shard="s", due_at=1, big="x" * 9000),
    ):
        with counting(store.client) as spent:
            told = told_by_the_engine(store, write)
        assert (spent.table_units, spent.index_units) == told

    for read in (lambda: store.get("a"), store.due):
        with counting(store.client) as spent:
            table, index = told_by_the_engine(store, read)
        assert spent.read_units == table + index
