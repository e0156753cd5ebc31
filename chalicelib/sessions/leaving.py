"""What WeChat proved of a member is erased with them: the group chats they were in."""

from typing import Any

from chalicelib.core import estates


@estates.exports("sessions")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The group chats that the member came from."""
    return {"chats": estates.listed(f"{member_id}#chats")}


@estates.erases("sessions")
def erase(member_id: str, now: int) -> bool:
    """The rows go: nobody is in the group under this id any more."""
    return estates.list_erased("chats", member_id)
