"""The shuffler loses nothing and keeps only the order it promises; rows and images read the whole table."""

import itertools
import random
from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.harness.rows import Change, decoded, images, rows, stream_records
from tests.harness.streams import deliveries, event

from .store import Store, key

SEEDS = st.integers(0, 2**32)


def records(count: int) -> list[dict[str, Any]]:
    return [
        {"eventID": str(n), "dynamodb": {"Keys": {"pk": {"S": str(n % 3)}}, "SequenceNumber": str(n)}}
        for n in range(count)
    ]


def first_deliveries(seed: int, **how: Any) -> dict[str, list[int]]:
    seen: dict[str, list[int]] = defaultdict(list)
    for record in itertools.chain(*deliveries(records(30), dice=random.Random(seed), **how)):
        row, number = record["dynamodb"]["Keys"]["pk"]["S"], int(record["eventID"])
        if number not in seen[row]:
            seen[row].append(number)
    return seen


@given(SEEDS)
def test_every_record_comes_at_least_once_and_the_first_time_in_its_rows_order(seed: int) -> None:
    for row, numbers in first_deliveries(seed).items():
        assert numbers == list(range(int(row), 30, 3))


@given(SEEDS)
def test_unordered_still_brings_every_record(seed: int) -> None:
    assert sorted(itertools.chain(*first_deliveries(seed, ordered=False).values())) == list(range(30))


def test_records_are_repeated_interleaved_and_split_and_order_breaks_on_request() -> None:
    batches = list(deliveries(records(30), dice=random.Random(7)))
    numbers = [int(record["eventID"]) for batch in batches for record in batch]

    assert len(numbers) > 30
    assert numbers != sorted(numbers)
    assert len({len(batch) for batch in batches}) > 1
    assert batches == list(deliveries(records(30), dice=random.Random(7)))
    broken = first_deliveries(7, ordered=False)
    assert any(numbers != sorted(numbers) for numbers in broken.values())


def test_a_handler_may_spoil_its_batch_without_spoiling_the_next() -> None:
    for batch in deliveries(records(9), dice=random.Random(3), repeats=1.0):
        for record in event(batch)["Records"]:
            assert record.pop("eventID")


def test_rows_reads_the_whole_table_as_plain_values(store: Store) -> None:
    store.put("a", n=1, kind="x")
    store.put("b", kind="y", text="x" * 300_000)
    for pk in ("big-1", "big-2", "big-3"):
        store.put(pk, text="x" * 390_000)

    assert {row["pk"] for row in rows(store.client, store.table)} == {"a", "b", "big-1", "big-2", "big-3"}
    assert rows(store.client, store.table, kind="x") == [{"pk": "a", "sk": "-", "n": 1, "kind": "x"}]
    odd = {"l": {"L": [{"N": "1.5"}, {"NULL": True}]}, "m": {"M": {"s": {"NS": ["1"]}}}, "b": {"BOOL": False}}
    assert decoded(odd) == {"l": [1.5, None], "m": {"s": {1}}, "b": False}


def test_images_are_every_state_a_row_was_in_also_after_a_refused_transaction(store: Store) -> None:
    store.put("a", n=1)
    store.transact({"Update": store.adding("a", -2)})
    try:
        store.transact({"Update": store.adding("a")}, {"ConditionCheck": store.checking("none")})
    except store.client.exceptions.TransactionCanceledException:
        store.add("a", 3)
    store.client.delete_item(TableName=store.table, Key=key("a"))

    at = {"pk": "a", "sk": "-"}
    states = [None, {**at, "n": 1}, {**at, "n": -1}, {**at, "n": 2}, None]
    assert images(store.client, store.table) == list(itertools.starmap(Change, itertools.pairwise(states)))
    for record in stream_records(store.client, store.table):
        assert record["eventSourceARN"]
        assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], int)
        assert record["dynamodb"]["Keys"] == key("a")
