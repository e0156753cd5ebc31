"""What API Gateway sends of one greedy resource is answered as what it sent when each route was one."""

import base64
import json
import re
from typing import Any

import pytest
from chalice import local
from chalice.config import Config

import app
from chalicelib.core import clock, config, http
from chalicelib.core.errors import NotFound
from chalicelib.members import service as members
from tests.factories import NOW, a_link, a_member
from tests.harness.direct import Direct
from tests.harness.gateway import Ask, Event, answered

CORS = http.CORS.get_access_control_headers()
ROUTES = sorted({route.path for route in http.routes})


def refused(answer: Event, status: int, code: str) -> dict[str, Any]:
    """The error of a refusal that a page of another site may read."""
    assert answer["headers"].items() >= CORS.items()
    error: dict[str, Any] = json.loads(answer["body"])["error"]
    assert (answer["statusCode"], error["code"], error["request_id"]) == (status, code, "request-1")
    return error


@pytest.fixture
def member(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> str:
    """Somebody signed in, while the clock stands."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    return a_member()


@pytest.fixture
def signed_in(member: str) -> dict[str, str]:
    """How the member shows who they are."""
    token, _ = members.token_for(members.show(member), program_id="demo", visitor="a-phone", now=NOW)
    return {"Authorization": f"Bearer {token}"}


def both(ask: Ask, route: str, **parameters: str) -> Event:
    """The answer, which is the same whether the API has a resource for the route or for all of them."""
    named, proxied = answered(ask.of(route, parameters or None)), answered(ask.proxied)
    assert proxied == named
    return proxied


def test_what_is_read_is_the_same(member: str, signed_in: dict[str, str]) -> None:
    code = a_link(sharer_id=member).code
    route, path = "/v1/links/{code}/funnel", f"/v1/links/{code}/funnel"

    own = both(Ask(method="GET", path=path, query="days=7", headers=signed_in), route, code=code)
    assert (own["statusCode"], json.loads(own["body"])["code"]) == (200, code)
    assert own["headers"].items() >= CORS.items()
    wrong = both(Ask(method="GET", path=path, query="days=7&days=0", headers=signed_in), route, code=code)
    assert refused(wrong, 422, "invalid")["details"]["field"] == "days"
    refused(both(Ask(method="GET", path=path), route, code=code), 401, "unauthorized")
    for end in ("", "/"):
        listed = both(Ask(method="GET", path=f"/v1/programs{end}"), "/v1/programs")
        assert (listed["statusCode"], json.loads(listed["body"])["items"]) == (200, [])


def test_what_is_written_is_the_same(member: str, signed_in: dict[str, str]) -> None:
    wanted = b'{"target": {"kind": "product", "id": "tea"}, "channel": "wechat"}'
    mint = Ask(method="POST", path="/v1/links", body=wanted, headers=signed_in)
    assert answered(mint.proxied)["statusCode"] == 201
    minted = json.loads(both(mint, "/v1/links")["body"])

    name = Ask(method="PUT", path="/v1/me", body='{"nickname": "阿丽"}'.encode(), headers=signed_in)
    assert json.loads(both(name, "/v1/me")["body"])["nickname"] == "阿丽"
    off = Ask(method="DELETE", path=f"/v1/links/{minted['code']}", headers=signed_in)
    assert json.loads(both(off, "/v1/links/{code}", code=minted["code"])["body"])["state"] == "off"


def test_what_is_wrong_is_refused_the_same(signed_in: dict[str, str]) -> None:
    invalid = both(
        Ask(method="POST", path="/v1/links", body=b'{"channel": 7}', headers=signed_in), "/v1/links"
    )
    assert refused(invalid, 422, "invalid")["details"]["field"]
    large = Ask(method="POST", path="/v1/links", body=b" " * (http.BODY_LIMIT_BYTES + 1), headers=signed_in)
    refused(both(large, "/v1/links"), 413, "too_large")
    form = Ask(method="POST", path="/v1/links", headers={"Content-Type": "text/plain"})
    refused(both(form, "/v1/links"), 415, "unsupported_media_type")


@pytest.mark.parametrize("value", ["a%2Fb", "%61", "a b", "é", "{code}", "*"])
def test_what_cannot_be_an_id_is_not_found(value: str, signed_in: dict[str, str]) -> None:
    ask = Ask(method="DELETE", path=f"/v1/links/{value}", headers=signed_in)

    refused(both(ask, "/v1/links/{code}", code=value), 404, "not_found")


def test_pages_and_pictures_are_the_same(member: str) -> None:
    code = a_link(sharer_id=member).code

    page = both(Ask(method="GET", path=f"/s/{code}"), "/s/{code}", code=code)
    assert (page["statusCode"], page["headers"]["Content-Type"]) == (200, "text/html; charset=utf-8")
    qr = Ask(
        method="GET", path=f"/v1/links/{code}/qr", query="format=png", headers={"Accept": "image/png,*/*"}
    )
    picture = both(qr, "/v1/links/{code}/qr", code=code)
    assert picture["isBase64Encoded"] and base64.b64decode(picture["body"]).startswith(b"\x89PNG")


@pytest.mark.parametrize(("before", "base"), [("/api", "/api"), ("", ""), ("/shop", "/shop")])
def test_links_lead_back_through_the_stage_or_the_domain(
    before: str, base: str, signed_in: dict[str, str]
) -> None:
    config.override(base_url="")
    wanted = b'{"target": {"kind": "product", "id": "tea"}, "channel": "wechat"}'
    mint = Ask(method="POST", path="/v1/links/", body=wanted, before=before, headers=signed_in)
    answered(mint.proxied)

    minted = json.loads(both(mint, "/v1/links")["body"])

    assert minted["url"] == f"https://api.example.com{base}/s/{minted['code']}"


@pytest.mark.parametrize(
    "path", ["/", "//", "/v1", "/v1/nowhere", "/v1//programs", "/v1/programs/../me", "/api/v1/me"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_an_unknown_path_is_not_found_in_the_words_of_the_app(path: str, method: str) -> None:
    for language, said in (("zh-CN", NotFound.zh), ("fr", NotFound.en)):
        ask = Ask(method=method, path=path, headers={"Accept-Language": language})
        assert refused(answered(ask.proxied), 404, "not_found")["message"] == said


def test_a_console_that_sends_no_headers_is_answered() -> None:
    refused(answered({**Ask(method="GET", path="/").proxied, "headers": None}), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "DELETE"])
def test_a_known_path_with_another_method_says_so(method: str) -> None:
    answer = both(Ask(method=method, path="/v1/links"), "/v1/links")

    refused(answer, 405, "method_not_allowed")
    assert answer["headers"]["Allow"] == "POST"


def test_a_preflight_is_answered_as_chalice_lets_the_gateway_answer_it() -> None:
    there = local.LocalGateway(app.app, Config.create(chalice_app=app.app))
    for route in ROUTES:
        path = re.sub(r"{\w+}", "x1", route)
        told = there.handle_request("OPTIONS", path, {}, None)
        allowed = told["headers"]["Access-Control-Allow-Methods"]

        answer = answered(Ask(method="OPTIONS", path=path).proxied)

        assert (answer["statusCode"], answer["headers"]) == (told["statusCode"], told["headers"])
        assert (answer["statusCode"], answer["body"], answer["multiValueHeaders"]) == (200, "", {})
        assert set(allowed.split(",")) == {*app.app.routes[route], "OPTIONS"}
