"""The development server: chalice's own, without its two slow defaults, answering as API Gateway would.

Measured: Nagle with delayed acknowledgements costs 44 ms a kept-alive request, and a queue of five connections
makes the sixth wait for seconds.
"""

import json
import time
from typing import Any

from chalice import local
from chalice.app import Chalice
from chalice.config import Config

BODY_LIMIT_BYTES = 10 * 1024 * 1024  # API Gateway's


class Server(local.ThreadedHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 1024
    daemon_threads = True


class Handler(local.ChaliceRequestHandler):
    """One connection; says a line for every request."""

    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet
    protocol_version = "HTTP/1.1"

    def _generic_handle(self) -> None:
        self._began = time.perf_counter()
        self.local_gateway.event_converter.LOCAL_SOURCE_IP = self.client_address[0]
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_LIMIT_BYTES:
            self.close_connection = True
            self._envelope(
                413 if length.isdigit() else 400, "too_large" if length.isdigit() else "bad_request"
            )
            return
        super()._generic_handle()

    def _send_error_response(self, error: local.LocalGatewayException) -> None:
        self._envelope(404, "not_found")

    def _envelope(self, status: int, code: str) -> None:
        """As the deployed gateway does for what never reaches a function (infra/gateway.py)."""
        error = {"code": code, "message": "This does not exist.", "details": {}, "request_id": "local"}
        self._send_http_response(status, {"Content-Type": "application/json"}, json.dumps({"error": error}))

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = _generic_handle

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Method, path, status, milliseconds; never a query, which may hold a token."""
        took_ms = (time.perf_counter() - self._began) * 1000
        print(f"{self.command:6} {self.path.split('?')[0]} → {int(code)}  {took_ms:.0f} ms", flush=True)


def make(app: Chalice, *, host: str, port: int) -> local.LocalDevServer:
    """A server that is bound and not serving yet."""
    config = Config.create(chalice_app=app, project_dir=".")
    # Only this mixes the thread-local request into the app; its own server is not wanted.
    local.create_local_server(app, config, "127.0.0.1", 0).server.server_close()
    return local.LocalDevServer(app, config, host, port, Handler, Server)
