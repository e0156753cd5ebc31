"""What WeChat proves of a member besides who they are: a phone number, a group chat they are in, a private message.

    entity       pk                sk        written by    read by
    ChatMember   CHATGROUP#<cgr>   <mbr_>    chat_group    whoever scopes something by a group chat
    owner: ChatMember: <mbr_>#chats

A group chat is known by an id derived from WeChat's opengid, which is of one program and one group.
"""

from typing import Any

from chalicelib.core import ids, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.table import IntAttribute, Key, Row
from chalicelib.core.telemetry import logger
from chalicelib.members import service as members
from chalicelib.wechat import budgets, client, opendata
from chalicelib.wechat.client import App

BELIEVED_FOR_S = 90 * DAY


class ChatMember(Row, discriminator="chat_member"):
    """A member opened the program from this group chat, last at ``seen_at``."""

    seen_at = IntAttribute()

    @staticmethod
    def key(group_id: str, member_id: str) -> Key:
        """One row for a group and a member."""
        return f"CHATGROUP#{group_id}", member_id


class PhoneCodeInvalid(Conflict):
    """WeChat does not know this code, or it was used already: a code serves once, for five minutes."""

    code = "phone_code_invalid"
    en = "Please tap again to share your phone number."
    zh = "手机号授权已失效，请重新点击。"
    advice = "Have the person tap the getPhoneNumber button again, and send the new code."


def phone(code: str, *, member_id: str, app: App, now: int) -> members.Member:
    """The member with the phone number that they let WeChat tell.

    https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/getPhoneNumber.html: each success costs
    the merchant ¥0.03, so that a member has five a day, and a program 20,000.

    Raises:
        PhoneCodeInvalid, PhoneTaken, WeChatBudgetSpent, and what `client.call` raises.
    """
    budgets.take(f"{app.appid}#{member_id}", "phone_of_member", now=now)
    try:
        told = client.call(
            app, "POST", "/wxa/business/getuserphonenumber", body={"code": code}, budget="phone", now=now
        )
    except client.WeChatRefused as refused:
        raise PhoneCodeInvalid if refused.errcode == 40029 else refused from refused
    info = told["phone_info"]
    return members.add_phone(member_id, f"+{info['countryCode']}{info['purePhoneNumber']}")


def chat_group(encrypted_data: str, iv: str, *, member_id: str, program_id: str, app: App, now: int) -> str:
    """The id of the group chat that a member came from, noted as one that they are in.

    https://developers.weixin.qq.com/miniprogram/dev/api/open-api/group/wx.getGroupEnterInfo.html

    Raises:
        SessionKeyStale, Invalid: it is nothing that WeChat encrypted for them.
    """
    told = _opened(encrypted_data, iv, member_id=member_id, program_id=program_id, app=app)
    if not isinstance(told.get("openGId"), str):
        raise NotFound
    group_id = ids.derived("cgr", app.appid, told["openGId"])
    listed = table.listed(f"{member_id}#chats", at=now, as_=group_id)
    told = {"seen_at": now, "ttl": now + BELIEVED_FOR_S, **listed}
    seen = [getattr(ChatMember, name).set(value) for name, value in told.items()]
    earlier = ChatMember.seen_at.does_not_exist() | (ChatMember.seen_at < now)
    try:
        table.apply(
            table.upsert(
                ChatMember,
                ChatMember.key(group_id, member_id),
                *seen,
                when=earlier,
                refuse=lambda _: _Noted(),
            )
        )
    except _Noted:
        logger.info("the group is known", group=group_id)
    return group_id


class _Noted(Exception):
    """It was seen in this second already."""


def in_chat_group(member_id: str, group_id: str, *, now: int) -> bool:
    """Whether WeChat showed in the last 90 days that a member is in a group chat."""
    row = table.get(ChatMember, ChatMember.key(group_id, member_id))
    return row is not None and now - row.seen_at < BELIEVED_FOR_S


def people_of(group_id: str, *, now: int) -> list[str]:
    """Whom WeChat showed in the last 90 days to be in a group chat, which has 500 people at most."""
    rows = table.query_all(ChatMember, ChatMember.key(group_id, "")[0])
    return [row.sk for row in rows if now - row.seen_at < BELIEVED_FOR_S]


def private_message(
    encrypted_data: str, iv: str, *, activity_id: str, member_id: str, program_id: str, app: App
) -> bool:
    """Whether a member is the one whom a private message under ``activity_id`` was sent to.

    The phone's own ``valid`` can be forged; what is encrypted cannot:
    https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/share/private-message.html

    Raises:
        SessionKeyStale, Invalid: it is nothing that WeChat encrypted for them.
    """
    told = _opened(encrypted_data, iv, member_id=member_id, program_id=program_id, app=app)
    return told.get("activityId") == activity_id


def _opened(encrypted_data: str, iv: str, *, member_id: str, program_id: str, app: App) -> dict[str, Any]:
    key = members.session_key(member_id, program_id=program_id)
    return opendata.opened(session_key=key, encrypted_data=encrypted_data, iv=iv, appid=app.appid)
