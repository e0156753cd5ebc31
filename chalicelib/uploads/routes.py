"""HTTP for pictures: beginning, sending, seeing."""

import base64
import binascii

from chalicelib.core import doors, ids, pictures
from chalicelib.core.errors import Busy, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.http import Api, Call, Document, Reply
from chalicelib.uploads import service
from chalicelib.uploads.schemas import PutUpload, SeeUpload, StartedUpload, StartUpload, UploadAnswer
from chalicelib.uploads.service import Upload

api = Api(__name__)
_ARRIVING = [NotFound, Invalid, service.NotThePicture, service.UploadExpired, Busy]
_HEADERS = (("Cache-Control", "public, max-age=3600"), ("X-Content-Type-Options", "nosniff"))
_REDIRECT = (("Cache-Control", "public, max-age=300"), ("X-Content-Type-Options", "nosniff"))


@api.post(
    "/v1/uploads",
    door=doors.MEMBER,
    status=201,
    refuses=[Invalid, IdempotencyMismatch, service.TooManyUploads, Busy],
)
def start(call: Call, body: StartUpload) -> StartedUpload:
    """Begin to send a picture; with an Idempotency-Key the same one again."""
    entropy = ids.entropy(now=call.now)
    key = call.idempotency_key
    upload = service.start(
        body,
        member_id=call.member_id,
        program_id=call.program_id,
        idempotency_key=key,
        entropy=entropy,
        now=call.now,
    )
    form = service.form(upload)
    return StartedUpload(
        upload_id=upload.upload_id,
        method="POST" if form else "PUT",
        url=form.url if form else f"{call.base_url}/v1/uploads/{upload.upload_id}",
        form=dict(form.fields) if form else {},
        file_field="file",
        expires_at=call.now + service.FORM_LASTS_S if form else upload.ends_at,
        max_size=upload.size,
        now=call.now,
    )


@api.put("/v1/uploads/{upload_id}", door=doors.MEMBER, refuses=_ARRIVING)
def take(call: Call, upload_id: str, body: PutUpload) -> UploadAnswer:
    """Send a small picture as base64, where there is no bucket to post it to."""
    try:
        content = base64.b64decode(body.content, validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise Invalid(field="content", reason="not base64") from wrong
    upload = service.take(upload_id, member_id=call.member_id, content=content, now=call.now)
    return _answer(upload, call)


@api.post(
    "/v1/uploads/{upload_id}/done",
    door=doors.MEMBER,
    refuses=[*_ARRIVING, service.UploadMissing, service.UploadChanged],
)
def finish(call: Call, upload_id: str) -> UploadAnswer:
    """Say that the picture was posted; it is looked at, and kept."""
    return _answer(service.finish(upload_id, member_id=call.member_id, now=call.now), call)


@api.get(
    "/v1/uploads/{upload_id}", door=doors.PUBLIC, refuses=[NotFound, Busy], types=pictures.TYPES, also=[302]
)
def see(call: Call, upload_id: str, query: SeeUpload) -> Reply[Document]:
    """A picture that is approved, or the way to it.

    Out of a bucket it is a redirect to an address of an hour: a function would carry each picture as base64, be
    paid for while it does, and could not carry one beyond six megabytes.
    """
    seen = service.see(upload_id, token=query.token, now=call.now)
    if seen.address is not None:
        way = Document("", "text/plain; charset=utf-8", (("Location", seen.address), *_REDIRECT))
        return Reply(way, 302)
    return Reply(Document(seen.content or b"", seen.content_type, _HEADERS))


def _answer(upload: Upload, call: Call) -> UploadAnswer:
    return UploadAnswer(
        upload_id=upload.upload_id,
        kind=upload.purpose,
        state=upload.state or "",
        content_type=upload.content_type,
        size=upload.size,
        url=service.url_of(upload.upload_id, base_url=call.base_url) or "",
        now=call.now,
    )
