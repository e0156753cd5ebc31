"""A stack whose orders are paid by WeChat Pay: two phones pay, a group is filled, one gets the money back."""

import json
import secrets

import pytest
import urllib3

from infra.local.demo import paying
from tests.e2e.stack import started


def test_a_group_is_paid_by_wechat_and_one_payment_given_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAYMENT_GATEWAY", "wechat")
    with started() as running:
        night = secrets.token_hex(3)
        assert paying.by_wechat(running.url, night=night)
        paying.play(running.url, running.wechat_url, night=night)
        money = json.loads(urllib3.request("GET", f"{running.url}/v1/openapi.json", timeout=10).data)

    assert "/v1/wechat/{program_id}/payments" in money["paths"]
    told = capsys.readouterr().out
    assert "her phone pays ¥89.00 to WeChat, which tells." in told
    assert "the group is filled." in told and "gives ¥89.00 back, and WeChat confirms it." in told
