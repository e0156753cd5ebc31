"""Access tokens: one for a program, shared by all functions through a row, renewed by one of many callers.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/mp-access-token/getStableAccessToken.html: a token lives
two hours and is the same for whoever asks; five minutes before its end a new one is made, and both are good until
then. So whoever finds it that old renews it, and the others use the old one meanwhile. Where there is none at all,
each asks WeChat, and each gets the same.
"""

from chalicelib.core import table
from chalicelib.core.cache import Cache
from chalicelib.core.clock import DAY
from chalicelib.core.telemetry import logger
from chalicelib.wechat import budgets, client
from chalicelib.wechat.client import App
from chalicelib.wechat.models import Token

PATH = "/cgi-bin/stable_token"
RENEWED_BEFORE_S = 300
RENEWING_S = 10
"""How long one caller may take before another tries."""

_known: Cache[Token] = Cache(for_s=7200)


class _Held(Exception):
    """Somebody else renews it, or has just done so."""


def current(app: App, *, now: int) -> str:
    """The program's token, good for at least some minutes.

    Raises:
        WeChatUnavailable, WeChatMisconfigured, WeChatTooOften, WeChatBudgetSpent: there is none to be had.
    """
    remembered = _known.peek(app.appid, now=now)
    if remembered is not None and _left(remembered, now=now) > RENEWED_BEFORE_S:
        return str(remembered.token)
    row = table.get(Token, Token.key(app.appid))
    if row is not None and _left(row, now=now) > RENEWED_BEFORE_S:
        return _remembered(app, row, now=now)
    if row is not None and _left(row, now=now) > 0 and not _claim(app, row, now=now):
        return str(row.token)
    return _fetched(app, now=now)


def renewed(app: App, *, instead_of: str, now: int) -> str:
    """A token other than one that WeChat no longer takes.

    Raises:
        as `current`.
    """
    _known.forget(app.appid)
    row = table.get(Token, Token.key(app.appid))
    if row is not None and row.token != instead_of and _left(row, now=now) > 0:
        return _remembered(app, row, now=now)
    return _fetched(app, now=now)


def _left(row: Token, *, now: int) -> int:
    return (row.until or 0) - now if row.token else 0


def _claim(app: App, row: Token, *, now: int) -> bool:
    """Whether this caller is the one who renews it."""
    free = Token.renewing_until.does_not_exist() | (Token.renewing_until <= now)
    renewing = Token.renewing_until.set(now + RENEWING_S)
    try:
        table.apply(
            table.update(
                Token,
                Token.key(app.appid),
                renewing,
                when=free & (Token.until == row.until),
                refuse=lambda _: _Held(),
            )
        )
    except _Held:
        return False
    return True


def _fetched(app: App, *, now: int) -> str:
    """Ask WeChat, and tell all the others."""
    budgets.take(app.appid, "token", now=now)
    asked = {"grant_type": "client_credential", "appid": app.appid, "secret": app.secret(now=now)}
    content = client.send("POST", PATH, body=asked, safe=True)
    told = client.answered(app, PATH, content, budget="token", now=now)
    row = Token(*Token.key(app.appid), token=told["access_token"], until=now + int(told["expires_in"]))
    _keep(row)
    return _remembered(app, row, now=now)


def _keep(row: Token) -> None:
    """The one that lives longest is everybody's."""
    older = Token.until.does_not_exist() | (Token.until < row.until) | (Token.token != row.token)
    actions = (
        Token.token.set(row.token),
        Token.until.set(row.until),
        Token.renewing_until.remove(),
        Token.ttl.set((row.until or 0) + DAY),
    )
    try:
        table.apply(table.upsert(Token, (row.pk, row.sk), *actions, when=older, refuse=lambda _: _Held()))
    except _Held:
        logger.info("the token was kept by another", key=row.pk)


def _remembered(app: App, row: Token, *, now: int) -> str:
    _known.put(app.appid, row, now=now)
    return str(row.token)
