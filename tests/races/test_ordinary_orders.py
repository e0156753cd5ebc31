"""The mall's ordinary orders: events of one order all at once make one order, one payment and one refund."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core.errors import Conflict
from chalicelib.orders import service as orders
from tests.groupbuys import naively
from tests.orders import CUP, TEA, a_number, bought, broken, net, paid, tell, the_order
from tests.races.arena import CROWD, STORM, Arena, rounds

pytestmark = pytest.mark.engine


def telling(kind: str, number: str, **what: Any) -> Callable[[], Any]:
    """The mall says it, and again, after a 409, until it is taken."""

    def again() -> Any:
        for _ in range(200):
            try:
                return tell(kind, number, **what)
            except Conflict:
                continue
        return tell(kind, number, **what)

    return again


def events(number: str) -> list[Callable[[], Any]]:
    """All that there is to say of an order of which a part went back."""
    return [
        telling("order.created", number, id="e1", **bought()),
        telling("order.paid", number, id="e2", payment_id="wx_1", **bought()),
        telling(
            "order.refunded", number, id="e3", refund_id="R1", lines=[{"line_id": "1", "amount_fen": 900}]
        ),
    ]


def test_the_harness_sees_two_orders_where_nothing_is_asked(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = a_number()
    payments = [telling("order.paid", number, payment_id=f"wx_{n}", **bought()) for n in range(2)]
    naively(monkeypatch)

    arena.collide(*payments)

    assert broken(the_order(number)) != []


@rounds(STORM)
def test_many_events_of_one_order_make_one_order_one_payment_and_one_refund(arena: Arena) -> None:
    number = a_number()

    outcomes = arena.race(*(events(number) * CROWD)[:CROWD])

    outcomes.expect(won=CROWD)
    order = the_order(number)
    assert [len(arena.rows(kind)) for kind in ("order", "order_lines", "payment", "refund")] == [1, 1, 1, 1]
    assert (order.state, order.refundable_fen, net(order)) == ("paid", 8000, {"1": 5100, "2": 2900})
    assert broken(order) == []


def test_the_harness_sees_more_given_back_than_was_paid_when_nothing_is_asked(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = paid(TEA, CUP)
    naively(monkeypatch)

    whole = [{"line_id": "1", "amount_fen": 6000}]
    ask = functools.partial(telling, "order.refunded", order.mall_order_id or "", lines=whole)
    arena.collide(*[ask(refund_id=f"R{n}") for n in range(2)])

    assert [row["amount_fen"] for row in arena.rows("refund")] == [6000, 6000]


@rounds(STORM)
def test_parts_and_the_whole_at_once_give_back_what_was_paid_and_no_more(arena: Arena) -> None:
    order = paid(TEA, CUP)
    number = order.mall_order_id or ""
    parts = [
        telling("order.refunded", number, refund_id=f"R{n}", lines=[{"line_id": "1", "amount_fen": 1500}])
        for n in range(4)
    ]
    whole = [lambda: orders.refund(order.order_id, back=orders.Back(reason="operator"), now=0)]

    arena.race(*parts * 4, *whole * 4)

    assert orders.show(order.order_id).state in ("refunding", "refunded")
    assert broken(order) == []
