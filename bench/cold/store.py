"""What answers for DynamoDB and Parameter Store: tables without rows, and one secret; nothing is kept."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

LOOKS_EVERY_S = 0.01
"""For the end; the standard library's half a second would be most of a cold start."""
SECRETS = "/liebian/bench"
SESSION_KEYS = {"k1": "0123456789abcdef0123456789abcdef"}
_SECRET = {"Name": f"{SECRETS}/session_keys", "Type": "SecureString", "Value": json.dumps(SESSION_KEYS)}
_ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "GetParametersByPath": {"Parameters": [_SECRET]},
}


class Store(ThreadingHTTPServer):
    """Counts what it is asked, by operation."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls = Counter[str]()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that has answered is killed, and its connections with it: nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in one packet: with the library's defaults each answer waits 40 ms for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Store

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        operation = self.headers["x-amz-target"].rpartition(".")[2]
        self.server.calls[operation] += 1
        content = json.dumps(_ANSWERS.get(operation, {})).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Store]:
    """A store while it is needed."""
    with Store() as store:
        Thread(target=store.serve_forever, args=(LOOKS_EVERY_S,), daemon=True).start()
        yield store
        store.shutdown()
