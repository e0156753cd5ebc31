"""What a promoter's commissions mean for leaving: all must be settled, or is given up; they earn no more."""

from typing import Any

from chalicelib.commissions import promoters
from chalicelib.commissions.models import Earned
from chalicelib.commissions.service import MONEY
from chalicelib.core import estates, table
from chalicelib.core.doors import Operator
from chalicelib.core.estates import Obstacle

COMING = ("pending", "due", "held")
LEFT = Operator(key_id="leaving", name="leaving", role="owner")
"""Who a change is by that follows from a member's leaving."""
_ENDS = {"active": "suspend", "applied": "refuse"}


@estates.obstructs("commissions")
def obstacles(member_id: str, now: int) -> list[Obstacle]:
    """Commissions that are not settled yet; they can be given up."""
    rows = (row for page in table.owned_pages(f"{member_id}#commissions") for row in page.rows)
    coming = [row.amount_fen for row in rows if row.state in COMING]
    if not coming:
        return []
    told = {"n": len(coming), "amount_fen": sum(coming), "forfeit": True}
    return [Obstacle(code="commissions_not_settled", details=told)]


@estates.exports("commissions")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member as a promoter, what they earned, and their money."""
    row = promoters.find(member_id)
    return {
        "promoter": None if row is None else estates.told(row),
        "counts": promoters.counts_of(member_id),
        "commissions": estates.listed(f"{member_id}#commissions", without=("evidence",)),
        "months": estates.of_partition(Earned, f"EARNED#{member_id}"),
        MONEY: estates.account(member_id, MONEY),
    }


@estates.erases("commissions")
def erase(member_id: str, now: int) -> bool:
    """Who promoted does so no more; what they earned stays on the books. One who was handed over is no promoter."""
    row = promoters.find(member_id)
    step = _ENDS.get(row.state or "") if row is not None and row.handed_to is None else None
    if step is not None:
        promoters.move(member_id, step=step, reason="left", by=LEFT, now=now)
    return step is not None
