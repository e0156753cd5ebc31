"""How risky WeChat holds somebody to be: a signal, asked once a day and member, and never needed.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/sec-center/safety-control-capability/getUserRiskRank:
0 to 4, for somebody who was in the program lately. Where WeChat does not say, nobody is refused.
"""

from collections.abc import Callable

from chalicelib.core import table
from chalicelib.core.clock import DAY
from chalicelib.core.config import settings
from chalicelib.core.errors import Busy, Conflict, TooMany
from chalicelib.core.telemetry import logger
from chalicelib.safety.models import Risk
from chalicelib.safety.service import Writer
from chalicelib.wechat import client

FRESH_FOR_S = DAY
STAYS_S = 90 * DAY
REGISTERING, MARKETING, WRITING = 0, 1, 2
"""WeChat's scenes: 注册, 营销作弊, UGC."""


class TooRisky(Conflict):
    """WeChat holds this account to be one that takes advantage of campaigns (RISK_RANK_REFUSED)."""

    code = "risk_too_high"
    en = "This account cannot take part. Please contact the shop."
    zh = "当前账号存在风险，无法参与，请联系商家。"
    advice = "Show the message and how to reach the service desk."


def admit(writer: Callable[[], Writer], *, ip: str, now: int) -> None:
    """Let a member take what is scarce.

    Raises:
        TooRisky: WeChat's rank reaches what the shop refuses.
    """
    least = settings().risk_rank_refused
    if least and (rank(writer(), ip=ip, scene=MARKETING, now=now) or 0) >= least:
        raise TooRisky


def known(member_id: str) -> int | None:
    """WeChat's rank of a member when it was last asked; None where it never was."""
    row = table.get(Risk, Risk.key(member_id))
    return row.rank if row is not None else None


def rank(writer: Writer, *, ip: str, scene: int, now: int) -> int | None:
    """WeChat's rank of a member, 0 to 4, of the last day; None where it does not say."""
    last = table.get(Risk, Risk.key(writer.member_id))
    if last is not None and now - last.asked_at < FRESH_FOR_S:
        return last.rank
    told = _asked(writer, ip=ip, scene=scene, now=now)
    if told is not None:
        row = (Risk.rank.set(told), Risk.asked_at.set(now), Risk.ttl.set(now + STAYS_S))
        table.apply(table.upsert(Risk, Risk.key(writer.member_id), *row))
    return told


def _asked(writer: Writer, *, ip: str, scene: int, now: int) -> int | None:
    if writer.app is None or writer.openid is None or not ip:
        return None
    body = {"appid": writer.app.appid, "openid": writer.openid, "scene": scene, "client_ip": ip}
    try:
        told = client.call(writer.app, "POST", "/wxa/getuserriskrank", body=body, now=now)
    except (
        client.WeChatUnavailable,
        client.WeChatRefused,
        client.WeChatMisconfigured,
        TooMany,
        Busy,
    ) as silent:
        logger.warning("WeChat does not say how risky somebody is", reason=type(silent).__name__)
        return None
    return int(told["risk_rank"])
