"""Two who meet over one order, or one bill, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.core import cache, config, due, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import Busy
from chalicelib.operators import stuck
from chalicelib.orders import bills, shipping, wechat
from chalicelib.orders import service as orders
from chalicelib.orders.models import Bill
from chalicelib.orders.schemas import Shipped
from chalicelib.orders.service import Order, Refund
from chalicelib.orders.shipping import Shipment
from chalicelib.wechat.bills import BillLine
from infra.local.clients import Store
from tests.factories import NOW, OWNER, TODAY, a_call
from tests.groupbuys import a_campaign, begun, opened, pay, take
from tests.harness.meetings import before_write
from tests.harness.rows import rows
from tests.integration import test_groupbuys_meetings as groups
from tests.integration.test_commissions_meetings import entry_of
from tests.integration.test_groupbuys_meetings import refund
from tests.orders import CUP, TEA, a_number, back, bought, broken, net, paid, tell, the_order

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

LESS = {**TEA, "paid_fen": 5000}
MCHID = "1900000001"


@pytest.fixture(autouse=True)
def the_books(store: Store) -> Iterator[None]:
    """Whatever meets, every ordinary order adds up at its end."""
    yield
    for row in rows(store.client, "truth", kind="order"):
        if row["purpose"] == "mall":
            assert broken(orders.show(row["order_id"])) == []


# --- a payment meets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("over", [False, True])
def test_of_two_payments_at_once_one_is_taken_and_one_goes_back(number: int, over: bool) -> None:
    """``number``: of the write: before it is told that the order was made, before it is paid."""
    told = a_number()
    tell("order.created", told, **bought())
    if over:
        tell("order.cancelled", told)
    order = the_order(told)

    with before_write(number, lambda: pay(order, "wx_1")):
        pay(order, "wx_2")

    payments, refunds = orders.money_of(order.order_id)
    assert sorted(row.state or "" for row in payments) == ["returned", "taken"]
    assert [(row.payment_id, row.state) for row in refunds] == [("wx_2", "due")]


def test_an_order_is_paid_while_it_is_told_that_it_cost_less() -> None:
    number = a_number()
    tell("order.created", number, **bought())

    with before_write(1, lambda: tell("order.paid", number, payment_id="wx_1", goods_fen=8900)):
        tell("order.paid", number, payment_id="wx_2", **bought(LESS, CUP))

    assert net(the_order(number)) == {"1": 6000, "2": 2900}


def test_an_order_is_cancelled_while_it_is_paid() -> None:
    number = a_number()
    tell("order.created", number, **bought())
    order = the_order(number)

    with before_write(1, lambda: pay(order)), pytest.raises(orders.OrderOver):
        orders.cancel(order, now=NOW)


# --- a refund meets -----------------------------------------------------------------------------------------


def test_an_order_is_given_back_while_it_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    order = paid()

    assert groups.completed_meanwhile(order, monkeypatch) == ["completed"]


def test_an_order_is_given_back_while_a_part_of_it_is() -> None:
    order = paid()

    with groups.before_write(1, lambda: back(order, amount_fen=900)):
        refund(order)

    assert orders.show(order.order_id).state == "refunding"


def test_an_order_is_given_back_while_the_mall_confirms_that_it_was() -> None:
    order = paid()

    def refunded() -> None:
        refund(order)
        back(order, orders.money_of(order.order_id)[1][0].refund_id)

    with groups.before_write(1, refunded):
        refund(order)

    assert orders.show(order.order_id).state == "refunded"


def test_of_two_parts_of_one_line_at_once_the_second_is_told_that_it_was_too_late() -> None:
    order, part = paid(), [{"line_id": "1", "amount_fen": 4000}]

    with before_write(1, lambda: back(order, "R1", lines=part)), pytest.raises(Busy):
        back(order, "R2", lines=part)

    assert net(order) == {"1": 2000, "2": 2900}


# --- what the mall says meets -------------------------------------------------------------------------------


def test_one_number_of_the_mall_s_is_given_to_two_orders_at_once() -> None:
    one, other = (opened(a_campaign()).order for _ in range(2))

    def name(order: Order) -> None:
        orders.named(order.order_id, mall_order_id="M1")

    with before_write(1, lambda: name(one)), pytest.raises(orders.MallOrderTaken):
        name(other)

    assert the_order("M1").order_id == one.order_id


def test_an_order_is_sent_when_that_is_told_first() -> None:
    order = paid()

    with before_write(1, lambda: orders.shipped(order.order_id, now=NOW)):
        orders.shipped(order.order_id, now=NOW + DAY)

    assert orders.show(order.order_id).shipped_at == NOW


# --- WeChat meets -------------------------------------------------------------------------------------------


def a_filled() -> Order:
    """An order that WeChat took the money of, in a group that is full."""
    seated = opened(a_campaign(sizes={2: 8900}, gateway="wechat"))
    pay(begun(seated.order))
    pay(take(seated.group))
    return orders.show(seated.order.order_id)


def test_what_a_person_enters_while_wechat_is_told_of_it_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.members.service.app", lambda *_, **__: None)
    monkeypatch.setattr(shipping, "_upload", lambda *_, **__: None)
    order = a_filled()
    shipping.note(order, Shipped(how="pickup"), now=NOW)
    key = Shipment.key(order.order_id)

    def enters() -> None:
        late = due.handed_over(shipping.JOB, at=NOW, why="WeChat never answers")
        row = table.apply(table.update(Shipment, key, *late, refuse=AssertionError))
        stuck_id = stuck.id_of(shipping.JOB, row)
        stuck.settle(stuck_id=stuck_id, how="entered", reason="in the backend", by=OWNER, now=NOW)

    with before_write(1, enters):
        shipping.tell(entry_of(shipping.of(order.order_id)), NOW)

    row = shipping.of(order.order_id)
    assert row is not None and row.state == "by_hand"


@pytest.fixture
def wechat_says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What WeChat Pay tells of a refund, past the seal."""
    monkeypatch.setattr("chalicelib.wechat.pay.mchid", lambda: MCHID)
    monkeypatch.setattr("chalicelib.wechat.pay.notice", lambda told, *, now: SimpleNamespace(resource=told))

    def says(status: str, owed: Refund, *, now: int = NOW) -> None:
        told: Any = {
            "mchid": MCHID,
            "out_trade_no": owed.order_id,
            "out_refund_no": owed.refund_id,
            "amount": {"refund": owed.amount_fen},
            "refund_status": status,
        }
        wechat.refund(a_call(now=now), "demo", told)

    return says


def owed_by_wechat() -> Refund:
    """Money that goes back by WeChat."""
    order = a_filled()
    refund(order)
    (owed,) = orders.money_of(order.order_id)[1]
    return owed


def test_a_refund_is_given_while_wechat_says_that_it_cannot_be(wechat_says: Callable[..., None]) -> None:
    owed = owed_by_wechat()

    with before_write(1, lambda: wechat_says("SUCCESS", owed)):
        wechat_says("ABNORMAL", owed)

    assert orders.show(owed.order_id).state == "refunded"
    assert due.stuck(orders.REFUND_JOB, limit=9).rows == []


def test_a_refund_that_cannot_be_given_waits_for_a_person_since_that_was_told_first(
    wechat_says: Callable[..., None],
) -> None:
    owed = owed_by_wechat()

    with before_write(1, lambda: wechat_says("CLOSED", owed)):
        wechat_says("ABNORMAL", owed, now=NOW + HOUR)

    (row,) = due.stuck(orders.REFUND_JOB, limit=9).rows
    assert (row.due_at, "CLOSED" in row.last_error) == (NOW, True)


# --- a bill meets -------------------------------------------------------------------------------------------


@pytest.fixture
def bill(monkeypatch: pytest.MonkeyPatch) -> list[BillLine]:
    """The lines of today's bill."""
    config.override(wechatpay_mchid=MCHID)
    lines: list[BillLine] = []
    monkeypatch.setattr("chalicelib.wechat.bills.trade_bill", lambda day, *, now: list(lines))
    monkeypatch.setattr("chalicelib.orders.untold.payment", lambda order_id, *, now: None)
    bills.plan(now=NOW + DAY)
    return lines


def compared() -> None:
    """The job compares today's bill."""
    pk, sk = Bill.key(TODAY)
    told = {"kind": "", "due_shard": "", "due_at": NOW, "due_ref": ""}
    bills.compare(due.Entry(pk=pk, sk=sk, **told), NOW + DAY)  # type: ignore[arg-type]


def now_is() -> Bill:
    """Today's bill."""
    row = table.get(Bill, Bill.key(TODAY))
    assert row is not None
    return row


def test_a_bill_that_is_compared_by_two_at_once_was_looked_at_once(bill: list[BillLine]) -> None:
    with before_write(1, compared), pytest.raises(bills._Moved):
        compared()

    assert (now_is().state, now_is().looks) == ("agrees", 1)


def a_line(order: Order) -> BillLine:
    """What the bill says of an order's payment."""
    return BillLine(
        kind="payment",
        order_id=order.order_id,
        transaction_id="42",
        refund_id="",
        amount_fen=order.amount_fen,
        status="SUCCESS",
    )


def test_a_payment_is_told_and_its_bill_agrees_while_it_is_compared(bill: list[BillLine]) -> None:
    order = opened(a_campaign(gateway="wechat")).order
    bill.append(a_line(order))

    def told_and_compared() -> None:
        pay(order, "42")
        compared()

    with before_write(1, told_and_compared), pytest.raises(bills._Moved):
        compared()

    assert (now_is().state, bills.open_differences(TODAY)) == ("agrees", [])


def test_what_differs_is_not_gone_for_who_looked_before_it_did(bill: list[BillLine]) -> None:
    line = a_line(opened(a_campaign(gateway="wechat")).order)
    bill.append(line)
    compared()
    bill.clear()

    def differs_again() -> None:
        bill.append(line)
        compared()

    with before_write(1, differs_again), pytest.raises(bills._Moved):
        compared()

    assert [row.what for row in bills.open_differences(TODAY)] == ["payment_unknown"]


def test_a_bill_that_was_compared_is_not_planned_again_by_a_process_that_does_not_remember(
    bill: list[BillLine],
) -> None:
    compared()
    cache.clear_all()

    bills.plan(now=NOW + DAY)

    assert (now_is().state, now_is().looks) == ("agrees", 1)
