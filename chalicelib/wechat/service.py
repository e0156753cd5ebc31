"""Signing in with WeChat: a program's login code for the identities that it proves.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/code2Session.html
"""

import json
from dataclasses import dataclass
from typing import Any

from chalicelib.core import config
from chalicelib.core.errors import AppError, TooMany, Unauthorized
from chalicelib.core.telemetry import logger

TIMEOUT_S = 3.0


class LoginCodeInvalid(Unauthorized):
    """WeChat does not know this login code, or it was used already: a code serves once, for five minutes."""

    code = "login_code_invalid"
    en = "The login code is not valid any more."
    zh = "登录凭证已失效，请重试。"
    advice = "Call wx.login again and send the new code."


class LoginRefused(AppError):
    """WeChat blocks this user as high-risk (40226)."""

    status = 403
    code = "login_refused"
    en = "WeChat refused this sign-in."
    zh = "微信拒绝了本次登录。"
    advice = "Tell the person to contact the shop; do not try again by yourself."


class LoginTooOften(TooMany):
    """WeChat allows 100 sign-ins per person and minute (45011)."""

    code = "login_too_often"
    retry_after_s = 60


class WeChatUnavailable(AppError):
    """WeChat did not answer in time, or said that it is busy; nothing was changed here."""

    status = 503
    code = "wechat_unavailable"
    en = "WeChat is not answering. Please try again."
    zh = "微信暂时无响应，请重试。"
    advice = "Call wx.login again after Retry-After, and send the new code."
    retry_after_s = 2


class WeChatMisconfigured(AppError):
    """The program's appid or secret is wrong; operators see which in the log."""

    status = 500
    code = "wechat_misconfigured"
    advice = "Nothing the page can do; `python -m infra.doctor` says what is wrong."


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who signed in; ``unionid`` only when the program is bound to an open-platform account."""

    openid: str
    unionid: str | None
    session_key: str


_REFUSALS: dict[int, type[AppError]] = {
    -1: WeChatUnavailable,
    40029: LoginCodeInvalid,
    40163: LoginCodeInvalid,
    40226: LoginRefused,
    45011: LoginTooOften,
}


def code_to_session(*, appid: str, secret_name: str, code: str, now: int) -> Login:
    """Exchange a login code, which WeChat lets serve only once; so this is never sent twice.

    Raises:
        LoginCodeInvalid, LoginRefused, LoginTooOften, WeChatUnavailable, WeChatMisconfigured.
    """
    answer = _get(
        "/sns/jscode2session",
        {
            "appid": appid,
            "secret": config.secret(f"wechat/{secret_name}", now=now),
            "js_code": code,
            "grant_type": "authorization_code",
        },
    )
    errcode = answer.get("errcode", 0)
    if errcode:
        logger.warning("code2Session refused", appid=appid, errcode=errcode)
        raise _REFUSALS.get(errcode, WeChatMisconfigured)()
    return Login(openid=answer["openid"], unionid=answer.get("unionid"), session_key=answer["session_key"])


def _get(path: str, query: dict[str, str]) -> dict[str, Any]:
    import urllib3

    url = f"{config.settings().wechat_url}{path}"
    try:
        answer = urllib3.request("GET", url, fields=query, timeout=TIMEOUT_S, retries=False, redirect=False)
        content = json.loads(answer.data)
    except (urllib3.exceptions.HTTPError, ValueError) as unanswered:
        # The error's text holds the URL, and the URL holds the secret: only its type is logged.
        logger.warning("wechat did not answer", path=path, failure=type(unanswered).__name__)
        raise WeChatUnavailable from None
    if answer.status != 200 or not isinstance(content, dict):
        raise WeChatUnavailable
    return content
