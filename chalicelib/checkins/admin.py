"""HTTP for operators: check-in campaigns and what came of them."""

import msgspec

from chalicelib.checkins import answers, campaigns, noting, reporting, rules
from chalicelib.checkins.models import Campaign, Note
from chalicelib.checkins.schemas import (
    AdminCampaign,
    AdminCampaigns,
    EditCampaign,
    NoteAnswer,
    Report,
    ReportDay,
    ReportQuery,
    TurnNote,
)
from chalicelib.core import cursors, doors
from chalicelib.core.errors import IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.http import Api, Call, Items, Listing, Reply
from chalicelib.uploads import service as uploads

api = Api(__name__)
_MARKETING = doors.operators("marketing")
_WATCHING = doors.operators("marketing", "support")


@api.get("/v1/admin/checkins", door=doors.ANY_OPERATOR, csv=True)
def list_campaigns(call: Call) -> AdminCampaigns:
    """All campaigns, newest first."""
    return AdminCampaigns(items=[_campaign(row, call) for row in campaigns.everything()], now=call.now)


@api.post("/v1/admin/checkins", door=_MARKETING, status=201, refuses=[Invalid, IdempotencyMismatch])
def make(call: Call, body: EditCampaign) -> Reply[AdminCampaign]:
    """A new campaign; with an Idempotency-Key a repeat answers with the first."""
    return Reply(_campaign(campaigns.make(body, _making(call)), call), 201)


@api.put(
    "/v1/admin/checkins/{campaign_id}", door=_MARKETING, refuses=[NotFound, Invalid, campaigns.CheckinOver]
)
def edit(call: Call, campaign_id: str, body: EditCampaign) -> AdminCampaign:
    """The campaign with all it is told anew; what its days are cannot change any more."""
    return _campaign(campaigns.edit(campaign_id, body, _making(call)), call)


@api.post(
    "/v1/admin/checkins/{campaign_id}/pause", door=_MARKETING, refuses=[NotFound, campaigns.CheckinOver]
)
def pause(call: Call, campaign_id: str) -> AdminCampaign:
    """Nobody checks in for now."""
    return _campaign(campaigns.switch(campaign_id, to="paused", making=_making(call)), call)


@api.post(
    "/v1/admin/checkins/{campaign_id}/resume", door=_MARKETING, refuses=[NotFound, campaigns.CheckinOver]
)
def resume(call: Call, campaign_id: str) -> AdminCampaign:
    """People can check in again."""
    return _campaign(campaigns.switch(campaign_id, to="running", making=_making(call)), call)


@api.post("/v1/admin/checkins/{campaign_id}/close", door=_MARKETING, refuses=[NotFound])
def close(call: Call, campaign_id: str) -> AdminCampaign:
    """It is over, for good; what was earned stays."""
    return _campaign(campaigns.switch(campaign_id, to="closed", making=_making(call)), call)


@api.get(
    "/v1/admin/checkins/{campaign_id}/report",
    door=doors.operators("marketing", "finance"),
    refuses=[NotFound, cursors.CursorInvalid],
)
def show_report(call: Call, campaign_id: str, query: ReportQuery) -> Report:
    """A month of a campaign, day by day: this month, unless said."""
    campaign = campaigns.find(campaign_id, now=call.now)
    month = query.month or rules.month_of(campaigns.calendar(campaign).turn_at(call.now))
    where = f"checkins#{campaign_id}#{month}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    found = reporting.month(campaign_id, month, after=after)
    days = [
        ReportDay(date=f"{month}-{day:02d}", checked_in=count, made_up=found.made_up[day])
        for day, count in sorted(found.checked_in.items())
    ]
    next_page = cursors.seal(found.next_key, where=where, now=call.now)
    return Report(
        campaign_id=campaign_id,
        month=month,
        members=found.members,
        items=days,
        next=next_page,
        now=call.now,
    )


@api.get(
    "/v1/admin/checkins/{campaign_id}/members/{member_id}/notes",
    door=_WATCHING,
    refuses=[NotFound, cursors.CursorInvalid],
)
def list_notes(call: Call, campaign_id: str, member_id: str, query: Listing) -> Items[NoteAnswer]:
    """What a member said with their check-ins, newest first, hidden or not."""
    campaigns.find(campaign_id, now=call.now)
    where = f"notes#{campaign_id}#{member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = noting.page(campaign_id, member_id, limit=query.limit, after=after)
    next_page = cursors.seal(page.next_key, where=where, now=call.now)
    return Items(items=[_note(row, call) for row in page.rows], next=next_page, now=call.now)


@api.put(
    "/v1/admin/checkins/{campaign_id}/members/{member_id}/notes/{date}", door=_WATCHING, refuses=[NotFound]
)
def turn_note(call: Call, campaign_id: str, member_id: str, date: str, body: TurnNote) -> NoteAnswer:
    """Hide a note from everybody, or show it again."""
    turned = noting.turn(
        campaign_id, member_id, date, to=body.state, reason=body.reason, making=_making(call)
    )
    return _note(turned, call)


def _note(row: Note, call: Call) -> NoteAnswer:
    image_url = uploads.url_of(row.image, base_url=call.base_url)
    return NoteAnswer(date=row.sk, text=row.text, image_url=image_url, state=row.state or "")


def _making(call: Call) -> campaigns.Making:
    return campaigns.Making(by=call.operator, now=call.now, idempotency_key=call.idempotency_key)


def _campaign(row: Campaign, call: Call) -> AdminCampaign:
    shown = msgspec.structs.asdict(answers.terms(row))
    return AdminCampaign(**shown, created_at=row.created_at, now=call.now)
