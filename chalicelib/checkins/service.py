"""The rules of checking in and making up: what is given is computed from rows that the write finds unchanged."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib.checkins import campaigns, giving, marking, rules, standings
from chalicelib.checkins.marking import Marked, Plan, Said
from chalicelib.checkins.models import Campaign, Month, Note
from chalicelib.checkins.rules import Gifts, History
from chalicelib.checkins.standings import Standing
from chalicelib.core import facts, table
from chalicelib.core.errors import Busy, Conflict, Invalid
from chalicelib.core.telemetry import logger

ROUNDS = 24


class MakeupsUsedUp(Conflict):
    """No more days of that month can be made up; ``details.per_month`` says how many could."""

    code = "makeups_used_up"
    en = "No more days of this month can be made up."
    zh = "本月补签次数已用完。"
    advice = "Show the calendar without the button to make up."


class NoMakeups(Conflict):
    """The campaign has no make-ups, or they are not paid in this way."""

    code = "no_makeups"
    en = "Missed days cannot be made up here."
    zh = "该活动不支持补签。"
    advice = "Hide the button to make up."


class NothingToMakeUp(Conflict):
    """The date cannot be made up: not missed yet, before the campaign, or too long ago; ``details.dates`` can."""

    code = "nothing_to_make_up"
    en = "This day cannot be made up."
    zh = "该日期无法补签。"
    advice = "Offer `details.dates`."


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """What a row of the fact checkin.done says to other rooms; ``day`` is the date checked in last, at ``at``."""

    campaign_id: str
    member_id: str
    day: str
    at: int
    streak: int
    total: int
    days: tuple[str, ...]


# --- reading ------------------------------------------------------------------------------------------------


def happened(row: Month) -> Happened:
    """What a reaction to checkin.done wants to know of the row it is given.

    A check-in first lets the fact of the one before happen, so the row is that of the fact.
    """
    told = (row.told or {}).get(row.state or "", {})
    return Happened(
        campaign_id=row.campaign_id,
        member_id=row.member_id,
        day=row.state or "",
        at=told.get("at", 0),
        streak=told.get("streak", 0),
        total=row.before + len(row.days or ()),
        days=tuple(sorted(f"{row.month}-{int(day):02d}" for day in row.days or ())),
    )


def untold(row: Month) -> list[Happened]:
    """The check-ins of a row that a reaction may not have heard of: the last, and while an older fact is owed, all
    that are remembered."""
    told: dict[str, Any] = row.told or {}
    made_up = row.made_up or set()
    behind = row.owed_rev is not None and row.owed_rev < row.rev
    days = [day for day in sorted(told) if int(day[-2:]) not in made_up] if behind else [row.state or ""]
    mine = happened(row)
    return [
        replace(mine, day=day, at=told[day].get("at", 0), streak=told[day]["streak"])
        for day in days
        if day in told
    ]


def days_of(campaign_id: str, member_id: str, *, now: int) -> History:
    """The days of a member in a campaign: all of this month and the one before, and the counts of all.

    Raises:
        NotFound: there is no such campaign.
    """
    return standings.of(campaigns.find(campaign_id, now=now), member_id).history


def note(campaign_id: str, member_id: str, turn: date) -> Note | None:
    """What was said with a check-in; for the member and their team."""
    return table.get(Note, Note.key(campaign_id, member_id, turn.isoformat()))


def notes(campaign: Campaign, members: Sequence[str], turn: date) -> dict[str, Note]:
    """What members said with a check-in, by member; for their team."""
    if not campaign.notes or not members:
        return {}
    keys = [Note.key(campaign.campaign_id, member_id, turn.isoformat()) for member_id in members]
    found = table.get_many([(Note, key) for key in keys])
    return {member_id: row for member_id, row in zip(members, found, strict=True) if row is not None}


def makeable(standing: Standing, *, now: int) -> list[date]:
    """The missed turns that can be made up now, newest first."""
    makeups = standing.campaign.makeups
    if makeups is None:
        return []
    history, today = standing.history, campaigns.calendar(standing.campaign).turn_at(now)
    oldest, most = _oldest_in_reach(standing.campaign, today), makeups["per_month"]
    missed, turn = list[date](), history.calendar.before(today)
    while turn >= oldest:
        if turn not in history.days:
            missed.append(turn)
        turn = history.calendar.before(turn)
    months = {rules.month_of(turn) for turn in missed}
    full = {month for month in months if made_up_in(standing, month) >= most}
    return [turn for turn in missed if rules.month_of(turn) not in full]


def made_up_in(standing: Standing, month: str) -> int:
    """How many days of a month were made up."""
    row = standing.month(month)
    return len(row.made_up or ()) if row is not None else 0


def _oldest_in_reach(campaign: Campaign, today: date) -> date:
    """The oldest turn that may still be made up: of this month or the one before, and not too old."""
    oldest = rules.first_of(rules.month_of(rules.first_of(rules.month_of(today)) - rules.DAY))
    since = campaigns.calendar(campaign).turn_at(campaign.starts_at)
    return max(oldest, since, today - timedelta(days=campaign.makeups["within_days"]))


# --- checking in --------------------------------------------------------------------------------------------


def check_in(*, campaign_id: str, member_id: str, said: Said | None, now: int) -> Marked:
    """Today's turn is checked in, with what it brings; checked in already, what that brought.

    Raises:
        NotFound, CheckinNotStarted, CheckinOver, CheckinPaused. Invalid: the campaign takes no notes.
    """
    campaign = campaigns.find(campaign_id, now=now)
    turn = campaigns.calendar(campaign).turn_at(now)
    may_freeze = True
    missed: dict[str, str] = {}
    for _ in range(ROUNDS):
        seen = _caught_up(standings.of(campaign, member_id), turn, now=now)
        if turn in seen.history.days:
            return _first_answer(seen, turn)
        _may_check_in(campaign, said, now=now)
        bridged = _bridged(seen, turn) if may_freeze else []
        gifts = giving.without(_gained(seen, turn, bridged=bridged), missed)
        plan = Plan(turn=turn, gifts=gifts, bridged=bridged, said=said, missed=missed, now=now)
        try:
            return marking.sent(seen, plan)
        except marking.Changed:
            continue
        except giving.CardsShort:
            may_freeze = False
        except giving.NotGiven as refused:
            # A coupon that is sold out must not cost anybody their day.
            missed = {**missed, refused.template_id: refused.code}
    raise Busy


def _may_check_in(campaign: Campaign, said: Said | None, *, now: int) -> None:
    refusal = campaigns.why_not(campaign, now=now)
    if refusal is not None:
        raise refusal
    if said is not None and not campaign.notes:
        raise Invalid(field="text" if said.text else "image", reason="this campaign takes no notes")


def _caught_up(seen: Standing, turn: date, *, now: int) -> Standing:
    """The same after what is still owed of the row that the turn goes into, whose due slot it needs."""
    row = seen.month(rules.month_of(turn))
    if row is None or row.due_ref is None or turn in seen.history.days:
        return seen
    try:
        facts.catch_up(row, now=now)
    except Exception:
        # It stays owed, where operators see it; nobody loses a day for it.
        logger.exception("an older check-in is still owed", key=row.pk)
    return standings.of(seen.campaign, seen.member_id)


def _bridged(seen: Standing, turn: date) -> list[date]:
    """The missed turns that freeze cards would save, if the rows that are written anyway can hold them."""
    missed = seen.history_beneath(turn).missed(turn, at_most=seen.campaign.freeze_at_most)
    held = {row.month for row in seen.beneath(turn)} | {rules.month_of(turn)}
    if not missed or any(rules.month_of(one) not in held for one in missed):
        return []
    return missed if giving.freeze_cards(seen.member_id) >= len(missed) else []


def _gained(seen: Standing, turn: date, *, bridged: Sequence[date] = ()) -> Gifts:
    return rules.gained(campaigns.terms(seen.campaign), seen.history_beneath(turn), turn, bridged=bridged)


def _first_answer(seen: Standing, turn: date) -> Marked:
    row = seen.month(rules.month_of(turn))
    told = ((row.told if row else None) or {}).get(turn.isoformat())
    history = seen.history
    if told is None:
        streak, total, gifts, bridged, missed = history.until(turn), history.total, Gifts(), [], {}
    else:
        streak, total, missed = told["streak"], told["total"], told["missed"]
        gifts = Gifts({(kind, template): amount for kind, template, amount in told["given"]})
        bridged = [date.fromisoformat(one) for one in told["bridged"]]
    return Marked(
        standing=seen,
        turn=turn,
        streak=streak,
        total=total,
        gifts=gifts,
        missed=missed,
        bridged=bridged,
        new=False,
    )


# --- making up ----------------------------------------------------------------------------------------------


def make_up(*, campaign_id: str, member_id: str, day: date, pay: str | None, now: int) -> Marked:
    """A missed turn is added, for points or a card; it is there already, nothing is paid.

    Raises:
        NotFound, CheckinNotStarted, CheckinOver, CheckinPaused, NoMakeups, NothingToMakeUp, MakeupsUsedUp, and what
        the points or cards refuse who are too few.
    """
    campaign = campaigns.find(campaign_id, now=now)
    turn = campaigns.calendar(campaign).turn_of(day)
    missed: dict[str, str] = {}
    for _ in range(ROUNDS):
        seen = standings.of(campaign, member_id)
        if turn in seen.history.days:
            return _first_answer(seen, turn)
        price = _may_make_up(seen, turn, pay, now=now)
        gifts = giving.without(_gained(seen, turn), missed)
        try:
            plan = Plan(turn=turn, gifts=gifts, price=price, missed=missed, now=now)
            return marking.sent(seen, plan)
        except marking.Changed:
            continue
        except giving.NotGiven as refused:
            missed = {**missed, refused.template_id: refused.code}
    raise Busy


def _may_make_up(seen: Standing, turn: date, pay: str | None, *, now: int) -> giving.Price:
    refusal = campaigns.why_not(seen.campaign, now=now)
    if refusal is not None:
        raise refusal
    makeups = seen.campaign.makeups
    price = giving.price_of(makeups, pay) if makeups else None
    if price is None:
        raise NoMakeups
    today = campaigns.calendar(seen.campaign).turn_at(now)
    if not _oldest_in_reach(seen.campaign, today) <= turn < today or turn < seen.history.since:
        raise NothingToMakeUp(dates=[one.isoformat() for one in makeable(seen, now=now)])
    if made_up_in(seen, rules.month_of(turn)) >= makeups["per_month"]:
        raise MakeupsUsedUp(per_month=makeups["per_month"])
    return price
