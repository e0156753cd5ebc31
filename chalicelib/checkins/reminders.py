"""Reminders: a member's part is due at the time of their choice, and becomes a fact when they have not come yet.

Who sends the message subscribes to checkin.reminder. The cost follows who opted in.
"""

from chalicelib.checkins import campaigns, standings
from chalicelib.checkins.models import Campaign, Part
from chalicelib.core import due, table
from chalicelib.core.table import Write

JOB = "checkin_remind"


class _AsItWas(Exception):
    """It is so already, or somebody else has dealt with it."""


def choose(campaign: Campaign, member_id: str, *, at_minute: int | None, now: int) -> int | None:
    """Be reminded at this minute of each turn's first day, or with None not any more; when that is next.

    Raises:
        CheckinOver: there is nothing to be reminded of any more.
    """
    key = Part.key(campaign.campaign_id, member_id)
    if at_minute is None:
        off = (Part.remind_at_minute.remove(), *due.emptied())
        _apply(table.update(Part, key, *off, when=Part.remind_at_minute.exists(), refuse=_AsItWas))
        return None
    refusal = campaigns.why_not(campaign, now=now)
    if isinstance(refusal, campaigns.CheckinOver):
        raise refusal
    at = campaigns.calendar(campaign).at_minute(at_minute, after=now)
    named = (Part.campaign_id.set(campaign.campaign_id), Part.member_id.set(member_id))
    actions = (Part.remind_at_minute.set(at_minute), *named, *due.moved(job=JOB, pk=key[0], at=at))
    other = Part.due_at.does_not_exist() | (Part.due_at != at) | (Part.remind_at_minute != at_minute)
    _apply(table.upsert(Part, key, *actions, when=other, refuse=lambda _: _AsItWas()))
    return at


@due.handles(JOB)
def remind(entry: due.Entry, now: int) -> None:
    """Make it a fact that a member has not come yet, once a turn, and be due again for the next."""
    part = table.get(Part, (entry.pk, entry.sk))
    if part is None or part.due_at != entry.due_at or part.remind_at_minute is None:
        return
    campaign = campaigns.find(part.campaign_id, now=now)
    key = (entry.pk, entry.sk)
    unmoved = (Part.due_at == entry.due_at) & (Part.due_shard == entry.due_shard)
    if isinstance(campaigns.why_not(campaign, now=now), campaigns.CheckinOver):
        actions = [Part.remind_at_minute.remove(), *due.emptied()]
    else:
        at = campaigns.calendar(campaign).at_minute(part.remind_at_minute, after=now)
        actions = due.moved(job=JOB, pk=entry.pk, at=at)
    turn = campaigns.calendar(campaign).turn_at(now)
    waiting = campaigns.why_not(campaign, now=now) is None
    if waiting and turn not in standings.of(campaign, part.member_id).history.days:
        actions.append(Part.state.set(turn.isoformat()))
    _apply(table.update(Part, key, *actions, when=unmoved, refuse=lambda _: _AsItWas()))


def _apply(write: Write) -> None:
    try:
        table.apply(write)
    except _AsItWas:
        return
