"""Whoever is on call: every alarm and chart shows something that is told, and docs/runbook.md says what to do."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import app
from bench.cost import deployed
from chalicelib.core import deliveries, due, facts, http, table, telemetry
from chalicelib.core.books import Differs
from chalicelib.core.clock import HOUR
from chalicelib.core.deliveries import Delivery
from chalicelib.operators import stuck
from chalicelib.reconciling import service as reconciling
from infra import alarms, docs, package
from infra.local.clients import Store
from infra.local.pump import Context
from infra.local.stack import JOBS, scheduled_event
from tests.factories import NOW
from tests.packaging.conftest import Package

RUNBOOK = package.ROOT / "docs" / "runbook.md"
ALARM = "AWS::CloudWatch::Alarm"
Dimensions = frozenset[tuple[str, str]]


# --- what is told -------------------------------------------------------------------------------------------


class Told:
    """The metrics that were told, as CloudWatch reads them from the log."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def values(self) -> dict[tuple[str, Dimensions], float]:
        """The last value of each metric, by its name and dimensions."""
        found = {}
        for line in self.capsys.readouterr().out.splitlines():
            told = json.loads(line) if line.startswith("{") else {}
            for directive in told.get("_aws", {}).get("CloudWatchMetrics", ()):
                assert directive["Namespace"] == telemetry.NAMESPACE
                for metric in directive["Metrics"]:
                    for names in directive["Dimensions"]:
                        by = frozenset((name, told[name]) for name in names)
                        found[metric["Name"], by] = told[metric["Name"]][-1]
        return found


@pytest.fixture
def told(store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """Metrics as they are in a deployment: told."""
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    return Told(capsys)


def of(**by: str) -> Dimensions:
    return frozenset({**telemetry.OURS, **by}.items())


def a_delivery(kind: str = "withdrawal.requested", *, amount_fen: int = 500) -> Delivery:
    slot = due.slot(job=deliveries.JOB, pk="dlv_1", at=NOW)
    body = json.dumps({"type": kind, "data": {"amount_fen": amount_fen}})
    row = Delivery("dlv_1", "META", state="due", to="mall", type=kind, body=body, created_at=NOW, **slot)
    table.apply(table.create(row))
    return row


def entry(row: Delivery) -> due.Entry:
    return due.Entry(**{name: getattr(row, name) for name in due.Entry.__annotations__})


def give_up(row: Delivery) -> None:
    """It fails for the tenth time."""
    for tried in range(due.FAILURES):
        now = NOW + tried * HOUR
        found = table.get(Delivery, (row.pk, row.sk))
        assert found is not None
        due.postpone(entry(found), ValueError("no luck"), now=now)


def refuse_a_call() -> None:
    """A call of the mall whose signature is none."""
    asked = {"httpMethod": "POST", "resourcePath": "/v1/mall/events", "requestId": "request-1"}
    nothing = dict.fromkeys(
        ("multiValueQueryStringParameters", "pathParameters", "headers", "stageVariables")
    )
    event = {"requestContext": asked, **nothing, "body": "{}", "isBase64Encoded": False}
    assert app.app(event, Context(function_name="api"))["statusCode"] == 401


def be_late() -> None:
    a_delivery("order.paid")
    due.run(job=deliveries.JOB, worker="w", now=NOW + HOUR, seconds=9)


def lose_a_fact(patch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("no luck")

    patch.setattr(facts, "_reactions", {})
    facts.reaction("thing.happened", name="test.react")(fail)
    row = a_delivery()
    facts.tell(facts.Fact(name="thing.happened", pk=row.pk, sk=row.sk, rev=1, owed=False), now=NOW)


def stick_money() -> None:
    give_up(a_delivery())
    stuck.watch_money(now=NOW - NOW % HOUR)


def drift() -> None:
    differs = Differs(says={"points": 1}, adds_up={"points": 2})
    reconciling._tell("ledger", "ACCOUNT#1", differs, seen_in="2026-01-01", now=NOW)


def happened(patch: pytest.MonkeyPatch) -> dict[str, Callable[[], None]]:
    """What makes each metric be told."""
    return {
        telemetry.REFUSALS: refuse_a_call,
        telemetry.OLDEST_DUE: be_late,
        telemetry.STUCK_ROWS: lambda: give_up(a_delivery()),
        telemetry.STUCK_MONEY: stick_money,
        telemetry.STUCK_FEN: stick_money,
        telemetry.DEAD_LETTERS: lambda: lose_a_fact(patch),
        telemetry.DRIFTS: drift,
    }


METRICS = {
    telemetry.REFUSALS: (1, {"code": "signature_invalid"}),
    telemetry.OLDEST_DUE: (HOUR, {"job": "deliver"}),
    telemetry.STUCK_ROWS: (1, {}),
    telemetry.STUCK_MONEY: (1, {}),
    telemetry.STUCK_FEN: (500, {}),
    telemetry.DEAD_LETTERS: (1, {}),
    telemetry.DRIFTS: (1, {}),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_told_when_it_happens_and_not_before(
    name: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, by = METRICS[name]

    assert told.values() == {}
    happened(monkeypatch)[name]()

    values = told.values()
    assert values[name, of(**by)] == value
    # What has a dimension of its own is told as a whole as well: an alarm cannot search.
    assert values[name, of()] == value


def test_a_stage_that_is_idle_tells_nothing(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.core.clock.now", lambda: NOW - NOW % HOUR)

    for name in ("run_owed_facts", "run_room_jobs"):
        getattr(app, name)(scheduled_event(), Context(function_name=name))

    assert told.values() == {}


def test_money_is_told_every_ten_minutes_and_no_more_once_somebody_has_settled_it(told: Told) -> None:
    give_up(a_delivery())
    told.values()

    for minute in range(60):
        stuck.watch_money(now=NOW - NOW % HOUR + 60 * minute)
        assert bool(told.values()) == (minute % 10 == 0)

    table.apply(table.delete(Delivery, ("dlv_1", "META"), refuse=lambda _: KeyError()))
    stuck.watch_money(now=NOW - NOW % HOUR)
    assert told.values() == {}


def test_a_message_that_asks_for_nothing_is_stuck_and_no_money(told: Told) -> None:
    give_up(a_delivery("order.paid"))

    stuck.watch_money(now=NOW - NOW % HOUR)

    assert set(told.values()) == {(telemetry.STUCK_ROWS, of())}


def test_work_that_takes_its_time_is_late_when_it_is_due_for_that_long(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_delivery("order.paid")
    monkeypatch.setattr(due, "_late_after_s", {deliveries.JOB: 24 * HOUR})
    monkeypatch.setattr(due, "_attempt", lambda *_, **__: None)

    for seconds, late in ((24 * HOUR - 1, False), (24 * HOUR, True)):
        due.run(job=deliveries.JOB, worker="w", now=NOW + seconds, seconds=9)
        assert bool(told.values()) == late


def test_what_is_done_in_time_is_not_late(told: Told) -> None:
    a_delivery("order.paid")

    due.run(job=deliveries.JOB, worker="w", now=NOW + due.LATE_S - 1, seconds=9)

    assert told.values() == {}


# --- what is watched ----------------------------------------------------------------------------------------


def watched(package: Package) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Namespace, name and dimensions of every metric that an alarm watches or the dashboard names."""
    for alarm in package.of_type(ALARM).values():
        yield (
            alarm["Namespace"],
            alarm["MetricName"],
            {one["Name"]: one["Value"] for one in alarm["Dimensions"]},
        )
    for namespace, name, *rest in (metric for metric in shown(package) if len(metric) > 1):
        yield namespace, name, dict(zip(rest[:-1:2], rest[1:-1:2], strict=True))


def shown(package: Package) -> list[Any]:
    """Every metric of the dashboard; one that it searches for has an expression only."""
    return [metric for widget in widgets(package) for metric in widget["properties"].get("metrics", ())]


def widgets(package: Package) -> list[dict[str, Any]]:
    (board,) = package.of_type("AWS::CloudWatch::Dashboard").values()
    found: list[dict[str, Any]] = json.loads(board["DashboardBody"]["Fn::Sub"])["widgets"]
    return found


def test_every_metric_of_ours_that_is_watched_is_one_that_is_told(package: Package) -> None:
    ours = [(name, of) for namespace, name, of in watched(package) if namespace == telemetry.NAMESPACE]

    assert {name for name, _ in ours} >= {telemetry.STUCK_MONEY, telemetry.DRIFTS, telemetry.DEAD_LETTERS}
    for name, dimensions in ours:
        assert name in METRICS
        assert dimensions.pop("stage") == package.stage
        assert dimensions.pop("service") == telemetry.OURS["service"]
        assert set(dimensions) <= set(METRICS[name][1])


def test_what_the_dashboard_searches_for_is_told_with_that_dimension(package: Package) -> None:
    expressions = [metric[0]["expression"] for metric in shown(package) if len(metric) == 1]

    searched = {}
    for one in expressions:
        parts = re.fullmatch(r"SEARCH\('\{(.+)\} MetricName=\"(\w+)\" (.+)', '\w+', 300\)", one)
        assert parts is not None, one
        schema, searched_for, wanted = parts.groups()
        searched[searched_for] = schema
        assert wanted == f'service="liebian" stage="{package.stage}"'
    dimensions = {name: by for name, (_, by) in METRICS.items() if by}
    assert searched == {
        name: ",".join([telemetry.NAMESPACE, *telemetry.OURS, *by]) for name, by in dimensions.items()
    }


def test_an_alarm_of_refusals_watches_a_code_that_there_is(package: Package) -> None:
    codes = {of["code"] for _, name, of in watched(package) if "code" in of}

    assert codes == set(alarms.REFUSALS)
    assert codes <= {kind.code for kind in docs.errors()}


def test_every_job_that_stands_still_has_its_alarm(package: Package) -> None:
    silent = {
        name: alarm for name, alarm in package.of_type(ALARM).items() if alarm["MetricName"] == "Invocations"
    }

    jobs = {name for name, function in package.functions.items() if alarms.has_schedule(function)}
    assert set(silent) == {f"{name}Silent" for name in jobs}
    assert len(jobs) == len(JOBS)
    assert {alarm["TreatMissingData"] for alarm in silent.values()} == {"breaching"}


def test_the_dashboard_shows_every_alarm_and_costs_no_more_than_one_that_costs_nothing(
    package: Package,
) -> None:
    states, *charts = widgets(package)

    assert set(states["properties"]["alarms"]) == {f"${{{name}.Arn}}" for name in package.of_type(ALARM)}
    assert {chart["properties"]["region"] for chart in charts} == {"${AWS::Region}"}
    assert len(shown(package)) <= 50
    assert package.resources["StageDashboard"]["Condition"] == "HasDashboard"
    places = {(widget["x"], widget["y"]) for widget in (states, *charts)}
    assert len(places) == 1 + len(charts) and max(x for x, _ in places) + 8 <= 24


# --- what is to be done -------------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    """What the runbook says under the name of an alarm, or of a kind of alarms."""
    page = RUNBOOK.read_text(encoding="utf-8")
    parts = re.split(r"^### `(.+)`$", page, flags=re.MULTILINE)
    return {
        name: re.split(r"^##", text, flags=re.MULTILINE)[0]
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def meant(heading: str, package: Package) -> set[str]:
    """The alarms that a heading such as ``<Function>Errors`` is about."""
    indexes = {
        index["IndexName"].capitalize()
        for table in package.of_type("AWS::DynamoDB::Table").values()
        for index in table.get("GlobalSecondaryIndexes", ())
    }
    names = {
        "Function": package.functions,
        "Table": package.of_type("AWS::DynamoDB::Table"),
        "Index": indexes,
    }
    pattern = heading.replace("`, `", "|")
    for place, there in names.items():
        pattern = pattern.replace(f"<{place}>", f"({'|'.join(there)})")
    return {name for name in package.of_type(ALARM) if re.fullmatch(pattern, name)}


def test_every_alarm_has_its_place_in_the_runbook_and_every_place_its_alarm(package: Package) -> None:
    told = {heading: meant(heading, package) for heading in sections()}

    assert [heading for heading, found in told.items() if not found] == []
    assert sorted(name for found in told.values() for name in found) == sorted(package.of_type(ALARM))
    assert all("docs/runbook.md" in alarm["AlarmDescription"] for alarm in package.of_type(ALARM).values())


def test_the_cost_is_reckoned_with_every_alarm(package: Package) -> None:
    assert deployed.alarms(jobs=len(JOBS)) == len(package.of_type(ALARM))


@pytest.mark.parametrize("heading", sections())
def test_it_says_what_an_alarm_means_how_to_look_and_what_to_do(heading: str) -> None:
    assert re.findall(r"^\*\*(\w+)\.\*\*", sections()[heading], re.MULTILINE) == ["Means", "Look", "Do"]


def test_what_the_runbook_asks_the_log_and_the_api_is_there() -> None:
    page = RUNBOOK.read_text(encoding="utf-8")
    rooms = package.ROOT / "chalicelib"
    code = "".join(path.read_text(encoding="utf-8") for path in rooms.glob("*/*.py"))

    said = re.findall(r'message = "([^"]+)"', page)
    assert len(said) > 5 and [message for message in said if f'"{message}"' not in code] == []
    asked = re.findall(r"`(GET|POST|PUT|DELETE) (/v1/[^`?]+)", page)
    routes = {(route.method, route.path) for route in http.routes}
    assert asked and [one for one in asked if one not in routes] == []
