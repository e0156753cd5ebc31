"""Pictures of members for tests: as small as a picture can be, and how one comes to stand somewhere."""

import base64
from typing import Any

from chalicelib.core import ids
from chalicelib.uploads import service as uploads
from chalicelib.uploads.schemas import StartUpload
from chalicelib.uploads.service import Upload
from tests.factories import NOW, PROGRAM

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
JPEG = b"\xff\xd8\xff\xe0" + bytes(60)
GIF = b"GIF89a" + bytes(60)
WEBP = b"RIFF\x40\x00\x00\x00WEBPVP8 " + bytes(60)


def begun(
    member_id: str, *, kind: Any = "avatar", content: bytes = PNG, key: str | None = None, now: int = NOW
) -> Upload:
    """An upload that waits for its picture."""
    given = StartUpload(kind=kind, size=len(content), content_type="image/png")
    entropy = ids.entropy(now=now)
    return uploads.start(
        given, member_id=member_id, program_id=PROGRAM, idempotency_key=key, entropy=entropy, now=now
    )


def sent(member_id: str, *, kind: Any = "avatar", now: int = NOW) -> str:
    """The id of an upload whose picture is there."""
    upload_id = begun(member_id, kind=kind, now=now).upload_id
    return uploads.take(upload_id, member_id=member_id, content=PNG, now=now).upload_id
