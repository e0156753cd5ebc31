"""HTTP for operators: a member's story."""

from chalicelib.core import cursors, doors
from chalicelib.core.errors import NotFound
from chalicelib.core.http import Api, Call, Listing
from chalicelib.support import service
from chalicelib.support.schemas import Timeline

api = Api(__name__)


@api.get(
    "/v1/admin/members/{member_id}/timeline",
    door=doors.operators("support", "finance"),
    refuses=[NotFound, cursors.CursorInvalid],
    csv=True,
)
def show_timeline(call: Call, member_id: str, query: Listing) -> Timeline:
    """Everything about one person in order, newest first."""
    where = f"timeline#{member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    before = after["before"]["S"] if after else None
    items, following = service.timeline(member_id, limit=query.limit, before=before, now=call.now)
    sealed = cursors.seal({"before": {"S": following}} if following else None, where=where, now=call.now)
    return Timeline(member_id=member_id, items=items, next=sealed, now=call.now)
