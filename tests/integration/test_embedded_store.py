"""The embedded store keeps the store's contract, and the patches that make it do so are needed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import Item

from infra.local import embedded, tables
from infra.local.clients import Store
from tests.store_contract import (
    CROWD,
    StoreContract,
    add,
    crowd,
    granted,
    iterator_at,
    key,
    put,
    records,
    row,
)


class TestEmbeddedStore(StoreContract):
    """The contract, on moto as we run it."""

    @pytest.fixture
    def subject(self, store: Store) -> Store:
        """The embedded store."""
        return store


class Meter:
    """How many threads were inside at most."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Counted in and out, with time enough for others to come in as well."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.001)
        yield
        self.inside -= 1


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    """Measures how many updates moto is at work on at once."""
    meter, update_item = Meter(), DynamoDBBackend.update_item

    def measured(*args: Any, **kwargs: Any) -> Any:
        with meter.measuring():
            return update_item(*args, **kwargs)

    monkeypatch.setattr(DynamoDBBackend, "update_item", measured)
    return meter


def counting(store: Store, pk: str) -> Callable[[int], bool]:
    """What a crowd does to one counter."""
    return lambda _: granted(lambda: store.client.update_item(**add(pk)["Update"]))


def test_without_the_lock_requests_meet_inside_moto(
    store: Store, fresh: str, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, the test below proves nothing."""
    unlocked = BotocoreStubber.process_request.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.setattr(BotocoreStubber, "process_request", unlocked)

    crowd(counting(store, fresh))

    assert meter.most > 1


def test_requests_are_served_one_at_a_time(store: Store, fresh: str, meter: Meter) -> None:
    crowd(counting(store, fresh))

    assert meter.most == 1
    assert row(store, fresh) == {**key(fresh), "n": {"N": str(CROWD)}}


def test_a_transaction_copies_no_more_rows_in_a_large_table(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[Item] = []
    copy = Item.__deepcopy__

    def noted(item: Item, memo: dict[int, Any]) -> Item:
        copied.append(item)
        return copy(item, memo)

    monkeypatch.setattr(Item, "__deepcopy__", noted)
    store.client.transact_write_items(TransactItems=[add("A"), put("B", only_new=True)])
    in_a_small_table = len(copied)
    for number in range(3):
        store.client.transact_write_items(TransactItems=[put("MANY", f"{number}#{n}") for n in range(100)])
    copied.clear()

    store.client.transact_write_items(TransactItems=[add("C"), put("D", only_new=True)])

    assert len(copied) == in_a_small_table


def test_a_token_is_forgotten_after_ten_minutes(
    store: Store, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = {"TransactItems": [add(fresh)], "ClientRequestToken": "token"}
    store.client.transact_write_items(**again)

    monkeypatch.setattr(embedded, "TOKENS_LIVE_S", -1)
    store.client.transact_write_items(**again)

    assert row(store, fresh) == {**key(fresh), "n": {"N": "2"}}


def test_an_impossible_update_is_a_reason_to_cancel(store: Store, fresh: str) -> None:
    """As AWS answers; DynamoDB Local says ValidationException instead."""
    minus = {"UpdateExpression": "SET n = n - :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
    impossible = {"Update": {"TableName": "truth", "Key": key(fresh), **minus}}

    with pytest.raises(store.client.exceptions.TransactionCanceledException) as refused:
        store.client.transact_write_items(TransactItems=[add("A"), impossible])

    reasons = refused.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ValidationError"]


def test_an_iterator_goes_on_after_the_store_was_emptied(store: Store) -> None:
    iterator = iterator_at(store, "TRIM_HORIZON")
    store.client.put_item(TableName="truth", Item=key("A", "BEFORE"))

    embedded.empty()
    store.client.put_item(TableName="truth", Item=key("A", "AFTER"))

    assert row(store, "A", "BEFORE") is None
    assert [one["dynamodb"]["Keys"]["sk"]["S"] for one in records(store, iterator, "A")] == ["AFTER"]


def test_an_idle_reader_costs_no_memory(store: Store) -> None:
    iterator = iterator_at(store, "TRIM_HORIZON")

    seen = {store.streams.get_records(ShardIterator=iterator)["NextShardIterator"] for _ in range(3)}

    assert seen == {iterator}


def test_making_the_tables_again_changes_nothing(store: Store, fresh: str) -> None:
    store.client.put_item(TableName="truth", Item=key(fresh))

    for _ in range(2):
        tables.create(store.client)
        tables.sweep(store.client)

    assert row(store, fresh) == key(fresh)
    ttl = store.client.describe_time_to_live(TableName="traffic")["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
