"""What of a member's checks is erased: all of them, with what they wrote."""

from typing import Any

from chalicelib.core import estates, table
from chalicelib.safety.models import Risk


@estates.exports("safety")
def export(member_id: str, now: int) -> dict[str, Any]:
    """What the member wrote or uploaded that was checked, and how risky WeChat held them to be."""
    risk = table.get(Risk, Risk.key(member_id))
    return {
        "checks": estates.listed(f"{member_id}#checks"),
        "risk": estates.some([risk] if risk is not None else []),
    }


@estates.erases("safety")
def erase(member_id: str, now: int) -> bool:
    """Checks go, decided or not: the things that they were of go in their own rooms."""
    risky = estates.erased(Risk, Risk.key(member_id))
    return estates.list_erased("checks", member_id) or risky
