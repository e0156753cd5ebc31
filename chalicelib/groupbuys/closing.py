"""How a campaign ends: nothing opens any more, its open groups go on or are ended, the mall learns what is unused.

The work is due on the campaign's own row, when its window ends and when it is closed. A look moves open groups to
their end if they are to be ended, where the due shards share them out: each is ended, and its payers refunded, like
any group whose time is over. It looks again until two looks in a row found nothing, for groups that are being paid
are not yet on the board, and indexes lag.
"""

from collections.abc import Iterator
from typing import Any

from chalicelib.core import deliveries, due, table
from chalicelib.core.clock import MINUTE
from chalicelib.core.table import Row
from chalicelib.core.telemetry import logger
from chalicelib.groupbuys import campaigns, reading
from chalicelib.groupbuys.campaigns import Making
from chalicelib.groupbuys.holding import EXPIRE_JOB
from chalicelib.groupbuys.models import Campaign, Group
from chalicelib.operators import service as operators

CLOSE_JOB = campaigns.CLOSE_JOB
CLOSED = "campaign_closed"
LOOKS_EVERY_S = 10 * MINUTE
MOVED_A_LOOK = 500
PAGE = 100
_FOUND_NOTHING = "found nothing"


class _Moved(Exception):
    """It is not what it was: somebody else was first."""


def close(campaign_id: str, *, open_groups: str, reason: str, making: Making) -> Campaign:
    """Close a campaign; open groups ``go_on``, or it is a ``refund`` for everybody in them.

    Said again nothing changes, save that groups that were to go on may be ended after all.

    Raises:
        NotFound: there is none. Busy: somebody else changes it right now.
    """
    began = [
        Campaign.closed_at.set(making.now),
        Campaign.open_groups.set(open_groups),
        *due.moved(job=CLOSE_JOB, pk=campaign_id, at=making.now),
    ]
    told = {"open_groups": open_groups, "reason": reason}
    campaign = campaigns.switch(campaign_id, to="closed", making=making, also=began, told=told)
    if open_groups == "refund" and campaign.open_groups != "refund":
        campaign = _refund_after_all(campaign, reason=reason, making=making)
    return campaign


def _refund_after_all(campaign: Campaign, *, reason: str, making: Making) -> Campaign:
    change = table.update(
        Campaign,
        Campaign.key(campaign.campaign_id),
        Campaign.open_groups.set("refund"),
        *due.moved(job=CLOSE_JOB, pk=campaign.campaign_id, at=making.now),
        when=Campaign.open_groups != "refund",
        refuse=lambda _: _Moved(),
    )
    audit = operators.recorded(
        by=making.by,
        action="groupbuy.open_groups_refunded",
        subject=campaign.campaign_id,
        before={"open_groups": campaign.open_groups},
        after={"open_groups": "refund", "reason": reason},
        now=making.now,
    )
    try:
        table.transact([change, audit])
    except _Moved:
        logger.info("open groups are ended already", campaign=campaign.campaign_id)
    campaigns.changed(campaign.campaign_id)
    return campaigns.find(campaign.campaign_id, now=making.now)


@due.handles(CLOSE_JOB)
def look(entry: due.Entry, now: int) -> None:
    """Move what is open to its end if it is to be ended; when nothing is open any more, tell the mall, once."""
    campaign = campaigns.as_it_is(entry.sk)
    moved = _end_soon(campaign, now=now) if campaign.open_groups == "refund" else 0
    if moved == MOVED_A_LOOK:
        # At once, and as another entry: a run takes each only once.
        return _again(entry, at=min(entry.due_at + 1, now), ref="")
    holds_until = (campaign.closed_at or campaign.ends_at) + max(campaign.hold_s, campaign.open_hold_s)
    if now <= holds_until or _anything_open(campaign):
        return _again(entry, at=now + LOOKS_EVERY_S, ref="")
    if entry.due_ref != _FOUND_NOTHING:
        return _again(entry, at=now + LOOKS_EVERY_S, ref=_FOUND_NOTHING)
    return _told(campaign, entry, now=now)


def _end_soon(campaign: Campaign, *, now: int) -> int:
    """Open groups are over at once, and due to be ended; how many were moved, so many at most."""
    moved = 0
    for group in _open_groups(campaign):
        if moved == MOVED_A_LOOK:
            break
        moved += _over_now(group, now=now)
    return moved


def _open_groups(campaign: Campaign) -> Iterator[Group]:
    """The groups on the board, as they are now, page by page."""
    after = None
    while True:
        on_board = Row.board == reading.board_of(campaign.campaign_id)
        entries, after = table.index("rank", on_board, limit=PAGE, after=after)
        rows = table.get_many([(Group, (one["pk"], one["sk"])) for one in entries]) if entries else []
        yield from (row for row in rows if row is not None and row.state == "open")
        if after is None:
            return


def _over_now(group: Group, *, now: int) -> bool:
    """Nobody joins it any more, and its end is due; false: its own end is, or it is moved already."""
    ends_at = group.expires_at or 0
    if ends_at <= now:
        return False
    pk, sk = Group.key(group.group_id)
    actions = [
        Group.expires_at.set(now),
        Group.board.set(reading.ending_board_of(group.campaign_id)),
        Group.score.add(now - ends_at),
        *due.moved(job=EXPIRE_JOB, pk=pk, at=now, ref=CLOSED),
    ]
    still = (Group.state == "open") & (Group.expires_at == ends_at)
    try:
        table.apply(table.update(Group, (pk, sk), *actions, when=still, refuse=lambda _: _Moved()))
    except _Moved:
        return False
    return True


def _anything_open(campaign: Campaign) -> bool:
    boards = (reading.board_of(campaign.campaign_id), reading.ending_board_of(campaign.campaign_id))
    return any(table.index("rank", Row.board == board, limit=1)[0] for board in boards)


def _again(entry: due.Entry, *, at: int, ref: str) -> None:
    later = due.moved(job=CLOSE_JOB, pk=entry.sk, at=at, ref=ref)
    try:
        table.apply(_unless_moved(entry, *later))
    except _Moved:
        logger.info("another has looked", campaign=entry.sk)


def _unless_moved(entry: due.Entry, *actions: Any) -> table.Write:
    as_proposed = (Campaign.due_at == entry.due_at) & (Campaign.due_shard == entry.due_shard)
    return table.update(Campaign, (entry.pk, entry.sk), *actions, when=as_proposed, refuse=lambda _: _Moved())


def _told(campaign: Campaign, entry: due.Entry, *, now: int) -> None:
    unused = {
        sku["sku_id"]: sum(campaigns.stock_left(campaign, sku["sku_id"]).values())
        for sku in campaign.product["skus"]
    }
    data = {"campaign_id": campaign.campaign_id, "product_id": campaign.product["id"], "unused": unused}
    message = deliveries.owe("campaign.closed", cause=[campaign.campaign_id], data=data, now=now)
    # With no mall nobody has sold the units since, and the window may be moved still.
    told = [Campaign.told_at.set(now)] if message else []
    try:
        table.transact([_unless_moved(entry, *due.emptied(), *told), *message])
    except _Moved:
        logger.info("another has told the mall", campaign=campaign.campaign_id)
