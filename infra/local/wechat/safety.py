"""Content safety and risk: msg_sec_check, media_check_async with its push, getuserriskrank.

developers.weixin.qq.com: sec-center/sec-check/msgSecCheck and mediaCheckAsync, and
sec-center/safety-control-capability/getUserRiskRank. Whoever is asked about was in the program within two hours
(here: signed in), else 61010, or 40003 for nobody's openid. Here a text with 违规 in it is risky (20001), with 存疑
to be reviewed (21000), and so is a picture that holds these bytes; a person whose name ends in "-risky" has rank 4.
What is told of a picture comes as the push ``wxa_media_check``.
"""

import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

from infra.local.wechat import pushes
from infra.local.wechat.frame import Answer, Platform, Request, endpoint, refusal
from infra.local.wechat.login import Logins

LATELY_S = 2 * 3600
LONGEST = 2500
_RISKY, _DOUBTFUL = "违规".encode(), "存疑".encode()


@endpoint("POST", "/wxa/msg_sec_check", token=True)
def check_text(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """What WeChat suggests about a text."""
    body = request.json
    content = body.get("content")
    if not isinstance(content, str) or not content or body.get("version") != 2:
        return refusal(40097)
    if len(content) > LONGEST:
        return refusal(40097)
    if body.get("scene") not in (1, 2, 3, 4):
        return refusal(40129)
    if absent := _absent(platform, body.get("openid")):
        return absent
    result = _result(content.encode())
    platform.tell("text checked", content=content, **result)
    return {"errcode": 0, "errmsg": "ok", "result": result, "trace_id": _trace(), "detail": []}


@endpoint("POST", "/wxa/media_check_async", token=True)
def check_media(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """Take a picture on, and tell later."""
    body = request.json
    url = body.get("media_url")
    if not isinstance(url, str) or body.get("media_type") not in (1, 2) or body.get("version") != 2:
        return refusal(40097)
    if absent := _absent(platform, body.get("openid")):
        return absent
    trace_id = _trace()
    job = (platform, request.appid, url, trace_id)
    threading.Thread(target=_look, args=job, daemon=True).start()
    return {"errcode": 0, "errmsg": "ok", "trace_id": trace_id}


@endpoint("POST", "/wxa/getuserriskrank", token=True)
def risk_rank(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """How risky a person is, 0 to 4."""
    body = request.json
    if body.get("appid") != request.appid or not body.get("client_ip"):
        return refusal(40097)
    if body.get("scene") not in (0, 1, 2):
        return refusal(40129)
    if absent := _absent(platform, body.get("openid")):
        return absent
    with platform.lock:
        _, name = platform.of(Logins).people[body["openid"]]
    rank = 4 if name.endswith("-risky") else 0
    return {
        "errcode": 0,
        "errmsg": "getuserriskrank succ",
        "risk_rank": rank,
        "unoin_id": secrets.randbits(31),
    }


def _look(platform: Platform, appid: str, url: str, trace_id: str) -> None:
    content = _fetched(url)
    told: dict[str, Any] = {"appid": appid, "trace_id": trace_id, "version": 2, "detail": []}
    if content is None:
        told |= {"errcode": -1008, "errmsg": "download media fail"}
    else:
        told |= {"errcode": 0, "errmsg": "ok", "result": _result(content)}
    platform.tell("picture checked", url=url, **told.get("result", {"suggest": "not found"}))
    pushes.push(platform, appid, {"FromUserName": "oPlatform", "Event": "wxa_media_check", **told})


def _fetched(url: str) -> bytes | None:
    import urllib3

    try:
        answer = urllib3.request("GET", url, timeout=5, retries=False)
    except urllib3.exceptions.HTTPError:
        return None
    return answer.data if answer.status == 200 else None


def _result(content: bytes) -> dict[str, Any]:
    if _RISKY in content:
        return {"suggest": "risky", "label": 20001}
    return (
        {"suggest": "review", "label": 21000} if _DOUBTFUL in content else {"suggest": "pass", "label": 100}
    )


def _absent(platform: Platform, openid: Any) -> Answer | None:
    """What is said of somebody who is nobody, or was not in the program lately."""
    with platform.lock:
        known = str(openid) in platform.of(Logins).people
        at = platform.of(Logins).at.get(str(openid))
    if not known:
        return refusal(40003)
    return None if at is not None and time.time() - at <= LATELY_S else refusal(61010, "code is expired")


def _trace() -> str:
    return "-".join(secrets.token_hex(4) for _ in range(3))
