"""A member's inbox is erased with them: it is all in one partition, and all of it goes."""

from collections.abc import Mapping
from typing import Any

from chalicelib.core import estates, table
from chalicelib.core.table import Row
from chalicelib.notifications.models import Consent, Notification, Settings, member_key


@estates.exports("notifications")
def export(member_id: str, now: int) -> Mapping[str, Any]:
    """The lines of a member's inbox, what they allow, and their settings."""
    rows = table.query_all(Row, member_key(member_id))
    lines = [row for row in rows if isinstance(row, Notification)]
    allowed = [row for row in rows if isinstance(row, Consent)]
    settings = next((row.told for row in rows if isinstance(row, Settings)), None)
    names = ("notification_id", "about", "target_id", "data", "told_at", "seen_at")
    return {
        "notifications": [{name: getattr(row, name) for name in names} for row in lines],
        "consents": [{"of": row.sk.removeprefix("CONSENT#"), "left": row.left} for row in allowed],
        "settings": settings,
    }


@estates.erases("notifications")
def erase(member_id: str, now: int) -> bool:
    """A hundred rows go at a time; whether there were any."""
    rows = table.query(Row, member_key(member_id), limit=100).rows
    gone = [estates.erased(type(row), (row.pk, row.sk)) for row in rows]
    return any(gone)
