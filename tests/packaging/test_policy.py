"""The functions may do what the code does, and no more than is named."""

import ast
import functools
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from chalicelib.core.config import Settings
from infra import checks, policy, tables

ROOT = Path(policy.__file__).parents[1]
STAGES = ("dev", "prod")

# Where the permission is not named like the call.
NEEDED = {
    "dynamodb:BatchWriteItem": {"dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:DeleteItem"},
    "s3:CopyObject": {"s3:GetObject", "s3:PutObject"},
    "dynamodb:TransactGetItems": {"dynamodb:GetItem"},
    "dynamodb:TransactWriteItems": {
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    },
}
POWERTOOLS = {
    "get_parameter": "ssm:GetParameter",
    "get_parameters": "ssm:GetParametersByPath",
    "get_parameters_by_name": "ssm:GetParameters",
    "get_secret": "secretsmanager:GetSecretValue",
    "get_app_config": "appconfig:GetLatestConfiguration",
}


def _trees() -> Iterator[ast.AST]:
    for path in [ROOT / "app.py", *sorted((ROOT / "chalicelib").rglob("*.py"))]:
        if path.exists():
            yield ast.parse(path.read_text(encoding="utf-8"))


def _services(tree: ast.AST) -> set[str]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        str(call.args[0].value)
        for call in calls
        if _name(call.func) in {"create_client", "client", "resource"}
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _calls(tree: ast.AST, methods: dict[str, str]) -> set[str]:
    nodes = list(ast.walk(tree))
    called = {_name(node.func) for node in nodes if isinstance(node, ast.Call)}
    passed_on = {node.attr for node in nodes if isinstance(node, ast.Attribute) and _is_client(node.value)}
    by_text = {str(node.value) for node in nodes if isinstance(node, ast.Constant) and "_" in str(node.value)}
    return {action for method, action in methods.items() if method in called | passed_on | by_text}


def _is_client(node: ast.AST) -> bool:
    return _name(node.func if isinstance(node, ast.Call) else node).endswith("client")


def _methods(services: set[str]) -> dict[str, str]:
    session = botocore.session.get_session()
    return {
        xform_name(operation): f"{service}:{operation}"
        for service in services
        for operation in session.get_service_model(service).operation_names
    }


def _imported_from_powertools(tree: ast.AST) -> set[str]:
    return {
        POWERTOOLS[name.name]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "aws_lambda_powertools.utilities.parameters"
        for name in node.names
    }


@functools.cache
def _used() -> set[str]:
    trees = list(_trees())
    methods = _methods(set().union(*map(_services, trees)))
    calls = set().union(*(_calls(tree, methods) | _imported_from_powertools(tree) for tree in trees))
    return set().union(*(NEEDED.get(call, {call}) for call in calls))


def _allowed(document: dict[str, Any]) -> set[str]:
    return {action for statement in document["Statement"] for action in statement["Action"]}


def test_the_search_sees_what_the_code_calls() -> None:
    assert {"dynamodb:GetItem", "dynamodb:ConditionCheckItem", "dynamodb:Query"} <= _used()
    assert "ssm:GetParametersByPath" in _used()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("streams", [False, True])
def test_all_that_the_code_calls_is_allowed(stage: str, streams: bool) -> None:
    assert _used() - _allowed(policy.packaged(stage=stage, streams=streams)) == set()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("streams", [False, True])
def test_the_files_are_what_the_module_says(stage: str, streams: bool) -> None:
    written = (policy.FOLDER / policy.file_of(stage=stage, streams=streams)).read_text(encoding="utf-8")

    # `python -m infra.policy STAGE --write` makes them so again.
    assert written == policy.text_of(policy.packaged(stage=stage, streams=streams))


def test_stages_are_configured_alike_and_each_function_has_its_policy() -> None:
    config = json.loads((policy.FOLDER / "config.json").read_text(encoding="utf-8"))

    assert config["autogen_policy"] is False
    dev, prod = (json.dumps(config["stages"][stage]) for stage in STAGES)
    assert dev.replace("dev", "prod") == prod
    for stage in STAGES:
        functions = config["stages"][stage]["lambda_functions"]
        files = {name: one["iam_policy_file"] for name, one in functions.items()}
        assert files == dict.fromkeys(("deliver", "react"), policy.file_of(stage=stage, streams=True))


def test_every_index_of_the_template_may_be_queried() -> None:
    truth = tables.template(stage="dev")["Resources"]["TruthTable"]["Properties"]

    assert {index["IndexName"] for index in truth["GlobalSecondaryIndexes"]} == set(policy.INDEXES)


def test_every_setting_is_explained() -> None:
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    names = {"AWS_REGION" if field.name == "region" else field.name.upper() for field in fields(Settings)}
    files = json.loads((policy.FOLDER / "config.json").read_text(encoding="utf-8"))["environment_variables"]

    assert sorted(name for name in names if f"`{name}`" not in page) == []
    assert set(files) - {name for name in files if name.startswith("POWERTOOLS_")} <= names
    assert all(f"`{name}`" in page for name in checks.SECRETS)


def test_literal_policies_are_for_one_account_region_and_stage() -> None:
    document = policy.literal(stage="dev", streams=True, region="cn-north-1", account="123456789012")
    resources = [arn for statement in document["Statement"] for arn in statement["Resource"]]

    buckets = [arn for arn in resources if ":s3:" in arn]
    assert buckets == [
        f"arn:aws-cn:s3:::liebian-dev-pictures-123456789012/{name}/*"
        for name in (*policy.PREFIXES, "checking", "uploads")
    ]
    assert all(arn.startswith("arn:aws-cn:") for arn in resources)
    assert all(":cn-north-1:123456789012:" in arn for arn in resources if arn not in buckets)
    assert all("liebian" in arn and "dev" in arn and "$" not in arn for arn in resources)
    assert policy.partition_of("us-gov-west-1") == "aws-us-gov"
    assert policy.partition_of("eu-west-1") == "aws"
