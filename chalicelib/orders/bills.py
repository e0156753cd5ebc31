"""WeChat Pay's bill of each day against our payments and refunds: every difference is listed, and looked at again.

A bill is due at half past ten of the next morning in Beijing, and compared with what is known here: each of its
payments and refunds by its number, and the other way round each order that took a payment that day and each refund
that was confirmed, of which WeChat is asked when the bill does not have it (told after midnight, it is in the bill
of the day before; given by hand, WeChat has none). What the bill has and nobody told of is looked up at WeChat, and
taken as ever. While something differs the bill is compared again each hour; after `LOOKS` the day waits for a
person, with all that differs in ``differences``. Compared again, what agrees by then is marked gone. A merchant's
number may serve other systems: orders that are not ours are counted and left.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.core import config, due, table
from chalicelib.core.cache import Cache
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import Busy
from chalicelib.core.table import Page, Raw, Write
from chalicelib.core.telemetry import count, logger
from chalicelib.operators import stuck
from chalicelib.operators.stuck import Story, Trouble
from chalicelib.orders import service, untold, wechatpay
from chalicelib.orders.models import Bill, Difference, Payment, Refund
from chalicelib.wechat import bills
from chalicelib.wechat.bills import BillLine

JOB = "bill"
AT_HOUR, AT_MINUTE = 10, 30
LOOKS = 4
BACK_DAYS = 3
OURS = "ord_"
"""How the numbers of our orders begin."""
_planned: Cache[bool] = Cache(for_s=DAY)


class Differs(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which the books differ; ``theirs`` and ``ours`` in fen, None where there is nothing."""

    what: str
    number: str
    order_id: str
    theirs: int | None
    ours: int | None


class _Moved(Exception):
    """Another has compared this bill meanwhile."""


def plan(*, now: int) -> None:
    """The bills of the last days are due, each once; only where WeChat Pay has a merchant."""
    if not config.settings().wechatpay_mchid:
        return
    for back in range(1, BACK_DAYS + 1):
        day = bills.day_of(now - back * DAY)
        if not _planned.peek(day, now=now):
            _plan(day)
            _planned.put(day, True, now=now)


def _plan(day: str) -> None:
    pk, sk = Bill.key(day)
    at = bills.there_at(day, hour=AT_HOUR, minute=AT_MINUTE)
    row = Bill(pk, sk, state="due", looks=0, **due.slot(job=JOB, pk=pk, at=at, ref=day))
    try:
        table.apply(table.create(row))
    except table.Taken:
        logger.info("the bill is planned already", day=day)


def compare_now(day: str, *, now: int) -> Bill:
    """The bill of a day, compared at once, whatever it was before.

    Raises:
        PayRefused, PayUnknown, BillUnreadable: there is no such bill yet.
    """
    _plan(day)
    pk, sk = Bill.key(day)
    compare(due.Entry(pk=pk, sk=sk, kind="bill", due_shard="", due_at=now, due_ref=day), now)
    bill = table.get(Bill, (pk, sk))
    assert bill is not None
    return bill


@due.handles(JOB)
def compare(entry: due.Entry, now: int) -> None:
    """Fetch a day's bill and say where it differs.

    Raises:
        PayRefused, PayUnknown, BillUnreadable: there is no such bill yet; it is fetched later.
    """
    bill = table.get(Bill, (entry.pk, entry.sk))
    if bill is None:
        return
    lines = bills.trade_bill(entry.sk, now=now)
    ours = [line for line in lines if line.order_id.startswith(OURS)]
    missing = [*_missing(entry.sk, ours, now=now), *_missing_refunds(entry.sk, ours, now=now)]
    found = [*_theirs(ours), *missing]
    _note(bill, found, now=now)
    sums = Counter(line.kind for line in ours)
    seen = (
        Bill.compared_at.set(now),
        Bill.payments.set(sums["payment"]),
        Bill.refunds.set(sums["refund"]),
        Bill.others.set(len(lines) - len(ours)),
        Bill.differences.set(len(found)),
    )
    as_read = Bill.rev == bill.rev
    actions = (*seen, *_next(bill, len(found), now=now))
    table.apply(table.update(Bill, (bill.pk, bill.sk), *actions, when=as_read, refuse=lambda _: _Moved()))
    _take_untold(found, now=now)


def _next(bill: Bill, found: int, *, now: int) -> list[Action]:
    looked: list[Action] = [Bill.looks.add(1)]
    if not found:
        return [*looked, Bill.state.set("agrees"), *due.emptied()]
    looked.append(Bill.state.set("differs"))
    if bill.looks + 1 < LOOKS:
        return [*looked, *due.moved(job=JOB, pk=bill.pk, at=now + HOUR, ref=bill.sk)]
    why = f"{found} differences, listed by GET /v1/admin/bills/differences?day={bill.sk}"
    return [*looked, *due.handed_over(JOB, at=now, why=why)]


# --- comparing ----------------------------------------------------------------------------------------------


def _theirs(lines: Sequence[BillLine]) -> Iterator[Differs]:
    """What is in the bill, and not so here."""
    paid = [line for line in lines if line.kind == "payment"]
    keys = [(Payment, Payment.key(line.order_id, line.transaction_id)) for line in paid]
    for line, payment in zip(paid, table.get_all(keys), strict=True):
        yield from _compared("payment", line.transaction_id, line, payment)
    for line in lines:
        if line.kind == "refund":
            yield from _refund(line)


def _refund(line: BillLine) -> Iterator[Differs]:
    refunds = service.money_of(line.order_id)[1]
    known = next((one for one in refunds if one.refund_id == line.refund_id), None)
    yield from _compared("refund", line.refund_id, line, known)
    if known is not None and line.status == "SUCCESS" and known.state != "done":
        yield _differs("refund_open", line.refund_id, line, ours=0)


def _compared(what: str, number: str, line: BillLine, known: Payment | Refund | None) -> Iterator[Differs]:
    if known is None:
        yield _differs(f"{what}_unknown", number, line, ours=None)
    elif known.amount_fen != line.amount_fen:
        yield _differs(f"{what}_amount", number, line, ours=known.amount_fen)


def _differs(what: str, number: str, line: BillLine, *, ours: int | None) -> Differs:
    return Differs(what=what, number=number, order_id=line.order_id, theirs=line.amount_fen, ours=ours)


def _not_theirs(what: str, number: str, order_id: str, *, ours: int | None) -> Differs:
    return Differs(what=f"{what}_not_theirs", number=number, order_id=order_id, theirs=None, ours=ours)


def _missing(day: str, lines: Iterable[BillLine], *, now: int) -> Iterator[Differs]:
    """What was taken here that day, and neither the bill nor WeChat knows of."""
    known = {line.transaction_id for line in lines}
    for order in service.paid_on(day):
        if order.gateway != "wechat" or order.payment_id in known or order.payment_id is None:
            continue
        if not wechatpay.has_taken(order, now=now):
            yield _not_theirs("payment", order.payment_id, order.order_id, ours=order.paid_fen)


def _missing_refunds(day: str, lines: Iterable[BillLine], *, now: int) -> Iterator[Differs]:
    """What was given back here that day, and neither the bill nor WeChat knows of."""
    known = {line.refund_id for line in lines}
    refunds = [row for row in service.refunded_on(day) if row.refund_id not in known]
    gateways = {order.order_id: order.gateway for order in service.those([row.order_id for row in refunds])}
    for row in refunds:
        if gateways[row.order_id] == "wechat" and not wechatpay.has_given(row, now=now):
            yield _not_theirs("refund", row.refund_id, row.order_id, ours=row.amount_fen)


def _take_untold(found: Iterable[Differs], *, now: int) -> None:
    """A payment that nobody told of goes where every payment goes, then what was given back of it."""
    for one in sorted(found, key=lambda one: one.what):
        if one.what == "payment_unknown":
            untold.payment(one.order_id, now=now)
        elif one.what in ("refund_open", "refund_unknown") and one.theirs is not None:
            untold.refund(one.order_id, one.number, amount_fen=one.theirs, now=now)


# --- what is listed -----------------------------------------------------------------------------------------


def _note(bill: Bill, found: Sequence[Differs], *, now: int) -> None:
    """Keep what differs, and mark what was noted and does not any more.

    Raises:
        _Moved: another has compared the bill since it was read, whose word counts.
    """
    day = bill.sk
    newest = table.check(Bill, (bill.pk, day), when=Bill.rev == bill.rev, refuse=lambda _: _Moved())
    kept = {row.sk: row for row in table.query_all(Difference, Difference.key(day, "", "")[0])}
    seen = {Difference.key(day, one.what, one.number)[1]: one for one in found}
    for sk, one in seen.items():
        if sk not in kept or not _same(kept[sk], one):
            table.transact([newest, _noted(day, one, now=now)])
            count("BillDifferences")
            logger.error("a bill differs", day=day, what=one.what, number=one.number)
    for sk, row in kept.items():
        if sk not in seen and row.gone_at is None:
            gone = Difference.gone_at.set(now)
            table.transact([newest, table.update(Difference, (row.pk, sk), gone, refuse=Busy)])


def _same(row: Difference, one: Differs) -> bool:
    return row.gone_at is None and (row.theirs_fen, row.ours_fen) == (one.theirs, one.ours)


def _noted(day: str, one: Differs, *, now: int) -> Write:
    told = ((Difference.theirs_fen, one.theirs), (Difference.ours_fen, one.ours))
    actions = [
        Difference.day.set(day),
        Difference.what.set(one.what),
        Difference.number.set(one.number),
        Difference.order_id.set(one.order_id),
        Difference.seen_at.set(now),
        Difference.gone_at.remove(),
        *(name.remove() if value is None else name.set(value) for name, value in told),
    ]
    return table.upsert(Difference, Difference.key(day, one.what, one.number), *actions)


def listed(*, limit: int, after: Raw | None) -> Page:
    """The bills, newest first."""
    return table.query(Bill, Bill.key("")[0], limit=limit, newest_first=True, after=after)


def open_differences(day: str) -> list[Difference]:
    """What differs on a day as it was last compared."""
    return [row for row in table.query_all(Difference, Difference.key(day, "", "")[0]) if row.gone_at is None]


def differences(day: str, *, limit: int, after: Raw | None) -> Page:
    """What differed on a day, also what agrees by now."""
    return table.query(Difference, Difference.key(day, "", "")[0], limit=limit, after=after)


def _tell(rows: Sequence[Bill]) -> list[Story]:
    return [Story(details={"day": row.sk, "differences": row.differences}) for row in rows]


stuck.trouble(
    Trouble(
        job=JOB,
        en="A day's bill of WeChat Pay differs from our books",
        zh="微信支付对账单与本系统账目不符",
        urgency=0,
        tell=_tell,
        settle={"seen": stuck.empty},
    )
)
