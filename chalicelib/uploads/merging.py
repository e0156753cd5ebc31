"""The pictures of a member who became another are the other's, with their place in the list."""

from chalicelib.core import estates


@estates.hands_over("uploads")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """A page of them goes over; whether there were any."""
    return estates.list_handed_over("uploads", member_id, into)
