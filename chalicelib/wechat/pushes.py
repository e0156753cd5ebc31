"""What WeChat tells a program: checked, opened, noted once, and answered at once; rooms work from the fact.

https://developers.weixin.qq.com/miniprogram/dev/framework/server-ability/message-push.html: the first request is a
GET whose ``echostr`` is given back; then POSTs in JSON or XML, plain or encrypted, each dropped after five seconds
without an answer and sent three times in all. MsgId tells messages apart, FromUserName with CreateTime events.
The encrypted mode: AES-256-CBC, key = base64(EncodingAESKey + "="), iv = its first 16 bytes, PKCS#7 padding to 32;
inside are 16 random bytes, the length (4 bytes, big-endian), the message, the appid.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from chalicelib.core import config, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import BadRequest, SignatureInvalid
from chalicelib.core.telemetry import logger
from chalicelib.wechat import opendata
from chalicelib.wechat.client import App
from chalicelib.wechat.models import Push as Push  # noqa: PLC0414 - rooms name what they are told

FRESH_FOR_S = 600
"""A choice of ours: WeChat's repetitions come within seconds, and a signature has no end of its own."""
STAYS_S = 7 * DAY
MOST_BYTES = 60_000


def signature(*parts: str) -> str:
    """SHA-1 of the sorted parts, as WeChat makes it of token, timestamp, nonce (and what is encrypted)."""
    # WeChat's own choice of hash; it is no secret that it keeps, but who knows the token.
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def admit(app: App, query: Mapping[str, str], *, now: int) -> None:
    """Let WeChat pass.

    Raises:
        SignatureInvalid: whoever calls does not know the program's token, or has an old call; or it has none.
    """
    try:
        token = config.secret(f"wechat/{app.secret_name}/message_token", now=now)
    except config.ConfigError as missing:
        logger.warning("a push to a program that takes none", appid=app.appid)
        raise SignatureInvalid from missing
    stamp, given = query.get("timestamp", ""), query.get("signature", "")
    right = hmac.compare_digest(
        signature(token, stamp, query.get("nonce", "")).encode(), given.encode("utf-8", "replace")
    )
    fresh = stamp.isascii() and stamp.isdigit() and abs(int(stamp) - now) <= FRESH_FOR_S
    if not right or not fresh:
        raise SignatureInvalid


def read(app: App, body: bytes, query: Mapping[str, str], *, now: int) -> dict[str, Any]:
    """What WeChat tells, whichever way it is configured to.

    Raises:
        BadRequest: it is neither JSON nor XML. SignatureInvalid: it is encrypted for somebody else.
    """
    told = _parsed(body)
    encrypted = told.get("Encrypt")
    if not isinstance(encrypted, str):
        return told
    token = config.secret(f"wechat/{app.secret_name}/message_token", now=now)
    right = signature(token, query.get("timestamp", ""), query.get("nonce", ""), encrypted)
    if not hmac.compare_digest(right.encode(), query.get("msg_signature", "").encode("utf-8", "replace")):
        raise SignatureInvalid
    key = config.secret(f"wechat/{app.secret_name}/message_key", now=now)
    return _parsed(_opened(encrypted, key=base64.b64decode(key + "="), appid=app.appid))


def note(told: Mapping[str, Any], *, program_id: str, now: int) -> None:
    """Keep what was told, once; told again, it is there already."""
    event = str(told.get("Event") or told.get("MsgType") or "")
    content = json.dumps(told, ensure_ascii=False)
    if len(content.encode()) > MOST_BYTES:
        raise BadRequest(reason="longer than anything WeChat tells")
    row = Push(
        *Push.key(program_id, _told_apart(told, event)),
        state="arrived",
        program_id=program_id,
        event=event,
        content=content,
        arrived_at=now,
        ttl=now + STAYS_S,
    )
    try:
        table.apply(table.create(row))
    except table.Taken:
        logger.info("WeChat told it before", program=program_id, event=event)


def content_of(push: Push) -> dict[str, Any]:
    """All that was told."""
    found: dict[str, Any] = json.loads(push.content)
    return found


def result_of(trace_id: str, *, event: str, program_id: str) -> Push | None:
    """What WeChat told of a check under this trace_id, if it has."""
    key = Push.key(program_id, _told_apart({"trace_id": trace_id}, event))
    return table.get(Push, key)


def _told_apart(told: Mapping[str, Any], event: str) -> str:
    """The result of a check is its trace_id's, so that it can be asked for."""
    by = next((name for name in ("MsgId", "trace_id") if told.get(name)), None)
    names = (by,) if by else ("FromUserName", "CreateTime")
    parts = [event, *(str(told.get(name, "")) for name in names)]
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


def _opened(encrypted: str, *, key: bytes, appid: str) -> bytes:
    try:
        content = base64.b64decode(encrypted, validate=True)
        plain = opendata.decrypted(content, key=key, iv=key[:16], block=32)
    except (binascii.Error, ValueError) as unreadable:
        raise SignatureInvalid from unreadable
    length = int.from_bytes(plain[16:20], "big")
    message, whose = plain[20 : 20 + length], plain[20 + length :]
    if whose != appid.encode():
        raise SignatureInvalid
    return message


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = _xml(body) if body.lstrip().startswith(b"<") else json.loads(body)
        # Half an emoji can be written in JSON, and cannot be kept.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, LookupError, RecursionError) as unreadable:
        raise BadRequest(reason="neither JSON nor XML") from unreadable
    if not isinstance(found, dict):
        raise BadRequest(reason="not an object")
    return found


def _xml(body: bytes) -> dict[str, Any]:
    """One level of names under the root is all that WeChat sends; what is deeper is kept as a dict of its own."""
    from xml.etree import ElementTree

    # What WeChat sends has no document type; what has one may hold entities that grow without end.
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ValueError("a document type")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - without a document type there are no entities
    except ElementTree.ParseError as wrong:
        raise ValueError("not XML") from wrong
    return {child.tag: _value(child) for child in root}


def _value(element: Any) -> Any:
    children = list(element)
    return {child.tag: _value(child) for child in children} if children else (element.text or "")
