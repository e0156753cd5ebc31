"""The alarms, for whatever functions, streams, tables and queues the packaged template has.

Each watches one metric: CloudWatch bills by metric, and a sum over metrics goes blind when one of them is absent.
What each means and what to do about it is in docs/runbook.md, under its name. Without a topic they only show in the
console.
"""

from typing import Any

from chalicelib.core import telemetry

FUNCTION = "AWS::Serverless::Function"
LATE_MS = 600_000
DUE_LATE_S = 600
REFUSALS = {
    "busy": (20, "Too much happens at once to one thing, or the store holds calls back."),
    "signature_invalid": (10, "Calls of the mall, or notifications of WeChat Pay, are not let in."),
}
"""The refusals that are nobody's everyday business: from how many in five minutes on, and what they mean."""


def alarms(resources: dict[str, Any]) -> dict[str, Any]:
    """The alarms that belong to ``resources``, by name."""
    found = _of_the_app(dimensions(resources))
    for name, resource in resources.items():
        makers = _MAKERS.get(resource["Type"], ())
        for maker in makers:
            found |= maker(name, resource["Properties"])
    return found


def dimensions(resources: dict[str, Any]) -> dict[str, str]:
    """The dimensions that every metric of the app has in the stage of these resources."""
    stage = resources["APIHandler"]["Properties"]["Environment"]["Variables"]["STAGE"]
    return {**telemetry.OURS, "stage": stage}


def has_schedule(function: dict[str, Any]) -> bool:
    """Whether a function with these properties is a job."""
    return any(event["Type"] == "Schedule" for event in function.get("Events", {}).values())


def reads_stream(function: dict[str, Any]) -> bool:
    """Whether a function with these properties is one of the stream's readers."""
    return any(event["Type"] == "DynamoDB" for event in function.get("Events", {}).values())


def _of_the_app(of: dict[str, str]) -> dict[str, Any]:
    found = {
        "StuckRows": _ours(telemetry.STUCK_ROWS, "A due row failed ten times and waits for a person.", of),
        "StuckMoney": _ours(telemetry.STUCK_MONEY, "Somebody's money waits for a person.", of),
        "Drifts": _ours(telemetry.DRIFTS, "A number is not what its rows add up to.", of),
        "OldestDue": _ours(
            telemetry.OLDEST_DUE,
            "Something is due for more than ten minutes, and no job has come to it.",
            of,
            at_least=DUE_LATE_S,
        ),
    }
    # It is told every ten minutes, and lasts between two times.
    found["StuckMoney"]["Properties"]["Period"] = 1800
    # What is planned for a time that is over, such as the bills of a merchant who is new, is late for one run.
    found["OldestDue"]["Properties"]["EvaluationPeriods"] = 2
    return found | _of_refusals(of)


def _of_refusals(of: dict[str, str]) -> dict[str, Any]:
    found = {}
    for code, (at_least, told) in REFUSALS.items():
        name = "".join(part.capitalize() for part in code.split("_"))
        alarm = _ours(telemetry.REFUSALS, told, {**of, "code": code}, at_least=at_least, statistic="Sum")
        found[f"Refusals{name}"] = _twice(alarm)
    return found


def _ours(
    name: str, told: str, of: dict[str, str], *, at_least: int = 1, statistic: str = "Maximum"
) -> dict[str, Any]:
    return _alarm(told, metric=(telemetry.NAMESPACE, name, statistic), of=of, at_least=at_least)


def _errors(name: str, _: dict[str, Any]) -> dict[str, Any]:
    alarm = _alarm(
        f"{name} crashed or ran out of time in two of three five-minute spans.",
        metric=("AWS/Lambda", "Errors", "Sum"),
        of={"FunctionName": {"Ref": name}},
        at_least=1,
    )
    return {f"{name}Errors": _twice(alarm)}


def _late(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    if not reads_stream(properties):
        return {}
    alarm = _alarm(
        f"{name} is ten minutes behind the stream, which forgets after 24 hours.",
        metric=("AWS/Lambda", "IteratorAge", "Maximum"),
        of={"FunctionName": {"Ref": name}},
        at_least=LATE_MS,
    )
    return {f"{name}Late": alarm}


def _silent(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    """A job that does not run tells nothing of what it leaves undone."""
    if not has_schedule(properties):
        return {}
    alarm = _alarm(
        f"{name} has not run for a quarter of an hour, though it should every minute.",
        metric=("AWS/Lambda", "Invocations", "Sum"),
        of={"FunctionName": {"Ref": name}},
        at_least=1,
    )
    alarm["Properties"] |= {
        "EvaluationPeriods": 3,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
    }
    return {f"{name}Silent": alarm}


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
        f"DynamoDB held back {what}: some key is hot.",
        metric=("AWS/DynamoDB", metric, "Sum"),
        of=of,
        at_least=10,
    )


def _not_empty(name: str, _: dict[str, Any]) -> dict[str, Any]:
    alarm = _alarm(
        f"{name} holds records of the stream that ten tries could not work off.",
        metric=("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum"),
        of={"QueueName": {"Fn::GetAtt": [name, "QueueName"]}},
        at_least=1,
    )
    return {f"{name}NotEmpty": alarm}


def _server_errors(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    alarm = _alarm(
        "The API answered with 5xx.",
        metric=("AWS/ApiGateway", "5XXError", "Sum"),
        of={"ApiName": properties["DefinitionBody"]["info"]["title"], "Stage": properties["StageName"]},
        at_least=5,
    )
    return {f"{name}ServerErrors": _twice(alarm)}


_MAKERS = {
    FUNCTION: (_errors, _late, _silent),
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
            "AlarmDescription": f"{description} See docs/runbook.md.",
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
