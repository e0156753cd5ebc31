"""HTTP for the mini-program: campaigns, checking in, making up, reminders, teams."""

from datetime import date

import msgspec

from chalicelib.checkins import answers, campaigns, noting, reminders, service, teams
from chalicelib.checkins.marking import Said
from chalicelib.checkins.models import Team
from chalicelib.checkins.schemas import (
    CampaignAnswer,
    CampaignList,
    ChatBoard,
    CheckedIn,
    CheckIn,
    FoundTeam,
    MakeUp,
    Reminder,
    SetReminder,
    TeamAnswer,
    TeamLeft,
)
from chalicelib.core import asking, doors
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.core.ledger import NotEnough
from chalicelib.points.service import NotEnoughPoints
from chalicelib.safety.service import ContentRefused
from chalicelib.uploads import service as uploads

api = Api(__name__)
_CLOSED = [NotFound, campaigns.CheckinNotStarted, campaigns.CheckinOver, campaigns.CheckinPaused]


@api.get("/v1/checkins", door=doors.PUBLIC)
def list_campaigns(call: Call) -> CampaignList:
    """Campaigns that are not over, newest first, with how far I am."""
    return CampaignList(items=answers.listed(campaigns.visible(now=call.now), call), now=call.now)


@api.get("/v1/checkins/{campaign_id}", door=doors.PUBLIC, refuses=[NotFound])
def show_campaign(call: Call, campaign_id: str) -> CampaignAnswer:
    """A campaign's page: calendar, streak, what comes next, my team, what can be made up."""
    page = answers.page(campaigns.find(campaign_id, now=call.now), call)
    return msgspec.structs.replace(page, ask_subscriptions=asking.before("checkin", call))


@api.post(
    "/v1/checkins/{campaign_id}", door=doors.MEMBER, status=201, refuses=[*_CLOSED, Invalid, ContentRefused]
)
def check_in(call: Call, campaign_id: str, body: CheckIn) -> Reply[CheckedIn]:
    """Check in today; done already, what it brought."""
    said = Said(text=body.text, image=_picture(body.image, call)) if body.text or body.image else None
    if said is not None:
        said = noting.judged(said, campaign_id, call)
    done = service.check_in(campaign_id=campaign_id, member_id=call.member_id, said=said, now=call.now)
    return Reply(answers.marked(done, call), 201 if done.new else 200)


def _picture(upload_id: str | None, call: Call) -> str | None:
    if upload_id is None:
        return None
    return uploads.arrived(upload_id, member_id=call.member_id, purpose="checkin", field="image")


@api.post(
    "/v1/checkins/{campaign_id}/makeups",
    door=doors.MEMBER,
    status=201,
    refuses=[
        *_CLOSED,
        Invalid,
        NotEnough,
        NotEnoughPoints,
        service.NoMakeups,
        service.NothingToMakeUp,
        service.MakeupsUsedUp,
    ],
)
def make_up(call: Call, campaign_id: str, body: MakeUp) -> Reply[CheckedIn]:
    """Make a missed day up, for points or a card; checked in already, nothing is paid."""
    campaigns.find(campaign_id, now=call.now)
    day = _date(body.date)
    done = service.make_up(
        campaign_id=campaign_id, member_id=call.member_id, day=day, pay=body.pay, now=call.now
    )
    return Reply(answers.marked(done, call), 201 if done.new else 200)


@api.put("/v1/checkins/{campaign_id}/reminder", door=doors.MEMBER, refuses=[NotFound, campaigns.CheckinOver])
def set_reminder(call: Call, campaign_id: str, body: SetReminder) -> Reminder:
    """Be reminded at a minute of the campaign's day, or not any more."""
    campaign = campaigns.find(campaign_id, now=call.now)
    at = reminders.choose(campaign, call.member_id, at_minute=body.at_minute, now=call.now)
    return Reminder(campaign_id=campaign_id, at_minute=body.at_minute, next_at=at, now=call.now)


@api.get("/v1/checkins/{campaign_id}/chat-groups/{chat_group_id}", door=doors.MEMBER, refuses=[NotFound])
def show_chat_board(call: Call, campaign_id: str, chat_group_id: str) -> ChatBoard:
    """The campaign among the people of a group chat that I am in, which POST /v1/me/chat-groups named."""
    return answers.chat_board(campaigns.find(campaign_id, now=call.now), chat_group_id, call)


@api.post(
    "/v1/checkins/{campaign_id}/teams",
    door=doors.MEMBER,
    status=201,
    refuses=[*_CLOSED, teams.NoTeams, ContentRefused],
)
def found_team(call: Call, campaign_id: str, body: FoundTeam) -> Reply[TeamAnswer]:
    """Found a team; in one already, that one. Until its title is checked it has the campaign's."""
    campaign = campaigns.find(campaign_id, now=call.now)
    judged = noting.judged_title(body.title, campaign_id, call)
    made = teams.found(campaign, call.member_id, title=body.title, judged=judged, now=call.now)
    return _team(made, call)


@api.get("/v1/checkins/{campaign_id}/teams/{team_id}", door=doors.PUBLIC, refuses=[NotFound])
def show_team(call: Call, campaign_id: str, team_id: str) -> TeamAnswer:
    """A team's progress together."""
    return answers.team(campaigns.find(campaign_id, now=call.now), team_id, call)


@api.post(
    "/v1/checkins/{campaign_id}/teams/{team_id}/members",
    door=doors.MEMBER,
    status=201,
    refuses=[*_CLOSED, teams.NoTeams, teams.TeamFull, teams.InAnotherTeam],
)
def join_team(call: Call, campaign_id: str, team_id: str) -> Reply[TeamAnswer]:
    """Join a friend's team; in it already, the same."""
    campaign = campaigns.find(campaign_id, now=call.now)
    return _team(teams.join(campaign, team_id, call.member_id, now=call.now), call)


@api.delete("/v1/checkins/{campaign_id}/teams/{team_id}/members/me", door=doors.MEMBER, refuses=[NotFound])
def leave_team(call: Call, campaign_id: str, team_id: str) -> TeamLeft:
    """Leave a team; not in it, nothing changes."""
    teams.leave(campaigns.find(campaign_id, now=call.now), team_id, call.member_id)
    return TeamLeft(campaign_id=campaign_id, team_id=team_id, now=call.now)


def _team(answer: tuple[Team, bool], call: Call) -> Reply[TeamAnswer]:
    row, new = answer
    campaign = campaigns.find(row.campaign_id, now=call.now)
    return Reply(answers.team(campaign, row.team_id, call), 201 if new else 200)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as wrong:
        raise Invalid(field="date", reason="no such date") from wrong
