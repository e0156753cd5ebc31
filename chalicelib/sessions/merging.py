"""The group chats of a member who became another are the other's."""

from contextlib import suppress

from chalicelib.core import estates, table
from chalicelib.sessions.proving import ChatMember


class _Gone(Exception):
    """It went over already."""


class _There(Exception):
    """The other is in this group themselves."""


@estates.hands_over("sessions")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """A page of groups goes over, each in one transaction; whether there were any."""
    rows = table.owned(f"{member_id}#chats", limit=100).rows
    for row in rows:
        group_id = row.pk.removeprefix("CHATGROUP#")
        listed = table.listed(f"{into}#chats", at=row.seen_at, as_=group_id)
        theirs = ChatMember(*ChatMember.key(group_id, into), seen_at=row.seen_at, ttl=row.ttl, **listed)
        gone = table.delete(ChatMember, (row.pk, row.sk), refuse=lambda _: _Gone())
        with suppress(_Gone):
            try:
                table.transact([table.create(theirs, refuse=lambda _: _There()), gone])
            except _There:
                table.apply(gone)
    return bool(rows)
