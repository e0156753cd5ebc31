"""Orders that are paid by WeChat Pay: begun, told of, looked up, closed and given back, against the simulator."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from chalice.test import Client

import app
from chalicelib.core import config, due, webhooks
from chalicelib.core import http as edge
from chalicelib.core.clock import MINUTE
from chalicelib.groupbuys import reading
from chalicelib.groupbuys.holding import RELEASE_JOB
from chalicelib.members import service as members
from chalicelib.orders import gateways
from chalicelib.orders import service as orders
from chalicelib.orders.service import REFUND_JOB, Back, Order, OrderOver
from infra.local.clients import Store
from infra.local.wechat import merchant, notices, refunds
from infra.local.wechat.pay import success
from tests.factories import NOW, OWNER, a_program, a_word
from tests.groupbuys import broken, opened, run_jobs, take
from tests.harness.merchant import phone_pays
from tests.harness.rows import rows
from tests.paying import Desk, at_the_desk, seat_of

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

CLOSE = "/v3/pay/transactions/out-trade-no"
LATER = NOW + 3600


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, store: Store) -> Iterator[Desk]:
    with at_the_desk(monkeypatch) as there:
        yield there
        for row in rows(store.client, "truth", kind="groupbuy"):
            # A refund that waits for a person is broken only to those who expect that the gateway gives.
            assert [one for one in broken(store, row["campaign_id"]) if "stuck#refund" not in one] == []


def job(name: str, *, now: int) -> due.Ran:
    return due.run(job=name, worker=a_word("w"), now=now, seconds=30)


def refund_of(order: Order) -> orders.Refund:
    [found] = orders.money_of(order.order_id)[1]
    return found


# --- beginning ----------------------------------------------------------------------------------------------


def test_wechat_is_asked_for_the_order_as_it_is_held(desk: Desk) -> None:
    order = desk.a_seat()

    given = desk.begin(order)

    assert set(given) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    asked = desk.trade(order).asked
    assert asked["out_trade_no"] == order.order_id and len(order.order_id) <= 32
    assert asked["amount"] == {"total": order.amount_fen, "currency": "CNY"}
    assert asked["payer"] == {"openid": order.member_id}
    assert asked["notify_url"] == "https://shop.example/v1/wechat/demo/payments"
    assert desk.trade(order).expires_at == order.held_until


def test_begun_again_it_is_the_same_to_pay(desk: Desk) -> None:
    order = desk.a_seat()

    assert desk.begin(order)["package"] == desk.begin(order, now=NOW + 60)["package"]


@pytest.mark.parametrize("fault", ["busy", "lost"])
def test_without_an_answer_the_page_tries_again_and_there_is_one_order(desk: Desk, fault: Any) -> None:
    order = desk.a_seat()
    desk.platform.faults["/v3"] = fault
    with pytest.raises(gateways.PaymentUnavailable):
        desk.begin(order)
    desk.platform.faults.clear()

    assert desk.pays(order).state == "paid"


def test_what_wechat_refuses_is_no_fault_of_the_phone(desk: Desk) -> None:
    order = desk.a_seat()
    desk.platform.of(merchant.Merchant).refusals["POST /v3/pay"] = "NO_AUTH"

    with pytest.raises(gateways.PaymentRefused):
        desk.begin(order)


def test_an_order_is_paid_where_it_was_begun(desk: Desk) -> None:
    order = desk.a_seat()
    members.add_program(a_program("other", appid="wx2"), by=OWNER, now=NOW)
    with pytest.raises(gateways.PayerUnknown):
        desk.begin(desk.a_seat(), program_id="other")
    desk.begin(order)

    with pytest.raises(gateways.BegunElsewhere) as elsewhere:
        desk.begin(order, program_id="other")
    assert elsewhere.value.details == {"program_id": "demo"}


def test_an_order_that_is_let_go_while_wechat_is_asked_is_closed_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = desk.a_seat()
    from chalicelib.orders import wechatpay

    genuine = wechatpay._prepay

    def slowly(asked: Any, *, now: int) -> str:
        orders.cancel(orders.show(order.order_id), now=NOW)
        return genuine(asked, now=now)

    monkeypatch.setattr(wechatpay, "_prepay", slowly)
    with pytest.raises(OrderOver):
        desk.begin(order)
    assert desk.trade(order).state == "CLOSED" and seat_of(order) is None


# --- what WeChat tells ----------------------------------------------------------------------------------------


def test_a_payment_that_is_told_confirms_the_seat(desk: Desk) -> None:
    order = desk.pays(desk.a_seat())

    assert (order.state, seat_of(order), desk.answers) == ("paid", "confirmed", [200])
    assert order.payment_id == desk.trade(order).transaction_id


@pytest.mark.parametrize(("fault", "told"), [("twice", 2), ("lost", 2), ("slow", 1), ("busy", 1)])
def test_told_as_it_may_be_it_counts_once(desk: Desk, store: Store, fault: Any, told: int) -> None:
    desk.platform.faults["/notices/payments"] = fault
    order = desk.pays(desk.a_seat())

    assert order.state == "paid" and desk.answers == [200] * told
    assert len(rows(store.client, "truth", kind="payment")) == 2


def test_two_that_come_in_another_order_fill_the_group(desk: Desk) -> None:
    group = desk.a_group()
    desk.platform.faults["/notices/payments"] = "disorder"
    held = [desk.a_seat(group=group) for _ in range(2)]

    assert desk.pays(held[0]).state == "pending"
    assert {desk.pays(held[1]).state, orders.show(held[0].order_id).state} == {"paid"}


def test_a_head_who_pays_opens_the_group(desk: Desk) -> None:
    seated = opened(desk.a_campaign())
    desk.knows(seated.order)

    assert desk.pays(seated.order).state == "paid"
    joiner = take(reading.find(seated.group.group_id))
    assert desk.pays(joiner).state == "paid"


def tell(desk: Desk, order: Order, **changed: Any) -> int:
    """WeChat tells of the payment, with something else in it."""
    told = success(desk.trade(order))
    content = {**told.resource, **changed}
    headers, body = notices.message(desk.platform, notices.Told(**{**vars(told), "resource": content}))
    return desk.take(told.url, headers, body)


def test_what_is_not_about_this_order_is_not_taken(desk: Desk) -> None:
    order = desk.a_seat()
    desk.platform.faults["/notices/payments"] = "withheld"
    desk.pays(order)

    assert tell(desk, order, mchid="1") == 409
    assert tell(desk, order, appid="wx2") == 409
    assert tell(desk, order, out_trade_no="ord_unknown") == 404
    assert tell(desk, order, amount={"total": order.amount_fen, "currency": "USD"}) == 409
    assert tell(desk, order, trade_state="NOTPAY") == 200
    assert orders.show(order.order_id).state == "pending"
    assert tell(desk, order) == 200 and orders.show(order.order_id).state == "paid"


def test_a_wrong_amount_confirms_nothing_and_waits_for_a_person(desk: Desk) -> None:
    order = desk.a_seat()
    desk.platform.faults["/notices/payments"] = "withheld"
    desk.pays(order)

    tell(desk, order, amount={"total": 1, "currency": "CNY"})

    [payment] = orders.money_of(order.order_id)[0]
    assert (payment.state, payment.amount_fen) == ("mismatch", 1)
    assert [row.pk for row in due.stuck(orders.MISMATCH_JOB, limit=9).rows] == [payment.pk]


def post(path: str, headers: Mapping[str, str], body: bytes) -> Any:
    with Client(app.app) as client:
        return client.http.post(path, headers=dict(headers), body=body)


def test_over_http_a_notification_must_be_signed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    order = desk.a_seat()
    desk.platform.faults["/notices/payments"] = "withheld"
    desk.pays(order)
    monkeypatch.setattr("chalicelib.core.clock.now", lambda: NOW)
    headers, body = notices.message(desk.platform, success(desk.trade(order)))

    forged = post("/v1/wechat/demo/payments", headers | {"Wechatpay-Nonce": "another"}, body)
    assert (forged.status_code, set(forged.json_body)) == (401, {"code", "message"})
    assert forged.json_body["code"] == "FAIL" and orders.show(order.order_id).state == "pending"
    taken = post("/v1/wechat/demo/payments", headers, body)
    assert (taken.status_code, taken.json_body) == (200, {"code": "SUCCESS"})
    assert orders.show(order.order_id).state == "paid"


@pytest.mark.parametrize(
    "path",
    sorted(
        {
            route.path
            for route in edge.routes
            if route.door.kind == "wechat" and not route.path.endswith("/messages")
        }
    ),
)
def test_nobody_but_wechat_passes_its_doors(path: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.core.clock.now", lambda: NOW)
    told = notices.Told(
        what="x", url="", event_type="X", original_type="x", resource={}, summary="something else"
    )
    signed, body = notices.message(desk.platform, told)
    plain = {"Content-Type": "application/json"}
    mall = webhooks.sign(body.decode(), webhook_id="w", now=NOW)
    where = path.format(program_id="demo")

    for shown in (plain, plain | {"Authorization": "Bearer key"}, plain | mall):
        answer = post(where, shown, body)
        assert (answer.status_code, answer.json_body["code"]) == (401, "FAIL")
    # Past the door it is found to be about nothing that is known: refused, or left.
    assert post(where, signed, body).status_code in (200, 404, 409)
    assert post(where, signed, body[:-1]).status_code == 401
    assert post(where.replace("demo", "other"), signed, body).status_code in (200, 404, 409)


# --- nobody tells -----------------------------------------------------------------------------------------------


def test_the_page_that_comes_back_finds_what_nobody_told(desk: Desk) -> None:
    order = desk.a_seat()
    assert desk.check(order).state == "pending"
    desk.platform.faults["/notices/payments"] = "withheld"
    assert desk.pays(order).state == "pending"

    assert desk.check(order).state == "paid"
    desk.platform.faults["/v3"] = "busy"
    assert desk.check(order).state == "paid"


def test_a_hold_that_ran_out_is_closed_at_wechat_and_then_let_go(desk: Desk) -> None:
    order = desk.a_seat()
    given = desk.begin(order)

    assert job(RELEASE_JOB, now=LATER).failed == 0
    assert (orders.show(order.order_id).state, seat_of(order)) == ("cancelled", None)
    assert desk.trade(order).state == "CLOSED"
    assert "fail" in phone_pays(desk.simulator, given)["errMsg"]


def test_a_seat_whose_time_is_over_cannot_be_paid_before_the_job_lets_it_go(desk: Desk) -> None:
    order = desk.a_seat()
    desk.begin(order)

    with pytest.raises(orders.OrderOver):
        desk.begin(order, now=LATER)


def test_a_hold_that_was_paid_untold_is_confirmed_as_it_runs_out(desk: Desk) -> None:
    desk.platform.faults["/notices/payments"] = "withheld"
    order = desk.pays(desk.a_seat())

    assert job(RELEASE_JOB, now=LATER).failed == 0
    assert (orders.show(order.order_id).state, seat_of(order)) == ("paid", "confirmed")


@pytest.mark.parametrize("what", ["busy", "lost", "USER_PAYING"])
def test_while_nobody_knows_the_seat_is_held(desk: Desk, what: Any) -> None:
    order = desk.a_seat()
    desk.begin(order)
    refusals = desk.platform.of(merchant.Merchant).refusals
    if what == "USER_PAYING":
        refusals[f"POST {CLOSE}"] = what
    else:
        desk.platform.faults[CLOSE] = what

    assert job(RELEASE_JOB, now=LATER).failed == 1
    assert (orders.show(order.order_id).state, seat_of(order)) == ("pending", "held")
    refusals.clear()
    desk.platform.faults.clear()
    assert job(RELEASE_JOB, now=LATER + MINUTE).failed == 0
    assert (orders.show(order.order_id).state, seat_of(order)) == ("cancelled", None)


def test_an_order_that_is_closed_there_already_is_let_go_and_not_begun_again(desk: Desk) -> None:
    order = desk.a_seat()
    desk.begin(order)
    orders.close(orders.show(order.order_id), now=NOW)

    with pytest.raises(OrderOver):
        desk.begin(order)
    assert orders.cancel(orders.show(order.order_id), now=NOW).state == "cancelled"


def test_what_was_begun_and_never_reached_wechat_is_let_go(desk: Desk) -> None:
    order = desk.a_seat()
    desk.platform.faults["/v3"] = "busy"
    with pytest.raises(gateways.PaymentUnavailable):
        desk.begin(order)
    desk.platform.faults.clear()

    assert desk.check(order).state == "pending"
    assert orders.cancel(orders.show(order.order_id), now=NOW).state == "cancelled"


# --- giving back ------------------------------------------------------------------------------------------------


def a_refund(desk: Desk) -> Order:
    """A paid order that is owed back."""
    order = desk.pays(desk.a_seat())
    orders.refund(order.order_id, back=Back(reason="operator"), now=NOW)
    return orders.show(order.order_id)


def test_money_goes_back_once_and_is_confirmed_when_wechat_tells(desk: Desk) -> None:
    order = a_refund(desk)
    assert job(REFUND_JOB, now=NOW).failed == 0
    assert notices.wait(desk.platform)

    assert (orders.show(order.order_id).state, refund_of(order).state) == ("refunded", "done")
    assert desk.given_back(order) == order.amount_fen
    asked = desk.platform.of(refunds.Refunds).by_number[refund_of(order).refund_id].asked
    assert asked["notify_url"] == "https://shop.example/v1/wechat/demo/refunds"
    assert asked["reason"] == "商家退款" and len(asked["out_refund_no"]) <= 64


def test_untold_it_is_asked_again_a_minute_later_and_then_ever_more_seldom(desk: Desk) -> None:
    desk.platform.faults["/notices/refunds"] = "withheld"
    desk.platform.of(refunds.Refunds).outcome = "PROCESSING"
    order = a_refund(desk)

    asked_at = []
    for at in range(NOW, NOW + 600, 15):
        if job(REFUND_JOB, now=at).handled:
            asked_at.append(at - NOW)
    assert asked_at == [0, 60, 120, 240, 480] and refund_of(order).state == "sent"
    known = desk.platform.of(refunds.Refunds).by_number[refund_of(order).refund_id]
    known.status = "SUCCESS"
    job(REFUND_JOB, now=NOW + 960)
    assert refund_of(order).state == "done"


def test_without_money_it_is_tried_again_and_then_a_person_sees_it(desk: Desk) -> None:
    order = a_refund(desk)
    desk.platform.of(merchant.Merchant).refusals["POST /v3/refund"] = "NOT_ENOUGH"

    for n in range(due.FAILURES):
        assert job(REFUND_JOB, now=NOW + n * 3601).failed == 1

    [stuck] = due.stuck(REFUND_JOB, limit=9).rows
    assert "NOT_ENOUGH" in str(stuck.last_error) and refund_of(order).state == "due"


@pytest.mark.parametrize(
    ("status", "word"), [("ABNORMAL", "merchant platform"), ("CLOSED", "gave the refund up")]
)
def test_what_cannot_be_given_back_waits_for_a_person_with_words(desk: Desk, status: str, word: str) -> None:
    desk.platform.of(refunds.Refunds).outcome = status
    order = a_refund(desk)
    job(REFUND_JOB, now=NOW)
    assert notices.wait(desk.platform)
    job(REFUND_JOB, now=LATER)

    [stuck] = due.stuck(REFUND_JOB, limit=9).rows
    assert word in str(stuck.last_error) and orders.show(order.order_id).state == "refunding"
    if status == "ABNORMAL":
        number = refund_of(order).refund_id
        with desk.platform.lock:
            told = refunds._become(
                desk.platform, desk.platform.of(refunds.Refunds).by_number[number], "SUCCESS"
            )
        assert told is not None
        notices.tell(desk.platform, told)
        assert notices.wait(desk.platform)
        assert refund_of(order).state == "done" and due.stuck(REFUND_JOB, limit=9).rows == []


def test_a_group_that_fails_gives_everybody_their_money_back(desk: Desk, store: Store) -> None:
    seated = opened(desk.a_campaign())
    desk.knows(seated.order)
    payers = [desk.pays(seated.order)]
    payers.append(desk.pays(desk.a_seat(group=reading.find(seated.group.group_id))))

    run_jobs(store)
    assert notices.wait(desk.platform)
    for order in payers:
        assert orders.show(order.order_id).state == "refunded"
        assert desk.given_back(order) == order.amount_fen and desk.differs(order) == []


# --- settings ---------------------------------------------------------------------------------------------------


def test_the_gateway_needs_a_merchant_and_in_prod_an_address() -> None:
    given = {"STAGE": "dev", "TRUTH_TABLE": "t", "TRAFFIC_TABLE": "v", "AWS_REGION": "cn-north-1"}
    wechat = {**given, "PAYMENT_GATEWAY": "wechat"}
    with pytest.raises(config.ConfigError, match="WECHATPAY_MCHID must be set"):
        config.read(wechat)
    ours = {**wechat, "WECHATPAY_MCHID": "1900000109"}
    assert config.read(ours).payment_gateway == "wechat"
    with pytest.raises(config.ConfigError, match="BASE_URL must be set in a prod stage"):
        config.read({**ours, "STAGE": "prod"})
