"""A mall to run beside: a real HTTP server with a small shop, for both orders of play.

A person opens its page and finds the orders with buttons. Programs send JSON and get JSON, errors as
``{"error": {"code", "message"}}``:

    POST /checkouts {order_id}                                    phone first: charge an order of Liebian's
    POST /checkouts {campaign_id, buyer, group_id?, sku_id?, quantity?, size?, number?}    mall first
    POST /checkouts {number, buyer, lines: [{line_id, product_id, quantity, paid_fen}]}            an ordinary order
    GET  /orders · GET /orders/{number} · GET /pay/{number}       what the shop's books say; the page that pays
    POST /orders/{number}/pay {again?} | refund {amount_fen?, line_id?} | ship | complete | cancel
    POST /reconciliations                                         compare the books with Liebian's
    GET  /faults · POST /faults {name: times}                     what goes wrong (infra/local/postbox.py)
    POST /webhooks                                                for Liebian alone, signed
"""

import argparse
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from infra.local import mall_page, quiet
from infra.local.postbox import Faults, Liebian, Refused
from infra.local.shop import Shop

BODY_LIMIT_BYTES = 1024 * 1024
ACTIONS = ("pay", "refund", "ship", "complete", "cancel")
NUMBERS = ("amount_fen", "quantity", "size")
WANTED = ("campaign_id", "buyer", "group_id", "sku_id", "quantity", "size", "number")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request; ``person``: a form of the page, which wants a page again."""

    method: str
    path: list[str]
    query: Mapping[str, str]
    given: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    person: bool = False


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What to send: JSON, a page, or where to go on."""

    status: int = 200
    told: Any = None
    page: str = ""
    go_to: str = ""


class Mall:
    """A running mall. ``secrets`` are shared with Liebian, newest first."""

    def __init__(self, *, secrets: list[str], host: str, port: int, liebian_url: str = "") -> None:
        self.faults = Faults()
        self.liebian = Liebian(url=liebian_url, secrets=secrets, faults=self.faults)
        self.shop = Shop(liebian=self.liebian, faults=self.faults)
        self.stopped = threading.Event()
        self._server = _Server((host, port), _Handler)
        self._server.mall = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.webhook_url = f"{self.url}/webhooks"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="mall", daemon=True).start()

    def stop(self) -> None:
        """Answer nobody any more, and send nothing."""
        if not self.stopped.is_set():
            self.stopped.set()
            self.shop.outbox.stop()
            self._server.shutdown()
            self._server.server_close()

    def answer(self, request: Request) -> Reply | None:
        """What to reply; None: close the connection without one."""
        if request.path == ["webhooks"]:
            return self._webhook(request)
        try:
            return self._route(request)
        except Refused as refused:
            if request.person:
                return Reply(status=303, go_to=f"{_back(request)}?said={quote(refused.message)}")
            told = {"error": {"code": refused.code, "message": refused.message}}
            return Reply(status=refused.status, told=told)

    def _route(self, request: Request) -> Reply:
        routes: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", ""): self._page,
            ("GET", "orders"): self._orders,
            ("GET", "pay"): self._pay_page,
            ("GET", "faults"): lambda _: Reply(told=self.faults.left),
            ("POST", "checkouts"): self._check_out,
            ("POST", "orders"): self._act,
            ("POST", "reconciliations"): self._reconcile,
            ("POST", "faults"): self._switch,
        }
        first = request.path[0] if request.path else ""
        route = routes.get((request.method, first))
        if route is None:
            raise Refused(404, "not_found", f"there is no {request.method} /{'/'.join(request.path)} here")
        return route(request)

    # --- pages and orders -----------------------------------------------------------------------------------

    def _page(self, request: Request) -> Reply:
        shown = mall_page.Shown(
            orders=self.shop.orders(),
            campaigns=self.shop.campaigns(),
            faults=self.faults.left,
            log=list(self.shop.log),
            waiting=self.shop.outbox.waiting(),
            said=request.query.get("said", ""),
            liebian_url=self.liebian.url,
        )
        return Reply(page=mall_page.render(shown))

    def _pay_page(self, request: Request) -> Reply:
        order = self.shop.show(self.shop.order(_second(request)))
        return Reply(page=mall_page.render_payment(order, said=request.query.get("said", "")))

    def _orders(self, request: Request) -> Reply:
        if len(request.path) > 1:
            return Reply(told=self._told(self.shop.order(request.path[1])))
        given_up = [message.message_id for message in self.shop.outbox.given_up]
        waiting = self.shop.outbox.waiting()
        return Reply(told={"items": self.shop.orders(), "waiting": waiting, "given_up": given_up})

    def _told(self, order: Any) -> dict[str, Any]:
        return {**self.shop.show(order), "pay_url": f"{self.url}/pay/{order.number}"}

    def _check_out(self, request: Request) -> Reply:
        given = request.given
        if order_id := given.get("order_id"):
            order = self.shop.check_out(str(order_id))
        elif given.get("lines") and given.get("buyer") and given.get("number"):
            order = self.shop.sell(number=given["number"], buyer=given["buyer"], lines=given["lines"])
        elif given.get("campaign_id") and given.get("buyer"):
            order = self.shop.ask_for_seat(**{name: given[name] for name in WANTED if given.get(name)})
        else:
            raise Refused(
                422, "invalid", "order_id, campaign_id and buyer, or lines, buyer and number are needed"
            )
        return self._done(request, order, status=201, go_to=f"/pay/{order.number}")

    def _act(self, request: Request) -> Reply:
        number, action = _second(request), request.path[-1]
        if len(request.path) != 3 or action not in ACTIONS:
            raise Refused(404, "not_found", f"an order can be made to {', '.join(ACTIONS)}")
        wanted = {"pay": ("again",), "refund": ("amount_fen", "line_id")}.get(action, ())
        more = {name: request.given[name] for name in wanted if request.given.get(name) is not None}
        if not all(isinstance(value, int) for name, value in more.items() if name != "line_id"):
            raise Refused(422, "invalid", "amount_fen is a number, again is true or false")
        order = getattr(self.shop, action)(number, **more)
        return self._done(request, order, go_to=_back(request))

    def _done(self, request: Request, order: Any, *, go_to: str, status: int = 200) -> Reply:
        if request.person:
            return Reply(status=303, go_to=go_to)
        return Reply(status=status, told=self._told(order))

    def _reconcile(self, request: Request) -> Reply:
        found = self.shop.reconcile()
        if not request.person:
            return Reply(told=found)
        said = f"{found['compared']} orders compared: the books agree."
        if found["differences"]:
            said = f"The books differ: {json.dumps(found['differences'])}"
        return Reply(status=303, go_to=f"/?said={quote(said)}")

    def _switch(self, request: Request) -> Reply:
        self.faults.set(request.given)
        return Reply(status=303, go_to="/") if request.person else Reply(told=self.faults.left)

    # --- webhooks -------------------------------------------------------------------------------------------

    def _webhook(self, request: Request) -> Reply | None:
        if self.faults.strikes("down"):
            return Reply(status=503, told={"error": {"code": "down", "message": "the mall is down"}})
        if not self.liebian.wrote(request.body, request.headers):
            self.shop.note("in", "a webhook", "", "not signed by Liebian: refused")
            return Reply(status=401, told={"error": {"code": "signature_invalid", "message": "not signed"}})
        body = json.loads(request.body)
        known = self.shop.take(body)
        about = body["data"].get("mall_order_id") or body["data"].get("group_id") or ""
        slow, lost = self.faults.strikes("slow"), self.faults.strikes("lost")
        said = "reply lost" if lost else "reply late" if slow else "taken" if known else "not ours"
        self.shop.note("in", body["type"], about, said)
        if slow:
            self.stopped.wait(self.faults.slow_s)
        if lost or self.stopped.is_set():
            return None
        return (
            Reply(told={})
            if known
            else Reply(status=404, told={"error": {"code": "not_found", "message": ""}})
        )


def _second(request: Request) -> str:
    if len(request.path) < 2:
        raise Refused(404, "not_found", "the number of an order is missing")
    return request.path[1]


def _back(request: Request) -> str:
    """Where a person was."""
    return f"/pay/{request.path[1]}" if request.given.get("back") == "pay" else "/"


def start(*, secrets: list[str], host: str = "127.0.0.1", port: int = 0, liebian_url: str = "") -> Mall:
    """A mall that serves; port 0 takes a free one."""
    return Mall(secrets=secrets, host=host, port=port, liebian_url=liebian_url)


class _Server(quiet.Server):
    mall: Mall


class _Handler(quiet.Handler):
    server: _Server

    def do_GET(self) -> None:
        """Answer a request."""
        request = self._read()
        reply = self.server.mall.answer(request) if request else _UNREADABLE
        if reply is None or request is None:
            self.close_connection = True
        if reply is not None:
            self._send(reply)

    do_POST = do_GET

    def _read(self) -> Request | None:
        """The request; None: it cannot be read, and what follows on this connection neither."""
        length = self.headers.get("content-length") or "0"
        if not (length.isascii() and length.isdigit()) or int(length) > BODY_LIMIT_BYTES:
            return None
        body, target = self.rfile.read(int(length)), urlsplit(self.path)
        form = self.headers.get_content_type() == "application/x-www-form-urlencoded"
        try:
            given = dict(parse_qsl(body.decode())) if form else json.loads(body or b"{}")
        except ValueError:
            return None
        return Request(
            method=self.command,
            path=[part for part in target.path.split("/") if part],
            query=dict(parse_qsl(target.query)),
            given=_numbered(given) if isinstance(given, dict) else {},
            body=body,
            headers=dict(self.headers.items()),
            person=form,
        )

    def _send(self, reply: Reply) -> None:
        body = (reply.page or json.dumps(reply.told, ensure_ascii=False)).encode()
        self.send_response(reply.status)
        self.send_header("content-type", "text/html; charset=utf-8" if reply.page else "application/json")
        if reply.go_to:
            self.send_header("location", reply.go_to)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


_UNREADABLE = Reply(status=400, told={"error": {"code": "bad_request", "message": "this cannot be read"}})


def _numbered(given: dict[str, Any]) -> dict[str, Any]:
    """A form's numbers are text."""
    return {
        name: int(value) if name in NUMBERS and isinstance(value, str) and value.isdigit() else value
        for name, value in given.items()
    }


def main() -> None:
    """Run it alone, beside a Liebian that runs elsewhere, until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.mall", description="A mall to run beside.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--liebian", default="http://127.0.0.1:8000", help="where Liebian answers")
    parser.add_argument(
        "--secret", action="append", help="shared with Liebian; given twice, the newest first"
    )
    wanted = parser.parse_args()
    mall = start(secrets=wanted.secret or ["demo-mall-secret"], port=wanted.port, liebian_url=wanted.liebian)
    print(f"The demo mall is at {mall.url}; give Liebian MALL_WEBHOOK_URL={mall.webhook_url}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        mall.stop()


if __name__ == "__main__":
    main()
