"""What is due on coupons: a reminder before they end, their end, and the end of a lock."""

from collections.abc import Callable, Sequence

from chalicelib.core import deliveries, due, facts, table
from chalicelib.core.table import Write
from chalicelib.core.telemetry import logger
from chalicelib.coupons import service, using
from chalicelib.coupons.models import Coupon, Reminder
from chalicelib.coupons.service import JOB
from chalicelib.coupons.using import WrongLockState


class _Moved(Exception):
    """The coupon is not due for this any more."""


@due.handles(JOB)
def do_due(entry: due.Entry, now: int) -> None:
    """Do what is due on a coupon, as its entry says; its own state decides whether it still is."""
    try:
        _WORKS[entry.due_ref](entry, now)
    except _Moved:
        logger.info("the coupon was moved by another", coupon=entry.sk)


def _remind(entry: due.Entry, now: int) -> None:
    """Once, it is noticed that an unused coupon ends soon; from then on its end is due."""
    coupon = table.get(Coupon, (entry.pk, entry.sk))
    if coupon is None:
        return
    pk, sk = Reminder.key(coupon.coupon_id)
    noticed = Reminder(
        pk,
        sk,
        state="noticed",
        coupon_id=coupon.coupon_id,
        member_id=coupon.member_id,
        template_id=coupon.template_id,
        ends_at=coupon.ends_at,
        **facts.owed("coupon.expiring", pk=pk, rev=1, now=now),
    )
    end = due.moved(job=JOB, pk=coupon.pk, at=coupon.ends_at, ref="expire")
    still = (Coupon.state == "unused") & (Coupon.due_ref == "remind")
    moved = table.update(Coupon, (coupon.pk, coupon.sk), *end, when=still, refuse=lambda _: _Moved())
    try:
        table.transact([moved, table.create(noticed)])
    except table.Taken:
        # It came back to its member after it was noticed the first time.
        table.apply(moved)


def _expire(entry: due.Entry, now: int) -> None:
    """An unused coupon whose time is over is expired."""
    owed = facts.owed_or_emptied("coupon.expired", pk=entry.pk, now=now)
    actions = (Coupon.state.set("expired"), *owed)
    over = (Coupon.state == "unused") & (Coupon.ends_at <= now)
    table.apply(table.update(Coupon, (entry.pk, entry.sk), *actions, when=over, refuse=lambda _: _Moved()))


def _unlock(entry: due.Entry, now: int) -> None:
    """A lock's time is over: all coupons of its order are let go."""
    coupon = table.get(Coupon, (entry.pk, entry.sk))
    if coupon is None or coupon.state != "locked" or not coupon.order_ref or (coupon.locked_until or 0) > now:
        raise _Moved
    try:
        using.release(coupon.order_ref, over_by=now, now=now)
    except WrongLockState as moved:
        raise _Moved from moved


_WORKS: dict[str, Callable[[due.Entry, int], None]] = {
    "remind": _remind,
    "expire": _expire,
    "unlock": _unlock,
}


@facts.reaction("coupon.expiring", name="coupons.tell_mall")
def tell_mall(row: Reminder, now: int) -> Sequence[Write]:
    """The mall learns that a coupon ends soon, so that it can remind its member, if it is still unused."""
    coupon = service.find(row.member_id, row.coupon_id)
    if coupon is None or coupon.state != "unused" or coupon.ends_at <= now:
        return []
    data = {
        "member_id": coupon.member_id,
        "coupon_id": row.coupon_id,
        "template_id": row.template_id,
        "ends_at": row.ends_at,
    }
    return deliveries.owe("coupon.expiring", cause=[row.coupon_id], data=data, now=now)
