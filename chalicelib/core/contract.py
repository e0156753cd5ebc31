"""The contract as OpenAPI 3.1, made from the routes and their structs, at `/v1/openapi.json`."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from chalicelib.core import doors, http
from chalicelib.core.errors import (
    AppError,
    BadRequest,
    Busy,
    Forbidden,
    InternalError,
    Invalid,
    NotFound,
    SignatureInvalid,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from chalicelib.core.http import CSV, Api, Call, Document, Route
from chalicelib.core.limits import TooManyCalls

api = Api(__name__)
EXAMPLES = Path(__file__).with_name("examples.json")
"""Calls that were made of every route, and what was answered; `make examples` makes them again."""
_REF = "#/components/schemas/{name}"
_SCHEMES = {
    "member": {"type": "http", "scheme": "bearer", "description": "A session token of POST /v1/sessions."},
    "operator": {"type": "http", "scheme": "bearer", "description": "An operator key."},
    "mall": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks: also webhook-id and webhook-timestamp.",
    },
    "wechat": {
        "type": "apiKey",
        "in": "header",
        "name": "Wechatpay-Signature",
        "description": "WeChat Pay v3: also Wechatpay-Timestamp, Wechatpay-Nonce and Wechatpay-Serial.",
    },
}
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "What this call is called in the logs.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "When to call again, in seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-Next": {"description": "The cursor of the next page.", "schema": {"type": "string"}},
    "Location": {
        "description": "Where it is.",
        "required": True,
        "schema": {"type": "string", "format": "uri"},
    },
}
_PART = {"type": "string", "pattern": rf"^{http.ID_PATTERN}$(?!\n)"}
_FAILURE = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"const": "FAIL"}, "message": {"type": "string"}},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details", "request_id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
                "request_id": {"type": "string"},
            },
        }
    },
}


@api.get("/v1/openapi.json", door=doors.PUBLIC, types=["application/json"])
def show_contract(call: Call) -> Document:
    """This document."""
    return Document(encoded().decode(), "application/json; charset=utf-8")


@lru_cache(maxsize=1)
def encoded() -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """The document of all routes that are registered."""
    routes = sorted(http.routes, key=lambda route: (route.path, route.method))
    kinds = [kind for route in routes for kind in _kinds(route)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    known = dict(zip(map(_name, kinds), schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Liebian",
            "version": "1",
            "description": (
                "Growth and social backend for mini-programs. "
                "Whole numbers are written without a fraction (3, not 3.0), and no text has U+0000 in it."
            ),
        },
        "paths": paths,
        "components": {
            "headers": _HEADERS,
            "schemas": {**components, "Error": _ERROR, "NotTaken": _FAILURE, "PathPart": _PART},
            "securitySchemes": _SCHEMES,
        },
    }


def _kinds(route: Route) -> list[Any]:
    named = [route.hints.get("body"), route.hints.get("query"), route.answer]
    return [kind for kind in named if kind is not None and kind not in (Document, bytes)]


def _name(kind: Any) -> str:
    return str(kind)


def _operation(route: Route, known: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    example = _examples().get(f"{route.method} {route.path}", {})
    parameters = [*_path_parameters(route), *_query_parameters(route, known, components)]
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": (route.view.__doc__ or "").strip().splitlines()[0],
        "tags": [route.view.__module__.split(".")[1]],
        "parameters": [_shown(one, example.get(one["in"], {}), one["name"]) for one in parameters],
        "responses": _responses(route, known, example),
    }
    if "body" in route.hints:
        content = _content(route.hints["body"], known, example)
        operation["requestBody"] = {"required": _must_say(route.hints["body"]), "content": content}
    # At a public door a session is optional: it shows names unmasked.
    operation["security"] = [{}, {"member": []}] if route.door == doors.PUBLIC else [{route.door.kind: []}]
    if route.door.kind == "operator":
        operation["description"] = f"Roles: {', '.join(sorted(route.door.roles))}."
    return operation


@lru_cache(maxsize=1)
def _examples() -> dict[str, Any]:
    """Read when the document is asked for, which a function that starts has no time to wait for."""
    examples: dict[str, Any] = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    return examples


def _shown(part: dict[str, Any], example: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of the document with its example, if there is one."""
    return {**part, "example": example[name]} if name in example else part


def _must_say(kind: Any) -> bool:
    """Whether no body at all is a wrong one: it is read as one without fields."""
    return kind is bytes or any(field.required for field in msgspec.structs.fields(kind))


def _content(kind: Any, known: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """A struct; or what WeChat sends, which is as its own documentation says."""
    if kind is bytes:
        return {
            "application/json": _shown({"schema": {"type": "object"}}, example, "body"),
            "text/xml": {"schema": {"type": "string"}},
        }
    return {"application/json": _shown({"schema": known[_name(kind)]}, example, "body")}


def _operation_id(route: Route) -> str:
    _, *where = route.view.__module__.removesuffix(".routes").split(".")
    return "_".join([*where, route.view.__name__])


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "schema": {"$ref": _REF.format(name="PathPart")}}
        for name in names
    ]


def _query_parameters(
    route: Route, known: dict[str, Any], components: dict[str, Any]
) -> list[dict[str, Any]]:
    if "query" not in route.hints:
        return []
    schema = components[known[_name(route.hints["query"])]["$ref"].rsplit("/", 1)[1]]
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": kind}
        for name, kind in schema["properties"].items()
    ]


def _responses(route: Route, known: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    answer = {"description": "It is so.", "content": _answers(route, known, example)}
    statuses = {str(route.status): answer}
    if route.status == 201:
        statuses["200"] = {**answer, "description": "It was so already."}
    for status, errors in _refusals(route).items():
        statuses[str(status)] = {"description": ", ".join(sorted({error.code for error in errors}))}
        named = "NotTaken" if route.door.kind == "wechat" else "Error"
        content = {"application/json": {"schema": {"$ref": _REF.format(name=named)}}}
        statuses[str(status)]["content"] = content
    for status in route.also:
        _also(statuses.setdefault(str(status), {"description": "It is elsewhere."}), status, route)
    return {status: _headed(told, int(status), route) for status, told in sorted(statuses.items())}


def _also(told: dict[str, Any], status: int, route: Route) -> None:
    """A status that is answered with a document, too; where that is elsewhere, nothing is here."""
    if status >= 400:
        told["content"] = {**told.get("content", {}), **{kind: {} for kind in route.types}}


def _answers(route: Route, known: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    if route.answer is not Document:
        return {"application/json": _shown({"schema": known[_name(route.answer)]}, example, "answer")}
    return {kind: _shown({}, example, "answer") for kind in route.types}


def _headed(told: dict[str, Any], status: int, route: Route) -> dict[str, Any]:
    """With the headers that say more than their status does."""
    names = ["X-Request-Id"]
    if status in (429, 503):
        names.append("Retry-After")
    if status == 302:
        names.append("Location")
    if status == 200 and CSV in route.types:
        names.append("X-Next")
    return {**told, "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


_AT_THE_DOOR: dict[str, list[type[AppError]]] = {
    "public": [Forbidden],  # who is signed in and blocked is refused there, too
    "member": [Unauthorized, Forbidden],
    "operator": [Unauthorized, Forbidden],
    "mall": [SignatureInvalid],
    "wechat": [SignatureInvalid],
}


def _refusals(route: Route) -> dict[int, list[type[AppError]]]:
    """By status, what the route refuses of itself, and what its door, body, query and the store add."""
    errors: list[type[AppError]] = [*route.refuses, Busy, InternalError]
    errors += _AT_THE_DOOR[route.door.kind]
    if "body" in route.hints or "query" in route.hints:
        errors += [Invalid, BadRequest]
    if "body" in route.hints:
        errors += [TooLarge, UnsupportedMediaType]
    if "{" in route.path:
        errors += [NotFound]
    if route.a_minute is not None:
        errors += [TooManyCalls]
    by_status: dict[int, list[type[AppError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    return by_status
