"""Bills of the simulated WeChat Pay: a day's trades and a day's money, as files that are fetched in a second step.

``GET /v3/bill/tradebill``, ``/v3/bill/fundflowbill`` (pay.weixin.qq.com, docs/merchant/apis/combine-payment/
bill-download/get-trade-bill.html), the file (doc/v3/merchant/4012084430: five minutes, unsigned) and its columns
(docs/merchant/products/bill-download/format-trade.html): commas between, a backtick before each value, money in
yuan, the payments and the refunds that were begun that day in Beijing, and the sums at the end. The bill of
yesterday comes at ten.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from infra.local.wechat.frame import Answer, Platform, Request
from infra.local.wechat.merchant import BEIJING, MCHID, Refused, pay_endpoint
from infra.local.wechat.pay import Trade, Trades
from infra.local.wechat.refunds import Refund, Refunds
from infra.local.wechat.transfers import Transfers

MADE_AT_HOUR = 10
LIVES_S = 300
COLUMNS = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
SUMS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
FLOW_COLUMNS = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,"
    "业务凭证号"
)
FLOW_SUMS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


@dataclass
class Files:
    """The files that were asked for, by token, and until when they can be fetched."""

    by_token: dict[str, tuple[bytes, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """One movement of an account; ``ours`` is the merchant's number of it."""

    at: float
    number: str
    name: str
    way: str
    fen: int
    ours: str


@pay_endpoint("GET", "/v3/bill/tradebill")
def trade_bill(platform: Platform, request: Request) -> Mapping[str, Any]:
    """Where the day's trades are."""
    day = _day(platform, request)
    with platform.lock:
        paid, refunded = _of(platform, day)
        if not paid and not refunded:
            raise Refused("NO_STATEMENT_EXIST", "账单文件不存在")
        rows = [*(_paid(one) for one in paid), *(_refunded(one) for one in refunded)]
        received, back = sum(one.total for one in paid), sum(one.fen for one in refunded)
        sums = [len(rows), _yuan(received), _yuan(back), "0.00", "0.00000", _yuan(received), _yuan(back)]
        return _file(platform, [COLUMNS, *map(_line, rows), SUMS, _line(sums)])


@pay_endpoint("GET", "/v3/bill/fundflowbill")
def fund_flow_bill(platform: Platform, request: Request) -> Mapping[str, Any]:
    """Where the day's movements of an account are: of the basic one trades, of the one for operation transfers."""
    day = _day(platform, request)
    account = request.query.get("account_type", "BASIC")
    with platform.lock:
        flows = _transferred(platform, day) if account == "OPERATION" else _traded(platform, day)
        if not flows:
            raise Refused("NO_STATEMENT_EXIST", "账单文件不存在")
        came = [one.fen for one in flows if one.way == "收入"]
        went = [one.fen for one in flows if one.way == "支出"]
        sums = [len(flows), len(came), _yuan(sum(came)), len(went), _yuan(sum(went))]
        rows = [_line(_flow(one)) for one in flows]
        return _file(platform, [FLOW_COLUMNS, *rows, FLOW_SUMS, _line(sums)])


@pay_endpoint("GET", "/v3/billdownload/file")
def download(platform: Platform, request: Request) -> Answer:
    """The file."""
    with platform.lock:
        content, until = platform.of(Files).by_token.get(request.query.get("token", ""), (b"", 0.0))
    if platform.clock() >= until:
        raise Refused("INVALID_REQUEST", "下载地址已失效")
    return Answer(body=content)


def _day(platform: Platform, request: Request) -> str:
    asked = request.query.get("bill_date", "")
    now = datetime.fromtimestamp(platform.clock(), BEIJING)
    try:
        ends = datetime.strptime(asked, "%Y-%m-%d").replace(tzinfo=BEIJING) + timedelta(days=1)
    except ValueError:
        raise Refused("PARAM_ERROR", "bill_date格式有误") from None
    if ends > now or now - ends > timedelta(days=92):
        raise Refused("INVALID_REQUEST", "账单日期不合法")
    if now < ends + timedelta(hours=MADE_AT_HOUR):
        raise Refused("STATEMENT_CREATING", "账单生成中")
    return asked


def _of(platform: Platform, day: str) -> tuple[list[Trade], list[Refund]]:
    trades, refunds = platform.of(Trades).by_number.values(), platform.of(Refunds).by_number.values()
    paid = [one for one in trades if one.paid_at and _time(one.paid_at).startswith(day)]
    refunded = [one for one in refunds if one.status != "CLOSED" and _time(one.made_at).startswith(day)]
    return paid, refunded


def _file(platform: Platform, lines: Sequence[str]) -> Mapping[str, Any]:
    # A byte order mark in front, lines that end as on Windows.
    content = ("\ufeff" + "".join(f"{line}\r\n" for line in lines)).encode()
    token = secrets.token_urlsafe(32)
    platform.of(Files).by_token[token] = (content, platform.clock() + LIVES_S)
    return {
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(content).hexdigest(),
        "download_url": f"{platform.url}/v3/billdownload/file?token={token}",
    }


def _paid(trade: Trade) -> list[Any]:
    total = _yuan(trade.total)
    refund = ["0", "0", "0.00", "0.00", "", ""]
    return [*_about(trade, trade.paid_at, "SUCCESS"), total, "0.00", *refund, *_end(trade, total, "0.00")]


def _refunded(refund: Refund) -> list[Any]:
    trade, fen = refund.trade, _yuan(refund.fen)
    numbers = [refund.refund_id, refund.asked["out_refund_no"], fen, "0.00", "ORIGINAL", refund.status]
    return [*_about(trade, refund.made_at, "REFUND"), "0.00", "0.00", *numbers, *_end(trade, "0.00", fen)]


def _about(trade: Trade, at: float, state: str) -> list[Any]:
    asked = trade.asked
    named = [trade.transaction_id, trade.number, asked["payer"]["openid"]]
    return [_time(at), asked["appid"], MCHID, "0", "", *named, "JSAPI", state, "OTHERS", "CNY"]


def _end(trade: Trade, total: str, refunded: str) -> list[Any]:
    return [
        trade.asked["description"],
        trade.asked.get("attach", ""),
        "0.00000",
        "0.60%",
        total,
        refunded,
        "",
    ]


def _traded(platform: Platform, day: str) -> list[Flow]:
    paid, refunded = _of(platform, day)
    came = [
        Flow(
            at=one.paid_at, number=one.transaction_id, name="交易", way="收入", fen=one.total, ours=one.number
        )
        for one in paid
    ]
    went = [
        Flow(
            at=one.made_at,
            number=one.refund_id,
            name="退款",
            way="支出",
            fen=one.fen,
            ours=one.asked["out_refund_no"],
        )
        for one in refunded
    ]
    return [*came, *went]


def _transferred(platform: Platform, day: str) -> list[Flow]:
    return [
        Flow(
            at=one.changed_at,
            number=one.reference,
            name="商家转账",
            way="支出",
            fen=one.fen,
            ours=one.number,
        )
        for one in platform.of(Transfers).by_number.values()
        if one.state == "SUCCESS" and _time(one.changed_at).startswith(day)
    ]


def _flow(one: Flow) -> list[Any]:
    about = [one.name, one.name, one.way, _yuan(one.fen), "0.00", "system", "", one.ours]
    return [_time(one.at), one.number, secrets.token_hex(8), *about]


def _line(values: Sequence[Any]) -> str:
    return ",".join(f"`{value}" for value in values)


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(int(at), BEIJING):%Y-%m-%d %H:%M:%S}"


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"
