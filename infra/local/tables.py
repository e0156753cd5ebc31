"""The two tables in a local store, made from infra/template.json, which alone describes them."""

import contextlib
import json
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parents[1] / "template.json"

# The rest of the template is about guarding and billing a real table.
_SHAPE = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")


def arguments(*, truth: str, traffic: str) -> list[dict[str, Any]]:
    """What `create_table` is called with for each table."""
    resources = json.loads(TEMPLATE.read_text())["Resources"]
    return [
        _arguments(truth, resources["TruthTable"]["Properties"]),
        _arguments(traffic, resources["TrafficTable"]["Properties"]),
    ]


def create(client: Any, *, truth: str = "truth", traffic: str = "traffic") -> None:
    """Both tables are there when this returns, whether they were before or not."""
    for given in arguments(truth=truth, traffic=traffic):
        with contextlib.suppress(client.exceptions.ResourceInUseException):
            client.create_table(**given)
        client.get_waiter("table_exists").wait(TableName=given["TableName"], WaiterConfig={"Delay": 1})


def sweep(client: Any, *, truth: str = "truth", traffic: str = "traffic") -> None:
    """Let the store delete what has expired, some day; for a local run that remembers.

    Not part of `create`: tests live in a time of their own, where the store would find every ttl long past.
    """
    for table in (truth, traffic):
        now = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"]
        if now == "DISABLED":
            expires = {"Enabled": True, "AttributeName": "ttl"}
            client.update_time_to_live(TableName=table, TimeToLiveSpecification=expires)


def _arguments(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    given = {"TableName": name, **{part: properties[part] for part in _SHAPE if part in properties}}
    if "StreamSpecification" in properties:
        # CloudFormation takes the switch for granted, the API does not.
        given["StreamSpecification"] = {"StreamEnabled": True, **properties["StreamSpecification"]}
    return given
