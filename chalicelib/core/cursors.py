"""Opaque cursors of lists: where the next page begins, signed for one list of one reader."""

import base64
import binascii
import hashlib
import hmac
import json

from chalicelib.core import config
from chalicelib.core.errors import BadRequest
from chalicelib.core.table import Raw

_MAC_BYTES = 12


class CursorInvalid(BadRequest):
    """`after` is not a cursor that this list gave to this caller."""

    code = "cursor_invalid"
    en = "This page link is not valid."
    zh = "分页参数无效。"
    advice = "Start the list from the beginning."


def seal(key: Raw | None, *, where: str, now: int) -> str | None:
    """The cursor for ``key`` in the list ``where`` (say ``links#mbr_1``); None at the end of the list."""
    if key is None:
        return None
    body = json.dumps(key, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(_mac(body, where, now) + body).decode().rstrip("=")


def unseal(cursor: str | None, *, where: str, now: int) -> Raw | None:
    """The key that `seal` hid.

    Raises:
        CursorInvalid: forged, or made for another list or reader.
    """
    if not cursor:
        return None
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as unreadable:
        raise CursorInvalid from unreadable
    mac, body = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(body, where, now)):
        raise CursorInvalid
    key: Raw = json.loads(body)
    return key


def _mac(body: bytes, where: str, now: int) -> bytes:
    key = config.secret("link_key", now=now).encode()
    return hmac.new(key, b"cursor\x1f" + where.encode() + b"\x1f" + body, hashlib.sha256).digest()[
        :_MAC_BYTES
    ]
