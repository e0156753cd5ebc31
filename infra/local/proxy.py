"""A forward proxy with an address of its own, as a deployment may have: WeChat Pay takes transfers from it alone.

It passes on what it is asked for in the form of a proxy's request (``POST http://host/path``) and adds nothing. It
leaves from 127.0.0.2, which Linux has without being asked; where there is no such address there is no proxy.
"""

import http.client
import threading
from urllib.parse import urlsplit

from infra.local import quiet

ADDRESS = "127.0.0.2"
ANSWERED_WITHIN_S = 10.0
HOP_BY_HOP = {"connection", "keep-alive", "proxy-authorization", "proxy-connection", "transfer-encoding"}


class Proxy:
    """A running proxy; ``passed`` counts the requests."""

    def __init__(self) -> None:
        self.passed = 0
        self._server = _Server((ADDRESS, 0), _Handler)
        self._server.proxy = self
        self.url = f"http://{ADDRESS}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Pass nothing on any more."""
        self._server.shutdown()
        self._server.server_close()


def start() -> Proxy | None:
    """A proxy, or None where this machine has no second address of its own."""
    try:
        return Proxy()
    except OSError:
        return None


class _Server(quiet.Server):
    proxy: Proxy


class _Handler(quiet.Handler):
    server: _Server

    def do_GET(self) -> None:
        """Pass a request on, and its answer back; no answer is none here, too."""
        self.server.proxy.passed += 1
        to = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        there = http.client.HTTPConnection(
            to.hostname or "", to.port or 80, timeout=ANSWERED_WITHIN_S, source_address=(ADDRESS, 0)
        )
        try:
            there.request(self.command, to._replace(scheme="", netloc="").geturl(), body, headers)
            answer = there.getresponse()
            self._send(answer, answer.read())
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            there.close()

    do_POST = do_GET

    def _send(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in (*HOP_BY_HOP, "content-length", "date", "server"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
