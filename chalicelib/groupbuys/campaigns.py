"""The rules of campaigns: making, editing, pausing, closing, and what is left of their stock."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.core import due, ids, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, Gone, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.shards import SOLD_OUT_FOR_S, evenly
from chalicelib.core.table import Write
from chalicelib.groupbuys import rules
from chalicelib.groupbuys.models import Campaign, Stock
from chalicelib.groupbuys.schemas import EditCampaign
from chalicelib.operators import service as operators

CLOSE_JOB = "close"
SHARDS_AT_MOST = 400
GOING_ON = ("running", "pausing", "paused")
"""What a campaign is until it is closed, for good."""


class CampaignNotStarted(Conflict):
    """The campaign's time has not come; ``details.starts_at`` says when it does."""

    code = "campaign_not_started"
    en = "This offer has not started yet."
    zh = "活动尚未开始。"
    advice = "Count down to `details.starts_at`."


class CampaignOver(Gone):
    """The campaign's time is over, or it was closed; open groups may still be joined."""

    code = "campaign_over"
    en = "This offer is over."
    zh = "活动已结束。"
    advice = "Offer `details.joinable`, if there are any."


class CampaignPaused(Conflict):
    """The shop paused the campaign; open groups may still be joined."""

    code = "campaign_paused"
    en = "This offer is paused."
    zh = "活动已暂停。"
    advice = "Try again later, or join an open group."


_campaigns: Cache[Campaign] = Cache()
_lists: Cache[list[Campaign]] = Cache()
short_of: Cache[dict[int, int]] = Cache(for_s=SOLD_OUT_FOR_S)
"""What was left in the shards of (campaign, SKU) when it was too little for somebody."""


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a campaign, when, and the key under which a repeat is recognised."""

    by: Operator
    now: int
    idempotency_key: str | None


# --- reading ------------------------------------------------------------------------------------------------


def find(campaign_id: str, *, now: int) -> Campaign:
    """The campaign, at most 30 seconds old.

    Raises:
        NotFound: there is none.
    """

    return _campaigns.get(campaign_id, now=now, load=lambda: as_it_is(campaign_id))


def as_it_is(campaign_id: str) -> Campaign:
    """The campaign as it is at this moment.

    Raises:
        NotFound: there is none.
    """
    campaign = table.get(Campaign, Campaign.key(campaign_id))
    if campaign is None:
        raise NotFound
    return campaign


def changed(campaign_id: str) -> None:
    """This process has changed the campaign, and remembers it no more."""
    _campaigns.forget(campaign_id)
    _lists.clear()


def open_now(campaign_id: str, *, now: int) -> Campaign:
    """The campaign, if groups can be opened; the stock's own condition decides, this only refuses early.

    Raises:
        NotFound, CampaignNotStarted, CampaignOver, CampaignPaused.
    """
    campaign = find(campaign_id, now=now)
    refusal = _closed_because(campaign, now=now)
    if refusal is not None:
        raise refusal
    return campaign


def can_open(campaign: Campaign, *, now: int) -> bool:
    """Whether groups can be opened now, as far as its time and state go."""
    return _closed_because(campaign, now=now) is None


def _closed_because(campaign: Campaign, *, now: int) -> Conflict | Gone | None:
    if now < campaign.starts_at:
        return CampaignNotStarted(starts_at=campaign.starts_at)
    if campaign.state == "closed" or campaign.ends_at <= now:
        return CampaignOver(ends_at=campaign.ends_at)
    return None if campaign.state == "running" else CampaignPaused()


def stock_refusal(row: Stock | None, *, now: int, window: bool) -> Exception | None:
    """What a refusing shard says besides having too little."""
    if row is None:
        return NotFound()
    if not window:
        return None
    if now < row.starts_at:
        return CampaignNotStarted(starts_at=row.starts_at)
    if row.ends_at <= now:
        return CampaignOver(ends_at=row.ends_at)
    return None if row.on else CampaignPaused()


def visible(*, product_id: str | None = None, now: int) -> list[Campaign]:
    """Campaigns that can be seen, of this product if one is named, newest first; at most 30 seconds old.

    One whose time is over is seen for as long as a group that its last head opened may be joined.
    """
    rows = [row for row in recent(now=now) if row.state != "closed"]
    seen = [row for row in rows if row.visible_from <= now < _last_group_ends_at(row)]
    return [row for row in seen if product_id in (None, row.product["id"])]


def _last_group_ends_at(row: Campaign) -> int:
    return int(row.ends_at + row.open_hold_s + row.group_lifetime_s)


def recent(*, now: int) -> list[Campaign]:
    """All campaigns, newest first, at most 30 seconds old."""
    return _lists.get("all", now=now, load=everything)


def everything() -> list[Campaign]:
    """All campaigns, newest first."""
    rows = table.query_all(Campaign, "CAMPAIGNS")
    return sorted(rows, key=lambda row: (row.created_at, row.sk), reverse=True)


def stock_left(campaign: Campaign, sku_id: str) -> dict[int, int]:
    """Units left in each shard of a SKU, read consistently."""
    keys = [Stock.key(campaign.campaign_id, sku_id, k) for k in range(campaign.stock_shards)]
    rows = table.get_all([(Stock, key) for key in keys])
    return {k: row.left for k, row in enumerate(rows) if row is not None}


# --- making and changing ------------------------------------------------------------------------------------


def make(
    given: EditCampaign, making: Making, *, copied_from: str | None = None, asked: Any = None
) -> Campaign:
    """A new campaign with its stock; the same key and body again answers with the first.

    ``asked`` is the body by which a repeat is recognised, where it is not ``given`` itself.

    Raises:
        Invalid: something about it is wrong. IdempotencyMismatch: the key came with another body.
    """
    rules.valid_campaign(given)
    fingerprint = _fingerprint(asked or given)
    campaign = row_of(_id_for(making), given, fingerprint=fingerprint, now=making.now)
    campaign.copied_from = copied_from
    audit = _audit("groupbuy.made", None, campaign, making)
    try:
        _new(campaign)
        # By all its terms, for the original of a copy may have changed since its making broke off.
        operators.begun(
            campaign.campaign_id, _fingerprint(given), by=making.by, idempotency_key=making.idempotency_key
        )
        # The stock of a campaign whose making broke off is made by the repeat.
        _make_stock(campaign, given)
        table.transact([table.create(campaign), audit])
    except table.Taken as first:
        if first.row.fingerprint != fingerprint:
            raise IdempotencyMismatch(field="Idempotency-Key", reason="used for another body") from first
        campaign = first.row
    changed(campaign.campaign_id)
    return campaign


def _fingerprint(body: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()


def _new(campaign: Campaign) -> None:
    # Before any stock: the key of a campaign that is there must not bring it shards of another body.
    there = table.get(Campaign, Campaign.key(campaign.campaign_id))
    if there is not None:
        raise table.Taken(there)


def _id_for(making: Making) -> str:
    if making.idempotency_key:
        return ids.derived("cmp", making.by.key_id, making.idempotency_key)
    return ids.ulid("cmp", now=making.now, entropy=ids.entropy(now=making.now))


def row_of(campaign_id: str, given: EditCampaign, *, fingerprint: str, now: int) -> Campaign:
    """The row of a campaign with these terms."""
    return Campaign(
        *Campaign.key(campaign_id),
        state="running",
        campaign_id=campaign_id,
        title=given.title,
        product=msgspec.to_builtins(given.product),
        mode=given.mode,
        reserve=given.reserve or rules.reserve_for(given),
        sizes=sorted(price.size for price in given.product.skus[0].prices),
        new_members_only=given.new_members_only,
        max_units_per_seat=given.max_units_per_seat,
        per_member_units=given.per_member_units,
        per_member_groups=given.per_member_groups,
        visible_from=given.starts_at if given.visible_from is None else given.visible_from,
        starts_at=given.starts_at,
        ends_at=given.ends_at,
        group_lifetime_s=given.group_lifetime_s,
        hold_s=given.hold_s,
        open_hold_s=given.open_hold_s or given.hold_s,
        late_payment=given.late_payment,
        fill_at_expiry_from=given.fill_at_expiry_from,
        stock_shards=given.stock_shards,
        on=True,
        edition=0,
        created_at=now,
        fingerprint=fingerprint,
        **due.slot(job=CLOSE_JOB, pk=campaign_id, at=given.ends_at),
    )


def _make_stock(campaign: Campaign, given: EditCampaign) -> None:
    shards = campaign.stock_shards
    if shards * len(given.product.skus) > SHARDS_AT_MOST:
        raise Invalid(field="stock_shards", reason="too many shards in all", at_most=SHARDS_AT_MOST)
    rows = [
        Stock(
            *Stock.key(campaign.campaign_id, sku.sku_id, k),
            campaign_id=campaign.campaign_id,
            sku_id=sku.sku_id,
            left=units,
            put=units,
            on=True,
            edition=0,
            starts_at=campaign.starts_at,
            ends_at=campaign.ends_at,
        )
        for sku in given.product.skus
        for k, units in enumerate(evenly(sku.stock, shards))
    ]
    for row in rows:
        _once(table.create(row))


def _once(write: Write) -> None:
    try:
        table.apply(write)
    except table.Taken:
        return


def switch(
    campaign_id: str,
    *,
    to: str,
    making: Making,
    also: Sequence[Action] = (),
    told: Mapping[str, Any] | None = None,
) -> Campaign:
    """Pause, resume or close a campaign: every shard by its own write, the state between is ``pausing``.

    Broken off, it is done by saying it again. ``also`` is written with the last write, ``told`` in the trail.

    Raises:
        NotFound: there is none. CampaignOver: it was closed. Busy: somebody else changes it right now.
    """
    campaign = as_it_is(campaign_id)
    if campaign.state == to:
        return campaign
    if campaign.state == "closed":
        raise CampaignOver(ends_at=campaign.ends_at)
    on = to == "running"
    between = [] if on else [Campaign.state.set("pausing")]
    begun = edition(campaign, *between, on=on)
    reach_shards(begun)
    audit = _audit(f"groupbuy.{to}", campaign, begun, making, state=to, **(told or {}))
    other = Campaign.state.is_in(*(one for one in GOING_ON if one != to))
    last = table.update(
        Campaign,
        Campaign.key(campaign_id),
        Campaign.state.set(to),
        *also,
        when=(Campaign.edition == begun.edition) & other,
        refuse=Moved,
    )
    try:
        table.transact([last, audit])
    except Moved as moved:
        if moved.row.state != to:
            raise Busy from moved
    changed(campaign_id)
    return find(campaign_id, now=making.now)


class Moved(Exception):
    """The campaign is not what it was; ``row`` says what it is."""

    def __init__(self, row: Campaign) -> None:
        super().__init__(row.campaign_id)
        self.row = row


def edition(campaign: Campaign, *actions: Action, on: bool) -> Campaign:
    """The campaign's next edition, on or off, which its shards have not yet.

    Raises:
        Busy: somebody else changes it right now.
    """
    write = next_edition(campaign, *actions, Campaign.on.set(on))
    try:
        row = table.apply(write)
    except Moved as moved:
        row = moved.row
        # A lost reply, or somebody who says the same: the shards are brought to what it is either way.
        if (row.edition, row.on) != (campaign.edition + 1, on):
            raise Busy from moved
    assert isinstance(row, Campaign)
    return row


def next_edition(campaign: Campaign, *actions: Action) -> Write:
    """The write that makes it, if nobody else made one since it was read."""
    return table.update(
        Campaign,
        Campaign.key(campaign.campaign_id),
        *actions,
        Campaign.edition.add(1),
        when=(Campaign.edition == campaign.edition) & (Campaign.state != "closed"),
        refuse=Moved,
    )


def reach_shards(campaign: Campaign) -> None:
    """Every shard has the campaign's window and is on or off as it is; a shard of a later edition stays so.

    Broken off, the shards that are behind are reached the next time.
    """
    for key in _behind(campaign):
        write = table.update(
            Stock,
            key,
            Stock.on.set(campaign.on),
            Stock.starts_at.set(campaign.starts_at),
            Stock.ends_at.set(campaign.ends_at),
            Stock.edition.set(campaign.edition),
            when=Stock.edition < campaign.edition,
            refuse=_AsItWas,
        )
        try:
            table.apply(write)
        except _AsItWas:
            continue


class _AsItWas(Exception):
    """The shard is as new already, or newer."""


def _behind(campaign: Campaign) -> list[table.Key]:
    keys = [
        Stock.key(campaign.campaign_id, sku["sku_id"], k)
        for sku in campaign.product["skus"]
        for k in range(campaign.stock_shards)
    ]
    found: list[table.Key] = []
    for at in range(0, len(keys), 100):
        rows = table.get_many([(Stock, key) for key in keys[at : at + 100]])
        found += [(row.pk, row.sk) for row in rows if row is not None and row.edition < campaign.edition]
    return found


def add_stock(campaign_id: str, *, sku_id: str, units: int, making: Making) -> dict[int, int]:
    """More units for a SKU, or, with a negative number, fewer; never below what is left of a shard.

    With an Idempotency-Key, once, however often it is said.

    Raises:
        NotFound: no such campaign. Invalid: no such SKU, or not so many are left in one shard.
        IdempotencyMismatch: the key came with another change.
    """
    campaign = find(campaign_id, now=making.now)
    rules.sku_of(campaign.product, sku_id)
    left = stock_left(campaign, sku_id)
    k = min(left, key=lambda shard: left[shard]) if units > 0 else max(left, key=lambda shard: left[shard])
    enough = Stock.left >= -units if units < 0 else None
    refusal = Invalid(field="units", reason="fewer are left in any one shard", left=left[k])
    change = table.update(
        Stock,
        Stock.key(campaign_id, sku_id, k),
        Stock.left.add(units),
        Stock.put.add(units),
        when=enough,
        refuse=lambda _: refusal,
    )
    audit = operators.recorded(
        by=making.by,
        action="groupbuy.stock",
        subject=campaign_id,
        before={"sku_id": sku_id, "left": sum(left.values())},
        after={"units": units},
        now=making.now,
    )
    once = operators.said_once(
        "groupbuy.stock",
        campaign_id,
        sku_id,
        units,
        by=making.by,
        idempotency_key=making.idempotency_key,
    )
    with suppress(operators.Repeated):
        table.transact([*once, change, audit])
    short_of.forget((campaign_id, sku_id))
    return stock_left(campaign, sku_id)


def _audit(action: str, before: Campaign | None, after: Campaign, making: Making, **told: Any) -> Write:
    return operators.recorded(
        by=making.by,
        action=action,
        subject=after.campaign_id,
        before=before and _told(before),
        after=_told(after) | told,
        now=making.now,
    )


def _told(row: Campaign) -> dict[str, Any]:
    names = ("title", "state", "mode", "reserve", "sizes", "starts_at", "ends_at", "product", "copied_from")
    return {name: getattr(row, name) for name in names}
