"""A WeChat to run against: a real HTTP server that answers as api.weixin.qq.com is documented to.

So far it knows login, ``GET /sns/jscode2session``. As there, success and refusal are both HTTP 200 with JSON
in the body, sent as text/plain; a success has no ``errcode``; a refusal's ``errmsg`` ends in a request id that
differs each time, so that only the code can be relied upon.

A login code is a name here, which is a convenience and not WeChat's way (there it is random, lives five
minutes and is good for one call):

    alice             logs alice in, as often as it is sent; a name is 1-32 of A-Z a-z 0-9 _ - or Chinese characters
    once:alice:N      logs alice in once, and is refused with 40163 from then on; N tells such codes apart
    nounion:alice     logs alice in without a unionid, as when the program is on no Open Platform account
    error:45011       is refused with that errcode
    anything else     40029

What wx.login gives in WeChat's own developer tools passes for a name too: somebody new each time.

The openid is of a person in a program, the unionid of a person in all programs. Both are 28 characters that
begin with "o", and like the session_key they are derived, so that they are the same in every run.

Where the refusals come from (pages of developers.weixin.qq.com unless another site is named):

    -1, 40029, 40226, 45011   the endpoint's own page, miniprogram/dev/server/API/user-login/api_code2session; it
                              names 40029 in Chinese, and "invalid code, rid: ..." is what is sent
                              (community/develop/doc/000a80776f43a856d170f8e4561c00)
    40013, 40066, 41002,      the list of all codes, doc/oplatform/developers/errCode
    43001
    40125, 40163              not on the endpoint's page, but sent by it: community/personal/
                              oCJUsw5oskTdkYm-7wi7qd43MtDI/question, oCJUswxjP9kIcgy6LrleN2ZnahAo/question
    40002, 41004, 41008       not seen from this endpoint; its siblings send them: community/personal/
                              oCJUsw_posAVjEcNL5yBGcDN2LFI/answer (40002), community/develop/doc/
                              000666383a8ef0cebab0ea8006b800 (41004), cnblogs.com/lwming, 2020-12-04 (41008)

Not known, and chosen here: the order in which parameters are judged (grant_type, appid, secret, js_code).
"""

import argparse
import base64
import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

Fault = Literal["slow", "busy", "lost"]
Answer = dict[str, Any]

DEMO_PROGRAMS = {"wx00000000000demo1": "demo-secret"}

MESSAGES = {
    -1: "system error",
    40002: "invalid grant_type",
    40013: "invalid appid",
    40029: "invalid code",
    40066: "invalid url",
    40125: "invalid appsecret",
    40163: "code been used",
    40226: "code blocked",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "missing code",
    43001: "require GET method",
    45011: "api minute-quota reach limit  mustslower  retry next minute",
}

_NAME = "[A-Za-z0-9_\\-\u3400-\u4dbf\u4e00-\u9fff]{1,32}"
_PERSON = re.compile(f"(?P<union>nounion:)?(?P<name>{_NAME})|once:(?P<once>{_NAME}):[A-Za-z0-9_-]{{1,64}}")
_ERROR = re.compile(r"error:(-?[1-9]\d{0,5})")


def openid(*, appid: str, name: str) -> str:
    """Who ``name`` is in this program."""
    return _id("openid", appid, name)


def unionid(*, name: str) -> str:
    """Who ``name`` is in all programs."""
    return _id("unionid", name)


def session_key(*, appid: str, name: str) -> str:
    """The key that this person's data from this program is signed and encrypted with."""
    return base64.b64encode(_digest("session_key", appid, name)[:16]).decode()


class Simulator:
    """A running WeChat.

    ``programs`` is kept, not copied: a program put into it later can log in. While ``fault`` is set, every call is
    answered by it. ``busy`` does nothing and says -1; ``lost`` and ``slow`` do what was asked and then close the
    connection without a reply, or reply only after ``slow_s`` seconds, so that a one-use code is used up.
    """

    def __init__(self, *, programs: Mapping[str, str], port: int) -> None:
        self.fault: Fault | None = None
        self.slow_s = 10.0
        self.calls = 0
        self.stopped = threading.Event()
        self._programs = programs
        self._used: set[str] = set()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.simulator = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Answer nobody any more: slow replies are dropped, and connections that are still open are closed."""
        if not self.stopped.is_set():
            self.stopped.set()
            self._server.shutdown()
            self._server.server_close()

    def answer(self, *, method: str, path: str, query: Mapping[str, str]) -> Answer | None:
        """The body to send, or None when the connection is to be closed without a reply."""
        with self._lock:
            self.calls += 1
        if (fault := self.fault) == "busy":
            return _refusal(-1)
        answer = self._route(method=method, path=path, query=query)
        if fault == "slow":
            self.stopped.wait(self.slow_s)
        return None if fault == "lost" or self.stopped.is_set() else answer

    def _route(self, *, method: str, path: str, query: Mapping[str, str]) -> Answer:
        endpoint = self._endpoints().get(path)
        if endpoint is None:
            return _refusal(40066)
        wanted, act = endpoint
        return act(query) if method == wanted else _refusal(43001)

    def _endpoints(self) -> dict[str, tuple[str, Callable[[Mapping[str, str]], Answer]]]:
        return {"/sns/jscode2session": ("GET", self._log_in)}

    def _log_in(self, query: Mapping[str, str]) -> Answer:
        if query.get("grant_type") != "authorization_code":
            return _refusal(40002)
        return self._stranger(query) or self._person(appid=query["appid"], code=query.get("js_code", ""))

    def _stranger(self, query: Mapping[str, str]) -> Answer | None:
        """Why the caller is not a program that this WeChat knows."""
        appid, secret = query.get("appid", ""), query.get("secret", "")
        if not appid or not secret:
            return _refusal(41004 if appid else 41002)
        if appid not in self._programs:
            return _refusal(40013)
        return None if secret == self._programs[appid] else _refusal(40125)

    def _person(self, *, appid: str, code: str) -> Answer:
        """Whom the code stands for, or why for nobody."""
        if error := _ERROR.fullmatch(code):
            return _refusal(int(error[1]))
        known = _PERSON.fullmatch(code)
        if known is None:
            return _refusal(40029 if code else 41008)
        if known["once"] and not self._use(code):
            return _refusal(40163)
        name = known["once"] or known["name"]
        person = {
            "session_key": session_key(appid=appid, name=name),
            "openid": openid(appid=appid, name=name),
        }
        return person if known["union"] else person | {"unionid": unionid(name=name)}

    def _use(self, code: str) -> bool:
        with self._lock:
            fresh = code not in self._used
            self._used.add(code)
        return fresh


def start(programs: Mapping[str, str], *, port: int = 0) -> Simulator:
    """A WeChat on 127.0.0.1 that knows these programs (appid to secret); port 0 takes a free one."""
    return Simulator(programs=programs, port=port)


class _Server(ThreadingHTTPServer):
    simulator: Simulator
    daemon_threads = True
    # The library's backlog of five stalls a test that logs in 64 people at once.
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that gave up waiting is what the faults are for."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # One packet for headers and body, sent at once: Nagle's algorithm adds 40 ms to every kept connection.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer a call."""
        target = urlsplit(self.path)
        self.rfile.read(int(self.headers.get("content-length") or 0))
        query = dict(parse_qsl(target.query, keep_blank_values=True))
        answer = self.server.simulator.answer(method=self.command, path=target.path, query=query)
        if answer is None:
            self.close_connection = True
        else:
            self._send(json.dumps(answer, separators=(",", ":")).encode())

    do_POST = do_GET

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the request line holds the program's secret."""


def _refusal(errcode: int) -> Answer:
    rid = f"{int(time.time()):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
    return {"errcode": errcode, "errmsg": f"{MESSAGES.get(errcode, 'unknown error')}, rid: {rid}"}


def _id(*parts: str) -> str:
    return "o" + base64.urlsafe_b64encode(_digest(*parts)).decode()[:27]


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _program(text: str) -> tuple[str, str]:
    appid, secret = text.split("=", 1)
    return appid, secret


def main() -> None:
    """Run it alone, until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local.wechat", description="A WeChat to run against."
    )
    parser.add_argument("--port", type=int, default=8010)
    parser.add_argument("programs", nargs="*", type=_program, metavar="APPID=SECRET")
    wanted = parser.parse_args()
    programs = dict(wanted.programs) or DEMO_PROGRAMS
    simulator = start(programs, port=wanted.port)
    appid, secret = next(iter(programs.items()))
    query = f"appid={appid}&secret={secret}&js_code=alice&grant_type=authorization_code"
    print(f"WeChat (simulated) at {simulator.url}; login codes are names. Try:")
    print(f"  curl '{simulator.url}/sns/jscode2session?{query}'", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        simulator.stop()


if __name__ == "__main__":
    main()
