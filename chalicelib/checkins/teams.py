"""Teams of a challenge: friends with a limit, one team for a member and campaign, and their progress together."""

from collections.abc import Sequence

from chalicelib.checkins import campaigns
from chalicelib.checkins.models import Campaign, Mate, Part, Team
from chalicelib.core import ids, table
from chalicelib.core.errors import Busy, Conflict, NotFound
from chalicelib.core.table import Row, Write
from chalicelib.safety.service import APPROVED, Judged


class TeamFull(Conflict):
    """Every place of the team is taken."""

    code = "team_full"
    en = "This team is full."
    zh = "该小队已满员。"
    advice = "Offer founding one's own team."


class InAnotherTeam(Conflict):
    """The member is in another team of this campaign; ``details.team_id`` says in which."""

    code = "in_another_team"
    en = "You are in another team of this challenge."
    zh = "你已加入其他小队。"
    advice = "Show that team; it can be left first."


class NoTeams(Conflict):
    """The campaign has no teams."""

    code = "no_teams"
    en = "There are no teams here."
    zh = "该活动不支持组队。"
    advice = "Hide everything about teams."


class _InTeam(Exception):
    """The member is in a team; ``row`` says in which."""

    def __init__(self, row: Part) -> None:
        super().__init__(row.pk)
        self.row = row


class _NotIn(Exception):
    """The member is not in this team."""


def found(
    campaign: Campaign, member_id: str, *, title: str, now: int, judged: Judged = APPROVED
) -> tuple[Team, bool]:
    """A new team with its founder in it; in a team already, that one. And whether it is new.

    While its title is pending the team has the campaign's.

    Raises:
        NoTeams, CheckinNotStarted, CheckinOver, CheckinPaused.
    """
    part = table.get(Part, Part.key(campaign.campaign_id, member_id))
    if part is not None and part.team_id is not None:
        return find(campaign.campaign_id, part.team_id), False
    _may_join(campaign, now=now)
    team = _team(campaign, member_id, title=title, pending=judged.state == "pending", now=now)
    mine = _in_team(campaign, team.team_id, member_id)
    try:
        table.transact([mine, table.create(team), _mate(team, member_id, now), *judged.writes])
    except _InTeam as first:
        return find(campaign.campaign_id, first.row.team_id), False
    return team, True


def join(campaign: Campaign, team_id: str, member_id: str, *, now: int) -> tuple[Team, bool]:
    """A place in a team; in it already, the same. And whether it is new.

    Raises:
        NotFound, TeamFull, InAnotherTeam, NoTeams, CheckinNotStarted, CheckinOver, CheckinPaused.
    """
    team = find(campaign.campaign_id, team_id)
    if table.get(Mate, Mate.key(team_id, member_id)) is not None:
        return team, False
    _may_join(campaign, now=now)
    place = table.update(
        Team, Team.key(team_id), Team.free.add(-1), when=Team.free >= 1, refuse=lambda _: TeamFull()
    )
    try:
        writes = [_in_team(campaign, team_id, member_id), _mate(team, member_id, now), place]
        table.transact(writes, peek=lambda: _still_room(team_id, member_id))
    except _InTeam as first:
        if first.row.team_id != team_id:
            raise InAnotherTeam(team_id=first.row.team_id) from first
        return find(campaign.campaign_id, team_id), False
    return find(campaign.campaign_id, team_id), True


def leave(campaign: Campaign, team_id: str, member_id: str) -> None:
    """The place is free again; not in the team, nothing changes.

    Raises:
        NotFound: there is no such team in this campaign.
    """
    find(campaign.campaign_id, team_id)
    out = table.update(
        Part,
        Part.key(campaign.campaign_id, member_id),
        Part.team_id.remove(),
        when=Part.team_id == team_id,
        refuse=lambda _: _NotIn(),
    )
    gone = table.delete(Mate, Mate.key(team_id, member_id), refuse=lambda _: _NotIn())
    place = table.update(Team, Team.key(team_id), Team.free.add(1), refuse=Busy)
    try:
        table.transact([out, gone, place])
    except _NotIn:
        return


def find(campaign_id: str, team_id: str) -> Team:
    """The team as it is now.

    Raises:
        NotFound: there is none of this id in this campaign.
    """
    team = table.get(Team, Team.key(team_id))
    if team is None or team.campaign_id != campaign_id:
        raise NotFound
    return team


def with_mates(campaign_id: str, team_id: str) -> tuple[Team, Sequence[Mate]]:
    """The team and those in it, its founder first, in one read.

    Raises:
        NotFound: there is none of this id in this campaign.
    """
    rows = table.query_all(Row, Team.key(team_id)[0])
    team = next((row for row in rows if isinstance(row, Team)), None)
    if team is None or team.campaign_id != campaign_id:
        raise NotFound
    mates = [row for row in rows if isinstance(row, Mate)]
    return team, sorted(mates, key=lambda mate: (mate.member_id != team.founder_id, mate.joined_at))


def joined(member_id: str, team_ids: Sequence[str]) -> list[tuple[Team, int]]:
    """Those of these teams that the member is in, and since when."""
    rows = table.get_all([(Team, Team.key(one)) for one in team_ids])
    mates = table.get_all([(Mate, Mate.key(one, member_id)) for one in team_ids])
    return [(row, mate.joined_at) for row, mate in zip(rows, mates, strict=True) if row and mate]


def _team(campaign: Campaign, founder_id: str, *, title: str, pending: bool, now: int) -> Team:
    team_id = ids.ulid("ctm", now=now, entropy=ids.entropy(now=now))
    size = campaign.team_size or 0
    return Team(
        *Team.key(team_id),
        team_id=team_id,
        campaign_id=campaign.campaign_id,
        title=campaign.title if pending else title,
        title_pending=title if pending else None,
        founder_id=founder_id,
        size=size,
        free=size - 1,
        created_at=now,
    )


def _may_join(campaign: Campaign, *, now: int) -> None:
    if campaign.team_size is None:
        raise NoTeams
    refusal = campaigns.why_not(campaign, now=now)
    if refusal is not None:
        raise refusal


def _still_room(team_id: str, member_id: str) -> None:
    """Before a call that met others is sent again."""
    keys = [(Row, Team.key(team_id)), (Row, Mate.key(team_id, member_id))]
    team, mate = table.get_many(keys)
    if team is not None and team.free < 1 and mate is None:
        raise TeamFull


def _in_team(campaign: Campaign, team_id: str, member_id: str) -> Write:
    """The member's part has a team now, if it had none."""
    key, none = Part.key(campaign.campaign_id, member_id), Part.team_id.does_not_exist()
    return table.upsert(Part, key, Part.team_id.set(team_id), when=none, refuse=_InTeam)


def _mate(team: Team, member_id: str, now: int) -> Write:
    return table.create(
        Mate(*Mate.key(team.team_id, member_id), member_id=member_id, joined_at=now), refuse=Busy
    )
