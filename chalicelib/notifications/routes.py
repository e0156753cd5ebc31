"""HTTP for members: the inbox, what WeChat may send, consents, and the card of a group in a chat."""

from chalicelib.core import asking, config, cursors, doors
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Api, Call, Listing
from chalicelib.notifications import activities, consents, preferences, rules, service
from chalicelib.notifications.models import Notification
from chalicelib.notifications.schemas import (
    ActivityAnswer,
    AfterTap,
    Allowed,
    Ask,
    Inbox,
    NotificationAnswer,
    NotificationSettings,
    NotificationTarget,
    Seen,
    SettingsAnswer,
    Tapped,
    Unread,
)
from chalicelib.wechat.budgets import WeChatBudgetSpent
from chalicelib.wechat.client import (
    Unanswered,
    WeChatMisconfigured,
    WeChatRefused,
    WeChatTooOften,
    WeChatUnavailable,
)

api = Api(__name__)


@api.get("/v1/me/notifications", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_notifications(call: Call, query: Listing) -> Inbox:
    """What I was told, newest first, and how many of it I have not seen."""
    where = f"notifications#{call.member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    before = after["before"]["S"] if after else None
    rows, following = service.listed(call.member_id, limit=query.limit, before=before)
    next_page = {"before": {"S": following}} if following else None
    known = {row.sk for row in rows if row.seen_at is not None}
    is_all = after is None and following is None
    return Inbox(
        items=[_line(row, call) for row in rows],
        unread=len(rows) - len(known) if is_all else service.unread(call.member_id, but=known),
        next=cursors.seal(next_page, where=where, now=call.now),
        now=call.now,
    )


@api.post("/v1/me/notifications/seen", door=doors.MEMBER)
def see(call: Call, body: Seen) -> Unread:
    """I have seen these; seen before, nothing changes."""
    earlier = [] if body.before is None else service.unseen_before(call.member_id, body.before)
    seen = {*body.ids, *earlier}
    service.see(call.member_id, seen, now=call.now)
    return Unread(unread=service.unread(call.member_id, but=service.sort_keys(seen)), now=call.now)


@api.get("/v1/me/notification-settings", door=doors.MEMBER)
def show_settings(call: Call) -> SettingsAnswer:
    """What WeChat may send me, and when."""
    return SettingsAnswer(settings=preferences.of(call.member_id), kinds=list(rules.KINDS), now=call.now)


@api.put("/v1/me/notification-settings", door=doors.MEMBER)
def edit_settings(call: Call, body: NotificationSettings) -> SettingsAnswer:
    """Say anew what WeChat may send me, and when."""
    preferences.say(call.member_id, body)
    return SettingsAnswer(settings=body, kinds=list(rules.KINDS), now=call.now)


@api.get("/v1/subscriptions/ask", door=doors.MEMBER)
def ask(call: Call, query: AfterTap) -> Ask:
    """The templates to ask me for after what I did; hand them to wx.requestSubscribeMessage in the next tap."""
    wanted = consents.ask(
        after=query.after, member_id=call.member_id, program_id=_program(call), now=call.now
    )
    return Ask(template_ids=wanted, now=call.now)


def before(tap: asking.Tap, call: Call) -> list[str]:
    """The same, for the pages that a tap may follow."""
    return consents.ask(after=tap, member_id=call.member_id, program_id=call.program_id, now=call.now)


@api.post("/v1/me/subscriptions", door=doors.MEMBER, refuses=[Invalid])
def tap(call: Call, body: Tapped) -> Allowed:
    """What I answered WeChat; the same tap again counts nothing."""
    left = consents.tapped(
        body.results,
        tap_id=body.tap_id,
        member_id=call.member_id,
        program_id=_program(call),
        now=call.now,
    )
    return Allowed(left=left, now=call.now)


@api.post(
    "/v1/groups/{group_id}/activity",
    door=doors.MEMBER,
    refuses=[
        NotFound,
        WeChatBudgetSpent,
        WeChatUnavailable,
        Unanswered,
        WeChatRefused,
        WeChatTooOften,
        WeChatMisconfigured,
    ],
)
def share_activity(call: Call, group_id: str) -> ActivityAnswer:
    """The group's card, for wx.updateShareMenu, before it is shared in a chat; made once for a group."""
    row, group = activities.share(group_id, program_id=_program(call), now=call.now)
    return ActivityAnswer(
        activity_id=row.activity_id if row.expires_at > call.now else None,
        activity_expires_at=row.expires_at,
        template_id=activities.TEMPLATE,
        target_state=activities.target_state(group),
        member_count=group.size - group.missing,
        room_limit=group.size,
        now=call.now,
    )


def _program(call: Call) -> str:
    assert call.caller.session is not None
    return call.caller.session.program_id


def _line(row: Notification, call: Call) -> NotificationAnswer:
    kind = service.kind_of(row)
    title, text = rules.said(kind, row.data, lang=call.lang, zone=config.settings().zone)
    return NotificationAnswer(
        id=row.notification_id,
        kind=kind,
        title=title,
        text=text,
        target=NotificationTarget(kind=rules.KINDS[kind].target, id=row.target_id),
        at=row.told_at,
        seen=row.seen_at is not None,
    )
