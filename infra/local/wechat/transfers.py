"""Merchant transfers of the simulated WeChat Pay, and the page on which a person takes the money.

`chalicelib.wechat.transfers` says where each call is documented. As there:

    one number is one transfer: asked for again as it was, it is the same, with the same package_info; with another
    openid, amount, scene, remark or appid it is refused (chosen here: INVALID_REQUEST)
    it becomes WAIT_USER_CONFIRM at once; PROCESSING while the account has too little, and goes on when it is
    asked for again; ``outcome`` "NOT_ENOUGH" refuses it instead, and takes nothing on
    POST /_simulator/transfers/{out_bill_no}/confirm and .../refuse are WeChat's page, with what
    wx.requestMerchantTransfer takes (the button of the simulator's own page brings nothing, and is believed);
    ``name`` in the body is what the person is really called, as far as WeChat knows
    nobody takes it within ``lives_s``: FAIL with OVERDUE_CLOSE when it is next looked at, ``closes_s`` later
    a cancellation is CANCELING, and CANCELLED when it is next looked at
    a call from an address that is not in ``addresses`` is INVALID_REQUEST
    the notification is told at the end (SUCCESS, FAIL, CANCELLED); its path for faults is /notices/transfers
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.wechat import login, merchant, notices
from infra.local.wechat.frame import Answer, Platform, Request, endpoint, said
from infra.local.wechat.merchant import MCHID, PUBLIC_KEY_ID, Refused, pay_endpoint, time_of

PATH = "/v3/fund-app/mch-transfer/transfer-bills"
NUMBER = re.compile(r"[0-9A-Za-z]{1,32}")
LIVES_S, CLOSES_S = 86_400.0, 3_600.0
FROM_FEN, NAMED_FROM_FEN = 10, 2_000_00
SCENES = {"1000": {"活动名称", "奖励说明"}, "1005": {"岗位类型", "报酬说明"}}
"""What is to be reported in which scene (4013774588; community/personal/oCJUsw_pd5LAq6gR8A3ki7Tu05uI/answer)."""
ENDS = ("SUCCESS", "FAIL", "CANCELLED")
ALIKE = ("appid", "openid", "transfer_amount", "transfer_remark", "transfer_scene_id")


@dataclass(kw_only=True)
class Transfer:
    """One transfer: what the merchant asked for, and what became of it."""

    asked: Mapping[str, Any]
    name: str | None
    reference: str
    package: str
    made_at: float
    state: str = "ACCEPTED"
    changed_at: float = 0.0
    reason: str = ""

    @property
    def number(self) -> str:
        """The merchant's."""
        return str(self.asked["out_bill_no"])

    @property
    def fen(self) -> int:
        """How much."""
        return int(self.asked["transfer_amount"])


@dataclass
class Transfers:
    """All transfers by the merchant's number; the account they are paid from, and who may call from where."""

    by_number: dict[str, Transfer] = field(default_factory=dict)
    funds_fen: int = 10**9
    paid_fen: int = 0
    outcome: str = ""
    lives_s: float = LIVES_S
    closes_s: float = CLOSES_S
    addresses: frozenset[str] = frozenset({"127.0.0.1"})
    asked: list[str] = field(default_factory=list)


@pay_endpoint("POST", PATH)
def create(platform: Platform, request: Request) -> Mapping[str, Any]:
    """Take a transfer on, or say how the one of this number stands."""
    _from_known_address(platform, request)
    asked = request.json
    name = _check(platform, request)
    with platform.lock:
        there = platform.of(Transfers)
        there.asked.append(asked["out_bill_no"])
        transfer = there.by_number.get(asked["out_bill_no"])
        if transfer is None:
            transfer = _new(platform, there, asked, name)
        elif any(transfer.asked.get(part) != asked.get(part) for part in ALIKE):
            raise Refused("INVALID_REQUEST", "商户单号已存在，但请求参数不一致")
        _go_on(platform, transfer)
        shown = {
            "out_bill_no": transfer.number,
            "transfer_bill_no": transfer.reference,
            "create_time": time_of(transfer.made_at),
            "state": transfer.state,
        }
        if transfer.state == "WAIT_USER_CONFIRM":
            shown["package_info"] = transfer.package
        return shown


@pay_endpoint("GET", PATH + "/out-bill-no/{number}")
def query(platform: Platform, request: Request, number: str) -> Mapping[str, Any]:
    """How a transfer stands; the package is not told."""
    _from_known_address(platform, request)
    with platform.lock:
        transfer = _transfer(platform, number)
        ended = _time_passes(platform, transfer)
        shown = _shown(transfer)
    if ended:
        _tell(platform, transfer)
    return shown


@pay_endpoint("POST", PATH + "/out-bill-no/{number}/cancel")
def cancel(platform: Platform, request: Request, number: str) -> Mapping[str, Any]:
    """Begin to close a transfer that nobody has taken."""
    _from_known_address(platform, request)
    with platform.lock:
        transfer = _transfer(platform, number)
        if transfer.state in ENDS:
            raise Refused("INVALID_REQUEST", "当前单据状态不支持撤销")
        transfer.state, transfer.changed_at = "CANCELING", platform.clock()
        return {
            "out_bill_no": transfer.number,
            "transfer_bill_no": transfer.reference,
            "state": transfer.state,
            "update_time": time_of(transfer.changed_at),
        }


@endpoint("POST", "/_simulator/transfers/{number}/confirm")
def confirm(platform: Platform, request: Request, number: str) -> Answer:
    """Take the money, as wx.requestMerchantTransfer's page does, if the package that it was given is this one's."""
    with platform.lock:
        there, transfer = platform.of(Transfers), platform.of(Transfers).by_number.get(number)
        why_not = _not_to_be_taken(platform, transfer, request)
        if transfer is None or why_not:
            return said({"errMsg": f"requestMerchantTransfer:fail {why_not}"}, status=400)
        real = request.json.get("name")
        if transfer.name is not None and real is not None and transfer.name != real:
            _end(platform, transfer, "FAIL", "NAME_NOT_CORRECT")
        else:
            _end(platform, transfer, "SUCCESS")
            there.paid_fen += transfer.fen
    _tell(platform, transfer)
    return said({"errMsg": "requestMerchantTransfer:ok"})


@endpoint("POST", "/_simulator/transfers/{number}/refuse")
def refuse(platform: Platform, request: Request, number: str) -> Answer:
    """The person's account cannot take it; the transfer has failed."""
    with platform.lock:
        transfer = platform.of(Transfers).by_number.get(number)
        if transfer is None or transfer.state != "WAIT_USER_CONFIRM":
            return said({"errMsg": "requestMerchantTransfer:fail"}, status=400)
        _end(platform, transfer, "FAIL", "PAYEE_ACCOUNT_ABNORMAL")
    _tell(platform, transfer)
    return said({"errMsg": "requestMerchantTransfer:ok"})


def told(transfer: Transfer) -> notices.Told:
    """What the merchant is told of an end."""
    return notices.Told(
        what="transfers",
        url=str(transfer.asked.get("notify_url") or ""),
        event_type="MCHTRANSFER.BILL.FINISHED",
        original_type="mch_payment",
        resource=_shown(transfer),
        summary="商家转账单据终态通知",
    )


# --- what becomes of it -------------------------------------------------------------------------------------


def _new(platform: Platform, there: Transfers, asked: Mapping[str, Any], name: str | None) -> Transfer:
    if there.outcome:
        raise Refused(there.outcome)
    transfer = Transfer(
        asked=asked,
        name=name,
        reference=f"1330{secrets.randbelow(10**30):030d}",
        package=secrets.token_urlsafe(96),
        made_at=platform.clock(),
    )
    there.by_number[transfer.number] = transfer
    platform.tell("a transfer was asked for", number=transfer.number, fen=transfer.fen)
    return transfer


def _go_on(platform: Platform, transfer: Transfer) -> None:
    """Its money is set aside, as soon as there is enough, and the person may take it."""
    there = platform.of(Transfers)
    if transfer.state in ("ACCEPTED", "PROCESSING"):
        enough = transfer.fen <= there.funds_fen
        transfer.state = "WAIT_USER_CONFIRM" if enough else "PROCESSING"
        transfer.changed_at = platform.clock()
        there.funds_fen -= transfer.fen if enough else 0


def _time_passes(platform: Platform, transfer: Transfer) -> bool:
    """Whether it has ended by this look."""
    there = platform.of(Transfers)
    over = platform.clock() >= transfer.made_at + there.lives_s + there.closes_s
    if transfer.state == "CANCELING":
        _end(platform, transfer, "CANCELLED")
    elif transfer.state not in ENDS and over:
        _end(platform, transfer, "FAIL", "OVERDUE_CLOSE")
    else:
        return False
    return True


def _end(platform: Platform, transfer: Transfer, state: str, reason: str = "") -> None:
    there = platform.of(Transfers)
    if state != "SUCCESS" and transfer.state != "PROCESSING":
        there.funds_fen += transfer.fen
    transfer.state, transfer.reason, transfer.changed_at = state, reason, platform.clock()
    platform.tell("a transfer ended", number=transfer.number, state=state)


def _tell(platform: Platform, transfer: Transfer) -> None:
    if transfer.asked.get("notify_url"):
        notices.tell(platform, told(transfer))


def _not_to_be_taken(platform: Platform, transfer: Transfer | None, request: Request) -> str:
    """Why the page does not pay; empty when it does."""
    if transfer is None:
        return "no such transfer"
    given, lives_s = request.json, platform.of(Transfers).lives_s
    because = {
        "package": not given or given.get("package") == transfer.package,
        "appId": not given or given.get("appId") == transfer.asked["appid"],
        "mchId": not given or given.get("mchId") == MCHID,
        transfer.state: transfer.state == "WAIT_USER_CONFIRM",
        "it is too late": platform.clock() < transfer.made_at + lives_s,
    }
    return next((why for why, fits in because.items() if not fits), "")


def _transfer(platform: Platform, number: str) -> Transfer:
    transfer = platform.of(Transfers).by_number.get(number)
    if transfer is None:
        raise Refused("NOT_FOUND", "记录不存在")
    return transfer


def _shown(transfer: Transfer) -> dict[str, Any]:
    shown = {
        "mch_id": MCHID,
        "out_bill_no": transfer.number,
        "transfer_bill_no": transfer.reference,
        "appid": transfer.asked["appid"],
        "state": transfer.state,
        "transfer_amount": transfer.fen,
        "transfer_remark": transfer.asked["transfer_remark"],
        "openid": transfer.asked["openid"],
        "create_time": time_of(transfer.made_at),
        "update_time": time_of(transfer.changed_at),
    }
    return shown | ({"fail_reason": transfer.reason} if transfer.reason else {})


# --- what is refused ----------------------------------------------------------------------------------------


def _from_known_address(platform: Platform, request: Request) -> None:
    """csdn.net/…/155394294 has the words; they are about the address alone."""
    if request.address not in platform.of(Transfers).addresses:
        raise Refused("INVALID_REQUEST", "此IP地址不允许调用接口，请按开发指引设置")


def _check(platform: Platform, request: Request) -> str | None:
    """Refuse what the documentation calls wrong; the payee's name, if it was told."""
    asked = request.json
    fen, notify_url = asked.get("transfer_amount"), str(asked.get("notify_url", ""))
    reports = {one.get("info_type") for one in asked.get("transfer_scene_report_infos") or ()}
    with platform.lock:
        person = platform.of(login.Logins).people.get(asked.get("openid", ""))
    right = {
        "appid": asked.get("appid") in platform.programs,
        "out_bill_no": NUMBER.fullmatch(str(asked.get("out_bill_no", ""))),
        "openid": person is not None and person[0] == asked.get("appid"),
        "transfer_amount": type(fen) is int and fen >= FROM_FEN,
        "transfer_remark": 1 <= len(str(asked.get("transfer_remark", ""))) <= 32,
        "transfer_scene_id": asked.get("transfer_scene_id") in SCENES,
        "transfer_scene_report_infos": reports == SCENES.get(asked.get("transfer_scene_id", "")),
        "notify_url": not notify_url or re.fullmatch(r"https?://[^?#]{1,240}", notify_url),
        "user_name": "user_name" in asked or not (type(fen) is int and fen >= NAMED_FROM_FEN),
    }
    for name, fits in right.items():
        if not fits:
            raise Refused("PARAM_ERROR", f"参数{name}有误")
    if "user_name" not in asked:
        return None
    by_public_key = request.headers.get("wechatpay-serial") == PUBLIC_KEY_ID
    return merchant.opened(asked["user_name"], by_public_key=by_public_key)
