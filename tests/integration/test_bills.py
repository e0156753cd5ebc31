"""WeChat Pay's bill of a day against our books: every difference is listed, once, until it is none any more."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.core import due, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.http import Listing
from chalicelib.operators import stuck
from chalicelib.orders import admin, bills
from chalicelib.orders import service as orders
from chalicelib.orders.models import Payment, Refund
from chalicelib.orders.schemas import BillAnswer, BillDifference, BillDifferences
from chalicelib.orders.service import REFUND_JOB, Back, Order
from chalicelib.wechat import bills as files
from chalicelib.wechat import pay
from chalicelib.wechat.bills import BillUnreadable
from infra.local.wechat import notices, refunds
from infra.local.wechat.pay import Trades
from tests.factories import NOW, OWNER, TODAY, a_call, a_word
from tests.harness.direct import Direct
from tests.paying import Desk, at_the_desk

pytestmark = [pytest.mark.alone("groupbuys", "orders")]

MORNING = files.there_at(TODAY, hour=10, minute=30)
# A bill as it is documented: developers.weixin.qq.com, minigame/dev/wxcloudrun/src/development/pay/order/bill.html.
DOCUMENTED = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注\r\n"
    "`2022-03-21 13:51:31,`wxfdc955f7104ad557,`180023671,`176531292,`,`420000612032130748613220688,"
    "`2021WERUN1647840687637,`oZWaCKXip5njeEiloC4oeOV1TTsk,`JSAPI,`SUCCESS,`OTHERS,`CNY,`0.01,`0.00,`0,`0,`0.00,"
    "`0.00,`,`,`微信云托管支付,测试,`,`0.00000,`0.90%,`0.01,`0.00,`\r\n"
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"
    "`1,`0.01,`0.00,`0.00,`0.00000,`0.01,`0.00\r\n"
)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, direct: Direct) -> Iterator[Desk]:
    with at_the_desk(monkeypatch) as there:
        yield there


def compared(*, now: int) -> BillAnswer:
    """The job at this time; today's bill as operators see it."""
    bills.plan(now=NOW + DAY)
    assert due.run(job=bills.JOB, worker=a_word("w"), now=now, seconds=30).failed == 0
    found = admin.list_bills(a_call(operator=OWNER, now=now), Listing()).items
    return next(one for one in found if one.day == TODAY)


def differing() -> list[BillDifference]:
    call = a_call(operator=OWNER)
    return admin.list_differences(call, BillDifferences(day=TODAY)).items


def a_paid_day(desk: Desk) -> list[Order]:
    """Three payments today, the last of them given back."""
    group = desk.a_group(sizes={9: 8900})
    paid = [desk.pays(desk.a_seat(group=group)) for _ in range(2)]
    orders.refund(paid[1].order_id, back=Back(reason="operator"), now=NOW)
    due.run(job=REFUND_JOB, worker=a_word("w"), now=NOW, seconds=30)
    assert notices.wait(desk.platform)
    return [orders.show(order.order_id) for order in paid]


def test_a_day_that_agrees_is_compared_once(desk: Desk) -> None:
    a_paid_day(desk)

    bill = compared(now=MORNING)

    assert (bill.state, bill.payments, bill.refunds, bill.others, bill.differences) == ("agrees", 3, 1, 0, 0)
    assert differing() == []
    assert compared(now=MORNING + HOUR).looks == 1


def test_before_ten_there_is_none_and_a_day_without_trades_agrees(desk: Desk) -> None:
    bills.plan(now=NOW + DAY)
    assert due.run(job=bills.JOB, worker=a_word("w"), now=MORNING - 1, seconds=30).handled == 2

    assert compared(now=MORNING).differences == 0
    rows = bills.listed(limit=9, after=None).rows
    assert [row.state for row in rows] == ["agrees"] * 3 and rows[0].sk == TODAY


def test_a_payment_that_nobody_told_of_is_listed_and_taken_and_then_gone(desk: Desk) -> None:
    desk.platform.faults["/notices/payments"] = "withheld"
    order = desk.pays(desk.a_seat())

    bill = compared(now=MORNING)
    assert (bill.state, bill.differences) == ("differs", 1)
    [one] = differing()
    assert (one.what, one.order_id, one.theirs_fen, one.ours_fen, one.gone_at) == (
        "payment_unknown",
        order.order_id,
        order.amount_fen,
        None,
        None,
    )
    assert orders.show(order.order_id).state == "paid"

    bill = compared(now=MORNING + HOUR)
    assert (bill.state, bill.differences, bill.looks) == ("agrees", 0, 2)
    assert [one.gone_at for one in differing()] == [MORNING + HOUR]


def tamper(desk: Desk) -> None:
    """Everything that can differ, differs."""
    paid, refunded = a_paid_day(desk)
    payment = Payment.key(paid.order_id, paid.payment_id or "")
    [refund] = orders.money_of(refunded.order_id)[1]
    changes = [
        table.update(Payment, payment, Payment.amount_fen.set(1), refuse=AssertionError),
        table.update(Refund, (refund.pk, refund.sk), Refund.state.set("sent"), refuse=AssertionError),
    ]
    for change in changes:
        table.apply(change)
    outside = desk.platform.of(refunds.Refunds)
    theirs = {"out_refund_no": "by-hand", "amount": {"refund": 100}}
    outside.by_number["by-hand"] = refunds.Refund(
        asked=theirs, trade=desk.trade(paid), refund_id="50300", made_at=NOW, status="SUCCESS"
    )
    gone = desk.pays(desk.a_seat())
    orders.refund(gone.order_id, back=Back(reason="operator"), now=NOW)
    due.run(job=REFUND_JOB, worker=a_word("w"), now=NOW, seconds=30)
    assert notices.wait(desk.platform)
    [forgotten] = orders.money_of(gone.order_id)[1]
    del outside.by_number[forgotten.refund_id]
    lost = desk.pays(desk.a_seat())
    del desk.platform.of(Trades).by_number[lost.order_id]


def test_every_difference_is_listed_until_a_person_has_seen_the_day(desk: Desk) -> None:
    tamper(desk)

    for n in range(bills.LOOKS):
        bill = compared(now=MORNING + n * HOUR)
        assert (bill.state, bill.differences) == ("differs", 5)
    found = {one.what: (one.theirs_fen, one.ours_fen) for one in differing()}
    assert found == {
        "payment_amount": (8900, 1),
        "refund_open": (8900, 0),
        "refund_unknown": (100, None),
        "payment_not_theirs": (None, 8900),
        "refund_not_theirs": (None, 8900),
    }
    assert {one.seen_at for one in differing()} == {MORNING}
    [waiting] = due.stuck(bills.JOB, limit=9).rows
    assert waiting.sk == TODAY and "5 differences" in str(waiting.last_error)
    [story], _ = stuck.listed(limit=9)
    assert story.trouble.job == bills.JOB


def test_orders_of_other_systems_are_counted_and_left(desk: Desk) -> None:
    order = desk.pays(desk.a_seat())
    desk.trade(order).asked = {**desk.trade(order).asked, "out_trade_no": "M-1000"}
    table.apply(
        table.delete(Payment, Payment.key(order.order_id, order.payment_id or ""), refuse=AssertionError)
    )

    bill = compared(now=MORNING)
    assert (bill.others, bill.payments, bill.differences) == (1, 1, 0)


def test_a_bill_that_is_not_whole_is_fetched_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    a_paid_day(desk)
    genuine = pay.download
    monkeypatch.setattr(pay, "download", lambda url, *, now: genuine(url, now=now)[:-9])
    bills.plan(now=NOW + DAY)

    assert due.run(job=bills.JOB, worker=a_word("w"), now=MORNING, seconds=30).failed == 1
    monkeypatch.setattr(pay, "download", genuine)
    assert compared(now=MORNING + 60).state == "agrees"


def test_the_documented_bill_is_read_commas_and_all() -> None:
    [line] = files.read(DOCUMENTED.encode())

    assert (line.kind, line.amount_fen, line.order_id) == ("payment", 1, "2021WERUN1647840687637")
    assert line.transaction_id == "420000612032130748613220688"


@pytest.mark.parametrize(
    "changed",
    [
        ("`1,`0.01", "`2,`0.01"),
        ("`0.90%,`0.01", "`0.90%,`0.015"),
        ("`0.90%,`0.01", "`0.90%,`much"),
        ("`SUCCESS", "`REVOKED"),
        ("商户订单号", "order"),
        ("`JSAPI,", ""),
        ("总交易单数,", "`"),
    ],
)
def test_what_is_no_bill_is_not_read(changed: tuple[str, str]) -> None:
    with pytest.raises(BillUnreadable):
        files.read(DOCUMENTED.replace(*changed).encode())


def test_another_hash_is_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    named: dict[str, Any] = {"hash_type": "SHA1", "hash_value": "00", "download_url": "https://x/y"}
    monkeypatch.setattr(pay, "call", lambda *_, **__: named)
    monkeypatch.setattr(pay, "download", lambda *_, **__: DOCUMENTED.encode())
    with pytest.raises(BillUnreadable):
        files.trade_bill(TODAY, now=NOW)
    named["hash_value"] = hashlib.sha1(DOCUMENTED.encode()).hexdigest()
    assert len(files.trade_bill(TODAY, now=NOW)) == 1
