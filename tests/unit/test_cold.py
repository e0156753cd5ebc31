"""The measuring of cold starts: what it hands out, what it takes for an answer, and what it makes of times."""

import http.client
import json
import time

import pytest

from bench.cold import functions, imports, runtime, store
from bench.cold.rounds import Kind, ratios, spread
from bench.cold.starting import Start

TOLD = """
import time: self [us] | cumulative | imported package
import time:       100 |        100 |     json
import time:        20 |        120 |   chalicelib.core.http
import time:        30 |         30 |   chalicelib.core.table
import time:        10 |        160 | app
"""


def asked(api: runtime.Runtime, method: str, path: str, body: bytes = b"") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(api.address, timeout=5)
    connection.request(method, runtime.BASE + path, body)
    return connection.getresponse()


def test_a_process_gets_the_event_and_its_answer_has_a_time() -> None:
    began = time.perf_counter()

    with runtime.serving(b'{"id": 7}', deadline_ms=1) as api:
        given = asked(api, "GET", "/invocation/next")
        asked(api, "POST", f"/invocation/{runtime.REQUEST_ID}/response", b'"done"')
        api.wait(seconds=5)

    assert given.headers["Lambda-Runtime-Aws-Request-Id"] == runtime.REQUEST_ID
    assert (given.read(), api.answer) == (b'{"id": 7}', b'"done"')
    assert began < api.asked_at < api.answered_at


@pytest.mark.parametrize("path", ["/init/error", f"/invocation/{runtime.REQUEST_ID}/error"])
def test_an_error_is_no_answer(path: str) -> None:
    with runtime.serving(b"{}", deadline_ms=1) as api:
        asked(api, "POST", path, b'{"errorMessage": "no module"}')

        with pytest.raises(runtime.Failed, match="no module"):
            api.wait(seconds=5)


def test_who_says_nothing_has_failed() -> None:
    with runtime.serving(b"{}", deadline_ms=1) as api, pytest.raises(runtime.Failed, match="no answer"):
        api.wait(seconds=0.01)


def test_the_store_counts_what_it_is_asked() -> None:
    with store.serving() as answering:
        connection = http.client.HTTPConnection("127.0.0.1", answering.server_port, timeout=5)
        answers = []
        for operation in ("Query", "GetItem"):
            connection.request("POST", "/", b"{}", {"X-Amz-Target": f"DynamoDB_20120810.{operation}"})
            answers.append(json.load(connection.getresponse()))

    assert answers == [{"Items": [], "Count": 0, "ScannedCount": 0}, {}]
    assert answering.calls == {"Query": 1, "GetItem": 1}


def test_a_module_has_below_it_what_it_imported_first() -> None:
    (app,) = imports.roots(TOLD)

    assert [module.name for module in app.below] == ["chalicelib.core.http", "chalicelib.core.table"]
    assert [module.name for module in app.below[0].below] == ["json"]
    assert imports.parts([app]) == {
        "app": (0.01, 1),
        "chalicelib.core": (0.05, 2),
        "standard library": (0.1, 1),
    }


def a_start(ms: float) -> Start:
    return Start(asked_ms=1, answered_ms=ms, cpu_ms=1, memory_mb=1, calls={})


def test_a_start_is_held_against_the_floor_of_its_round() -> None:
    kind, floor = (Kind(function=name, package="lean") for name in ("api", "bare"))
    starts = {floor: [a_start(100), a_start(300)], kind: [a_start(200), a_start(300)]}

    found = ratios(starts, kind, floor, of=lambda one: one.answered_ms)

    assert found == [2.0, 1.0]
    assert (spread(found).low, spread(found).median) == (1.25, 1.5)


def test_each_function_has_an_event_and_only_a_request_has_a_status() -> None:
    def function(handler: str) -> dict[str, object]:
        variables = {
            "TRUTH_TABLE": {"Ref": "TruthTable"},
            "PICTURES_BUCKET": {"Fn::If": ["InBucket", "yes", ""]},
        }
        properties = {"Handler": handler, "Environment": {"Variables": variables}}
        return {"Type": "AWS::Serverless::Function", "Properties": properties}

    template = {"Resources": {name: function(f"app.{name}") for name in ("app", "react", "expire_groups")}}

    found = {one.name: one for one in functions.deployed(template)}

    assert set(found) == {"API, anybody", "API, a member", "expire_groups", "react"}
    assert found["react"].variables["TRUTH_TABLE"] == "TruthTable"
    assert found["react"].variables["PICTURES_BUCKET"] == ""
    assert [name for name, one in found.items() if one.is_right(b'{"statusCode": 500}')] == [
        "expire_groups",
        "react",
    ]
