"""Signing in with WeChat: a program's login code for the identities that it proves.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/code2Session.html
"""

import msgspec

from chalicelib.core.errors import AppError, TooMany, Unauthorized
from chalicelib.wechat import client
from chalicelib.wechat.client import App

PATH = "/sns/jscode2session"


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


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed in; ``unionid`` only when the program is bound to an open-platform account."""

    openid: str
    unionid: str | None
    session_key: str


_REFUSALS: dict[int, type[AppError]] = {
    40029: LoginCodeInvalid,
    40163: LoginCodeInvalid,
    40226: LoginRefused,
    45011: LoginTooOften,
}


def code_to_session(app: App, *, code: str, now: int) -> Login:
    """Exchange a login code, which WeChat lets serve only once; so this is never sent twice.

    Raises:
        LoginCodeInvalid, LoginRefused, LoginTooOften, WeChatUnavailable, WeChatMisconfigured.
    """
    query = {
        "appid": app.appid,
        "secret": app.secret(now=now),
        "js_code": code,
        "grant_type": "authorization_code",
    }
    try:
        content = client.send("GET", PATH, query=query)
    except client.Unanswered as silent:
        # Whether or not the code is used up by it: the page needs a new one.
        raise client.WeChatUnavailable from silent
    if refused := _REFUSALS.get(client.errcode_of(content)):
        raise refused()
    try:
        told = client.answered(app, PATH, content, now=now)
    except client.WeChatRefused as unknown:
        raise client.WeChatMisconfigured from unknown
    return Login(openid=told["openid"], unionid=told.get("unionid"), session_key=told["session_key"])
