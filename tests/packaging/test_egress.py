"""`make package EGRESS=1`: one function of the stack leaves from an address that WeChat Pay can be told."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from infra import package as packaging
from infra.restore import template as restored
from tests.packaging.conftest import Package
from tests.packaging.test_template import _lint

EGRESS: dict[str, Any] = json.loads(packaging.EGRESS.read_text(encoding="utf-8"))
ON_ITS_WAY_OUT = ("Transfers", "TransfersRole", "TransfersLogGroup", "TruthTable", "TrafficTable")


@pytest.fixture(scope="module")
def plain(packages: dict[str, Package]) -> dict[str, Any]:
    """The template of a stack without an address of its own."""
    found: dict[str, Any] = json.loads(packages["us-east-1"].text)
    return found


@pytest.fixture(scope="module")
def egress(plain: dict[str, Any]) -> dict[str, Any]:
    return packaging.merged(copy.deepcopy(plain), EGRESS)


def test_nothing_else_of_the_stack_changes(plain: dict[str, Any], egress: dict[str, Any]) -> None:
    before, after = plain["Resources"], egress["Resources"]

    assert {name for name in before if before[name] != after[name]} == {"Transfers"}
    assert set(after) - set(before) == set(EGRESS["Resources"]) - {"Transfers"}
    assert set(egress["Outputs"]) - set(plain["Outputs"]) == {"TransfersAddress"}
    assert "VpcConfig" not in json.dumps(plain)


def test_only_the_transfers_are_in_the_network_and_may_manage_its_interfaces(egress: dict[str, Any]) -> None:
    resources = egress["Resources"]
    inside = [name for name, one in resources.items() if "VpcConfig" in one.get("Properties", {})]
    managing = [name for name, one in resources.items() if "NetworkInterface" in json.dumps(one)]

    assert (inside, managing) == (["Transfers"], ["TransfersNetwork"])
    policy = resources["TransfersNetwork"]["Properties"]
    assert policy["Roles"] == [{"Ref": resources["Transfers"]["Properties"]["Role"]["Fn::GetAtt"][0]}]
    # Lambda looks at the role before it makes the function.
    assert "TransfersNetwork" in resources["Transfers"]["DependsOn"]
    # Asking about interfaces is only ever allowed of all of them; so what Lambda may, the code itself may not.
    allowed, denied = policy["PolicyDocument"]["Statement"]
    assert (allowed["Effect"], denied["Effect"]) == ("Allow", "Deny")
    assert allowed["Action"] == denied["Action"] and "lambda:SourceFunctionArn" in json.dumps(denied)


def test_it_leaves_through_one_address_and_nobody_comes_in(egress: dict[str, Any]) -> None:
    resources = egress["Resources"]
    nat, group = (resources[name]["Properties"] for name in ("EgressNat", "EgressSecurityGroup"))

    assert nat["AllocationId"] == {"Fn::GetAtt": ["EgressAddress", "AllocationId"]}
    assert resources["EgressPrivateRoute"]["Properties"]["NatGatewayId"] == {"Ref": "EgressNat"}
    subnets = resources["Transfers"]["Properties"]["VpcConfig"]["SubnetIds"]
    assert subnets == [{"Ref": "EgressPrivateSubnet"}]
    assert "SecurityGroupIngress" not in group
    assert [rule["ToPort"] for rule in group["SecurityGroupEgress"]] == [443]
    assert "arn:aws:" not in json.dumps(EGRESS)


def test_cloudformation_would_take_it(egress: dict[str, Any], tmp_path: Path) -> None:
    kept = {*EGRESS["Resources"], *ON_ITS_WAY_OUT}
    resources = {name: one for name, one in egress["Resources"].items() if name in kept}
    outputs = {"TransfersAddress": egress["Outputs"]["TransfersAddress"]}
    role = resources["TransfersRole"]["Properties"]
    chosen = {
        "Parameters": {"RestoredTable": egress["Parameters"]["RestoredTable"]},
        "Conditions": {restored.CONDITION: egress["Conditions"][restored.CONDITION]},
    }
    alone = {**egress, "Resources": resources, "Outputs": outputs, **chosen}
    path = tmp_path / "egress.json"
    path.write_text(json.dumps(alone), encoding="utf-8")

    assert role["Policies"]
    assert _lint(path, "us-east-1", "cn-northwest-1") == ""
