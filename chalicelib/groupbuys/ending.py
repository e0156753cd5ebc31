"""How seats and groups end: leaving, holds that run out, groups that run out, members who are refunded.

A group that ends owes every payer a refund in the same transaction, up to thirty of them; beyond that, or when
their units came from too many shards, it stays ``expiring``, and due, until a consistent look finds nobody left.
"""

from collections.abc import Mapping, Sequence

from pynamodb.expressions.update import Action

from chalicelib.core import due, facts, table
from chalicelib.core.errors import Busy, Conflict, NotFound
from chalicelib.core.table import Write
from chalicelib.groupbuys import holding, reading, rules
from chalicelib.groupbuys.holding import EXPIRE_JOB, RELEASE_JOB, ROUNDS, Held
from chalicelib.groupbuys.models import SCORE, Group, Part, Seat
from chalicelib.orders import service as orders
from chalicelib.orders.service import Back, Order

EXPIRED = Back(reason="group_expired")
PAYERS_AT_ONCE = 30
PAYERS_A_BATCH = 20
Known = Mapping[str, Order]
"""Orders that were read; of others as much is taken as their seats tell."""


class Filled(Conflict):
    """The group is full and paid; nothing reopens it."""

    code = "group_filled"
    en = "The group is complete; please ask the shop for a refund."
    zh = "拼团已成功，如需退款请联系商家。"
    advice = "Offer the service desk."


class _Moved(Exception):
    """Something is not what it was: somebody else was first."""


# --- unpaid -------------------------------------------------------------------------------------------------


def leave(*, group_id: str, member_id: str, now: int) -> str:
    """Give an unpaid seat back: the number of its order, which is cancelled; given back already, nothing changes.

    Raises:
        NotFound: the member has no seat there. orders.OrderOver: it is paid.
    """
    seat = table.get(Seat, Seat.key(group_id, member_id))
    if seat is None:
        return _left_before(group_id, member_id)
    if not let_go(holding.held_in(seat), now=now):
        orders.cancel(orders.show(seat.order_id), now=now)
    return seat.order_id


def _left_before(group_id: str, member_id: str) -> str:
    part = table.get(Part, Part.key(reading.find(group_id).campaign_id, member_id))
    order = orders.find(part.let_go) if part is not None and part.let_go else None
    if order is None or (order.group_id, order.state) != (group_id, "cancelled"):
        raise NotFound
    return order.order_id


def release(order: Order, now: int) -> None:
    """Let an unpaid order go, with its seat, its units and its part of the limits."""
    let_go(holding.held_by(order), now=now)


@due.handles(RELEASE_JOB)
def release_hold(entry: due.Entry, now: int) -> None:
    """A hold has run out: a joiner's seat is free again, an unpaid head's group goes away."""
    let_go(holding.held_from(entry.due_ref, group_id=entry.pk.removeprefix("GROUP#")), now=now)


def let_go(held: Held, *, now: int) -> bool:
    """Let what an unpaid order holds go, all of it or, when it was paid or let go meanwhile, nothing (false).

    What a phone may still pay of it is closed at the gateway first; paid there by now, the payment is taken.
    """
    try:
        return if_unpayable(held, closed=None, now=now)
    except orders.PrepayOpen as begun:
        closed = orders.close(begun.row, now=now)
        return closed and if_unpayable(held, closed=begun.row.prepay_id, now=now)


def if_unpayable(held: Held, *, closed: str | None, now: int) -> bool:
    """Let it go, if nothing was begun of it but what is ``closed``, or paid; false: it is no more what it was.

    Raises:
        orders.PrepayOpen: something else was.
    """
    try:
        table.transact(_letting_go(held, closed=closed, now=now))
    except _Moved:
        return False
    return True


def _letting_go(held: Held, *, closed: str | None, now: int) -> list[Write]:
    order = Order(*Order.key(held.order_id), order_id=held.order_id)
    mine = (Seat.state == "held") & (Seat.order_id == held.order_id)
    return [
        orders.cancelled(order, refuse=_Moved, closed=closed),
        table.delete(Seat, Seat.key(held.group_id, held.member_id), when=mine, refuse=_Moved),
        _lapsed(held, now=now) if held.head else _freed(held),
        holding.part_back(held, refuse=_Moved),
        *holding.stock_back([held.taken], campaign_id=held.campaign_id),
    ]


def _freed(held: Held) -> Write:
    # No condition on the state: a group that is over meanwhile is not harmed, and its holds end here too.
    return table.update(Group, Group.key(held.group_id), Group.free.add(1), refuse=_Moved)


def _lapsed(held: Held, *, now: int) -> Write:
    actions = (Group.state.set("lapsed"), Group.ended_at.set(now), *due.emptied())
    return table.update(
        Group, Group.key(held.group_id), *actions, when=Group.state == "opening", refuse=_Moved
    )


# --- the end of a group -------------------------------------------------------------------------------------


@due.handles(EXPIRE_JOB)
def expire_group(entry: due.Entry, now: int) -> None:
    """A group's time is over: it is filled by who is there, or everybody gets their money back.

    Was its campaign closed with refunds, its entry says so, and they get it back in any case.

    Raises:
        Busy: payments kept coming in.
    """
    back = Back(reason=entry.due_ref) if entry.due_ref else EXPIRED
    end(entry.pk.removeprefix("GROUP#"), back=back, now=now)


def end(group_id: str, *, back: Back, now: int) -> None:
    """End an open group now, whatever its clock says; over already, only what is still owed is done.

    Raises:
        Busy: payments kept coming in. NotFound: there is no such group.
    """
    known: Known = {}
    for _ in range(ROUNDS):
        group, seats = reading.with_seats(group_id)
        payers = [seat for seat in seats if seat.state == "confirmed"]
        try:
            if group.state == "open" and _end_open(group, payers, known, back=back, now=now):
                return
            if group.state not in ("open", "expiring"):
                return
            if group.state == "expiring":
                _refund_some(group, _that_fit(group, payers), known, back=back, now=now)
        except _Moved:
            # Somebody paid or left in between, or has a part of the money back: the seats do not tell enough.
            known = {row.order_id: row for row in orders.those([seat.order_id for seat in payers])}
    if group.state != "expiring":
        raise Busy


def _end_open(group: Group, payers: Sequence[Seat], known: Known, *, back: Back, now: int) -> bool:
    """End it, if these are its payers; false: refunds are still to be written."""
    if _fills(group, len(payers)) and back == EXPIRED:
        table.transact(_filled_short(group, payers, now=now))
        return True
    refunds = _refunds(payers, known, back=back, now=now)
    stock = _stock_of(group) if group.reserve == "group" else _stock_of_seats(group, payers)
    if len(payers) <= PAYERS_AT_ONCE and 1 + len(stock) + len(refunds) <= table.MAX_ACTIONS:
        table.transact([_over(group, payers, state="expired", back=back, now=now), *stock, *refunds])
        return True
    table.transact([_over(group, payers, state="expiring", back=back, now=now), *_stock_of(group)])
    return False


def _fills(group: Group, people: int) -> bool:
    if group.steps and rules.step_reached(group.steps, people) is not None:
        return True
    return group.fill_at_expiry_from is not None and people >= group.fill_at_expiry_from


def _over(group: Group, payers: Sequence[Seat], *, state: str, back: Back, now: int) -> Write:
    pk, sk = Group.key(group.group_id)
    ref = "" if back == EXPIRED else back.reason
    still = due.moved(job=EXPIRE_JOB, pk=pk, at=now, ref=ref) if state == "expiring" else None
    rest: Sequence[Action] = still if still is not None else facts.owing("group.expired", pk=pk, now=now)
    return _closed(group, payers, [Group.state.set(state), *rest], now=now)


def _closed(group: Group, payers: Sequence[Seat], actions: Sequence[Action], *, now: int) -> Write:
    """An open group ends, if exactly these payers are in it."""
    off = [Group.board.remove(), Group.score.remove(), Group.ended_at.set(now)]
    real = Group.real_members.set(len(payers))
    seen = (Group.state == "open") & (Group.missing == group.size - len(payers))
    return table.update(
        Group, Group.key(group.group_id), *actions, *off, real, when=seen, refuse=lambda _: _Moved()
    )


def _filled_short(group: Group, payers: Sequence[Seat], *, now: int) -> list[Write]:
    owing = facts.owing("group.filled", pk=Group.key(group.group_id)[0], now=now)
    unused = _some_of(group.taken, group.size - len(payers)) if group.reserve == "group" else []
    closed = _closed(
        group, payers, [Group.state.set("filled"), Group.taken.set(_less(group, unused)), *owing], now=now
    )
    return [closed, *holding.stock_back([unused], campaign_id=group.campaign_id)]


def _some_of(taken: rules.Taken, units: int) -> rules.Taken:
    """``units`` out of what was taken, from the first shards on."""
    back: rules.Taken = []
    for sku_id, k, had in taken:
        part = min(had, units)
        if part:
            back.append([sku_id, k, part])
        units -= part
    return back


def _less(group: Group, back: rules.Taken) -> rules.Taken:
    given = rules.added_up([back])
    return [[sku_id, k, units - given.get((sku_id, k), 0)] for sku_id, k, units in group.taken]


def _stock_of(group: Group) -> list[Write]:
    """The units that the group took for all its seats."""
    taken = [group.taken] if group.reserve == "group" else []
    return holding.stock_back(taken, campaign_id=group.campaign_id)


def _stock_of_seats(group: Group, payers: Sequence[Seat]) -> list[Write]:
    """The units that these seats took; unpaid seats give theirs back with their own holds."""
    taken = [seat.taken for seat in payers] if group.reserve == "seat" else []
    return holding.stock_back(taken, campaign_id=group.campaign_id)


def _that_fit(group: Group, payers: Sequence[Seat]) -> list[Seat]:
    """The first payers, as many as are refunded in one transaction."""
    fit: list[Seat] = []
    for seat in payers[:PAYERS_A_BATCH]:
        if fit and 4 * (len(fit) + 1) + len(_stock_of_seats(group, [*fit, seat])) > table.MAX_ACTIONS:
            break
        fit.append(seat)
    return fit


def _refunds(payers: Sequence[Seat], known: Known, *, back: Back, now: int) -> list[Write]:
    writes: list[Write] = []
    for seat in payers:
        order = orders.caught_up(known.get(seat.order_id) or _order_of(seat), now=now)
        gone, owed = orders.refunding(order, back=back, refuse=_Moved, now=now)
        # A payer who was merged into another meanwhile has handed their part over with the order.
        writes += [gone.also(Order.member_id == seat.member_id), owed, _part_of(seat)]
    return writes


def _order_of(seat: Seat) -> Order:
    """As much of a seat's order as giving it back takes; the write's own condition says whether it is so."""
    key = Order.key(seat.order_id)
    return Order(*key, order_id=seat.order_id, payment_id=seat.payment_id, refundable_fen=seat.amount_fen)


def _part_of(seat: Seat) -> Write:
    """A failed group counts towards no limit."""
    actions = (Part.units.add(-seat.quantity), Part.groups.add(-int(seat.head)))
    return table.update(Part, Part.key(seat.campaign_id, seat.member_id), *actions, refuse=_Moved)


def _refund_some(group: Group, payers: Sequence[Seat], known: Known, *, back: Back, now: int) -> None:
    if not payers:
        pk, sk = Group.key(group.group_id)
        owing = facts.owing("group.expired", pk=pk, now=now)
        done = table.update(
            Group, (pk, sk), Group.state.set("expired"), *owing, when=Group.state == "expiring", refuse=_Moved
        )
        table.apply(done)
        return
    table.transact(_refunding(group, payers, known, back=back, now=now))


def _refunding(group: Group, payers: Sequence[Seat], known: Known, *, back: Back, now: int) -> list[Write]:
    """Payers of a group that is ending get their money back, and their seats' own units return."""
    return [
        *_refunds(payers, known, back=back, now=now),
        *(_refunded(seat) for seat in payers),
        *_stock_of_seats(group, payers),
    ]


def _refunded(seat: Seat) -> Write:
    mine = (Seat.state == "confirmed") & (Seat.order_id == seat.order_id)
    key = Seat.key(seat.group_id, seat.member_id)
    return table.update(Seat, key, Seat.state.set("refunded"), when=mine, refuse=_Moved)


# --- refunding a member who has paid ------------------------------------------------------------------------


def refund_paid(order: Order, back: Back, now: int) -> None:
    """Give a paid order back; while its group is open its seat is free again in the same write.

    Was it the head's, the earliest payer is head from now on; is nobody left, the group ends. A filled group stays
    filled. Given back already, nothing changes.

    Raises:
        Busy: the group kept changing.
    """
    for _ in range(ROUNDS):
        order = orders.caught_up(orders.show(order.order_id), now=now)
        if order.state not in ("paid", "completed"):
            return
        group, seats = reading.with_seats(order.group_id)
        try:
            _give_back(order, group, seats, back=back, now=now)
            return
        except _Moved:
            continue
    raise Busy


def _give_back(order: Order, group: Group, seats: Sequence[Seat], *, back: Back, now: int) -> None:
    if group.state not in ("open", "expiring"):
        table.transact(orders.refunding(order, back=back, refuse=_Moved, now=now))
        return
    known = {order.order_id: order}
    payers = [seat for seat in seats if seat.state == "confirmed"]
    own = next((seat for seat in payers if seat.order_id == order.order_id), None)
    if own is None:
        raise _Moved  # the order was given back after it was read
    if group.state == "expiring":
        table.transact(_refunding(group, [own], known, back=back, now=now))
    elif payers == [own]:
        _end_open(group, payers, known, back=back, now=now)
    else:
        others = sorted((seat for seat in payers if seat is not own), key=lambda seat: seat.paid_at or 0)
        table.transact(_stepping_out(order, group, own, others, back=back, now=now))


def _stepping_out(
    order: Order, group: Group, own: Seat, others: Sequence[Seat], *, back: Back, now: int
) -> list[Write]:
    mine = (Seat.state == "confirmed") & (Seat.order_id == order.order_id)
    head = group.head_id == order.member_id
    actions: list[Action] = [Group.free.add(1), Group.missing.add(1), Group.score.add(SCORE)]
    if head:
        actions.append(Group.head_id.set(others[0].member_id))
    still = (Group.state == "open") & (Group.head_id == group.head_id)
    writes = [
        *orders.refunding(order, back=back, refuse=_Moved, now=now),
        table.delete(Seat, Seat.key(own.group_id, own.member_id), when=mine, refuse=_Moved),
        table.update(Group, Group.key(group.group_id), *actions, when=still, refuse=_Moved),
        _part_of(own),
        *_stock_of_seats(group, [own]),
    ]
    return [*writes, *_promoted(others[0])] if head else writes


def _promoted(seat: Seat) -> list[Write]:
    """Who becomes head has a group of their own from then on, in their limits too."""
    theirs = (Seat.state == "confirmed") & (Seat.order_id == seat.order_id)
    key, part = Seat.key(seat.group_id, seat.member_id), Part.key(seat.campaign_id, seat.member_id)
    return [
        table.update(Seat, key, Seat.head.set(True), when=theirs, refuse=_Moved),
        table.update(Part, part, Part.groups.add(1), refuse=_Moved),
    ]


# --- reactions ----------------------------------------------------------------------------------------------


@facts.reaction("group.filled", name="groupbuys.give_differences_back", money=True)
def give_differences_back(group: Group, now: int) -> Sequence[Write]:
    """A ladder's final price is that of the step it reached: what came above it goes back."""
    if not group.steps or group.real_members is None:
        return []
    final = rules.final_prices(group.steps, group.prices, group.real_members)
    writes: list[Write] = []
    for seat in reading.with_seats(group.group_id)[1]:
        order = orders.show(seat.order_id)
        # A person may have accepted another amount than the price, or the mall have given a part back.
        over_fen = orders.came_fen(order) - final[seat.sku_id] * seat.quantity
        over_fen = min(over_fen, order.refundable_fen or 0)
        if seat.state == "confirmed" and order.state in ("paid", "completed") and over_fen > 0:
            cause = f"{order.payment_id}#difference"
            back = Back(reason="ladder")
            writes += orders.reduced(
                order, by_fen=over_fen, cause=cause, back=back, refuse=Busy, now=now, over=True
            )
    return writes
