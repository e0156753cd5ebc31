"""The mall's ordinary orders when any call fails: told again, there is one order, and the books add up."""

import pytest

from chalicelib.core import facts, table
from chalicelib.orders import giving, ordinary
from chalicelib.orders import service as orders
from chalicelib.orders.giving import Given
from chalicelib.orders.service import Order, Paid
from infra.local.clients import Store
from tests.factories import NOW, books, emptied
from tests.harness.faults import each_fault
from tests.orders import CUP, TEA, broken, net

pytestmark = pytest.mark.usefixtures("direct")
TOLD = ordinary.Told(
    mall_order_id="M1", member_id="mbr_1", link=None, created_at=NOW, amount_fen=8900, lines=[TEA, CUP]
)
ORDER_ID = orders.id_for_mall("M1")


@pytest.fixture(autouse=True)
def nobody_reacts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is owed stays owed: the faults of those who react are tried elsewhere."""
    quiet = facts._Reaction(name="test.quiet", effect=lambda row, now: (), money=False)
    for name in {*facts._reactions, "order.created", "order.paid", "order.reduced"}:
        monkeypatch.setitem(facts._reactions, name, [quiet])


def an_order() -> Order:
    """An order of which the mall has told."""
    emptied()
    return ordinary.made(TOLD, now=NOW)


def a_paid_order() -> Order:
    an_order()
    orders.pay(ORDER_ID, Paid(payment_id="wx_1", amount_fen=8900), now=NOW)
    return orders.show(ORDER_ID)


def test_an_order_is_made_once_with_its_lines_and_owed(store: Store) -> None:
    def check(_: None) -> None:
        order = orders.show(ORDER_ID)
        assert (order.due_ref, net(order), broken(order)) == ("order.created", {"1": 6000, "2": 2900}, [])

    each_fault(lambda _: ordinary.made(TOLD, now=NOW), client=table.client(), setup=emptied, check=check)


def test_an_order_is_paid_once_and_what_it_owed_was_told(store: Store) -> None:
    def check(order: Order) -> None:
        paid = orders.show(order.order_id)
        assert (paid.state, paid.due_ref, broken(paid)) == ("paid", "order.paid", [])
        assert books(store.client)["dead_letter"] <= 1

    def pay(order: Order) -> None:
        orders.pay(order.order_id, Paid(payment_id="wx_1", amount_fen=8900), now=NOW)

    each_fault(pay, client=table.client(), setup=an_order, check=check)


def test_a_part_of_a_line_goes_back_once_and_is_owed(store: Store) -> None:
    given = Given(number="R1", amount_fen=900, payment_id=None, lines={"1": 900})

    def check(order: Order) -> None:
        assert (net(order), broken(order)) == ({"1": 5100, "2": 2900}, [])
        assert books(store.client).only("refund")["due_ref"] == "order.reduced"

    each_fault(
        lambda order: giving.follow(order, given, now=NOW),
        client=table.client(),
        setup=a_paid_order,
        check=check,
    )


def test_an_aftersale_by_its_number_is_opened_once_and_closed_for_good() -> None:
    def tell(order: Order) -> None:
        for number, is_open in (("A", True), ("B", True), ("A", False), ("A", True)):
            orders.aftersale(order.order_id, is_open=is_open, at=None, aftersale_id=number)

    def check(order: Order) -> None:
        told = orders.show(order.order_id)
        assert (told.aftersales_opened, told.aftersales_closed, told.disputed) == ({"A", "B"}, {"A"}, True)
        assert told.rev == order.rev + 3, "each was written once"

    each_fault(tell, client=table.client(), setup=a_paid_order, check=check)
