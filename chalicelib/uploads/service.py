"""The rules of uploads: begun within a day's limit, taken once, looked at, judged.

Other rooms take an upload's id where a picture goes (`arrived`), keep the id, and show `url_of` it.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from chalicelib.core import clock, estates, facts, ids, objects, pictures, session, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.config import settings
from chalicelib.core.errors import (
    Conflict,
    Gone,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    TooMany,
    Unauthorized,
)
from chalicelib.core.objects import Form
from chalicelib.core.table import Write
from chalicelib.core.telemetry import count, logger
from chalicelib.uploads.models import Content, Day
from chalicelib.uploads.models import Upload as Upload  # noqa: PLC0414 - other rooms name what they are given
from chalicelib.uploads.schemas import IN_A_ROW_BYTES, LARGEST_BYTES, Purpose, StartUpload

A_DAY = 50
FORM_LASTS_S = 15 * clock.MINUTE
SEEN_FOR_S = HOUR
Verdict = Literal["approved", "rejected"]


class TooManyUploads(TooMany):
    """A member may begin fifty uploads a day."""

    code = "too_many_uploads"
    en = "That is enough pictures for today."
    zh = "今日上传图片次数已达上限。"
    advice = "Try again tomorrow."
    retry_after_s = HOUR


class UploadExpired(Gone):
    """It was begun more than a day ago and never finished."""

    code = "upload_expired"
    en = "This upload took too long."
    zh = "上传已超时，请重新上传。"
    advice = "Begin a new one with POST /v1/uploads."


class UploadMissing(Conflict):
    """Nothing has been posted by its form yet."""

    code = "upload_missing"
    en = "The picture has not arrived."
    zh = "图片尚未上传成功。"
    advice = "Post it with wx.uploadFile, then say done again."


class UploadChanged(Conflict):
    """Another picture was posted by the same form while this one was looked at."""

    code = "upload_changed"
    en = "The picture was changed meanwhile."
    zh = "图片在处理期间被更改，请重试。"
    advice = "Say done again."


class NotThePicture(Invalid):
    """It is no picture of the type that was announced, or larger than that."""

    code = "not_the_picture"
    en = "This is not the picture that was announced."
    zh = "图片与声明的类型或大小不符。"
    advice = "Begin a new upload with the right content_type and size; PNG, JPEG, GIF and WebP are taken."


class _NotPending(Exception):
    """It has arrived already."""


class _Judged(Exception):
    """It was judged already, or is not there to be judged."""


# --- beginning ----------------------------------------------------------------------------------------------


def start(
    given: StartUpload,
    *,
    member_id: str,
    program_id: str,
    idempotency_key: str | None,
    entropy: bytes,
    now: int,
) -> Upload:
    """A new upload of somebody signed in to a program, or the one that this key began.

    Raises:
        Invalid: too large. TooManyUploads. IdempotencyMismatch: the key began another.
    """
    largest = LARGEST_BYTES[given.kind] if objects.available() else IN_A_ROW_BYTES
    if given.size > largest:
        raise Invalid(field="size", reason="too large", max_size=largest)
    upload = _row(given, member_id, _new_id(member_id, idempotency_key, entropy, now=now), now=now)
    upload.program_id = program_id
    try:
        table.transact([table.create(upload), _counted(member_id, now=now)])
    except table.Taken as first:
        told = ("member_id", "purpose", "content_type")
        if any(getattr(first.row, name) != getattr(upload, name) for name in told):
            raise IdempotencyMismatch from first
        return _of(first.row)
    return upload


def _new_id(member_id: str, idempotency_key: str | None, entropy: bytes, *, now: int) -> str:
    if idempotency_key is not None:
        return ids.derived("upl", member_id, idempotency_key)
    return ids.ulid("upl", now=now, entropy=entropy)


def _row(given: StartUpload, member_id: str, upload_id: str, *, now: int) -> Upload:
    return Upload(
        *Upload.key(upload_id),
        upload_id=upload_id,
        member_id=member_id,
        purpose=given.kind,
        content_type=given.content_type,
        size=given.size,
        place="bucket" if objects.available() else "row",
        state="pending",
        created_at=now,
        ends_at=now + DAY,
        ttl=now + 2 * DAY,
        **table.listed(f"{member_id}#uploads", at=now, as_=upload_id),
    )


def _counted(member_id: str, *, now: int) -> Write:
    key = Day.key(member_id, clock.local_day(now, zone=settings().zone))
    return table.counted(Day, key, at_most=A_DAY, ttl=now + 2 * DAY, refuse=TooManyUploads)


def form(upload: Upload) -> Form | None:
    """Where a phone posts it, for a quarter of an hour; None: it is put to us."""
    if upload.place != "bucket":
        return None
    return objects.form(
        _incoming(upload.upload_id),
        content_type=upload.content_type,
        max_size=upload.size,
        for_s=FORM_LASTS_S,
    )


def _incoming(upload_id: str) -> str:
    return f"incoming/{upload_id}"


def _shown_at(upload_id: str) -> str:
    """Where the bucket has a picture that may be shown; a CDN may read there."""
    return f"uploads/{upload_id}"


def _checked_at(upload_id: str) -> str:
    """Where it has one that was looked at, and is checked first."""
    return f"checking/{upload_id}"


def _kept_at(upload: Upload) -> str:
    return (_checked_at if upload.state == "uploaded" else _shown_at)(upload.upload_id)


def _checks() -> bool:
    return settings().content_safety == "wechat"


# --- arriving -----------------------------------------------------------------------------------------------


def take(upload_id: str, *, member_id: str, content: bytes, now: int) -> Upload:
    """The upload with its picture, in a row; arrived already, nothing changes.

    Raises:
        NotFound, NotThePicture, UploadExpired. Invalid: it is to be posted by its form.
    """
    upload = own(upload_id, member_id=member_id)
    if upload.state != "pending":
        return upload
    _in_time(upload, now=now)
    if upload.place != "row":
        raise Invalid(field="content", reason="post it by its form")
    _looked_at(upload, content, size=len(content))
    return _arrived(upload, [table.create(Content(*Content.key(upload_id), content=content))], now=now)


def finish(upload_id: str, *, member_id: str, now: int) -> Upload:
    """The upload whose picture was posted by its form; arrived already, nothing changes.

    What lies where forms post to is kept elsewhere as it was when it was looked at: the form is good for minutes
    more, and what it brings then changes nothing.

    Raises:
        NotFound, UploadMissing, NotThePicture, UploadChanged, UploadExpired. Busy: the bucket is out of reach.
    """
    upload = own(upload_id, member_id=member_id)
    if upload.state != "pending":
        return upload
    _in_time(upload, now=now)
    posted = objects.get(_incoming(upload_id), first=pictures.BEGINNING) if upload.place == "bucket" else None
    if posted is None:
        raise UploadMissing
    _looked_at(upload, posted.content, size=posted.size)
    to = _checked_at(upload_id) if _checks() else _shown_at(upload_id)
    if not objects.copy(_incoming(upload_id), to, etag=posted.etag, content_type=upload.content_type):
        raise UploadChanged
    upload.size = posted.size
    return _arrived(upload, [], now=now)


def _in_time(upload: Upload, *, now: int) -> None:
    if upload.ends_at <= now:
        raise UploadExpired(ended_at=upload.ends_at)


def _looked_at(upload: Upload, content: bytes, *, size: int) -> None:
    found = pictures.type_of(content)
    if found != upload.content_type:
        raise NotThePicture(field="content_type", announced=upload.content_type, found=found)
    if size > upload.size:
        raise NotThePicture(field="size", announced=upload.size, found=size)


def _arrived(upload: Upload, others: Sequence[Write], *, now: int) -> Upload:
    """In one transaction with its content; without a checker it is approved at once."""
    flip = table.update(
        Upload,
        (upload.pk, upload.sk),
        Upload.state.set("uploaded" if _checks() else "approved"),
        Upload.arrived_at.set(now),
        Upload.size.set(upload.size),
        Upload.ttl.remove(),
        *facts.owing_if_wanted("upload.arrived", pk=upload.pk, now=now),
        when=Upload.state == "pending",
        refuse=lambda _: _NotPending(),
    )
    try:
        table.transact([flip, *others])
    except (_NotPending, table.Taken):
        found = table.get(Upload, Upload.key(upload.upload_id))
        if found is None or found.state == "rejected":
            # What was kept of it a moment ago would stay where nobody looks any more.
            thrown_away(upload)
    return show(upload.upload_id)


# --- judging ------------------------------------------------------------------------------------------------


def judge(upload_id: str, verdict: Verdict, now: int) -> Upload:
    """The upload as it is after a check; judged so already, nothing changes, and what was rejected stays so.

    An approved picture is where it is shown before it says so; a rejected one is nowhere any more.

    Raises:
        NotFound: there is none, or it has not arrived. Busy: the bucket cannot be reached.
    """
    if verdict == "approved":
        _let_out(show(upload_id))
    before = Upload.state == "uploaded"
    if verdict == "rejected":
        before |= Upload.state == "approved"
    change = (Upload.state.set(verdict), Upload.judged_at.set(now))
    key = Upload.key(upload_id)
    try:
        table.apply(table.update(Upload, key, *change, when=before, refuse=lambda _: _Judged()))
        count(f"Uploads{verdict.capitalize()}")
    except _Judged:
        logger.info("the upload was judged already", upload=upload_id, verdict=verdict)
    found = show(upload_id)
    if found.state == "pending":
        raise NotFound
    if found.state == "rejected":
        thrown_away(found)
    elif found.place == "bucket":
        objects.delete(_checked_at(upload_id))
    return found


def _let_out(upload: Upload) -> None:
    if upload.place != "bucket" or upload.state != "uploaded":
        return
    there = objects.get(_checked_at(upload.upload_id), first=1)
    if there is not None:
        to = _shown_at(upload.upload_id)
        objects.copy(_checked_at(upload.upload_id), to, etag=there.etag, content_type=upload.content_type)


def thrown_away(upload: Upload) -> None:
    """What a picture shows is gone; that it was there, its row says.

    Raises:
        Busy: the bucket cannot be reached.
    """
    if upload.place == "bucket":
        for place in (_shown_at, _checked_at):
            objects.delete(place(upload.upload_id))
    estates.erased(Content, Content.key(upload.upload_id))


# --- using and showing --------------------------------------------------------------------------------------


def show(upload_id: str) -> Upload:
    """The upload as it is now.

    Raises:
        NotFound: there is none.
    """
    found = table.get(Upload, Upload.key(upload_id))
    if found is None:
        raise NotFound
    return found


def own(upload_id: str, *, member_id: str) -> Upload:
    """A member's own upload.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    found = show(upload_id)
    if found.member_id != member_id:
        raise NotFound
    return found


def arrived(upload_id: str, *, member_id: str, purpose: Purpose, field: str) -> str:
    """The id of a picture that this member may use for this; ``field`` is where they named it.

    One that is not approved yet may stand there: until then nobody sees it.

    Raises:
        Invalid: it is not theirs, not for this, not there yet, or rejected.
    """
    try:
        found = own(upload_id, member_id=member_id)
    except NotFound as unknown:
        raise Invalid(field=field, reason="no such upload") from unknown
    if found.purpose != purpose:
        raise Invalid(field=field, reason="an upload for something else", kind=found.purpose)
    if found.state not in ("uploaded", "approved"):
        raise Invalid(field=field, reason="not a picture that can be shown", state=found.state)
    return upload_id


def is_one(picture: str) -> bool:
    """Whether it is an upload's id, and not an address."""
    return picture.startswith("upl_")


def url_of(picture: str | None, *, base_url: str) -> str | None:
    """Where a picture is seen: by an upload's id, or an address that was brought from another system."""
    if picture is None or not is_one(picture):
        return picture
    public = settings().pictures_url
    return f"{public}/{_shown_at(picture)}" if public else f"{base_url}/v1/uploads/{picture}"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A picture: its bytes, or where they are for an hour."""

    content_type: str
    content: bytes | None = None
    address: str | None = None


def see(upload_id: str, *, token: str | None, now: int) -> Seen:
    """A picture that is approved, or that a checker's token names.

    Raises:
        NotFound: there is none that this caller may see.
    """
    upload = show(upload_id)
    if upload.state != "approved" and not (
        upload.state == "uploaded" and _lets_see(token, upload_id, now=now)
    ):
        raise NotFound
    if upload.place == "bucket":
        return Seen(
            content_type=upload.content_type, address=objects.address(_kept_at(upload), for_s=SEEN_FOR_S)
        )
    return Seen(content_type=upload.content_type, content=_content(upload_id))


def content(upload_id: str) -> bytes | None:
    """The bytes of an approved picture; None when it is not one, or not there."""
    upload = table.get(Upload, Upload.key(upload_id))
    if upload is None or upload.state != "approved":
        return None
    if upload.place == "row":
        return _content(upload_id)
    found = objects.get(_shown_at(upload_id))
    return found.content if found else None


def _content(upload_id: str) -> bytes:
    found = table.get(Content, Content.key(upload_id))
    if found is None:
        raise NotFound
    return bytes(found.content)


def address_for_checker(upload_id: str, *, base_url: str, now: int) -> str:
    """Where WeChat's checker can see a picture, for an hour, though nobody else does yet; whether it would follow a
    redirect is not documented, so that none is needed.

    Raises:
        NotFound: there is none of this id.
    """
    upload = show(upload_id)
    if upload.place == "bucket":
        return objects.address(_kept_at(upload), for_s=SEEN_FOR_S)
    claims: dict[str, Any] = {"upl": upload_id}
    token = session.sign(claims, purpose="upload", now=now, for_s=SEEN_FOR_S)
    return f"{base_url}/v1/uploads/{upload_id}?token={token}"


def _lets_see(token: str | None, upload_id: str, *, now: int) -> bool:
    try:
        return bool(token) and session.verify(token or "", purpose="upload", now=now).get("upl") == upload_id
    except Unauthorized:
        return False


def _of(row: Any) -> Upload:
    assert isinstance(row, Upload)
    return row
