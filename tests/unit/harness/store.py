"""A small table with one index and a stream, and the shortest calls on it."""

import os
import uuid
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.config import Config

Raw = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """One table of its own for a test; every row is named by its pk alone."""

    client: Any
    table: str

    def put(self, pk: str, **attributes: str | int) -> Raw:
        """Write a row, whatever was there."""
        answer: Raw = self.client.put_item(**self.putting(pk, **attributes))
        return answer

    def create(self, pk: str, **attributes: str | int) -> Raw:
        """Write a row that is not there yet."""
        once = {"ConditionExpression": "attribute_not_exists(pk)"}
        answer: Raw = self.client.put_item(**self.putting(pk, **attributes), **once)
        return answer

    def add(self, pk: str, count: int = 1) -> Raw:
        """Count on a row, with no condition at all."""
        answer: Raw = self.client.update_item(**self.adding(pk, count))
        return answer

    def change(self, pk: str, expression: str, **values: str | int) -> Raw:
        """Any update; a value ``x`` is ``:x`` in the expression."""
        given = {f":{name}": encoded(value) for name, value in values.items()}
        asked = {"TableName": self.table, "Key": key(pk), "UpdateExpression": expression}
        answer: Raw = self.client.update_item(
            **asked, **({"ExpressionAttributeValues": given} if given else {})
        )
        return answer

    def transact(self, *actions: Raw) -> Raw:
        """Send actions such as ``{"Put": store.putting("a")}`` as one."""
        answer: Raw = self.client.transact_write_items(TransactItems=list(actions))
        return answer

    def get(self, pk: str) -> Raw:
        """The row in DynamoDB's own form, {} when there is none."""
        found: Raw = self.client.get_item(TableName=self.table, Key=key(pk), ConsistentRead=True)
        return found.get("Item", {})  # type: ignore[no-any-return]

    def due(self, shard: str = "s", **more: Any) -> Raw:
        """One query of the index."""
        values = {":shard": encoded(shard)}
        asked = {"TableName": self.table, "IndexName": "due", "KeyConditionExpression": "due_shard = :shard"}
        answer: Raw = self.client.query(**asked, **{"ExpressionAttributeValues": values} | more)
        return answer

    def putting(self, pk: str, **attributes: str | int) -> Raw:
        """The parameters of a put."""
        item = key(pk) | {name: encoded(value) for name, value in attributes.items()}
        return {"TableName": self.table, "Item": item}

    def adding(self, pk: str, count: int = 1) -> Raw:
        """The parameters of an unconditional ADD."""
        values = {":count": encoded(count)}
        update = {"UpdateExpression": "ADD n :count", "ExpressionAttributeValues": values}
        return {"TableName": self.table, "Key": key(pk), **update}

    def checking(self, pk: str) -> Raw:
        """The parameters of a check that the row is there."""
        return {"TableName": self.table, "Key": key(pk), "ConditionExpression": "attribute_exists(pk)"}


def key(pk: str) -> Raw:
    """The key of a row whose sk does not matter."""
    return {"pk": {"S": pk}, "sk": {"S": "-"}}


def encoded(value: str | int) -> Raw:
    """A value in DynamoDB's own form."""
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def new_client() -> Any:
    """A client like the application's: no retries of its own to hide what happens."""
    return botocore.session.get_session().create_client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=os.environ.get("DYNAMODB_ENDPOINT") or None,
        aws_access_key_id="harness",
        aws_secret_access_key="harness",
        config=Config(account_id_endpoint_mode="disabled", retries={"total_max_attempts": 1}),
    )


def new_store(client: Any) -> Store:
    """A table under a new name."""
    table = f"harness-{uuid.uuid4().hex[:12]}"
    types = {"pk": "S", "sk": "S", "due_shard": "S", "due_at": "N"}
    due = {
        "IndexName": "due",
        "KeySchema": _schema("due_shard", "due_at"),
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["kind"]},
    }
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()],
        KeySchema=_schema("pk", "sk"),
        GlobalSecondaryIndexes=[due],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    return Store(client, table)


def _schema(partition: str, sort: str) -> list[Raw]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
