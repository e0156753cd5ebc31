"""What every local store must keep; written once, run on the embedded store and on the engine.

A test class inherits `StoreContract` and gives the fixture ``subject``. Nothing here assumes an empty store:
rows are under a ``fresh`` key, and of the stream only their records are looked at.
"""

import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.clients import Store

CROWD = 64
STOCK = 50
FAILED = "ConditionalCheckFailed"

Action = dict[str, dict[str, Any]]
NEW = {"ConditionExpression": "attribute_not_exists(pk)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
LEFT = {"ConditionExpression": "units_left >= :one", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def key(pk: str, sk: str = "ROW") -> dict[str, Any]:
    """A primary key as DynamoDB wants it."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def count(n: int) -> dict[str, str]:
    """A number as DynamoDB wants it."""
    return {"N": str(n)}


def put(pk: str, sk: str = "ROW", *, only_new: bool = False, **fields: Any) -> Action:
    """A put of a row in a transaction."""
    return {"Put": {"TableName": "truth", "Item": {**key(pk, sk), **fields}, **(NEW if only_new else {})}}


def take(pk: str) -> dict[str, Any]:
    """One unit of a stock row, if there is one; as an update alone or in a transaction."""
    return {
        "TableName": "truth",
        "Key": key(pk),
        "UpdateExpression": "SET units_left = units_left - :one",
        "ExpressionAttributeValues": {":one": count(1)},
        **LEFT,
    }


def add(pk: str, sk: str = "ROW") -> Action:
    """A counter's next number in a transaction; begins the row when there is none."""
    given = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": count(1)}}
    return {"Update": {"TableName": "truth", "Key": key(pk, sk), **given}}


def row(store: Store, pk: str, sk: str = "ROW") -> dict[str, Any] | None:
    """The row as it is."""
    answer = store.client.get_item(TableName="truth", Key=key(pk, sk), ConsistentRead=True)
    item: dict[str, Any] | None = answer.get("Item")
    return item


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    """What DynamoDB calls the refusal."""
    return str(error.value.response["Error"]["Code"])


def crowd(act: Callable[[int], bool]) -> int:
    """64 threads do ``act`` at the same moment; how many of them were granted."""
    start = threading.Barrier(CROWD)

    def one(number: int) -> bool:
        start.wait()
        return act(number)

    with _eager_switching(), ThreadPoolExecutor(CROWD) as threads:
        return sum(threads.map(one, range(CROWD)))


@contextmanager
def _eager_switching() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def granted(call: Callable[[], Any]) -> bool:
    """Whether the store let ``call`` through; only a failed condition counts as a refusal."""
    try:
        call()
    except ClientError as refused:
        assert refused.response["Error"]["Code"] in {
            "ConditionalCheckFailedException",
            "TransactionCanceledException",
        }
        return False
    return True


class StoreContract:
    """Conditions, transactions and the stream."""

    @pytest.fixture
    def stock(self, subject: Store, fresh: str) -> str:
        """The key of a row with 50 units."""
        subject.client.put_item(TableName="truth", Item={**key(fresh), "units_left": count(STOCK)})
        return fresh

    def test_the_crowd_oversells_when_the_rule_is_a_read_before_the_write(
        self, subject: Store, stock: str
    ) -> None:
        """If this fails, the tests below prove nothing."""
        everyone_has_read = threading.Barrier(CROWD)

        def act(number: int) -> bool:
            seen = int((row(subject, stock) or {})["units_left"]["N"])
            everyone_has_read.wait()
            left = {**key(stock), "units_left": count(seen - 1)}
            subject.client.put_item(TableName="truth", Item=left)
            return seen >= 1

        assert crowd(act) > STOCK

    def test_single_conditional_updates_grant_exactly_the_stock(self, subject: Store, stock: str) -> None:
        won = crowd(lambda _: granted(lambda: subject.client.update_item(**take(stock))))

        assert won == STOCK
        assert row(subject, stock) == {**key(stock), "units_left": count(0)}

    def test_transactions_grant_exactly_the_stock_and_one_row_each(self, subject: Store, stock: str) -> None:
        def act(number: int) -> bool:
            actions = [put(stock, f"TAKER#{number}", only_new=True), {"Update": take(stock)}]
            return granted(lambda: subject.client.transact_write_items(TransactItems=actions))

        won = crowd(act)

        takers = subject.client.query(
            TableName="truth",
            KeyConditionExpression="pk = :pk AND begins_with(sk, :taker)",
            ExpressionAttributeValues={":pk": {"S": stock}, ":taker": {"S": "TAKER#"}},
            ConsistentRead=True,
        )
        assert won == takers["Count"] == STOCK
        assert row(subject, stock) == {**key(stock), "units_left": count(0)}

    def test_a_refused_transaction_lists_every_failed_condition_with_its_row(
        self, subject: Store, fresh: str
    ) -> None:
        there = {**key(fresh, "THERE"), "raw": {"B": b"\x00\xff"}, "parts": {"M": {"raw": {"B": b"\x01"}}}}
        empty = {**key(fresh), "units_left": count(0)}
        subject.client.put_item(TableName="truth", Item=there)
        subject.client.put_item(TableName="truth", Item=empty)

        with pytest.raises(ClientError) as refused:
            subject.client.transact_write_items(
                TransactItems=[
                    put(fresh, "THERE", only_new=True),
                    put(fresh, "NEW", only_new=True),
                    {"Update": take(fresh)},
                    {"Update": take(f"{fresh}-absent")},
                ]
            )

        assert code_of(refused) == "TransactionCanceledException"
        reasons = refused.value.response["CancellationReasons"]
        assert [reason["Code"] for reason in reasons] == [FAILED, "None", FAILED, FAILED]
        assert [reason.get("Item") for reason in reasons] == [there, None, empty, None]
        assert row(subject, fresh, "NEW") is None

    def test_deletes_and_checks_give_the_row_that_refused(self, subject: Store, fresh: str) -> None:
        subject.client.put_item(TableName="truth", Item={**key(fresh), "n": count(1)})
        given = {"TableName": "truth", "Key": key(fresh), **NEW}

        for operation in ("Delete", "ConditionCheck"):
            with pytest.raises(ClientError) as refused:
                subject.client.transact_write_items(TransactItems=[{operation: given}])
            reason = refused.value.response["CancellationReasons"][0]
            assert reason["Item"] == {**key(fresh), "n": count(1)}

    def test_an_action_that_turns_out_impossible_takes_the_others_back(
        self, subject: Store, fresh: str
    ) -> None:
        iterator = iterator_at(subject, "LATEST")
        subject.client.put_item(TableName="truth", Item={**key(fresh), "n": count(1)})
        impossible = take(f"{fresh}-absent")
        del impossible["ConditionExpression"], impossible["ReturnValuesOnConditionCheckFailure"]

        with pytest.raises(ClientError):
            subject.client.transact_write_items(
                TransactItems=[add(fresh), put(fresh, "NEW"), {"Update": impossible}]
            )

        assert row(subject, fresh) == {**key(fresh), "n": count(1)}
        assert row(subject, fresh, "NEW") is None
        assert row(subject, f"{fresh}-absent") is None
        assert [record["eventName"] for record in records(subject, iterator, fresh)] == ["INSERT"]

    def test_refused_transactions_lose_nothing_for_an_iterator_that_was_kept(
        self, subject: Store, fresh: str
    ) -> None:
        iterator = iterator_at(subject, "LATEST")
        for number in range(5):
            subject.client.put_item(TableName="truth", Item=key(fresh, f"ROW#{number}"))
            with pytest.raises(ClientError):
                subject.client.transact_write_items(
                    TransactItems=[add(fresh, "COUNT"), put(fresh, f"ROW#{number}", only_new=True)]
                )

        found = records(subject, iterator, fresh)

        assert [record["dynamodb"]["Keys"]["sk"]["S"] for record in found] == [f"ROW#{n}" for n in range(5)]

    def test_a_transaction_sent_again_under_its_token_has_one_effect(
        self, subject: Store, fresh: str
    ) -> None:
        token = uuid.uuid4().hex

        for _ in range(3):
            subject.client.transact_write_items(TransactItems=[add(fresh)], ClientRequestToken=token)

        assert row(subject, fresh) == {**key(fresh), "n": count(1)}

    def test_a_token_does_not_cover_another_transaction(self, subject: Store, fresh: str) -> None:
        token = uuid.uuid4().hex
        subject.client.transact_write_items(TransactItems=[add(fresh)], ClientRequestToken=token)

        with pytest.raises(ClientError) as refused:
            subject.client.transact_write_items(TransactItems=[add(fresh, "B")], ClientRequestToken=token)

        assert code_of(refused) == "IdempotentParameterMismatchException"
        assert row(subject, fresh, "B") is None

    def test_a_refused_transaction_may_be_sent_again_under_its_token(
        self, subject: Store, fresh: str
    ) -> None:
        token = uuid.uuid4().hex
        actions = [put(fresh, "NEW", only_new=True), {"Update": take(fresh)}]
        with pytest.raises(ClientError):
            subject.client.transact_write_items(TransactItems=actions, ClientRequestToken=token)
        subject.client.put_item(TableName="truth", Item={**key(fresh), "units_left": count(1)})

        subject.client.transact_write_items(TransactItems=actions, ClientRequestToken=token)

        assert row(subject, fresh, "NEW") == key(fresh, "NEW")

    def test_a_key_twice_or_more_than_a_hundred_actions_are_malformed(
        self, subject: Store, fresh: str
    ) -> None:
        twice = [add(fresh), add(fresh)]
        too_many = [add(fresh, str(n)) for n in range(101)]
        for actions in (twice, too_many):
            with pytest.raises(ClientError) as refused:
                subject.client.transact_write_items(TransactItems=actions)
            assert code_of(refused) == "ValidationException"

        subject.client.transact_write_items(TransactItems=too_many[:100])

        assert row(subject, fresh) is None
        assert row(subject, fresh, "99") == {**key(fresh, "99"), "n": count(1)}

    def test_refused_single_writes_give_the_row_and_change_nothing(self, subject: Store, fresh: str) -> None:
        there = {**key(fresh), "units_left": count(0)}
        subject.client.put_item(TableName="truth", Item=there)
        writes: list[Callable[[], Any]] = [
            lambda: subject.client.put_item(TableName="truth", Item=key(fresh), **NEW),
            lambda: subject.client.delete_item(TableName="truth", Key=key(fresh), **NEW),
            lambda: subject.client.update_item(**take(fresh)),
        ]

        for write in writes:
            with pytest.raises(ClientError) as refused:
                write()
            assert code_of(refused) == "ConditionalCheckFailedException"
            assert refused.value.response["Item"] == there

        assert row(subject, fresh) == there

    def test_a_refused_update_does_not_begin_the_row(self, subject: Store, fresh: str) -> None:
        with pytest.raises(ClientError) as refused:
            subject.client.update_item(**take(fresh))

        assert "Item" not in refused.value.response
        assert row(subject, fresh) is None

    def test_the_stream_shows_each_change_once_with_both_images_in_order(
        self, subject: Store, fresh: str
    ) -> None:
        subject.client.transact_write_items(TransactItems=[add(fresh)])
        subject.client.update_item(**add(fresh)["Update"])
        subject.client.delete_item(TableName="truth", Key=key(fresh))

        found = records(subject, iterator_at(subject, "TRIM_HORIZON"), fresh)

        first, second = {**key(fresh), "n": count(1)}, {**key(fresh), "n": count(2)}
        changes = [record["dynamodb"] for record in found]
        assert [record["eventName"] for record in found] == ["INSERT", "MODIFY", "REMOVE"]
        assert [change.get("OldImage") for change in changes] == [None, first, second]
        assert [change.get("NewImage") for change in changes] == [first, second, None]
        numbers = [int(change["SequenceNumber"]) for change in changes]
        assert numbers == sorted(set(numbers))


def iterator_at(store: Store, kind: str) -> str:
    """An iterator at the stream's beginning or, as DynamoDB Local trims what is behind a kept one, at its end."""
    arn = store.client.describe_table(TableName="truth")["Table"]["LatestStreamArn"]
    shard = store.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    answer = store.streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType=kind)
    return str(answer["ShardIterator"])


def records(store: Store, iterator: str, pk: str) -> list[dict[str, Any]]:
    """What the stream holds from ``iterator`` on about rows under ``pk``."""
    found: list[dict[str, Any]] = []
    while True:
        answer = store.streams.get_records(ShardIterator=iterator)
        if not answer["Records"]:
            return found
        found += [one for one in answer["Records"] if one["dynamodb"]["Keys"]["pk"]["S"] == pk]
        iterator = answer["NextShardIterator"]
