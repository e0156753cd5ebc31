"""What of the audit trail is erased when a member is: what their tags were and why they were blocked.

That somebody did something to this member, and when, stays.
"""

from typing import Any

from chalicelib.core import estates, table
from chalicelib.core.errors import Busy
from chalicelib.operators.models import Audit

ABOUT_A_PERSON = "member."


@estates.exports("operators")
def export(member_id: str, now: int) -> dict[str, Any]:
    """What operators changed for the member, without who they are."""
    return {"changes": estates.listed(f"{member_id}#audit", without=("by", "by_name", "role"))}


@estates.erases("operators")
def erase(member_id: str, now: int) -> bool:
    """The trail says of the member themselves only that it was changed."""
    rows = [row for page in table.owned_pages(f"{member_id}#audit") for row in page.rows if _says_more(row)]
    for row in rows:
        nothing = (Audit.before.remove(), Audit.after.remove())
        table.apply(table.update(Audit, (row.pk, row.sk), *nothing, refuse=Busy))
    return bool(rows)


def _says_more(row: Audit) -> bool:
    return row.action.startswith(ABOUT_A_PERSON) and (row.before is not None or row.after is not None)
