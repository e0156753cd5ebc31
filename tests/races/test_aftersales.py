"""After-sales of one order under a crowd: each by its own number, one that is closed is closed for good.

The mall tells of openings and closings in any order and again; an order is disputed while one of them is open.
"""

from collections.abc import Callable

import pytest

from chalicelib.commissions import settling
from chalicelib.core import due, table
from chalicelib.core.errors import NotFound
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from tests.commissions import (
    LATER,
    a_friend_of,
    a_promoter,
    a_rate,
    alone,
    balance,
    bought,
    completed,
    earned,
    paid,
    settled,
    some_terms,
)
from tests.harness.races import read_then_write
from tests.races.arena import STORM, Arena, rounds

pytestmark = pytest.mark.engine
NUMBERS = ("A", "B", "C", "D", "E", "F")


@pytest.fixture
def order(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> Order:
    """An order whose commission is due."""
    alone(monkeypatch)
    some_terms()
    a_rate(bps=1000)
    return completed(paid(bought(a_friend_of(a_promoter()))))


def telling(order: Order, number: str, *, is_open: bool) -> Callable[[], None]:
    """The mall says that one was opened or closed."""
    return lambda: orders.aftersale(order.order_id, is_open=is_open, at=None, aftersale_id=number)


def test_the_harness_sees_an_opening_lost_when_the_numbers_are_read_and_written_back(
    arena: Arena, order: Order
) -> None:
    numbers = iter(NUMBERS[:2])

    def read() -> set[str]:
        return {*(orders.show(order.order_id).aftersales_opened or ()), next(numbers)}

    def write(seen: set[str]) -> None:
        opened = Order.aftersales_opened.set(seen)
        table.apply(table.update(Order, Order.key(order.order_id), opened, refuse=NotFound))

    naive = read_then_write(read, write, parties=2)
    arena.race(naive, naive).expect(won=2)

    assert len(orders.show(order.order_id).aftersales_opened or ()) == 1


@rounds(STORM)
def test_openings_and_closings_at_once_leave_open_what_was_not_closed(arena: Arena, order: Order) -> None:
    before = orders.show(order.order_id)
    told = [telling(order, number, is_open=True) for number in NUMBERS]
    told += [telling(order, number, is_open=False) for number in NUMBERS[:-1]]

    arena.race(*told, *told).expect(won=len(told) * 2)

    row = orders.show(order.order_id)
    assert (row.aftersales_opened, row.aftersales_closed) == (set(NUMBERS), set(NUMBERS[:-1]))
    assert row.disputed
    assert row.rev == before.rev + len(told), "each was written once"

    telling(order, NUMBERS[-1], is_open=False)()
    arena.race(*told).expect(won=len(told))
    assert not orders.show(order.order_id).disputed, "told late, it is not open again"


@rounds(STORM)
def test_nothing_settles_while_one_of_many_is_open_and_all_does_once_none_is(
    arena: Arena, order: Order
) -> None:
    promoter_id = arena.rows("commission")[0]["promoter_id"]
    for number in NUMBERS:
        telling(order, number, is_open=True)()
    entries = list(due._due(f"{settling.JOB}#0", now=LATER))

    def settler() -> None:
        settling.settle(entries, LATER)

    closings = [telling(order, number, is_open=False) for number in NUMBERS[:-1]]
    arena.race(*closings * 2, *[settler] * 4).expect(won=len(closings) * 2 + 4)
    assert (balance(promoter_id), earned(order)) == (0, [("L1", "due", 990)])

    telling(order, NUMBERS[-1], is_open=False)()
    arena.race(*[lambda: settled(now=LATER + 2 * settling.LOOKED_AT_AGAIN_S)] * 3).expect(won=3)
    assert (balance(promoter_id), earned(order)) == (990, [("L1", "settled", 990)])
