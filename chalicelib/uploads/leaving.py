"""What of a member's uploads is erased: the pictures, and that they were theirs.

The API may not delete in the bucket; there a picture is put away by an empty object in its place.
"""

from contextlib import suppress
from typing import Any

from chalicelib.core import estates, objects, table
from chalicelib.uploads import service
from chalicelib.uploads.models import Content, Upload


class _Gone(Exception):
    """It is erased already."""


@estates.exports("uploads")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's uploads; each can be seen at its address while it is approved."""
    return {"uploads": estates.listed(f"{member_id}#uploads")}


@estates.erases("uploads")
def erase(member_id: str, now: int) -> bool:
    """The content first, so that a row that is left says what is still to do."""
    there = False
    for page in estates.pages(f"{member_id}#uploads"):
        for row in page.rows:
            there = True
            _erase(row)
    return there


def _erase(row: Upload) -> None:
    if row.place == "bucket" and row.state != "pending" and objects.available():
        objects.put(service.kept(row.upload_id), b"", content_type=row.content_type)
    for kind, key in ((Content, Content.key(row.upload_id)), (Upload, (row.pk, row.sk))):
        with suppress(_Gone):
            table.apply(table.delete(kind, key, refuse=lambda _: _Gone()))
