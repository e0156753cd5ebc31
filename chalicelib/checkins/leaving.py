"""What of a member's check-ins is erased: what they said and showed; their days stay, under a name of nobody."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from chalicelib.checkins import campaigns, reminders, standings, teams
from chalicelib.checkins.giving import FREEZE_CARD, MAKEUP_CARD
from chalicelib.checkins.models import Campaign, Note, Part, Team
from chalicelib.core import estates, table
from chalicelib.core.table import Write


class _Gone(Exception):
    """It is erased already."""


def _gone(_: Any) -> Exception:
    return _Gone()


@estates.exports("checkins")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's days, notes, teams and cards."""
    everywhere = standings.everywhere(member_id)
    in_teams = teams.joined(member_id, [part.team_id for _, part, _ in everywhere if part.team_id])
    return {
        "parts": estates.some(part for _, part, _ in everywhere),
        "months": estates.some(month for _, _, months in everywhere for month in months),
        "notes": estates.some(_notes(member_id)),
        "teams": estates.some(team for team, _ in in_teams),
        MAKEUP_CARD: estates.account(member_id, MAKEUP_CARD),
        FREEZE_CARD: estates.account(member_id, FREEZE_CARD),
    }


@estates.erases("checkins")
def erase(member_id: str, now: int) -> bool:
    """Notes go, reminders end, places in teams are free again, and a team has its campaign's title."""
    writes = [table.delete(Note, (note.pk, note.sk), refuse=_gone) for note in _notes(member_id)]
    there = False
    for campaign, part, _ in standings.everywhere(member_id):
        writes += _untitled(campaign, part, member_id)
        there |= part.remind_at_minute is not None or part.team_id is not None
        reminders.choose(campaign, member_id, at_minute=None, now=now)
    for write in writes:
        with suppress(_Gone):
            table.apply(write)
    for campaign, part, _ in standings.everywhere(member_id):
        if part.team_id is not None:
            teams.leave(campaign, part.team_id, member_id)
    return there or bool(writes)


def _notes(member_id: str) -> Iterator[Note]:
    for campaign in campaigns.everything():
        yield from table.query_all(Note, Note.key(campaign.campaign_id, member_id, "")[0])


def _untitled(campaign: Campaign, part: Part, member_id: str) -> list[Write]:
    """The write that takes away what the member called a team that they founded."""
    team = table.get(Team, Team.key(part.team_id)) if part.team_id else None
    if team is None or team.founder_id != member_id:
        return []
    if team.title == campaign.title and team.title_pending is None:
        return []
    own, nameless = Team.title == team.title, (Team.title.set(campaign.title), Team.title_pending.remove())
    return [table.update(Team, (team.pk, team.sk), *nameless, when=own, refuse=_gone)]
