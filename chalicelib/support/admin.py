"""HTTP for operators: a member's story."""

from chalicelib.core import doors
from chalicelib.core.errors import NotFound
from chalicelib.core.http import Api, Call
from chalicelib.support import service
from chalicelib.support.schemas import Timeline

api = Api(__name__)


@api.get(
    "/v1/admin/members/{member_id}/timeline", door=doors.operators("support", "finance"), refuses=[NotFound]
)
def show_timeline(call: Call, member_id: str) -> Timeline:
    """Everything about one person in order, newest first."""
    return Timeline(member_id=member_id, items=service.timeline(member_id), now=call.now)
