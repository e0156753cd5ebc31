"""The mall's ordinary orders for tests: what it tells of them, and whether the books add up.

number = a_number()
tell("order.created", number, **bought())
tell("order.paid", number, payment_id="wx_1", **bought())
order = the_order(number)
assert broken(order) == []
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from chalicelib.orders import byhand, mall, ordinary
from chalicelib.orders import service as orders
from chalicelib.orders.schemas import EventTaken, MallEvent
from chalicelib.orders.service import Order
from tests.factories import NOW, a_call, a_word

ROOM = (byhand, ordinary)
"""Importing them tells orders where payments go, and people what to do."""
TEA = {
    "line_id": "1",
    "product_id": "tea",
    "category_ids": ["drinks"],
    "title": "Tea",
    "quantity": 2,
    "paid_fen": 6000,
}
CUP = {"line_id": "2", "product_id": "cup", "sku_id": "blue", "quantity": 1, "paid_fen": 2900}


def a_number() -> str:
    """A number of the mall's that no other order has."""
    return a_word("M")


def bought(*lines: dict[str, Any], who: str = "alice", **more: Any) -> dict[str, Any]:
    """Who bought what: tea and a cup for 89 yuan, unless said."""
    sold = list(lines or (TEA, CUP))
    fen = sum(line["paid_fen"] for line in sold)
    return {"member": {"external_id": who}, "lines": sold, "goods_fen": fen, **more}


def tell(kind: str, number: str, *, now: int = NOW, **what: Any) -> EventTaken:
    """What the mall says of an order, under an event id of its own unless it is given."""
    told = {"id": a_word("evt_"), "type": kind, "mall_order_id": number, **what}
    return mall.take_event(a_call(now=now), msgspec.convert(told, MallEvent))


def the_order(number: str) -> Order:
    """The order of this number."""
    order = orders.find_for_mall(number)
    assert order is not None
    return order


def paid(*lines: dict[str, Any], who: str = "alice", **more: Any) -> Order:
    """An ordinary order that was just paid."""
    number = a_number()
    tell("order.paid", number, payment_id=f"wx_{number}", **bought(*lines, who=who, **more))
    return the_order(number)


def back(order: Order, number: str = "R1", *, now: int = NOW, **what: Any) -> Order:
    """The order after the mall gave something back by itself."""
    assert order.mall_order_id is not None
    tell("order.refunded", order.mall_order_id, refund_id=number, now=now, **what)
    return orders.show(order.order_id)


def net(order: Order) -> dict[str, int]:
    """What is left of each line."""
    return {line.line_id: line.net_fen for line in orders.lines_of(orders.show(order.order_id))}


def broken(order: Order) -> list[str]:
    """Every way in which an order's row, lines, payments and refunds do not add up."""
    order = orders.show(order.order_id)
    payments, refunds = orders.money_of(order.order_id)
    lines = orders.lines_of(order)
    taken = [one for one in payments if one.state == "taken"]
    its = [one for one in refunds if one.payment_id == order.payment_id]
    given = sum(one.amount_fen for one in refunds if one.state == "done")
    over_fen = order.over_fen or 0  # nothing was bought for it
    wrong = {
        "a pending order is paid": order.state in ("pending", "cancelled") and bool(taken),
        "it took not one payment": order.state not in ("pending", "cancelled")
        and len(taken) != (0 if _came_late(order, payments) else 1),
        "its lines": sum(line.paid_fen for line in lines) != orders.came_fen(order) - over_fen,
        "a line": any(not 0 <= line.refunded_fen <= line.paid_fen for line in lines),
        "what is left": sum(line.refunded_fen for line in lines) != orders.back_fen(order) - over_fen,
        "its refunds": sum(one.amount_fen for one in its) != orders.back_fen(order),
        "what was given": (order.refunded_fen or 0) != given,
        "its end": (order.state in ("refunding", "refunded")) != (_whole(its) == 1),
    }
    return [what for what, is_so in wrong.items() if is_so]


def _came_late(order: Order, payments: Sequence[Any]) -> bool:
    """Whether it had lost its seat before anything was paid, so that it went back as it came."""
    back = all(one.state == "returned" for one in payments)
    return order.group_id is not None and order.state in ("refunding", "refunded") and back


def _whole(refunds: Sequence[Any]) -> int:
    return sum(bool(one.whole) for one in refunds)
