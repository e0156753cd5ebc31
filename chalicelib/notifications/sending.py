"""The rules of sending by WeChat: one consent for one message, taken before WeChat is asked.

A message that begins takes its consent, its place in the member's day and the word "sending" in one transaction; a
reply of that which is lost is read again, under the name of the run. What WeChat may have got counts as sent, so
that nobody gets two messages for one consent. Where it is known that WeChat did not send it, the message keeps its
consent and waits. Sending is by POST /cgi-bin/message/subscribe/send (developers.weixin.qq.com,
subscribeMessage.send): 43101 the member allows none; 47003 a keyword does not fit; 40037 no such template; 41030 no
such page; 40003 no such openid; 45009 the day's calls are used up.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.core import clock, config, due, table
from chalicelib.core.clock import DAY, MINUTE
from chalicelib.core.errors import Busy, NotFound
from chalicelib.core.table import Write
from chalicelib.core.telemetry import count, logger
from chalicelib.members import rules as member_rules
from chalicelib.members import service as members
from chalicelib.notifications import consents, preferences, rules, service, templates
from chalicelib.notifications.models import Consent, Day, Notification
from chalicelib.notifications.schemas import MessageTemplate, NotificationSettings
from chalicelib.notifications.service import kind_of
from chalicelib.operators import stuck
from chalicelib.operators.stuck import ByHand, Trouble
from chalicelib.wechat import client, tokens
from chalicelib.wechat.budgets import WeChatBudgetSpent

JOB = service.JOB
PATH = "/cgi-bin/message/subscribe/send"
GIVEN_UP_AFTER_S = 120
"""Longer than a call takes with its token and its retries: whoever was sending by then is gone."""
ROUNDS = 8
NO_CONSENT = 43101
SET_UP_WRONG = {
    47003: "a keyword's value is not what WeChat takes",
    40037: "WeChat does not know the template",
    41030: "WeChat does not know the page",
}


class _Moved(Exception):
    """Somebody else deals with it."""


class _NoneLeft(Exception):
    """The consent was used by another message."""


class _DayFull(Exception):
    """The member has had as many messages today as they want."""


class _AllowedMore(Exception):
    """The member has allowed the template again meanwhile."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How a message can go: by this program's template, to this openid."""

    program_id: str
    openid: str
    template: MessageTemplate

    @property
    def key(self) -> tuple[str, str]:
        """What a consent is for."""
        return self.program_id, self.template.template_id


class _Sending(msgspec.Struct, frozen=True, kw_only=True):
    """One message, this run's name, and what its member wants."""

    row: Notification
    by: str
    now: int
    wants: NotificationSettings = msgspec.field(default_factory=NotificationSettings)

    @property
    def key(self) -> table.Key:
        return self.row.pk, self.row.sk


@due.handles(JOB)
def send_due(entry: due.Entry, now: int) -> None:
    """Send a message that is due."""
    send(entry, by=secrets.token_hex(8), now=now)


def send(entry: due.Entry, *, by: str, now: int) -> None:
    """Send a message, put it off, or leave it to the inbox; ``by`` is the name of this run, and no other's.

    Raises:
        WeChatUnavailable, WeChatMisconfigured, Busy: it is tried again later.
    """
    row = table.get(Notification, (entry.pk, entry.sk))
    if row is None or row.due_shard != entry.due_shard or row.state not in ("due", "taken", "sending"):
        return
    one = _Sending(row=row, by=by, now=now, wants=preferences.of(row.member_id))
    if row.state == "sending":
        _given_up(one)
    elif why := _unwanted(one):
        _left_to_inbox(one, why)
    elif quiet := _quiet_until(one):
        _put_off(one, at=quiet)
    else:
        _by_some_way(one)


def _unwanted(one: _Sending) -> str | None:
    if one.row.about in one.wants.off:
        return "off"
    return "too_late" if one.row.until is not None and one.row.until <= one.now else None


def _quiet_until(one: _Sending) -> int | None:
    quiet = one.wants.quiet
    if quiet is None:
        return None
    return rules.quiet_until(one.now, begins=quiet.from_, ends=quiet.to, zone=config.settings().zone)


def _given_up(one: _Sending) -> None:
    """Who began to send it is gone, and whether WeChat got it is not known."""
    if one.now - (one.row.sending_at or 0) >= GIVEN_UP_AFTER_S:
        _ended(one, "sent", why="unknown", by=one.row.sender)


# --- the way ------------------------------------------------------------------------------------------------


def _by_some_way(one: _Sending) -> None:
    for _ in range(ROUNDS):
        way, consent = _way(one)
        if way is None:
            _left_to_inbox(one, "no_consent" if one.row.state == "due" else "no_template")
            return
        # Without a token nothing is sent, so that is known before a consent is taken.
        tokens.current(members.app(way.program_id, now=one.now), now=one.now)
        try:
            _begin(one, way, consent)
        except _NoneLeft:
            continue
        except _DayFull:
            _left_to_inbox(one, "day_full")
            return
        except _Moved:
            return
        _ask_wechat(one, way, accepts=(consent or one.row).accepts or 0)
        return
    raise Busy


def _way(one: _Sending) -> tuple[Way | None, Consent | None]:
    """The way that the message's consent is for, or, as it has none, one with a consent left."""
    ways = _ways(one)
    if one.row.state == "taken":
        mine = (one.row.program_id, one.row.template_id)
        return next((way for way in ways if way.key == mine), None), None
    found = consents.of(one.row.member_id, [way.key for way in ways])
    for way in ways:
        consent = found[way.key]
        if consent is not None and consent.left >= 1:
            return way, consent
    return None, None


def _ways(one: _Sending) -> list[Way]:
    """The programs that can tell the member of it, their own first; none for who is blocked or gone."""
    told = templates.of_kind(one.row.about, now=one.now)
    try:
        member = members.show(one.row.member_id)
    except NotFound:
        return []
    if member.state != "active":
        return []
    programs = sorted(set(told) & set(members.programs(now=one.now)))
    programs.sort(key=lambda program_id: program_id != member.program_id)
    proofs = member.identities or ()
    found = [(program_id, member_rules.openid_in(program_id, proofs)) for program_id in programs]
    return [Way(program_id=there, openid=openid, template=told[there]) for there, openid in found if openid]


# --- beginning ----------------------------------------------------------------------------------------------


def _begin(one: _Sending, way: Way, consent: Consent | None) -> None:
    """From here on WeChat may be asked, by this run alone.

    Raises:
        _Moved: another run has it. _NoneLeft, _DayFull. Busy: it is not known; then it counts as sent in a while.
    """
    writes = [_begun(one, way, consent)]
    if consent is not None:
        writes += [_consent_taken(one, way, consent), _day_counted(one)]
    try:
        table.transact(writes)
    except (_Moved, Busy):
        found = table.get(Notification, one.key)
        if found is None or found.state != "sending" or found.sender != one.by:
            raise


def _begun(one: _Sending, way: Way, consent: Consent | None) -> Write:
    actions = [
        Notification.state.set("sending"),
        Notification.sender.set(one.by),
        Notification.sending_at.set(one.now),
        Notification.program_id.set(way.program_id),
        Notification.template_id.set(way.template.template_id),
        *([Notification.accepts.set(consent.accepts)] if consent is not None else []),
    ]
    as_read = (Notification.state == one.row.state) & (Notification.due_shard == one.row.due_shard)
    return table.update(Notification, one.key, *actions, when=as_read, refuse=lambda _: _Moved())


def _consent_taken(one: _Sending, way: Way, consent: Consent) -> Write:
    # With the taps as they were read: what WeChat says about them later is about these.
    left = (Consent.left >= 1) & (Consent.accepts == consent.accepts)
    key = Consent.key(one.row.member_id, *way.key)
    return table.update(Consent, key, Consent.left.add(-1), when=left, refuse=lambda _: _NoneLeft())


def _consent_back(row: Notification) -> list[Write]:
    """The write that gives back what a message has taken and not used; none if it has not."""
    if row.state != "taken" or row.program_id is None or row.template_id is None:
        return []
    key = Consent.key(row.member_id, row.program_id, row.template_id)
    return [table.upsert(Consent, key, Consent.left.add(1), Consent.accepts.add(0))]


def _day_counted(one: _Sending) -> Write:
    day = clock.local_day(one.now, zone=config.settings().zone)
    if one.wants.a_day < 1:
        raise _DayFull
    key, ttl = Day.key(one.row.member_id, day), one.now + 2 * DAY
    return table.counted(Day, key, at_most=one.wants.a_day, ttl=ttl, refuse=lambda _: _DayFull())


# --- asking WeChat ------------------------------------------------------------------------------------------


def _ask_wechat(one: _Sending, way: Way, *, accepts: int) -> None:
    app, body = (
        members.app(way.program_id, now=one.now),
        message(one.row, way, lang=one.wants.lang, now=one.now),
    )
    try:
        client.call(app, "POST", PATH, body=body, budget="message", now=one.now)
    except client.Unanswered:
        _ended(one, "sent", why="unknown")
    except client.WeChatRefused as refused:
        _refused(one, way, refused.errcode, accepts=accepts)
    except (WeChatBudgetSpent, client.WeChatTooOften) as spent:
        at = spent.details.get("until", one.now + MINUTE)
        _kept(one, *due.moved(job=JOB, pk=one.row.pk, at=at))
    except (client.WeChatUnavailable, client.WeChatMisconfigured):
        _kept(one)
        raise
    else:
        _ended(one, "sent")


def message(row: Notification, way: Way, *, lang: str, now: int) -> dict[str, Any]:
    """What WeChat is sent."""
    program = members.program(way.program_id, now=now)
    page = way.template.page or f"{program.landing_page}?target={{kind}}&id={{id}}"
    target = rules.KINDS[kind_of(row)].target
    return {
        "touser": way.openid,
        "template_id": way.template.template_id,
        "page": page.replace("{kind}", target).replace("{id}", row.target_id).removeprefix("/"),
        "data": _data(row, way.template.keywords, lang=lang),
        "miniprogram_state": program_state(config.settings().stage),
        "lang": "zh_CN" if lang == "zh" else "en_US",
    }


def program_state(stage: str) -> str:
    """Which release of the mini-program a message opens: ``formal``, ``trial`` or ``developer``."""
    if stage.startswith("prod"):
        return "formal"
    return "developer" if stage.startswith(("dev", "local")) else "trial"


def _data(row: Notification, keywords: Mapping[str, str], *, lang: str) -> dict[str, dict[str, str]]:
    zone, kind = config.settings().zone, kind_of(row)
    title, text = rules.said(kind, row.data, lang=lang, zone=zone)
    common = {"title": title, "text": text, "status": rules.KINDS[kind].status}
    known = {**row.data, **common, "target_id": row.target_id, "told_at": row.told_at}
    types = rules.fields_of(kind)
    data = {}
    for keyword, source in keywords.items():
        form = rules.keyword_type(keyword) or ""
        fixed = source.removeprefix(rules.LITERAL) if source.startswith(rules.LITERAL) else None
        value = fixed or rules.filled(form, types[source], known.get(source), zone=zone)
        data[keyword] = {"value": value}
    return data


def _refused(one: _Sending, way: Way, errcode: int, *, accepts: int) -> None:
    count("MessagesRefused")
    if errcode == NO_CONSENT:
        _closed(one, way, accepts=accepts)
    elif errcode in SET_UP_WRONG:
        why = f"{errcode}: {SET_UP_WRONG[errcode]} ({one.row.about}, {way.program_id})"
        _kept(one, *due.handed_over(JOB, at=one.now, why=why))
    else:
        _ended(one, "refused", why=f"wechat_{errcode}")


def _closed(one: _Sending, way: Way, *, accepts: int) -> None:
    """At WeChat the member allows none of this template: so here, unless they have tapped since it was taken.

    Then another way is looked for.
    """
    again = due.moved(job=JOB, pk=one.row.pk, at=one.now + MINUTE)
    freed = _mine(one, Notification.state.set("due"), *again)
    key, as_taken = Consent.key(one.row.member_id, *way.key), Consent.accepts == accepts
    shut = table.update(Consent, key, Consent.left.set(0), when=as_taken, refuse=lambda _: _AllowedMore())
    try:
        _quietly(freed, shut)
    except _AllowedMore:
        _quietly(freed)


# --- how it goes on -----------------------------------------------------------------------------------------


def _mine(one: _Sending, *actions: Action, by: str | None = None) -> Write:
    """The write of this run about the message that it is sending."""
    still = (Notification.state == "sending") & (Notification.sender == (by or one.by))
    return table.update(Notification, one.key, *actions, when=still, refuse=lambda _: _Moved())


def _kept(one: _Sending, *actions: Action) -> None:
    """WeChat did not send it: it keeps its consent, and waits."""
    _quietly(_mine(one, Notification.state.set("taken"), *actions))


def _ended(one: _Sending, state: str, *, why: str | None = None, by: str | None = None) -> None:
    told = [Notification.why.set(why)] if why else []
    _quietly(_mine(one, Notification.state.set(state), *told, *due.emptied(), by=by))


def _put_off(one: _Sending, *, at: int) -> None:
    moved = due.moved(job=JOB, pk=one.row.pk, at=at)
    as_read = (Notification.state == one.row.state) & (Notification.due_shard == one.row.due_shard)
    _quietly(table.update(Notification, one.key, *moved, when=as_read, refuse=lambda _: _Moved()))


def _left_to_inbox(one: _Sending, why: str) -> None:
    """No message; a consent that it held is there for another."""
    actions = (Notification.state.set("inbox"), Notification.why.set(why), *due.emptied())
    as_read = (Notification.state == one.row.state) & (Notification.due_shard == one.row.due_shard)
    left = table.update(Notification, one.key, *actions, when=as_read, refuse=lambda _: _Moved())
    _quietly(left, *_consent_back(one.row))


def _quietly(*writes: Write) -> None:
    try:
        table.transact(writes)
    except _Moved:
        logger.info("the message was moved by another", key=writes[0].row.sk)


# --- what a person decides ----------------------------------------------------------------------------------


def _cancelled(row: Notification, hand: ByHand) -> None:
    """It stays in the inbox alone, and its consent is free."""
    told = stuck.emptied(row, hand, Notification.state.set("inbox"), Notification.why.set("cancelled"))
    as_read = told.also(Notification.state == row.state)
    table.transact([as_read, *_consent_back(row), hand.audit])


def _tell(rows: Sequence[Notification]) -> list[stuck.Story]:
    names = ("notification_id", "about", "program_id", "template_id", "target_id", "told_at")
    return [
        stuck.Story(member_id=row.member_id, details={name: getattr(row, name) for name in names})
        for row in rows
    ]


stuck.trouble(
    Trouble(
        job=JOB,
        en="A message that WeChat does not take as its template is set up, or cannot be asked to send",
        zh="微信未接收的订阅消息（模板配置有误或接口不可用）",
        urgency=2,
        tell=_tell,
        cancel=_cancelled,
        may_cancel=lambda row: row.state != "sending",
    )
)
