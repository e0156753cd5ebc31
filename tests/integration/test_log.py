"""What is said in the log: one line for each request, what every line carries, and what none ever does."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import app
from chalicelib.core import clock, deliveries, due, facts, table, telemetry
from chalicelib.core.deliveries import Delivery
from chalicelib.core.facts import Fact
from chalicelib.members import service as members
from infra.local import wechat
from infra.local.clients import Store
from infra.local.pump import Context
from infra.local.stack import JOBS, scheduled_event
from tests.doors import DOORS
from tests.factories import NOW
from tests.harness.gateway import Ask
from tests.harness.rows import stream_records
from tests.harness.streams import event
from tests.samples import ACCOUNT, APPID, PAYEE, WECHAT_SECRET
from tests.world import MALL_SECRET, Answer, World

MALL = "POST /v1/mall/sessions"
Line = dict[str, Any]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """All that our logger says, at its most talkative."""
    said = io.StringIO()
    logger = logging.getLogger("liebian")
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    monkeypatch.setattr(logger, "_cache", {})
    for handler in logger.handlers:
        monkeypatch.setattr(handler, "stream", said)
    return said


def lines(log: io.StringIO, **wanted: Any) -> list[Line]:
    """The lines that say this."""
    said = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in said if all(line.get(name) == value for name, value in wanted.items())]


def line_of(log: io.StringIO, answer: Answer) -> Line:
    """The one line of a request that was answered so."""
    (found,) = lines(log, request_id=answer.headers["x-request-id"])
    return found


# --- requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "caller", "status", "ids"),
    [
        ("GET /v1/groupbuys/{campaign_id}", "stranger", 200, {"campaign_id": "{campaign_id}"}),
        ("GET /v1/groups/{group_id}", "member", 200, {"group_id": "{group_id}", "member_id": "{alice_id}"}),
        ("PUT /v1/me", "member", 200, {"member_id": "{alice_id}"}),
        ("GET /v1/admin/members/{member_id}", "support", 200, {"member_id": "{member_id}"}),
        ("POST /v1/links", "member", 201, {"member_id": "{alice_id}"}),
        ("GET /v1/me", "blocked", 403, {"code": "member_blocked"}),
        ("GET /v1/me", "forged", 401, {"code": "unauthorized"}),
        (MALL, "badly", 401, {"code": "signature_invalid"}),
        ("GET /v1/admin/audit", "store", 403, {"code": "forbidden"}),
    ],
)
def test_a_request_ends_in_one_line_that_says_whose_it_was_and_how_it_ended(
    route: str, caller: str, status: int, ids: dict[str, str], world: World, log: io.StringIO
) -> None:
    names = {**world.names, "alice_id": world.alice}

    answer = world.call(route, caller)

    line = line_of(log, answer)
    assert (answer.status, line["status"], line["route"]) == (status, status, route)
    assert line["message"] == ("answered" if status < 400 else "refused")
    assert 0 <= line["ms"] < 20_000
    assert {name: line.get(name) for name in ids} == {
        name: value.format(**names) for name, value in ids.items()
    }


def test_a_line_has_the_id_under_which_lambda_has_the_run_and_the_next_has_not(
    world: World, log: io.StringIO
) -> None:
    context = Context(function_name="api", aws_request_id="run-1")

    app.app(Ask(method="GET", path="/v1/programs").proxied, context)
    telemetry.logger.warning("afterwards")

    (answered,), (after,) = (lines(log, message=message) for message in ("answered", "afterwards"))
    assert answered["function_request_id"] == "run-1"
    assert "function_request_id" not in after


def test_who_signs_in_is_in_the_line_of_it(world: World, log: io.StringIO) -> None:
    answer = world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": "alice"})

    assert line_of(log, answer)["member_id"] == answer.json["member"]["member_id"] == world.alice


def test_an_operator_is_in_the_line_by_the_id_of_their_key(world: World, log: io.StringIO) -> None:
    key_id = world.call("GET /v1/admin/me", "finance").json["key_id"]

    answer = world.call("GET /v1/admin/groupbuys/{campaign_id}/report", "finance")

    line = line_of(log, answer)
    assert (line["operator"], line["campaign_id"]) == (key_id, world.names["campaign_id"])


@pytest.mark.parametrize(
    ("method", "path", "code", "route"),
    [
        ("DELETE", "/v1/programs", "method_not_allowed", "DELETE"),
        ("GET", "/v1/groups/%00s3cret", "not_found", "GET /v1/groups/{group_id}"),
    ],
)
def test_what_is_refused_at_the_edge_has_its_line_without_the_path_that_was_asked_for(
    method: str, path: str, code: str, route: str, log: io.StringIO, world: World
) -> None:
    line = line_of(log, world.send(method, path))

    assert (line["message"], line["code"], line["route"]) == ("refused", code, route)
    assert "s3cret" not in log.getvalue()


def test_a_path_that_nobody_answers_has_its_line_and_nothing_of_the_call_before(log: io.StringIO) -> None:
    asked = {"httpMethod": "GET", "requestId": "request-1", "resourcePath": "/{proxy+}"}
    nothing = dict.fromkeys(("multiValueQueryStringParameters", "headers", "body", "stageVariables"))
    nowhere = {"requestContext": asked, "pathParameters": {"proxy": "s3cret"}, **nothing}

    app.app({**nowhere, "isBase64Encoded": False}, None)

    (line,) = lines(log, request_id="request-1")
    assert (line["message"], line["code"], line["route"]) == ("refused", "not_found", "GET")
    assert "function_request_id" not in line and "s3cret" not in log.getvalue()


def test_what_is_said_during_a_request_carries_its_ids(world: World, log: io.StringIO) -> None:
    body = {"program_id": "demo", "code": "error:40125"}

    answer = world.call("POST /v1/sessions", "stranger", body)

    assert answer.status == 500
    found = lines(log, request_id=answer.headers["x-request-id"])
    assert [line["message"] for line in found] == ["wechat refused", "refused"]
    assert {line["route"] for line in found} == {"POST /v1/sessions"}


def test_the_next_request_of_a_connection_carries_nothing_of_the_one_before(
    world: World, log: io.StringIO
) -> None:
    world.call("GET /v1/groups/{group_id}", "member")

    after = line_of(log, world.call("GET /v1/programs", "stranger"))

    assert "member_id" not in after and "group_id" not in after


def test_a_failure_is_in_the_log_with_the_id_that_the_caller_was_told(
    world: World, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setattr("chalicelib.members.answers.me", lambda *_: 1 / 0)

    answer = world.call("GET /v1/me", "member")

    line = line_of(log, answer)
    assert answer.json["error"]["request_id"] == line["request_id"]
    assert (line["message"], line["exception_name"]) == ("request failed", "ZeroDivisionError")
    assert (line["route"], line["status"], line["member_id"]) == ("GET /v1/me", 500, world.alice)
    assert line["code"] == "internal_error"


# --- jobs and the stream ------------------------------------------------------------------------------------


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> Iterator[None]:
    """Every call of this fails."""

    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr(where, name, fail)
        yield


def a_delivery() -> Delivery:
    slot = due.slot(job=deliveries.JOB, pk="dlv_9", at=NOW)
    row = Delivery("dlv_9", "META", state="due", to="mall", type="x", body="{}", created_at=NOW, **slot)
    table.apply(table.create(row))
    return row


@pytest.mark.alone
def test_the_lines_of_a_job_say_which_job_which_row_and_whose_room(
    store: Store, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_delivery()

    with failing(monkeypatch, deliveries, "post"):
        due.run(job=deliveries.JOB, worker="w", now=NOW, seconds=9)

    about = {"job": "deliver", "key": "dlv_9 META", "room": "core"}
    assert [line["message"] for line in lines(log, **about)] == ["due work failed"]


@pytest.mark.alone
def test_the_lines_of_the_stream_say_which_row_which_reaction_and_whose_room(
    store: Store, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_delivery()
    monkeypatch.setattr(facts, "_reactions", {})
    facts.reaction("thing.happened", name="members.react")(_no_luck)
    fact = Fact(name="thing.happened", pk="dlv_9", sk="META", rev=1, owed=False)

    facts.tell(fact, now=NOW)
    with failing(monkeypatch, deliveries, "post"):
        deliveries.handle_stream(event(stream_records(store.client, "truth")), now=NOW)

    about = {
        "fact": "thing.happened",
        "key": "dlv_9 META",
        "reaction": "members.react",
        "room": "integration",
    }
    assert [line["message"] for line in lines(log, **about)] == ["reaction failed"]
    about = {"job": "deliver", "key": "dlv_9 META", "room": "core"}
    assert [line["message"] for line in lines(log, **about)] == ["delivery failed"]


def _no_luck(row: Delivery, now: int) -> list[Any]:
    raise ValueError("no luck")


# --- what is never said -------------------------------------------------------------------------------------


def everybody_calls(world: World) -> None:
    """Every route that takes nothing away, by those who may and some who may not."""
    for route, callers in ((route, who) for route, who in DOORS.items() if not route.startswith("DELETE")):
        for caller in ("forged", "blocked", "off", "badly", callers[0]):
            world.call(route, caller)


def everything_runs(store: Store) -> None:
    """Both readers of the stream and every job, as Lambda calls them, a day later."""
    records = event(stream_records(store.client, "truth"))
    for name in ("react", "deliver"):
        getattr(app, name)(records, Context(function_name=name))
    for name in JOBS:
        getattr(app, name)(scheduled_event(), Context(function_name=name))


def test_no_secret_token_or_name_is_ever_in_the_log(
    world: World,
    embedded_store: Store,
    log: io.StringIO,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = "once:alice:a-login-code"
    signed_in = world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": code}).json
    visit = world.call("POST /v1/links/{code}/visits", "stranger").json["visit_token"]
    everybody_calls(world)
    for wrong in (
        {"code": code},
        {"code": "error:40125"},
        {"visit_token": visit},
        {"visit_token": visit[:-9]},
    ):
        world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": "alice", **wrong})
    tomorrow = clock.now() + clock.DAY
    monkeypatch.setattr(clock, "now", lambda: tomorrow)
    everything_runs(embedded_store)
    monkeypatch.setattr(members, "find_or_register", lambda **_: 1 / 0)
    failed = world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": "erin"})
    assert (failed.status, world.call(MALL, "mall").status) == (500, 500)

    said = log.getvalue() + "".join(capsys.readouterr())
    assert len(lines(log, message="answered")) > 100 and lines(log, message="refused")
    assert [line for line in lines(log) if "reaction" in line] and [
        line for line in lines(log) if "job" in line
    ]
    assert "ZeroDivisionError" in said and "POST   /v1/sessions" in said
    secrets = [signed_in["token"], visit, code, WECHAT_SECRET, MALL_SECRET, "11" * 32, "5e" * 32]
    names = [of(name) for name in ("alice", "erin", "dave") for of in (openid, wechat_unionid)]
    people = ["阿丽", "13800138000", *ACCOUNT.values(), *PAYEE.values(), "ran 5 km", "key-of-"]
    never = [*secrets, *world.bearers.values(), *names, *people, "m-1", "v1,"]
    assert [secret for secret in never if secret in said] == []
    codes = [world.names[name] for name in ("gift_code", "redeem_code", "shop_code")]
    assert [one for one in codes if one in log.getvalue()] == []


def openid(name: str) -> str:
    """Whom WeChat knows in the program."""
    return wechat.openid(appid=APPID, name=name)


def wechat_unionid(name: str) -> str:
    """Whom WeChat knows in all programs."""
    return wechat.unionid(name=name)
