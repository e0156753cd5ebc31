"""What WeChat allows a program in a minute and in a day, kept as rows, so that all functions share it.

A call that is counted twice, because the reply of the count was lost, only makes the budget a little smaller: it
protects a limit of WeChat's, and no right of anybody. What WeChat itself says is used up is noted as such.
"""

import msgspec

from chalicelib.core import table
from chalicelib.core.clock import DAY, MINUTE
from chalicelib.core.errors import TooMany
from chalicelib.core.telemetry import count, logger
from chalicelib.wechat.models import Spent

BEIJING_S = 8 * 3600
"""WeChat's days begin at midnight in Beijing."""


class WeChatBudgetSpent(TooMany):
    """What WeChat allows this program in a minute or a day is used up; nothing was asked of WeChat."""

    code = "wechat_budget_spent"
    en = "WeChat allows no more of this right now. Please try again later."
    zh = "微信接口调用已达上限，请稍后再试。"
    advice = "Try again after Retry-After, or at the time in details.until."
    retry_after_s = 60


class _Full(Exception):
    """The window's row has reached the limit."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that a program may make."""

    a_minute: int | None = None
    a_day: int | None = None


BUDGETS: dict[str, Budget] = {
    # mp-access-token/getStableAccessToken: 10,000 a minute, 500,000 a day
    "token": Budget(a_minute=10_000, a_day=500_000),
    # qr-code/getUnlimitedQRCode: 5,000 a minute
    "code": Budget(a_minute=5_000),
    # url-link/generateUrlLink and url-scheme/generateScheme together: 500,000 a day
    "link": Budget(a_day=500_000),
    # the same page: all of them together may be opened 3,000,000 times a day
    "link_open": Budget(a_day=3_000_000),
    # short-link/generateShortLink: 10,000,000 of the short-lived a day
    "short_link": Budget(a_day=10_000_000),
    # subscribeMessage.send: 10,000,000 a day for a program without payment
    "message": Budget(a_day=10_000_000),
    # framework/open-ability/getPhoneNumber: ¥0.03 for each, so that the limits are of our choice
    "phone": Budget(a_day=20_000),
    "phone_of_member": Budget(a_day=5),
    # sec-center/sec-check/msgSecCheck: 4,000 a minute, 2,000,000 a day
    "text_check": Budget(a_minute=4_000, a_day=2_000_000),
    # sec-center/sec-check/mediaCheckAsync: 2,000 a minute, 200,000 a day
    "media_check": Budget(a_minute=2_000, a_day=200_000),
}


def take(appid: str, name: str, *, now: int) -> None:
    """Use one call of a budget.

    Raises:
        WeChatBudgetSpent: there is none left in this minute or day.
    """
    for window, limit, until in _windows(name, now=now):
        key = Spent.key(appid, name, window)
        try:
            table.apply(table.counted(Spent, key, at_most=limit, ttl=until + DAY, refuse=lambda _: _Full()))
        except _Full:
            count("WeChatBudgetSpent")
            logger.warning("a budget of WeChat's is spent", appid=appid, budget=name)
            raise WeChatBudgetSpent(budget=name, until=until) from None


def spent(appid: str, name: str, *, daily: bool, now: int) -> None:
    """WeChat said that this minute or this day is used up, by us or by whoever else uses the program's secret."""
    budget = BUDGETS[name]
    # Of codes, which have no limit a day, 45009 means the minute (qr-code/wxacode.getUnlimited).
    only_one = budget.a_day is None or budget.a_minute is None
    for window, limit, until in _windows(name, now=now):
        if only_one or window.startswith("day") == daily:
            actions = (Spent.n.set(limit), Spent.ttl.set(until + DAY))
            table.apply(table.upsert(Spent, Spent.key(appid, name, window), *actions))


def _windows(name: str, *, now: int) -> list[tuple[str, int, int]]:
    budget = BUDGETS[name]
    day, minute = (now + BEIJING_S) // DAY, now // MINUTE
    windows = []
    if budget.a_minute is not None:
        windows.append((f"minute{minute}", budget.a_minute, (minute + 1) * MINUTE))
    if budget.a_day is not None:
        windows.append((f"day{day}", budget.a_day, (day + 1) * DAY - BEIJING_S))
    return windows
