"""What WeChat pushes to a program's server: signed, plain or encrypted, JSON or XML, three times at most.

developers.weixin.qq.com, framework/server-ability/message-push: an answer other than "success" (or an empty one),
or none in five seconds, and it is sent again, twice. A fault of the path ``/pushes``: ``twice``, ``disorder``
(after the next one), ``withheld``, ``lost`` (it arrives, its answer is not heard).
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from chalicelib.wechat.pushes import signature
from infra.local.wechat.frame import Platform

TRIES = 3
ANSWERED_WITHIN_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a program's messages go, as its settings page says; with a ``key`` (EncodingAESKey) encrypted."""

    url: str
    token: str
    key: str = ""
    format: Literal["json", "xml"] = "json"


@dataclass
class Pushes:
    """The servers by appid, what waits for the next push, and the answers that came."""

    servers: dict[str, Server] = field(default_factory=dict)
    held: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


def push(platform: Platform, appid: str, told: Mapping[str, Any]) -> None:
    """Tell a program's server something; waits until it is taken or given up."""
    there, fault = platform.of(Pushes), platform.fault_of("/pushes")
    one = (appid, {"ToUserName": "gh_program", "CreateTime": int(time.time()), "MsgType": "event", **told})
    if fault == "withheld":
        return
    with platform.lock:
        if fault == "disorder" and not there.held:
            there.held.append(one)
            return
        waiting, there.held = there.held, []
    for other in [one, *([one] if fault == "twice" else []), *waiting]:
        _send(platform, *other, deaf=fault == "lost")


def _send(platform: Platform, appid: str, told: dict[str, Any], *, deaf: bool) -> None:
    server = platform.of(Pushes).servers.get(appid)
    if server is None:
        return
    for attempt in range(TRIES):
        status, body = _post(*_signed(server, appid, told))
        with platform.lock:
            platform.of(Pushes).answers.append(status)
        if status == 200 and body in (b"success", b"") and not (deaf and attempt == 0):
            return


def _signed(server: Server, appid: str, told: Mapping[str, Any]) -> tuple[str, bytes, str]:
    stamp, nonce = str(int(time.time())), str(secrets.randbelow(10**9))
    query = {"signature": signature(server.token, stamp, nonce), "timestamp": stamp, "nonce": nonce}
    message: Mapping[str, Any] = told
    if server.key:
        encrypted = seal(_written(told, server.format), key=server.key, appid=appid)
        query |= {
            "encrypt_type": "aes",
            "msg_signature": signature(server.token, stamp, nonce, encrypted),
            "openid": str(told.get("FromUserName", "")),
        }
        message = {"ToUserName": told["ToUserName"], "Encrypt": encrypted}
    content_type = "application/json" if server.format == "json" else "text/xml"
    return f"{server.url}?{urlencode(query)}", _written(message, server.format), content_type


def seal(message: bytes, *, key: str, appid: str) -> str:
    """A message as it is encrypted for a program."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    raw = base64.b64decode(key + "=")
    plain = secrets.token_bytes(16) + len(message).to_bytes(4, "big") + message + appid.encode()
    pad = 32 - len(plain) % 32
    sealing = Cipher(algorithms.AES(raw), modes.CBC(raw[:16])).encryptor()
    return base64.b64encode(sealing.update(plain + bytes([pad]) * pad) + sealing.finalize()).decode()


def _written(told: Mapping[str, Any], form: str) -> bytes:
    if form == "json":
        return json.dumps(told, ensure_ascii=False).encode()
    return f"<xml>{_elements(told)}</xml>".encode()


def _elements(told: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_elements(value) if isinstance(value, dict) else escape(str(value))}</{name}>"
        for name, value in told.items()
    )


def _post(url: str, body: bytes, content_type: str) -> tuple[int, bytes]:
    import urllib3

    try:
        answer = urllib3.request(
            "POST",
            url,
            body=body,
            headers={"Content-Type": content_type},
            timeout=ANSWERED_WITHIN_S,
            retries=False,
        )
    except urllib3.exceptions.HTTPError:
        return 0, b""
    return answer.status, answer.data


def later(platform: Platform, appid: str, told: Mapping[str, Any]) -> None:
    """Tell it in the background."""
    threading.Thread(target=push, args=(platform, appid, told), daemon=True).start()
