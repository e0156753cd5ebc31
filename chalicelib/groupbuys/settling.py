"""Where a payment goes: its seat, another seat when it comes late, or back. Exactly one of them, once.

Only the state of rows decides here, never the clock: money that came before the job wins.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.core import due, facts, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.groupbuys import campaigns, holding, reading, rules
from chalicelib.groupbuys.ending import if_unpayable, refund_paid, release
from chalicelib.groupbuys.holding import EXPIRE_JOB, ROUNDS, SeatTaken, StockShort
from chalicelib.groupbuys.models import SCORE, Campaign, Group, Part, Seat
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order, Paid

LOOKED_AT = 20
"""Joinable groups that a late payment looks at: not all of them have its price."""


class _OrderMoved(Exception):
    """The order is not what it was: look again."""


class _SeatLost(Exception):
    """The order has no seat of its own any more."""


class _GroupIs(Exception):
    """The group is not what this write was for; ``row`` says what it is."""

    def __init__(self, row: Group | None) -> None:
        super().__init__(row.state if row else "gone")
        self.row = row


class _NoRoom(Exception):
    """The member's limit leaves no room for a late payment."""


def settle(order: Order, paid: Paid, now: int) -> None:
    """Bring a payment to its place.

    Raises:
        orders.PaymentKnown: it was dealt with before. Busy: the group kept changing.
    """
    for _ in range(ROUNDS):
        if order.state == "pending" and _confirmed(order, paid, now=now):
            return
        if order.state == "cancelled" and _placed_late(order, paid, now=now):
            return
        if order.state not in ("pending", "cancelled"):
            if order.payment_id != paid.payment_id:
                orders.give_back(order, paid, now=now)
            return
        order = orders.show(order.order_id)
    raise Busy


def _confirmed(order: Order, paid: Paid, *, now: int) -> bool:
    """Confirm the order's own seat; false: look at the order again.

    Raises:
        Busy: the group kept changing; the seat is still held for the payment, which is told again.
    """
    last = order.size == 2 and not order.head
    for _ in range(ROUNDS):
        try:
            table.transact(_confirming(order, paid, last=last, now=now))
            return True
        except _OrderMoved:
            return False
        except _GroupIs as found:
            if found.row is None or found.row.state != "open" or order.head:
                break
            last = found.row.missing == 1
        except _SeatLost:
            break
    else:
        raise Busy
    # The group is over, or the seat is somebody else's: the order is let go, and its payment comes late.
    with suppress(orders.PrepayOpen):  # it was begun since the order was read: it is read again
        if_unpayable(holding.held_by(order), closed=order.prepay_id, now=now)
    return False


def _confirming(order: Order, paid: Paid, *, last: bool, now: int) -> list[Write]:
    key = Seat.key(order.group_id, order.member_id)
    mine = (Seat.state == "held") & (Seat.order_id == order.order_id)
    confirmed = [Seat.state.set("confirmed"), Seat.paid_at.set(now), Seat.payment_id.set(paid.payment_id)]
    return [
        *orders.taken(order, paid, before="pending", refuse=_OrderMoved, now=now),
        table.update(
            Seat, key, *confirmed, Seat.held_until.remove(), *due.emptied(), when=mine, refuse=_SeatLost
        ),
        _opened(order, now=now) if order.head else _one_less(order, last=last, now=now),
    ]


def _opened(order: Order, *, now: int) -> Write:
    """The head has paid: the group's clock starts, and it can be joined."""
    pk, sk = Group.key(order.group_id)
    expires_at = now + order.lifetime_s
    actions = [
        Group.state.set("open"),
        Group.missing.add(-1),
        Group.began_at.set(now),
        Group.expires_at.set(expires_at),
        Group.board.set(reading.board_of(order.campaign_id)),
        Group.score.set((order.size - 1) * SCORE + expires_at),
        *due.moved(job=EXPIRE_JOB, pk=pk, at=expires_at),
    ]
    return table.update(Group, (pk, sk), *actions, when=Group.state == "opening", refuse=_GroupIs)


def _one_less(order: Order, *, last: bool, now: int, seat: int = 0) -> Write:
    """One missing seat less; the last one fills the group. ``seat``: 1 when a free seat is taken as well.

    Written without knowing the row: "not the last" is the guess, a refusal's row says whether to send the other.
    """
    open_ = Group.state == "open"
    room: Condition = open_ & (Group.missing == 1) if last else open_ & (Group.missing > 1)
    if seat:
        room = room & (Group.free >= 1)
    actions: list[Action] = [Group.missing.add(-1)]
    if seat:
        actions.append(Group.free.add(-1))
    actions += _filled(order, now=now) if last else [Group.score.add(-SCORE)]
    return table.update(Group, Group.key(order.group_id), *actions, when=room, refuse=_GroupIs)


def _filled(order: Order, *, now: int) -> Sequence[Action]:
    owing = facts.owing("group.filled", pk=Group.key(order.group_id)[0], now=now)
    filled = [Group.state.set("filled"), Group.ended_at.set(now), Group.real_members.set(order.size)]
    return [*filled, Group.board.remove(), Group.score.remove(), *owing]


# --- late ---------------------------------------------------------------------------------------------------


def _placed_late(order: Order, paid: Paid, *, now: int) -> bool:
    """A payment of an order that was let go: its own newer seat, its group, others nearest to full, or back."""
    try:
        if _taken_over(order, paid, now=now) or _placed_elsewhere(order, paid, now=now):
            return True
        table.transact(orders.returned(order, paid, reason="late_payment", refuse=_OrderMoved, now=now))
    except _OrderMoved:
        return False
    return True


def _placed_elsewhere(order: Order, paid: Paid, *, now: int) -> bool:
    """A seat in its own group or in another, if its group was opened to take late payments so."""
    group = table.get(Group, Group.key(order.group_id))
    if group is not None and group.late_payment != "elsewhere":
        return False
    campaign = campaigns.find(order.campaign_id, now=now)
    places = _places(campaign, order, group, now=now)
    return any(_seated(campaign, order, paid, there, now=now) for there in places)


def _places(campaign: Campaign, order: Order, own: Group | None, *, now: int) -> list[Group]:
    """Groups where the price is what was paid: the order's own first, then those nearest to full."""
    others = reading.joinable(order.campaign_id, limit=LOOKED_AT, now=now)
    found = [own] if own is not None and reading.why_not(own, now=now) is None else []
    found += [group for group in others if group.group_id != order.group_id]
    if any(group.new_members_only for group in found) and not reading.is_new(order.member_id, campaign):
        found = [group for group in found if not group.new_members_only]
    same = [group for group in found if group.prices[order.sku_id] * order.quantity == order.amount_fen]
    return same[: reading.OFFERED + 1]


def _seated(campaign: Campaign, order: Order, paid: Paid, group: Group, *, now: int) -> bool:
    """Seat a late payment in this group; false: it cannot be."""
    taken = holding.first_shard(campaign, group, order)
    last = group.missing == 1
    for _ in range(ROUNDS):
        try:
            table.transact(_late(campaign, order, paid, group, taken, last=last, now=now))
            return True
        except _GroupIs as found:
            if found.row is None or found.row.state != "open" or found.row.free < 1:
                return False
            last = found.row.missing == 1
        except StockShort:
            elsewhere = _units_of_other_shards(campaign, order)
            if elsewhere is None:
                return False
            taken = elsewhere
        except (SeatTaken, _NoRoom):
            return False
    return False


def _units_of_other_shards(campaign: Campaign, order: Order) -> rules.Taken | None:
    plan = rules.spread(campaigns.stock_left(campaign, order.sku_id), order.quantity)
    return None if plan is None else [[order.sku_id, k, units] for k, units in plan]


def _late(
    campaign: Campaign, order: Order, paid: Paid, group: Group, taken: rules.Taken, *, last: bool, now: int
) -> list[Write]:
    moved = {"group_id": group.group_id, "size": group.size, "head": False, "taken": taken}
    seated = Order(*Order.key(order.order_id), **{**_as_it_is(order), **moved})
    room = Part.units <= campaign.per_member_units - order.quantity
    part = table.upsert(
        Part,
        Part.key(order.campaign_id, order.member_id),
        Part.units.add(order.quantity),
        Part.groups.add(0),
        when=Part.pk.does_not_exist() | room,
        refuse=_NoRoom,
    )
    return [
        *orders.taken(order, paid, before="cancelled", refuse=_OrderMoved, now=now, **moved),
        table.create(holding.seat_of(seated, payment_id=paid.payment_id, now=now), refuse=SeatTaken),
        _one_less(seated, last=last, now=now, seat=1),
        part,
        *holding.stock_taken(taken, campaign_id=order.campaign_id, now=now, window=False),
    ]


def _as_it_is(order: Order) -> dict[str, Any]:
    return {name: value for name, value in order.attribute_values.items() if name not in ("pk", "sk", "kind")}


def _taken_over(order: Order, paid: Paid, *, now: int) -> bool:
    """The member has a newer unpaid order for the same thing: this payment confirms its seat."""
    part = table.get(Part, Part.key(order.campaign_id, order.member_id))
    newer = orders.find(part.order_id) if part is not None and part.order_id else None
    if newer is None or newer.state != "pending" or _different(newer, order):
        return False
    last = newer.size == 2 and not newer.head
    for _ in range(ROUNDS):
        try:
            table.transact(_taking_over(order, newer, paid, last=last, now=now))
            if newer.prepay_id:  # what a phone can still pay of it would come late in its turn
                orders.close(newer, now=now)
            return True
        except _GroupIs as found:
            if found.row is None or found.row.state != "open" or newer.head:
                return False
            last = found.row.missing == 1
        except (_SeatLost, _NewerMoved, orders.PrepayOpen):
            return False
    return False


class _NewerMoved(Exception):
    """The newer order was paid or let go meanwhile."""


def _different(newer: Order, order: Order) -> bool:
    return (newer.sku_id, newer.quantity, newer.amount_fen) != (
        order.sku_id,
        order.quantity,
        order.amount_fen,
    )


def _taking_over(order: Order, newer: Order, paid: Paid, *, last: bool, now: int) -> list[Write]:
    moved = {"group_id": newer.group_id, "size": newer.size, "head": newer.head, "taken": newer.taken}
    mine = (Seat.state == "held") & (Seat.order_id == newer.order_id)
    confirmed = [
        Seat.state.set("confirmed"),
        Seat.order_id.set(order.order_id),
        Seat.payment_id.set(paid.payment_id),
        Seat.paid_at.set(now),
    ]
    seat = table.update(
        Seat,
        Seat.key(newer.group_id, newer.member_id),
        *confirmed,
        Seat.held_until.remove(),
        *due.emptied(),
        when=mine,
        refuse=_SeatLost,
    )
    return [
        *orders.taken(order, paid, before="cancelled", refuse=_OrderMoved, now=now, **moved),
        orders.cancelled(newer, refuse=_NewerMoved, closed=newer.prepay_id),
        seat,
        _opened(newer, now=now) if newer.head else _one_less(newer, last=last, now=now),
    ]


# --- what is bought -----------------------------------------------------------------------------------------


def lines(order: Order) -> list[orders.Line]:
    """The one thing that a group order is of; what differences gave back is no more paid for it."""
    product, over_fen = campaigns.as_it_is(order.campaign_id).product, order.over_fen or 0
    return [
        orders.Line(
            line_id="1",
            product_id=product["id"],
            sku_id=order.sku_id,
            category_ids=tuple(product.get("category_ids") or ()),
            quantity=order.quantity,
            paid_fen=orders.came_fen(order) - over_fen,
            refunded_fen=orders.back_fen(order) - over_fen,
            title=order.title,
        )
    ]


def may_ship(order: Order) -> bool:
    """A group's orders are sent once it is filled."""
    return order.group_id is not None and reading.find(order.group_id).state == "filled"


orders.purpose("group", settle=settle, release=release, refund=refund_paid, lines=lines, may_ship=may_ship)
