"""The client of WeChat Pay and its simulator, over real HTTP: each believes of the other only what is signed."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
import urllib3

from chalicelib.core import config
from chalicelib.core.errors import SignatureInvalid
from chalicelib.wechat import pay, paysigning
from chalicelib.wechat.pay import PayRefused, PayUnknown
from chalicelib.wechat.schemas import SealedNotice
from infra.local.wechat import Simulator, merchant, notices, refunds
from infra.local.wechat.pay import Trades
from tests.harness.merchant import APPID, known_person, merchant_of_wechat_pay, phone_pays

NOW = 1_790_000_000
JSAPI, REFUNDS = "/v3/pay/transactions/jsapi", "/v3/refund/domestic/refunds"


@pytest.fixture(params=["certificates", "public key"])
def sim(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    by_public_key = request.param == "public key"
    with merchant_of_wechat_pay(monkeypatch, now=NOW, by_public_key=by_public_key) as simulator:
        simulator.platform.of(merchant.Merchant).told_by_public_key = by_public_key
        yield simulator


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with merchant_of_wechat_pay(monkeypatch, now=NOW) as simulator:
        yield simulator


def asked(simulator: Simulator, number: str = "order-1", **changed: Any) -> dict[str, Any]:
    return {
        "appid": APPID,
        "mchid": merchant.MCHID,
        "description": "雪山茶 两盒",
        "out_trade_no": number,
        "notify_url": "https://shop.example.com/notices",
        "amount": {"total": 100, "currency": "CNY"},
        "payer": {"openid": known_person(simulator, "alice")},
        **changed,
    }


def ordered(simulator: Simulator, number: str = "order-1", **changed: Any) -> str:
    return str(pay.call("POST", JSAPI, body=asked(simulator, number, **changed), now=NOW)["prepay_id"])


def paid(simulator: Simulator, number: str = "order-1", **changed: Any) -> None:
    given = pay.request_payment(ordered(simulator, number, **changed), appid=APPID, now=NOW)
    assert phone_pays(simulator, given) == {"errMsg": "requestPayment:ok"}


def state(number: str = "order-1") -> Any:
    path = f"/v3/pay/transactions/out-trade-no/{number}"
    return pay.call("GET", path, query={"mchid": merchant.MCHID}, now=NOW)["trade_state"]


def close(number: str = "order-1") -> None:
    path = f"/v3/pay/transactions/out-trade-no/{number}/close"
    assert pay.call("POST", path, body={"mchid": merchant.MCHID}, now=NOW) == {}


def back(number: str = "r-1", *, fen: int = 100, **more: Any) -> dict[str, Any]:
    amount = {"refund": fen, "total": 100, "currency": "CNY"}
    body = {"out_trade_no": "order-1", "out_refund_no": number, "amount": amount, **more}
    return pay.call("POST", REFUNDS, body=body, now=NOW)


def opened(body: bytes) -> pay.Notice:
    return pay.notice(msgspec.json.decode(body, type=SealedNotice), now=NOW)


def refused(code: str) -> Any:
    return pytest.raises(PayRefused, match=rf"^{code}: ")


# --- the way of a payment -----------------------------------------------------------------------------------


def test_an_order_is_made_paid_told_and_given_back(sim: Simulator) -> None:
    told: list[pay.Notice] = []

    def take(url: str, headers: Mapping[str, str], body: bytes) -> int:
        pay.admit({name.lower(): value for name, value in headers.items()}, body, NOW)
        told.append(opened(body))
        return 204

    sim.platform.of(notices.Notices).transport = take
    paid(sim)
    assert state() == "SUCCESS"

    assert back(notify_url="https://shop.example.com/r")["status"] == "PROCESSING"
    assert back(notify_url="https://shop.example.com/r")["status"] == "SUCCESS"
    assert pay.call("GET", f"{REFUNDS}/r-1", now=NOW)["amount"]["refund"] == 100
    assert notices.wait(sim.platform)
    assert {one.event_type for one in told} == {"TRANSACTION.SUCCESS", "REFUND.SUCCESS"}
    payment = next(one.resource for one in told if one.event_type == "TRANSACTION.SUCCESS")
    assert payment["out_trade_no"] == "order-1" and payment["amount"]["total"] == 100
    assert payment["mchid"] == merchant.MCHID and payment["appid"] == APPID
    same = pay.call(
        "GET",
        f"/v3/pay/transactions/id/{payment['transaction_id']}",
        query={"mchid": merchant.MCHID},
        now=NOW,
    )
    assert same["out_trade_no"] == "order-1"


def test_names_are_sealed_for_wechat_alone(sim: Simulator) -> None:
    sealer = pay.sealer(now=NOW)

    by_public_key = sealer.serial == merchant.PUBLIC_KEY_ID
    assert merchant.opened(sealer.seal("张三"), by_public_key=by_public_key) == "张三"
    assert by_public_key or sealer.serial == merchant.keys().platform_serial


def test_an_order_asked_for_again_is_the_same_until_its_prepay_is_over(one: Simulator) -> None:
    first = ordered(one)

    assert ordered(one) == first
    with refused("OUT_TRADE_NO_USED"):
        ordered(one, amount={"total": 101, "currency": "CNY"})
    one.platform.clock = lambda: NOW + 7200.0
    again = pay.call("POST", JSAPI, body=asked(one), now=NOW + 7200)["prepay_id"]
    assert again != first


def test_what_is_closed_or_paid_is_so_for_good(one: Simulator) -> None:
    given = pay.request_payment(ordered(one), appid=APPID, now=NOW)
    close()

    assert state() == "CLOSED"
    assert phone_pays(one, given) == {"errMsg": "requestPayment:fail it was closed"}
    with refused("ORDER_CLOSED"):
        ordered(one)
    with refused("ORDER_CLOSED"):
        close()
    paid(one, "order-2")
    with refused("ORDERPAID"):
        close("order-2")
    with refused("ORDERPAID"):
        ordered(one, "order-2")
    close("never-heard-of")


def test_a_phone_pays_what_the_merchant_signed_and_once(one: Simulator) -> None:
    given = pay.request_payment(ordered(one), appid=APPID, now=NOW)

    for changed in ({"paySign": given["paySign"][:-8] + "AAAAAA=="}, {"timeStamp": str(NOW + 1)}):
        assert phone_pays(one, given | changed) == {"errMsg": "requestPayment:fail paySign"}
    assert phone_pays(one, given)["errMsg"] == "requestPayment:ok"
    assert phone_pays(one, given) == {"errMsg": "requestPayment:fail it was paid"}


def test_after_its_end_nobody_can_pay(one: Simulator) -> None:
    given = pay.request_payment(ordered(one, time_expire=merchant.time_of(NOW + 900)), appid=APPID, now=NOW)
    one.platform.clock = lambda: NOW + 900.0

    assert phone_pays(one, given) == {"errMsg": "requestPayment:fail it is too late"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"out_trade_no": "short"},
        {"out_trade_no": "x" * 33},
        {"description": ""},
        {"notify_url": "https://shop.example.com/?a=1"},
        {"amount": {"total": 0, "currency": "CNY"}},
        {"payer": {"openid": "oNobody"}},
        {"mchid": "1"},
        {"time_expire": "tomorrow"},
    ],
)
def test_what_the_documentation_calls_wrong_is_refused(one: Simulator, wrong: dict[str, Any]) -> None:
    with refused("PARAM_ERROR"):
        ordered(one, **wrong)


def test_no_more_goes_back_than_came_and_one_number_is_one_refund(one: Simulator) -> None:
    with refused("RESOURCE_NOT_EXISTS"):
        back()
    paid(one)
    back("r-1", fen=60)

    with refused("INVALID_REQUEST"):
        back("r-1", fen=61)
    with refused("INVALID_REQUEST"):
        back("r-2", fen=41)
    back("r-2", fen=40)
    with refused("RESOURCE_NOT_EXISTS"):
        pay.call("GET", f"{REFUNDS}/r-3", now=NOW)
    assert sum(one.fen for one in one.platform.of(refunds.Refunds).by_number.values()) == 100


def test_a_merchant_without_money_cannot_give_back(one: Simulator) -> None:
    paid(one)
    one.platform.of(Trades).funds_fen = -1

    with refused("NOT_ENOUGH"):
        back()
    one.platform.of(Trades).funds_fen = 0
    assert back()["status"] == "PROCESSING"


# --- what is not believed -----------------------------------------------------------------------------------


def test_wechat_believes_only_what_the_merchant_signed(
    one: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    stranger = generate_private_key(public_exponent=65537, key_size=2048)
    with monkeypatch.context() as changed:
        changed.setattr(pay, "_private_key", lambda *, now: stranger)
        with refused("SIGN_ERROR"):
            state()
    with refused("SIGN_ERROR"):
        pay.call("GET", "/v3/certificates", now=NOW - 301)
    answer = urllib3.request("GET", f"{one.url}/v3/certificates", retries=False)
    assert answer.status == 401 and "Wechatpay-Signature" not in answer.headers


def test_an_answer_that_wechat_did_not_sign_says_nothing(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(sim)
    genuine = pay._send

    def forged(**headers: str) -> Any:
        def send(*arguments: Any, **named: Any) -> Any:
            status, given, content = genuine(*arguments, **named)
            return status, given | headers, content

        return send

    for changed in (
        {"wechatpay-nonce": "another"},
        {"wechatpay-signature": ""},
        {"wechatpay-serial": "PUB_KEY_ID_of_somebody"},
        {"wechatpay-serial": "00"},
        {"wechatpay-timestamp": str(NOW - 301)},
    ):
        with monkeypatch.context() as wire:
            wire.setattr(pay, "_send", forged(**changed))
            with pytest.raises(PayUnknown):
                state()
    assert state() == "NOTPAY"


def test_a_refusal_may_come_unsigned_but_not_wrongly_signed(
    one: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.dumps({"code": "NO_AUTH", "message": "no"}).encode()
    monkeypatch.setattr(pay, "_send", lambda *_, **__: (403, {}, said))
    with refused("NO_AUTH"):
        state()

    wrongly = {
        "wechatpay-signature": "AAAA",
        "wechatpay-serial": merchant.keys().platform_serial,
        "wechatpay-timestamp": str(NOW),
    }
    monkeypatch.setattr(pay, "_send", lambda *_, **__: (403, wrongly, said))
    with pytest.raises(PayUnknown):
        state()


@pytest.mark.parametrize("fault", ["busy", "lost"])
def test_what_was_not_answered_may_have_happened(one: Simulator, fault: Any) -> None:
    one.platform.faults[JSAPI] = fault
    with pytest.raises(PayUnknown):
        ordered(one)
    one.platform.faults.clear()

    assert ("order-1" in one.platform.of(Trades).by_number) is (fault == "lost")
    ordered(one)


def test_too_many_at_once_is_no_decision(one: Simulator) -> None:
    paid(one)
    one.platform.of(merchant.Merchant).refusals[f"POST {REFUNDS}"] = "FREQUENCY_LIMITED"

    with pytest.raises(PayUnknown, match="^429 FREQUENCY_LIMITED$"):
        back()


def test_paying_in_this_moment_is_a_no(one: Simulator) -> None:
    one.platform.of(merchant.Merchant).refusals["POST /v3/pay/transactions/out-trade-no"] = "USER_PAYING"

    with refused("USER_PAYING") as no:
        close()
    assert no.value.status == 202


def test_certificates_are_fetched_once_then_when_they_are_old_or_strange(
    one: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    genuine = pay._fetch

    def fetch(*, now: int) -> Any:
        fetched.append(now)
        return genuine(now=now)

    monkeypatch.setattr(pay, "_fetch", fetch)
    key = merchant.keys().platform_serial

    def ask(serial: str, now: int) -> None:
        one.platform.clock = lambda: float(now)
        pay._key_of(serial, now=now)

    ask(key, NOW)
    ask(key, NOW + 11 * 3600 - 1)
    assert fetched == [NOW]
    ask(key, NOW + 11 * 3600)
    again = NOW + 11 * 3600
    for at in (again + 59, again + 60, again + 61):
        with pytest.raises(paysigning.NotGenuine):
            ask("00", at)
    assert fetched == [NOW, again, again + 60]


def test_a_forged_or_old_notification_is_not_let_in(sim: Simulator) -> None:
    ordered(sim)
    trade = sim.platform.of(Trades).by_number["order-1"]
    from infra.local.wechat.pay import success

    headers, body = notices.message(sim.platform, success(trade))
    given = {name.lower(): value for name, value in headers.items()}

    pay.admit(given, body, NOW)
    for changed, content, at in (
        (given, body + b" ", NOW),
        (given, body, NOW + 301),
        (given | {"wechatpay-serial": "PUB_KEY_ID_of_somebody"}, body, NOW),
        (given | {"wechatpay-serial": ""}, body, NOW),
        ({}, body, NOW),
    ):
        with pytest.raises(SignatureInvalid):
            pay.admit(changed, content, at)
    with pytest.raises(SignatureInvalid):
        opened(body.replace(b'"nonce":"', b'"nonce":"0'))


def test_no_secret_is_in_an_error_or_a_log(
    one: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    secret_names = [name for name in os.environ if name.startswith("SECRET_WECHATPAY")]
    one.platform.faults["/"] = "lost"
    with pytest.raises(PayUnknown) as lost:
        state()
    monkeypatch.setenv("SECRET_WECHATPAY_PRIVATE_KEY", "not-a-key")
    with pytest.raises(config.ConfigError, match="private_key is not a private key in PEM") as wrong:
        state()

    everything = f"{lost.value}{wrong.value}{caplog.text}"
    assert "not-a-key" not in everything
    assert not any(os.environ[name] in everything for name in secret_names)


# --- notifications are told until they are taken --------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "times"), [(None, 1), ("twice", 2), ("withheld", 0), ("lost", 2), ("slow", 1), ("busy", 1)]
)
def test_a_notification_is_told_as_its_fault_has_it(one: Simulator, fault: Any, times: int) -> None:
    there = one.platform.of(notices.Notices)
    there.transport = lambda *_: 204
    if fault:
        one.platform.faults["/notices/payments"] = fault
    paid(one)

    assert notices.wait(one.platform) and there.taken == [("payments", 204)] * times


def test_one_that_is_not_taken_is_told_sixteen_times_and_given_up(one: Simulator) -> None:
    there = one.platform.of(notices.Notices)
    there.transport = lambda *_: 500
    paid(one)

    assert notices.wait(one.platform) and there.taken == [("payments", 500)] * 16


def test_out_of_order_one_waits_for_the_next(one: Simulator) -> None:
    numbers: list[str] = []

    def take(url: str, headers: Mapping[str, str], body: bytes) -> int:
        numbers.append(opened(body).resource["out_trade_no"])
        return 200

    one.platform.of(notices.Notices).transport = take
    one.platform.faults["/notices/payments"] = "disorder"
    paid(one, "order-1")
    assert notices.wait(one.platform) and numbers == []
    paid(one, "order-2")

    assert notices.wait(one.platform) and sorted(numbers) == ["order-1", "order-2"]


# --- bills ---------------------------------------------------------------------------------------------------


def test_the_bill_of_a_day_comes_at_ten_the_next(one: Simulator) -> None:
    import hashlib

    paid(one)
    back("r-1", fen=30)
    day = merchant.time_of(NOW)[:10]

    def bill(kind: str, at: int) -> dict[str, Any]:
        one.platform.clock = lambda: float(at)
        return pay.call("GET", f"/v3/bill/{kind}", query={"bill_date": day}, now=at)

    with refused("INVALID_REQUEST"):
        bill("tradebill", NOW)
    later = NOW + 2 * 86400
    for kind, columns in (("tradebill", 27), ("fundflowbill", 11)):
        named = bill(kind, later)
        content = pay.download(named["download_url"], now=later)
        assert hashlib.sha1(content).hexdigest() == named["hash_value"]
        head, came, went, _, sums, end = content.decode("utf-8-sig").split("\r\n")
        assert head.count(",") == came.count(",") == went.count(",") == columns - 1 and end == ""
        assert "order-1" in came and "r-1" in went and sums.startswith("`2,")
    with refused("NO_STATEMENT_EXIST"):
        day = merchant.time_of(NOW - 86400)[:10]
        bill("tradebill", later)
