"""The HTTP edge: one decorator that turns a plain function into a route.

    api = http.Api(__name__)

    @api.post("/v1/links", door=doors.MEMBER, status=201)
    def mint(call: Call, body: MintLink) -> LinkAnswer: ...

The decorator admits the caller, decodes body and query into msgspec structs, answers in UTF-8 JSON and turns
errors into the envelope, all inside the view: Chalice's middleware never sees a view's exception, and a body that
cannot be serialised outside it would crash the invocation. Times, languages and ids come with the `Call`.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, wraps
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import urlencode

import msgspec
from chalice.app import Blueprint, Chalice, CORSConfig, Request, Response

from chalicelib.core import clock, config, doors, limits, sheets, telemetry
from chalicelib.core.dispatch import Paths
from chalicelib.core.errors import (
    AppError,
    BadRequest,
    InternalError,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from chalicelib.core.telemetry import about, count, logger, measure

BODY_LIMIT_BYTES = 64 * 1024
CORS = CORSConfig(
    allow_origin="*",
    allow_headers=["Authorization", "Accept-Language", "Idempotency-Key"],
    expose_headers=["Retry-After", "X-Request-Id", "X-Next"],
    max_age=86400,
)
CSV = "text/csv"
Headers = dict[str, str | list[str]]
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
ID_PATTERN = r"[A-Za-z0-9_.~-]{1,512}"
_ID = re.compile(ID_PATTERN)
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_FIELD = re.compile(r"`\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`|unknown field `([^`]+)`")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as plain values."""

    now: int
    lang: str
    caller: doors.Caller
    base_url: str
    ip: str
    user_agent: str
    request_id: str
    idempotency_key: str | None = None

    @property
    def member_id(self) -> str:
        """The signed-in member; only behind the member door."""
        assert self.caller.session is not None
        return self.caller.session.member_id

    @property
    def program_id(self) -> str:
        """The program that the member is signed in to; only behind the member door."""
        assert self.caller.session is not None
        return self.caller.session.program_id

    @property
    def operator(self) -> doors.Operator:
        """The operator; only behind an operator door."""
        assert self.caller.operator is not None
        return self.caller.operator


class Reply(msgspec.Struct, Generic[T], frozen=True):
    """An answer with a status of its own, such as 200 for a repeat where the first was 201."""

    body: T
    status: int = 200


class Document(msgspec.Struct, frozen=True):
    """An answer that is not JSON: a page or a picture."""

    content: str | bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


class Listing(msgspec.Struct, kw_only=True, frozen=True):
    """How much of a list, and from where: the query of every list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class Items(msgspec.Struct, Generic[T], kw_only=True, frozen=True):
    """One page of a list; ``next`` is the cursor of the page after it, null at the end."""

    items: list[T]
    next: str | None = None
    now: int


class Route(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a route is: for the edge itself, the OpenAPI document and the test that walks all doors."""

    method: str
    path: str
    door: doors.Door
    status: int
    view: Callable[..., Any]
    refuses: Sequence[type[AppError]]
    a_minute: int | None = None
    """How often one member may call it, see `limits`; whom nobody knows a public door cannot count."""
    types: Sequence[str] = ()
    """The media types of its answer, where that is a `Document`."""
    also: Sequence[int] = ()
    """Statuses beside ``status`` with which it answers a `Document` too."""

    @property
    def name(self) -> str:
        """What it is called in the log."""
        return f"{self.method} {self.path}"

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The view's types, resolved at its first request and not at import."""
        return get_type_hints(self.view, include_extras=True)

    @property
    def answer(self) -> Any:
        """The type of the answer's body."""
        answer = self.hints["return"]
        return get_args(answer)[0] if get_origin(answer) is Reply else answer


routes: list[Route] = []
"""Every route of the system, in the order of registration."""


class Api:
    """The routes of one file of a room, on a blueprint of their own."""

    def __init__(self, name: str) -> None:
        self.blueprint = Blueprint(name)

    def get(
        self,
        path: str,
        *,
        door: doors.Door,
        refuses: Sequence[type[AppError]] = (),
        csv: bool = False,
        types: Sequence[str] = (),
        also: Sequence[int] = (),
    ) -> Callable[[F], F]:
        """Declare a route that only reads; ``csv``: of a list, which can also be had at ``path`` + ``.csv``."""

        def declare(view: F) -> F:
            if csv:
                self._route("GET", f"{path}.csv", door, 200, refuses, types=[CSV])(_as_csv(view, path))
            return self._route("GET", path, door, 200, refuses, types=types, also=also)(view)

        return declare

    def post(
        self,
        path: str,
        *,
        door: doors.Door,
        status: int = 200,
        refuses: Sequence[type[AppError]] = (),
        a_minute: int = limits.A_MINUTE,
        types: Sequence[str] = (),
    ) -> Callable[[F], F]:
        """Declare a route that makes or does something; ``a_minute``: how often one member may."""
        return self._route("POST", path, door, status, refuses, a_minute, types=types)

    def put(self, path: str, *, door: doors.Door, refuses: Sequence[type[AppError]] = ()) -> Callable[[F], F]:
        """Declare a route that sets something; wx.request has no PATCH."""
        return self._route("PUT", path, door, 200, refuses, limits.A_MINUTE)

    def delete(
        self, path: str, *, door: doors.Door, refuses: Sequence[type[AppError]] = ()
    ) -> Callable[[F], F]:
        """Declare a route that takes something away."""
        return self._route("DELETE", path, door, 200, refuses, limits.A_MINUTE)

    def _route(
        self,
        method: str,
        path: str,
        door: doors.Door,
        status: int,
        refuses: Sequence[type[AppError]],
        a_minute: int | None = None,
        *,
        types: Sequence[str] = (),
        also: Sequence[int] = (),
    ) -> Callable[[F], F]:
        limit = a_minute if door in (doors.MEMBER, doors.PUBLIC) else None

        def declare(view: F) -> F:
            told = {"status": status, "view": view, "refuses": refuses, "types": types, "also": also}
            route = Route(method=method, path=path, door=door, a_minute=limit, **told)  # type: ignore[arg-type]
            routes.append(route)

            @wraps(view)
            def wrapped(**path_params: str) -> Response:
                return _answer(route, self.blueprint.current_request, path_params)

            self.blueprint.route(path, methods=[method], cors=CORS, content_types=_content_types(view))(
                wrapped
            )
            return view

        return declare


def _as_csv(view: Callable[..., Any], path: str) -> Callable[..., Document]:
    """A list's view as one that answers the same page as CSV, the next page's cursor in ``X-Next``."""
    name = path.rsplit("/", 1)[1]

    @wraps(view)
    def as_csv(**arguments: Any) -> Document:
        page, kind = view(**arguments), get_type_hints(view, include_extras=True)["return"]
        text = sheets.csv_of(sheets.columns_of(kind), page.items, zone=config.settings().zone)
        shown = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
        cursor = getattr(page, "next", None)
        following = {"X-Next": cursor} if cursor else {}
        return Document(text, f"{CSV}; charset=utf-8", tuple({**shown, **following}.items()))

    as_csv.__name__ = f"{view.__name__}_csv"
    as_csv.__doc__ = (
        f"{(view.__doc__ or '').strip().splitlines()[0].rstrip('.')}, as CSV; `X-Next` has the cursor."
    )
    as_csv.__annotations__ = {**view.__annotations__, "return": Document}
    return as_csv


def _answer(route: Route, request: Request, path_params: Mapping[str, str]) -> Response:
    began, lang, request_id = time.perf_counter(), _lang(request.headers), _request_id(request)
    with about(route=route.name, request_id=request_id):
        try:
            arguments = _arguments(route, request, path_params, lang=lang, request_id=request_id)
            answer = _success(route, route.view(**arguments), request_id)
        except AppError as error:
            answer = _refused(route, error, lang=lang, request_id=request_id)
            _told_refused(error, status=answer.status_code, began=began)
        except Exception:
            ours = InternalError()
            answer = _refused(route, ours, lang=lang, request_id=request_id)
            logger.exception("request failed", extra={"code": ours.code, **_ended(ours.status, began)})
            count("RequestsFailed")
        else:
            logger.info("answered", extra=_ended(answer.status_code, began))
    return answer


def _ended(status: int, began: float) -> dict[str, int]:
    return {"status": status, "ms": round((time.perf_counter() - began) * 1000)}


def _told_refused(error: AppError, *, status: int, began: float) -> None:
    """The last line of a request that was refused, and its metric, which does not hang on what is logged."""
    logger.info("refused", extra={"code": error.code, **_ended(status, began)})
    measure(telemetry.REFUSALS, 1, code=error.code)


def _arguments(
    route: Route, request: Request, path_params: Mapping[str, str], *, lang: str, request_id: str
) -> dict[str, Any]:
    now = clock.now()
    body = _body(request)
    path = route.path.format(**path_params)
    query = dict((request.query_params or {}).items())
    target = f"{path}?{urlencode(sorted(query.items()))}" if query else path
    approach = doors.Approach(method=route.method, target=target, headers=request.headers, body=body)
    call = Call(
        now=now,
        lang=lang,
        caller=doors.admit(route.door, approach, now=now),
        base_url=config.settings().base_url or _base_url(request, path),
        ip=request.context.get("identity", {}).get("sourceIp") or "",
        user_agent=request.headers.get("user-agent", ""),
        request_id=request_id,
        idempotency_key=request.headers.get("idempotency-key"),
    )
    if not all(_ID.fullmatch(value) for value in path_params.values()):
        raise NotFound
    telemetry.note(**_ids(call.caller, path_params))
    if route.a_minute is not None and call.caller.session is not None:
        limits.admit(call.member_id, route.name, a_minute=route.a_minute, now=now)
    arguments: dict[str, Any] = {"call": call, **path_params}
    if (kind := route.hints.get("body")) is not None:
        arguments["body"] = body if kind is bytes else decode(body or b"{}", kind)
    if "query" in route.hints:
        arguments["query"] = _query(query, route.hints["query"])
    return arguments


def _ids(caller: doors.Caller, path_params: Mapping[str, str]) -> dict[str, str]:
    """What the lines of a request carry of it: who called, and the ids in its path; a code is as good as a key."""
    ids = {name: value for name, value in path_params.items() if name.endswith("_id")}
    if caller.session is not None:
        ids["member_id"] = caller.session.member_id
    if caller.operator is not None:
        ids["operator"] = caller.operator.key_id
    return ids


def _content_types(view: Callable[..., Any]) -> list[str]:
    """JSON; whoever takes the body as it is takes what WeChat sends, too."""
    as_it_is = view.__annotations__.get("body") is bytes
    return ["application/json", *(["text/xml", "application/xml", "text/plain"] if as_it_is else [])]


def _body(request: Request) -> bytes:
    raw = request.raw_body
    body = raw.encode() if isinstance(raw, str) else raw
    if len(body) > BODY_LIMIT_BYTES:
        raise TooLarge(limit_bytes=BODY_LIMIT_BYTES)
    return body


def _base_url(request: Request, path: str) -> str:
    host = request.headers.get("host", "")
    scheme = request.headers.get("x-forwarded-proto", "https" if request.context.get("stage") else "http")
    # API Gateway's own path has the stage, or the base path of a custom domain, in front of the route's, and
    # keeps a slash at the end that it overlooks when it looks for the route.
    before = str(request.context.get("path", path)).rstrip("/").removesuffix(path)
    return f"{'http' if scheme == 'http' else 'https'}://{host if _HOST.fullmatch(host) else 'localhost'}{before}"


def decode(body: bytes, kind: type[T]) -> T:
    """``body`` as the struct ``kind``.

    Raises:
        BadRequest: not JSON, no object, or text with NUL in it, which no person writes and not every reader of
        our rows survives. Invalid: a field is missing or wrong; it is named.
    """
    if _NUL.search(body):
        raise BadRequest(reason="a NUL character")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as wrong:
        raise _invalid(str(wrong)) from wrong
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as unreadable:
        raise BadRequest(reason="not JSON") from unreadable


def _query(given: dict[str, str], kind: type[T]) -> T:
    try:
        return msgspec.convert(given, type=kind, strict=False)
    except msgspec.ValidationError as wrong:
        raise _invalid(str(wrong)) from wrong


def _invalid(message: str) -> AppError:
    path, missing = _FIELD.search(message), _MISSING.search(message)
    inside = path.group(1) if path else ""
    name = (missing.group(1) or missing.group(2)) if missing else ""
    field = ".".join(part for part in (inside, name) if part)
    if not field:
        return BadRequest(reason=message)
    return Invalid(field=field, reason=_FIELD.sub("", message).removesuffix(" - at "))


def _success(route: Route, result: Any, request_id: str) -> Response:
    status = route.status
    if isinstance(result, Reply):
        result, status = result.body, result.status
    if isinstance(result, Document):
        headers: Headers = {
            "Content-Type": result.content_type,
            "X-Request-Id": request_id,
            **dict(result.headers),
        }
        return Response(body=result.content, headers=headers, status_code=status)
    return _json(result, status, request_id)


def _refused(route: Route, error: AppError, *, lang: str, request_id: str) -> Response:
    """The envelope; or, to WeChat Pay, the words that it knows: any other status than 200 has it tell again."""
    if route.door.kind == "wechat":
        return _json({"code": "FAIL", "message": error.message("zh")}, error.status, request_id)
    return failure(error, lang=lang, request_id=request_id)


def failure(error: AppError, *, lang: str, request_id: str) -> Response:
    """The envelope of an error."""
    envelope = {
        "code": error.code,
        "message": error.message(lang),
        "details": error.details,
        "request_id": request_id,
    }
    response = _json({"error": envelope}, error.status, request_id)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _json(body: Any, status: int, request_id: str) -> Response:
    headers: Headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Request-Id": request_id,
    }
    return Response(body=msgspec.json.encode(body).decode(), headers=headers, status_code=status)


_CHALICE_SAYS: dict[str, type[AppError]] = {
    "MethodNotAllowedError": MethodNotAllowed,
    "UnsupportedMediaType": UnsupportedMediaType,
    "BadRequest": BadRequest,  # a picture is asked for without saying so in Accept
}


def normalise(event: Request, get_response: Callable[[Request], Response]) -> Response:
    """Middleware: the envelope also for what Chalice itself refuses before a view is reached."""
    began = time.perf_counter()
    response = get_response(event)
    if not isinstance(response.body, dict) or "Code" not in response.body:
        return response
    error = _CHALICE_SAYS.get(response.body["Code"], InternalError)
    details = {"reason": response.body["Message"]} if error is BadRequest else {}
    answer = _told_outside(error(**details), event, began=began)
    answer.headers = {**response.headers, **answer.headers}
    return answer


class App(Chalice):
    """Chalice for an API with one greedy resource: the route of a request that names none is found here.

    Such a request says `/{proxy+}` or `/` in `requestContext.resourcePath`, and in `pathParameters.proxy` what
    comes after the stage or the base path of a custom domain, percent-encoded and without a slash at the end
    (so it is told in vincentsarago/lambda-proxy issue 16, middleapi/standard-server pull request 93 and
    CodeGenieApp/serverless-express issue 391). What Chalice's own deployment, server and test client send names its
    route.
    """

    @cached_property
    def _paths(self) -> Paths:
        return Paths(self.routes)

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """The answer to one request, in the form that API Gateway wants."""
        asked = event.get("requestContext", {})
        resource = asked.get("resourcePath")
        if resource is None or resource in self.routes:
            return super().__call__(event, context)
        found = self._paths.find(f"/{(event['pathParameters'] or {}).get('proxy', '')}")
        if found is None:
            return _told_outside(NotFound(), Request(event), began=time.perf_counter()).to_dict()
        path, parameters = found
        if asked["httpMethod"] == "OPTIONS":
            return _preflight(self.routes[path]).to_dict()
        named = {"pathParameters": parameters, "requestContext": {**asked, "resourcePath": path}}
        return super().__call__({**event, **named}, context)


def _told_outside(error: AppError, request: Request, *, began: float) -> Response:
    """What no view has answered, with its line; its path is anybody's, so that nothing of it is told."""
    request_id = _request_id(request)
    with about(route=request.method, request_id=request_id):
        _told_refused(error, status=error.status, began=began)
    return outside(error, headers=request.headers, request_id=request_id)


def _preflight(methods: Iterable[str]) -> Response:
    """What a browser wants to know before it calls, as Chalice's deployment lets the gateway say it."""
    allowed: Headers = {"Access-Control-Allow-Methods": ",".join([*methods, "OPTIONS"])}
    return Response(body="", headers={**CORS.get_access_control_headers(), **allowed})


def outside(error: AppError, *, headers: Mapping[str, str], request_id: str) -> Response:
    """The envelope for what no view has answered, with the CORS headers that Chalice gives to views only."""
    answer = failure(error, lang=_lang(headers), request_id=request_id)
    answer.headers = {**CORS.get_access_control_headers(), **answer.headers}
    return answer


def _lang(headers: Mapping[str, str]) -> str:
    return "zh" if headers.get("accept-language", "").lower().startswith("zh") else "en"


def _request_id(request: Request) -> str:
    return request.context.get("requestId") or f"req_{secrets.token_hex(8)}"
