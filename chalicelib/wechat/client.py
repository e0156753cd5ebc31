"""Calls to api.weixin.qq.com: token, budget, time-out, and errors as refusals.

A call is sent again only where that is safe: what WeChat did not let in for its token (40001 and its like) is sent
once more with a new one; what got no answer, or "busy", only if ``safe`` says that twice does no harm.
Codes of errors: https://developers.weixin.qq.com/doc/oplatform/developers/errCode
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from chalicelib.core import config
from chalicelib.core.errors import AppError, Conflict, TooMany
from chalicelib.core.telemetry import logger
from chalicelib.wechat import budgets

CONNECT_S = 2.0
TIMEOUT_S = 3.0
TOKEN_STALE = (40001, 40014, 42001)
_MISCONFIGURED = (40002, 40013, 40125, 40164, 41002, 41004, 48001, 85407, 85408, 89503, 89506, 89507)
_A_MINUTE_IS_SPENT, _A_DAY_IS_SPENT = (45011, 44991), (45009, 44993)
_TOO_OFTEN = (44990, 43108)
"""For this link, or this person: no budget of the program is spent."""


class WeChatUnavailable(AppError):
    """WeChat did not answer in time, or said that it is busy; nothing was changed here."""

    status = 503
    code = "wechat_unavailable"
    en = "WeChat is not answering. Please try again."
    zh = "微信暂时无响应，请重试。"
    advice = "Call wx.login again after Retry-After, and send the new code."
    retry_after_s = 2


class Unanswered(WeChatUnavailable):
    """The call was sent and no answer came: it may have had its effect."""

    code = "wechat_unanswered"
    advice = "Look whether it was done before doing it again."


class WeChatMisconfigured(AppError):
    """The program's appid, secret or rights are wrong; operators see which in the log."""

    status = 500
    code = "wechat_misconfigured"
    advice = "Nothing the page can do; `python -m infra.doctor` says what is wrong."


class WeChatTooOften(TooMany):
    """WeChat says that this program, or this person, has called too often."""

    code = "wechat_too_often"
    retry_after_s = 60


class WeChatRefused(Conflict):
    """WeChat said no for a reason of this call; ``errcode`` is WeChat's own."""

    code = "wechat_refused"
    en = "WeChat did not accept this."
    zh = "微信未接受该请求。"
    advice = "See details.errcode in WeChat's documentation."

    def __init__(self, errcode: int, **details: Any) -> None:
        super().__init__(errcode=errcode, **details)
        self.errcode = errcode


class App(msgspec.Struct, frozen=True, kw_only=True):
    """A program as WeChat knows it, and the name of its secret."""

    appid: str
    secret_name: str

    def secret(self, *, now: int) -> str:
        """Its app secret, never to be logged."""
        return config.secret(f"wechat/{self.secret_name}", now=now)


def call(
    app: App,
    method: str,
    path: str,
    *,
    now: int,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, str] | None = None,
    budget: str | None = None,
    safe: bool = False,
) -> dict[str, Any]:
    """What WeChat answers to a call with the program's token.

    Raises:
        WeChatBudgetSpent: not asked, since the budget is used up. WeChatRefused: with WeChat's errcode.
        WeChatTooOften, WeChatMisconfigured. WeChatUnavailable: not done. Unanswered: perhaps done.
    """
    content = _with_token(app, method, path, now=now, body=body, query=query, budget=budget, safe=safe)
    return _json(content, path)


def picture(app: App, path: str, *, body: Mapping[str, Any], budget: str, now: int) -> bytes:
    """The picture that WeChat makes; it answers a refusal as JSON, and both with HTTP 200.

    Raises:
        as `call`.
    """
    return _with_token(app, "POST", path, now=now, body=body, query=None, budget=budget, safe=True)


def _with_token(
    app: App,
    method: str,
    path: str,
    *,
    now: int,
    body: Mapping[str, Any] | None,
    query: Mapping[str, str] | None,
    budget: str | None,
    safe: bool,
) -> bytes:
    from chalicelib.wechat import tokens

    if budget is not None:
        budgets.take(app.appid, budget, now=now)
    token = tokens.current(app, now=now)
    for renewed in (False, True):
        asked = {**(query or {}), "access_token": token}
        content = send(method, path, query=asked, body=body, safe=safe)
        errcode = errcode_of(content)
        if errcode not in TOKEN_STALE or renewed:
            break
        token = tokens.renewed(app, instead_of=token, now=now)
    if errcode:
        raise _refusal(app, path, errcode, budget, now=now)
    return content


def answered(app: App, path: str, content: bytes, *, budget: str | None = None, now: int) -> dict[str, Any]:
    """The JSON of an answer that was sent for without a token.

    Raises:
        as `call`.
    """
    if errcode := errcode_of(content):
        raise _refusal(app, path, errcode, budget, now=now)
    return _json(content, path)


def send(
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    safe: bool = False,
) -> bytes:
    """What WeChat answers, whatever it is; where ``safe``, asked a second time if the first got no answer.

    Raises:
        WeChatUnavailable: it was not done. Unanswered: perhaps it was.
    """
    try:
        content = _sent(method, path, query or {}, body)
    except WeChatUnavailable:
        if not safe:
            raise
        return _sent(method, path, query or {}, body)
    return _sent(method, path, query or {}, body) if safe and errcode_of(content) == -1 else content


def errcode_of(content: bytes) -> int:
    """WeChat's errcode in an answer; 0 when there is none, as in a picture."""
    if not content.startswith(b"{"):
        return 0
    try:
        # createActivityId's page shows it as a string.
        return int(json.loads(content).get("errcode") or 0)
    except (TypeError, ValueError):
        return 0


def _json(content: bytes, path: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        logger.warning("wechat answered something else than JSON", path=path)
        raise Unanswered
    return found


def _refusal(app: App, path: str, errcode: int, budget: str | None, *, now: int) -> AppError:
    logger.warning("wechat refused", path=path, appid=app.appid, errcode=errcode)
    if errcode == -1:
        return WeChatUnavailable()
    if errcode in _TOO_OFTEN:
        return WeChatTooOften(errcode=errcode)
    if errcode in (*_A_MINUTE_IS_SPENT, *_A_DAY_IS_SPENT):
        if budget is not None:
            budgets.spent(app.appid, budget, daily=errcode in _A_DAY_IS_SPENT, now=now)
        return WeChatTooOften(errcode=errcode)
    misconfigured = errcode in (*_MISCONFIGURED, *TOKEN_STALE)
    return WeChatMisconfigured() if misconfigured else WeChatRefused(errcode)


def _sent(method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None) -> bytes:
    from urllib.parse import urlencode

    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

    url = f"{config.settings().wechat_url}{path}?{urlencode(query)}"
    # WeChat shows \u escapes to people as they stand, so that Chinese goes as it is.
    content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
    headers = {} if body is None else {"Content-Type": "application/json; charset=utf-8"}
    try:
        answer = _pool().request(method, url, body=content, headers=headers, retries=False, redirect=False)
    except (ConnectTimeoutError, NewConnectionError) as unreached:
        raise _silent(path, unreached, WeChatUnavailable) from None
    except HTTPError as unanswered:
        raise _silent(path, unanswered, Unanswered) from None
    if answer.status != 200:
        logger.warning("wechat answered with a status", path=path, status=answer.status)
        raise Unanswered
    return bytes(answer.data)


def _silent(path: str, failure: Exception, kind: type[WeChatUnavailable]) -> WeChatUnavailable:
    # The error's text holds the URL, and the URL holds the secret or the token: only its type is logged.
    logger.warning("wechat did not answer", path=path, failure=type(failure).__name__)
    return kind()


_connections: Any = None


def _pool() -> Any:
    """Connections that are kept: a new one costs three round trips to WeChat."""
    global _connections  # noqa: PLW0603 - one per process
    if _connections is None:
        import urllib3

        timeout = urllib3.Timeout(connect=CONNECT_S, read=TIMEOUT_S)
        _connections = urllib3.PoolManager(num_pools=4, maxsize=16, timeout=timeout)
    return _connections
