"""The hostile layer does what AWS may do, and nothing that AWS would not."""

import math
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.harness.hostile import Hostile
from tests.harness.races import Outcome, race
from tests.harness.rows import rows
from tests.harness.wire import Call, Params, wrapped

from .store import Store, key


def hostile(store: Store, **odds: Any) -> Hostile:
    return Hostile(store.client, dice=random.Random(7), **odds)


def during_a_transaction(store: Store, call: Callable[[], object]) -> Outcome:
    """What becomes of a call that is made while a transaction on rows a and b is in flight."""
    started, go_on = threading.Event(), threading.Event()

    def slow(below: Call, operation: str, params: Params) -> Params:
        if operation == "TransactWriteItems":
            started.set()
            go_on.wait(10)
        return below(operation, params)

    def other() -> object:
        started.wait(10)
        try:
            return call()
        finally:
            go_on.set()

    with wrapped(store.client, slow), hostile(store):
        transaction, outcome = race(
            lambda: store.transact({"Put": store.putting("a")}, {"Put": store.putting("b")}), other
        )
    assert transaction.won
    return outcome


def test_a_transaction_that_meets_one_in_flight_is_refused_at_the_position_they_share(store: Store) -> None:
    actions = [{"Update": store.adding(pk)} for pk in ("free", "b")]

    error: Any = during_a_transaction(store, lambda: store.transact(*actions)).error

    assert isinstance(error, store.client.exceptions.TransactionCanceledException)
    codes = [reason["Code"] for reason in error.response["CancellationReasons"]]
    assert codes == ["None", "TransactionConflict"]
    assert store.get("free") == {}


def test_a_single_write_meets_a_transaction_only_on_its_rows_and_a_plain_read_never(store: Store) -> None:
    refused = during_a_transaction(store, lambda: store.add("a"))

    assert isinstance(refused.error, store.client.exceptions.TransactionConflictException)
    assert during_a_transaction(store, lambda: store.add("free")).won
    assert during_a_transaction(store, lambda: store.get("a")).won


def test_a_window_in_flight_makes_a_crowd_conflict_and_lets_the_keys_go(store: Store) -> None:
    with hostile(store, in_flight=0.005) as layer:
        outcomes = race(*[lambda: store.transact({"Update": store.adding("a")})] * 8)
        store.transact({"Update": store.adding("a")})

    assert layer.counts["conflict"] == 8 - len(outcomes.winners) > 0
    assert store.get("a")["n"] == {"N": str(len(outcomes.winners) + 1)}


def test_a_throttled_call_has_no_effect_and_says_so_in_its_own_way(store: Store) -> None:
    with hostile(store, throttle=1.0):
        with pytest.raises(ClientError) as single:
            store.put("a")
        with pytest.raises(ClientError) as transaction:
            store.transact({"Put": store.putting("a")}, {"Put": store.putting("b")})

    assert single.value.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
    codes = [reason["Code"] for reason in transaction.value.response["CancellationReasons"]]
    assert sorted(codes) == ["None", "ThrottlingError"]
    assert rows(store.client, store.table) == []


def test_a_throttled_batch_is_half_done_and_hands_back_the_rest(store: Store) -> None:
    for pk in "abc":
        store.put(pk)

    with hostile(store, throttle=1.0):
        asked = {store.table: {"Keys": [key(pk) for pk in "abc"], "ConsistentRead": True}}
        answer = store.client.batch_get_item(RequestItems=asked)

    assert [item["pk"]["S"] for item in answer["Responses"][store.table]] == ["a"]
    assert answer["UnprocessedKeys"] == {store.table: {"Keys": [key("b"), key("c")], "ConsistentRead": True}}


def test_a_timeout_before_leaves_nothing_and_one_after_leaves_the_effect(store: Store) -> None:
    with hostile(store, timeout_before=1.0), pytest.raises(Exception, match="timeout"):
        store.add("a")
    assert store.get("a") == {}

    with hostile(store, timeout_after=1.0), pytest.raises(ReadTimeoutError):
        store.add("a")
    assert store.get("a")["n"] == {"N": "1"}


def test_botocores_own_repeat_counts_a_bare_add_twice_and_a_transaction_once(store: Store) -> None:
    with hostile(store, lost_reply=1.0) as layer:
        store.add("single")
        store.transact({"Update": store.adding("transaction")})
        with pytest.raises(store.client.exceptions.ConditionalCheckFailedException):
            store.create("ours")

    assert store.get("single")["n"] == {"N": "2"}
    assert store.get("transaction")["n"] == {"N": "1"}
    assert store.get("ours")
    assert layer.counts["lost_reply"] == 3


def test_the_same_dice_bring_the_same_weather(store: Store) -> None:
    def weather() -> tuple[list[str], dict[str, int]]:
        with hostile(store, throttle=0.2, timeout_before=0.2, timeout_after=0.2) as layer:
            return [one.name for one in race(*[lambda: store.add("a")] * 30, threads=1)], dict(layer.counts)

    names, counts = weather()
    assert (names, counts) == weather()
    assert {"throttle", "timeout_before", "timeout_after"} < set(counts)


def test_a_young_entry_is_not_found_through_the_index_until_it_is_old_enough(store: Store) -> None:
    now = [100.0]
    store.put("old", due_shard="s", due_at=1)

    with hostile(store, index_delay=5.0, clock=lambda: now[0]) as layer:
        store.put("new", due_shard="s", due_at=2)
        store.change("old", "SET kind = :kind", kind="k")
        assert [item["pk"]["S"] for item in store.due()["Items"]] == ["old"]
        assert store.due(Select="COUNT")["Count"] == 1
        now[0] += 5.0
        assert [item["pk"]["S"] for item in store.due()["Items"]] == ["old", "new"]

    assert layer.counts["late"] == 2


def test_a_moved_entry_is_late_too_but_the_row_itself_is_not(store: Store) -> None:
    store.put("a", due_shard="s", due_at=1)

    with hostile(store, index_delay=math.inf):
        store.change("a", "SET due_at = :at", at=9)
        assert store.due()["Items"] == []
        assert store.get("a")["due_at"] == {"N": "9"}
