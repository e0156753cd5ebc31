"""What a member wrote and uploaded before they became another is checked as the other's."""

from chalicelib.core import estates


@estates.hands_over("safety")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """A page of checks goes over; whether there were any. How risky they were is asked anew."""
    return estates.list_handed_over("checks", member_id, into)
