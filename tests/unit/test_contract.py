"""The contract is valid OpenAPI 3.1, tells of every route, and of nothing that WeChat cannot call."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import app
from chalicelib.core import contract, http
from chalicelib.core.errors import AppError
from chalicelib.core.http import Document, Route

DOCUMENT = contract.document()
OPERATIONS = [
    (path, method, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
ROUTES = pytest.mark.parametrize("route", http.routes, ids=lambda route: f"{route.method} {route.path}")


def told(route: Route) -> dict[str, Any]:
    """What the document says of a route."""
    operation: dict[str, Any] = DOCUMENT["paths"][route.path][route.method.lower()]
    return operation


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for child in value if isinstance(value, list) else ():
        yield from nodes(child)


# --- the walk over the routes -------------------------------------------------------------------------------


def test_the_document_tells_of_the_routes_that_chalice_serves() -> None:
    served = {(path, method) for path, methods in app.app.routes.items() for method in methods}
    declared = [(route.path, route.method) for route in http.routes]

    assert len(declared) == len(set(declared)) > 30
    assert served == set(declared) == {(path, method.upper()) for path, method, _ in OPERATIONS}


@ROUTES
def test_a_route_is_one_that_wx_request_can_call(route: Route) -> None:
    assert route.method in ("GET", "POST", "PUT", "DELETE")
    assert re.fullmatch(r"(/v1)?(/[a-z]+(-[a-z]+)*(\.json|\.csv|\.svg)?|/\{[a-z_]+\})+", route.path)
    assert route.path.startswith("/v1/") or route.path == "/s/{code}"


@ROUTES
def test_a_route_says_what_it_does_and_who_may_pass(route: Route) -> None:
    operation = told(route)
    optional: list[dict[str, list[str]]] = [{}, {"member": []}]
    assert operation["summary"].endswith(".") and len(operation["summary"]) < 160
    assert operation["security"] == (optional if route.door.kind == "public" else [{route.door.kind: []}])
    assert ("Roles: " in operation.get("description", "")) == (route.door.kind == "operator")


@ROUTES
def test_the_path_says_which_door(route: Route) -> None:
    behind = {"/v1/admin/": "operator", "/v1/mall/": "mall", "/v1/wechat/": "wechat"}
    kind = next((kind for start, kind in behind.items() if route.path.startswith(start)), None)

    assert route.door.kind == kind or (kind is None and route.door.kind in ("public", "member"))


@ROUTES
def test_a_route_tells_its_answers(route: Route) -> None:
    responses = told(route)["responses"]

    assert str(route.status) in responses and "503" in responses
    assert {"401", "403"} <= set(responses) or route.door.kind in ("mall", "public", "wechat")
    assert {str(kind.status) for kind in route.refuses} <= set(responses)
    assert all(response["description"] for response in responses.values())
    for status, response in responses.items():
        if status.startswith("3"):
            assert int(status) in route.also and "content" not in response
        elif not status.startswith("2"):
            name = "NotTaken" if route.door.kind == "wechat" else "Error"
            schema = response["content"]["application/json"]["schema"]
            assert schema == {"$ref": f"#/components/schemas/{name}"}
        elif route.answer is not Document:
            assert response["content"]["application/json"]["schema"]["$ref"] in references()


@ROUTES
def test_a_refusal_is_told_by_its_code(route: Route) -> None:
    for kind in route.refuses:
        assert kind.code in told(route)["responses"][str(kind.status)]["description"].split(", ")


@ROUTES
def test_parameters_of_the_path_are_those_of_the_route(route: Route) -> None:
    given = [one for one in told(route)["parameters"] if one["in"] == "path"]

    assert [one["name"] for one in given] == re.findall(r"\{(\w+)\}", route.path)
    assert all(one["required"] for one in given)
    assert set(re.findall(r"\{(\w+)\}", route.path)) <= set(route.hints)


@ROUTES
def test_only_what_changes_something_has_a_body(route: Route) -> None:
    assert ("body" in route.hints) == ("requestBody" in told(route))
    assert route.method in ("POST", "PUT") or "body" not in route.hints


@ROUTES
def test_a_body_may_be_left_out_where_every_field_of_it_may(route: Route) -> None:
    kind = route.hints.get("body")
    if kind in (None, bytes):
        return
    try:
        http.decode(b"{}", kind)
    except AppError:
        assert told(route)["requestBody"]["required"]
    else:
        assert not told(route)["requestBody"]["required"]


@ROUTES
def test_an_answer_with_a_time_carries_now(route: Route) -> None:
    if route.answer is Document:
        return
    name = told(route)["responses"][str(route.status)]["content"]["application/json"]["schema"]["$ref"]
    fields = DOCUMENT["components"]["schemas"][name.rsplit("/", 1)[1]]["properties"]

    assert "now" in fields or not any(field.endswith("_at") for field in fields)


# --- the document -------------------------------------------------------------------------------------------


def references() -> set[str]:
    """Every schema and header by the reference to it."""
    kinds = ("schemas", "headers")
    return {f"#/components/{kind}/{name}" for kind in kinds for name in DOCUMENT["components"][kind]}


def test_the_document_has_the_parts_that_openapi_asks_for() -> None:
    # https://spec.openapis.org/oas/v3.1.0: the rules that a mistake of ours could break.
    assert DOCUMENT["openapi"] == "3.1.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert set(DOCUMENT) <= {"openapi", "info", "paths", "components"}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in DOCUMENT["components"]["schemas"])


def test_every_reference_leads_somewhere() -> None:
    used = {node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node}

    assert used <= references()


def test_an_operation_is_named_once() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


def test_security_is_of_schemes_that_are_told() -> None:
    used = {name for _, _, operation in OPERATIONS for one in operation["security"] for name in one}

    assert used == set(DOCUMENT["components"]["securitySchemes"])


def test_templates_differ_in_more_than_the_names_of_their_parts() -> None:
    shapes = [re.sub(r"\{\w+\}", "{}", path) for path in DOCUMENT["paths"]]

    assert len(shapes) == len(set(shapes))


def test_parameters_are_told_once_and_with_a_schema() -> None:
    for path, method, operation in OPERATIONS:
        names = [(one["name"], one["in"]) for one in operation["parameters"]]
        assert len(names) == len(set(names)), (path, method)
        assert all(
            set(one) - {"example"} == {"name", "in", "required", "schema"} for one in operation["parameters"]
        )


def test_every_pattern_compiles() -> None:
    for node in nodes(DOCUMENT):
        if isinstance(node.get("pattern"), str):
            re.compile(node["pattern"])


def test_no_pattern_lets_a_line_feed_in_at_the_end() -> None:
    # msgspec searches with Python's `re`, where `$` also stands before a last line feed; `$(?!\n)` does not.
    patterns = {node["pattern"] for node in nodes(DOCUMENT) if isinstance(node.get("pattern"), str)}

    assert [pattern for pattern in sorted(patterns) if pattern.endswith("$")] == []


def test_the_document_is_served_as_it_is() -> None:
    assert json.loads(contract.encoded()) == json.loads(json.dumps(DOCUMENT))
