"""Pure rules of notifications: the kinds and their words, what WeChat takes for a keyword, quiet hours.

Keywords of a template and what fits them: developers.weixin.qq.com, miniprogram/dev/api-backend/open-api/
subscribe-message/subscribeMessage.send.html, "订阅消息参数值内容限制说明".
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

Kind = Literal[
    "group_filled",
    "group_failed",
    "group_expiring",
    "coupon_expiring",
    "commission_settled",
    "withdrawal_awaiting",
    "withdrawal_paid",
    "withdrawal_failed",
    "checkin_reminder",
    "refund_done",
]
Tap = Literal["group_join", "checkin", "coupon_claim", "withdrawal"]
FieldType = Literal["text", "phrase", "number", "money", "time", "code"]
LITERAL = "="
"""What a keyword's fixed text begins with, in place of the name of a field."""
ASKED_AT_MOST = 3
"""wx.requestSubscribeMessage takes three templates at most."""


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a kind: where it leads, its fields, its words; ``status`` has five characters at most."""

    target: str
    fields: Mapping[str, FieldType]
    status: str
    zh: tuple[str, str]
    en: tuple[str, str]


_ALWAYS: Mapping[str, FieldType] = {
    "title": "text",
    "text": "text",
    "status": "phrase",
    "target_id": "code",
    "told_at": "time",
}
"""Fields that every kind has."""

KINDS: Mapping[Kind, Words] = {
    "group_filled": Words(
        target="group",
        fields={"about": "text", "size": "number", "ended_at": "time"},
        status="拼团成功",
        zh=("拼团成功", "「{about}」已成团，共 {size} 人，等待发货。"),
        en=("Your group is full", "“{about}” is on: {size} people, and it will be shipped."),
    ),
    "group_failed": Words(
        target="group",
        fields={"about": "text", "ended_at": "time"},
        status="拼团失败",
        zh=("拼团未成功", "「{about}」未在时限内成团，款项将原路退回。"),
        en=("Your group was not filled", "“{about}” was not filled in time; the money comes back."),
    ),
    "group_expiring": Words(
        target="group",
        fields={"about": "text", "missing": "number", "expires_at": "time"},
        status="即将结束",
        zh=("拼团即将结束", "「{about}」还差 {missing} 人，{expires_at} 结束。"),
        en=("Your group ends soon", "“{about}” lacks {missing} and ends at {expires_at}."),
    ),
    "coupon_expiring": Words(
        target="coupon",
        fields={"about": "text", "ends_at": "time"},
        status="即将过期",
        zh=("优惠券即将过期", "「{about}」将于 {ends_at} 过期。"),
        en=("A coupon ends soon", "“{about}” ends at {ends_at}."),
    ),
    "commission_settled": Words(
        target="commission",
        fields={"amount_fen": "money", "order_id": "code", "settled_at": "time"},
        status="已结算",
        zh=("佣金已结算", "{amount_fen} 佣金已结算至余额。"),
        en=("A commission was settled", "{amount_fen} was added to your balance."),
    ),
    "withdrawal_awaiting": Words(
        target="withdrawal",
        fields={"amount_fen": "money", "confirm_by": "time"},
        status="待确认",
        zh=("提现待确认收款", "{amount_fen} 提现待你确认收款。"),
        en=("Confirm your withdrawal", "{amount_fen} waits for you to confirm it."),
    ),
    "withdrawal_paid": Words(
        target="withdrawal",
        fields={"amount_fen": "money", "ended_at": "time"},
        status="已到账",
        zh=("提现已到账", "{amount_fen} 已打款。"),
        en=("Your withdrawal was paid", "{amount_fen} was paid to you."),
    ),
    "withdrawal_failed": Words(
        target="withdrawal",
        fields={"amount_fen": "money", "ended_at": "time"},
        status="提现失败",
        zh=("提现未成功", "{amount_fen} 已退回余额。"),
        en=("Your withdrawal did not succeed", "{amount_fen} is back in your balance."),
    ),
    "checkin_reminder": Words(
        target="checkin",
        fields={"about": "text"},
        status="待打卡",
        zh=("该打卡了", "「{about}」今天还没有打卡。"),
        en=("Time to check in", "You have not checked in to “{about}” yet."),
    ),
    "refund_done": Words(
        target="order",
        fields={"about": "text", "amount_fen": "money", "done_at": "time"},
        status="已退款",
        zh=("退款成功", "「{about}」已退款 {amount_fen}。"),
        en=("Your money is back", "{amount_fen} of “{about}” was refunded."),
    ),
}
ASKED_AFTER: Mapping[Tap, tuple[Kind, ...]] = {
    "group_join": ("group_filled", "group_expiring", "group_failed", "refund_done"),
    "checkin": ("checkin_reminder",),
    "coupon_claim": ("coupon_expiring",),
    "withdrawal": ("withdrawal_awaiting", "withdrawal_paid", "withdrawal_failed"),
}
"""Of which kinds somebody may want to be told after a tap, those that matter most first."""


# --- words --------------------------------------------------------------------------------------------------


def fields_of(kind: Kind) -> dict[str, FieldType]:
    """What a template's keywords can be filled with."""
    return {**_ALWAYS, **KINDS[kind].fields}


def said(kind: Kind, data: Mapping[str, Any], *, lang: str, zone: ZoneInfo) -> tuple[str, str]:
    """The title and the text of a notification, for people."""
    words = KINDS[kind]
    title, text = words.zh if lang == "zh" else words.en
    shown = {name: _SHOWN[form](data.get(name), zone) for name, form in words.fields.items()}
    return title, text.format_map(shown)


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _moment(at: int | None, zone: ZoneInfo) -> str:
    if at is None:
        return ""
    local = datetime.fromtimestamp(at, zone)
    return f"{local.year}年{local.month}月{local.day}日 {local:%H:%M}"


def _clock(at: int | None, zone: ZoneInfo) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, zone):%m-%d %H:%M}"


_SHOWN: Mapping[FieldType, Callable[[Any, ZoneInfo], str]] = {
    "text": lambda value, zone: str(value or ""),
    "phrase": lambda value, zone: str(value or ""),
    "code": lambda value, zone: str(value or ""),
    "number": lambda value, zone: str(value or 0),
    "money": lambda value, zone: f"¥{_yuan(value or 0)}",
    "time": _clock,
}


# --- keywords -----------------------------------------------------------------------------------------------

_KEYWORD = re.compile(
    r"(thing|number|letter|symbol|character_string|time|date|amount|phone_number|car_number|name|phrase)"
    r"[0-9]{1,3}"
)
_TAKES: Mapping[str, frozenset[FieldType]] = {
    "thing": frozenset({"text", "phrase", "number", "money", "time", "code"}),
    "phrase": frozenset({"phrase"}),
    "number": frozenset({"number", "money"}),
    "character_string": frozenset({"code", "number"}),
    "amount": frozenset({"money"}),
    "time": frozenset({"time"}),
    "date": frozenset({"time"}),
}
"""What type of field a keyword can be filled with; the others take fixed text alone."""
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_HOUR = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?"
_DAY = r"(\d{4}年)?\d{1,2}月(\d{1,2}日)?|\d{4}年|\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?"
_FITS = {
    "thing": r"[^\x00-\x1f\x7f]{1,20}",
    "number": r"(?=.{1,32}$)\d+(\.\d+)?",
    "letter": r"[A-Za-z]{1,32}",
    "symbol": rf"[^A-Za-z0-9{_HAN}\x00-\x1f\x7f]{{1,5}}",
    "character_string": rf"[^{_HAN}\x00-\x1f\x7f]{{1,32}}",
    "time": rf"(({_DAY}) )?{_HOUR}(~(({_DAY}) )?{_HOUR})?",
    "date": rf"({_DAY})( {_HOUR})?(~({_DAY})( {_HOUR})?)?",
    "amount": r"[¥￥$€£]?\d{1,10}(\.\d+)?元?",
    "phone_number": r"[0-9+*#() -]{1,17}",
    "car_number": rf"(?=.{{1,8}}$)[{_HAN}]?[A-Z0-9]*[{_HAN}]?",
    "name": rf"(?=.*[{_HAN}])[{_HAN}A-Za-z·]{{1,10}}|[A-Za-z .·'-]{{1,20}}",
    "phrase": rf"[{_HAN}]{{1,5}}",
}
"""Expressions that are compiled when they are first asked, which takes a function that starts too long."""
EMPTY = "无"
"""What stands for nothing: WeChat refuses an empty value."""


def keyword_type(keyword: str) -> str | None:
    """The type that a keyword such as ``thing1`` begins with; None when WeChat has no such type."""
    known = _KEYWORD.fullmatch(keyword)
    return known[1] if known else None


def why_not(kind: Kind, keyword: str, source: str) -> str | None:
    """Why a keyword cannot be filled with this field, or ``=`` and a fixed text; None when it can."""
    form = keyword_type(keyword)
    if form is None:
        return "no keyword of WeChat's"
    if source.startswith(LITERAL):
        return None if fits(form, source[1:]) else f"not what WeChat takes for {form}"
    field = fields_of(kind).get(source)
    if field is None:
        return "no field of this kind"
    return None if field in _TAKES.get(form, frozenset()) else f"a {field} does not go into {form}"


def fits(form: str, text: str) -> bool:
    """Whether WeChat takes this text for a keyword of this type."""
    return re.fullmatch(_FITS[form], text) is not None


def filled(form: str, field: FieldType, value: Any, *, zone: ZoneInfo) -> str:
    """A field's value as a keyword of this type takes it: cut where it is too long, never empty."""
    if field == "time":
        text = _moment(value, zone)
    elif field == "money":
        text = _yuan(value or 0) + ("元" if form in ("amount", "thing") else "")
    else:
        text = str(value if value is not None else "")
    text = re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()
    return _cut(form, text) or EMPTY


def _cut(form: str, text: str) -> str:
    if form == "thing":
        return text if len(text) <= 20 else text[:19] + "…"
    return text[:32]


# --- quiet hours --------------------------------------------------------------------------------------------


def minute_of(clock: str) -> int:
    """``HH:MM`` as a minute of the day."""
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def quiet_until(now: int, *, begins: str, ends: str, zone: ZoneInfo) -> int | None:
    """When the quiet hours that it is in end; None when it is in none. They may go over midnight."""
    local = datetime.fromtimestamp(now, zone)
    minute, first, last = local.hour * 60 + local.minute, minute_of(begins), minute_of(ends)
    inside = first <= minute < last if first <= last else (minute >= first or minute < last)
    if not inside:
        return None
    day = local.date() + timedelta(days=1 if minute >= last else 0)
    return int(datetime(day.year, day.month, day.day, last // 60, last % 60, tzinfo=zone).timestamp())
