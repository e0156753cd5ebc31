"""A member's pictures are erased with them: what says of them, what they show, and the objects in the bucket."""

from typing import Any

from chalicelib.core import estates, table
from chalicelib.uploads import service
from chalicelib.uploads.models import Upload


@estates.exports("uploads")
def export(member_id: str, now: int) -> dict[str, Any]:
    """What the member uploaded; each picture is at GET /v1/uploads/{upload_id}."""
    return {"uploads": estates.listed(f"{member_id}#uploads")}


@estates.erases("uploads")
def erase(member_id: str, now: int) -> bool:
    """Pictures go first, so that one that is left is found again by its upload."""
    rows = [row for page in table.owned_pages(f"{member_id}#uploads") for row in page.rows]
    gone = [_erased(row) for row in rows]
    return any(gone)


def _erased(row: Upload) -> bool:
    service.thrown_away(row)
    return estates.erased(Upload, Upload.key(row.upload_id))
