"""What all parts of the simulated WeChat stand on: requests, answers, endpoints, and what each part remembers.

A part is a module that declares its endpoints (`endpoint`) and keeps what it knows in a class of its own, one
object of which a platform has (`Platform.of`).
"""

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

Fault = Literal["slow", "busy", "lost", "token_expired", "twice", "disorder", "withheld"]
"""``busy`` does nothing and says so; ``lost`` and ``slow`` do what was asked and then close the connection without
a reply, or reply late; ``token_expired`` says 40001 and forgets the token; of what WeChat itself sends, ``twice``
sends it two times, ``disorder`` after what comes next, and ``withheld`` never."""
T = TypeVar("T")

MESSAGES = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40013: "invalid appid",
    40029: "invalid code",
    40066: "invalid url",
    40097: "invalid args",
    40125: "invalid appsecret",
    40163: "code been used",
    40226: "code blocked",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "missing code",
    43001: "require GET method",
    43002: "require POST method",
    40003: "invalid openid",
    40129: "invalid scene",
    44993: "reach max url link daily quota limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit  mustslower  retry next minute",
    47001: "data format error",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call from ``address``; header names are in lower case, ``appid`` is whose token it brought."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str = ""
    appid: str = ""
    address: str = ""

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body, if it is a JSON object; else an empty one."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent back; as WeChat does, JSON goes as text/plain unless said otherwise."""

    body: bytes
    status: int = 200
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)


def said(body: Mapping[str, Any], *, status: int = 200, content_type: str = "text/plain") -> Answer:
    """A JSON answer."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return Answer(body=text.encode(), status=status, content_type=content_type)


def refusal(errcode: int, message: str = "") -> Answer:
    """HTTP 200 with an errcode; the message ends in a request id that differs each time."""
    rid = f"{int(time.time()):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
    words = message or MESSAGES.get(errcode, "unknown error")
    return said({"errcode": errcode, "errmsg": f"{words}, rid: {rid}"})


class Platform:
    """What the simulated WeChat knows, part by part, and what it did, for its page."""

    def __init__(self, programs: Mapping[str, str]) -> None:
        self.programs = programs
        self.clock: Callable[[], float] = time.time
        self.stopped = threading.Event()
        self.lock = threading.RLock()
        self.faults: dict[str, Fault] = {}
        self.happened: list[dict[str, Any]] = []
        self.url = ""
        self._parts: dict[type[Any], Any] = {}

    def of(self, part: type[T]) -> T:
        """The one object of this part; call it, and what it has, under `lock`."""
        with self.lock:
            if part not in self._parts:
                self._parts[part] = part()
            found: T = self._parts[part]
            return found

    def tell(self, what: str, **details: Any) -> None:
        """Note something for the page: the newest 500 stay."""
        with self.lock:
            self.happened.append({"at": int(time.time()), "what": what, **details})
            del self.happened[:-500]

    def fault_of(self, path: str) -> Fault | None:
        """The fault that is switched on for what begins with the longest matching path."""
        found = [prefix for prefix in self.faults if path.startswith(prefix)]
        return self.faults[max(found, key=len)] if found else None


Handler = Callable[..., Answer | Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One documented call; ``token``: it wants an access token in its query."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    token: bool


endpoints: list[Endpoint] = []


def endpoint(method: str, path: str, *, token: bool = False) -> Callable[[Handler], Handler]:
    """Declare who answers a path; ``{name}`` in it stands for one segment, given as a keyword."""
    pattern = re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))

    def declare(handler: Handler) -> Handler:
        endpoints.append(Endpoint(method=method, pattern=pattern, handler=handler, token=token))
        return handler

    return declare


def found(path: str) -> Sequence[tuple[Endpoint, dict[str, str]]]:
    """The endpoints of a path with what stands for their names, whatever their method."""
    matches = ((one, one.pattern.fullmatch(path)) for one in endpoints)
    return [(one, match.groupdict()) for one, match in matches if match is not None]
