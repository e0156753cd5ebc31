"""Cards in chats that show how many have joined (动态消息), kept in step with their groups.

developers.weixin.qq.com, miniprogram/dev/framework/open-ability/share/updatable-message.html: state 0 says "members
are joining, now {member_count}/{room_limit}", 1 "everyone is here", 2 "over"; 0 goes to 0, 1 and 2, 1 goes to 2,
2 is the end. GET /cgi-bin/message/wxopen/activityid/create makes an activity_id, which is good for 24 hours; POST
/cgi-bin/message/wxopen/updatablemsg/send changes what is shown.

What happens to a group makes its cards due; however much happened, the card is told what the group is by then.
One run at a time tells a card, and reads the group after it has begun: so a card never goes back to an older image
of its group. After an activity's end WeChat shows it as over, and is told nothing.
"""

from typing import Any

from pynamodb.expressions.update import Action

from chalicelib.core import config, due, facts, table
from chalicelib.core.errors import AppError
from chalicelib.core.telemetry import count, logger
from chalicelib.groupbuys import reading
from chalicelib.members import service as members
from chalicelib.notifications.models import Activity
from chalicelib.operators import stuck
from chalicelib.operators.stuck import Trouble
from chalicelib.wechat import client

JOB = "activity"
CREATE = "/cgi-bin/message/wxopen/activityid/create"
SEND = "/cgi-bin/message/wxopen/updatablemsg/send"
TEMPLATE = "666F374D69D16C932E45D7E7D9F10CEF6177F5F5"
"""The template whose state 1 says that everyone is here (到齐时)."""
GATHERING, FULL, OVER = 0, 1, 2
BUSY_S = 60
"""Longer than a call takes with its token and its retries."""


class _Busy(Exception):
    """Another run tells this card now."""


class _Gone(Exception):
    """There is no such card, or it is not told any more."""


def share(group_id: str, *, program_id: str, now: int) -> tuple[Activity, Any]:
    """A group's card in a program, and the group; made by the first who asks.

    Raises:
        NotFound: there is no such group. What calls to WeChat raise.
    """
    group = reading.find(group_id)
    row = table.get(Activity, Activity.key(group_id, program_id))
    return row or _made(group, program_id, now=now), group


def _made(group: Any, program_id: str, *, now: int) -> Activity:
    """A new card; of several that are made at once, the first."""
    told = client.call(members.app(program_id, now=now), "GET", CREATE, safe=True, now=now)
    made = Activity(
        *Activity.key(group.group_id, program_id),
        group_id=group.group_id,
        program_id=program_id,
        activity_id=told["activity_id"],
        expires_at=int(told["expiration_time"]),
        asked=0,
        shown=GATHERING,
        members=group.size - group.missing,
        told_rev=group.rev,
    )
    try:
        table.apply(table.create(made))
    except table.Taken as first:
        return first.row  # type: ignore[no-any-return]
    return made


def target_state(group: Any) -> int:
    """What a card should show of a group."""
    if group.state == "filled":
        return FULL
    return GATHERING if group.state in ("opening", "open") else OVER


# --- what makes a card due ----------------------------------------------------------------------------------


@facts.errand("group.filled", name="notifications.activity_full")
@facts.errand("group.expired", name="notifications.activity_over")
def follow_group(group: Any, now: int) -> None:
    """The cards of a group that has ended say so."""
    _behind(group.group_id, now=now)


@facts.errand("order.paid", name="notifications.activity_paid")
@facts.errand("order.refunding", name="notifications.activity_refunding")
def follow_order(order: Any, now: int) -> None:
    """The cards of a group say how many have paid."""
    if order.group_id:
        _behind(order.group_id, now=now)


def _behind(group_id: str, *, now: int) -> None:
    """All cards of a group are due; told twice, they are due all the same."""
    for row in table.query_all(Activity, Activity.key(group_id, "")[0]):
        slot = due.moved(job=JOB, pk=row.pk, at=now)
        useful = (Activity.shown < OVER) & (Activity.expires_at > now)
        actions = (Activity.asked.add(1), *slot)
        try:
            table.apply(
                table.update(Activity, (row.pk, row.sk), *actions, when=useful, refuse=lambda _: _Gone())
            )
        except _Gone:
            logger.info("the card is told nothing any more", group=group_id)


# --- telling ------------------------------------------------------------------------------------------------


@due.handles(JOB)
def tell(entry: due.Entry, now: int) -> None:
    """Let a card show its group as it is.

    Raises:
        WeChatUnavailable, Unanswered, WeChatTooOften, WeChatMisconfigured: it is told again later.
    """
    row = _begun(entry, now=now)
    if row is None:
        return
    if row.expires_at <= now:
        _done(row, Activity.shown.set(OVER))
        return
    group = reading.find(row.group_id)
    state = max(target_state(group), row.shown)
    try:
        if group.rev != row.told_rev:
            _send(row, group, state, now=now)
    except AppError:
        _done(row, again=True)
        raise
    members_now = Activity.members.set(group.size - group.missing)
    _done(row, Activity.shown.set(state), members_now, Activity.told_rev.set(group.rev))


def _begun(entry: due.Entry, *, now: int) -> Activity | None:
    """The card, if this run alone may tell it now; else it stays due."""
    free = Activity.busy_until.does_not_exist() | (Activity.busy_until <= now)
    still = free & (Activity.due_shard == entry.due_shard)
    busy = Activity.busy_until.set(now + BUSY_S)
    key = (entry.pk, entry.sk)
    try:
        row: Any = table.apply(table.update(Activity, key, busy, when=still, refuse=lambda _: _Busy()))
    except _Busy:
        logger.info("another run tells this card", key=entry.pk)
        return None
    return row  # type: ignore[no-any-return]


def _done(row: Activity, *actions: Action, again: bool = False) -> None:
    """It is told; what happened meanwhile leaves it due."""
    told = (*actions, Activity.busy_until.remove())
    mine = Activity.busy_until == row.busy_until
    key = (row.pk, row.sk)
    writes = [table.update(Activity, key, *told, when=mine, refuse=lambda _: _Busy())]
    if not again:
        unasked = mine & (Activity.asked == row.asked)
        quiet = table.update(Activity, key, *told, *due.emptied(), when=unasked, refuse=lambda _: _Gone())
        writes.insert(0, quiet)
    for write in writes:
        try:
            table.apply(write)
            return
        except _Gone:
            continue
        except _Busy:
            logger.info("this run took too long", key=row.pk)
            return


def _send(row: Activity, group: Any, state: int, *, now: int) -> None:
    """Nothing hangs on a card: one that WeChat refuses to change stays as it is."""
    body = {
        "activity_id": row.activity_id,
        "target_state": state,
        "template_info": {"parameter_list": _parameters(row, group, state, now=now)},
    }
    try:
        client.call(members.app(row.program_id, now=now), "POST", SEND, body=body, safe=True, now=now)
    except client.WeChatRefused as refused:
        count("CardsRefused")
        logger.warning("wechat does not change the card", group=row.group_id, errcode=refused.errcode)


def _parameters(row: Activity, group: Any, state: int, *, now: int) -> list[dict[str, str]]:
    if state == GATHERING:
        told = {"member_count": str(group.size - group.missing), "room_limit": str(group.size)}
    elif state == FULL:
        program = members.program(row.program_id, now=now)
        path = f"{program.landing_page}?target=group&id={row.group_id}"
        told = {"path": path.removeprefix("/"), "version_type": version_type(config.settings().stage)}
    else:
        told = {}
    return [{"name": name, "value": value} for name, value in told.items()]


def version_type(stage: str) -> str:
    """Which release a card opens: ``release``, ``trial`` or ``develop``."""
    if stage.startswith("prod"):
        return "release"
    return "develop" if stage.startswith(("dev", "local")) else "trial"


stuck.trouble(
    Trouble(
        job=JOB,
        en="A card in a chat that does not show how its group stands",
        zh="未能更新的动态消息卡片",
        urgency=3,
        cancel=stuck.empty,
    )
)
