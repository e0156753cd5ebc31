"""Lambda's Runtime API for one process: it is given one event, and what it answers is kept with the time.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; the client is AWS's own, awslambdaric.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from bench.cold.store import LOOKS_EVERY_S

BASE = "/2018-06-01/runtime"
REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:bench"


class Failed(Exception):
    """The function could not be imported, or answered with an error; the message has what it said."""


class Runtime(ThreadingHTTPServer):
    """Times are of `time.perf_counter`."""

    daemon_threads = True

    def __init__(self, event: bytes, *, deadline_ms: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.event = event
        self.deadline_ms = deadline_ms
        self.asked_at = 0.0
        self.answered_at = 0.0
        self.answer = b""
        self.error = b""
        self.ended = Event()
        self._over = Event()

    @property
    def address(self) -> str:
        """Host and port, as the runtime client takes them."""
        return f"127.0.0.1:{self.server_port}"

    def wait(self, *, seconds: float) -> None:
        """Until the event is answered.

        Raises:
            Failed: it is not, or with an error.
        """
        if not self.ended.wait(seconds):
            raise Failed(f"no answer in {seconds:.0f} s")
        if self.error:
            raise Failed(self.error.decode())

    def stay(self) -> None:
        """Hold back whoever asks for a second event until all is over."""
        self._over.wait()

    def let_go(self) -> None:
        """Nobody is held back any more."""
        self._over.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that has answered is killed, and its connections with it: nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Runtime

    def do_GET(self) -> None:
        if self.server.asked_at:
            self.server.stay()
            return
        self.server.asked_at = time.perf_counter()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": REQUEST_ID,
            "Lambda-Runtime-Deadline-Ms": str(self.server.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
        }
        self._send(200, self.server.event, headers)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        at = time.perf_counter()
        if self.path == f"{BASE}/invocation/{REQUEST_ID}/response":
            self.server.answered_at, self.server.answer = at, content
        else:
            self.server.error = content or self.path.encode()
        self._send(202, b'{"status": "OK"}', {})
        self.server.ended.set()

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(event: bytes, *, deadline_ms: int) -> Iterator[Runtime]:
    """The API of one process, while it lives."""
    with Runtime(event, deadline_ms=deadline_ms) as runtime:
        Thread(target=runtime.serve_forever, args=(LOOKS_EVERY_S,), daemon=True).start()
        try:
            yield runtime
        finally:
            runtime.let_go()
            runtime.shutdown()
