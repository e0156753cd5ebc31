"""The edge, over real connections to the local server: what bad input gets.

Whoever adds a route adds a line to `tests.doors` and, where it takes a body or something in its path, to
`tests.samples`: a call that would succeed, so that what is refused here is refused for the reason given and changes
nothing.
"""

import base64
import csv
import io
import json
import re
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.core import clock, config, contract, cursors, due, table
from chalicelib.core import http as edge
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.orders.service import Paid
from infra import docs
from infra.local import server, wechat
from tests.doors import DOORS
from tests.samples import SAMPLES, SHARE, WITH_BODY, WITH_ID, Body
from tests.world import BILL_DAY, NOWHERE, Answer, World, assert_refused, encoded, signed

MALL = "POST /v1/mall/sessions"

# --- the envelope -------------------------------------------------------------------------------------------


WRONG: list[tuple[str, str, str, int, str]] = [
    ("GET /v1/me", "stranger", "", 401, "unauthorized"),
    ("GET /v1/me", "blocked", "", 403, "member_blocked"),
    ("GET /v1/admin/programs", "expired", "", 401, "unauthorized"),
    ("POST /v1/admin/programs", "store", "", 403, "forbidden"),
    ("POST /v1/mall/sessions", "badly", "", 401, "signature_invalid"),
    ("GET /v1/links/{code}/qr", "stranger", "/v1/links/2222222222/qr", 404, "not_found"),
    ("GET /v1/me", "member", "/v1/nowhere", 404, "not_found"),
    ("GET /v1/me", "member", "/v1/me/nothing", 404, "not_found"),
    ("GET /v1/me", "member", "/", 404, "not_found"),
    ("GET /v1/links/{code}/qr", "stranger", "/v1/links/{code}/qr?format=gif", 422, "invalid"),
    ("GET /v1/admin/audit", "owner", "/v1/admin/audit?after=forged", 400, "cursor_invalid"),
    ("POST /v1/admin/programs", "owner", "/v1/admin/me", 405, "method_not_allowed"),
]


LANGUAGES = {
    "zh-CN,zh;q=0.9,en;q=0.8": "zh",
    "ZH": "zh",
    "zh-Hant-TW": "zh",
    "en-US": "en",
    "fr": "en",
    "": "en",
}


@pytest.mark.parametrize(("route", "caller", "path", "status", "code"), WRONG)
def test_a_refusal_speaks_the_language_that_was_asked_for(
    route: str, caller: str, path: str, status: int, code: str, world: World
) -> None:
    kind = next(kind for kind in docs.errors() if kind.code == code)

    for accepted, lang in LANGUAGES.items():
        answer = world.call(route, caller, path=path.replace("{code}", world.code), accept_language=accepted)
        assert_refused(answer, status, code)
        assert answer.json["error"]["message"] == getattr(kind, lang)


def test_letters_of_any_language_are_sent_as_they_are(world: World) -> None:
    told = world.call("GET /v1/me", "member")
    refused = world.call("GET /v1/me", "stranger", accept_language="zh")

    assert "阿丽".encode() in told.content and "请先登录。".encode() in refused.content
    assert b"\\u" not in told.content + refused.content


@pytest.mark.parametrize("method", ["PATCH", "POST", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
def test_another_method_is_told_which_are_there(method: str, world: World) -> None:
    before = world.books()

    answer = world.send(method, "/v1/me", b"{}", **world.headers("member", b"{}"))

    assert_refused(answer, 405, "method_not_allowed")
    if method in ("PATCH", "POST", "DELETE"):
        assert set(answer.headers["allow"].split(", ")) == {"GET", "PUT"}
    assert world.books() == before


@pytest.mark.parametrize(("path", "status"), [("/v1/me", 405), ("/v1/nowhere", 404), ("/s/{code}", 405)])
def test_a_head_has_no_body_that_the_next_answer_would_begin_with(
    path: str, status: int, world: World
) -> None:
    head = f"HEAD {path.format(code=world.code)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    answer = world.raw(head + b"GET /v1/programs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    first, second, body = answer.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status) and second.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body)["items"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "x", ""])
def test_a_body_is_json(content_type: str, world: World) -> None:
    before = world.books()

    for route in WITH_BODY:
        answer = world.call(route, DOORS[route][0], content_type=content_type)
        assert_refused(answer, 415, "unsupported_media_type")
    assert world.books() == before


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", None])
def test_json_may_call_itself_so_in_several_ways(content_type: str | None, world: World) -> None:
    shown = {"content_type": content_type} if content_type else {}

    answer = world.send("POST", "/v1/sessions", encoded(SAMPLES["POST /v1/sessions"]), **shown)

    assert answer.status == 201


def test_a_preflight_is_answered_for_every_path(world: World) -> None:
    for route in DOORS:
        method, template = route.split()
        answer = world.send("OPTIONS", template.format(**world.names))
        assert answer.status == 200
        assert method in answer.headers["access-control-allow-methods"]
        assert {"Authorization", "Content-Type"} <= set(
            answer.headers["access-control-allow-headers"].split(",")
        )


def test_an_answer_with_a_time_has_the_time_of_now(world: World) -> None:
    for route in (one for one in DOORS if one.startswith("GET") and "{stuck" not in one):
        answer = world.call(route, DOORS[route][0])
        if answer.headers["content-type"].startswith("application/json") and "openapi" not in route:
            assert abs(answer.json["now"] - clock.now()) <= 5, route


def test_an_answer_is_never_kept_by_a_cache_unless_it_says_so(world: World) -> None:
    assert world.call("GET /v1/me", "member").headers["cache-control"] == "no-store"
    assert world.call("GET /s/{code}", "stranger").headers["cache-control"] == "public, max-age=60"


# --- wrong bodies -------------------------------------------------------------------------------------------

DOCUMENT = contract.document()
VALUES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "integer": 7,
    "number": 1.5,
    "string": "x",
    "array": [],
    "object": {},
}


def schema_of(route: str) -> dict[str, Any]:
    """The schema of a route's body."""
    method, path = route.split()
    content = DOCUMENT["paths"][path][method.lower()]["requestBody"]["content"]
    return resolved(content["application/json"]["schema"])


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself in place of a reference."""
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return found


def types(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a schema lets in."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return {kind for one in schema["anyOf"] for kind in types(one)}
    return {schema.get("type", "string")}  # what is chosen from a list here is a word


@pytest.mark.parametrize("route", WITH_BODY)
def test_a_field_of_the_wrong_type_is_named(route: str, world: World) -> None:
    before = world.books()

    for name, schema in schema_of(route)["properties"].items():
        for kind in VALUES.keys() - types(schema):
            answer = world.call(route, DOORS[route][0], {**SAMPLES[route], name: VALUES[kind]})
            assert assert_refused(answer, 422, "invalid")["field"] == name, kind

    assert world.books() == before


@pytest.mark.parametrize("route", WITH_BODY)
def test_a_field_that_is_missing_is_named(route: str, world: World) -> None:
    before = world.books()
    required = schema_of(route).get("required", [])

    for name in required:
        body = {key: value for key, value in SAMPLES[route].items() if key != name}
        assert assert_refused(world.call(route, DOORS[route][0], body), 422, "invalid")["field"] == name
    if required:
        assert_refused(world.call(route, DOORS[route][0], b""), 422, "invalid")

    assert world.books() == before


LENIENT = {
    "POST /v1/mall/events",
    "POST /v1/mall/reconciliations",
    *(route for route in WITH_BODY if "/admin/" not in route and "/mall/" not in route),
}


@pytest.mark.parametrize("route", sorted({*WITH_BODY} - LENIENT))
def test_a_field_that_nobody_knows_is_named(route: str, world: World) -> None:
    before = world.books()

    answer = world.call(route, DOORS[route][0], {**SAMPLES[route], "surprise": 1})

    assert assert_refused(answer, 422, "invalid")["field"] == "surprise"
    assert world.books() == before


@pytest.mark.parametrize("route", WITH_BODY)
def test_a_number_out_of_all_proportion_is_named(route: str, world: World) -> None:
    before = world.books()
    numbers = [name for name, schema in schema_of(route)["properties"].items() if "integer" in types(schema)]

    for name in numbers:
        for digits in ("9" * 30, "-" + "9" * 30, "9" * 5000, "1e400", "1.5"):
            body = encoded({**SAMPLES[route], name: "digits"}) or b""
            answer = world.call(route, DOORS[route][0], body.replace(b'"digits"', digits.encode()))
            assert assert_refused(answer, 422, "invalid")["field"] == name, digits

    assert world.books() == before


@pytest.mark.parametrize(
    ("route", "inside", "named"),
    [
        ("POST /v1/links", {"target": {"kind": "product"}}, "target.id"),
        ("POST /v1/links", {"target": {"kind": 7, "id": "tea"}}, "target.kind"),
        ("POST /v1/links", {"target": {"kind": "nothing", "id": "tea"}}, "target.kind"),
        ("POST /v1/links", {"channel": "telegram"}, "channel"),
        ("POST /v1/links", {"expires_at": 1}, "expires_at"),
        ("POST /v1/links/batch", {"links": []}, "links"),
        ("POST /v1/links/batch", {"links": [SHARE] * 51}, "links"),
        ("POST /v1/links/batch", {"links": [SHARE, {**SHARE, "channel": 7}]}, "links[1].channel"),
        ("POST /v1/links/batch", {"links": [None]}, "links[0]"),
        ("PUT /v1/me", {"nickname": ""}, "nickname"),
        ("PUT /v1/me", {"nickname": "x" * 33}, "nickname"),
        ("PUT /v1/me", {"avatar": "https://a.example/a.png"}, "avatar"),
        ("PUT /v1/me", {"avatar": "upl_00000000000000000000000000"}, "avatar"),
        ("POST /v1/uploads", {"size": 45 * 1024 + 1}, "size"),
        ("POST /v1/uploads", {"content_type": "image/svg+xml"}, "content_type"),
        ("PUT /v1/uploads/{upload_id}", {"content": "no base64!"}, "content"),
        ("POST /v1/sessions", {"visit_token": "forged"}, "visit_token"),
        ("POST /v1/sessions", {"visit_token": ""}, "visit_token"),
        ("POST /v1/sessions", {"visit_token": "x" * 2001}, "visit_token"),
        ("POST /v1/sessions", {"link": "0123456789"}, "link"),
        ("POST /v1/sessions", {"program_id": "../demo"}, "program_id"),
        ("POST /v1/mall/sessions", {"visit_token": "forged"}, "visit_token"),
        ("POST /v1/mall/sessions", {"external_id": "a#b"}, "external_id"),
        ("PUT /v1/admin/cards", {"title": "{price} {secret}"}, "title"),
        ("PUT /v1/admin/cards", {"path": "pages/a?x={nickname}"}, "path"),
        ("PUT /v1/admin/cards", {"target_kind": "nothing"}, "target_kind"),
        ("PUT /v1/admin/targets", {"price_fen": -1}, "price_fen"),
        ("POST /v1/admin/policies", {"depth": 3}, "depth"),
        ("POST /v1/admin/programs", {"hand_overs": [{"program_id": "a"}]}, "hand_overs[0].path"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(route: str, inside: Body, named: str, world: World) -> None:
    before = world.books()

    answer = world.call(route, DOORS[route][0], {**SAMPLES[route], **inside})

    assert assert_refused(answer, 422, "invalid")["field"] == named
    assert world.books() == before


NO_OBJECTS = {
    "an array": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "a number": b"7",
    "true": b"true",
    "half an object": b"{",
    "an object and more": b"{}{}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "Python": b"{'a': 1}",
    "a form": b"program_id=demo&code=alice",
    "XML": b"<a/>",
    "white space": b" ",
    "a NUL": b"\x00",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "not a number": b'{"wx_scene":NaN}',
    "a deep array": b"[" * 60_000,
    "a deep object": b'{"links":' * 7_000,
}


@pytest.mark.parametrize("broken", NO_OBJECTS)
def test_what_is_no_object_is_a_bad_request(broken: str, world: World) -> None:
    before = world.books()
    # A field that is missing or unknown is seen before what follows it is read.
    early = {"an object and more", "not a number", "a deep object"}

    for route in WITH_BODY:
        answer = world.call(route, DOORS[route][0], NO_OBJECTS[broken])
        if answer.status == 422 and broken in early:
            assert_refused(answer, 422, "invalid")
        elif answer.status == 401 and broken == "UTF-16":  # what the mall signs is text
            assert_refused(answer, 401, "signature_invalid")
        else:
            assert_refused(answer, 400, "bad_request")
    assert world.books() == before


NO_TEXTS = {
    "a byte of no text": b"\xff",
    "half a letter": b"\xe4\xb8",
    "an overlong NUL": b"\xc0\x80",
    "half a surrogate pair": b"\\ud83d",
    "a surrogate pair the wrong way round": b"\\udc00\\ud83d",
    "a surrogate in UTF-8": b"\xed\xa0\x80",
    "a NUL": b"\x00",
    "an escaped NUL": b"\\u0000",
    "a line feed": b"\n",
    "half an escape": b"\\u12",
    "no escape": b"\\x41",
}


@pytest.mark.parametrize("broken", NO_TEXTS)
def test_what_is_no_text_is_refused(broken: str, world: World) -> None:
    before = world.books()

    for route, key in ((one, key) for one in WITH_BODY for key in SAMPLES[one]):
        body = encoded({**SAMPLES[route], key: "broken"}) or b""
        answer = world.call(route, DOORS[route][0], body.replace(b"broken", b"ab" + NO_TEXTS[broken]))
        if DOORS[route] == ("mall",) and answer.status == 401:  # what the mall signs is text
            assert_refused(answer, 401, "signature_invalid")
        else:
            assert_refused(answer, 422 if answer.status == 422 else 400, "bad_request", "invalid")
    assert world.books() == before


@pytest.mark.parametrize("text", ["back\\\\u0000slash", "a\\u00e9b", "\\\\"])
def test_an_escape_that_is_no_nul_is_text(text: str, world: World) -> None:
    body = f'{{"nickname": "{text}"}}'.encode()

    answer = world.call("PUT /v1/me", "member", body)

    assert answer.status == 200 and answer.json["nickname"] == json.loads(body)["nickname"]


def test_a_body_has_64_kilobytes_and_no_more(world: World) -> None:
    before = world.books()
    body = b"{" + b" " * (edge.BODY_LIMIT_BYTES - 2) + b"}"

    for route in WITH_BODY:
        details = assert_refused(world.call(route, DOORS[route][0], body + b" "), 413, "too_large")
        assert details == {"limit_bytes": 65536}
    assert world.books() == before
    assert world.call("PUT /v1/me", "member", body).status == 200


def test_a_body_beyond_what_the_gateway_takes_is_refused_unread(world: World) -> None:
    head = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nAccept-Language: zh\r\n\r\n"

    for length in (server.BODY_LIMIT_BYTES + 1, 10**12, 10**5000):
        answer = world.raw(head.replace(b"%d", f"{length:d}".encode() if length < 10**13 else b"9" * 5000))
        assert answer.startswith(b"HTTP/1.1 413 ") and "请求内容过大。".encode() in answer


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=10), inside, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_body_whatever_makes_it_fail(world: World, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(WITH_BODY))
    known = st.sampled_from(sorted(schema_of(route)["properties"]))
    changes = data.draw(st.dictionaries(known | st.text(max_size=5), anything, max_size=3))

    answer = world.call(route, DOORS[route][0], json.dumps({**SAMPLES[route], **changes}).encode())

    assert answer.status < 500, (route, changes)


# --- wrong paths and queries --------------------------------------------------------------------------------

NO_IDS = (
    "a%2Fb",
    "%2e%2e%2f",
    "%E8%8C%B6",
    "%00",
    "%0a",
    "a%20b",
    "a+b",
    "a;b",
    "a'b",
    "a%22b",
    "<script>",
    "%7Bcode%7D",
    "{code}",
    "$(id)",
    "a@b",
    "*",
    "",
    "x" * 129,
    "A" * 4000,
)


@pytest.mark.parametrize("route", WITH_ID)
def test_what_cannot_be_an_id_does_not_exist(route: str, world: World) -> None:
    before = world.books()
    _, template = route.split()

    for wrong in NO_IDS:
        path = re.sub(r"\{\w+\}", lambda _, wrong=wrong: wrong, template)  # type: ignore[misc]
        if not path.endswith("/"):  # a path without its last part is another path
            assert_refused(world.call(route, DOORS[route][0], path=path), 404, "not_found")
    assert world.books() == before


@pytest.mark.parametrize("letters", ["茶".encode(), b"\xff", b"\x1b[31m", b"\x7f"])
def test_bytes_that_are_no_path_do_not_exist(letters: bytes, world: World) -> None:
    answer = world.raw(b"GET /v1/links/" + letters + b"/qr HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 404 ") and b'"not_found"' in answer


UNKNOWN = (NOWHERE, "x", "..", ".", "~", "-", "mbr_0", "a.b", "a.b.c", "x" * 128, "YQpiCmM")


@pytest.mark.parametrize("route", WITH_ID)
def test_an_id_of_nobody_does_not_exist(route: str, world: World) -> None:
    before = world.books()
    _, template = route.split()

    for unknown in UNKNOWN:
        answer = world.call(route, DOORS[route][0], path=re.sub(r"\{\w+\}", unknown, template))
        assert_refused(answer, 404, "not_found")
    assert world.books() == before


def test_an_id_of_nothing_stuck_does_not_exist(world: World) -> None:
    empty = base64.urlsafe_b64encode(b"deliver\n\n").decode()

    answer = world.call(
        "POST /v1/admin/stuck/{stuck_id}/retry", "owner", path=f"/v1/admin/stuck/{empty}/retry"
    )

    assert_refused(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        *[
            (f"/v1/admin/audit?limit={n}", "limit")
            for n in ("0", "-1", "101", "x", "1e9", "9" * 5000, "", "%00")
        ],
        ("/v1/admin/audit?month=2026", "month"),
        ("/v1/admin/audit?month=2026-1", "month"),
        ("/v1/admin/targets", "kind"),
        ("/v1/admin/targets?kind=A", "kind"),
        ("/v1/admin/targets?kind=%E8%8C%B6", "kind"),
        ("/v1/admin/targets?kind=a%00", "kind"),
        ("/v1/admin/members", "member"),
        ("/v1/admin/members?openid=o1", "member"),
        ("/v1/admin/members?external_id=a%23b", "external_id"),
        (f"/v1/admin/audit?after={'x' * 2001}", "after"),
    ],
)
def test_a_query_that_is_not_allowed_is_named(path: str, named: str, world: World) -> None:
    answer = world.call("GET /v1/admin/audit", "owner", path=path)

    assert assert_refused(answer, 422, "invalid")["field"] == named


@pytest.mark.parametrize("days", ["0", "91", "-7", "week", "", "7.5"])
def test_a_funnel_has_one_to_ninety_days(days: str, world: World) -> None:
    answer = world.call(
        "GET /v1/links/{code}/funnel", "member", path=f"/v1/links/{world.code}/funnel?days={days}"
    )

    assert assert_refused(answer, 422, "invalid")["field"] == "days"


def test_of_a_query_the_last_value_counts_and_what_nobody_knows_does_not(world: World) -> None:
    answer = world.call("GET /v1/admin/audit", "owner", path="/v1/admin/audit?limit=5&colour=red&limit=1")

    assert len(answer.json["items"]) == 1


@pytest.mark.parametrize("accept", [None, "text/html", "application/json"])
def test_a_picture_is_only_sent_to_whom_asks_for_one(accept: str | None, world: World) -> None:
    shown = {"accept": accept} if accept else {}

    answer = world.call(
        "GET /v1/links/{code}/qr", "stranger", path=f"/v1/links/{world.code}/qr?format=png", **shown
    )

    assert "image/png" in assert_refused(answer, 400, "bad_request")["reason"]


# --- how often ----------------------------------------------------------------------------------------------


def test_whoever_calls_too_often_is_told_when_to_come_again(world: World) -> None:
    answers = [world.call("POST /v1/me/binding", "member", {"invite_code": "ABCDEFGH"}) for _ in range(25)]

    refused = [answer for answer in answers if answer.status == 429]
    assert refused and refused[0].code == "too_many_calls"
    assert refused[0].headers["Retry-After"] == "60"
    assert {answer.code for answer in answers} == {"invite_code_unknown", "too_many_calls"}


@pytest.mark.parametrize(
    ("route", "caller"), [("POST /v1/sessions", "stranger"), ("POST /v1/links/{code}/visits", "member")]
)
def test_a_person_at_a_public_door_has_a_limit_as_well_once_they_are_known(
    route: str, caller: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)

    answers = [world.call(route, caller) for _ in range(61)]

    assert [answer.code for answer in answers[1:]] == [None] * 59 + ["too_many_calls"]
    assert answers[-1].headers["Retry-After"] == "60"


# --- cursors ------------------------------------------------------------------------------------------------


def test_a_list_goes_on_from_its_cursor(world: World) -> None:
    seen, after = [], ""
    for _ in range(20):
        answer = world.call("GET /v1/admin/audit", "owner", path=f"/v1/admin/audit?limit=2{after}").json
        seen += [one["id"] for one in answer["items"]]
        if answer["next"] is None:
            break
        after = f"&after={answer['next']}"

    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len([row for row in world.books().values() if row["kind"] == "audit"]) >= 4


@pytest.mark.parametrize(
    "path",
    [
        "/v1/admin/audit?after={next}x",
        "/v1/admin/audit?after={short}",
        "/v1/admin/audit?after=forged",
        "/v1/admin/audit?after=%00",
        "/v1/admin/audit?after=%E8%8C%B6",
        "/v1/admin/audit?month=2020-01&after={next}",
        "/v1/admin/targets?kind=product&after={next}",
    ],
)
def test_a_cursor_of_another_list_or_none_is_refused(path: str, world: World) -> None:
    cursor = world.call("GET /v1/admin/audit", "owner", path="/v1/admin/audit?limit=1").json["next"]

    answer = world.call("GET /v1/admin/audit", "owner", path=path.format(next=cursor, short=cursor[:-4]))

    assert_refused(answer, 400, "cursor_invalid")


LISTS = sorted(route.removesuffix(".csv") for route in DOORS if route.endswith(".csv"))


def in_pages(route: str) -> bool:
    """Whether a list takes a cursor."""
    method, path = route.split()
    operation = DOCUMENT["paths"][path][method.lower()]
    return any(one["name"] == "after" for one in operation.get("parameters", ()))


WHOLE = [route for route in LISTS if not in_pages(route)]
"""Lists that come in one page, and take no cursor."""


@pytest.mark.parametrize("route", [route for route in LISTS if route not in WHOLE])
def test_a_list_takes_no_cursor_that_it_did_not_give(route: str, world: World) -> None:
    path = route.split()[1].format(**world.names)
    asked = {"orders": "member_id", "withdrawals": "member_id", "commissions": "promoter_id"}
    query = "?" + "".join(f"{name}={world.carol}&" for word, name in asked.items() if word in path)
    query += "kind=product&" if path.endswith("/targets") else ""
    query += f"day={BILL_DAY}&" if path.endswith("/differences") else ""

    for name in (path, f"{path}.csv"):
        answer = world.call(route, "owner", path=f"{name}{query}after=forged")
        assert_refused(answer, 400, "cursor_invalid")


# --- lists as CSV -------------------------------------------------------------------------------------------


def lines(answer: Answer) -> list[list[str]]:
    """What a spreadsheet makes of it."""
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("route", LISTS)
def test_a_list_as_csv_has_the_lines_of_the_list(route: str, world: World) -> None:
    path = route.split()[1].format(**world.names)
    about = f"&member_id={world.carol}" if path.endswith(("/orders", "/withdrawals")) else ""
    about = f"&promoter_id={world.alice}" if path.endswith("/commissions") else about
    about = "&kind=product" if path.endswith("/targets") else about
    about = f"&day={BILL_DAY}" if path.endswith("/differences") else about
    query = f"?limit=100{about}" if route not in WHOLE else ""

    items = world.call(route, "owner", path=f"{path}{query}").json["items"]
    answer = world.call(f"{route}.csv", "owner", path=f"{path}.csv{query}")

    columns, *found = lines(answer)
    assert (columns, len(found)) == (list(items[0]), len(items)) and items
    name = path.rsplit("/", 1)[1]
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
    assert (answer.headers["cache-control"], answer.headers["x-next"]) == ("no-store", None)


def test_a_csv_goes_on_from_the_cursor_in_its_header_as_the_list_does(world: World) -> None:
    whole = lines(world.call("GET /v1/admin/audit.csv", "owner", path="/v1/admin/audit.csv?limit=100"))
    first = world.call("GET /v1/admin/audit.csv", "owner", path="/v1/admin/audit.csv?limit=2")

    after = first.headers["x-next"]
    rest = world.call("GET /v1/admin/audit.csv", "owner", path=f"/v1/admin/audit.csv?limit=99&after={after}")

    assert lines(first) + lines(rest)[1:] == whole
    in_json = world.call("GET /v1/admin/audit", "owner", path=f"/v1/admin/audit?limit=99&after={after}").json
    assert [row[0] for row in lines(rest)[1:]] == [item["id"] for item in in_json["items"]]


def test_what_a_member_calls_themselves_is_no_formula_in_a_csv(world: World) -> None:
    formula = '=HYPERLINK("http://x")'
    owner = Operator(key_id="opk_x", name=formula, role="owner")
    members.unblock(member_id=world.bob, reason="-1+1", by=owner, now=clock.now())

    names = [
        row[2] for row in lines(world.call("GET /v1/admin/audit.csv", "owner", path="/v1/admin/audit.csv"))
    ]

    assert f"'{formula}" in names and formula not in names


# --- what is stuck ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["settle", "cancel"])
def test_a_decision_whose_reply_was_lost_answers_the_same_again(action: str, world: World) -> None:
    route = f"POST /v1/admin/stuck/{{stuck_id}}/{action}"
    (before,) = world.call("GET /v1/admin/stuck", "support").json["items"]
    assert (before["id"], before["actions"]) == (world.names["stuck_id"], ["retry", "settle", "cancel"])

    first, again = world.call(route, "support"), world.call(route, "finance")

    assert (first.status, again.status) == (200, 200)
    kept = [{name: answer.json[name] for name in ("id", "action", "how")} for answer in (first, again)]
    assert kept[0] == kept[1] and kept[0]["how"] == {"settle": "told", "cancel": None}[action]
    assert world.call("GET /v1/admin/stuck", "support").json["items"] == []
    other = {"settle": "cancel", "cancel": "settle"}[action]
    assert_refused(world.call(f"POST /v1/admin/stuck/{{stuck_id}}/{other}", "support"), 404, "not_found")


def test_a_decision_is_refused_in_this_order(world: World) -> None:
    route = "POST /v1/admin/stuck/{stuck_id}/settle"
    orders.pay(world.names["order_id"], Paid(payment_id="pay_5", amount_fen=5), now=clock.now())
    wrong, _ = world.call("GET /v1/admin/stuck", "owner").json["items"]
    path = f"/v1/admin/stuck/{wrong['id']}"

    assert_refused(world.call(route, "store", {"reason": "x"}, path=f"{path}/settle"), 403, "forbidden")
    assert_refused(world.call(route, "owner", {"reason": ""}, path=f"{path}/settle"), 422, "invalid")
    nothing = world.call(route, "owner", {"reason": "x"}, path="/v1/admin/stuck/nothing/settle")
    assert_refused(nothing, 404, "not_found")
    refused = world.call(
        "POST /v1/admin/stuck/{stuck_id}/cancel", "owner", {"reason": "x"}, path=f"{path}/cancel"
    )
    assert assert_refused(refused, 409, "action_not_applicable") == {"actions": ["settle"]}
    unsaid = world.call(route, "owner", {"reason": "x"}, path=f"{path}/settle")
    assert assert_refused(unsaid, 422, "invalid")["known"] == ["accepted", "refund", "returned"]

    done = world.call(route, "owner", {"reason": "x", "how": "accepted"}, path=f"{path}/settle")

    assert (done.status, done.json["how"]) == (200, "accepted")
    assert orders.show(world.names["order_id"]).state == "paid"


def test_a_trail_can_be_read_over_the_turn_of_a_month(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    after = world.call("GET /v1/admin/audit", "owner", path="/v1/admin/audit?limit=1").json["next"]
    later, query = clock.now() + 32 * clock.DAY, table.query

    def as_aws_does(kind: type[table.Row], pk: str, **given: Any) -> table.Page:
        assert not given["after"] or given["after"]["pk"]["S"] == pk, "outside query boundaries"
        return query(kind, pk, **given)

    monkeypatch.setattr(clock, "now", lambda: later)
    monkeypatch.setattr(table, "query", as_aws_does)
    answer = world.call("GET /v1/admin/audit", "owner", path=f"/v1/admin/audit?after={after}")

    assert answer.status in (200, 400)


def test_a_cursor_does_not_tell_what_it_hides_from_a_change(world: World) -> None:
    theirs = cursors.seal({"pk": {"S": "AUDIT#2020-01"}, "sk": {"S": "aud_"}}, where="audit#2020-01", now=0)

    answer = world.call("GET /v1/admin/audit", "owner", path=f"/v1/admin/audit?after={theirs}")

    assert_refused(answer, 400, "cursor_invalid")


# --- the mall's signatures ----------------------------------------------------------------------------------


def vouch(
    world: World, headers: Mapping[str, str], body: Body | None = None, path: str = "/v1/mall/sessions"
) -> Answer:
    """A call of the mall with these headers."""
    content = encoded(body or SAMPLES[MALL])
    return world.send("POST", path, content, **{"content_type": "application/json", **headers})


def test_the_same_call_again_succeeds_again(world: World) -> None:
    headers = signed(encoded(SAMPLES[MALL]) or b"")

    first, again = vouch(world, headers), vouch(world, headers)

    assert (first.status, again.status) == (201, 200)
    assert first.json["member"]["member_id"] == again.json["member"]["member_id"]


@pytest.mark.parametrize("late_s", [-301, 302, 86400, -(10**9)])
def test_a_signature_is_good_for_five_minutes(late_s: int, world: World) -> None:
    before = world.books()

    answer = vouch(world, signed(encoded(SAMPLES[MALL]) or b"", at=clock.now() - late_s))

    assert_refused(answer, 401, "signature_invalid")
    assert world.books() == before


def test_an_id_that_served_one_call_serves_no_other(world: World) -> None:
    other = {**SAMPLES[MALL], "external_id": "m-2"}
    vouch(world, signed(encoded(SAMPLES[MALL]) or b"", webhook_id="once"))
    before = world.books()

    replayed = vouch(world, signed(encoded(other) or b"", webhook_id="once"), other)
    moved = vouch(
        world, signed(encoded(SAMPLES[MALL]) or b"", webhook_id="once"), path="/v1/mall/sessions?a=1"
    )

    assert_refused(replayed, 401, "signature_invalid")
    assert_refused(moved, 401, "signature_invalid")
    assert world.books() == before


def test_a_signature_is_of_its_body_and_its_secret(world: World) -> None:
    before = world.books()
    content = encoded(SAMPLES[MALL]) or b""

    assert_refused(vouch(world, signed(b"{}")), 401, "signature_invalid")
    assert_refused(vouch(world, signed(content, secret="another")), 401, "signature_invalid")
    for name in ("webhook_id", "webhook_timestamp", "webhook_signature"):
        part = {key: text for key, text in signed(content).items() if key != name}
        assert_refused(vouch(world, part), 401, "signature_invalid")
    assert world.books() == before


def test_a_timestamp_of_any_length_is_refused_as_such(world: World) -> None:
    headers = {**signed(encoded(SAMPLES[MALL]) or b""), "webhook_timestamp": "9" * 5000}

    assert_refused(vouch(world, headers), 401, "signature_invalid")


# --- what is not our caller's fault -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("error:-1", 503, "wechat_unavailable"),
        ("error:45011", 429, "login_too_often"),
        ("error:40226", 403, "login_refused"),
        ("error:40125", 500, "wechat_misconfigured"),
        ("error:40029", 401, "login_code_invalid"),
        ("??", 401, "login_code_invalid"),
    ],
)
def test_what_wechat_refuses_is_told_in_our_words(code: str, status: int, error: str, world: World) -> None:
    before = world.books()

    answer = world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": code})

    assert_refused(answer, status, error)
    assert world.books() == before


@pytest.mark.parametrize("fault", ["busy", "lost"])
def test_a_wechat_that_does_not_answer_is_waited_for(fault: wechat.Fault, world: World) -> None:
    world.weixin.fault = fault

    answer = world.call("POST /v1/sessions", "stranger")

    assert_refused(answer, 503, "wechat_unavailable")
    assert answer.headers["retry-after"] == "2"


def test_a_store_out_of_reach_is_busy_and_says_when_to_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise Busy

    monkeypatch.setattr(table, "_patiently", unreachable)

    for route in ("GET /v1/me", "PUT /v1/me", "POST /v1/links"):
        answer = world.call(route, "member", accept_language="zh")
        assert_refused(answer, 503, "busy")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["access-control-expose-headers"] == "Retry-After,X-Request-Id,X-Next"


class Unspeakable:
    """What no JSON can say."""


@pytest.mark.parametrize("broken", [RuntimeError("the key is s3cret"), Unspeakable(), KeyError("s3cret")])
def test_a_failure_of_ours_tells_nothing(broken: Any, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        if isinstance(broken, Exception):
            raise broken
        return broken

    monkeypatch.setattr("chalicelib.members.answers.me", fail)

    answer = world.call("GET /v1/me", "member")

    assert assert_refused(answer, 500, "internal_error") == {}
    assert b"s3cret" not in answer.content and b"Traceback" not in answer.content


# --- the wire -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"NONSENSE", 400),
        (b"GET", 400),
        (b"GET /v1/programs HTTP/9.9", 400),
        (b"GET /v1/programs HTTP/x", 400),
        (b"GET /%s HTTP/1.1" % (b"a" * 70_000), 400),
        (b"BREW /v1/programs HTTP/1.1", 405),
        (b"GET //[ HTTP/1.1", 404),
        (b"GET /v1/programs/../me HTTP/1.1", 404),
    ],
)
def test_a_request_line_of_no_kind_is_refused_and_answered(
    request_line: bytes, status: int, world: World
) -> None:
    answer = world.raw(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")

    body = answer.rsplit(b"\r\n\r\n", 1)[-1]
    assert set(json.loads(body)["error"]) == {"code", "message", "details", "request_id"}
    # Of the oldest HTTP, without a version, an answer is a body only.
    assert answer.startswith(b"HTTP/1.1 %d " % status) or answer == body


@pytest.mark.parametrize("length", [b"-1", b"+5", b"x", b"", b"\xb2", b"1, 2", b"0x10"])
def test_a_length_that_is_none_is_refused(length: bytes, world: World) -> None:
    before = world.books()

    answer = world.raw(b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ") and b'"bad_request"' in answer
    assert world.books() == before


def test_no_request_hides_in_the_body_of_another(world: World) -> None:
    before = world.books()
    hidden = b"DELETE /v1/links/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (
        world.code.encode(),
        world.bearers["member"].encode(),
    )
    head = b"PUT /v1/me HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    for framing in (b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\nContent-Length: 0\r\n"):
        answer = world.raw(head + framing + b"\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden))
        assert answer.count(b"HTTP/1.1 ") == 1 and answer.startswith(b"HTTP/1.1 400 ")
    assert world.books() == before


def test_an_unknown_path_is_not_found_whatever_is_shown(world: World) -> None:
    for shown in ("Bearer é", "Bearer x", "AWS4-HMAC-SHA256 Credential=x"):
        given = shown.encode("latin-1").decode("latin-1")
        assert_refused(world.send("GET", "/v1/nowhere", authorization=given), 404, "not_found")


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({}, "http://127.0.0.1:{port}"),
        ({"host": "shop.example"}, "http://shop.example"),
        ({"host": "shop.example:8443", "x_forwarded_proto": "https"}, "https://shop.example:8443"),
        ({"host": "[::1]:8000"}, "http://[::1]:8000"),
        ({"host": "a b"}, "http://localhost"),
        ({"host": '"><script>'}, "http://localhost"),
        ({"host": "x" * 5000}, "http://localhost"),
        ({"host": "shop.example", "x_forwarded_proto": "javascript"}, "https://shop.example"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_links_lead_back_to_where_they_were_asked_for(
    headers: dict[str, str], base: str, slash: str, world: World
) -> None:
    config.override(base_url="")

    minted = world.call("POST /v1/links", "member", path=f"/v1/links{slash}", **headers)
    page = world.call("GET /s/{code}", "stranger", **headers)

    assert minted.json["url"] == f"{base.format(port=world.port)}/s/{minted.json['code']}"
    assert page.status == 200 and b'<script>"' not in page.content


def test_many_at_once_are_each_answered_for_themselves(world: World) -> None:
    names = [f"guest-{n}" for n in range(24)]
    answers: dict[str, str] = {}

    def sign_in(name: str) -> None:
        token = world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": name}).json[
            "token"
        ]
        shown = {"authorization": f"Bearer {token}"}
        world.call("PUT /v1/me", "stranger", {"nickname": name}, **shown)
        answers[name] = world.call("GET /v1/me", "stranger", **shown).json["nickname"]

    threads = [threading.Thread(target=sign_in, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == {name: name for name in names}


def test_the_stuck_delivery_of_these_tests_is_stuck(world: World) -> None:
    assert [row.pk for row in due.stuck("deliver", limit=9).rows] == ["dlv_1"]
