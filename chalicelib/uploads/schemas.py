"""What uploads' routes take and answer."""

from typing import Annotated, Literal

import msgspec

Purpose = Literal["avatar", "checkin", "feed", "poster"]
UploadId = Annotated[str, msgspec.Meta(pattern=r"^upl_[0-9A-HJKMNP-TV-Z]{26}$(?!\n)")]
IN_A_ROW_BYTES = 45 * 1024
"""What fits into a body of 64 KB as base64."""
LARGEST_BYTES: dict[Purpose, int] = {
    "avatar": 1024 * 1024,
    "checkin": 5 * 1024 * 1024,
    "feed": 5 * 1024 * 1024,
    "poster": 5 * 1024 * 1024,
}
"""With a bucket; WeChat checks pictures of up to 10 MB (sec-center/sec-check/mediaCheckAsync)."""


class StartUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A picture about to be sent: what it is for, its bytes at most, and its type."""

    kind: Purpose
    size: Annotated[int, msgspec.Meta(ge=1, le=5 * 1024 * 1024)]
    content_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]


class StartedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """How to send it.

    ``POST``: ``wx.uploadFile({url, name: file_field, formData: form})``, then ``POST /v1/uploads/{id}/done``.
    ``PUT``: the picture as base64, ``{"content": "…"}``, to ``url``, and it is done.
    """

    upload_id: str
    method: Literal["POST", "PUT"]
    url: str
    form: dict[str, str]
    file_field: str
    expires_at: int
    max_size: int
    now: int


class PutUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A small picture as base64."""

    content: Annotated[str, msgspec.Meta(min_length=1, max_length=IN_A_ROW_BYTES * 4 // 3)]


class UploadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An upload; ``url`` is where everybody sees it once its state is ``approved``."""

    upload_id: str
    kind: str
    state: str
    content_type: str
    size: int
    url: str
    now: int


class SeeUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A token lets a checker see a picture that is not approved yet."""

    token: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
