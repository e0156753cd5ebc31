"""The development server: chalice's own, without its two slow defaults, answering as API Gateway would.

Measured: Nagle with delayed acknowledgements costs 44 ms a kept-alive request, and a queue of five connections
makes the sixth wait for seconds.
"""

import time
import uuid
from email.message import Message
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

    def handle_one_request(self) -> None:
        """Answer one request; what is refused before it is read is logged too, with what there is of it."""
        self._began, self.path, self.headers = time.perf_counter(), "", Message()
        super().handle_one_request()

    def parse_request(self) -> bool:
        """The request line and headers; a kept connection may have waited for them."""
        self._began = time.perf_counter()
        return bool(super().parse_request())

    def _generic_handle(self) -> None:
        self.local_gateway.event_converter.LOCAL_SOURCE_IP = self.client_address[0]
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.send_error(400)  # whatever follows must not be read as the next request
        elif len(length) > 9 or int(length) > BODY_LIMIT_BYTES:
            self.send_error(413)
        else:
            self._handle_readable()

    def _handle_readable(self) -> None:
        try:
            super()._generic_handle()
        except (
            UnicodeEncodeError
        ):  # chalice words its refusal of an unknown path with the Authorization header
            self.send_error(404)

    def _send_error_response(self, error: local.LocalGatewayException) -> None:
        self._refuse(404)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what cannot be read, and what stands after it on this connection."""
        self.close_connection = True
        self._refuse(code)

    def _refuse(self, code: int) -> None:
        """As what is deployed does: the gateway (infra/gateway.py), or the app of a path that is none."""
        # Imported here because logs and metrics read the environment when they are imported.
        from chalicelib.core import errors, http

        kinds = {404: errors.NotFound, 413: errors.TooLarge, 501: errors.MethodNotAllowed}
        refusal = kinds.get(code, errors.BadRequest)()
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = http.outside(refusal, headers=headers, request_id=str(uuid.uuid4()))
        self._send_http_response(answer.status_code, answer.headers, answer.body)

    def _send_http_response(self, code: int, headers: Any, body: Any) -> None:
        super()._send_http_response(code, headers, None if self.command == "HEAD" else body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = _generic_handle

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Method, path, status, milliseconds; never a query, which may hold a token."""
        took_ms = (time.perf_counter() - self._began) * 1000
        # A path may hold what a terminal would obey.
        path = "".join(letter if letter.isprintable() else "?" for letter in self.path.split("?")[0])
        print(f"{self.command or '?':6} {path} -> {int(code)}  {took_ms:.0f} ms", flush=True)


def make(app: Chalice, *, host: str, port: int) -> local.LocalDevServer:
    """A server that is bound and not serving yet."""
    config = Config.create(chalice_app=app, project_dir=".")
    # Only this mixes the thread-local request into the app; its own server is not wanted. Mixed twice, it breaks.
    if not isinstance(app, local.LocalChalice):
        local.create_local_server(app, config, "127.0.0.1", 0).server.server_close()
    return local.LocalDevServer(app, config, host, port, Handler, Server)
