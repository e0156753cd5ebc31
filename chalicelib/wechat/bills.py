"""WeChat Pay's bills of a day: fetched, proved against their hash and their own counts, and read line by line.

``GET /v3/bill/tradebill`` names a file and its SHA-1; the file has a line for every payment and every refund that
was begun that day in Beijing, and the sums at its end (pay.weixin.qq.com, docs/merchant/apis/combine-payment/
bill-download/get-trade-bill.html; columns: docs/merchant/products/bill-download/format-trade.html). It is there
from ten the next morning, and for three months. A day without trades has none (NO_STATEMENT_EXIST).

``GET /v3/bill/fundflowbill`` (doc/v3/merchant/4012556745) does the same for what each of the merchant's accounts
took and gave; a line names the merchant's own number of it (业务凭证号), such as a transfer's.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Literal

import msgspec

from chalicelib.wechat import pay
from chalicelib.wechat.pay import PayRefused

BEIJING = timezone(timedelta(hours=8))
Kind = Literal["payment", "refund"]
Account = Literal["BASIC", "OPERATION"]
_KINDS: Mapping[str, Kind] = {"SUCCESS": "payment", "REFUND": "refund"}
# Merchants of long ago still get the first of two names.
_COLUMNS = {"payment": ("总金额", "订单金额"), "refund": ("退款金额", "申请退款金额")}


class BillUnreadable(Exception):
    """The file is not what WeChat said it is, or not what the documentation says a bill is."""


class BillLine(msgspec.Struct, frozen=True, kw_only=True):
    """One payment or refund; ``order_id`` and ``refund_id`` are the merchant's numbers of it."""

    kind: Kind
    order_id: str
    transaction_id: str
    refund_id: str
    amount_fen: int
    status: str


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """Money that left an account, under the merchant's ``number``."""

    number: str
    amount_fen: int
    at: int


def trade_bill(day: str, *, now: int) -> list[BillLine]:
    """The payments and refunds of a day (``YYYY-MM-DD``, in Beijing).

    Raises:
        PayRefused, PayUnknown: it is not there yet. BillUnreadable: it is not whole.
    """
    content = _fetched("tradebill", {"bill_date": day, "bill_type": "ALL"}, now=now)
    return read(content) if content else []


def outgoing(day: str, account: Account, *, now: int) -> list[Outgoing]:
    """What left one of the merchant's accounts on a day.

    Raises:
        PayRefused, PayUnknown: it is not there yet. BillUnreadable: it is not whole.
    """
    content = _fetched("fundflowbill", {"bill_date": day, "account_type": account}, now=now)
    rows = _rows(content) if content else []
    if any("收支类型" not in row for row in rows):
        raise BillUnreadable("it does not say what left")
    return [_outgoing(row) for row in rows if row["收支类型"] == "支出"]


def _fetched(kind: str, query: Mapping[str, str], *, now: int) -> bytes:
    """The file of a bill; nothing, of a day that has none."""
    try:
        named = pay.call("GET", f"/v3/bill/{kind}", query=query, now=now)
    except PayRefused as refused:
        if refused.code == "NO_STATEMENT_EXIST":
            return b""
        raise
    content = pay.download(named["download_url"], now=now)
    if named["hash_type"] != "SHA1" or hashlib.sha1(content).hexdigest() != named["hash_value"].lower():  # noqa: S324 - theirs
        raise BillUnreadable("its hash is another")
    return content


def read(content: bytes) -> list[BillLine]:
    """The lines of a bill.

    Raises:
        BillUnreadable: a column is missing, a sum is no sum, or there are more or fewer lines than it says.
    """
    return [_line(row) for row in _rows(content)]


def _rows(content: bytes) -> list[dict[str, str]]:
    try:
        # Only these end a line: the name of a product may hold what Unicode calls a line separator.
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        head, *rows = [line for line in text.split("\n") if line]
        end = next(n for n, row in enumerate(rows) if not row.startswith("`"))
        lines = [dict(zip(head.split(","), _values(row), strict=True)) for row in rows[:end]]
        counted = int(_values(rows[end + 1])[0])
    except (ValueError, IndexError, StopIteration) as wrong:
        raise BillUnreadable(f"{type(wrong).__name__}: {wrong}") from wrong
    if counted != len(lines):
        raise BillUnreadable(f"it has {len(lines)} lines and says {counted}")
    return lines


def day_of(at: int) -> str:
    """The day in Beijing."""
    return f"{datetime.fromtimestamp(at, BEIJING):%Y-%m-%d}"


def there_at(day: str, *, hour: int, minute: int) -> int:
    """This time of the morning after a day, in Beijing."""
    begins = datetime.fromisoformat(day).replace(tzinfo=BEIJING)
    return int((begins + timedelta(days=1, hours=hour, minutes=minute)).timestamp())


def _values(row: str) -> Sequence[str]:
    # A backtick stands before each value, so a comma within one does no harm.
    return row.removeprefix("`").split(",`")


def _line(row: Mapping[str, str]) -> BillLine:
    try:
        kind = _KINDS[row["交易状态"]]
        return BillLine(
            kind=kind,
            order_id=row["商户订单号"],
            transaction_id=row["微信订单号"],
            refund_id=row["商户退款单号"],
            amount_fen=_fen(next(row[name] for name in reversed(_COLUMNS[kind]) if name in row)),
            status=row["退款状态"],
        )
    except (ValueError, KeyError, StopIteration, ArithmeticError) as wrong:
        raise BillUnreadable(f"{type(wrong).__name__}: {wrong}") from wrong


def _outgoing(row: Mapping[str, str]) -> Outgoing:
    try:
        at = datetime.strptime(row["记账时间"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
        fen = _fen(row["收支金额(元)"])
        return Outgoing(number=row["业务凭证号"], amount_fen=fen, at=int(at.timestamp()))
    except (ValueError, KeyError, ArithmeticError) as wrong:
        raise BillUnreadable(f"{type(wrong).__name__}: {wrong}") from wrong


def _fen(yuan: str) -> int:
    fen = Decimal(yuan) * 100
    if fen != int(fen):
        raise ValueError(f"{yuan} yuan")
    return int(fen)
