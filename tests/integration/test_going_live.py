"""What the doctor says of a stage's side of WeChat, and what WeChat itself says, by the simulated one."""

import time
from typing import Any

import pytest

from chalicelib.core import config
from chalicelib.core.config import Settings
from infra import going_live
from infra.checks import Finding
from infra.local.wechat import Simulator
from tests.harness.merchant import merchant_of_wechat_pay
from tests.wechat import APPID

DEMO = {"program_id": "demo", "appid": APPID, "secret_name": "demo"}
SECRETS = {"wechat/demo": "SecureString"}


def examined(
    secrets: dict[str, str] | None = None,
    *,
    programs: list[dict[str, str]] | None = None,
    outputs: dict[str, str] | None = None,
    **told: Any,
) -> list[Finding]:
    settings = Settings(
        **{
            "stage": "prod",
            "truth_table": "t",
            "traffic_table": "t",
            "region": "r",
            "base_url": "https://x",
            **told,
        }
    )
    return going_live.examined(
        settings,
        secrets=SECRETS if secrets is None else secrets,
        programs=[DEMO] if programs is None else programs,
        outputs=outputs or {},
    )


def wrong(found: list[Finding]) -> list[str]:
    return [one.what for one in found if not one.ok]


def test_a_stage_that_only_signs_people_in_needs_its_programs_secrets() -> None:
    assert wrong(examined()) == []
    assert wrong(examined({})) == ["The secret /liebian/prod/wechat/demo of program demo is missing"]
    plain = wrong(examined({"wechat/demo": "String"}))
    assert plain == ["The secret /liebian/prod/wechat/demo of program demo is a plain String"]
    [missing] = [one for one in examined({}) if not one.ok]
    assert "put-parameter --type SecureString --name /liebian/prod/wechat/demo" in missing.do
    assert wrong(examined(programs=[])) == ["There is no program, and so nobody can sign in"]


def test_checks_of_content_need_what_pushes_are_signed_and_sealed_with() -> None:
    assert wrong(examined(content_safety="wechat")) == [
        "The secret /liebian/prod/wechat/demo/message_token of program demo is missing",
        "The secret /liebian/prod/wechat/demo/message_key of program demo is missing",
    ]


def test_money_by_wechat_needs_the_merchants_secrets_and_an_address_to_be_told_at() -> None:
    money: dict[str, Any] = {"payment_gateway": "wechat", "wechatpay_mchid": "1900000109"}
    there = {**SECRETS, **dict.fromkeys(going_live.PAY, "SecureString")}

    assert len(wrong(examined(**money))) == len(going_live.PAY)
    assert wrong(examined(there, **money)) == []
    assert wrong(examined(there, **money, base_url="")) == ["BASE_URL is not set"]
    keyed = examined(there, **money, wechatpay_public_key_id="PUB_KEY_ID_1")
    assert wrong(keyed) == ["The secret /liebian/prod/wechatpay/public_key is missing"]


def test_transfers_need_one_address() -> None:
    there = {**SECRETS, **dict.fromkeys(going_live.PAY, "SecureString")}
    paid: dict[str, Any] = {"payout_gateways": "wechat", "wechatpay_mchid": "1900000109"}

    assert wrong(examined(there, **paid)) == ["Transfers have no address of their own"]
    assert wrong(examined(there, **paid, outputs={"TransfersAddress": "192.0.2.7"})) == []


def test_wechat_is_asked_whether_it_knows_each_program(
    weixin: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    programs = [DEMO, {**DEMO, "program_id": "other", "appid": "wx-other"}, {**DEMO, "secret_name": "none"}]
    known, unknown, without = going_live.ask(config.settings(), programs=programs, now=now)
    assert known.ok and known.what == "WeChat and the program demo know each other"
    assert not unknown.ok and unknown.what == "WeChat and the program other: 40013" and "appid" in unknown.do
    assert not without.ok and "wechat/none" in without.do

    monkeypatch.setenv("SECRET_WECHAT_DEMO", "another")
    config.reset()
    config.override(wechat_url=weixin.url)
    [changed] = going_live.ask(config.settings(), programs=[DEMO], now=now)
    assert not changed.ok and "AppSecret" in changed.do and "another" not in changed.what + changed.do
    config.override(wechat_url="http://127.0.0.1:1")
    [silent] = going_live.ask(config.settings(), programs=[DEMO], now=now)
    assert not silent.ok and "no answer" in silent.what


def test_wechat_pay_is_asked_whether_it_knows_the_merchant(monkeypatch: pytest.MonkeyPatch) -> None:
    with merchant_of_wechat_pay(monkeypatch):
        [known] = going_live.ask(config.settings(), programs=[], now=int(time.time()))
        assert known.ok
        monkeypatch.setenv("SECRET_WECHATPAY_SERIAL", "0" * 40)
        config.override(wechatpay_mchid="1900000999")
        [unknown] = going_live.ask(config.settings(), programs=[], now=int(time.time()))
        assert not unknown.ok


def test_programs_are_read_off_their_rows() -> None:
    rows = [{name: {"S": value} for name, value in DEMO.items()}, {"n": {"N": "1"}}]

    assert going_live.read_programs(rows) == [DEMO]
