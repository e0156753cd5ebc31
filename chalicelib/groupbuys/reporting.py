"""What came of a campaign, per day of the brand: counted by reactions, each fact once; visitors where they are.

entity     pk               sk               written by       read by
Day        REPORT#<cmp_>    DAY#<day>[#<k>]  reactions, fold  report
NewMember  REPORT#<cmp_>    NEW#<mbr_>       reactions        reactions (once for a member)

What reactions count is spread over a few rows of the day, by the row that the fact is of, and added up when it is
read: thousands of groups that end in one minute would meet in one row. The day's own row keeps its visitors.

Visitors are those who opened links to the campaign's groups, once an hour each; a closed day's are added up when
the report is first read after it, and kept. A new member became one since the campaign began, and counts with
their first payment. Turnover is what orders took and refunds what they gave back, whole or in part: a second
payment, or one that found no place, was never taken, and its way back is no loss. Only group.filled,
group.expired and the payment of a group's head are owed, for the mall is told by them; of all else a stream that is
down for longer than it remembers loses the count, and no money.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.update import Action

from chalicelib.core import clock, config, facts, table
from chalicelib.core.clock import HOUR
from chalicelib.core.errors import Busy
from chalicelib.core.shards import by_day, day_of, day_row
from chalicelib.core.table import IntAttribute, Key, Row, Write
from chalicelib.groupbuys import campaigns, reading
from chalicelib.groupbuys.models import Campaign, Group
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order, Refund
from chalicelib.sharing import visits

COUNTS = (
    "visitors",
    "opened",
    "joined",
    "paid",
    "filled",
    "failed",
    "new_members",
    "turnover_fen",
    "refunded_fen",
)
DAYS_AT_MOST = 400


class Day(Row, discriminator="groupbuy_day"):
    """Some of one day of one campaign; ``visitors`` is set once, on the day's own row, when the day is over."""

    visitors = IntAttribute(null=True)
    opened = IntAttribute(null=True)
    joined = IntAttribute(null=True)
    paid = IntAttribute(null=True)
    filled = IntAttribute(null=True)
    failed = IntAttribute(null=True)
    new_members = IntAttribute(null=True)
    turnover_fen = IntAttribute(null=True)
    refunded_fen = IntAttribute(null=True)

    @staticmethod
    def key(campaign_id: str, day: str) -> Key:
        """The own row of a campaign's day; its shards stand behind it."""
        return f"REPORT#{campaign_id}", f"DAY#{day}"


class NewMember(Row, discriminator="groupbuy_new_member"):
    """A member who is new since the campaign began, and the order by which they count."""

    order_id = UnicodeAttribute()

    @staticmethod
    def key(campaign_id: str, member_id: str) -> Key:
        """One row for a member."""
        return f"REPORT#{campaign_id}", f"NEW#{member_id}"


# --- reading ------------------------------------------------------------------------------------------------


def report(campaign: Campaign, *, now: int) -> list[tuple[str, dict[str, int]]]:
    """The days on which something happened, newest first, each with all its counts."""
    rows = table.query_all(Day, Day.key(campaign.campaign_id, "")[0], Day.sk.startswith("DAY#"))
    kept = by_day(rows, COUNTS)
    folded = max((day_of(row) for row in rows if row.visitors is not None), default="")
    visitors = visits.of_the_whole(campaign.campaign_id, days=_unfolded(campaign, folded, now=now))
    _fold(campaign.campaign_id, visitors, now=now)
    days = []
    for day in sorted({*kept, *visitors}, reverse=True):
        counts = kept.get(day) or dict.fromkeys(COUNTS, 0)
        counts["visitors"] = visitors.get(day, counts["visitors"])
        days.append((day, counts))
    return [(day, counts) for day, counts in days if any(counts.values())]


def _unfolded(campaign: Campaign, folded: str, *, now: int) -> list[str]:
    """The days after the last whose visitors are kept, ``folded``, oldest first."""
    zone = config.settings().zone
    today = date.fromisoformat(clock.local_day(now, zone=zone))
    begin = clock.local_day(campaign.created_at, zone=zone)
    days = [(today - timedelta(days=n)).isoformat() for n in range(DAYS_AT_MOST)]
    return sorted(day for day in days if day > folded and day >= begin)


def _fold(campaign_id: str, visitors: Mapping[str, int], *, now: int) -> None:
    # An hour's grace: a visit is written with the time at which its request began. The oldest day first, and the
    # last in any case, for the last that is kept says that all before it are.
    open_day = clock.local_day(now - HOUR, zone=config.settings().zone)
    closed = [day for day in sorted(visitors) if day < open_day]
    for day in closed:
        if visitors[day] or day == closed[-1]:
            first = Day.visitors.does_not_exist()
            count = Day.visitors.set(visitors[day])
            _quietly(table.upsert(Day, Day.key(campaign_id, day), count, when=first, refuse=table.Taken))


def _quietly(write: Write) -> None:
    try:
        table.apply(write)
    except table.Taken:
        return


# --- counting -----------------------------------------------------------------------------------------------


def _counted(row: Row, campaign_id: str, at: int, *counts: Action) -> list[Write]:
    day = clock.local_day(at, zone=config.settings().zone)
    pk, _ = Day.key(campaign_id, day)
    return [table.upsert(Day, (pk, day_row(day, cause=row.pk)), *counts)]


@facts.reaction("group.opened", name="groupbuys.report_opened")
def count_opened(group: Group, now: int) -> Sequence[Write]:
    """A group was opened on the day on which its head paid."""
    return _counted(group, group.campaign_id, group.began_at or now, Day.opened.add(1))


@facts.reaction("group.filled", name="groupbuys.report_filled")
def count_filled(group: Group, now: int) -> Sequence[Write]:
    """A group was filled."""
    return _counted(group, group.campaign_id, group.ended_at or now, Day.filled.add(1))


@facts.reaction("group.expired", name="groupbuys.report_failed")
def count_failed(group: Group, now: int) -> Sequence[Write]:
    """A group was not filled in time, or ended with its campaign."""
    return _counted(group, group.campaign_id, group.ended_at or now, Day.failed.add(1))


@facts.reaction("order.created", name="groupbuys.report_joined")
def count_joined(order: Order, now: int) -> Sequence[Write]:
    """Somebody took a seat in somebody else's group."""
    if order.purpose != "group" or order.opened:
        return []
    return _counted(order, order.campaign_id, order.created_at, Day.joined.add(1))


@facts.reaction("order.paid", name="groupbuys.report_paid")
def count_paid(order: Order, now: int) -> Sequence[Write]:
    """Somebody paid, and may be a new member, each of whom counts once."""
    if order.purpose != "group" or order.paid_at is None:
        return []
    new = _new_member(order, now=now)
    counts = (Day.paid.add(1), Day.turnover_fen.add(orders.came_fen(order)), Day.new_members.add(len(new)))
    return [*_counted(order, order.campaign_id, order.paid_at, *counts), *new]


def _new_member(order: Order, *, now: int) -> list[Write]:
    campaign = campaigns.find(order.campaign_id, now=now)
    key = NewMember.key(order.campaign_id, order.member_id)
    if not reading.is_new(order.member_id, campaign) or table.get(NewMember, key) is not None:
        return []
    return [table.create(NewMember(*key, order_id=order.order_id), refuse=Busy)]


@facts.reaction("refund.done", name="groupbuys.report_refunded")
def count_refunded(refund: Refund, now: int) -> Sequence[Write]:
    """Money that an order had taken went back, all of it or a part."""
    order = orders.show(refund.order_id)
    if order.purpose != "group" or not orders.of_turnover(refund):
        return []
    return _counted(refund, order.campaign_id, refund.done_at or now, Day.refunded_fen.add(refund.amount_fen))
