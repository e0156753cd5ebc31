"""What a merged member has here becomes another's: orders with their seats, groups they head, what limits count.

An order, its seat and whose group it is go over in one transaction, so that the other sees and pays for it, and a
hold or a refund finds the seat where the order says. While both have a seat in one group it waits, as the merged
member's, until that is over, when only the order goes; an unpaid one waits while the other has an unpaid order in
the same campaign. What each of them has used of a campaign's limits adds up.
"""

from chalicelib.core import estates, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.groupbuys import campaigns, holding, reading
from chalicelib.groupbuys.models import Group, Part, Seat
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order

AT_ONCE = 25
LIVE = ("opening", "open", "expiring")


@estates.hands_over("groupbuys")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """Some orders and seats go over, each once; whether there were any that could."""
    found = [order for order in orders.all_of(member_id) if order.purpose == "group"]
    moved = 0
    for order in found:
        if moved < AT_ONCE and (writes := _moving(order, into)):
            table.transact(writes)
            moved += 1
    rest = _rest(member_id, into, besides={order.campaign_id for order in found})
    return moved > 0 or rest


def _moving(order: Order, into: str) -> list[Write]:
    """The writes after which an order and its seat are another's; none while they have to wait."""
    group, seats = reading.with_seats(order.group_id)
    own = next((seat for seat in seats if seat.order_id == order.order_id), None)
    beside = any(seat.member_id == into for seat in seats)
    if own is not None and beside and group.state in LIVE:
        return []
    parts = _parts(order, own, group, into)
    if parts is None:
        return []
    seated = _seat_moved(own, order, into, beside=beside) if own is not None else []
    return [orders.handed_over(order, into), *seated, *_headed(group, own, order, into), *parts]


def _seat_moved(seat: Seat, order: Order, into: str, *, beside: bool) -> list[Write]:
    """The seat under the other's name; ``beside`` another of theirs, which only happens when the group is over and
    nobody looks for a seat by its member, it stays where it is."""
    theirs = {"member_id": into, "owner": f"{into}#groups"}
    unchanged = Seat.rev == seat.rev
    if beside:
        actions = [getattr(Seat, name).set(value) for name, value in theirs.items()]
        return [table.update(Seat, (seat.pk, seat.sk), *actions, when=unchanged, refuse=Busy)]
    due_ref = holding.held_ref(_as_of(order, into)) if seat.due_ref else None
    copy = table.copied(seat, Seat.key(seat.group_id, into), **theirs, due_ref=due_ref)
    gone = table.delete(Seat, (seat.pk, seat.sk), when=unchanged, refuse=Busy)
    return [gone, table.create(copy, refuse=Busy)]


def _headed(group: Group, own: Seat | None, order: Order, into: str) -> list[Write]:
    """A group that the order's member heads is the other's; the hold of a head is the hold of the group."""
    if own is None or group.head_id != order.member_id:
        return []
    hold = [Group.due_ref.set(holding.held_ref(_as_of(order, into)))] if group.state == "opening" else []
    same = (Group.state == group.state) & (Group.head_id == order.member_id)
    key = (group.pk, group.sk)
    return [table.update(Group, key, Group.head_id.set(into), *hold, when=same, refuse=Busy)]


def _as_of(order: Order, member_id: str) -> Order:
    return table.copied(order, (order.pk, order.sk), member_id=member_id)


# --- the limits ---------------------------------------------------------------------------------------------


def _parts(order: Order, own: Seat | None, group: Group, into: str) -> list[Write] | None:
    """What the order counts in a part goes into the other's; None: the other has an unpaid one, as this one is."""
    keys = [Part.key(order.campaign_id, one) for one in (order.member_id, into)]
    theirs = table.get(Part, keys[1])
    unpaid = order.state == "pending"
    if unpaid and theirs is not None and _unpaid(theirs):
        return None
    counts = own is not None and (
        own.state == "held" or (own.state == "confirmed" and group.state != "expired")
    )
    units, groups = (own.quantity, int(own.head)) if own is not None and counts else (0, 0)
    seen = Part.pk.does_not_exist() if theirs is None else Part.rev == theirs.rev
    newest = [Part.order_id.set(order.order_id)] if unpaid else []
    more = (Part.units.add(units), Part.groups.add(groups), *newest)
    # What is given back of the order later is taken off a part that must be there, whatever it counts.
    got = table.upsert(Part, keys[1], *more, when=seen, refuse=Busy)
    if not counts:
        return [got]
    less = (Part.units.add(-units), Part.groups.add(-groups))
    is_newest = Part.order_id == order.order_id if unpaid else None
    over = [Part.order_id.remove()] if unpaid else []
    return [table.update(Part, keys[0], *less, *over, when=is_newest, refuse=Busy), got]


def _unpaid(part: Part) -> bool:
    order = orders.find(part.order_id) if part.order_id else None
    return order is not None and order.state == "pending"


def _rest(member_id: str, into: str, *, besides: set[str]) -> bool:
    """What a part counts without any order, as a seat was given back while it went over, goes over as well."""
    ids = [one.campaign_id for one in campaigns.everything() if one.campaign_id not in besides]
    rows = table.get_all([(Part, Part.key(one, member_id)) for one in ids])
    found = [(one, row) for one, row in zip(ids, rows, strict=True) if row and (row.units or row.groups)]
    for campaign_id, row in found:
        less = (Part.units.add(-row.units), Part.groups.add(-row.groups))
        given = table.update(Part, (row.pk, row.sk), *less, when=Part.rev == row.rev, refuse=Busy)
        more = (Part.units.add(row.units), Part.groups.add(row.groups))
        table.transact([given, table.upsert(Part, Part.key(campaign_id, into), *more)])
    return bool(found)
