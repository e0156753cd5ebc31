"""The rules of check-in campaigns: making, editing, pausing, closing."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec

from chalicelib.checkins import rules
from chalicelib.checkins.models import Campaign
from chalicelib.checkins.rules import Calendar, Terms
from chalicelib.checkins.schemas import EditCampaign
from chalicelib.core import ids, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import AppError, Busy, Conflict, Gone, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.table import Write
from chalicelib.operators import service as operators

FIXED = ("type", "timezone", "day_starts_at_minute", "every", "starts_at")
"""What the days of a campaign are: changed, they would mean something else than when they were written."""


class CheckinNotStarted(Conflict):
    """The campaign's time has not come; ``details.starts_at`` says when it does."""

    code = "checkin_not_started"
    en = "This has not started yet."
    zh = "活动尚未开始。"
    advice = "Count down to `details.starts_at`."


class CheckinOver(Gone):
    """The campaign's time is over, or it was closed; what was earned stays."""

    code = "checkin_over"
    en = "This is over."
    zh = "活动已结束。"
    advice = "Show the calendar as it is, and other campaigns."


class CheckinPaused(Conflict):
    """The shop paused the campaign."""

    code = "checkin_paused"
    en = "This is paused."
    zh = "活动已暂停。"
    advice = "Show the message; try again later."


_campaigns: Cache[Campaign] = Cache()


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes or changes a campaign, when, and the key under which a repeat is recognised."""

    by: Operator
    now: int
    idempotency_key: str | None = None


# --- reading ------------------------------------------------------------------------------------------------


def find(campaign_id: str, *, now: int) -> Campaign:
    """The campaign, at most 30 seconds old.

    Raises:
        NotFound: there is none.
    """
    return _campaigns.get(campaign_id, now=now, load=lambda: _read(campaign_id))


def _read(campaign_id: str) -> Campaign:
    campaign = table.get(Campaign, Campaign.key(campaign_id))
    if campaign is None:
        raise NotFound
    return campaign


def why_not(campaign: Campaign, *, now: int) -> AppError | None:
    """Why nobody can check in now; None when everybody can."""
    if now < campaign.starts_at:
        return CheckinNotStarted(starts_at=campaign.starts_at)
    if campaign.state == "closed" or (campaign.ends_at is not None and campaign.ends_at <= now):
        return CheckinOver(ends_at=campaign.ends_at)
    return None if campaign.state == "running" else CheckinPaused()


def visible(*, now: int) -> list[Campaign]:
    """Campaigns that are not over, newest first."""
    return [row for row in everything() if not isinstance(why_not(row, now=now), CheckinOver)]


def everything() -> list[Campaign]:
    """All campaigns, newest first."""
    rows = table.query_all(Campaign, "CHECKINS")
    return sorted(rows, key=lambda row: (row.created_at, row.sk), reverse=True)


def calendar(campaign: Campaign) -> Calendar:
    """The turns of a campaign."""
    return _calendar(campaign.timezone, campaign.day_starts_at_minute, campaign.every == "week")


@lru_cache(maxsize=256)
def _calendar(timezone: str, day_starts_at_minute: int, weekly: bool) -> Calendar:
    return Calendar(zone=ZoneInfo(timezone), day_starts_at_minute=day_starts_at_minute, weekly=weekly)


def terms(campaign: Campaign) -> Terms:
    """What a campaign gives."""
    return Terms(rewards=campaign.rewards, cycle=campaign.cycle, target=campaign.target)


# --- making and changing ------------------------------------------------------------------------------------


def make(given: EditCampaign, making: Making) -> Campaign:
    """A new campaign; the same key and body again answers with the first.

    Raises:
        Invalid: something about it is wrong. IdempotencyMismatch: the key came with another body.
    """
    rules.valid_campaign(given)
    campaign = _row(_id_for(making), given, created_at=making.now)
    try:
        table.transact([table.create(campaign), _audit("checkin.made", None, campaign, making)])
    except table.Taken as first:
        if first.row.fingerprint != campaign.fingerprint:
            raise IdempotencyMismatch(field="Idempotency-Key", reason="used for another body") from first
        campaign = first.row
    return campaign


def edit(campaign_id: str, given: EditCampaign, making: Making) -> Campaign:
    """The campaign with all it is told anew; what was earned stays. The same again changes nothing.

    Raises:
        NotFound: there is none. CheckinOver: it was closed. Invalid: something is wrong, or cannot change any more.
    """
    rules.valid_campaign(given)
    before = _read(campaign_id)
    row = _row(campaign_id, given, created_at=before.created_at)
    for name in FIXED:
        if getattr(row, name) != getattr(before, name):
            field = "kind" if name == "type" else name
            raise Invalid(field=field, reason="it cannot change any more", is_now=getattr(before, name))
    if before.state == "closed":
        raise CheckinOver(ends_at=before.ends_at)
    if _told(row) == {**_told(before), "state": row.state}:
        return before
    row.state, row.rev, row.fingerprint = before.state, before.rev + 1, before.fingerprint
    replaced = Write(operation="Put", row=row, when=Campaign.rev == before.rev, refuse=Busy)
    table.transact([replaced, _audit("checkin.edited", before, row, making)])
    _campaigns.forget(campaign_id)
    return row


def switch(campaign_id: str, *, to: str, making: Making) -> Campaign:
    """Pause, resume or close a campaign, everywhere within 30 seconds; it is so already, nothing changes.

    Raises:
        NotFound: there is none. CheckinOver: it was closed.
    """
    before = _read(campaign_id)
    if before.state == to:
        return before
    if before.state == "closed":
        raise CheckinOver(ends_at=before.ends_at)
    change = table.update(
        Campaign,
        Campaign.key(campaign_id),
        Campaign.state.set(to),
        when=Campaign.rev == before.rev,
        refuse=Busy,
    )
    after = _told(before) | {"state": to}
    table.transact([change, _recorded(f"checkin.{to}", campaign_id, _told(before), after, making)])
    _campaigns.forget(campaign_id)
    return find(campaign_id, now=making.now)


def _id_for(making: Making) -> str:
    if making.idempotency_key:
        return ids.derived("cmp", "checkin", making.by.key_id, making.idempotency_key)
    return ids.ulid("cmp", now=making.now, entropy=ids.entropy(now=making.now))


def _row(campaign_id: str, given: EditCampaign, *, created_at: int) -> Campaign:
    told = cast(dict[str, Any], msgspec.to_builtins(given))
    kind = told.pop("kind")
    fingerprint = hashlib.sha256(msgspec.json.encode(given, order="sorted")).hexdigest()
    return Campaign(
        *Campaign.key(campaign_id),
        state="running",
        campaign_id=campaign_id,
        type=kind,
        created_at=created_at,
        fingerprint=fingerprint,
        **told,
    )


def _told(row: Campaign) -> dict[str, Any]:
    names: Sequence[str] = ("type", *EditCampaign.__struct_fields__, "state")
    return {name: getattr(row, name) for name in names if name != "kind"}


def _audit(action: str, before: Campaign | None, after: Campaign, making: Making) -> Write:
    return _recorded(action, after.campaign_id, before and _told(before), _told(after), making)


def _recorded(action: str, subject: str, before: Any, after: Any, making: Making) -> Write:
    return operators.recorded(
        by=making.by, action=action, subject=subject, before=before, after=after, now=making.now
    )
