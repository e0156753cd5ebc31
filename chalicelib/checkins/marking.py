"""The one transaction that marks a turn: the months it changes, what it brings, what it costs."""

import zlib
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec
from msgspec.structs import replace
from pynamodb.expressions.update import Action

from chalicelib.checkins import giving, rules
from chalicelib.checkins.models import Month, Note, Part
from chalicelib.checkins.rules import Gifts, History
from chalicelib.checkins.standings import Standing
from chalicelib.core import facts, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write

FACT = "checkin.done"
TOLD_AT_MOST = 2
"""Older answers that a month remembers, so that a repeat is told the same on both sides of the cut-off."""
SHARDS = 16
"""Partitions of a month in the index that reports read: on the first of a month everybody writes there."""


class Changed(Exception):
    """A row is not as it was read: look again."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What is said or shown with a check-in; ``pending`` with the writes that have it checked."""

    text: str | None
    image: str | None = None
    state: str = "visible"
    checks: Sequence[Write] = ()


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that is checked in: the streak and total it made, what it brought, whether this call did it."""

    standing: Standing
    turn: date
    streak: int
    total: int
    gifts: Gifts
    missed: dict[str, str]
    bridged: Sequence[date]
    new: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One turn to be marked, and what goes with it; a make-up has its price."""

    turn: date
    gifts: Gifts
    missed: dict[str, str]
    bridged: Sequence[date] = ()
    price: giving.Price | None = None
    said: Said | None = None
    now: int


def sent(seen: Standing, plan: Plan) -> Marked:
    """The turn is marked, all of it or nothing.

    Raises:
        Changed: a row is not as it was read. giving.CardsShort, giving.NotGiven, and what the payment refuses.
    """
    after = seen.history_beneath(plan.turn).marked(plan.turn, bridged=plan.bridged)
    marked = Marked(
        standing=seen,
        turn=plan.turn,
        streak=after.until(plan.turn) + after.onwards(after.calendar.after(plan.turn)),
        total=after.total,
        gifts=plan.gifts,
        missed=plan.missed,
        bridged=plan.bridged,
        new=True,
    )
    months = _months(seen, plan, after, marked)
    days = [_write(seen.month(row.month), row, plan) for row in months]
    handed = giving.handed(
        plan.gifts,
        member_id=seen.member_id,
        cause=f"checkin#{seen.campaign.campaign_id}#{plan.turn}",
        price=plan.price,
        freezes=len(plan.bridged),
        now=plan.now,
    )
    writes = [*days, *_begun(seen, plan), *_noted(seen, plan), *handed]
    try:
        table.transact(writes, peek=lambda: _still_so(seen, plan.turn))
    except table.Taken as first:
        raise Changed from first
    return replace(marked, standing=_after(seen, months))


def _still_so(seen: Standing, turn: date) -> None:
    """Before a call that met others is sent again: mostly it was another tap of the same button."""
    month = rules.month_of(turn)
    old, key = seen.month(month), Month.key(seen.campaign.campaign_id, seen.member_id, month)
    now = table.get(Month, key)
    if (now.rev if now else None) != (old.rev if old else None):
        raise Changed


def _months(seen: Standing, plan: Plan, after: History, marked: Marked) -> list[Month]:
    """The months that are written, as they will be: the turn's own first, then what it was computed from."""
    names = [rules.month_of(plan.turn), *(row.month for row in seen.beneath(plan.turn))]
    return [_month(seen, name, plan, after, marked) for name in dict.fromkeys(names)]


def _month(seen: Standing, name: str, plan: Plan, after: History, marked: Marked) -> Month:
    old, first = seen.month(name), rules.first_of(name)
    days = {one.day for one in after.days if rules.month_of(one) == name}
    frozen = {one.day for one in after.frozen - after.days if rules.month_of(one) == name}
    made_up = set(old.made_up or ()) if old else set()
    told = dict(old.told or {}) if old else {}
    if rules.month_of(plan.turn) == name:
        made_up |= {plan.turn.day} if plan.price else set()
        told = _told(told if old is None or old.due_ref else _newest(told), plan, marked)
    known = after.since < first
    return Month(
        *Month.key(seen.campaign.campaign_id, seen.member_id, name),
        campaign_id=seen.campaign.campaign_id,
        member_id=seen.member_id,
        days=days or None,
        made_up=made_up or None,
        frozen=frozen or None,
        carried=after.until(after.calendar.last_of_month_before(first)) if known else after.carried,
        before=after.before + sum(one < first for one in after.days),
        told=told or None,
    )


def _told(told: dict[str, Any], plan: Plan, marked: Marked) -> dict[str, Any]:
    """What is remembered of the answers; all of them while a fact is owed that may not have told of them."""
    answer = {
        "streak": marked.streak,
        "total": marked.total,
        "given": [[kind, template, amount] for (kind, template), amount in sorted(plan.gifts.items())],
        "missed": plan.missed,
        "bridged": [one.isoformat() for one in plan.bridged],
        "at": plan.now,
    }
    return {**told, plan.turn.isoformat(): answer}


def _newest(told: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(told.items())[-TOLD_AT_MOST:])


def _write(old: Month | None, new: Month, plan: Plan) -> Write:
    """The write that makes a month so, if it is as it was read: without the turn, and with room for a make-up."""
    target = rules.month_of(plan.turn) == new.month
    if old is None:
        return table.create(_new(new, plan), refuse=lambda _: Changed())
    actions: list[Action] = [Month.carried.set(new.carried), Month.before.set(new.before)]
    frozen = {one.day for one in plan.bridged if rules.month_of(one) == new.month}
    if frozen:
        actions.append(Month.frozen.add(frozen))
    if target:
        actions += [Month.days.add({plan.turn.day}), Month.told.set(new.told), *_by_kind(old, plan)]
    as_read = Month.rev == old.rev
    return table.update(Month, (old.pk, old.sk), *actions, when=as_read, refuse=lambda _: Changed())


def _by_kind(old: Month, plan: Plan) -> list[Action]:
    """What a check-in changes besides, and what a make-up does."""
    if plan.price is None:
        return [Month.state.set(plan.turn.isoformat()), *_owing(old, plan)]
    thawed = [Month.frozen.delete({plan.turn.day})] if plan.turn.day in (old.frozen or ()) else []
    return [Month.made_up.add({plan.turn.day}), *thawed]


def _owing(old: Month, plan: Plan) -> list[Action]:
    """The fact is owed too, unless an older one still is, which would be forgotten."""
    return facts.owing(FACT, pk=old.pk, now=plan.now) if old.due_ref is None else []


def _new(row: Month, plan: Plan) -> Month:
    shard = zlib.crc32(row.pk.encode()) % SHARDS
    row.owner = owner_of(row.campaign_id, row.month, shard)
    row.listed_at = f"{plan.now:011d}#{row.member_id}"
    if plan.price is None:
        row.state = plan.turn.isoformat()
        for name, value in facts.owed(FACT, pk=row.pk, rev=1, now=plan.now).items():
            setattr(row, name, value)
    return row


def owner_of(campaign_id: str, month: str, shard: int) -> str:
    """One of the partitions of the owner index that hold a month of a campaign."""
    return f"{campaign_id}#{month}#{shard}"


def _begun(seen: Standing, plan: Plan) -> list[Write]:
    """Two first check-ins at once, of two months, would not meet in any row but this."""
    if seen.months:
        return []
    key = Part.key(seen.campaign.campaign_id, seen.member_id)
    first = Part.begun.set(plan.turn.isoformat())
    return [table.upsert(Part, key, first, when=Part.begun.does_not_exist(), refuse=lambda _: Changed())]


def _noted(seen: Standing, plan: Plan) -> list[Write]:
    if plan.said is None:
        return []
    row = Note(
        *Note.key(seen.campaign.campaign_id, seen.member_id, plan.turn.isoformat()),
        state=plan.said.state,
        text=plan.said.text,
        image=plan.said.image,
        created_at=plan.now,
    )
    return [table.create(row, refuse=Busy), *plan.said.checks]


def _after(seen: Standing, written: Sequence[Month]) -> Standing:
    """Where the member stands now; a transaction returns nothing."""
    months = {row.month: row for row in (*seen.months, *written)}
    return replace(seen, months=[months[name] for name in sorted(months, reverse=True)][:2])
