"""Calls to the simulated WeChat: tokens that all share, budgets, errors as refusals, and what is sent twice."""

import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.core import cache, config, table, telemetry
from chalicelib.core.errors import AppError
from chalicelib.wechat import budgets, client, tokens
from chalicelib.wechat.models import Spent, Token
from infra.local.wechat import Simulator
from infra.local.wechat import tokens as told
from infra.local.wechat.frame import Answer, Fault, Platform, Request, endpoint, endpoints, refusal
from tests.wechat import APP, APPID

PATH = "/wxa/for_tests"


class Asked:
    """What the endpoint of these tests was asked, and what it answers next."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.next: list[int] = []


@pytest.fixture(autouse=True)
def _endpoint() -> Iterator[None]:
    @endpoint("POST", PATH, token=True)
    def answer(platform: Platform, request: Request) -> Answer | dict[str, Any]:
        asked = platform.of(Asked)
        asked.requests.append(request)
        code = asked.next.pop(0) if asked.next else 0
        return refusal(code) if code else {"errcode": 0, "given": request.json, "appid": request.appid}

    yield
    endpoints[:] = [one for one in endpoints if one.handler is not answer]


def now() -> int:
    return int(time.time())


def post(*, safe: bool = False, budget: str | None = None, at: int | None = None) -> dict[str, Any]:
    body = {"words": "拼团"}
    return client.call(APP, "POST", PATH, body=body, safe=safe, budget=budget, now=at or now())


def asked(weixin: Simulator) -> Asked:
    return weixin.platform.of(Asked)


def fetches(weixin: Simulator) -> int:
    return sum(weixin.platform.of(told.Tokens).asked.values())


def test_a_call_brings_the_programs_token_and_its_words_as_they_are(weixin: Simulator) -> None:
    answer = post()

    assert answer["given"] == {"words": "拼团"} and answer["appid"] == APPID
    assert "拼团".encode() in asked(weixin).requests[0].body


def test_one_token_serves_every_call_and_every_process(weixin: Simulator) -> None:
    post()
    post()
    cache.clear_all()  # another process remembers nothing
    post()

    assert fetches(weixin) == 1
    assert len({one.query["access_token"] for one in asked(weixin).requests}) == 1


def test_many_who_find_no_token_get_the_same_and_many_who_find_an_old_one_renew_it_once(
    weixin: Simulator,
) -> None:
    at = now()
    with ThreadPoolExecutor(16) as many:
        first = set(many.map(lambda _: tokens.current(APP, now=at), range(16)))
    assert len(first) == 1
    before = fetches(weixin)

    # Five minutes before its end; the platform's own clock has to be there as well.
    old = first.pop()
    weixin.platform.of(told.Tokens).owners[old] = (APPID, time.time() + 200)
    cache.clear_all()
    with ThreadPoolExecutor(16) as many:
        later = list(many.map(lambda _: tokens.current(APP, now=at + 7000), range(16)))

    assert fetches(weixin) == before + 1
    assert set(later) <= {old, weixin.platform.of(told.Tokens).newest[APPID]} and len(set(later)) == 2


def test_a_renewer_that_died_is_followed_by_another(weixin: Simulator) -> None:
    at = now()
    old = tokens.current(APP, now=at)
    weixin.platform.of(told.Tokens).owners[old] = (APPID, time.time() + 200)
    cache.clear_all()
    weixin.platform.faults["/cgi-bin/stable_token"] = "lost"
    with pytest.raises(client.Unanswered):
        tokens.current(APP, now=at + 7000)
    weixin.platform.faults.clear()

    assert tokens.current(APP, now=at + 7001) == old
    assert tokens.current(APP, now=at + 7000 + tokens.RENEWING_S) != old


def test_a_token_that_wechat_no_longer_takes_is_renewed_and_the_call_sent_once_more(
    weixin: Simulator,
) -> None:
    old = tokens.current(APP, now=now())
    told.expire(weixin.platform, old)

    assert post()["errcode"] == 0
    row = table.get(Token, Token.key(APPID))
    assert row is not None and row.token not in (None, old)
    assert fetches(weixin) == 2


def test_a_token_that_stays_refused_is_told_as_a_wrong_setting_after_one_more_try(weixin: Simulator) -> None:
    asked(weixin).next = [40001, 40001]

    with pytest.raises(client.WeChatMisconfigured):
        post()
    assert len(asked(weixin).requests) == 2


@pytest.mark.parametrize(
    ("errcode", "kind"),
    [
        (-1, client.WeChatUnavailable),
        (45009, client.WeChatTooOften),
        (45011, client.WeChatTooOften),
        (48001, client.WeChatMisconfigured),
        (43101, client.WeChatRefused),
    ],
)
def test_an_errcode_is_a_refusal_of_ours(weixin: Simulator, errcode: int, kind: type[Exception]) -> None:
    asked(weixin).next = [errcode]

    with pytest.raises(kind) as refused:
        post()
    assert len(asked(weixin).requests) == 1
    if isinstance(refused.value, client.WeChatRefused):
        assert refused.value.errcode == errcode == refused.value.details["errcode"]


def test_only_a_safe_call_is_sent_again_when_wechat_is_busy(weixin: Simulator) -> None:
    asked(weixin).next = [-1]
    assert post(safe=True)["errcode"] == 0

    asked(weixin).next = [-1]
    with pytest.raises(client.WeChatUnavailable):
        post()
    assert len(asked(weixin).requests) == 3


def test_a_lost_reply_is_told_as_perhaps_done_and_a_closed_door_as_not_done(weixin: Simulator) -> None:
    tokens.current(APP, now=now())
    weixin.platform.faults[PATH] = "lost"
    with pytest.raises(client.Unanswered):
        post()
    assert len(asked(weixin).requests) == 1
    with pytest.raises(client.Unanswered):
        post(safe=True)
    assert len(asked(weixin).requests) == 3

    config.override(wechat_url="http://127.0.0.1:1")
    with pytest.raises(client.WeChatUnavailable) as unreached:
        post()
    assert not isinstance(unreached.value, client.Unanswered)


def test_a_wrong_secret_is_told_without_the_secret(
    weixin: Simulator, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setenv("SECRET_WECHAT_DEMO", "not-the-secret")

    with pytest.raises(client.WeChatMisconfigured) as refused:
        post()
    assert '"errcode":40125' in log.getvalue()
    assert "not-the-secret" not in log.getvalue() + repr(refused.value.details)


def test_neither_token_nor_secret_is_ever_logged(weixin: Simulator, log: io.StringIO) -> None:
    token = tokens.current(APP, now=now())
    faults: tuple[Fault, ...] = ("busy", "lost", "token_expired")
    for fault in faults:
        weixin.platform.faults[PATH] = fault
        with pytest.raises(AppError):
            post()
        weixin.platform.faults.clear()

    assert log.getvalue().count(PATH) == 3
    assert token not in log.getvalue() and "demo-secret" not in log.getvalue()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the app logs, as it leaves the process."""
    written = io.StringIO()
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", written)
    return written


# --- budgets ------------------------------------------------------------------------------------------------


def test_a_budget_lets_its_number_through_in_a_minute_and_the_next_minute_again(
    weixin: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(budgets.BUDGETS, "code", budgets.Budget(a_minute=5))
    at = now() // 60 * 60
    with ThreadPoolExecutor(16) as many:
        done = list(many.map(lambda _: _tried(at), range(16)))
    assert sorted(done) == [False] * 11 + [True] * 5
    assert len(asked(weixin).requests) == 5

    with pytest.raises(budgets.WeChatBudgetSpent) as spent:
        post(budget="code", at=at + 59)
    assert spent.value.details == {"budget": "code", "until": at + 60}
    assert post(budget="code", at=at + 60)["errcode"] == 0


def _tried(at: int) -> bool:
    try:
        post(budget="code", at=at)
    except budgets.WeChatBudgetSpent:
        return False
    return True


def test_a_day_of_a_budget_ends_at_midnight_in_beijing(
    weixin: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(budgets.BUDGETS, "link", budgets.Budget(a_day=1))
    midnight = 1_790_006_400 // 86400 * 86400 + 16 * 3600
    budgets.take(APPID, "link", now=midnight - 1)
    with pytest.raises(budgets.WeChatBudgetSpent) as spent:
        budgets.take(APPID, "link", now=midnight - 1)
    assert spent.value.details["until"] == midnight
    budgets.take(APPID, "link", now=midnight)


def test_what_wechat_says_is_spent_is_not_asked_for_again(weixin: Simulator) -> None:
    at = now() // 60 * 60
    asked(weixin).next = [45009]
    with pytest.raises(client.WeChatTooOften):
        post(budget="media_check", at=at)

    with pytest.raises(budgets.WeChatBudgetSpent):
        post(budget="media_check", at=at + 61)
    assert len(asked(weixin).requests) == 1
    day = table.get(Spent, Spent.key(APPID, "media_check", f"day{(at + 8 * 3600) // 86400}"))
    assert day is not None and day.n == 200_000
