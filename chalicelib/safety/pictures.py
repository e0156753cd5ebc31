"""Uploads are checked as they arrive, and judged when WeChat, or a person, has decided."""

from collections.abc import Sequence
from typing import Any

from chalicelib.core import facts
from chalicelib.core.config import settings
from chalicelib.core.table import Write
from chalicelib.safety import service
from chalicelib.uploads import service as uploads

_SCENES = {"avatar": service.PROFILE, "feed": service.FORUM}


@facts.reaction("upload.arrived", name="safety.check_upload")
def check(upload: Any, now: int) -> Sequence[Write]:
    """What was uploaded is shown to nobody else until it is checked."""
    if upload.state != "uploaded":
        return []
    scene = _SCENES.get(upload.purpose, service.COMMENT)
    thing = service.Thing(room="uploads", ref=upload.upload_id, field=upload.purpose, scene=scene)
    writer = service.Writer(
        member_id=upload.member_id, program_id=upload.program_id or "", app=None, openid=None
    )
    return [service.asked(upload.upload_id, "media", thing, writer, now=now)]


@facts.errand("content.approved", name="safety.approve_upload")
@facts.errand("content.rejected", name="safety.reject_upload")
def judge(row: Any, now: int) -> None:
    """The upload is as its check was decided."""
    if row.room == "uploads" and row.state != "pending":
        uploads.judge(row.ref, row.state, now)


def address(upload_id: str, now: int) -> str | None:
    """Where WeChat can see a picture that nobody else sees yet; nowhere, while BASE_URL is not set."""
    base_url = settings().base_url
    return uploads.address_for_checker(upload_id, base_url=base_url, now=now) if base_url else None
