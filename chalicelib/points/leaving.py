"""What a member's points mean for leaving: none may be frozen or owed; what is left ends with the account."""

from typing import Any

from chalicelib.core import estates, ledger
from chalicelib.core.estates import Obstacle
from chalicelib.core.table import Row
from chalicelib.points.levels import GROWTH
from chalicelib.points.models import Award, MemberLevel
from chalicelib.points.service import POINTS


@estates.obstructs("points")
def obstacles(member_id: str, now: int) -> list[Obstacle]:
    """Points that an order of the mall holds, and points that are owed."""
    have = ledger.standing(owner=member_id, book=POINTS, now=now)
    frozen = [Obstacle(code="points_frozen", details={"points": have.frozen})] if have.frozen else []
    owed = [Obstacle(code="points_owed", details={"points": have.debt})] if have.debt else []
    return [*frozen, *owed]


@estates.exports("points")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's points, growth, level and badges."""
    return {
        POINTS: estates.account(member_id, POINTS),
        GROWTH: estates.account(member_id, GROWTH),
        "level": estates.of_partition(Row, MemberLevel.key(member_id)[0]),
        "badges": estates.of_partition(Row, Award.key(member_id, "")[0]),
    }
