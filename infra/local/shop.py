"""The demo mall's shop: its orders and its money, what it tells Liebian, and what it does when Liebian tells it.

It stands for somebody else's software and shares none of ours: it signs and checks signatures by the
specification's own library, knows Liebian by its contract alone, and keeps books of its own.
"""

import hashlib
import secrets
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from infra.local.postbox import Faults, Liebian, Message, NoReply, Outbox, Refused

Play = Literal["phone first", "mall first"]
State = Literal["unpaid", "paid", "shipped", "completed", "cancelled", "refunded"]
Json = dict[str, Any]
LINES_AT_ONCE = 200
GROUP_STATES = {"group.opened": "open", "group.filled": "filled", "group.expired": "expired"}


@dataclass(kw_only=True)
class Refund:
    """Money that went back; ``asked`` by Liebian, or given by the shop itself."""

    refund_id: str
    amount_fen: int
    asked: bool
    reason: str
    payment_id: str


@dataclass(kw_only=True)
class ShopOrder:
    """One order as the shop's books have it."""

    number: str
    play: Play
    buyer: str
    title: str
    amount_fen: int = 0
    state: State = "unpaid"
    order_id: str = ""
    campaign_id: str = ""
    group_id: str = ""
    held_until: int = 0
    note: str = ""
    payments: dict[str, int] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    ordinary: bool = False

    @property
    def paid_fen(self) -> int:
        """All that was paid for it."""
        return sum(self.payments.values())

    @property
    def refunded_fen(self) -> int:
        """All that went back."""
        return sum(refund.amount_fen for refund in self.refunds.values())

    def left_fen(self, payment_id: str) -> int:
        """What of this payment has not gone back."""
        back = sum(refund.amount_fen for refund in self.refunds.values() if refund.payment_id == payment_id)
        return self.payments.get(payment_id, 0) - back

    @property
    def names(self) -> dict[str, str]:
        """How Liebian knows it: by the number of whoever made it first."""
        if self.play == "phone first":
            return {"order_id": self.order_id}
        return {"mall_order_id": self.number}


class Shop:
    """A shop that sells what Liebian's campaigns offer.

    Raises, from all that changes an order:
        Refused: the order is not so that this can be done, or Liebian refuses.
    """

    def __init__(self, *, liebian: Liebian, faults: Faults) -> None:
        self.faults = faults
        self.log: deque[Json] = deque(maxlen=200)
        self.groups: dict[str, str] = {}
        self.payouts: dict[str, int] = {}
        self._liebian = liebian
        self._orders: dict[str, ShopOrder] = {}
        self._lock = threading.RLock()
        self.outbox = Outbox(liebian=liebian, faults=faults, answered=self._answered)

    # --- checking out ---------------------------------------------------------------------------------------

    def check_out(self, order_id: str) -> ShopOrder:
        """Phone first: an order of Liebian's, charged at the price that Liebian's server says."""
        told = self._ask("GET", f"/v1/mall/orders/{order_id}", what="what to charge?")
        number = "M" + hashlib.sha256(order_id.encode()).hexdigest()[:10].upper()
        order = ShopOrder(
            number=number,
            play="phone first",
            buyer=(told["external_ids"] or [told["member_id"]])[0],
            title=told["title"],
            amount_fen=told["amount_fen"],
        )
        named = {"id": f"evt-{number}-created", "type": "order.created", "order_id": order_id}
        named["mall_order_id"] = number
        answer = self._ask("POST", "/v1/mall/events", named, what="order.created")["order"]
        if answer["gateway"] != "mall":
            raise Refused(409, "paid_elsewhere", "this order is paid, or begun to be, and not here")
        return self._seated(self._kept(order), answer)

    def ask_for_seat(self, *, campaign_id: str, buyer: str, **wanted: Any) -> ShopOrder:
        """Mall first: an order of the shop's own, for which it asks a seat; the same ``number``, the same order."""
        number = wanted.pop("number", None) or f"M{secrets.token_hex(5).upper()}"
        order = self._kept(ShopOrder(number=number, play="mall first", buyer=buyer, title="…"))
        body = {"member": {"external_id": buyer}, "mall_order_id": number, **wanted}
        try:
            answer = self._ask("POST", f"/v1/mall/groupbuys/{campaign_id}/seats", body, what="a seat?")
        except Refused as refused:
            order.state, order.note = "cancelled", refused.code
            raise
        order.title, order.amount_fen = answer["order"]["title"], answer["price_fen"]
        return self._seated(order, answer["order"])

    def sell(self, *, number: str, buyer: str, lines: list[Json]) -> ShopOrder:
        """An ordinary order, of no campaign, told with its lines; the same ``number``, the same order."""
        fen = sum(line["paid_fen"] for line in lines)
        title = " + ".join(line["product_id"] for line in lines)
        order = ShopOrder(
            number=number, play="mall first", buyer=buyer, title=title, amount_fen=fen, ordinary=True
        )
        with self._lock:
            if number not in self._orders:
                self._kept(order)
                member = {"external_id": buyer}
                self._tell(order, "order.created", member=member, lines=lines, goods_fen=fen)
        return self.order(number)

    def _kept(self, order: ShopOrder) -> ShopOrder:
        with self._lock:
            return self._orders.setdefault(order.number, order)

    def _seated(self, order: ShopOrder, answer: Json) -> ShopOrder:
        with self._lock:
            order.order_id, order.campaign_id = answer["order_id"], answer["campaign_id"]
            order.group_id = answer["group_id"]
            order.held_until = answer["held_until"] or order.held_until
        return order

    # --- what people do with an order -----------------------------------------------------------------------

    def pay(self, number: str, *, again: bool = False) -> ShopOrder:
        """Somebody pays, late or not; ``again``: a second time, as when two phones do."""
        with self._lock:
            order = self._order(number, "unpaid", *(("paid",) if again else ()), but_done="paid")
            if order.payments and not again:
                return order
            payment_id = f"{number}-P{len(order.payments) + 1}"
            order.payments[payment_id], order.state = order.amount_fen, "paid"
        self._tell(order, "order.paid", payment_id=payment_id, goods_fen=order.amount_fen)
        return order

    def refund(self, number: str, *, amount_fen: int | None = None, line_id: str | None = None) -> ShopOrder:
        """The shop gives money back by itself, all of it or a part: an after-sale is opened, and closed."""
        with self._lock:
            order = self._order(number, "paid", "shipped", "completed", but_done="refunded")
            payment_id = next(
                (one for one in order.payments if order.left_fen(one)), next(iter(order.payments))
            )
            left_fen = order.left_fen(payment_id)
            fen = left_fen if amount_fen is None else amount_fen
            if not 0 < fen <= left_fen:
                raise Refused(409, "nothing_left", f"{left_fen} fen are left of this order")
            refund_id = f"{number}-R{len(order.refunds) + 1}"
            self._give_back(order, refund_id, fen, asked=False, reason="aftersale", payment_id=payment_id)
        told: Json = {"refund_id": refund_id, "amount_fen": fen, "payment_id": payment_id}
        if line_id is not None:
            told["lines"] = [{"line_id": line_id, "amount_fen": fen}]
        self._tell(order, "aftersale.opened")
        self._tell(order, "order.refunded", **told)
        self._tell(order, "aftersale.closed")
        return order

    def ship(self, number: str) -> ShopOrder:
        """Send the goods: only when the group is filled."""
        with self._lock:
            order = self._order(number, "paid", but_done="shipped")
            if not order.ordinary and self.groups.get(order.group_id) != "filled":
                raise Refused(409, "group_not_filled", "the group is not filled: nothing is shipped yet")
        return self._moved(order, "shipped", "order.shipped")

    def complete(self, number: str) -> ShopOrder:
        """The goods were received, and the time to give them back is over."""
        return self._moved(
            self._order(number, "shipped", but_done="completed"), "completed", "order.completed"
        )

    def cancel(self, number: str) -> ShopOrder:
        """An unpaid order is let go, and its seat with it."""
        with self._lock:
            order = self._order(number, "unpaid", but_done="cancelled")
            if order.play == "phone first":
                return self._moved(order, "cancelled", "order.cancelled")
            if order.state == "unpaid":
                order.state = "cancelled"
                self.outbox.put(
                    self._message(order, "DELETE", f"/v1/mall/seats/{number}", {}, what="seat back")
                )
        return order

    def _order(self, number: str, *wanted: State, but_done: State) -> ShopOrder:
        """The order, if it is in one of these states, or where this brings it already."""
        order = self.order(number)
        if order.state not in (*wanted, but_done):
            raise Refused(409, f"order_{order.state}", f"the order is {order.state}")
        return order

    def _moved(self, order: ShopOrder, to: State, event_type: str) -> ShopOrder:
        with self._lock:
            if order.state != to:
                order.state = to
                self._tell(order, event_type)
        return order

    def _give_back(
        self, order: ShopOrder, refund_id: str, amount_fen: int, *, asked: bool, reason: str, payment_id: str
    ) -> None:
        order.refunds[refund_id] = Refund(
            refund_id=refund_id, amount_fen=amount_fen, asked=asked, reason=reason, payment_id=payment_id
        )
        if order.refunded_fen == order.paid_fen:
            order.state = "refunded"

    # --- what Liebian tells ---------------------------------------------------------------------------------

    def take(self, body: Json) -> bool:
        """A webhook of Liebian's, checked already; told again it leads to the same. False: not an order of ours."""
        kind, data = body["type"], body["data"]
        if kind == "refund.requested":
            return self._refund_asked(data)
        if kind == "withdrawal.requested":
            self._pay_out(data)
        if kind in GROUP_STATES:
            with self._lock:
                # They come in any order, and what is over is not open again.
                if kind != "group.opened" or data["group_id"] not in self.groups:
                    self.groups[data["group_id"]] = GROUP_STATES[kind]
        return True

    def _refund_asked(self, data: Json) -> bool:
        with self._lock:
            order = next((one for one in self._orders.values() if one.order_id == data["order_id"]), None)
            if order is None:
                return False
            fresh = data["refund_id"] not in order.refunds
            if fresh:
                # What the shop gave back by itself meanwhile is not given twice.
                about = data.get("payment_id") or next(iter(order.payments), "")
                fen = min(data["amount_fen"], order.left_fen(about))
                told = {"asked": True, "reason": data["reason"], "payment_id": about}
                self._give_back(order, data["refund_id"], fen, **told)
        self._tell(order, "order.refunded", refund_id=data["refund_id"], amount_fen=data["amount_fen"])
        return True

    def _pay_out(self, data: Json) -> None:
        """Pay a promoter, once for a withdrawal's id however often it is asked, and tell under which number."""
        about = data["withdrawal_id"]
        with self._lock:
            self.payouts.setdefault(about, data["net_fen"])
        told = {"id": f"evt-{about}-paid", "type": "withdrawal.paid", "reference": f"B-{about[-6:]}"}
        path = f"/v1/mall/withdrawals/{about}/outcome"
        self.outbox.put(
            Message(
                message_id=told["id"], method="POST", path=path, body=told, number=about, what=told["type"]
            )
        )

    # --- telling Liebian ------------------------------------------------------------------------------------

    def _tell(self, order: ShopOrder, event_type: str, **told: Any) -> None:
        """Owe Liebian an event, whose id comes from what happened and is the same however often it is told."""
        about = told.get("refund_id") or told.get("payment_id") or order.number
        event_id = f"evt-{about}-{event_type.partition('.')[2]}"
        if event_type.startswith("aftersale"):
            event_id = f"evt-{order.number}-{len(order.refunds)}-{event_type}"
            told["at"] = int(time.time())
        body = {"id": event_id, "type": event_type, **order.names, **told}
        self.outbox.put(self._message(order, "POST", "/v1/mall/events", body, what=event_type))

    def _message(self, order: ShopOrder, method: str, path: str, body: Json, *, what: str) -> Message:
        message_id = body.get("id") or f"del-{order.number}"
        return Message(
            message_id=message_id, method=method, path=path, body=body, number=order.number, what=what
        )

    def _answered(self, message: Message, answer: Json | None, said: str) -> None:
        """A message was answered, refused, or not answered at all."""
        self.note("out", message.what, message.number, said)
        told = (answer or {}).get("order") or {}
        with self._lock:
            for name in ("order_id", "group_id"):
                if told.get(name):
                    setattr(self._orders[message.number], name, told[name])

    def _ask(self, method: str, path: str, body: Json | None = None, *, what: str) -> Json:
        """A call whose answer is needed now: repeated, under the same id, while no reply comes."""
        call_id = f"ask-{secrets.token_hex(8)}"
        about = (body or {}).get("mall_order_id", "")
        for _ in range(5):
            try:
                answer = self._liebian.call(method, path, body, call_id=call_id)
            except NoReply as lost:
                self.note("out", what, about, str(lost))
                continue
            except Refused as refused:
                self.note("out", what, about, refused.code)
                raise
            self.note("out", what, about, "answered")
            return answer
        raise Refused(503, "no_reply", "Liebian does not answer")

    def note(self, way: Literal["in", "out"], what: str, about: str, said: str) -> None:
        """A line for the page: what went over the wire."""
        self.log.appendleft({"at": int(time.time()), "way": way, "what": what, "about": about, "said": said})

    # --- books ----------------------------------------------------------------------------------------------

    def order(self, number: str) -> ShopOrder:
        """The order of this number."""
        with self._lock:
            if number not in self._orders:
                raise Refused(404, "not_found", "the shop has no such order")
            return self._orders[number]

    def show(self, order: ShopOrder) -> Json:
        """An order as JSON."""
        with self._lock:
            told = asdict(order)
        group = self.groups.get(order.group_id, "opening") if order.group_id else ""
        return {**told, "paid_fen": order.paid_fen, "refunded_fen": order.refunded_fen, "group": group}

    def orders(self) -> list[Json]:
        """All orders, newest first."""
        with self._lock:
            return [self.show(order) for order in reversed(self._orders.values())]

    def reconcile(self) -> Json:
        """Send the day's books to Liebian; what comes back is every difference."""
        with self._lock:
            found = sorted(
                (order for order in self._orders.values() if order.order_id), key=lambda order: order.order_id
            )
            lines = [
                {**order.names, "paid_fen": order.paid_fen, "refunded_fen": order.refunded_fen}
                for order in found
            ]
        answer: Json = {"compared": 0, "differences": []}
        for at in range(0, max(1, len(lines)), LINES_AT_ONCE):
            body = {"day": time.strftime("%Y-%m-%d"), "orders": lines[at : at + LINES_AT_ONCE]}
            if at > 0:
                body["after"] = found[at - 1].order_id
            if at + LINES_AT_ONCE < len(found):
                body["until"] = found[at + LINES_AT_ONCE - 1].order_id
            part = self._ask("POST", "/v1/mall/reconciliations", body, what="the books")
            answer["compared"] += part["compared"]
            answer["differences"] += part["differences"]
        return answer

    def campaigns(self) -> list[Json]:
        """What Liebian offers now, each with the groups that can be joined; nothing while it does not answer."""
        try:
            found: list[Json] = self._liebian.look("/v1/groupbuys")["items"]
            for one in found:
                one["groups"] = self._liebian.look(f"/v1/groupbuys/{one['campaign_id']}/groups")["items"]
        except (NoReply, Refused):
            return []
        return found
