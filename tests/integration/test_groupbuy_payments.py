"""What a phone can pay: begun once, asked for, and closed at the gateway before a seat is let go."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from chalicelib.core import config, doors, due, table
from chalicelib.core.clock import MINUTE
from chalicelib.core.errors import NotFound
from chalicelib.groupbuys import ending, reading
from chalicelib.orders import gateways, routes
from chalicelib.orders import service as orders
from chalicelib.orders.gateways import Paid
from chalicelib.orders.service import Order, OrderOver
from infra.local.clients import Store
from tests.factories import NOW, a_call, a_word
from tests.groupbuys import a_buyer, a_campaign, broken, buying, open_paid_group, opened, pay, take
from tests.harness.counter import counting
from tests.harness.rows import rows
from tests.harness.wire import Call, Params, wrapped

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

PRICE = 8900


@pytest.fixture(autouse=True)
def the_books(store: Store) -> Iterator[None]:
    """Whatever a test does, no rule is broken at its end."""
    config.override(payment_gateway="sandbox")
    yield
    for row in rows(store.client, "truth", kind="groupbuy"):
        assert broken(store, row["campaign_id"]) == []


class Bank(gateways.Sandbox):
    """A gateway that takes money by itself, and tells when it is asked."""

    begins: ClassVar[bool] = True

    def __init__(self) -> None:
        self.took: dict[str, Paid] = {}
        self.asked: list[str] = []
        self.reachable = True

    def takes(self, order: Order) -> None:
        """The phone pays, and nobody says so."""
        assert order.prepay_id is not None
        self.took[order.order_id] = Paid(payment_id=order.prepay_id, amount_fen=order.amount_fen)

    def look_up(self, order: Order, *, now: int) -> Paid | None:
        """What was paid."""
        self.asked.append(order.order_id)
        return self.took.get(order.order_id)

    def close(self, order: Order, *, now: int) -> Paid | None:
        """Nothing more is taken, unless it was."""
        if not self.reachable:
            raise gateways.NotRefunded("no answer")
        return self.took.get(order.order_id)


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    """The gateway in place of the sandbox."""
    there = Bank()
    monkeypatch.setitem(gateways._GATEWAYS, "sandbox", there)
    return there


def call_of(order: Order, *, now: int = NOW) -> Any:
    session = doors.Session(member_id=order.member_id, program_id="demo", visitor=order.member_id)
    return a_call(session=session, now=now)


def begin(order: Order) -> Order:
    """The member's phone begins to pay; the order as it is then."""
    routes.begin_payment(call_of(order), order.order_id)
    return orders.show(order.order_id)


def a_seat(**told: Any) -> Order:
    """The order of somebody in an open group who has not paid."""
    return take(open_paid_group(a_campaign(**told)))


def release(*, now: int) -> due.Ran:
    return due.run(job="release", worker=a_word("w"), now=now, seconds=30)


def seat_of(order: Order) -> str | None:
    """The state of the seat that the order's member has in its group."""
    order = orders.show(order.order_id)
    seats = {one.member_id: one for one in reading.with_seats(order.group_id)[1]}
    return seats[order.member_id].state if order.member_id in seats else None


def once_before(operation: str, do: Any) -> Any:
    """While it is worn, ``do`` is done just before the first call of this kind."""
    left = [do]

    def layer(below: Call, asked: str, params: Params) -> Params:
        if asked == operation and left:
            left.pop()()
        return below(asked, params)

    return wrapped(table.client(), layer)


# --- beginning ----------------------------------------------------------------------------------------------


def test_beginning_again_answers_the_same_so_that_one_order_has_one_thing_to_pay() -> None:
    order = a_seat()

    begun = [routes.begin_payment(call_of(order), order.order_id).pay_url for _ in range(3)]

    assert len(set(begun)) == 1
    assert str(begun[0]).endswith(f"/{orders.show(order.order_id).prepay_id}")


def test_two_phones_that_begin_at_once_are_answered_the_same() -> None:
    order = a_seat()
    told: list[Any] = []

    with once_before("UpdateItem", lambda: told.append(routes.begin_payment(call_of(order), order.order_id))):
        told.append(routes.begin_payment(call_of(order), order.order_id))

    assert told[0].pay_url == told[1].pay_url


def test_nothing_is_begun_of_an_order_that_is_over_or_is_let_go_meanwhile() -> None:
    order, gone = a_seat(), a_seat()
    orders.cancel(gone, now=NOW)

    with pytest.raises(OrderOver) as over:
        begin(gone)
    with (
        once_before("UpdateItem", lambda: orders.cancel(orders.show(order.order_id), now=NOW)),
        pytest.raises(OrderOver) as meanwhile,
    ):
        begin(order)

    assert over.value.details == meanwhile.value.details == {"state": "cancelled"}
    assert orders.show(order.order_id).prepay_id is None


def test_a_payment_in_the_mall_is_begun_there_and_writes_nothing_here() -> None:
    config.override(payment_gateway="mall")
    order = take(open_paid_group(a_campaign(gateway="mall")))

    with counting(table.client()) as spent:
        begun = routes.begin_payment(call_of(order), order.order_id)

    assert (begun.gateway, begun.pay_url) == ("mall", None)
    assert spent.operations == {"GetItem": 1}
    assert release(now=order.held_until).handled == 1
    assert orders.show(order.order_id).state == "cancelled"


# --- letting go ---------------------------------------------------------------------------------------------


def test_a_hold_of_which_a_payment_was_begun_is_closed_at_the_gateway_and_then_let_go() -> None:
    order = begin(a_seat())

    assert release(now=order.held_until).handled == 1

    row = orders.show(order.order_id)
    assert (row.state, row.prepay_closed, seat_of(order)) == ("cancelled", True, None)
    with pytest.raises(OrderOver):
        routes.pay_in_sandbox(a_call(now=order.held_until), order.order_id, str(order.prepay_id))
    assert orders.money_of(order.order_id) == ([], [])
    late = routes.pay_in_sandbox(a_call(now=order.held_until), order.order_id, "pay_by-bank")
    assert (late.state, seat_of(order)) == ("paid", "confirmed"), "other money comes late, and is placed"


def test_what_was_paid_before_it_was_closed_is_taken_and_the_seat_is_not_let_go(bank: Bank) -> None:
    order, left = begin(a_seat()), begin(a_seat())
    bank.takes(order)
    bank.takes(left)

    release(now=order.held_until)
    with pytest.raises(OrderOver) as refused:
        ending.leave(group_id=left.group_id, member_id=left.member_id, now=NOW)

    assert refused.value.details == {"state": "paid"}
    for one in (order, left):
        assert (orders.show(one.order_id).state, seat_of(one)) == ("paid", "confirmed")
        assert orders.show(one.order_id).payment_id == one.prepay_id


def test_a_gateway_that_does_not_answer_keeps_the_seat_held_until_it_does(bank: Bank) -> None:
    order = begin(a_seat())
    bank.reachable = False

    assert release(now=order.held_until).failed == 1
    assert (orders.show(order.order_id).state, seat_of(order)) == ("pending", "held")

    bank.reachable = True
    assert release(now=order.held_until + MINUTE).handled == 1
    assert (orders.show(order.order_id).state, seat_of(order)) == ("cancelled", None)


def test_a_payment_that_begins_while_the_seat_is_let_go_is_closed_first() -> None:
    order = a_seat()

    with once_before("TransactWriteItems", lambda: begin(order)):
        release(now=order.held_until)

    row = orders.show(order.order_id)
    assert (row.state, row.prepay_closed) == ("cancelled", True)


def test_an_unpaid_head_s_group_goes_when_the_payment_is_closed() -> None:
    order = begin(opened(a_campaign()).order)

    release(now=order.held_until)

    assert reading.find(order.group_id).state == "lapsed"
    assert orders.show(order.order_id).prepay_closed


def test_a_payment_that_was_begun_in_a_group_that_ended_meanwhile_goes_back() -> None:
    order = begin(a_seat())
    ending.end(order.group_id, back=ending.EXPIRED, now=NOW)

    paid = routes.pay_in_sandbox(a_call(), order.order_id, str(order.prepay_id))

    assert (paid.state, seat_of(order)) == ("refunding", None)


def test_a_late_payment_that_takes_over_a_newer_order_closes_what_was_begun_of_that() -> None:
    campaign = a_campaign()
    group, wants = open_paid_group(campaign), buying(a_buyer())
    late = take(group, wants)
    orders.cancel(late, now=NOW)
    newer = begin(take(group, wants))

    pay(late)

    assert (orders.show(late.order_id).state, seat_of(late)) == ("paid", "confirmed")
    row = orders.show(newer.order_id)
    assert (row.state, row.prepay_closed) == ("cancelled", True)
    with pytest.raises(OrderOver):
        routes.pay_in_sandbox(a_call(), newer.order_id, str(newer.prepay_id))


def test_a_hold_of_which_nothing_was_begun_asks_no_gateway_and_costs_one_call(bank: Bank) -> None:
    bank.reachable = False
    order = a_seat()
    (entry,) = [one for one in due._due("release#0", now=order.held_until) if order.order_id in one.due_ref]

    with counting(table.client()) as spent:
        ending.release_hold(entry, order.held_until)

    assert spent.operations == {"TransactWriteItems": 1}
    assert orders.show(order.order_id).state == "cancelled"


# --- asking -------------------------------------------------------------------------------------------------


def test_a_payment_that_nobody_told_of_is_found_by_asking(bank: Bank) -> None:
    order = begin(a_seat())
    bank.takes(order)

    told = [routes.check_payment(call_of(order), order.order_id).state for _ in range(2)]

    assert (told, seat_of(order)) == (["paid", "paid"], "confirmed")
    assert bank.asked == [order.order_id], "a paid order is not asked for again"


def test_a_payment_that_is_found_after_the_seat_was_let_go_is_placed_late(bank: Bank) -> None:
    order = begin(a_seat())
    release(now=order.held_until)
    bank.takes(order)

    assert routes.check_payment(call_of(order), order.order_id).state == "paid"
    assert seat_of(order) == "confirmed"


@pytest.mark.parametrize("begun", [True, False])
def test_asking_for_what_was_not_paid_answers_the_order_as_it_is(begun: bool, bank: Bank) -> None:
    order = begin(a_seat()) if begun else a_seat()

    assert routes.check_payment(call_of(order), order.order_id).state == "pending"
    assert bank.asked == ([order.order_id] if begun else [])


def test_the_sandbox_and_the_mall_tell_of_payments_themselves() -> None:
    order = begin(a_seat())
    assert routes.check_payment(call_of(order), order.order_id).state == "pending"
    config.override(payment_gateway="mall")
    theirs = take(open_paid_group(a_campaign(gateway="mall")))
    assert routes.check_payment(call_of(theirs), theirs.order_id).state == "pending"
    assert [gateways.of("mall").look_up(theirs, now=NOW), gateways.of("mall").close(theirs, now=NOW)] == [
        None,
        None,
    ]


def test_an_order_of_somebody_else_cannot_be_asked_for() -> None:
    order, other = a_seat(), a_seat()

    with pytest.raises(NotFound):
        routes.check_payment(call_of(other), order.order_id)
