"""What a member's coupons mean for leaving: none may be in an order, or on its way to a friend; the rest goes."""

from typing import Any

from chalicelib.core import estates
from chalicelib.core.estates import Obstacle
from chalicelib.coupons import gifts, service
from chalicelib.coupons.models import Sharing

IN_THE_WAY = {"locked": "coupons_locked", "gifting": "gifts_open"}
NAMED = 20


@estates.obstructs("coupons")
def obstacles(member_id: str, now: int) -> list[Obstacle]:
    """Coupons that an order of the mall holds, and gifts that nobody has taken."""
    rows = service.all_of(member_id)
    return [
        Obstacle(code=code, details={"n": len(found), "coupon_ids": found[:NAMED]})
        for state, code in IN_THE_WAY.items()
        if (found := [row.coupon_id for row in rows if row.state == state])
    ]


@estates.exports("coupons")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's coupons, gifts and packs."""
    rows = sorted(service.all_of(member_id), key=lambda row: row.claimed_at, reverse=True)
    given = gifts.of(rows[: estates.TOLD_AT_MOST], now=now)
    return {
        "coupons": estates.some(rows, without=("shard", "gift_code")),
        "gifts": estates.some(given, without=("code",)),
        "packs": estates.of_partition(Sharing, f"PACKS#{member_id}"),
    }
