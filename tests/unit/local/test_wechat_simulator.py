"""The WeChat simulator, over real HTTP: it answers as code2Session is documented to, and fails when told to."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.wechat import MESSAGES, Simulator, openid, session_key, start, unionid

APPID, SECRET, OTHER = "wx00000000000000a1", "first-secret", "wx00000000000000b2"
PROGRAMS = {APPID: SECRET, OTHER: "second-secret"}


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    simulator = start(PROGRAMS)
    yield simulator
    simulator.stop()


@pytest.fixture
def sim(running: Simulator) -> Iterator[Simulator]:
    yield running
    running.fault = None


@pytest.fixture(scope="module")
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=5, maxsize=64) as pool:
        yield pool


def ask(
    http: urllib3.PoolManager, sim: Simulator, code: str | None = None, **changed: str | None
) -> dict[str, Any]:
    query = {"appid": APPID, "secret": SECRET, "js_code": code, "grant_type": "authorization_code"} | changed
    fields = {name: value for name, value in query.items() if value is not None}
    answer = http.request("GET", f"{sim.url}/sns/jscode2session", fields=fields)
    assert answer.status == 200
    return dict(json.loads(answer.data))


def test_a_name_logs_in_with_openid_session_key_and_unionid(
    http: urllib3.PoolManager, sim: Simulator
) -> None:
    person = ask(http, sim, "alice")

    assert set(person) == {"openid", "session_key", "unionid"}
    assert re.fullmatch(r"o[\w-]{27}", person["openid"]) and re.fullmatch(r"o[\w-]{27}", person["unionid"])
    assert len(base64.b64decode(person["session_key"], validate=True)) == 16
    assert person == {
        "openid": openid(appid=APPID, name="alice"),
        "session_key": session_key(appid=APPID, name="alice"),
        "unionid": unionid(name="alice"),
    }


def test_a_name_is_the_same_person_again_and_another_name_is_not(
    http: urllib3.PoolManager, sim: Simulator
) -> None:
    assert ask(http, sim, "alice") == ask(http, sim, "alice")
    assert not set(ask(http, sim, "alice").values()) & set(ask(http, sim, "bob").values())


def test_openid_is_of_one_program_and_unionid_of_all(http: urllib3.PoolManager, sim: Simulator) -> None:
    here, there = ask(http, sim, "alice"), ask(http, sim, "alice", appid=OTHER, secret=PROGRAMS[OTHER])

    assert here["unionid"] == there["unionid"]
    assert here["openid"] != there["openid"] and here["session_key"] != there["session_key"]


def test_code_for_once_is_good_for_one_call(http: urllib3.PoolManager, sim: Simulator) -> None:
    first, again, fresh = (ask(http, sim, code) for code in ("once:alice:1", "once:alice:1", "once:alice:2"))

    assert first == fresh == ask(http, sim, "alice")
    assert again["errcode"] == 40163 and again["errmsg"].startswith("code been used, rid: ")


def test_code_for_once_logs_in_one_of_many_at_once(http: urllib3.PoolManager, sim: Simulator) -> None:
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda _: ask(http, sim, "once:alice:race"), range(64)))

    assert sorted(answer.get("errcode", 0) for answer in answers) == [0] + [40163] * 63


def test_nounion_leaves_the_unionid_out(http: urllib3.PoolManager, sim: Simulator) -> None:
    alone = ask(http, sim, "nounion:alice")

    assert alone == {key: value for key, value in ask(http, sim, "alice").items() if key != "unionid"}


@pytest.mark.parametrize("errcode", [-1, 40029, 40163, 40226, 45011, 99999])
def test_error_code_answers_with_that_errcode(
    http: urllib3.PoolManager, sim: Simulator, errcode: int
) -> None:
    refusal = ask(http, sim, f"error:{errcode}")

    assert refusal["errcode"] == errcode
    assert refusal["errmsg"].startswith(MESSAGES.get(errcode, "unknown error"))


@pytest.mark.parametrize("name", ["a", "A_b-9", "x" * 32, "小明", "明" * 32, "㐀"])
def test_names_may_be_latin_or_chinese(http: urllib3.PoolManager, sim: Simulator, name: str) -> None:
    assert ask(http, sim, name)["openid"] == openid(appid=APPID, name=name)


@pytest.mark.parametrize(
    "code",
    [
        "x" * 33,
        "a b",
        "alice!",
        "é",
        "alice\n",
        "once:alice",
        "once:alice:",
        "once::1",
        "nounion:",
        "error:",
        "error:0",
    ]
    + [
        "error:x",
        "error:1234567",
        "nounion:once:alice:1",
        "once:nounion:alice:1",
        "twice:alice:1",
        "👩",
        "<script>",
    ],
)
def test_anything_else_is_an_invalid_code(http: urllib3.PoolManager, sim: Simulator, code: str) -> None:
    assert ask(http, sim, code)["errcode"] == 40029


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(code=st.text(max_size=40, alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_code_gets_a_person_or_a_refusal(http: urllib3.PoolManager, sim: Simulator, code: str) -> None:
    answer = ask(http, sim, code)

    assert set(answer) in ({"openid", "session_key", "unionid"}, {"errcode", "errmsg"})


@pytest.mark.parametrize(
    ("changed", "errcode"),
    [
        ({"appid": "wx00000000000000ff"}, 40013),
        ({"appid": None}, 41002),
        ({"secret": "First-secret"}, 40125),
        ({"secret": SECRET + " "}, 40125),
        ({"secret": PROGRAMS[OTHER]}, 40125),
        ({"secret": ""}, 41004),
        ({"js_code": None}, 41008),
        ({"grant_type": "client_credential"}, 40002),
        ({"grant_type": None}, 40002),
    ],
)
def test_a_wrong_or_missing_parameter_is_named(
    http: urllib3.PoolManager, sim: Simulator, changed: dict[str, str | None], errcode: int
) -> None:
    refusal = ask(http, sim, **({"code": "once:carol:1"} | changed))

    assert refusal["errcode"] == errcode
    assert re.fullmatch(
        re.escape(MESSAGES[errcode]) + r", rid: [0-9a-f]{8}(-[0-9a-f]{8}){2}", refusal["errmsg"]
    )


def test_refused_program_does_not_use_a_code_up(http: urllib3.PoolManager, sim: Simulator) -> None:
    assert ask(http, sim, "once:dave:1", secret="wrong")["errcode"] == 40125
    assert "openid" in ask(http, sim, "once:dave:1")


def test_other_paths_and_methods_are_refused_in_the_body(http: urllib3.PoolManager, sim: Simulator) -> None:
    elsewhere = http.request("GET", f"{sim.url}/sns/nothing")
    posted = http.request("POST", f"{sim.url}/sns/jscode2session", body=b"{}")

    assert (elsewhere.status, json.loads(elsewhere.data)["errcode"]) == (200, 40066)
    assert (posted.status, json.loads(posted.data)["errcode"]) == (200, 43001)
    assert elsewhere.headers["content-type"] == "text/plain"


def test_program_added_later_can_log_in(http: urllib3.PoolManager) -> None:
    programs = {APPID: SECRET}
    simulator = start(programs)

    before = ask(http, simulator, "alice", appid=OTHER, secret="new")
    programs[OTHER] = "new"
    after = ask(http, simulator, "alice", appid=OTHER, secret="new")

    assert before["errcode"] == 40013 and "openid" in after
    simulator.stop()


def test_busy_answers_with_minus_one_and_does_nothing(http: urllib3.PoolManager, sim: Simulator) -> None:
    sim.fault = "busy"
    assert ask(http, sim, "once:busy:1")["errcode"] == -1

    sim.fault = None
    assert "openid" in ask(http, sim, "once:busy:1")


def test_lost_takes_effect_and_gives_no_reply(http: urllib3.PoolManager, sim: Simulator) -> None:
    sim.fault, calls = "lost", sim.calls
    with pytest.raises(urllib3.exceptions.ProtocolError):
        ask(http, sim, "once:lost:1")
    assert sim.calls == calls + 1

    sim.fault = None
    assert ask(http, sim, "once:lost:1")["errcode"] == 40163


def test_slow_outlasts_the_time_out_of_its_client(sim: Simulator) -> None:
    sim.fault = "slow"
    with (
        urllib3.PoolManager(retries=False, timeout=0.2) as hasty,
        pytest.raises(urllib3.exceptions.ReadTimeoutError),
    ):
        ask(hasty, sim, "once:slow:1")

    sim.fault = None
    with urllib3.PoolManager() as patient:
        assert ask(patient, sim, "once:slow:1")["errcode"] == 40163


def test_slow_replies_when_its_time_has_come(http: urllib3.PoolManager, sim: Simulator) -> None:
    sim.fault, usual, sim.slow_s = "slow", sim.slow_s, 0.05

    assert "openid" in ask(http, sim, "alice")
    sim.slow_s = usual


def test_stopped_simulator_answers_nobody() -> None:
    simulator = start(PROGRAMS)
    with urllib3.PoolManager(retries=False, timeout=2) as pool:
        assert "openid" in ask(pool, simulator, "alice")

        simulator.stop()
        simulator.stop()

        for _ in range(2):
            with pytest.raises(urllib3.exceptions.HTTPError):
                ask(pool, simulator, "alice")


def test_it_runs_alone_and_prints_a_call_that_works() -> None:
    command = [sys.executable, "-m", "infra.local.wechat", "--port", "0", f"{APPID}={SECRET}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as alone:
        assert alone.stdout is not None
        printed = alone.stdout.readline() + alone.stdout.readline()
        url = printed.split("curl '")[1].split("'")[0]
        answer = urllib3.request("GET", url, retries=False, timeout=5)
        alone.terminate()

    assert answer.json()["unionid"] == unionid(name="alice")
