"""The rules of checking: at once where WeChat answers, else pending until it does or a person decides.

The text check is miniprogram/dev/OpenApiDoc/sec-center/sec-check/msgSecCheck (version 2: at most 2,500 characters,
somebody who was in the program within two hours; ``suggest`` is pass, review or risky), the picture's is
sec-check/mediaCheckAsync (at most 10 MB, its answer is pushed within 30 minutes as the event wxa_media_check, with
the ``trace_id`` that asking gave). Both on developers.weixin.qq.com.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from chalicelib.core import due, facts, ids, table
from chalicelib.core.clock import DAY, MINUTE
from chalicelib.core.config import settings
from chalicelib.core.errors import Busy, Conflict, TooMany
from chalicelib.core.table import Write
from chalicelib.core.telemetry import logger
from chalicelib.operators import stuck
from chalicelib.operators.stuck import ByHand, Moved, Story, Trouble
from chalicelib.safety.models import Check, Trace
from chalicelib.wechat import client, pushes
from chalicelib.wechat.client import App
from chalicelib.wechat.pushes import Push

JOB = "check_content"
RESULT_WITHIN_S = 40 * MINUTE
STAYS_S = 90 * DAY
PROFILE, COMMENT, FORUM, SOCIAL = 1, 2, 3, 4
"""WeChat's scenes of a text: 资料, 评论, 论坛, 社交日志."""
MEDIA_EVENT = "wxa_media_check"
_PICTURE = 2

State = Literal["approved", "rejected", "pending"]


class ContentRefused(Conflict):
    """WeChat's check says that this must not be shown to others."""

    code = "content_refused"
    en = "This cannot be published. Please word it differently."
    zh = "内容含有不合规信息，请修改后重试。"
    advice = "Let the person edit it; `details.field` says what."


class NotDecided(Exception):
    """WeChat would have a person decide, or cannot decide any more."""


class Writer(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote or uploaded something, and as whom WeChat knows them; without an ``openid`` it cannot be asked."""

    member_id: str
    program_id: str
    app: App | None
    openid: str | None


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be judged: of a room, under a reference that only that room reads."""

    room: str
    ref: str
    field: str
    scene: int = PROFILE


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """``approved``, or ``pending`` with the writes that must go with the thing's own."""

    state: State
    writes: Sequence[Write] = ()


APPROVED = Judged(state="approved")


Person = Callable[[str, str, int], Writer]
Address = Callable[[str, int], str | None]
_person: Person | None = None
_address: Address | None = None


def post(*, person: Person, address: Address) -> None:
    """Post who knows members, (member, program, now) -> Writer, and where an upload is, (id, now) -> URL."""
    global _person, _address  # noqa: PLW0603 - wired once, in app.py
    _person, _address = person, address


def on() -> bool:
    """Whether anything is checked."""
    return settings().content_safety == "wechat"


# --- asking -------------------------------------------------------------------------------------------------


def text(said: str, thing: Thing, writer: Callable[[], Writer], *, now: int) -> Judged:
    """What becomes of a text that somebody wants to show.

    Raises:
        ContentRefused: it must not be shown.
    """
    if not on():
        return APPROVED
    who = writer()
    try:
        verdict = _text_verdict(said, thing.scene, who, now=now)
    except (client.WeChatUnavailable, client.WeChatRefused, TooMany, NotDecided) as undecided:
        logger.warning("a text is checked later", room=thing.room, reason=type(undecided).__name__)
        return Judged(state="pending", writes=[asked(said, "text", thing, who, now=now)])
    if verdict == "rejected":
        raise ContentRefused(field=thing.field)
    return APPROVED


def asked(content: str, what: Literal["text", "media"], thing: Thing, writer: Writer, *, now: int) -> Write:
    """The write that has something checked by the job; asked again, it is the same check."""
    check_id = ids.derived("chk", thing.room, thing.ref, content)
    key = Check.key(check_id)
    told = {
        "state": "pending",
        "check_id": check_id,
        "what": what,
        "room": thing.room,
        "ref": thing.ref,
        "content": content,
        "scene": thing.scene,
        "member_id": writer.member_id,
        "program_id": writer.program_id,
        "asked_at": now,
        "ttl": now + STAYS_S,
        **table.listed(f"{writer.member_id}#checks", at=now, as_=check_id),
    }
    actions = [getattr(Check, name).set(value) for name, value in told.items()]
    waits = (*due.moved(job=JOB, pk=key[0], at=now), Check.trace_id.remove(), Check.by_hand.remove())
    # Said once more after it was decided, it is judged once more; waiting, it goes on waiting.
    anew = Check.pk.does_not_exist() | (Check.state != "pending")
    return table.upsert(Check, key, *actions, *waits, when=anew, refuse=Busy)


def _text_verdict(said: str, scene: int, writer: Writer, *, now: int) -> State:
    if writer.app is None or writer.openid is None:
        raise NotDecided("whoever wrote it is not known to WeChat")
    body = {"content": said, "version": 2, "scene": scene, "openid": writer.openid}
    told = client.call(
        writer.app, "POST", "/wxa/msg_sec_check", body=body, budget="text_check", safe=True, now=now
    )
    return _state(told.get("result", {}))


def _state(result: dict[str, Any]) -> State:
    suggested = result.get("suggest")
    if suggested == "review":
        raise NotDecided(f"WeChat would have a person look, label {result.get('label')}")
    return "approved" if suggested == "pass" else "rejected"


# --- the job ------------------------------------------------------------------------------------------------


@due.handles(JOB)
def check(entry: due.Entry, now: int) -> None:
    """Ask WeChat about what is pending; what it does not decide waits for a person.

    Raises:
        WeChatUnavailable, TooMany: it is asked again later.
    """
    row = table.get(Check, (entry.pk, entry.sk))
    if row is None or row.state != "pending":
        return
    try:
        _check(row, now=now)
    except (NotDecided, client.WeChatRefused) as undecided:
        _hand_over(row, str(undecided), now=now)


def _check(row: Check, *, now: int) -> None:
    assert _person is not None
    writer = _person(row.member_id, row.program_id, now)
    if row.what == "text":
        decide(row, _text_verdict(row.content, row.scene, writer, now=now), now=now)
    elif row.trace_id is not None:
        raise NotDecided("WeChat took it on and did not say what became of it")
    else:
        _send_picture(row, writer, now=now)


def _send_picture(row: Check, writer: Writer, *, now: int) -> None:
    """Have WeChat look at a picture; its answer may be here before what it is an answer to."""
    assert _address is not None
    url = _address(row.content, now)
    if writer.app is None or writer.openid is None or url is None:
        raise NotDecided("there is no picture, or whoever uploaded it is not known to WeChat")
    body = {
        "media_url": url,
        "media_type": _PICTURE,
        "version": 2,
        "scene": row.scene,
        "openid": writer.openid,
    }
    told = client.call(
        writer.app, "POST", "/wxa/media_check_async", body=body, budget="media_check", safe=True, now=now
    )
    trace_id = str(told["trace_id"])
    taken_on = (Check.trace_id.set(trace_id), *due.moved(job=JOB, pk=row.pk, at=now + RESULT_WITHIN_S))
    trace = Trace(*Trace.key(row.program_id, trace_id), check_id=row.check_id, ttl=now + STAYS_S)
    try:
        table.transact(
            [
                table.update(
                    Check,
                    (row.pk, row.sk),
                    *taken_on,
                    when=Check.state == "pending",
                    refuse=lambda _: _Decided(),
                ),
                table.create(trace),
            ]
        )
    except (_Decided, table.Taken):
        logger.info("the picture was decided about meanwhile", check=row.check_id)
    pushed = pushes.result_of(trace_id, event=MEDIA_EVENT, program_id=row.program_id)
    if pushed is not None:
        _told(pushed, now)


@facts.errand("wechat.pushed", name="safety.media_checked")
def _told(push: Push, now: int) -> None:
    """What WeChat says of a picture; that of which nothing is known here yet is read when it is."""
    if push.event != MEDIA_EVENT:
        return
    told = pushes.content_of(push)
    trace = table.get(Trace, Trace.key(push.program_id, str(told.get("trace_id", ""))))
    row = table.get(Check, Check.key(trace.check_id)) if trace is not None else None
    if row is None or row.state != "pending":
        return
    try:
        if int(told.get("errcode") or 0):
            raise NotDecided(f"WeChat could not look at it: {told['errcode']}")
        decide(row, _state(told.get("result", {})), now=now)
    except NotDecided as undecided:
        _hand_over(row, str(undecided), now=now)


# --- deciding -----------------------------------------------------------------------------------------------


class _Decided(Exception):
    """Somebody else was first."""


def decide(row: Check, state: State, *, now: int) -> None:
    """A pending check is decided, once."""
    try:
        table.apply(_decision(row, state, now=now))
    except _Decided:
        logger.info("it was decided by another", check=row.check_id)


def _decision(row: Check, state: State, *, now: int) -> Write:
    then = facts.owed_or_emptied(f"content.{state}", pk=row.pk, now=now)
    return table.update(
        Check,
        (row.pk, row.sk),
        Check.state.set(state),
        *then,
        when=Check.state == "pending",
        refuse=lambda _: _Decided(),
    )


def _hand_over(row: Check, why: str, *, now: int) -> None:
    waits = due.handed_over(JOB, at=now, why=why[:300])
    try:
        table.apply(
            table.update(
                Check, (row.pk, row.sk), *waits, when=Check.state == "pending", refuse=lambda _: _Decided()
            )
        )
    except _Decided:
        logger.info("it was decided meanwhile", check=row.check_id)


def _by_hand(state: State) -> stuck.Decide:
    def settle(row: Check, hand: ByHand) -> None:
        change = _decision(row, state, now=hand.now).also(hand.still)
        decided = change.but(actions=(*change.actions, hand.mark), refuse=lambda _: Moved())
        table.transact([decided, hand.audit])

    return settle


def _tell(rows: Sequence[Check]) -> list[Story]:
    names = ("what", "room", "ref", "content", "asked_at")
    return [
        Story(member_id=row.member_id, details={name: getattr(row, name) for name in names}) for row in rows
    ]


stuck.trouble(
    Trouble(
        job=JOB,
        en="Something that a person wrote or uploaded and that WeChat's check did not decide",
        zh="微信未能判定、需人工审核的内容",
        tell=_tell,
        settle={"approved": _by_hand("approved"), "rejected": _by_hand("rejected")},
    )
)
