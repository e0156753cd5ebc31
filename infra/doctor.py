"""`python -m infra.doctor STAGE`: looks at a deployment and says in words what is missing and what to do.

    python -m infra.doctor dev --region cn-northwest-1 [--base-url https://api.example.com] [--ask-wechat]

The region may come from AWS_REGION or AWS_DEFAULT_REGION instead.

It only reads, with the AWS account and role that the environment gives, and reads no secret's value; but with
--ask-wechat, which asks WeChat itself whether it knows the programs and the merchant by their secrets. The stack
liebian-<stage> says what to look at; after plain `chalice deploy` it is .chalice/deployed/<stage>.json.
Exit code 1 when anything is missing. The judging is in `infra.checks`; this file only looks.
"""

import argparse
import functools
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from chalicelib.core import config, moneyout
from infra import checks, going_live
from infra.checks import Answer, Finding, Handshake, Table

CHALICE = Path(__file__).resolve().parent.parent / ".chalice"
CONFIG = CHALICE / "config.json"
TEMPLATE = Path(__file__).with_name("template.json")
TIMEOUT_S = 10
Clients = Callable[[str], Any]


class NotFound(Exception):
    """There is no deployment of this stage."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where the parts of one deployment are; ``tables`` by their name in the template.

    ``address`` is where transfers leave from, if the stack has one.
    """

    base_url: str
    tables: dict[str, str]
    mappings: list[str]
    outputs: dict[str, str] = field(default_factory=dict)


def examine(
    *, stage: str, region: str, base_url: str, clients: Clients, ask_wechat: bool = False
) -> list[Finding]:
    """All findings of one stage."""
    try:
        there = find(stage=stage, clients=clients)
    except Exception as failure:
        unseen = _unseen("the deployment", failure)
        return [unseen, *(reach(base_url, region) if base_url else [])]
    secrets = functools.cache(lambda: _names(f"/liebian/{stage}", clients("ssm")))
    looks: dict[str, Callable[[], list[Finding]]] = {
        "the base URL": lambda: reach(base_url or there.base_url, region),
        "the tables": lambda: _tables(there.tables, clients("dynamodb")),
        "the stream handlers": lambda: _mappings(there.mappings, clients("lambda")),
        "the secrets": lambda: checks.secrets(path=f"/liebian/{stage}", found=secrets()),
        "WeChat": lambda: _wechat(
            there,
            {**environment(stage), "AWS_REGION": region},
            secrets(),
            clients("dynamodb"),
            ask=ask_wechat,
        ),
        "whether money goes out": lambda: [_money_out(there.tables["TruthTable"], clients("dynamodb"))],
    }
    return [finding for what, look in looks.items() for finding in _look(what, look)]


def _look(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    # Whatever goes wrong with one look is a finding, and the others go on.
    try:
        return look()
    except Exception as failure:
        return [_unseen(what, failure)]


def _unseen(what: str, failure: Exception) -> Finding:
    do = "Is AWS set up here (`aws sts get-caller-identity`), for this account and region, and may it read this?"
    return Finding(ok=False, what=f"Could not look at {what}: {failure}", do=do)


def environment(stage: str) -> dict[str, str]:
    """What .chalice/config.json tells the functions of a stage."""
    given = json.loads(CONFIG.read_text(encoding="utf-8"))
    return {
        **given["environment_variables"],
        **given["stages"].get(stage, {}).get("environment_variables", {}),
    }


def configured(stage: str) -> str:
    """The base URL that the stage is told; empty when it derives its own."""
    return environment(stage).get("BASE_URL", "")


def _wechat(
    there: Deployment, told: dict[str, str], secrets: dict[str, str], tables: Any, *, ask: bool
) -> list[Finding]:
    settings = config.read(told)
    programs = going_live.read_programs(
        tables.query(
            TableName=there.tables.get("TruthTable", settings.truth_table),
            KeyConditionExpression="pk = :programs",
            ExpressionAttributeValues={":programs": {"S": "PROGRAMS"}},
        )["Items"]
    )
    found = going_live.examined(settings, secrets=secrets, programs=programs, outputs=there.outputs)
    if ask:
        os.environ.update(told)
        config.reset()
        found += going_live.ask(settings, programs=programs, now=int(time.time()))
    return found


def find(*, stage: str, clients: Clients) -> Deployment:
    """Where the parts of this stage are.

    Raises:
        NotFound: neither a stack nor a record of `chalice deploy`.
    """
    recorded = CHALICE / "deployed" / f"{stage}.json"
    if recorded.exists():
        return from_record(stage, json.loads(recorded.read_text(encoding="utf-8")))
    client, stack = clients("cloudformation"), f"liebian-{stage}"
    try:
        outputs = client.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
    except client.exceptions.ClientError as failure:
        if "does not exist" not in str(failure):
            raise
        raise NotFound(f"there is no stack {stack} in this region") from failure
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = [one for page in pages for one in page["StackResourceSummaries"]]
    return _from_stack({one["OutputKey"]: one["OutputValue"] for one in outputs}, resources)


def _from_stack(outputs: dict[str, str], resources: list[dict[str, Any]]) -> Deployment:
    kinds = {
        one["LogicalResourceId"]: (one["ResourceType"], one.get("PhysicalResourceId", ""))
        for one in resources
    }
    tables = {name: found for name, (kind, found) in kinds.items() if kind == "AWS::DynamoDB::Table"}
    return Deployment(
        base_url=outputs.get("EndpointURL", ""),
        tables={
            **tables,
            "TruthTable": outputs.get("TruthTableName", tables.get("TruthTable", "TruthTable")),
        },
        mappings=[found for kind, found in kinds.values() if kind == "AWS::Lambda::EventSourceMapping"],
        outputs=outputs,
    )


def from_record(stage: str, record: dict[str, Any]) -> Deployment:
    resources = record["resources"]
    return Deployment(
        base_url=next((one["rest_api_url"] for one in resources if "rest_api_url" in one), ""),
        tables={"TruthTable": f"liebian-{stage}-truth", "TrafficTable": f"liebian-{stage}-traffic"},
        mappings=[one["event_uuid"] for one in resources if one["resource_type"] == "dynamodb_event"],
    )


def reach(base_url: str, region: str) -> list[Finding]:
    parts = urlsplit(base_url)
    if parts.scheme != "https" or not parts.hostname:
        do = "wx.request takes only https. Give it with --base-url, or set BASE_URL for the stage and deploy."
        return [Finding(ok=False, what=f"The base URL is {base_url!r}", do=do)]
    handshake = shake(parts.hostname, parts.port or 443)
    url = f"{base_url.rstrip('/')}/v1/programs"
    return [
        checks.tls(host=parts.hostname, given=handshake, now=int(time.time())),
        checks.answer(url=url, region=region, given=fetch(url)),
    ]


def shake(host: str, port: int) -> Handshake:
    """The TLS handshake that a phone would make."""
    try:
        with (
            socket.create_connection((host, port), timeout=TIMEOUT_S) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            ends = str((wrapped.getpeercert() or {}).get("notAfter", ""))
            return Handshake(version=wrapped.version() or "", expires_at=int(ssl.cert_time_to_seconds(ends)))
    except (OSError, ValueError) as failure:
        return Handshake(failure=str(failure))


def fetch(url: str) -> Answer:
    """What GET ``url`` answers, whatever its status."""
    try:
        with urlopen(Request(url, headers={"Accept": "application/json"}), timeout=TIMEOUT_S) as found:  # noqa: S310 - the operator says where
            return Answer(status=found.status, body=found.read(100_000).decode(errors="replace"))
    except HTTPError as refused:
        return Answer(status=refused.code, body=refused.read(100_000).decode(errors="replace"))
    except (OSError, HTTPException) as failure:
        return Answer(failure=str(failure))


def _tables(names: dict[str, str], client: Any) -> list[Finding]:
    given = json.loads(TEMPLATE.read_text(encoding="utf-8"))["Resources"]
    wanted = {
        name: one["Properties"] for name, one in given.items() if one.get("Type") == "AWS::DynamoDB::Table"
    }
    return [
        finding
        for name, properties in wanted.items()
        for finding in checks.table(wanted=properties, found=_describe(names.get(name, name), client))
    ]


def _describe(name: str, client: Any) -> Table:
    try:
        described = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return Table(name=name)
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    return Table(name=name, described=described, ttl=ttl, backups=backups)


def _money_out(name: str, client: Any) -> Finding:
    pk, sk = moneyout.KEY
    found = client.get_item(TableName=name, Key={"pk": {"S": pk}, "sk": {"S": sk}}).get("Item", {})
    return checks.money_out({part: next(iter(value.values())) for part, value in found.items()})


def _mappings(ids: list[str], client: Any) -> list[Finding]:
    given = json.loads(TEMPLATE.read_text(encoding="utf-8"))["Resources"]
    wanted = sum("Events" in one["Properties"] for one in given.values())
    return checks.mappings(wanted=wanted, found=[client.get_event_source_mapping(UUID=one) for one in ids])


def _names(path: str, client: Any) -> dict[str, str]:
    """The types of the secrets under a path, by name."""
    pages = client.get_paginator("get_parameters_by_path").paginate(
        Path=path, Recursive=True, WithDecryption=False
    )
    return {one["Name"].removeprefix(f"{path}/"): one["Type"] for page in pages for one in page["Parameters"]}


def _clients(region: str) -> Clients:
    import botocore.session  # noqa: PLC0415 - the checks above are tested without it

    session = botocore.session.get_session()
    return lambda service: session.create_client(service, region_name=region)


def main() -> None:
    """Print the findings of one stage."""
    parser = argparse.ArgumentParser(prog="python -m infra.doctor", description="What a deployment lacks.")
    parser.add_argument("stage")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    parser.add_argument("--region", required=not region, default=region)
    parser.add_argument("--base-url", default="", help="the custom domain, when the stage has one")
    parser.add_argument("--ask-wechat", action="store_true", help="ask WeChat, with the secrets of the stage")
    given = parser.parse_args()
    base_url = given.base_url or configured(given.stage)
    clients = _clients(given.region)
    findings = examine(
        stage=given.stage,
        region=given.region,
        base_url=base_url,
        clients=clients,
        ask_wechat=given.ask_wechat,
    )
    print(checks.report(findings))
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


if __name__ == "__main__":
    main()
