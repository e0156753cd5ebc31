"""What WeChat proved of a member is erased with them: the group chats they were in."""

from contextlib import suppress
from typing import Any

from chalicelib.core import estates, table
from chalicelib.sessions.proving import ChatMember


class _Gone(Exception):
    """It is erased already."""


@estates.exports("sessions")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The group chats that the member came from."""
    return {"chats": estates.listed(f"{member_id}#chats")}


@estates.erases("sessions")
def erase(member_id: str, now: int) -> bool:
    """The rows go: nobody is in the group under this id any more."""
    there = False
    for page in estates.pages(f"{member_id}#chats"):
        for row in page.rows:
            there = True
            with suppress(_Gone):
                table.apply(table.delete(ChatMember, (row.pk, row.sk), refuse=lambda _: _Gone()))
    return there
