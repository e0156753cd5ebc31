"""The server of the simulated WeChat: real HTTP, faults that can be switched on, and no log of what is said."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlsplit

from infra.local import quiet
from infra.local.wechat import frame, tokens
from infra.local.wechat.frame import Answer, Fault, Platform, Request, refusal, said


class Simulator:
    """A running WeChat.

    ``programs`` is kept, not copied: a program put into it later can log in. While ``fault`` is set, every call is
    answered by it; ``platform.faults`` has those of single paths. A ``slow`` reply takes ``slow_s`` seconds.
    """

    def __init__(self, *, programs: Mapping[str, str], host: str, port: int) -> None:
        self.slow_s = 10.0
        self.calls = 0
        self.platform = Platform(programs)
        self.stopped = self.platform.stopped
        self._server = _Server((host, port), _Handler)
        self._server.simulator = self
        self.url = self.platform.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def fault(self) -> Fault | None:
        """What befalls every call."""
        return self.platform.faults.get("/")

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self.platform.faults.pop("/", None)
        if fault is not None:
            self.platform.faults["/"] = fault

    def stop(self) -> None:
        """Answer nobody any more: slow replies are dropped, and connections that are still open are closed."""
        if not self.stopped.is_set():
            self.stopped.set()
            self._server.shutdown()
            self._server.server_close()

    def answer(self, request: Request) -> Answer | None:
        """What to send, or None when the connection is to be closed without a reply."""
        with self.platform.lock:
            self.calls += 1
        own = request.path == "/" or request.path.startswith("/_simulator")
        fault = None if own else self.platform.fault_of(request.path)
        if fault == "busy":
            return _busy(request.path)
        if fault == "token_expired":
            tokens.expire(self.platform, request.query.get("access_token", ""))
        answer = self._route(request)
        if fault == "slow":
            self.stopped.wait(self.slow_s)
        return None if fault == "lost" or self.stopped.is_set() else answer

    def _route(self, request: Request) -> Answer:
        found = frame.found(request.path)
        fits = [(one, names) for one, names in found if one.method == request.method]
        if not fits:
            return _unknown(request, [one.method for one, _ in found])
        chosen, names = fits[0]
        if chosen.token:
            token = request.query.get("access_token", "")
            appid = tokens.owner(self.platform, token)
            if appid is None:
                return refusal(40001 if token else 41001)
            request = replace(request, appid=appid)
        answer = chosen.handler(
            self.platform, request, **{name: unquote(part) for name, part in names.items()}
        )
        return answer if isinstance(answer, Answer) else said(answer)


def start(programs: Mapping[str, str], *, host: str = "127.0.0.1", port: int = 0) -> Simulator:
    """A WeChat that knows these programs (appid to secret), on this machine; port 0 takes a free one."""
    return Simulator(programs=programs, host=host, port=port)


def _busy(path: str) -> Answer:
    """WeChat Pay has statuses of HTTP, the rest of WeChat has errcodes."""
    if path.startswith("/v3/"):
        return said(
            {"code": "SYSTEM_ERROR", "message": "系统错误"}, status=500, content_type="application/json"
        )
    return refusal(-1)


def _unknown(request: Request, methods: list[str]) -> Answer:
    if request.path.startswith("/v3/"):
        body = {"code": "RESOURCE_NOT_EXISTS", "message": "请求的资源不存在"}
        return said(body, status=404, content_type="application/json")
    if not methods:
        return refusal(40066)
    return refusal(43001 if "GET" in methods else 43002)


class _Server(quiet.Server):
    simulator: Simulator


class _Handler(quiet.Handler):
    server: _Server

    def do_GET(self) -> None:
        """Answer a call."""
        target = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=target.path,
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("content-length") or 0)),
            target=self.path,
            address=self.client_address[0],
        )
        answer = self.server.simulator.answer(request)
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer)

    do_POST = do_PUT = do_DELETE = do_GET

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
