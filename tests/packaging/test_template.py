"""What CloudFormation is given, in both partitions."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core import deliveries
from chalicelib.core.errors import AppError
from infra import alarms, gateway, tables
from infra import package as packaging
from infra.policy import PREFIXES
from infra.restore import template as restored
from tests.packaging.conftest import Package


def test_both_partitions_are_served_by_one_template(packages: dict[str, Package]) -> None:
    global_text, china_text = (packages[region].text for region in ("us-east-1", "cn-northwest-1"))

    assert "arn:aws:" not in global_text + china_text
    assert "EDGE" not in global_text + china_text
    assert not re.search(r"x-?ray|Tracing|AWS::Lambda::Url", global_text + china_text, re.IGNORECASE)
    # The dashboard is JSON within JSON: there the quote behind the name is escaped.
    written = ('"dev"', '"dev\\', "/dev", "=dev:")
    for one in written:
        global_text = global_text.replace(one, one.replace("dev", "prod"))
    assert global_text == china_text


def test_the_api_is_regional_and_answers_under_one_stage(package: Package) -> None:
    (api,) = package.of_type("AWS::Serverless::Api").values()

    assert api["EndpointConfiguration"] == "REGIONAL"
    assert api["StageName"] == "api"
    # Without it SAM makes a second stage called Stage.
    assert api["OpenApiVersion"] == "2.0"


def test_no_policy_allows_everything(package: Package) -> None:
    for name, role in package.of_type("AWS::IAM::Role").items():
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert set(statement) == {"Sid", "Effect", "Action", "Resource"}, name
                assert all("*" not in action for action in statement["Action"]), (name, statement)
                assert all(_resource(arn) != "*" for arn in statement["Resource"]), (name, statement)


def _resource(arn: Any) -> str:
    return str(arn["Fn::Sub"]) if isinstance(arn, dict) else str(arn)


def test_only_the_stream_handlers_may_read_the_stream(package: Package) -> None:
    for name, function in package.functions.items():
        role = package.resources[function["Role"]["Fn::GetAtt"][0]]["Properties"]
        may_read = "dynamodb:GetRecords" in json.dumps(role)
        assert may_read == alarms.reads_stream(function), name


def test_every_stream_handler_survives_a_record_that_always_fails(package: Package) -> None:
    sources = {
        name: event["Properties"]
        for name, function in package.functions.items()
        for event in function.get("Events", {}).values()
        if event["Type"] == "DynamoDB"
    }

    assert set(sources) == {"React", "Deliver"}  # a stream shard bears two readers
    for name, source in sources.items():
        assert source["Stream"] == restored.STREAM, name
        assert source["StartingPosition"] == "TRIM_HORIZON", name
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"], name
        assert source["BisectBatchOnFunctionError"] is True, name
        assert source["MaximumRetryAttempts"] == 10, name
        assert source["DestinationConfig"]["OnFailure"]["Destination"] == {
            "Fn::GetAtt": ["StreamFailures", "Arn"]
        }


def test_the_stream_is_filtered_to_what_each_handler_acts_on(package: Package) -> None:
    react, deliver = (_filters(package, name) for name in ("React", "Deliver"))
    kind = deliveries.Delivery.kind.get_discriminator(deliveries.Delivery)

    of_rooms = {"NewImage": {"kind": {"S": [{"anything-but": ["lease", "marker"]}]}}}
    assert react == [{"eventName": ["INSERT", "MODIFY"], "dynamodb": of_rooms}]
    assert deliver == [{"eventName": ["INSERT"], "dynamodb": {"NewImage": {"kind": {"S": [kind]}}}}]


def _filters(package: Package, name: str) -> list[Any]:
    source = package.functions[name]["Events"][f"{name}DynamodbEventSource"]["Properties"]
    return [json.loads(one["Pattern"]) for one in source["FilterCriteria"]["Filters"]]


def test_every_function_knows_its_tables_its_stage_and_where_secrets_are(package: Package) -> None:
    for name, function in package.functions.items():
        variables = function["Environment"]["Variables"]
        assert variables["TRUTH_TABLE"] == restored.NAME, name
        assert variables["TRAFFIC_TABLE"] == {"Ref": "TrafficTable"}, name
        assert variables["STAGE"] == package.stage, name
        assert variables["SECRETS"] == f"ssm:/liebian/{package.stage}", name
        assert not [key for key in variables if key.startswith("SECRET_")], name


def test_a_restored_table_stands_in_wherever_the_stacks_own_does(package: Package) -> None:
    template = json.loads(package.text)
    others = {name: one for name, one in template["Resources"].items() if name != restored.OWN}
    told = json.dumps([others, template["Outputs"]])

    assert template["Parameters"]["RestoredTable"]["Default"] == ""
    chosen = told.count('{"Ref": "TruthTable"}') + told.count('"Fn::GetAtt": ["TruthTable"')
    assert chosen == told.count(f'"Fn::If": ["{restored.CONDITION}"') > len(package.functions)
    assert "TruthTable.Arn" not in told
    assert template["Resources"][restored.OWN]["DeletionPolicy"] == "Retain"


def test_the_bucket_is_there_when_asked_for_and_nobodys_but_ours(package: Package) -> None:
    template = json.loads(package.text)
    bucket = template["Resources"]["PicturesBucket"]
    name = bucket["Properties"]["BucketName"]["Fn::Sub"]

    assert template["Parameters"]["Pictures"]["Default"] == "rows"
    assert (bucket["Condition"], bucket["DeletionPolicy"]) == ("PicturesInBucket", "Retain")
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert "CorsConfiguration" not in bucket["Properties"]
    for name_of, function in package.functions.items():
        used = function["Environment"]["Variables"]["PICTURES_BUCKET"]
        assert used == {"Fn::If": ["PicturesInBucket", {"Ref": "PicturesBucket"}, ""]}, name_of
        role = package.resources[function["Role"]["Fn::GetAtt"][0]]["Properties"]
        (pictures,) = [
            one
            for policy in role["Policies"]
            for one in policy["PolicyDocument"]["Statement"]
            if one["Sid"] == "Pictures"
        ]
        wanted = [f"arn:${{AWS::Partition}}:s3:::{name}/{prefix}/*" for prefix in PREFIXES]
        assert [arn["Fn::Sub"] for arn in pictures["Resource"]] == wanted, name_of


def test_every_function_has_memory_to_start_quickly_and_a_time_that_ends_before_its_caller_gives_up(
    package: Package,
) -> None:
    for name, function in package.functions.items():
        assert function["MemorySize"] >= 512, name
        schedules = [one for one in function.get("Events", {}).values() if one["Type"] == "Schedule"]
        assert function["Timeout"] < 60 or not schedules, name
    assert package.functions["APIHandler"]["Timeout"] < 29


def test_every_function_writes_to_a_log_group_that_forgets(package: Package) -> None:
    groups = package.of_type("AWS::Logs::LogGroup")

    assert len(groups) == len(package.functions)
    for name, function in package.functions.items():
        group = groups[function["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group == {
            "LogGroupName": {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}/{name}"},
            "RetentionInDays": 30,
        }


def test_every_function_stream_table_and_queue_has_its_alarm(package: Package) -> None:
    watched = {_watched(alarm) for alarm in package.of_type("AWS::CloudWatch::Alarm").values()}

    assert watched >= {("Errors", name) for name in package.functions}
    assert watched >= {("IteratorAge", "React"), ("IteratorAge", "Deliver")}
    assert watched >= {("WriteThrottleEvents", name) for name in ("TruthTable", "TrafficTable")}
    assert watched >= {("WriteThrottleEvents", f"TruthTable/{index}") for index in ("due", "owner", "rank")}
    assert ("ApproximateNumberOfMessagesVisible", "StreamFailures") in watched
    assert ("5XXError", "AWS::StackName") in watched


def _watched(alarm: dict[str, Any]) -> tuple[str, str]:
    named = [one["Value"] for one in alarm["Dimensions"] if one["Name"] != "Stage"]
    values = [{"Ref": restored.OWN} if value == restored.NAME else value for value in named]
    names = [value if isinstance(value, str) else next(iter(value.values())) for value in values]
    return alarm["MetricName"], "/".join(name if isinstance(name, str) else name[0] for name in names)


def test_pictures_leave_as_bytes(package: Package) -> None:
    (api,) = package.of_type("AWS::Serverless::Api").values()

    # By the first Accept type alone API Gateway decides what is binary, and <img> does not send image/png first.
    assert api["DefinitionBody"]["x-amazon-apigateway-binary-media-types"] == ["*/*"]


def test_every_path_and_method_is_one_resource_of_the_one_function(package: Package) -> None:
    (api,) = package.of_type("AWS::Serverless::Api").values()
    paths = api["DefinitionBody"]["paths"]

    # An account has 300 resources for an API unless it asks for more; the app alone knows its routes.
    assert list(paths) == ["/", "/{proxy+}"]
    for path, methods in paths.items():
        assert list(methods) == ["x-amazon-apigateway-any-method"], path
        called = methods["x-amazon-apigateway-any-method"]["x-amazon-apigateway-integration"]
        assert (called["type"], called["httpMethod"]) == ("aws_proxy", "POST"), path
        assert "functions/${APIHandler.Arn}/invocations" in called["uri"]["Fn::Sub"], path
    (allowed,) = package.of_type("AWS::Lambda::Permission").values()
    assert allowed["FunctionName"] == {"Ref": "APIHandler"}
    # <api>/<stage>/<method>/<path>: whatever of this API.
    source, names = allowed["SourceArn"]["Fn::Sub"]
    assert source.endswith(":${RestAPIId}/*")
    assert names == {"RestAPIId": {"Ref": "RestAPI"}}


def test_the_gateway_refuses_in_the_envelope_of_the_app_and_a_page_may_read_it(package: Package) -> None:
    (api,) = package.of_type("AWS::Serverless::Api").values()
    responses = api["GatewayResponses"]

    expected = {
        "MISSING_AUTHENTICATION_TOKEN": ("404", "not_found"),
        "THROTTLED": ("429", "too_many_requests"),
    }
    expected |= {"REQUEST_TOO_LARGE": ("413", "too_large"), "INTEGRATION_TIMEOUT": ("503", "busy")}
    assert {name: _said(responses[name]) for name in expected} == expected
    for name, kind in {**gateway.REFUSALS, **gateway.DEFAULTS}.items():
        _check_envelope(responses[name], kind)


def _said(response: dict[str, Any]) -> tuple[str, str]:
    return response["StatusCode"], json.loads(response["ResponseTemplates"]["application/json"])["error"][
        "code"
    ]


def _check_envelope(response: dict[str, Any], kind: type[AppError]) -> None:
    error = json.loads(response["ResponseTemplates"]["application/json"])["error"]
    assert set(error) == {"code", "message", "details", "request_id"}
    assert (error["code"], error["details"]) == (kind.code, {})
    assert error["request_id"] == "$context.requestId"
    assert kind.zh in error["message"]
    assert kind.en in error["message"]
    assert response["ResponseParameters"]["Headers"]["Access-Control-Allow-Origin"] == "'*'"


def test_the_api_is_throttled_below_the_quota_of_an_account(package: Package) -> None:
    (api,) = package.of_type("AWS::Serverless::Api").values()
    parameters = json.loads(package.text)["Parameters"]

    (setting,) = api["MethodSettings"]
    assert (setting["HttpMethod"], setting["ResourcePath"]) == ("*", "/*")
    assert setting["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    assert setting["ThrottlingBurstLimit"] == {"Ref": "RequestBurst"}
    assert parameters["RequestsPerSecond"]["Default"] <= 2500
    assert parameters["RequestBurst"]["Default"] <= 1250


def test_a_handler_that_is_gone_from_the_app_is_named() -> None:
    with pytest.raises(ValueError, match="adds to Deliver"):
        packaging.finish({"Resources": {"Deliver": {"Properties": {}}}})


def test_truth_outlives_the_stack(package: Package) -> None:
    truth = package.resources["TruthTable"]

    assert (truth["DeletionPolicy"], truth["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert truth["Properties"]["DeletionProtectionEnabled"] is True
    assert truth["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_cloudformation_would_take_it(packages: dict[str, Package]) -> None:
    # One of them for all: they differ in the name of their stage and in nothing else, as the first test says.
    assert _lint(packages["us-east-1"].folder / "sam.json", *packages) == ""


def test_the_linter_sees_what_is_wrong(package: Package, tmp_path: Path) -> None:
    queue = package.resources["StreamFailures"]
    queue["Properties"]["Retention"] = 1
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps({"Resources": {"StreamFailures": queue}}), encoding="utf-8")

    assert "'Retention' was unexpected" in _lint(path, package.region)


def test_cloudformation_would_take_the_tables_alone(tmp_path: Path) -> None:
    path = tmp_path / "tables.json"
    path.write_text(json.dumps(tables.template(stage="dev")), encoding="utf-8")

    assert _lint(path, "us-east-1", "cn-northwest-1") == ""


def _lint(path: Path, *regions: str) -> str:
    command = [
        "-c",
        "import sys; from cfnlint.runner import main; sys.exit(main())",
        "--regions",
        *regions,
        "--",
        str(path),
    ]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr + (f"exit code {done.returncode}" if done.returncode else "")
