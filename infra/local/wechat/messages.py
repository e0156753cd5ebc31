"""Messages: subscribe messages to phones, and cards in chats that change (动态消息).

POST /cgi-bin/message/subscribe/send as developers.weixin.qq.com has it (miniprogram/dev/api-backend/open-api/
subscribe-message/subscribeMessage.send.html): 40003 a wrong openid, 40037 a wrong template, 41030 a wrong page,
47003 a value that does not fit its keyword (named as in "argument invalid! data.thing3.value is emtpy",
community/personal/oCJUsw2H_Xb82jlNMR_rIRou9G2k/question), 43101 "user refuse to accept the msg".

GET /cgi-bin/message/wxopen/activityid/create and POST /cgi-bin/message/wxopen/updatablemsg/send as the same site
has them (.../open-api/updatable-message/, .../framework/open-ability/share/updatable-message.html): 24 hours, and
from state 0 to 0, 1 and 2, from 1 to 2.

Not known, and chosen here: the order in which things are judged; that a page is refused only when it is no path;
the codes of updatablemsg/send, 47501 for an activity that is not known or over, 47502 for a state that cannot be
come to.

A phone allows a template by POST /_simulator/subscribe {openid, template_id, n}; templates are those that some
phone ever allowed, or that were declared so with n = 0.
"""

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.wechat.frame import Answer, Platform, Request, endpoint, refusal
from infra.local.wechat.login import Logins

LIVES_S = 24 * 3600
_TIME = r"\d{1,2}:\d{2}(:\d{2})?"
_DATE = r"(\d{4}[年./-])?\d{1,2}([月./-](\d{1,2}日?)?)?"
_VALUES = {
    "thing": r".{1,20}",
    "number": r"[\d.]{1,32}",
    "letter": r"[A-Za-z]{1,32}",
    "symbol": r"[^A-Za-z0-9\u4e00-\u9fff]{1,5}",
    "character_string": r"[^\u4e00-\u9fff]{1,32}",
    "time": rf"({_DATE} )?{_TIME}(~({_DATE} )?{_TIME})?",
    "date": rf"{_DATE}( {_TIME})?(~{_DATE}( {_TIME})?)?",
    "amount": r"\D?\d{1,10}(\.\d+)?元?",
    "phone_number": r"[\d+() -]{1,17}",
    "car_number": r".{1,8}",
    "name": r"[\u4e00-\u9fffA-Za-z·]{1,10}|[A-Za-z .·'-]{1,20}",
    "phrase": r"[\u4e00-\u9fff]{1,5}",
}


@dataclass
class Messages:
    """What phones allow, by openid and template; what they were shown; cards by activity."""

    allowed: dict[tuple[str, str], int] = field(default_factory=dict)
    shown: list[dict[str, Any]] = field(default_factory=list)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)


@endpoint("POST", "/_simulator/subscribe")
def subscribe(platform: Platform, request: Request) -> Mapping[str, Any]:
    """A phone allows a template ``n`` times more."""
    body = request.json
    key = (str(body.get("openid", "")), str(body.get("template_id", "")))
    with platform.lock:
        allowed = platform.of(Messages).allowed
        allowed[key] = allowed.get(key, 0) + int(body.get("n", 1))
        platform.tell("subscribed", openid=key[0], template_id=key[1], left=allowed[key])
        return {"errcode": 0, "left": allowed[key]}


@endpoint("POST", "/cgi-bin/message/subscribe/send", token=True)
def send(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """Show a message on a phone, for one consent."""
    body = request.json
    with platform.lock:
        messages = platform.of(Messages)
        if refused := _why_not(platform, messages, request.appid, body):
            return refused
        key = (body["touser"], body["template_id"])
        if messages.allowed.get(key, 0) < 1:
            return refusal(43101, "user refuse to accept the msg")
        messages.allowed[key] -= 1
        messages.shown.append(body)
        platform.tell(
            "message", **{name: body.get(name) for name in ("touser", "template_id", "page", "data")}
        )
    return {"errcode": 0, "errmsg": "ok", "msgid": secrets.randbelow(10**18)}


def _why_not(platform: Platform, messages: Messages, appid: str, body: Mapping[str, Any]) -> Answer | None:
    person = platform.of(Logins).people.get(str(body.get("touser")))
    if person is None or person[0] != appid:
        return refusal(40003, "invalid openid")
    if body.get("template_id") not in {template_id for _, template_id in messages.allowed}:
        return refusal(40037, "invalid template_id")
    if not re.fullmatch(r"[\w./-]+(\?\S*)?", str(body.get("page", "index"))):
        return refusal(41030, "invalid page")
    return _wrong_value(body.get("data"))


def _wrong_value(data: Any) -> Answer | None:
    if not isinstance(data, dict) or not data:
        return refusal(47003, "argument invalid!")
    for keyword, told in data.items():
        value = str(told.get("value", "")) if isinstance(told, dict) else ""
        if not value:
            return refusal(47003, f"argument invalid! data.{keyword}.value is emtpy")
        if not re.fullmatch(_VALUES.get(keyword.rstrip("0123456789"), r"(?!)"), value):
            return refusal(47003, f"argument invalid! data.{keyword}.value invalid")
    return None


@endpoint("GET", "/cgi-bin/message/wxopen/activityid/create", token=True)
def create_activity(platform: Platform, request: Request) -> Mapping[str, Any]:
    """A card to be shared, good for a day."""
    activity_id, until = f"{secrets.token_hex(20)}", int(time.time()) + LIVES_S
    with platform.lock:
        platform.of(Messages).cards[activity_id] = {
            "appid": request.appid,
            "until": until,
            "state": 0,
            "told": [],
        }
        platform.tell("activity", activity_id=activity_id, until=until)
    return {"errcode": 0, "errmsg": "ok", "activity_id": activity_id, "expiration_time": until}


@endpoint("POST", "/cgi-bin/message/wxopen/updatablemsg/send", token=True)
def change_card(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """Let all copies of a card show something else."""
    body = request.json
    state, parameters = body.get("target_state"), _parameters(body)
    with platform.lock:
        card = platform.of(Messages).cards.get(str(body.get("activity_id")))
        if card is None or card["appid"] != request.appid:
            return refusal(47501, "invalid activity_id")
        if card["until"] <= time.time():
            return refusal(47504, "activity_id is expired")
        if state not in {0: (0, 1, 2), 1: (2,), 2: ()}[card["state"]] or _missing(state, parameters):
            return refusal(47502, "invalid target_state")
        card["state"] = state
        card["told"].append((state, parameters))
        platform.tell("card", activity_id=body["activity_id"], state=state, **parameters)
    return {"errcode": 0, "errmsg": "ok"}


def _parameters(body: Mapping[str, Any]) -> dict[str, str]:
    info = body.get("template_info")
    found = info.get("parameter_list", []) if isinstance(info, dict) else []
    return {str(one.get("name")): str(one.get("value")) for one in found if isinstance(one, dict)}


def _missing(state: Any, parameters: Mapping[str, str]) -> bool:
    wanted = {0: {"member_count", "room_limit"}, 1: {"path", "version_type"}}.get(state, set())
    return not wanted <= set(parameters)
