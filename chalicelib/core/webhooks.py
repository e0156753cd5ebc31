"""Signatures between Liebian and the mall, both ways, as the Standard Webhooks specification has them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: HMAC-SHA256 over
``id.timestamp.body``, five minutes of tolerance. The specification does not sign the path, so an id is bound to
method, path and body at its first use.

    entity   pk                  sk     written by   read by
    Used     CALL#<webhook-id>   META   verify       verify (an id serves one call only)
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from pynamodb.attributes import UnicodeAttribute

from chalicelib.core import config, table
from chalicelib.core.clock import HOUR
from chalicelib.core.errors import SignatureInvalid
from chalicelib.core.table import Row

TOLERANCE_S = 300


class Used(Row, discriminator="webhook_call"):
    """The call that a webhook id was first used for."""

    TRAFFIC = True
    call = UnicodeAttribute()

    @staticmethod
    def key(webhook_id: str) -> table.Key:
        """One row for an id."""
        return f"CALL#{webhook_id}", "META"


def sign(body: str, *, webhook_id: str, now: int) -> dict[str, str]:
    """The three headers that prove to the mall that ``body`` comes from us, with the newest secret."""
    signature = _signature(_secrets(now)[0], webhook_id, now, body.encode())
    return {"webhook-id": webhook_id, "webhook-timestamp": str(now), "webhook-signature": signature}


def verify(*, headers: Mapping[str, str], method: str, target: str, body: bytes, now: int) -> None:
    """Let a signed call of the mall's servers pass, once for one method, path and body, or again the same.

    Raises:
        SignatureInvalid: a header is missing, no signature fits either live secret, the time is more than five
        minutes away, or the id served another call before.
    """
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 1 <= len(webhook_id) <= 200 or not _near(timestamp, now):
        raise SignatureInvalid
    given = headers.get("webhook-signature", "").encode().split()
    genuine = [_signature(secret, webhook_id, int(timestamp), body).encode() for secret in _secrets(now)]
    if not any(hmac.compare_digest(one, other) for one in genuine for other in given):
        raise SignatureInvalid
    _bind(webhook_id, hashlib.sha256(f"{method} {target}\n".encode() + body).hexdigest(), now=now)


def _bind(webhook_id: str, call: str, *, now: int) -> None:
    try:
        table.apply(table.create(Used(*Used.key(webhook_id), call=call, ttl=now + HOUR)))
    except table.Taken as first:
        if first.row.call != call:
            raise SignatureInvalid from first


def _near(timestamp: str, now: int) -> bool:
    return (
        len(timestamp) <= 12
        and timestamp.isascii()
        and timestamp.isdigit()
        and abs(int(timestamp) - now) <= TOLERANCE_S
    )


def _signature(secret: bytes, webhook_id: str, at: int, body: bytes) -> str:
    from standardwebhooks.webhooks import Webhook

    try:
        text = body.decode()
    except UnicodeDecodeError as unreadable:
        raise SignatureInvalid from unreadable
    # Only the library's `sign` serves: its `verify` reads the clock itself and parses the body.
    return str(Webhook(secret).sign(webhook_id, datetime.fromtimestamp(at, UTC), text))


def _secrets(now: int) -> list[bytes]:
    """The live secrets, newest first: two, separated by a space, while one replaces the other."""
    return [_secret(text) for text in config.secret("mall_secrets", now=now).split()]


def _secret(text: str) -> bytes:
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error as wrong:
        raise config.ConfigError("A mall secret that begins with whsec_ must go on in base64.") from wrong
