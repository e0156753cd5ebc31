"""What a member wrote and uploaded before they became another is checked as the other's."""

from contextlib import suppress

from chalicelib.core import estates, table
from chalicelib.safety.models import Check


class _Gone(Exception):
    """It is the other's already, or erased."""


@estates.hands_over("safety")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """A page of checks goes over; whether there were any. How risky they were is asked anew."""
    rows = table.owned(f"{member_id}#checks", limit=100).rows
    for row in rows:
        theirs = (Check.member_id.set(into), Check.owner.set(f"{into}#checks"))
        own = Check.member_id == member_id
        with suppress(_Gone):
            table.apply(table.update(Check, (row.pk, row.sk), *theirs, when=own, refuse=lambda _: _Gone()))
    return bool(rows)
