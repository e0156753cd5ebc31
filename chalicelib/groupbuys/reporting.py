"""What came of a campaign, per day of the brand: counted by reactions, each fact once.

entity  pk               sk            written by   read by
Day     REPORT#<cmp_>    DAY#<day>     reactions    report
"""

from collections.abc import Sequence

from pynamodb.expressions.update import Action

from chalicelib.core import clock, config, facts, table
from chalicelib.core.table import IntAttribute, Key, Row, Write
from chalicelib.groupbuys.models import Group
from chalicelib.members import service as members
from chalicelib.orders.service import Order

COUNTS = ("opened", "joined", "paid", "filled", "failed", "new_members", "turnover_fen", "refunded_fen")


class Day(Row, discriminator="groupbuy_day"):
    """One day of one campaign."""

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
        """One row for a campaign and a day."""
        return f"REPORT#{campaign_id}", f"DAY#{day}"


def report(campaign_id: str) -> list[Day]:
    """The days on which something happened, newest first."""
    return list(reversed(table.query_all(Day, f"REPORT#{campaign_id}")))


def _counted(campaign_id: str, at: int, *counts: Action) -> list[Write]:
    day = clock.local_day(at, zone=config.settings().zone)
    return [table.upsert(Day, Day.key(campaign_id, day), *counts)]


@facts.reaction("group.opened", name="groupbuys.report_opened")
def count_opened(group: Group, now: int) -> Sequence[Write]:
    """A group was opened on the day on which its head paid."""
    opened_at = (group.expires_at or now) - group.lifetime_s
    return _counted(group.campaign_id, opened_at, Day.opened.add(1))


@facts.reaction("group.filled", name="groupbuys.report_filled")
def count_filled(group: Group, now: int) -> Sequence[Write]:
    """A group was filled."""
    return _counted(group.campaign_id, group.ended_at or now, Day.filled.add(1))


@facts.reaction("group.expired", name="groupbuys.report_failed")
def count_failed(group: Group, now: int) -> Sequence[Write]:
    """A group was not filled in time."""
    return _counted(group.campaign_id, group.ended_at or now, Day.failed.add(1))


@facts.reaction("order.created", name="groupbuys.report_joined")
def count_joined(order: Order, now: int) -> Sequence[Write]:
    """Somebody took a seat in somebody else's group."""
    if order.purpose != "group" or order.head:
        return []
    return _counted(order.campaign_id, order.created_at, Day.joined.add(1))


@facts.reaction("order.paid", name="groupbuys.report_paid")
def count_paid(order: Order, now: int) -> Sequence[Write]:
    """Somebody paid; whoever became a member on that day counts as new."""
    if order.purpose != "group" or order.paid_at is None:
        return []
    zone = config.settings().zone
    registered = clock.local_day(members.show(order.member_id).registered_at, zone=zone)
    new = int(registered == clock.local_day(order.paid_at, zone=zone))
    counts = (Day.paid.add(1), Day.turnover_fen.add(order.amount_fen), Day.new_members.add(new))
    return _counted(order.campaign_id, order.paid_at, *counts)


@facts.reaction("order.refunded", name="groupbuys.report_refunded")
def count_refunded(order: Order, now: int) -> Sequence[Write]:
    """Money went back."""
    if order.purpose != "group":
        return []
    return _counted(order.campaign_id, now, Day.refunded_fen.add(order.refunded_fen or 0))
