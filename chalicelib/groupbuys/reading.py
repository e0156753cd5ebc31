"""Groups as they are: one group, a member's groups, those that can be joined, and why one cannot."""

from collections.abc import Sequence
from typing import Any

from chalicelib.core import table
from chalicelib.core.clock import MINUTE
from chalicelib.core.errors import NotFound
from chalicelib.core.table import Row
from chalicelib.groupbuys import campaigns
from chalicelib.groupbuys.models import Campaign, Group, Part, Seat
from chalicelib.groupbuys.refusals import GroupExpired, GroupFull, GroupNotOpen, NotNewMember
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order

OFFERED = 3
CAMPAIGNS_LOOKED_AT = 100


# --- groups -------------------------------------------------------------------------------------------------


def find(group_id: str) -> Group:
    """The group as it is now.

    Raises:
        NotFound: there is none.
    """
    group = table.get(Group, Group.key(group_id))
    if group is None:
        raise NotFound
    return group


def with_seats(group_id: str) -> tuple[Group, list[Seat]]:
    """The group and its seats, in the order in which they were taken, in one read.

    Raises:
        NotFound: there is none.
    """
    rows = table.query_all(Row, Group.key(group_id)[0])
    group = next((row for row in rows if isinstance(row, Group)), None)
    if group is None:
        raise NotFound
    return group, sorted((row for row in rows if isinstance(row, Seat)), key=lambda seat: seat.joined_at)


def those(group_ids: Sequence[str]) -> dict[str, Group]:
    """The groups of these ids as they are now, those that there are."""
    rows = table.get_all([(Group, Group.key(group_id)) for group_id in dict.fromkeys(group_ids)])
    return {row.group_id: row for row in rows if row is not None}


# --- a member's own -----------------------------------------------------------------------------------------


def mine(member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """A member's seats, newest first."""
    return table.owned(f"{member_id}#groups", limit=limit, after=after)


def lately(member_id: str, *, now: int) -> list[Order]:
    """The member's newest order in each campaign that is seen, if it was made this minute and holds a seat, newest
    first: read consistently, for the index of their list may lag behind what they just did."""
    running = campaigns.visible(now=now)[:CAMPAIGNS_LOOKED_AT]
    parts = (
        table.get_many([(Part, Part.key(row.campaign_id, member_id)) for row in running]) if running else []
    )
    found = orders.those([part.order_id for part in parts if part is not None and part.order_id])
    seated = [order for order in found if order.state in ("pending", "paid")]
    fresh = [order for order in seated if order.created_at > now - MINUTE]
    return sorted(fresh, key=lambda order: order.created_at, reverse=True)


def in_campaign(campaign_id: str, member_id: str) -> list[dict[str, str]]:
    """The member's own seats in a campaign, newest first, as a refusal shows them."""
    rows = mine(member_id, limit=50, after=None).rows
    seats = [row for row in rows if row.campaign_id == campaign_id][:OFFERED]
    groups = those([row.group_id for row in seats]) if seats else {}
    return [
        {
            "group_id": row.group_id,
            "order_id": row.order_id,
            "state": state_of(row, groups.get(row.group_id)),
        }
        for row in seats
    ]


def state_of(seat: Seat, group: Group | None) -> str:
    """A seat's state as people see it: a group that expired owes all who paid their money, in the same write."""
    given_back = seat.state == "confirmed" and group is not None and group.state == "expired"
    return "refunded" if given_back else seat.state or ""


# --- who can join -------------------------------------------------------------------------------------------


def is_new(member_id: str, campaign: Campaign) -> bool:
    """Whether somebody became a member after the campaign began."""
    return members.show(member_id).registered_at >= campaign.starts_at


def why_not(group: Group | None, *, now: int) -> Exception | None:
    """Why nobody can join this group now, read off its row; None when somebody can."""
    if group is None or group.state == "lapsed":
        return NotFound()
    if group.state == "opening":
        return GroupNotOpen()
    if group.state == "filled" or (group.state == "open" and group.missing == 0):
        return GroupFull()
    if group.state != "open" or (group.expires_at or 0) <= now:
        return GroupExpired()
    return GroupFull() if group.free < 1 else None


def why_not_you(group: Group, campaign: Campaign, member_id: str | None, *, now: int) -> Exception | None:
    """Why this member cannot join, or nobody can; None when they can. A stranger is asked when they sign in."""
    refusal = why_not(group, now=now)
    if refusal is None and member_id is not None and group.new_members_only:
        return None if is_new(member_id, campaign) else NotNewMember()
    return refusal


# --- what can be joined -------------------------------------------------------------------------------------


def joinable(campaign_id: str, *, limit: int, now: int) -> list[Group]:
    """Open groups with a free seat, nearest to full first."""
    entries, _ = table.index("rank", Row.board == board_of(campaign_id), limit=limit * 2)
    rows = table.get_many([(Group, (entry["pk"], entry["sk"])) for entry in entries]) if entries else []
    return [row for row in rows if row is not None and why_not(row, now=now) is None][:limit]


def offered(campaign_id: str, *, anybody: bool = False, now: int) -> list[dict[str, Any]]:
    """A few joinable groups, as a refusal offers them; ``anybody``: only those that take old members too."""
    rows = joinable(campaign_id, limit=OFFERED * 2 if anybody else OFFERED, now=now)
    return [
        {"group_id": row.group_id, "size": row.size, "missing": row.missing, "expires_at": row.expires_at}
        for row in rows
        if not (anybody and row.new_members_only)
    ][:OFFERED]


def board_of(campaign_id: str) -> str:
    """The partition of the rank index that holds a campaign's open groups."""
    return f"OPEN#{campaign_id}"


def ending_board_of(campaign_id: str) -> str:
    """The partition of the rank index that holds groups of a closed campaign until they have ended."""
    return f"ENDING#{campaign_id}"
