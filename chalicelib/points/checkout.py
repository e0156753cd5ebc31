"""The rules of points in the mall's checkout: frozen for an order, spent when it is paid, back when it is not.

The mall's order number is the natural key of it all, so that the mall may say everything again. Points that were
neither spent nor released by ``held_until`` come back by themselves; is the order paid after that, they are taken
again, if the member still has them.
"""

from contextlib import suppress

import msgspec

from chalicelib.core import ledger, table
from chalicelib.core.errors import Busy, Conflict, Invalid, NotFound
from chalicelib.core.ledger import Hold, HoldOver
from chalicelib.points import rules, service
from chalicelib.points.models import Checkout
from chalicelib.points.schemas import FreezePoints

ROUNDS = 5


class PointsOverShare(Conflict):
    """More points than this order's share; ``details.at_most_points`` says how many it takes."""

    code = "points_over_share"
    en = "Fewer points can be used on this order."
    zh = "超过该订单可用积分上限。"
    advice = "Offer `details.at_most_points`."


class CheckoutDiffers(Conflict):
    """The order has points of another member, or another number of them, in it."""

    code = "checkout_differs"
    en = "This order has other points in it."
    zh = "该订单已使用其他积分。"
    advice = "Use a new order number."


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How the points of an order stand: ``frozen``, ``spent`` or ``released``, and how many came back after they
    were spent."""

    row: Checkout
    state: str
    returned: int = 0


def freeze(given: FreezePoints, *, member_id: str, now: int) -> tuple[Standing, bool]:
    """Take points out of the balance for an order, and whether this call did; said again, the first answer.

    Raises:
        PointsOverShare: the order takes fewer. NotEnoughPoints: the member has fewer. Invalid: they are worth
        nothing. CheckoutDiffers: the order has others in it. HoldOver: they came back.
    """
    try:
        row = _checkout(given, member_id, now=now)
        writes = ledger.frozen(
            owner=member_id,
            book=service.POINTS,
            amount=given.points,
            cause=cause_of(given.mall_order_id),
            reason="checkout",
            now=now,
            until=row.held_until,
            short=lambda account: service.short(account, needed=given.points),
        )
        table.transact([table.create(row), *writes])
    except (table.Taken, PointsOverShare, Invalid, service.NotEnoughPoints):
        # A repeat is answered as the first time, whatever the balance and the rule are by now.
        there = table.get(Checkout, Checkout.key(given.mall_order_id))
        if there is None:
            raise
        if (there.member_id, there.points, there.goods_fen) != (member_id, given.points, given.goods_fen):
            raise CheckoutDiffers(member_id=there.member_id, points=there.points) from None
        standing = standing_of(there)
        if standing.state == "released":
            raise HoldOver(state="released") from None
        return standing, False
    return Standing(row=row, state="frozen"), True


def _checkout(given: FreezePoints, member_id: str, *, now: int) -> Checkout:
    rule = service.rule(now=now)
    rate = {"rate_points": rule.rate_points, "rate_fen": rule.rate_fen}
    at_most = rules.at_most_points(given.goods_fen, max_share_bps=rule.max_share_bps, **rate)
    if given.points > at_most:
        raise PointsOverShare(at_most_points=at_most)
    discount_fen = rules.worth_fen(given.points, **rate)
    if not discount_fen:
        raise Invalid(field="points", reason="worth less than one fen", **rate)
    return Checkout(
        *Checkout.key(given.mall_order_id),
        mall_order_id=given.mall_order_id,
        member_id=member_id,
        points=given.points,
        discount_fen=discount_fen,
        goods_fen=given.goods_fen,
        created_at=now,
        held_until=now + given.hold_s,
    )


def spend(mall_order_id: str, *, now: int) -> Standing:
    """The order is paid: its points are spent, once.

    Raises:
        NotFound: the order has none. NotEnoughPoints: they had come back, and are not there any more. HoldOver: the
        mall released them.
    """
    row = find(mall_order_id)
    for _ in range(ROUNDS):
        hold = _hold(row)
        if hold.state == "spent":
            return _of(row, hold)
        if hold.state == "released":
            return _taken_again(row, now=now)
        try:
            table.transact(ledger.hold_spent(hold))
            return Standing(row=row, state="spent")
        except HoldOver:
            continue  # it was spent or came back meanwhile: look again
    raise Busy


def _taken_again(row: Checkout, *, now: int) -> Standing:
    """The hold came back when its time was over; what the mall itself released stays released."""
    taken = _late(row)
    if taken is not None:
        return _of(row, taken)
    cause = f"{cause_of(row.mall_order_id)}#released"
    released = ledger.find(owner=row.member_id, book=service.POINTS, cause=cause)
    if released is None or released.reason != service.HOLD_OVER:
        raise HoldOver(state="released")
    late = _late_cause(row.mall_order_id)
    with suppress(ledger.Posted):
        table.transact(
            service.spent(row.member_id, points=row.points, cause=late, reason="checkout", now=now)
        )
    return standing_of(row)


def release(
    mall_order_id: str, *, points: int | None = None, refund_id: str | None = None, now: int
) -> Standing:
    """The order is given up, or refunded: its points come back, once for each ``refund_id``.

    Raises:
        NotFound: the order has none. OverReversed: fewer are left in it. Invalid: a part of what is only frozen, or
        without a refund's number.
    """
    row = find(mall_order_id)
    if points is not None and refund_id is None:
        raise Invalid(field="refund_id", reason="needed for a part")
    for _ in range(ROUNDS):
        try:
            with suppress(ledger.Posted):
                _release(row, points=points, refund_id=refund_id, now=now)
            return standing_of(row)
        except HoldOver:
            continue  # it was spent or released meanwhile: look again
    raise Busy


def _release(row: Checkout, *, points: int | None, refund_id: str | None, now: int) -> None:
    hold = _hold(row)
    if hold.state == "frozen":
        if points not in (None, row.points):
            raise Invalid(field="points", reason="what is only frozen comes back whole")
        service.release(hold, reason="checkout", now=now)
        return
    taken = hold if hold.state == "spent" else _late(row)
    if taken is None or (points is None and not taken.left):
        return
    back = service.reversal(
        row.member_id, cause=taken.cause, amount=points, part=refund_id or "", reason="refund", now=now
    )
    table.transact(back)


# --- reading ------------------------------------------------------------------------------------------------


def find(mall_order_id: str) -> Checkout:
    """The points in an order of the mall.

    Raises:
        NotFound: it has none.
    """
    row = table.get(Checkout, Checkout.key(mall_order_id))
    if row is None:
        raise NotFound
    return row


def standing_of(row: Checkout) -> Standing:
    """How they stand now."""
    hold = _hold(row)
    taken = hold if hold.state == "spent" else _late(row)
    return Standing(row=row, state=hold.state or "") if taken is None else _of(row, taken)


def _of(row: Checkout, taken: ledger.Entry) -> Standing:
    return Standing(row=row, state="spent", returned=row.points - taken.left)


def _hold(row: Checkout) -> Hold:
    hold = ledger.find(owner=row.member_id, book=service.POINTS, cause=cause_of(row.mall_order_id))
    assert isinstance(hold, Hold)
    return hold


def _late(row: Checkout) -> ledger.Entry | None:
    return ledger.find(owner=row.member_id, book=service.POINTS, cause=_late_cause(row.mall_order_id))


def cause_of(mall_order_id: str) -> str:
    """The cause under which an order's points are frozen."""
    return f"mall#{mall_order_id}"


def _late_cause(mall_order_id: str) -> str:
    return f"mall#{mall_order_id}#late"
