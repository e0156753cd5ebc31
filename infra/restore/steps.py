"""The steps beside the table: off, bills, reconcile, on. Each says what it did and what is left to people."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from chalicelib.core import config, due, moneyout, table
from chalicelib.core.clock import DAY
from chalicelib.core.doors import Operator
from chalicelib.core.errors import NotFound
from chalicelib.core.moneyout import MoneyOut
from chalicelib.core.table import Row
from chalicelib.operators import service as operators
from chalicelib.operators import stuck
from chalicelib.orders import bills as trade_bills
from chalicelib.orders import service as orders
from chalicelib.orders import untold as order_untold
from chalicelib.orders.models import Difference, Order
from chalicelib.reconciling import service as reconciling
from chalicelib.wechat import bills as files
from chalicelib.wechat import transfers as wechat
from chalicelib.wechat.pay import PayRefused, PayUnknown
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals import untold

SENDS = (orders.REFUND_JOB, withdrawals.JOB, withdrawals.TRANSFER_JOB)
FOR_PEOPLE = ("differs", "nobody", "forgotten")
LISTED = 100


class NotYet(Exception):
    """A step that has to come before is not done."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Who takes a step, and when."""

    by: Operator
    now: int


def off(why: str, step: Step) -> bool:
    """Nothing is paid out from here on."""
    moneyout.switch_off(why=why, by=step.by.name, at=step.now)
    print(
        "Money out is off. What is being sent this moment ends within a minute; refunds and withdrawals stay due."
    )
    return True


def restored() -> MoneyOut:
    """The switch of a table that was restored.

    Raises:
        NotYet: this is none, or it pays already.
    """
    row = moneyout.show()
    if row is None or row.state != "off" or row.restored_to is None:
        raise NotYet("this table was not restored by the step `table`, or money out is on again")
    return row


def days(switch: MoneyOut) -> list[str]:
    """The days of which WeChat Pay's bills are to be taken in: a transfer may be taken a day after it was sent."""
    settings = config.settings()
    if not settings.wechatpay_mchid or switch.restored_to is None:
        return []
    late = wechat.TAKEN_WITHIN_S if _transfers() else 0
    times = range(switch.restored_to, switch.at + late + DAY, DAY)
    last = files.day_of(switch.at + late)
    return [day for day in dict.fromkeys(files.day_of(at) for at in times) if day <= last]


def _transfers() -> bool:
    return "wechat" in config.settings().payout_gateways.split()


# --- what WeChat Pay has ------------------------------------------------------------------------------------


def bills(step: Step) -> bool:
    """What can still be paid is asked about at once; then every day's bills are taken in, each when it is there."""
    needed = days(restored())
    if needed:
        print(f"{_asked_about(step)} unpaid orders were asked about")
    return all(_taken_in(day, step) for day in needed)


def _asked_about(step: Step) -> int:
    """How many orders were unpaid at the time of the table; those that WeChat has the money of are paid now."""
    asked, after = 0, None
    while True:
        items, after = table.scan(when=(Row.kind == Order) & (Row.state == "pending"), after=after)
        for item in items:
            order = table.decode(item)
            asked += order.gateway == "wechat"
            order_untold.payment(order.order_id, now=step.now)
        if after is None:
            return asked


def _taken_in(day: str, step: Step) -> bool:
    try:
        left = _traded(day, step) + (_transferred(day, step) if _transfers() else 0)
    except (PayRefused, PayUnknown) as missing:
        print(f"{day}: not there yet ({missing}). A day's bill comes at ten the next morning, in Beijing.")
        return False
    moneyout.note_day(day, left=left)
    return True


def _traded(day: str, step: Step) -> int:
    """A day's payments and refunds, compared again once what was missing is in; how much still differs."""
    bill = trade_bills.compare_now(day, now=step.now)
    if bill.differences:
        bill = trade_bills.compare_now(day, now=step.now)
    left = _left_of(trade_bills.open_differences(day))
    print(f"{day}: {bill.payments} payments, {bill.refunds} refunds, {len(left)} left to people")
    for row in left:
        said = f"theirs {row.theirs_fen} fen, ours {row.ours_fen}"
        print(f"  {row.what} {row.number} of {row.order_id}: {said}")
    return len(left)


def _left_of(rows: Sequence[Difference]) -> list[Difference]:
    """Without what came for an order that is lost and went back whole."""
    net: Counter[str] = Counter()
    for row in rows:
        net[row.order_id] += {"payment_unknown": 1, "refund_unknown": -1}.get(row.what, 0) * (
            row.theirs_fen or 0
        )
    return [row for row in rows if not row.what.endswith("_unknown") or net[row.order_id]]


def _transferred(day: str, step: Step) -> int:
    """A day's transfers, each in its member's books; how many are left to people."""
    gone = [one for account in get_args(files.Account) for one in files.outgoing(day, account, now=step.now)]
    became: Counter[str] = Counter()
    for one in gone:
        if untold.is_ours(one.number):
            word = _transfer(one.number, step)
            became[word] += 1
            if word in FOR_PEOPLE:
                print(f"  {word}: transfer {one.number} of {one.amount_fen} fen")
    print(f"{day}: transfers: {', '.join(f'{n} {word}' for word, n in sorted(became.items())) or 'none'}")
    return sum(became[word] for word in FOR_PEOPLE)


def _transfer(number: str, step: Step) -> str:
    try:
        payout = untold.by_wechat(number, now=step.now)
    except NotFound:
        return "forgotten"
    return "returned" if payout is None else untold.take_in(payout, by=step.by, now=step.now)


# --- what is left -------------------------------------------------------------------------------------------


def reconcile(step: Step) -> bool:
    """All books are proved; what does not add up, waits for people, or is going to be paid is told."""
    restored()
    name = reconciling.begin(now=step.now)
    while due.run(job=reconciling.JOB, worker=name, now=step.now, seconds=60).handled:
        pass
    open_ = _drifts()
    for row in open_:
        print(f"  {row.book} {row.subject}: says {row.says}, adds up to {row.adds_up}")
    waiting = Counter(one.trouble.job for one in stuck.listed(limit=LISTED)[0])
    print(f"{len(open_)} numbers do not add up; waiting for people: {dict(waiting) or 'nothing'}")
    for job, (count, fen) in going_out().items():
        print(f"due in {job}: {count}, {fen} fen")
    return not open_


def _drifts() -> list[Any]:
    return [row for row in reconciling.drifts(limit=LISTED, after=None).rows if row.gone_at is None]


def going_out() -> dict[str, tuple[int, int]]:
    """What is paid once money out is on: of each job how many, and how much of it is not under way."""
    found: dict[str, tuple[int, int]] = {}
    for job in SENDS:
        rows = [row for row in _due(job) if row is not None]
        fen = sum(getattr(row, "net_fen", None) or row.amount_fen for row in rows)
        found[job] = (len(rows), fen)
    return found


def _due(job: str) -> Iterator[Any]:
    for k in range(config.settings().due_shards):
        after = None
        while True:
            entries, after = table.index("due", Row.due_shard == f"{job}#{k}", limit=LISTED, after=after)
            yield from table.get_all([(Row, (one["pk"], one["sk"])) for one in entries]) if entries else ()
            if after is None:
                break


def on(step: Step, *, although: str) -> bool:
    """What is owed is paid again.

    Raises:
        NotYet: a day's bills are not taken in, or something is left to people and ``although`` does not say why not
        to wait for them.
    """
    switch = restored()
    left: dict[str, int] = switch.days or {}
    missing = [day for day in days(switch) if day not in left]
    if missing:
        raise NotYet(f"the bills of {', '.join(missing)} are not taken in")
    open_ = sum(left.values()) + len(_drifts())
    if open_ and not although:
        raise NotYet(f"{open_} things are left to people; settle them, or say --although")
    audit = operators.recorded(
        by=step.by,
        action="money_out.on",
        subject="money_out",
        before={"restored_to": switch.restored_to, "left": open_},
        after={"although": although or None},
        now=step.now,
    )
    moneyout.switch_on(by=step.by.name, at=step.now, with_=[audit])
    print("Money out is on: what is due is paid within a minute.")
    return True
