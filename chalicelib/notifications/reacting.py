"""Which facts tell whom what. Each is told under the fact's own key, so that it may be brought late and twice.

Rows come as they are now: what has changed meanwhile so that it would not be true is not told.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from chalicelib.checkins import campaigns as checkin_campaigns
from chalicelib.checkins.campaigns import CheckinOver
from chalicelib.core import facts
from chalicelib.core.clock import DAY
from chalicelib.coupons import service as coupons
from chalicelib.coupons import templates as coupon_templates
from chalicelib.groupbuys import campaigns as groupbuy_campaigns
from chalicelib.groupbuys import reading
from chalicelib.notifications import service
from chalicelib.notifications.rules import Kind
from chalicelib.notifications.service import News
from chalicelib.orders import service as orders

WITHDRAWAL_ENDS: Mapping[str, Kind] = {
    "withdrawal.paid": "withdrawal_paid",
    "withdrawal.failed": "withdrawal_failed",
    "withdrawal.expired": "withdrawal_failed",
    "withdrawal.rejected": "withdrawal_failed",
}


# --- groups -------------------------------------------------------------------------------------------------


@facts.errand("group.filled", name="notifications.group_filled")
def tell_filled(group: Any, now: int) -> None:
    """Everybody who has paid learns that the group is full."""
    if group.state == "filled":
        told = {"size": group.real_members or group.size, "ended_at": group.ended_at}
        _tell_members(group, "group_filled", told, now=now)


@facts.errand("group.expired", name="notifications.group_failed")
def tell_failed(group: Any, now: int) -> None:
    """Everybody who has paid learns that the group was not filled."""
    if group.state == "expired":
        _tell_members(group, "group_failed", {"ended_at": group.ended_at}, now=now)


def tell_expiring(group_id: str, *, now: int) -> None:
    """Everybody who has paid learns that the group still lacks people and ends soon, if that is so."""
    group = reading.find(group_id)
    if reading.why_not(group, now=now) is None:
        told = {"missing": group.missing, "expires_at": group.expires_at}
        _tell_members(group, "group_expiring", told, until=group.expires_at, now=now)


def _tell_members(
    group: Any, kind: Kind, told: Mapping[str, Any], *, until: int | None = None, now: int
) -> None:
    title = groupbuy_campaigns.find(group.campaign_id, now=now).title
    news = News(
        kind=kind,
        cause=[group.group_id],
        target_id=group.group_id,
        data={"about": title, **told},
        until=until,
    )
    for seat in reading.with_seats(group.group_id)[1]:
        if seat.state == "confirmed":
            service.tell(news, seat.member_id, now=now)


# --- coupons, check-ins -------------------------------------------------------------------------------------


@facts.errand("coupon.expiring", name="notifications.coupon_expiring")
def tell_coupon(row: Any, now: int) -> None:
    """A member learns that a coupon ends soon, if they still have it."""
    coupon = coupons.own(row.member_id, row.coupon_id)
    if not coupons.usable(coupon, now=now):
        return
    title = coupon_templates.find(row.template_id, now=now).title
    news = News(
        kind="coupon_expiring",
        cause=[row.coupon_id],
        target_id=row.coupon_id,
        data={"about": title, "ends_at": coupon.ends_at},
        until=coupon.ends_at,
    )
    service.tell(news, row.member_id, now=now)


@facts.errand("checkin.reminder", name="notifications.checkin_reminder")
def tell_checkin(part: Any, now: int) -> None:
    """A member learns that they have not checked in on this turn; a day later it is of no use."""
    campaign = checkin_campaigns.find(part.campaign_id, now=now)
    if isinstance(checkin_campaigns.why_not(campaign, now=now), CheckinOver):
        return
    news = News(
        kind="checkin_reminder",
        cause=[part.campaign_id, part.state or ""],
        target_id=part.campaign_id,
        data={"about": campaign.title},
        until=now + DAY,
    )
    service.tell(news, part.member_id, now=now)


# --- money --------------------------------------------------------------------------------------------------


@facts.errand("commission.settled", name="notifications.commission_settled")
def tell_settled(row: Any, now: int) -> None:
    """A promoter learns what was added to their balance."""
    if row.state != "settled":
        return
    told = {"amount_fen": row.settled_fen or 0, "order_id": row.order_id, "settled_at": row.settled_at}
    cause = [row.commission_id]
    news = News(kind="commission_settled", cause=cause, target_id=row.commission_id, data=told)
    service.tell(news, row.promoter_id, now=now)


@facts.errand("withdrawal.awaiting", name="notifications.withdrawal_awaiting")
def tell_awaiting(row: Any, now: int) -> None:
    """A member learns that a withdrawal waits for them."""
    if row.state == "awaiting_confirmation":
        told = {"confirm_by": row.confirm_by}
        _tell_withdrawal(row, "withdrawal_awaiting", told, until=row.confirm_by, now=now)


def _tell_end(fact: str, row: Any, now: int) -> None:
    """A member learns how a withdrawal ended."""
    if fact == f"withdrawal.{row.state}":
        _tell_withdrawal(row, WITHDRAWAL_ENDS[fact], {"ended_at": row.ended_at}, now=now)


for _fact in WITHDRAWAL_ENDS:
    facts.errand(_fact, name="notifications.withdrawal_ended")(partial(_tell_end, _fact))


def _tell_withdrawal(
    row: Any, kind: Kind, told: Mapping[str, Any], *, until: int | None = None, now: int
) -> None:
    amount_fen = row.amount_fen if kind == "withdrawal_failed" else row.net_fen
    news = News(
        kind=kind,
        cause=[row.withdrawal_id],
        target_id=row.withdrawal_id,
        data={"amount_fen": amount_fen, **told},
        until=until,
    )
    service.tell(news, row.member_id, now=now)


@facts.errand("refund.done", name="notifications.refund_done")
def tell_refund(refund: Any, now: int) -> None:
    """A buyer learns that money is back."""
    order = orders.show(refund.order_id)
    news = News(
        kind="refund_done",
        cause=[refund.refund_id],
        target_id=order.order_id,
        data={"about": order.title, "amount_fen": refund.amount_fen, "done_at": refund.done_at},
    )
    service.tell(news, order.member_id, now=now)
