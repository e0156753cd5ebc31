"""The doctor finds what is missing and says what to do; AWS answers by stubs, checked against its own models."""

import json
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from infra import checks, doctor
from infra.checks import Answer, Finding, Handshake, Table

NOW = 1_800_000_000
URL = "https://abc.execute-api.cn-northwest-1.amazonaws.com.cn/api"
RESOURCES = json.loads(doctor.TEMPLATE.read_text(encoding="utf-8"))["Resources"]
UUIDS = ("11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222")
TRUTH = RESOURCES["TruthTable"]["Properties"]


def _explained(given: Answer, *, region: str = "us-east-1") -> Finding:
    return checks.answer(url=f"{URL}/v1/programs", region=region, given=given)


def test_a_base_url_that_lists_programs_is_well_and_reminds_of_wechats_domain_rule() -> None:
    found = _explained(Answer(status=200, body='{"items": []}'))

    assert found.ok
    assert "ICP" in found.do
    assert (
        checks.answer(
            url="https://api.example.com", region="", given=Answer(status=200, body='{"items": []}')
        ).do
        == ""
    )


def test_a_403_in_china_is_explained_by_the_filing_first() -> None:
    found = _explained(Answer(status=403, body='{"Message": null}'), region="cn-northwest-1")

    assert not found.ok
    assert found.do.startswith("In the China regions API Gateway serves")
    assert "NWCD" in found.do
    assert "stage" in found.do


def test_a_403_elsewhere_is_a_route_or_a_mapping() -> None:
    missing = _explained(Answer(status=403, body='{"message":"Missing Authentication Token"}'))
    forbidden = _explained(Answer(status=403, body='{"message":"Forbidden"}'))
    unclear = _explained(Answer(status=403, body=""))

    assert "not deployed under this URL" in missing.do
    assert "base path mapping" in forbidden.do
    assert " Or: " in unclear.do
    assert "ICP" not in missing.do + forbidden.do + unclear.do


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Answer(failure="timed out"), "ICP filing is cut off"),
        (Answer(status=404, body='{"error": {}}'), "needs the stage in its path"),
        (Answer(status=200, body="<html>"), "Something else lives"),
        (Answer(status=200, body='{"hello": 1}'), "Something else lives"),
        (Answer(status=502, body=""), "log group"),
        (Answer(status=418, body="teapot"), "teapot"),
    ],
)
def test_every_other_answer_is_explained(given: Answer, says: str) -> None:
    found = _explained(given)

    assert not found.ok
    assert says in found.do


def test_tls_must_be_modern_trusted_and_not_about_to_end() -> None:
    def judge(given: Handshake) -> bool:
        return checks.tls(host="h", given=given, now=NOW).ok

    assert judge(Handshake(version="TLSv1.3", expires_at=NOW + 30 * checks.DAY))
    assert not judge(Handshake(version="TLSv1.1", expires_at=NOW + 30 * checks.DAY))
    assert not judge(Handshake(version="TLSv1.3", expires_at=NOW + 13 * checks.DAY))
    assert not judge(Handshake(failure="self-signed certificate"))


def _described(properties: dict[str, Any]) -> dict[str, Any]:
    parts = ("KeySchema", "DeletionProtectionEnabled")
    described = {part: properties[part] for part in parts if part in properties}
    indexes = properties.get("GlobalSecondaryIndexes", ())
    described["GlobalSecondaryIndexes"] = [{**index, "IndexStatus": "ACTIVE"} for index in indexes]
    if "StreamSpecification" in properties:
        described["StreamSpecification"] = {"StreamEnabled": True, **properties["StreamSpecification"]}
    return described


TTL = {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
BACKUPS = {
    "ContinuousBackupsStatus": "ENABLED",
    "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"},
}


def _judge(**changes: Any) -> list[Finding]:
    found = {"name": "t", "described": _described(TRUTH), "ttl": TTL, "backups": BACKUPS} | changes
    return checks.table(wanted=TRUTH, found=Table(**found))


def test_a_table_made_from_the_template_is_well() -> None:
    assert [finding.ok for finding in _judge()] == [True]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"described": {}}, "There is no table"),
        (
            {"described": _described(TRUTH) | {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}},
            "the keys are",
        ),
        ({"described": _described(TRUTH) | {"GlobalSecondaryIndexes": []}}, "the index due is missing"),
        (
            {"described": _described(TRUTH) | {"StreamSpecification": {"StreamEnabled": False}}},
            "its stream is not on",
        ),
        (
            {"described": _described(TRUTH) | {"DeletionProtectionEnabled": False}},
            "deletion protection is off",
        ),
        ({"ttl": {"TimeToLiveStatus": "DISABLED"}}, "TTL on ttl is not enabled"),
        ({"backups": {}}, "point-in-time recovery is off"),
    ],
)
def test_a_table_that_differs_is_told_how(changes: dict[str, Any], says: str) -> None:
    findings = _judge(**changes)

    assert not any(finding.ok for finding in findings)
    assert any(says in finding.what for finding in findings)
    assert all(finding.do for finding in findings)


def test_an_index_that_is_building_or_carries_other_attributes_is_told() -> None:
    described = _described(TRUTH)
    described["GlobalSecondaryIndexes"][0] |= {
        "IndexStatus": "CREATING",
        "Projection": {"ProjectionType": "ALL"},
    }

    said = " ".join(finding.what for finding in _judge(described=described))

    assert "index due carries" in said
    assert "is CREATING" in said


MAPPED = {
    "FunctionArn": "arn:aws-cn:lambda:cn-northwest-1:123456789012:function:react",
    "State": "Enabled",
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "DestinationConfig": {
        "OnFailure": {"Destination": "arn:aws-cn:sqs:cn-northwest-1:123456789012:failures"}
    },
}


def test_stream_handlers_must_be_connected_enabled_and_safe_against_bad_records() -> None:
    broken = {
        "FunctionArn": "f",
        "State": "Disabled",
        "LastProcessingResult": "PROBLEM: Function call failed",
    }

    assert all(finding.ok for finding in checks.mappings(wanted=2, found=[MAPPED, MAPPED]))
    (wrong,) = checks.mappings(wanted=1, found=[broken])
    assert all(
        part in wrong.what for part in ("Disabled", "PROBLEM", "ReportBatchItemFailures", "failure queue")
    )
    assert "0 of 2" in checks.mappings(wanted=2, found=[])[0].what


def test_secrets_must_be_there_and_encrypted() -> None:
    found = {"session_keys": "SecureString", "link_key": "String"}
    well, plain, _, missing, no_login, later = checks.secrets(path="/liebian/dev", found=found)

    assert well.ok
    assert not plain.ok
    assert "plain String" in plain.what
    assert not missing.ok
    assert "put-parameter --type SecureString --name /liebian/dev/mall_secrets" in missing.do
    assert not no_login.ok
    assert "--name /liebian/dev/wechat/<program>" in no_login.do
    assert later.ok
    assert "payee_keys" in later.what


def test_every_secret_of_a_program_is_looked_at() -> None:
    found = {
        **dict.fromkeys(checks.SECRETS, "SecureString"),
        "wechat/a": "SecureString",
        "wechat/b": "String",
    }

    *_, good, bad, sealing = checks.secrets(path="/p", found={**found, "payee_keys": "SecureString"})

    assert (good.ok, bad.ok, sealing.ok) == (True, False, True)
    assert "/p/wechat/b is a plain String" in bad.what


def test_money_that_is_held_back_is_told() -> None:
    off = {"state": "off", "at": "1800000000", "by": "Olivia", "why": "a restore"}

    assert checks.money_out({}).ok and checks.money_out({**off, "state": "on"}).ok
    told = checks.money_out(off)
    assert not told.ok
    assert "by Olivia: a restore" in told.what


def test_the_report_counts_what_needs_attention() -> None:
    well, wrong = Finding(ok=True, what="fine"), Finding(ok=False, what="broken", do="mend it")

    assert checks.report([well]).endswith("All is well.")
    assert "→ mend it" in checks.report([well, wrong])
    assert checks.report([well, wrong]).endswith("1 of 2 need your attention.")


class Stubs:
    """Clients of one region that answer what was planned, in order; each call is checked against AWS's model."""

    def __init__(self) -> None:
        session = botocore.session.get_session()
        session.set_credentials("none", "none")
        names = ("cloudformation", "dynamodb", "lambda", "ssm")
        self._clients = {name: session.create_client(name, region_name="cn-northwest-1") for name in names}
        self.plans = {name: Stubber(client) for name, client in self._clients.items()}
        for plan in self.plans.values():
            plan.activate()

    def __call__(self, service: str) -> Any:
        return self._clients[service]


STACK = {
    "TruthTable": ("AWS::DynamoDB::Table", "truth-1"),
    "TrafficTable": ("AWS::DynamoDB::Table", "traffic-1"),
    "ReactReactDynamodbEventSource": ("AWS::Lambda::EventSourceMapping", UUIDS[0]),
    "DeliverDeliverDynamodbEventSource": ("AWS::Lambda::EventSourceMapping", UUIDS[1]),
}


def _plan_stack(stubs: Stubs) -> None:
    plan, asked = stubs.plans["cloudformation"], {"StackName": "liebian-dev"}
    said = {"EndpointURL": f"{URL}/", "TransfersAddress": "203.0.113.9"}
    outputs = [{"OutputKey": key, "OutputValue": value} for key, value in said.items()]
    stack = {**asked, "CreationTime": 0, "StackStatus": "CREATE_COMPLETE", "Outputs": outputs}
    plan.add_response("describe_stacks", {"Stacks": [stack]}, asked)
    done = {"LastUpdatedTimestamp": 0, "ResourceStatus": "CREATE_COMPLETE"}
    resources = [
        {"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": found, **done}
        for name, (kind, found) in STACK.items()
    ]
    plan.add_response("list_stack_resources", {"StackResourceSummaries": resources}, asked)


def _plan_tables(stubs: Stubs) -> None:
    plan = stubs.plans["dynamodb"]
    for name, kind in (("truth-1", "TruthTable"), ("traffic-1", "TrafficTable")):
        asked = {"TableName": name}
        plan.add_response("describe_table", {"Table": _described(RESOURCES[kind]["Properties"])}, asked)
        plan.add_response("describe_time_to_live", {"TimeToLiveDescription": TTL}, asked)
        plan.add_response("describe_continuous_backups", {"ContinuousBackupsDescription": BACKUPS}, asked)


def _plan_rest(stubs: Stubs) -> None:
    for uuid in UUIDS:
        stubs.plans["lambda"].add_response("get_event_source_mapping", MAPPED, {"UUID": uuid})
    names = [f"/liebian/dev/{name}" for name in (*checks.SECRETS, "wechat/demo")]
    asked = {"Path": "/liebian/dev", "Recursive": True, "WithDecryption": False}
    found = {"Parameters": [{"Name": name, "Type": "SecureString"} for name in names]}
    stubs.plans["ssm"].add_response("get_parameters_by_path", found, asked)


def _plan_programs(stubs: Stubs) -> None:
    told = {"program_id": "demo", "appid": "wx1", "secret_name": "demo"}
    items = [{name: {"S": value} for name, value in told.items()}, {"n": {"N": "1"}}]
    stubs.plans["dynamodb"].add_response("query", {"Items": items})
    stubs.plans["dynamodb"].add_response("get_item", {})


@pytest.fixture
def phone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The base URL answers; the list says which were asked."""
    asked: list[str] = []

    def fetch(url: str) -> Answer:
        asked.append(url)
        return Answer(status=200, body='{"items": []}')

    monkeypatch.setattr(doctor, "shake", lambda *_: Handshake(version="TLSv1.3", expires_at=2**40))
    monkeypatch.setattr(doctor, "fetch", fetch)
    return asked


def test_a_deployment_by_the_template_is_well(phone: list[str]) -> None:
    stubs = Stubs()
    _plan_stack(stubs)
    _plan_tables(stubs)
    _plan_programs(stubs)
    _plan_rest(stubs)

    findings = doctor.examine(stage="dev", region="cn-northwest-1", base_url="", clients=stubs)

    assert [finding.what for finding in findings if not finding.ok] == []
    assert phone == [f"{URL}/v1/programs"]
    (leaves,) = [one for one in findings if one.what == "Transfers leave from 203.0.113.9"]
    assert "接口IP" in leaves.do
    for plan in stubs.plans.values():
        plan.assert_no_pending_responses()


def test_what_may_not_be_looked_at_is_a_finding_and_the_rest_goes_on(phone: list[str]) -> None:
    stubs = Stubs()
    _plan_stack(stubs)
    stubs.plans["dynamodb"].add_client_error("describe_table", "AccessDeniedException", "may not")
    _plan_programs(stubs)
    _plan_rest(stubs)

    findings = doctor.examine(
        stage="dev", region="cn-northwest-1", base_url="https://x.example", clients=stubs
    )

    (wrong,) = [finding for finding in findings if not finding.ok]
    assert wrong.what.startswith("Could not look at the tables")
    assert phone == ["https://x.example/v1/programs"]


def test_a_missing_table_is_found(phone: list[str]) -> None:
    stubs = Stubs()
    _plan_stack(stubs)
    for _ in ("truth", "traffic"):
        stubs.plans["dynamodb"].add_client_error("describe_table", "ResourceNotFoundException")
    _plan_programs(stubs)
    _plan_rest(stubs)

    findings = doctor.examine(stage="dev", region="cn-northwest-1", base_url="", clients=stubs)

    assert [finding.what for finding in findings if not finding.ok] == [
        "There is no table truth-1",
        "There is no table traffic-1",
    ]
    assert phone


def test_no_deployment_is_one_finding_that_says_so(phone: list[str]) -> None:
    stubs = Stubs()
    error = "Stack with id liebian-dev does not exist"
    stubs.plans["cloudformation"].add_client_error("describe_stacks", "ValidationError", error)

    (finding,) = doctor.examine(stage="dev", region="cn-northwest-1", base_url="", clients=stubs)

    assert "there is no stack liebian-dev" in finding.what
    assert not phone


def test_a_deployment_by_chalice_itself_is_found_by_its_record() -> None:
    record = {
        "resources": [
            {"name": "rest_api", "resource_type": "rest_api", "rest_api_url": f"{URL}/"},
            {"name": "react", "resource_type": "dynamodb_event", "event_uuid": UUIDS[0]},
        ]
    }

    found = doctor.from_record("dev", record)

    assert found.base_url == f"{URL}/"
    assert found.tables["TruthTable"] == "liebian-dev-truth"
    assert found.mappings == [UUIDS[0]]


def test_a_base_url_without_tls_is_refused_before_it_is_asked(phone: list[str]) -> None:
    (finding,) = doctor.reach("http://api.example.com", "us-east-1")

    assert "only https" in finding.do
    assert not phone
