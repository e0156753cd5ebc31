"""What waits for a person, its story, and what the person may do about it.

A room says of its own jobs what a stuck row means (`trouble`): whom it is about, how it is settled by hand, whether
it may be cancelled. Every decision is one transaction with its audit row, under the condition that the row is still
stuck; so of two operators, or an operator and a job, one is first. What was decided stays on the row (``by_hand``),
and saying the same again answers the same.
"""

import base64
import binascii
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.core import deliveries, due, facts, table, telemetry
from chalicelib.core.clock import MINUTE
from chalicelib.core.deliveries import Delivery
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Conflict, Invalid, NotFound
from chalicelib.core.facts import Letter
from chalicelib.core.table import Raw, Row, Write
from chalicelib.core.telemetry import logger, measure
from chalicelib.operators import service

WATCHED_EVERY_S = 10 * MINUTE
MONEY_COUNTED = 100
_ABOUT = ("member_id", "order_id", "group_id", "campaign_id", "amount_fen")


class NotApplicable(Conflict):
    """This cannot be done about this kind of trouble; ``details.actions`` says what can."""

    code = "action_not_applicable"
    en = "This cannot be done here."
    zh = "该操作不适用于此事项。"
    advice = "Offer `details.actions`."


class Moved(Exception):
    """The row is not stuck any more: somebody else was first."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Whom and what a stuck row is about, as far as there is one."""

    member_id: str | None = None
    order_id: str | None = None
    group_id: str | None = None
    campaign_id: str | None = None
    amount_fen: int | None = None
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)


class ByHand(msgspec.Struct, frozen=True, kw_only=True):
    """One person's decision about one stuck row: what the transaction that carries it out needs."""

    job: str
    word: str
    audit: Write
    now: int

    @property
    def still(self) -> Condition:
        """The row is still stuck: what makes the decision happen once."""
        return Row.due_shard == due.stuck_shard(self.job)

    @property
    def mark(self) -> Action:
        """What was decided, kept on the row."""
        return Row.by_hand.set(self.word)


Decide = Callable[[Any, ByHand], None]


def tell_by_name(rows: Sequence[Row]) -> list[Story]:
    """The story that a row's own attributes tell."""
    return [_by_name(row) for row in rows]


def _by_name(row: Row, /, **details: Any) -> Story:
    about: dict[str, Any] = {name: getattr(row, name, None) for name in _ABOUT}
    return Story(**about, details=details)


def empty(row: Row, hand: ByHand) -> None:
    """Nothing is owed by the row any more; all else about it stays.

    Raises:
        Moved: it is not stuck any more.
    """
    table.transact([emptied(row, hand), hand.audit])


def emptied(row: Row, hand: ByHand, *actions: Action) -> Write:
    """The write of a decision: the row is due no more, and says what was decided."""
    changes = (*actions, *due.emptied(), hand.mark)
    return table.update(type(row), (row.pk, row.sk), *changes, when=hand.still, refuse=lambda _: Moved())


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What a stuck row of a job means: the words for people, and what a person can do about it.

    ``settle``: ways in which it is settled by hand. ``cancel``: what ends it, for rows that strand no money.
    ``urgency``: where it stands in the list; money stands first. ``money``: whether a row of another job is money.
    """

    job: str
    en: str
    zh: str
    urgency: int = 1
    tell: Callable[[Sequence[Any]], list[Story]] = tell_by_name
    retry: bool = True
    settle: Mapping[str, Decide] = msgspec.field(default_factory=dict)
    cancel: Decide | None = None
    may_cancel: Callable[[Any], bool] = lambda _: True
    money: Callable[[Any], bool] | None = None

    def is_money(self, row: Row) -> bool:
        """Whether somebody's money waits with this row."""
        return self.urgency == 0 if self.money is None else self.money(row)

    def actions(self, row: Row) -> list[str]:
        """What can be done about this row."""
        cancels = self.cancel is not None and self.may_cancel(row)
        there = {"retry": self.retry, "settle": bool(self.settle), "cancel": cancels}
        return [name for name, applies in there.items() if applies]


_troubles: dict[str, Trouble] = {}


def trouble(told: Trouble) -> None:
    """Say what a stuck row of a job means."""
    _troubles[told.job] = told


def _of(job: str) -> Trouble:
    return _troubles.get(job) or Trouble(job=job, en="Work that kept failing", zh="多次失败的任务")


# --- the list -----------------------------------------------------------------------------------------------


class Stuck(msgspec.Struct, frozen=True, kw_only=True):
    """A stuck row with its story."""

    id: str
    trouble: Trouble
    row: Row
    story: Story


def jobs() -> list[str]:
    """Every job whose rows may wait for a person, in the order of the list."""
    return sorted({*_troubles, *due.jobs()}, key=lambda job: (_of(job).urgency, job))


def listed(*, limit: int, after: Raw | None = None) -> tuple[list[Stuck], Raw | None]:
    """What waits for a person, job by job, the oldest first."""
    page = due.stuck(*jobs(), limit=limit, after=after)
    return _stories(page.rows), page.next_key


def watch_money(*, now: int) -> None:
    """Tell every ten minutes how much money waits for a person: an alarm that lasts until none does.

    Most of it never failed ten times, and was handed over at once. Rows beyond the first hundred are not counted.
    """
    if now % WATCHED_EVERY_S >= MINUTE:
        return
    of_money = [job for job in jobs() if _of(job).urgency == 0 or _of(job).money is not None]
    rows = due.stuck(*of_money, limit=MONEY_COUNTED).rows
    found = _stories([row for row in rows if _of(_job_of(row)).is_money(row)])
    if found:
        fen = sum(one.story.amount_fen or 0 for one in found)
        logger.warning("money is stuck", jobs=sorted({one.trouble.job for one in found}), fen=fen)
        measure(telemetry.STUCK_MONEY, len(found))
        measure(telemetry.STUCK_FEN, fen)


def _stories(rows: Sequence[Row]) -> list[Stuck]:
    found: list[Stuck] = []
    for job, same in itertools.groupby(rows, key=_job_of):
        found += _told(_of(job), list(same))
    return found


def _job_of(row: Row) -> str:
    return (row.due_shard or "").partition("#")[2]


def _told(about: Trouble, rows: Sequence[Row]) -> list[Stuck]:
    stories = about.tell(rows)
    return [
        Stuck(id=id_of(about.job, row), trouble=about, row=row, story=story)
        for row, story in zip(rows, stories, strict=True)
    ]


# --- what a person does -------------------------------------------------------------------------------------


def retry(*, stuck_id: str, by: Operator, now: int) -> None:
    """Give stuck work another ten tries, the first at once.

    Raises:
        NotFound: it is not stuck. NotApplicable: trying again changes nothing about it.
    """
    job, pk, sk = _key_in(stuck_id)
    row = _row(pk, sk)
    if not _waits(row, job):
        raise NotFound
    if not _of(job).retry:
        raise NotApplicable(actions=_of(job).actions(row))
    audit = service.recorded(
        by=by, action="stuck.retried", subject=f"{pk} {sk}", before={"job": job}, after=None, now=now
    )
    table.transact([due.retried((pk, sk), job=job, now=now), audit])


def settle(*, stuck_id: str, how: str | None, reason: str, by: Operator, now: int) -> str:
    """Settle stuck work by hand; answers how. Said again, nothing changes.

    Raises:
        NotFound: it is not stuck. NotApplicable: it cannot be settled by hand. Invalid: not in this way.
    """
    job, pk, sk = _key_in(stuck_id)
    row, ways = _row(pk, sk), _of(job).settle
    way = how or (next(iter(ways)) if len(ways) == 1 else "")
    if not _waits(row, job):
        _said_before(row, f"settled:{way}")
        return way
    if not ways:
        raise NotApplicable(actions=_of(job).actions(row))
    if way not in ways:
        raise Invalid(field="how", reason="one of these", known=sorted(ways))
    _decide(row, job, ways[way], word=f"settled:{way}", reason=reason, by=by, now=now)
    return way


def cancel(*, stuck_id: str, reason: str, by: Operator, now: int) -> None:
    """What is owed is owed no longer, where that strands no money. Said again, nothing changes.

    Raises:
        NotFound: it is not stuck. NotApplicable: it would strand money, or leave things half done.
    """
    job, pk, sk = _key_in(stuck_id)
    row, about = _row(pk, sk), _of(job)
    if not _waits(row, job):
        _said_before(row, "cancelled")
        return
    if about.cancel is None or not about.may_cancel(row):
        raise NotApplicable(actions=about.actions(row))
    _decide(row, job, about.cancel, word="cancelled", reason=reason, by=by, now=now)


def _waits(row: Row, job: str) -> bool:
    return row.due_shard == due.stuck_shard(job)


def _decide(row: Row, job: str, do: Decide, *, word: str, reason: str, by: Operator, now: int) -> None:
    before = {"job": job, "state": row.state, "attempts": row.attempts, "last_error": row.last_error}
    audit = service.recorded(
        by=by,
        action=f"stuck.{word.partition(':')[0]}",
        subject=f"{row.pk} {row.sk}",
        before=before,
        after={"how": word, "reason": reason},
        now=now,
        member_id=_of(job).tell([row])[0].member_id,
    )
    try:
        do(row, ByHand(job=job, word=word, audit=audit, now=now))
    except Moved:
        _said_before(_row(row.pk, row.sk), word)


def _said_before(row: Row, word: str) -> None:
    if row.by_hand != word:
        raise NotFound


def _row(pk: str, sk: str) -> Row:
    row = table.get(Row, (pk, sk))
    if row is None:
        raise NotFound
    return row


def id_of(job: str, row: Row) -> str:
    """The id by which a stuck row is retried, settled or cancelled."""
    return base64.urlsafe_b64encode("\n".join((job, row.pk, row.sk)).encode()).decode().rstrip("=")


def _key_in(stuck_id: str) -> tuple[str, str, str]:
    try:
        text = base64.urlsafe_b64decode(stuck_id + "=" * (-len(stuck_id) % 4)).decode()
        job, pk, sk = text.split("\n")
    except (binascii.Error, ValueError) as unreadable:
        raise NotFound from unreadable
    if not (pk and sk):
        raise NotFound
    return job, pk, sk


# --- what core leaves for a person --------------------------------------------------------------------------


def _of_message(row: Delivery) -> Story:
    data = json.loads(row.body).get("data") or {}
    about = {name: data.get(name) for name in _ABOUT}
    return Story(**about, details={"type": row.type, "to": row.to, "created_at": row.created_at})


def _of_facts(rows: Sequence[Row]) -> list[Story]:
    keys = [(row.fact_pk, row.fact_sk) if isinstance(row, Letter) else (row.pk, row.sk) for row in rows]
    there = table.get_many([(Row, key) for key in keys])
    told = zip(rows, keys, there, strict=True)
    return [_by_name(about or row, fact=row.due_ref, row=key[0]) for row, key, about in told]


def _asks(row: Delivery) -> bool:
    """Whether the mall is asked for something, such as money for somebody."""
    return row.type.endswith(".requested")


def _owes(row: Row) -> bool:
    return facts.moves_money(row.due_ref or "")


def _ended(state: str) -> Decide:
    def end(row: Delivery, hand: ByHand) -> None:
        table.transact([emptied(row, hand, Delivery.state.set(state)), hand.audit])

    return end


# A message that asks the mall for something stays owed until it is done.
trouble(
    Trouble(
        job=deliveries.JOB,
        en="A message that the mall does not take",
        zh="商城未接收的消息",
        tell=lambda rows: [_of_message(row) for row in rows],
        settle={"told": _ended("done")},
        cancel=_ended("cancelled"),
        may_cancel=lambda row: not _asks(row),
        money=_asks,
    )
)
trouble(
    Trouble(
        job=facts.JOB,
        en="Something that follows from a change, and kept failing",
        zh="变更后续处理多次失败",
        tell=_of_facts,
        cancel=empty,
        may_cancel=lambda row: not _owes(row),
        money=_owes,
    )
)
