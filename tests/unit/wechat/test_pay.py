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
# What /v3/certificates answers: wechatpay-java, core/src/test/java/com/wechat/pay/java/core/model/TestConfig.java.
RECORDED = (
    "Mr/AxbvY+WL9hKlD5nIa03LOMPpn5f+CWeNxE4ujl0f5gXZ9XLJ9CldkArCOTsbU62XgKnTc3YvRMZQ7wCmE2fzwmAenAySTYsPm",
    "s72JhggPWfdqVxri9YD5wBYKn8Ck0Fc5JIiVw9WlN2oxHBz83mRVsjoTGC5+cX1CdYqKuZ8pkvi0aCJIq07ZC8MHoTowUz+4jYJy",
    "9XeKqip83Z7BmUYxsePpNM+HtihBqTJIUYXJfX7Col5X0ACsApRoU9l6swfW/kzvqNpDJavhDBGasLrr5822+Fk5nVkcTi53f8Wb",
    "ue7ODWjJxj1yhRYcxFCvXLtpYNB+Qa1aXtrBSdBdBI2p7o+6Imn+auHLBCzkrZqF/yd+d4vTn4tqHPLUj89XcHsMf96uBo3T/HQV",
    "8LEDeIO+6YvOK9FrIDYsvp+imN4n/mnF7eJKo9mpN/QqWJiawrFpAmMMxFKBjIdpgMnVUl3Z11RcWKyfOJ3kcmItTWcnZFNyDgR9",
    "cS0aU6QPlefa3uUW89uzBuHjcFdDl43yU3LE4qZnHLDcDgx4qt0OFCLiy51GXtEpyYs5k99YJBvKK+RyIs4Yc1/smBmClQUhxW+8",
    "bsPNOcXfDvH2yX4YzESoO4TV0RqiCgnsSd4zIFyJPiMKIGzVHiw6Kg0eGCmB4mGHEEZCQ0eN3SSPO0QVjjtBYfgXDZfVHSaAB8Pj",
    "WBVNFimoViZZQrwT6Ygo0LU0Dd8+F5aHFYr4OPHPslr3hrgutEYXDTv1vTA6ABJGqknJ9Y2vtyWpy7aIwxc0kQq/1ezjs+RMVL/L",
    "RpGDnbx1/CGPDjZhYgZypKa55+PDhoaQxqkF3xCLz2DGoNHZYmFqxzAOsAK0vJZw4VcAk6ssbA6YIaMuiemEpxfLC9ZiXtRqsX9s",
    "+GWjjtA8JywOFMO+NKZm9BH/E5YNg2DDD3sHG9Mciwn7yJ6sdf8h2lAWlEExAOeiBNyshOHAQ0/S+x1ncWNiqY+Uh5n0rtonvePV",
    "2MsxVlEWR3AVHn1abcEWkzivd+G5kg7LYO0goqzGClcQfnFfZdO6KwcMXsBCnm9A1Bl4+k5LLokTIYH5/36SRIZ9j0CHGD77BQLE",
    "7x8AlNsoFS2m263tLLq78TFqvZUTIZIQcVIl+NInscS3xQbA38qqFqutCWIwoF1azuJ7woiJyMvnS3xzIpNzP+rzJ8VDXxjLjpEU",
    "BOC9WDs74+QMtsAdmh6g0KDclHEk8WJ4P2bnso4z3VCGoDT5X/0bS1C+jMZMKaOCNB21FZ08qgUHmKeDeg8ylENu+mh2Y/AaEDSG",
    "kGBHIfFbhMYO3uRxhk9hldiHEnHgdkXiVAAUWk/IhtmGijibO/L76vB74Xpes973uK+2iFKgNBk8qTLLZZnuWbcMQuA6VsFULRb/",
    "C+q9B21YuAWPMzvgBwr4EX2m/OpF5w8Q0HL7v1H5H0mIGJbrjnklUPoBYrw30W3uk7yF0KE6sfMukafFx0S9rBOL0RykGDPwC0lH",
    "SNySkXDeM5XvDJ+dtHK+RDwhJR+azfrWAHGMtZcQ+YVamjWVmHxXM03j3GeCXgqae1upwHzkPL5OwojcQ5MQi3Kv/1xtwY0cRN/y",
    "eZTOsXfujtqhkJj/Vltby4lnW4SCj4LjWQF19BY6zhzF4yybBA8bhhtoNP/zx8QkhHAkIROkK2ZVgfocCAPvfQ+vSrsIBO+L5cmg",
    "6mzFn4g84lsHscgXnszIlzUrzx/4Tam0uwuS9J1gddZ0I0QUt9SJzfsoBCTU0OgNMUtXKS5HvgXe7abexMtFH5eulOsAuFZkQ5LY",
    "Ja/m4yHFInXzL/t3hjdTi2NmxUufvYzwIyffRTu5vS9vjscARD9lUQDHFQ/xgWe1i8EkRlrSfjlXt00+4//h2bcJKyTBT3IXwvKN",
    "suY29V9/vU3HkvWKZ99zpSlmcZRuBa1BHbyPEvc0NlqIIoKidxqUvOR64MzudHhAjgWFP+IXojfhS3Gj9OJhBL7s",
)
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


def test_while_certificates_do_not_come_known_ones_serve_and_nobody_has_them_asked_for_all_the_time(
    one: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def fail(*, now: int) -> Any:
        asked.append(now)
        raise PayUnknown("no")

    state_of = merchant.keys().platform_serial
    pay._key_of(state_of, now=NOW)
    later = NOW + 11 * 3600
    monkeypatch.setattr(pay, "_fetch", fail)

    assert pay._key_of(state_of, now=later) is not None
    for at in (later + 1, later + 9, later + 10):
        with pytest.raises(PayUnknown):
            pay._key_of("00", now=at)
    assert asked == [later, later + 10]


def test_certificates_as_wechats_own_library_recorded_them_are_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = "".join(RECORDED)
    sealed = {"algorithm": "AEAD_AES_256_GCM", "associated_data": "certificate", "nonce": "14b16c03dc1b"}
    one = {
        "serial_no": "5DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC",
        "expire_time": "2028-09-17T23:15:58+08:00",
        "encrypt_certificate": {**sealed, "ciphertext": recorded},
    }
    monkeypatch.setenv("SECRET_WECHATPAY_API_V3_KEY", "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb")

    pem, expires_at = pay._certificate(one, now=NOW)

    from cryptography.x509 import load_pem_x509_certificate

    assert f"{load_pem_x509_certificate(pem.encode()).serial_number:X}" == one["serial_no"]
    assert (expires_at, paysigning.public_key_of(pem).key_size) == (1852816558, 2048)


def test_what_the_simulator_tells_has_the_fields_of_what_was_recorded(one: Simulator) -> None:
    paid(one)
    back()
    trade = one.platform.of(Trades).by_number["order-1"]
    refund = one.platform.of(refunds.Refunds).by_number["r-1"]

    from infra.local.wechat.pay import transaction

    assert shape(transaction(trade)) == shape(A_PAYMENT)
    refund.asked = {**refund.asked, "notify_url": "https://shop.example.com/r"}
    told = refunds._become(one.platform, refund, "SUCCESS")
    assert told is not None and shape(told.resource) == shape(A_REFUND)


def shape(said: Mapping[str, Any]) -> set[str]:
    """The names in an answer."""
    inside = {f"{name}.{key}" for name, value in said.items() if isinstance(value, dict) for key in value}
    return set(said) | inside


# A notification as it was opened by somebody: developers.weixin.qq.com/community/personal/
# oCJUsw3dROr9G4wq60FhNjbRB4_Q/question.
A_PAYMENT = {
    "mchid": "1646072852",
    "appid": "wxb0af1d9ec7cf38ed",
    "out_trade_no": "1730945626952809",
    "transaction_id": "4200002421202411077102519265",
    "trade_type": "APP",
    "trade_state": "SUCCESS",
    "trade_state_desc": "支付成功",
    "bank_type": "OTHERS",
    "attach": "",
    "success_time": "2024-11-07T10:14:09+08:00",
    "payer": {"openid": "oZfO56I2T_8HZvvy91sVPYVTOFVw"},
    "amount": {"total": 1, "payer_total": 1, "currency": "CNY", "payer_currency": "CNY"},
}
# developer.work.weixin.qq.com/document/path/97338; direct merchants are told the transaction_id, too.
A_REFUND = {
    "mchid": "1900000100",
    "out_trade_no": "20150806125346",
    "transaction_id": "1008450740201411110005820873",
    "refund_id": "50200207182018070300011301001",
    "out_refund_no": "7752501201407033233368018",
    "refund_status": "SUCCESS",
    "success_time": "2018-06-08T10:34:56+08:00",
    "user_received_account": "招商银行信用卡0403",
    "amount": {"total": 999, "refund": 999, "payer_total": 999, "payer_refund": 999},
}


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
