"""What the servers beside the app have in common: threads that hold nobody up, kept connections, and no output."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Serves each connection in a thread of its own."""

    daemon_threads = True
    # The library's backlog of five stalls a test that logs in 64 people at once.
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that gave up waiting is what the faults are for."""


class Handler(BaseHTTPRequestHandler):
    """Keeps connections."""

    protocol_version = "HTTP/1.1"
    # One packet for headers and body, sent at once: Nagle's algorithm adds 40 ms to every kept connection.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: a request line may hold a secret, a token or a signature; the pages show what happened."""
