"""A merchant of the simulated WeChat Pay, for tests: its settings and secrets, and a phone that pays.

with merchant_of_wechat_pay(monkeypatch) as simulator:
    pay.call(...)
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from chalicelib.core import config
from chalicelib.wechat import pay
from infra.local import wechat
from infra.local.wechat import Simulator, login, merchant, openid

APPID = next(iter(wechat.DEMO_PROGRAMS))


@contextlib.contextmanager
def merchant_of_wechat_pay(
    monkeypatch: pytest.MonkeyPatch, *, now: int | None = None, by_public_key: bool = False
) -> Iterator[Simulator]:
    """A WeChat Pay whose clock stands at ``now``, and this process its merchant."""
    simulator = wechat.start(wechat.DEMO_PROGRAMS)
    if now is not None:
        simulator.platform.clock = lambda: float(now)
    simulator.platform.of(wechat.notices.Notices).pace = 0.0
    given = merchant.environment(simulator.url, by_public_key=by_public_key)
    for name, value in given.items():
        if name.startswith("SECRET_"):
            monkeypatch.setenv(name, value)
    settings = {name.lower(): value for name, value in given.items() if not name.startswith("SECRET_")}
    config.override(base_url="https://shop.example", **settings)
    pay.reset()
    try:
        yield simulator
    finally:
        simulator.stop()
        pay.reset()
        config.reset()


def known_person(simulator: Simulator, name: str) -> str:
    """The openid of somebody who has opened the demo program."""
    who = openid(appid=APPID, name=name)
    with simulator.platform.lock:
        simulator.platform.of(login.Logins).people[who] = (APPID, name)
    return who


def phone_pays(simulator: Simulator, given: dict[str, str]) -> dict[str, Any]:
    """What wx.requestPayment says."""
    answer = urllib3.request(
        "POST", f"{simulator.url}/_simulator/pay", body=json.dumps(given), timeout=10, retries=False
    )
    return dict(json.loads(answer.data))
