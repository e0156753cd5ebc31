"""The pictures of a member who became another are the other's, with their place in the list."""

from contextlib import suppress

from chalicelib.core import estates, table
from chalicelib.uploads.models import Upload


class _Gone(Exception):
    """It is the other's already, or erased."""


@estates.hands_over("uploads")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """A page of them goes over, each by a write of its own; whether there were any."""
    rows = table.owned(f"{member_id}#uploads", limit=100).rows
    for row in rows:
        theirs = (Upload.member_id.set(into), Upload.owner.set(f"{into}#uploads"))
        own = Upload.member_id == member_id
        with suppress(_Gone):
            table.apply(table.update(Upload, (row.pk, row.sk), *theirs, when=own, refuse=lambda _: _Gone()))
    return bool(rows)
