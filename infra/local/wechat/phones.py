"""Phone numbers and what phones encrypt: getuserphonenumber, and data as wx.getGroupEnterInfo would give it.

developers.weixin.qq.com: framework/open-ability/getPhoneNumber (a code serves once, for five minutes; 40029 after)
and framework/open-ability/signature (AES-128-CBC with the session_key). Here a code is ``phone:13800138000:N``.
"""

import base64
import json
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

from infra.local.wechat.frame import Answer, Platform, Request, endpoint, refusal
from infra.local.wechat.login import Logins
from infra.local.wechat.people import session_key

_CODE = re.compile(r"phone:(1\d{10}):[A-Za-z0-9_-]{1,32}")


@endpoint("POST", "/wxa/business/getuserphonenumber", token=True)
def phone_number(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """The number that a code stands for."""
    code = str(request.json.get("code", ""))
    known = _CODE.fullmatch(code)
    with platform.lock:
        used = platform.of(Logins).used
        if known is None or code in used:
            return refusal(40029)
        used.add(code)
    info = {
        "phoneNumber": known[1],
        "purePhoneNumber": known[1],
        "countryCode": "86",
        "watermark": {"timestamp": int(time.time()), "appid": request.appid},
    }
    return {"errcode": 0, "errmsg": "ok", "phone_info": info}


def encrypted(told: Mapping[str, Any], *, appid: str, name: str) -> dict[str, str]:
    """``encryptedData`` and ``iv`` of what a person's phone hands on."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key, iv = base64.b64decode(session_key(appid=appid, name=name)), secrets.token_bytes(16)
    plain = json.dumps({**told, "watermark": {"timestamp": int(time.time()), "appid": appid}}).encode()
    pad = 16 - len(plain) % 16
    sealing = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    sealed = sealing.update(plain + bytes([pad]) * pad) + sealing.finalize()
    return {"encryptedData": base64.b64encode(sealed).decode(), "iv": base64.b64encode(iv).decode()}
