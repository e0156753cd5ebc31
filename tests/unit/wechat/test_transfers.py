"""Merchant transfers against what is documented: its examples are read, and our requests have its form."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.core import config
from chalicelib.wechat import pay, transfers
from chalicelib.wechat.pay import Notice, PayRefused
from chalicelib.wechat.transfers import Bill, Order
from infra.local import proxy
from infra.local.wechat import Simulator, merchant
from infra.local.wechat.transfers import Transfers
from tests.harness.merchant import APPID, known_person, merchant_of_wechat_pay

NOW = 1_790_000_000
AT = 1432099775
"""2015-05-20T13:29:35+08:00, in all of the examples."""

# The fields of doc/v3/merchant/4012716434 and 4012716437, and of what 4012712115 has inside its envelope; values
# are of the examples there, in 4012716458 and in 4012716430, as far as stored copies show them.
CREATED = {
    "out_bill_no": "plfk2020042013",
    "transfer_bill_no": "1330000071100999991182020050700019480001",
    "create_time": "2015-05-20T13:29:35.120+08:00",
    "state": "WAIT_USER_CONFIRM",
    "package_info": "affffddafdfafddffda==",
}
SHOWN = {
    "mch_id": "1900001109",
    "out_bill_no": "plfk2020042013",
    "transfer_bill_no": "1330000071100999991182020050700019480001",
    "appid": "wxf636efh567hg4356",
    "state": "FAIL",
    "transfer_amount": 400000,
    "transfer_remark": "2020年4月报销",
    "fail_reason": "PAYEE_ACCOUNT_ABNORMAL",
    "openid": "o-MYE42l80oelYMDE34nYD456Xoy",
    "user_name": "757b340b45ebef5467rter35gf464344v3542sdf4t6re4tb4f54ty45t4yyry45",
    "create_time": "2015-05-20T13:29:35.120+08:00",
    "update_time": "2015-05-20T13:29:35.120+08:00",
}
TOLD = {
    "out_bill_no": "plfk2020042013",
    "transfer_bill_no": "1330000071100999991182020050700019480001",
    "state": "SUCCESS",
    "mch_id": "1900001109",
    "transfer_amount": 2000,
    "openid": "o-MYE42l80oelYMDE34nYD456Xoy",
    "fail_reason": "",
    "create_time": "2015-05-20T13:29:35+08:00",
    "update_time": "2015-05-20T13:29:35+08:00",
}


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with merchant_of_wechat_pay(monkeypatch, now=NOW, by_public_key=True) as simulator:
        yield simulator


def order(simulator: Simulator, number: str = "wdr1", **changed: Any) -> Order:
    given = {"number": number, "appid": APPID, "openid": known_person(simulator, "alice"), "amount_fen": 100}
    return Order(**{**given, **changed})


def answered(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Whatever is asked is answered so; what was asked."""
    asked: list[tuple[Any, ...]] = []

    def call(method: str, path: str, **more: Any) -> dict[str, Any]:
        asked.append((method, path, more.get("body"), more.get("serial")))
        return answer

    monkeypatch.setattr(pay, "call", call)
    return asked


def test_the_documented_answers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, CREATED)
    made = transfers.create(Order(number="n", appid="a", openid="o", amount_fen=1), now=NOW)
    answered(monkeypatch, SHOWN)
    shown = transfers.show("plfk2020042013", now=NOW)

    same = {"number": "plfk2020042013", "reference": CREATED["transfer_bill_no"], "created_at": AT}
    assert made == Bill(**same, state="WAIT_USER_CONFIRM", package="affffddafdfafddffda==")  # type: ignore[arg-type]
    failed = {"amount_fen": 400000, "mchid": "1900001109", "reason": "PAYEE_ACCOUNT_ABNORMAL"}
    to = {"appid": SHOWN["appid"], "openid": SHOWN["openid"]}
    assert shown == Bill(**same, state="FAIL", **failed, **to)  # type: ignore[arg-type]


def test_the_documented_notification_is_read_and_others_are_not_taken_for_it() -> None:
    notice = Notice(notice_id="EV-1", event_type="MCHTRANSFER.BILL.FINISHED", resource=TOLD)

    bill = transfers.told(notice)

    assert bill is not None and (bill.state, bill.amount_fen, bill.reason) == ("SUCCESS", 2000, None)
    assert bill.mchid == "1900001109"
    batch = Notice(notice_id="EV-2", event_type="MCHTRANSFER.BATCH.FINISHED", resource={"out_batch_no": "1"})
    assert transfers.told(batch) is None


@pytest.mark.parametrize("missing", ["out_bill_no", "transfer_bill_no", "state", "create_time"])
def test_what_is_no_transfer_may_have_happened(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, {name: value for name, value in SHOWN.items() if name != missing})

    with pytest.raises(pay.PayUnknown):
        transfers.show("n", now=NOW)


def test_a_request_has_the_documented_form(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    config.override(transfer_perception="劳务报酬")
    asked = answered(monkeypatch, CREATED)

    transfers.create(
        order(sim, amount_fen=2_000_00, real_name="张三", notify_url="https://a.example/n"), now=NOW
    )

    ((method, path, body, serial),) = asked
    assert (method, path, serial) == ("POST", transfers.BILLS, merchant.PUBLIC_KEY_ID)
    assert merchant.opened(body.pop("user_name"), by_public_key=True) == "张三"
    assert body == {
        "appid": APPID,
        "out_bill_no": "wdr1",
        "transfer_scene_id": "1005",
        "openid": known_person(sim, "alice"),
        "transfer_amount": 2_000_00,
        "transfer_remark": "佣金提现",
        "transfer_scene_report_infos": [
            {"info_type": "岗位类型", "info_content": "推广员"},
            {"info_type": "报酬说明", "info_content": "推广佣金"},
        ],
        "user_recv_perception": "劳务报酬",
        "notify_url": "https://a.example/n",
    }


def test_one_number_is_one_transfer_and_never_another(sim: Simulator) -> None:
    first = transfers.create(order(sim), now=NOW)
    assert transfers.create(order(sim), now=NOW) == first

    with pytest.raises(PayRefused, match="^INVALID_REQUEST"):
        transfers.create(order(sim, amount_fen=101), now=NOW)
    with pytest.raises(PayRefused, match="^INVALID_REQUEST"):
        transfers.create(order(sim, openid=known_person(sim, "bob")), now=NOW)
    assert len(sim.platform.of(Transfers).by_number) == 1


WRONG: list[dict[str, Any]] = [
    {"number": "wdr_1"},
    {"number": "n" * 33},
    {"openid": "o-nobody"},
    {"amount_fen": 9},
    {"amount_fen": 2_000_00},
    {"notify_url": "https://a.example/?n=1"},
    {"appid": "wx-another"},
]


def test_what_is_documented_as_wrong_is_refused(sim: Simulator) -> None:
    for changed in WRONG:
        with pytest.raises(PayRefused, match="^PARAM_ERROR"):
            transfers.create(order(sim, **changed), now=NOW)


def test_what_it_reports_must_fit_its_scene(sim: Simulator) -> None:
    config.override(transfer_scene_id="1000")

    with pytest.raises(PayRefused, match="^PARAM_ERROR"):
        transfers.create(order(sim), now=NOW)


def test_what_has_ended_cannot_be_cancelled_and_nobody_knows_what_was_never_sent(sim: Simulator) -> None:
    transfers.create(order(sim), now=NOW)
    transfers.cancel("wdr1", now=NOW)
    states = [
        found.state for found in (transfers.show("wdr1", now=NOW), transfers.show("wdr1", now=NOW)) if found
    ]

    assert states == ["CANCELLED", "CANCELLED"]
    with pytest.raises(PayRefused, match="^INVALID_REQUEST"):
        transfers.cancel("wdr1", now=NOW)
    assert transfers.show("wdr2", now=NOW) is None
    with pytest.raises(PayRefused, match="^NOT_FOUND"):
        transfers.cancel("wdr2", now=NOW)


def test_a_proxy_is_told_its_password_and_wechat_is_not(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    way_out, said = proxy.start(), []
    if way_out is None:
        pytest.skip("no second address on this machine")
    pass_on = proxy._Handler.do_GET

    def listening(handler: Any) -> None:
        said.append(handler.headers.get("proxy-authorization", ""))
        pass_on(handler)

    monkeypatch.setattr(proxy._Handler, "do_GET", listening)
    monkeypatch.setattr(sim.platform.of(Transfers), "addresses", frozenset({proxy.ADDRESS}))
    monkeypatch.setenv("SECRET_OUTBOUND_PROXY", "p@ss:word")
    config.override(outbound_proxy=way_out.url.replace("//", "//me@"))

    assert transfers.show("wdr9", now=NOW) is None

    way_out.stop()
    assert said == [f"Basic {base64.b64encode(b'me:p@ss:word').decode()}"]
