"""What of a member's check-ins is erased: what they said and showed; their days stay, under a name of nobody."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from chalicelib.checkins import campaigns, reminders, standings, teams
from chalicelib.checkins.giving import FREEZE_CARD, MAKEUP_CARD
from chalicelib.checkins.models import Campaign, Note, Team
from chalicelib.core import estates, table


class _NotTheirs(Exception):
    """Somebody else founded it."""


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
    gone = [estates.erased(Note, (note.pk, note.sk)) for note in list(_notes(member_id))]
    there = any(gone)
    for campaign, part, _ in standings.everywhere(member_id):
        there |= part.remind_at_minute is not None or part.team_id is not None
        reminders.choose(campaign, member_id, at_minute=None, now=now)
        if part.team_id is not None:
            _untitle(campaign, part.team_id, member_id)
            teams.leave(campaign, part.team_id, member_id)
    return there


def _notes(member_id: str) -> Iterator[Note]:
    for campaign in campaigns.everything():
        yield from table.query_all(Note, Note.key(campaign.campaign_id, member_id, "")[0])


def _untitle(campaign: Campaign, team_id: str, founder_id: str) -> None:
    """A team that the member founded is no more called what they called it."""
    mine = Team.founder_id == founder_id
    nameless = (Team.title.set(campaign.title), Team.title_pending.remove())
    with suppress(_NotTheirs):
        table.apply(
            table.update(Team, Team.key(team_id), *nameless, when=mine, refuse=lambda _: _NotTheirs())
        )
