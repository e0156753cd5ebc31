"""The alarms, for whatever functions, streams, tables and queues the packaged template has.

Each watches one metric: CloudWatch bills by metric, and a sum over metrics goes blind when one of them is absent.
What each means and what to do about it is in docs/deploying.md. Without a topic they only show in the console.
"""

from typing import Any

FUNCTION = "AWS::Serverless::Function"
LATE_MS = 600_000
STUCK = ("Liebian", "StuckRows")
DRIFTS = ("Liebian", "Drifts")


def alarms(resources: dict[str, Any]) -> dict[str, Any]:
    """The alarms that belong to ``resources``, by name."""
    api = resources["APIHandler"]["Properties"]
    found = {
        "StuckRows": _ours(
            STUCK, "A due row failed ten times and is stuck. GET /v1/admin/stuck says which and why.", api
        ),
        "Drifts": _ours(
            DRIFTS, "A number does not add up. GET /v1/admin/drifts says which, with both values.", api
        ),
    }
    for name, resource in resources.items():
        makers = _MAKERS.get(resource["Type"], ())
        for maker in makers:
            found |= maker(name, resource["Properties"])
    return found


def reads_stream(function: dict[str, Any]) -> bool:
    """Whether a function with these properties is one of the stream's readers."""
    return any(event["Type"] == "DynamoDB" for event in function.get("Events", {}).values())


def _errors(name: str, _: dict[str, Any]) -> dict[str, Any]:
    alarm = _alarm(
        f"{name} crashed or ran out of time in two of three five-minute spans. Read its log group.",
        metric=("AWS/Lambda", "Errors", "Sum"),
        of={"FunctionName": {"Ref": name}},
        at_least=1,
    )
    return {f"{name}Errors": _twice(alarm)}


def _late(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    if not reads_stream(properties):
        return {}
    alarm = _alarm(
        f"{name} is ten minutes behind the stream, which forgets after 24 hours. Read its log group.",
        metric=("AWS/Lambda", "IteratorAge", "Maximum"),
        of={"FunctionName": {"Ref": name}},
        at_least=LATE_MS,
    )
    return {f"{name}Late": alarm}


def _throttled(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    table = {"TableName": {"Ref": name}}
    indexes = [index["IndexName"] for index in properties.get("GlobalSecondaryIndexes", ())]
    found = {
        f"{name}ReadsThrottled": _hot(f"reads of {name}", "ReadThrottleEvents", table),
        f"{name}WritesThrottled": _hot(f"writes to {name}", "WriteThrottleEvents", table),
    }
    for index in indexes:
        of = {**table, "GlobalSecondaryIndexName": index}
        alarm = _hot(f"writes to the index {index} of {name}", "WriteThrottleEvents", of)
        found[f"{name}{index.capitalize()}IndexThrottled"] = alarm
    return found


def _hot(what: str, metric: str, of: dict[str, Any]) -> dict[str, Any]:
    return _alarm(
        f"DynamoDB held back {what}: some key is hot. See the budget of its room.",
        metric=("AWS/DynamoDB", metric, "Sum"),
        of=of,
        at_least=10,
    )


def _not_empty(name: str, _: dict[str, Any]) -> dict[str, Any]:
    alarm = _alarm(
        f"{name} holds records that ten tries could not work off. The job of owed facts runs what they owed.",
        metric=("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum"),
        of={"QueueName": {"Fn::GetAtt": [name, "QueueName"]}},
        at_least=1,
    )
    return {f"{name}NotEmpty": alarm}


def _server_errors(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    alarm = _alarm(
        "The API answered with 5xx. Look for 'request failed' in the API handler's log group.",
        metric=("AWS/ApiGateway", "5XXError", "Sum"),
        of={"ApiName": properties["DefinitionBody"]["info"]["title"], "Stage": properties["StageName"]},
        at_least=5,
    )
    return {f"{name}ServerErrors": _twice(alarm)}


def _ours(which: tuple[str, str], told: str, function: dict[str, Any]) -> dict[str, Any]:
    stage = function["Environment"]["Variables"]["STAGE"]
    return _alarm(
        told,
        metric=(*which, "Sum"),
        of={"service": "liebian", "stage": stage},
        at_least=1,
    )


_MAKERS = {
    FUNCTION: (_errors, _late),
    "AWS::DynamoDB::Table": (_throttled,),
    "AWS::SQS::Queue": (_not_empty,),
    "AWS::Serverless::Api": (_server_errors,),
}


_ACTIONS = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}


def _alarm(
    description: str, *, metric: tuple[str, str, str], of: dict[str, Any], at_least: int
) -> dict[str, Any]:
    namespace, name, statistic = metric
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": name,
            "Statistic": statistic,
            "Dimensions": [{"Name": key, "Value": value} for key, value in of.items()],
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": at_least,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": _ACTIONS,
        },
    }


def _twice(alarm: dict[str, Any]) -> dict[str, Any]:
    # A single failure is retried by Lambda or by the caller; a second one in a quarter of an hour is a pattern.
    alarm["Properties"] |= {"EvaluationPeriods": 3, "DatapointsToAlarm": 2}
    return alarm
