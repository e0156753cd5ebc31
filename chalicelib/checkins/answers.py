"""What people see of check-ins: pages composed in one call, strangers' names masked."""

from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from chalicelib.checkins import campaigns, chats, rules, service, standings, teams
from chalicelib.checkins.marking import Marked
from chalicelib.checkins.models import Campaign, Note
from chalicelib.checkins.rules import Gifts
from chalicelib.checkins.schemas import (
    Brief,
    CampaignAnswer,
    ChatBoard,
    ChatPlace,
    CheckedIn,
    Coming,
    Given,
    ListedCampaign,
    MakeupOffer,
    Makeups,
    MateAnswer,
    Mine,
    NoteAnswer,
    Reward,
    TeamAnswer,
    Terms,
)
from chalicelib.checkins.standings import Standing
from chalicelib.core.http import Call
from chalicelib.members import service as members
from chalicelib.sharing import answers as sharing_answers
from chalicelib.sharing import rules as sharing
from chalicelib.uploads import service as uploads

COMING = 7
PLACES = 100


def terms(row: Campaign) -> Terms:
    """A campaign as everybody may see it."""
    return Terms(
        campaign_id=row.campaign_id,
        title=row.title,
        kind=row.type,
        state=row.state or "",
        timezone=row.timezone,
        day_starts_at_minute=row.day_starts_at_minute,
        every=row.every,
        target=row.target,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        rewards=msgspec.convert(row.rewards, list[Reward]),
        cycle=row.cycle,
        makeups=msgspec.convert(row.makeups, Makeups | None),
        freeze_at_most=row.freeze_at_most,
        notes=row.notes,
        team_size=row.team_size,
    )


def listed(rows: Sequence[Campaign], call: Call) -> list[ListedCampaign]:
    """Campaigns with how far the caller is, in one read for all of them."""
    session = call.caller.session
    if session is None:
        return [ListedCampaign(campaign=terms(row), mine=None) for row in rows]
    stand = standings.of_many([(row, session.member_id) for row in rows], now=call.now)
    return [ListedCampaign(campaign=terms(one.campaign), mine=_brief(one, call.now)) for one in stand]


def page(campaign: Campaign, call: Call) -> CampaignAnswer:
    """A campaign's whole page: my calendar, what comes next, my team, what can be made up."""
    session = call.caller.session
    seen = standings.of(campaign, session.member_id) if session else None
    refusal = campaigns.why_not(campaign, now=call.now)
    shown = mine(seen, call.now) if seen else None
    done = shown is not None and shown.done_today
    return CampaignAnswer(
        campaign=terms(campaign),
        mine=shown,
        team=_my_team(seen, call) if seen else None,
        note=_my_note(seen, call) if seen and done and campaign.notes else None,
        can_check_in=session is not None and refusal is None and not done,
        cannot_check_in_because=_because(refusal, signed_in=session is not None, done=done),
        poll_after_s=None,
        now=call.now,
    )


def _because(refusal: Exception | None, *, signed_in: bool, done: bool) -> str | None:
    if refusal is not None:
        return str(getattr(refusal, "code", ""))
    if not signed_in:
        return "unauthorized"
    return "done_today" if done else None


def _brief(seen: Standing, now: int) -> Brief:
    history, today = seen.history, campaigns.calendar(seen.campaign).turn_at(now)
    return Brief(done_today=today in history.days, streak=history.streak(today), total=history.total)


def mine(seen: Standing, now: int) -> Mine:
    """The whole of what a member sees of themselves."""
    campaign, history = seen.campaign, seen.history
    today, part = history.calendar.turn_at(now), seen.part
    coming = rules.ahead(campaigns.terms(campaign), history, today, turns=COMING)
    return Mine(
        **msgspec.structs.asdict(_brief(seen, now)),
        today=today.isoformat(),
        next_turn_at=history.calendar.begins(history.calendar.after(today)),
        days=_sorted(history.days),
        made_up=_sorted({one for row in seen.months for one in standings.dates(row, row.made_up)}),
        frozen=_sorted(history.frozen),
        completed=campaign.target is not None and history.total >= campaign.target,
        coming=[Coming(date=day.isoformat(), streak=n, gifts=given(gifts)) for day, n, gifts in coming],
        makeups=_offer(seen, now),
        remind_at_minute=part.remind_at_minute if part else None,
        team_id=part.team_id if part else None,
    )


def _sorted(days: frozenset[date] | set[date]) -> list[str]:
    return sorted(day.isoformat() for day in days)


def given(gifts: Gifts, missed: Mapping[str, str] | None = None) -> list[Given]:
    """Gifts as people see them, and the coupons that could not be given."""
    had = [
        Given(kind=kind, amount=amount, template_id=template or None)
        for (kind, template), amount in sorted(gifts.items())
    ]
    not_had = [
        Given(kind="coupon", amount=0, template_id=template, missed=code)
        for template, code in sorted((missed or {}).items())
    ]
    return had + not_had


def _offer(seen: Standing, now: int) -> MakeupOffer | None:
    makeups = seen.campaign.makeups
    if makeups is None:
        return None
    month = rules.month_of(campaigns.calendar(seen.campaign).turn_at(now))
    return MakeupOffer(
        points=makeups["points"],
        cards=makeups["cards"],
        left=max(0, makeups["per_month"] - service.made_up_in(seen, month)),
        dates=[day.isoformat() for day in service.makeable(seen, now=now)],
    )


def marked(done: Marked, call: Call) -> CheckedIn:
    """What a check-in or make-up brought, and the page after it."""
    return CheckedIn(
        date=done.turn.isoformat(),
        streak=done.streak,
        total=done.total,
        given=given(done.gifts, done.missed),
        frozen=[day.isoformat() for day in done.bridged],
        mine=mine(done.standing, call.now),
        now=call.now,
    )


def _my_team(seen: Standing, call: Call) -> TeamAnswer | None:
    if seen.part is None or seen.part.team_id is None:
        return None
    return team(seen.campaign, seen.part.team_id, call)


def _my_note(seen: Standing, call: Call) -> NoteAnswer | None:
    today = campaigns.calendar(seen.campaign).turn_at(call.now)
    return _note(service.note(seen.campaign.campaign_id, seen.member_id, today), today, call, mine=True)


def _note(row: Note | None, turn: date, call: Call, *, mine: bool) -> NoteAnswer | None:
    if row is None or row.state == "hidden" or (row.state == "pending" and not mine):
        return None
    image_url = uploads.url_of(row.image, base_url=call.base_url)
    return NoteAnswer(date=turn.isoformat(), text=row.text, image_url=image_url, state=row.state or "")


def team(campaign: Campaign, team_id: str, call: Call) -> TeamAnswer:
    """A team's progress together; its notes are for those in it.

    Raises:
        NotFound: there is none of this id in this campaign.
    """
    row, mates = teams.with_mates(campaign.campaign_id, team_id)
    me = call.caller.session.member_id if call.caller.session else None
    in_it = any(mate.member_id == me for mate in mates)
    stand = standings.of_many([(campaign, mate.member_id) for mate in mates], now=call.now)
    today = campaigns.calendar(campaign).turn_at(call.now)
    notes = service.notes(campaign, [mate.member_id for mate in mates], today) if in_it else {}
    shown = [
        _mate(one, call, founder=one.member_id == row.founder_id, note=notes.get(one.member_id))
        for one in stand
    ]
    return TeamAnswer(
        team_id=team_id,
        campaign_id=campaign.campaign_id,
        title=row.title,
        title_pending=row.title_pending if row.founder_id == me else None,
        size=row.size,
        free=row.free,
        done_today=sum(mate.done_today for mate in shown),
        total=sum(mate.total for mate in shown),
        completed=sum(campaign.target is not None and mate.total >= campaign.target for mate in shown),
        mates=shown,
        in_it=in_it,
        now=call.now,
    )


def chat_board(campaign: Campaign, group_id: str, call: Call) -> ChatBoard:
    """A campaign among the people of a group chat.

    Raises:
        NotFound: WeChat has not shown that the member is in it.
    """
    found = chats.board(campaign, group_id, call.member_id, now=call.now)
    members.make_ready([seen.member_id for seen in found[:PLACES]], now=call.now)
    own = [rank for rank, seen in enumerate(found, 1) if seen.member_id == call.member_id]
    return ChatBoard(
        campaign_id=campaign.campaign_id,
        chat_group_id=group_id,
        people=len(found),
        places=[_place(seen, rank, call) for rank, seen in enumerate(found[:PLACES], 1)],
        mine=_place(found[own[0] - 1], own[0], call) if own else None,
        now=call.now,
    )


def _place(seen: Standing, rank: int, call: Call) -> ChatPlace:
    return ChatPlace(
        **msgspec.structs.asdict(_brief(seen, call.now)),
        rank=rank,
        member=sharing_answers.person(seen.member_id, call, open_names=True),
        mine=seen.member_id == call.member_id,
    )


def _mate(seen: Standing, call: Call, *, founder: bool, note: Note | None) -> MateAnswer:
    session = call.caller.session
    mine = session is not None and session.member_id == seen.member_id
    return MateAnswer(
        **msgspec.structs.asdict(_brief(seen, call.now)),
        member=sharing_answers.person(seen.member_id, call, open_names=session is not None),
        mine=mine,
        founder=founder,
        note=_note(note, campaigns.calendar(seen.campaign).turn_at(call.now), call, mine=mine),
    )


def describe(campaign_id: str, now: int) -> dict[str, str]:
    """What a shared campaign's card may show."""
    return {"title": campaigns.find(campaign_id, now=now).title}


def describe_team(team_ref: str, now: int) -> dict[str, str]:
    """What a shared team's card may show; the reference is the campaign's id and the team's."""
    campaign_id, _, team_id = team_ref.partition(".")
    row = teams.find(campaign_id, team_id)
    return {"title": row.title, "free": str(row.free), "size": str(row.size)}


sharing.target_kind(
    "checkin", variables=set(), path="/pages/checkin/checkin?id={id}&link={link}", describe=describe
)
sharing.target_kind(
    "checkin_team",
    variables={"free", "size"},
    path="/pages/checkin/team?id={id}&link={link}",
    describe=describe_team,
)
