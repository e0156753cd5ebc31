"""What the phone hands on encrypted, opened with the session_key that only WeChat and this server know.

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html: AES-128-CBC with PKCS#7
padding, key and iv in base64; inside, JSON whose ``watermark.appid`` is the program that it was made for.
"""

import base64
import json
from typing import Any

from chalicelib.core.errors import Conflict, Invalid


class SessionKeyStale(Conflict):
    """The data was encrypted with another session_key than the one of the last sign-in."""

    code = "wechat_session_stale"
    en = "Please try again."
    zh = "请重试。"
    advice = "Call wx.login and POST /v1/sessions, then get the data from WeChat anew and send it."


def opened(*, session_key: str | None, encrypted_data: str, iv: str, appid: str) -> dict[str, Any]:
    """The JSON that WeChat encrypted for this program.

    Raises:
        SessionKeyStale: this key does not open it. Invalid: it is no such data, or another program's.
    """
    if session_key is None:
        raise SessionKeyStale
    try:
        content, start = (base64.b64decode(text, validate=True) for text in (encrypted_data, iv))
    except ValueError as wrong:
        raise Invalid(field="encrypted_data", reason="not base64") from wrong
    if len(start) != 16 or not content or len(content) % 16:
        raise Invalid(field="iv" if len(start) != 16 else "encrypted_data", reason="not what WeChat gives")
    try:
        found: dict[str, Any] = json.loads(decrypted(content, key=base64.b64decode(session_key), iv=start))
    except ValueError as unreadable:
        raise SessionKeyStale from unreadable
    mark = found.get("watermark") if isinstance(found, dict) else None
    if not isinstance(mark, dict) or mark.get("appid") != appid:
        raise Invalid(field="encrypted_data", reason="made for another program")
    return found


def decrypted(content: bytes, *, key: bytes, iv: bytes, block: int = 16) -> bytes:
    """AES-CBC with PKCS#7 padding to ``block`` bytes.

    Raises:
        ValueError: the padding shows that the key is another.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    opening = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    padded = opening.update(content) + opening.finalize()
    pad = padded[-1] if padded else 0
    if not 1 <= pad <= block or padded[-pad:] != bytes([pad]) * pad:
        raise ValueError("the padding is wrong")
    return padded[:-pad]
