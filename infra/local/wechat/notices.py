"""What the simulated WeChat Pay tells a merchant by itself: encrypted, signed, and told again until it is taken.

An answer other than 200 or 204, or none in five seconds, is no answer; it is told again after 15 s, 15 s, 30 s,
3 min, 10 min, 20 min, three times 30 min, 60 min, three times 3 h and twice 6 h, and then never (24 h 4 min:
pay.weixin.qq.com, docs/merchant/products/notification/introduction.html), here at ``pace`` of that. A fault of the
path ``/notices/<what>``: ``twice``, ``disorder`` (after the next one), ``withheld``, ``lost`` (it arrives and its
answer is not heard), ``slow`` and ``busy`` (it first arrives when it would be told again).
"""

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.wechat import merchant
from infra.local.wechat.frame import Fault, Platform

RESENT_AFTER_S = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
ANSWERED_WITHIN_S = 5.0
PACE = 0.02

Transport = Callable[[str, Mapping[str, str], bytes], int]


@dataclass(frozen=True, kw_only=True)
class Told:
    """One thing to tell, and where; ``what`` is the path's last word: payments, refunds, transfers."""

    what: str
    url: str
    event_type: str
    original_type: str
    resource: Mapping[str, Any]
    summary: str


@dataclass
class Notices:
    """What is being told: how many are not taken yet, and what waits for the next one."""

    pace: float = PACE
    transport: Transport | None = None
    taken: list[tuple[str, int]] = field(default_factory=list)
    open: int = 0
    held: list[Told] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)


def tell(platform: Platform, told: Told) -> None:
    """Tell a merchant something, from now on and in the background; call it without `Platform.lock`."""
    there, fault = platform.of(Notices), platform.fault_of(f"/notices/{told.what}")
    if fault == "withheld":
        return
    with there.changed:
        if fault == "disorder" and not there.held:
            there.held.append(told)
            return
        waiting, there.held = there.held, []
    for one in [told, *([told] if fault == "twice" else []), *waiting]:
        _start(platform, one, fault)


def wait(platform: Platform, *, seconds: float = 10.0) -> bool:
    """Whether everything that was told is taken or given up, within ``seconds``."""
    there = platform.of(Notices)
    with there.changed:
        return there.changed.wait_for(lambda: not there.open, seconds)


def message(platform: Platform, told: Told) -> tuple[dict[str, str], bytes]:
    """Headers and body of one telling, signed now."""
    resource = {"original_type": told.original_type, **merchant.seal(told.resource, about=told.original_type)}
    body = {
        "id": f"EV-{secrets.token_hex(16)}"[:36],
        "create_time": merchant.time_of(platform.clock()),
        "resource_type": "encrypt-resource",
        "event_type": told.event_type,
        "summary": told.summary,
        "resource": resource,
    }
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    with platform.lock:
        by_public_key = platform.of(merchant.Merchant).told_by_public_key
    signed = merchant.signature(platform, content, by_public_key=by_public_key)
    return {"Content-Type": "application/json", **signed}, content


def _start(platform: Platform, told: Told, fault: Fault | None) -> None:
    there = platform.of(Notices)
    with there.changed:
        there.open += 1

    def run() -> None:
        try:
            _tell_until_taken(platform, told, fault)
        finally:
            with there.changed:
                there.open -= 1
                there.changed.notify_all()

    threading.Thread(target=run, daemon=True).start()


def _tell_until_taken(platform: Platform, told: Told, fault: Fault | None) -> None:
    there = platform.of(Notices)
    pauses = [0, *RESENT_AFTER_S]
    if fault in ("slow", "busy"):
        pauses = pauses[1:]
    for number, pause in enumerate(pauses):
        if platform.stopped.wait(pause * there.pace):
            return
        headers, body = message(platform, told)
        status = (there.transport or _post)(told.url, headers, body)
        heard = not (fault == "lost" and number == 0)
        with there.changed:
            there.taken.append((told.what, status))
        if heard and status in (200, 204):
            return


def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    import urllib3

    try:
        answer = urllib3.request(
            "POST", url, body=body, headers=dict(headers), timeout=ANSWERED_WITHIN_S, retries=False
        )
    except urllib3.exceptions.HTTPError:
        return 0
    return answer.status
