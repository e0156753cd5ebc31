"""The dashboard: what the alarms watch, for whatever functions, streams, tables and queues the template has.

An account has three dashboards for nothing, and pays for each further one; a stack has its own unless it is told
`Dashboard=no`. Metrics that come by name (which code, which job) are searched for, so that they need no list here.
"""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from chalicelib.core import telemetry
from infra.alarms import FUNCTION, dimensions, reads_stream

Metric = list[Any]
WIDTH, HEIGHT, COLUMNS = 8, 6, 3
PERIOD_S = 300
ALARM = "AWS::CloudWatch::Alarm"


def dashboard(resources: dict[str, Any]) -> dict[str, Any]:
    """The dashboard of ``resources``, whose alarms are among them, by its name in the template."""
    shown = [_alarm_states(resources), *_charts(resources)]
    widgets = [
        {
            **widget,
            "x": at % COLUMNS * WIDTH,
            "y": at // COLUMNS * HEIGHT,
            "width": WIDTH,
            "height": HEIGHT,
        }
        for at, widget in enumerate(shown)
    ]
    return {
        "StageDashboard": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Condition": "HasDashboard",
            "Properties": {
                "DashboardName": {"Ref": "AWS::StackName"},
                "DashboardBody": {"Fn::Sub": json.dumps({"widgets": widgets})},
            },
        }
    }


def _alarm_states(resources: dict[str, Any]) -> dict[str, Any]:
    names = sorted(name for name, one in resources.items() if one["Type"] == ALARM)
    properties = {"title": "Alarms", "alarms": [f"${{{name}.Arn}}" for name in names]}
    return {"type": "alarm", "properties": properties}


def _charts(resources: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from _of_money_and_work(resources)
    yield from _of_functions(resources)
    yield _chart("Held back by DynamoDB", _tables(resources, "ReadThrottleEvents", "WriteThrottleEvents"))
    yield _chart(
        "Units consumed", _tables(resources, "ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
    )


def _of_money_and_work(resources: dict[str, Any]) -> Iterator[dict[str, Any]]:
    of = dimensions(resources)
    streams = [name for name, one in _of_type(resources, FUNCTION).items() if reads_stream(one)]
    yield _chart(
        "Money and books",
        [
            _ours(telemetry.STUCK_MONEY, of, "Maximum"),
            _ours(telemetry.STUCK_FEN, of, "Maximum", yAxis="right"),
            _ours(telemetry.DRIFTS, of, "Sum"),
            _ours(telemetry.STUCK_ROWS, of, "Sum"),
        ],
    )
    yield _chart("Refusals by code", [_searched(telemetry.REFUSALS, of, "code", "Sum")])
    yield _chart("Oldest due work by job, seconds", [_searched(telemetry.OLDEST_DUE, of, "job", "Maximum")])
    yield _chart("Stream lag, milliseconds", [_lambda("IteratorAge", name, "Maximum") for name in streams])
    yield _chart("Dead letters", [_ours(telemetry.DEAD_LETTERS, of, "Sum"), *_queues(resources)])


def _of_functions(resources: dict[str, Any]) -> Iterator[dict[str, Any]]:
    functions = list(_of_type(resources, FUNCTION))
    yield _chart("Calls", _api(resources, {"Count": ("Sum",), "4XXError": ("Sum",), "5XXError": ("Sum",)}))
    yield _chart("Time to answer, milliseconds", _api(resources, {"Latency": ("p50", "p95", "p99")}))
    yield _chart("Failures of functions", [_lambda("Errors", name, "Sum") for name in functions])
    yield _chart(
        "Time of jobs and of the stream, milliseconds",
        [_lambda("Duration", name, "Maximum") for name in functions if name != "APIHandler"],
    )


def _chart(title: str, metrics: list[Metric]) -> dict[str, Any]:
    shown = {"title": title, "metrics": metrics, "region": "${AWS::Region}", "period": PERIOD_S}
    return {"type": "metric", "properties": {**shown, "view": "timeSeries", "stacked": False}}


def _metric(namespace: str, name: str, of: dict[str, str], stat: str, **shown: str) -> Metric:
    return [namespace, name, *chain.from_iterable(of.items()), {"stat": stat, **shown}]


def _ours(name: str, of: dict[str, str], stat: str, **shown: str) -> Metric:
    return _metric(telemetry.NAMESPACE, name, of, stat, **shown)


def _searched(name: str, of: dict[str, str], by: str, stat: str) -> Metric:
    """Every metric of ours that there is with this dimension."""
    schema = ",".join([telemetry.NAMESPACE, *of, by])
    wanted = " ".join(f'{key}="{value}"' for key, value in {"MetricName": name, **of}.items())
    label = f"${{!PROP('Dim.{by}')}}"
    return [
        {"expression": f"SEARCH('{{{schema}}} {wanted}', '{stat}', {PERIOD_S})", "id": by, "label": label}
    ]


def _lambda(name: str, function: str, stat: str) -> Metric:
    return _metric("AWS/Lambda", name, {"FunctionName": f"${{{function}}}"}, stat, label=function)


def _queues(resources: dict[str, Any]) -> list[Metric]:
    name = "ApproximateNumberOfMessagesVisible"
    return [
        _metric("AWS/SQS", name, {"QueueName": f"${{{queue}.QueueName}}"}, "Maximum", label=queue)
        for queue in _of_type(resources, "AWS::SQS::Queue")
    ]


def _api(resources: dict[str, Any], wanted: dict[str, tuple[str, ...]]) -> list[Metric]:
    (api,) = _of_type(resources, "AWS::Serverless::Api").values()
    of = {"ApiName": f"${{{api['DefinitionBody']['info']['title']['Ref']}}}", "Stage": api["StageName"]}
    return [
        _metric("AWS/ApiGateway", name, of, stat, label=f"{name} {stat}")
        for name, stats in wanted.items()
        for stat in stats
    ]


def _tables(resources: dict[str, Any], *names: str) -> list[Metric]:
    return [
        _metric("AWS/DynamoDB", name, {"TableName": f"${{{table}}}"}, "Sum", label=f"{table} {name}")
        for table in _of_type(resources, "AWS::DynamoDB::Table")
        for name in names
    ]


def _of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == kind}
