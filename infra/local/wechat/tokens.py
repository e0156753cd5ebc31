"""Access tokens, ``POST /cgi-bin/stable_token`` (developers.weixin.qq.com, mp-access-token/getStableAccessToken).

A token lives two hours and is the same for whoever asks, until five minutes before its end; then a new one comes,
and both are good until the old one ends. ``force_refresh`` ends it at once: 20 times a day, 30 s apart (sooner, the
old one is answered). 10,000 calls a minute and 500,000 a day.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.wechat.frame import Answer, Platform, Request, endpoint, refusal
from infra.local.wechat.login import not_known

LIVES_S = 7200
RENEWED_BEFORE_S = 300
A_MINUTE = 10_000
FORCED_A_DAY = 20
FORCED_APART_S = 30


@dataclass
class Tokens:
    """By token whose it is and until when; by program the newest, how often it asked, when it forced."""

    owners: dict[str, tuple[str, float]] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    asked: dict[tuple[str, int], int] = field(default_factory=dict)
    forced: dict[str, list[float]] = field(default_factory=dict)


@endpoint("POST", "/cgi-bin/stable_token")
def stable_token(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """The program's token and for how many seconds it is good."""
    body = request.json
    if body.get("grant_type") != "client_credential":
        return refusal(40002)
    appid = str(body.get("appid", ""))
    if stranger := not_known(platform, appid=appid, secret=str(body.get("secret", ""))):
        return stranger
    now = time.time()
    with platform.lock:
        tokens = platform.of(Tokens)
        minute = (appid, int(now) // 60)
        tokens.asked[minute] = tokens.asked.get(minute, 0) + 1
        if tokens.asked[minute] > A_MINUTE:
            return refusal(45011)
        if body.get("force_refresh") is True and (refused := _force(tokens, appid, now=now)):
            return refused
        return _current(tokens, appid, now=now)


def owner(platform: Platform, token: str) -> str | None:
    """Whose token it is, while it is good."""
    with platform.lock:
        appid, until = platform.of(Tokens).owners.get(token, (None, 0.0))
        return appid if time.time() < until else None


def expire(platform: Platform, token: str) -> None:
    """Make a token worthless, as when its secret was reset."""
    with platform.lock:
        tokens = platform.of(Tokens)
        appid, _ = tokens.owners.pop(token, ("", 0.0))
        if tokens.newest.get(appid) == token:
            del tokens.newest[appid]


def _force(tokens: Tokens, appid: str, *, now: float) -> Answer | None:
    today = [at for at in tokens.forced.get(appid, ()) if at > now - 86400]
    if len(today) >= FORCED_A_DAY:
        return refusal(45009)
    if not today or now - today[-1] >= FORCED_APART_S:
        tokens.forced[appid] = [*today, now]
        tokens.owners.pop(tokens.newest.pop(appid, ""), None)
    return None


def _current(tokens: Tokens, appid: str, *, now: float) -> Mapping[str, Any]:
    token = tokens.newest.get(appid, "")
    until = tokens.owners.get(token, ("", 0.0))[1]
    if until - now <= RENEWED_BEFORE_S:
        # As long as the longest that are documented to be given out: 512 characters have to fit.
        token, until = f"{secrets.randbelow(90) + 10}_{secrets.token_urlsafe(360)}"[:512], now + LIVES_S
        tokens.newest[appid] = token
        tokens.owners[token] = (appid, until)
    return {"access_token": token, "expires_in": int(until - now)}
