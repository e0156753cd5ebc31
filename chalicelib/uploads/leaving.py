"""A member's pictures are erased with them: what says of them, what they show, and the objects in the bucket."""

from contextlib import suppress
from typing import Any

from chalicelib.core import estates, objects, table
from chalicelib.uploads import service
from chalicelib.uploads.models import Content, Upload


class _Gone(Exception):
    """It is erased already."""


@estates.exports("uploads")
def export(member_id: str, now: int) -> dict[str, Any]:
    """What the member uploaded; each picture is at GET /v1/uploads/{upload_id}."""
    return {"uploads": estates.listed(f"{member_id}#uploads")}


@estates.erases("uploads")
def erase(member_id: str, now: int) -> bool:
    """Pictures go first, so that one that is left is found again by its upload."""
    there = False
    for page in estates.pages(f"{member_id}#uploads"):
        for row in page.rows:
            there = True
            _erase(row)
    return there


def _erase(row: Upload) -> None:
    if row.place == "bucket":
        objects.delete(service.kept(row.upload_id))
    for kind, key in ((Content, Content.key(row.upload_id)), (Upload, Upload.key(row.upload_id))):
        with suppress(_Gone):
            table.apply(table.delete(kind, key, refuse=lambda _: _Gone()))
