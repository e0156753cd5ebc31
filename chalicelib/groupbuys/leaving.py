"""What a member's groups mean for leaving: none may be open that they have a seat in."""

from typing import Any

from chalicelib.core import estates, table
from chalicelib.core.estates import Obstacle
from chalicelib.groupbuys import campaigns, reading
from chalicelib.groupbuys.models import Part
from chalicelib.orders import service as orders

OPEN = ("opening", "open", "expiring")
NAMED = 20


@estates.obstructs("groupbuys")
def obstacles(member_id: str, now: int) -> list[Obstacle]:
    """Groups that are not filled or ended, with a seat of the member's, paid or not.

    The newest order of each campaign is read consistently; older ones the index has by now.
    """
    seats = [row for page in table.owned_pages(f"{member_id}#groups") for row in page.rows]
    newest = [one.group_id for one in _newest(member_id) if one.state in ("pending", "paid") and one.group_id]
    groups = reading.those([*newest, *(seat.group_id for seat in seats)])
    found = [group.group_id for group in groups.values() if group.state in OPEN]
    return (
        [Obstacle(code="groups_open", details={"n": len(found), "group_ids": found[:NAMED]})] if found else []
    )


def _newest(member_id: str) -> list[orders.Order]:
    keys = [(Part, Part.key(row.campaign_id, member_id)) for row in campaigns.everything()]
    return orders.those([part.order_id for part in table.get_all(keys) if part is not None and part.order_id])


@estates.exports("groupbuys")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's seats."""
    return {"seats": estates.listed(f"{member_id}#groups", without=("taken",))}
