"""What of a member's checks is erased: all of them, with what they wrote."""

from contextlib import suppress
from typing import Any

from chalicelib.core import estates, table
from chalicelib.safety.models import Check, Risk


class _Gone(Exception):
    """It is erased already."""


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
    there = False
    for page in estates.pages(f"{member_id}#checks"):
        for row in page.rows:
            there = True
            with suppress(_Gone):
                table.apply(table.delete(Check, (row.pk, row.sk), refuse=lambda _: _Gone()))
    with suppress(_Gone):
        table.apply(table.delete(Risk, Risk.key(member_id), refuse=lambda _: _Gone()))
    return there
