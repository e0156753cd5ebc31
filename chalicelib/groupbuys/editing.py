"""The rules of changing a campaign that runs, and of making another like it.

What a group was promised is on the group: an edit is for groups that open after it. What groups and units are
counted by (sizes, variants, mode, reserve, shards) stays as it was made; so does the start once it has come,
for who counts as a new member hangs on it, with the product's id and categories, for what its orders earn goes by
them, and the end once the mall was told what is unused, for it sells that.
"""

from typing import Any

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.core import due, table
from chalicelib.core.errors import Busy, Invalid
from chalicelib.groupbuys import campaigns, rules
from chalicelib.groupbuys.campaigns import CampaignOver, Making
from chalicelib.groupbuys.models import Campaign
from chalicelib.groupbuys.schemas import CopyCampaign, EditCampaign, Product
from chalicelib.operators import service as operators

_EDITED = (
    "title",
    "product",
    "max_units_per_seat",
    "per_member_units",
    "per_member_groups",
    "visible_from",
    "starts_at",
    "ends_at",
    "group_lifetime_s",
    "hold_s",
    "open_hold_s",
    "late_payment",
    "fill_at_expiry_from",
)
_MADE = ("mode", "reserve", "new_members_only", "stock_shards")


def terms(campaign: Campaign) -> EditCampaign:
    """A campaign as an operator would say it: to be changed and sent back, or copied."""
    names = [name for name in (*_EDITED, *_MADE) if name != "product"]
    told = {name: getattr(campaign, name) for name in names}
    return EditCampaign(product=msgspec.convert(campaign.product, Product), **told)


def edit(campaign_id: str, given: EditCampaign, making: Making) -> Campaign:
    """Change what may be changed while groups run; said again, also after it broke off, it is the same.

    The window is every shard's own: each is brought to it by its own write.

    Raises:
        NotFound: there is none. CampaignOver: it was closed. Invalid: the field that is wrong, or stays as it is.
        Busy: somebody else changes it right now.
    """
    campaign = campaigns.as_it_is(campaign_id)
    if campaign.state == "closed":
        raise CampaignOver(ends_at=campaign.ends_at)
    rules.valid_campaign(given)
    _stays(terms(campaign), given, begun=campaign.starts_at <= making.now)
    if campaign.told_at is not None:
        _same("ends_at", campaign.ends_at, given.ends_at)
    if _changes(campaign, given):
        campaign = _changed(campaign, given, making)
    campaigns.reach_shards(campaign)
    campaigns.changed(campaign_id)
    return campaign


def _stays(now: EditCampaign, given: EditCampaign, *, begun: bool) -> None:
    made = [name for name in _MADE if name != "reserve" or given.reserve is not None]
    for name in (*made, "starts_at") if begun else made:
        _same(name, getattr(now, name), getattr(given, name))
    if begun:
        _same("product.id", now.product.id, given.product.id)
        _same("product.category_ids", now.product.category_ids, given.product.category_ids)
    was, wanted = now.product.skus, given.product.skus
    _same("product.skus", [sku.sku_id for sku in was], [sku.sku_id for sku in wanted])
    _same("product.skus.stock", [sku.stock for sku in was], [sku.stock for sku in wanted])
    _same(
        "product.skus.prices",
        sorted(price.size for price in was[0].prices),
        sorted(price.size for price in wanted[0].prices),
    )


def _same(field: str, was: Any, wanted: Any) -> None:
    if was != wanted:
        raise Invalid(field=field, reason="it stays as it was made; copy the campaign to change it", was=was)


def _changes(campaign: Campaign, given: EditCampaign) -> dict[str, Any]:
    wanted = campaigns.row_of(campaign.campaign_id, given, fingerprint="", now=0)
    values = {name: getattr(wanted, name) for name in _EDITED}
    return {name: value for name, value in values.items() if value != getattr(campaign, name)}


def _changed(campaign: Campaign, given: EditCampaign, making: Making) -> Campaign:
    changes = _changes(campaign, given)
    actions = [
        getattr(Campaign, name).remove() if value is None else getattr(Campaign, name).set(value)
        for name, value in changes.items()
    ]
    audit = operators.recorded(
        by=making.by,
        action="groupbuy.edited",
        subject=campaign.campaign_id,
        before={name: getattr(campaign, name) for name in changes},
        after=changes,
        now=making.now,
    )
    change = campaigns.next_edition(campaign, *actions, *_end_moved(campaign, changes))
    if "ends_at" in changes:
        change = change.also(Campaign.told_at.does_not_exist())
    try:
        table.transact([change, audit])
    except campaigns.Moved as moved:
        # A lost reply looks like this, and so does somebody who was first.
        if moved.row.state == "closed" or _changes(moved.row, given):
            raise Busy from moved
    return campaigns.as_it_is(campaign.campaign_id)


def _end_moved(campaign: Campaign, changes: dict[str, Any]) -> list[Action]:
    """When the window ends is when it is first looked whether all of it is over."""
    if "ends_at" not in changes:
        return []
    return due.moved(job=campaigns.CLOSE_JOB, pk=campaign.campaign_id, at=changes["ends_at"])


def copy(campaign_id: str, asked: CopyCampaign, making: Making) -> Campaign:
    """A campaign like this one at another time; the same key and body again answers with the first.

    Raises:
        NotFound: there is none. Invalid: no such SKU, or its time is wrong. IdempotencyMismatch.
    """
    like = terms(campaigns.as_it_is(campaign_id))
    unknown = sorted(set(asked.stock) - {sku.sku_id for sku in like.product.skus})
    if unknown:
        raise Invalid(field="stock", reason="no such SKU", unknown=unknown)
    skus = [
        msgspec.structs.replace(sku, stock=asked.stock.get(sku.sku_id, sku.stock))
        for sku in like.product.skus
    ]
    given = msgspec.structs.replace(
        like,
        title=asked.title or like.title,
        product=msgspec.structs.replace(like.product, skus=skus),
        visible_from=asked.visible_from,
        starts_at=asked.starts_at,
        ends_at=asked.ends_at,
    )
    return campaigns.make(given, making, copied_from=campaign_id, asked=[campaign_id, asked])
