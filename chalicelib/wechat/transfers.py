"""Merchant transfers (商家转账) of WeChat Pay: from the merchant's account to a person's wallet, once they take it.

    POST /v3/fund-app/mch-transfer/transfer-bills                                    4012716434
    GET  /v3/fund-app/mch-transfer/transfer-bills/out-bill-no/{out_bill_no}          4012716437
    POST /v3/fund-app/mch-transfer/transfer-bills/out-bill-no/{out_bill_no}/cancel   4012716458
    the notification of an end, MCHTRANSFER.BILL.FINISHED                            4012712115

What these pages of pay.weixin.qq.com/doc/v3/merchant say (copies of March 2025), and what this stands on:

- ``out_bill_no``, 32 digits and letters at most, is the transfer: sent again under it, it is the same one, with the
  same ``package_info``. Whatever an answer that is not 200 says, the number must not be changed before a query says
  that the first has failed.
- A query knows the last 30 days, and does not tell ``package_info``.
- ACCEPTED may be sent again under its number. PROCESSING waits for money in the account, and is sent again when
  there is some. WAIT_USER_CONFIRM and TRANSFERING wait for the person, who may open WeChat's page, and again.
  SUCCESS, FAIL and CANCELLED are ends. What nobody takes within 24 hours becomes FAIL, a while later
  (developers.weixin.qq.com/community/pay/doc/000c28ce1bcd6062cd032798567800).
- A cancellation that is taken on (CANCELING) is no end: the query says when it is.
- From ¥2,000 on the person's real name must be told, encrypted, and WeChat compares it; below ¥0.3 it is not taken
  (so it is said of the sister product, 4014131130).
- Calls from an address that the merchant has not named are refused with INVALID_REQUEST.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec

from chalicelib.core import config
from chalicelib.core.clock import DAY
from chalicelib.wechat import pay
from chalicelib.wechat.pay import Notice, PayRefused

BILLS = "/v3/fund-app/mch-transfer/transfer-bills"
FINISHED = "MCHTRANSFER.BILL.FINISHED"
TAKEN_WITHIN_S = DAY
KNOWN_FOR_S = 29 * DAY
"""For how long a number can be asked about; a day less than WeChat says, since days end somewhere."""
NAME_FROM_FEN, NAME_NEEDED_FROM_FEN = 30, 2_000_00
LEAST_FEN = 10
"""¥0.1 (developers.weixin.qq.com/community/pay/doc/0002e25bd10b608398c21072d60800)."""
WAITS = frozenset({"WAIT_USER_CONFIRM", "TRANSFERING"})


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer as WeChat tells of it; ``amount_fen``, ``mchid`` and to whom it is where it says them."""

    number: str
    reference: str
    state: str
    created_at: int
    amount_fen: int | None = None
    mchid: str | None = None
    reason: str | None = None
    package: str | None = None
    appid: str | None = None
    openid: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be transferred to whom; ``notify_url`` is where its end is told."""

    number: str
    appid: str
    openid: str
    amount_fen: int
    real_name: str | None = None
    notify_url: str | None = None


def create(order: Order, *, now: int) -> Bill:
    """Send a transfer, or, sent before under this number, the same again.

    Raises:
        PayRefused: not now, which says nothing about the number. PayUnknown: it may have been taken on.
    """
    settings = config.settings()
    body: dict[str, Any] = {
        "appid": order.appid,
        "out_bill_no": order.number,
        "transfer_scene_id": settings.transfer_scene_id,
        "openid": order.openid,
        "transfer_amount": order.amount_fen,
        "transfer_remark": settings.transfer_remark,
        "transfer_scene_report_infos": [
            {"info_type": kind, "info_content": content} for kind, content in settings.transfer_reports
        ],
    }
    named = order.real_name is not None and order.amount_fen >= NAME_FROM_FEN
    sealer = pay.sealer(now=now) if named else None
    if sealer is not None and order.real_name is not None:
        body["user_name"] = sealer.seal(order.real_name)
    if settings.transfer_perception:
        body["user_recv_perception"] = settings.transfer_perception
    if order.notify_url is not None:
        body["notify_url"] = order.notify_url
    serial = sealer.serial if sealer else None
    return _bill(pay.call("POST", BILLS, body=body, serial=serial, pool=_way_out(now=now), now=now))


def show(number: str, *, now: int) -> Bill | None:
    """How the transfer of this number stands; None: WeChat knows of none, yet or any more.

    Raises:
        PayRefused, PayUnknown: it did not say.
    """
    try:
        return _bill(pay.call("GET", _of(number), pool=_way_out(now=now), now=now))
    except PayRefused as refused:
        if refused.code == "NOT_FOUND":
            return None
        raise


def cancel(number: str, *, now: int) -> None:
    """Ask that a transfer be closed before somebody takes it; only `show` says that it was.

    Raises:
        PayRefused: it cannot be, such as when it has ended. PayUnknown: it may be.
    """
    pay.call("POST", f"{_of(number)}/cancel", pool=_way_out(now=now), now=now)


def told(notice: Notice) -> Bill | None:
    """The transfer whose end a notification tells; None: it tells of something else."""
    return _bill(notice.resource) if notice.event_type == FINISHED else None


def _of(number: str) -> str:
    return f"{BILLS}/out-bill-no/{number}"


def _bill(said: Mapping[str, Any]) -> Bill:
    """A page says ``mch_id``, others ``mchid``.

    Raises:
        PayUnknown: it is no transfer.
    """
    try:
        return Bill(
            number=str(said["out_bill_no"]),
            reference=str(said["transfer_bill_no"]),
            state=str(said["state"]),
            created_at=int(datetime.fromisoformat(said["create_time"]).timestamp()),
            amount_fen=said.get("transfer_amount"),
            mchid=said.get("mch_id") or said.get("mchid"),
            reason=said.get("fail_reason") or None,
            package=said.get("package_info") or None,
            appid=said.get("appid") or None,
            openid=said.get("openid") or None,
        )
    except (KeyError, TypeError, ValueError) as unreadable:
        raise pay.PayUnknown("an answer that is no transfer") from unreadable


# --- the way out --------------------------------------------------------------------------------------------


def _way_out(*, now: int) -> Any:
    """By what these calls leave: a proxy whose address WeChat was told, where there is one; else None."""
    url = config.settings().outbound_proxy
    if not url:
        return None
    parts = urlsplit(url)
    password = config.secret("outbound_proxy", now=now) if parts.username else ""
    return _proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.username or "", password)


@lru_cache(maxsize=2)
def _proxy(url: str, user: str, password: str) -> Any:
    import urllib3

    headers = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}") if user else {}
    timeout = urllib3.Timeout(connect=pay.CONNECT_S, read=pay.READ_S)
    return urllib3.ProxyManager(url, proxy_headers=headers, timeout=timeout, retries=False)
