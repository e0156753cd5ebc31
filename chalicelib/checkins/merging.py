"""What a merged member has here becomes another's: days, notes, places in teams, reminders, cards.

The days of both are the days of one: a day that both have is one, and a run goes on through the days of either.
What each day brought stays given, once or, where both had checked in before they were one, twice; from then on
there is one check-in a day. In a team the other's own place stays, and the merged member's is free again. A note
of a day on which the other said something stays where it is.
"""

from collections.abc import Sequence
from datetime import date

from chalicelib.checkins import campaigns, reminders, rules, standings
from chalicelib.checkins.giving import FREEZE_CARD, MAKEUP_CARD
from chalicelib.checkins.models import Campaign, Mate, Month, Note, Part, Team
from chalicelib.checkins.rules import History
from chalicelib.core import due, estates, facts, ledger, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write

NOTES_AT_ONCE = 20


@estates.hands_over("checkins")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """One campaign, or some notes, or the cards go over, each once; whether there was any."""
    for book in (MAKEUP_CARD, FREEZE_CARD):
        if writes := ledger.handed_over(owner=member_id, to=into, book=book, now=now):
            table.transact(writes)
            return True
    for campaign, part, months in standings.everywhere(member_id):
        if not _notes(campaign, member_id, into) and not _owed(months, now=now):
            _campaign(campaign, part, months, into, now=now)
        return True
    return False


def _owed(months: Sequence[Month], *, now: int) -> bool:
    """Whether something was owed of the months, which has happened now: they are looked at again."""
    owing = [row for row in months if row.owed_rev is not None and facts.wanted(row.due_ref or "")]
    for row in owing:
        facts.catch_up(row, now=now)
    return bool(owing)


def _campaign(campaign: Campaign, part: Part, months: Sequence[Month], into: str, *, now: int) -> None:
    # Their part first: a first check-in between the two reads makes a month, and moves the part.
    there = table.get(Part, Part.key(campaign.campaign_id, into))
    theirs = table.query_all(Month, Month.key(campaign.campaign_id, into, "")[0], Row.sk.startswith("MONTH#"))
    if months and _owed(theirs, now=now):
        return
    gone = [table.delete(Month, (row.pk, row.sk), when=Month.rev == row.rev, refuse=Busy) for row in months]
    days = _days(campaign, months, theirs, into) if months else []
    table.transact([*gone, *days, *_part(part, there, campaign, into)])


# --- days ---------------------------------------------------------------------------------------------------


def _days(campaign: Campaign, mine: Sequence[Month], theirs: Sequence[Month], into: str) -> list[Write]:
    """The months of both as those of one, each as a check-in would have left it; given from the oldest on."""
    rows = [*mine, *theirs]
    names = sorted({row.month for row in rows})
    days = frozenset(day for row in rows for day in standings.dates(row, row.days))
    frozen = frozenset(day for row in rows for day in standings.dates(row, row.frozen)) - days
    oldest = [some[0] for some in (mine, theirs) if some]
    whole = History(
        calendar=campaigns.calendar(campaign),
        since=rules.first_of(names[0]),
        days=days,
        frozen=frozen,
        carried=max((row.carried for row in oldest if row.month == names[0]), default=0),
        before=sum(row.before for row in oldest),
    )
    return [_month(whole, name, mine, theirs, into) for name in names]


def _month(whole: History, name: str, mine: Sequence[Month], theirs: Sequence[Month], into: str) -> Write:
    own, other = (next((row for row in rows if row.month == name), None) for rows in (mine, theirs))
    both = [one for one in (own, other) if one is not None]
    row, first = both[-1], rules.first_of(name)
    known = whole.since < first
    copy = table.copied(
        row,
        Month.key(row.campaign_id, into, name),
        member_id=into,
        days=_numbers(whole.days, name),
        frozen=_numbers(whole.frozen, name),
        made_up=set().union(*(one.made_up or () for one in both)) or None,
        carried=whole.until(whole.calendar.last_of_month_before(first)) if known else whole.carried,
        before=whole.before + sum(one < first for one in whole.days),
        told={key: value for one in both for key, value in (one.told or {}).items()} or None,
        state=max((one.state for one in both if one.state), default=None),
        # So that it is no new check-in: a fact is one revision further.
        rev=max(one.rev for one in both) + 2,
    )
    seen = Month.pk.does_not_exist() if other is None else Month.rev == other.rev
    return Write(operation="Put", row=copy, when=seen, refuse=Busy)


def _numbers(days: frozenset[date], name: str) -> set[int] | None:
    return {one.day for one in days if rules.month_of(one) == name} or None


def _notes(campaign: Campaign, member_id: str, into: str) -> bool:
    pk, theirs = (Note.key(campaign.campaign_id, one, "")[0] for one in (member_id, into))
    rows = table.query_all(Note, pk)
    there = table.get_all([(Note, (theirs, row.sk)) for row in rows])
    moving = [row for row, other in zip(rows, there, strict=True) if other is None][:NOTES_AT_ONCE]
    for row in moving:
        gone = table.delete(Note, (row.pk, row.sk), when=Note.rev == row.rev, refuse=Busy)
        table.transact([gone, table.create(table.copied(row, (theirs, row.sk)), refuse=Busy)])
    return bool(moving)


# --- the part -----------------------------------------------------------------------------------------------


def _part(part: Part, there: Part | None, campaign: Campaign, into: str) -> list[Write]:
    """The part of both: since the first day of either; the other's reminder and team, else the merged member's."""
    key = Part.key(campaign.campaign_id, into)
    row = there or table.copied(part, key, member_id=part.member_id and into, team_id=None)
    row.begun = min((one.begun for one in (part, there) if one is not None and one.begun), default=None)
    if there is not None and there.remind_at_minute is None and part.remind_at_minute is not None:
        told = {"campaign_id": campaign.campaign_id, "member_id": into, "due_ref": part.due_ref or ""}
        told |= {"remind_at_minute": part.remind_at_minute, "due_at": part.due_at}
        for name, value in told.items():
            setattr(row, name, value)
    if row.due_at is not None:
        row.due_shard = due.shard_of(reminders.JOB, key[0])
    team_id, place = part.team_id, list[Write]()
    if team_id is not None:
        place = _place(team_id, part, into, keeps=row.team_id is None)
        row.team_id = row.team_id or team_id
    seen = Part.pk.does_not_exist() if there is None else Part.rev == there.rev
    row.rev = max(part.rev, there.rev if there is not None else 0) + 2
    gone = table.delete(Part, (part.pk, part.sk), when=Part.rev == part.rev, refuse=Busy)
    return [gone, Write(operation="Put", row=row, when=seen, refuse=Busy), *place]


def _place(team_id: str, part: Part, into: str, *, keeps: bool) -> list[Write]:
    """The place in the team is the other's, or free again, as they have one, here or in another team."""
    member_id = part.pk.rpartition("#")[2]
    team, mate = table.get_many([(Team, Team.key(team_id)), (Mate, Mate.key(team_id, member_id))])
    if team is None or mate is None:
        return []
    founded = [Team.founder_id.set(into)] if team.founder_id == member_id else []
    freed = [] if keeps else [Team.free.add(1)]
    writes = [table.delete(Mate, (mate.pk, mate.sk), refuse=Busy)]
    if keeps:
        theirs = table.copied(mate, Mate.key(team_id, into), member_id=into)
        writes.append(table.create(theirs, refuse=Busy))
    if founded or freed:
        writes.append(table.update(Team, Team.key(team_id), *founded, *freed, refuse=Busy))
    return writes
