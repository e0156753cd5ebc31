"""What an unpaid order holds: a seat, units of stock, a part of the member's limits.

Each take has its give-back here. The due entry of a hold says all of it, so that it is let go without a read.
"""

import json
from collections.abc import Sequence

import msgspec

from chalicelib.core import due, table
from chalicelib.core.errors import NotFound
from chalicelib.core.table import Refusal, Write
from chalicelib.groupbuys import campaigns, rules
from chalicelib.groupbuys.models import Campaign, Group, Part, Seat, Stock
from chalicelib.orders.service import Order

RELEASE_JOB = "release"
EXPIRE_JOB = "expire"
ROUNDS = 12


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What an unpaid order holds: enough to let it go without a read."""

    order_id: str
    campaign_id: str
    group_id: str
    member_id: str
    quantity: int
    head: bool
    taken: rules.Taken


class PartRefused(Exception):
    """The member has an unpaid order, or has reached a limit; ``row`` says which."""

    def __init__(self, row: Part) -> None:
        super().__init__(row.pk)
        self.row = row


class SeatTaken(Exception):
    """The member has a seat in this group."""

    def __init__(self, row: Seat) -> None:
        super().__init__(row.pk)
        self.row = row


class StockShort(Exception):
    """A shard has too few units."""


# --- the hold -----------------------------------------------------------------------------------------------


def held_ref(order: Order) -> str:
    """What a due entry says of an unpaid order, so that it can be let go without a read."""
    what = [order.order_id, order.campaign_id, order.member_id, order.quantity, order.head, order.taken]
    return json.dumps(what, separators=(",", ":"))


def held_by(order: Order) -> Held:
    """What an unpaid order holds."""
    return held_from(held_ref(order), group_id=order.group_id)


def held_in(seat: Seat) -> Held:
    """What the order of a seat holds while it is unpaid."""
    return Held(
        order_id=seat.order_id,
        campaign_id=seat.campaign_id,
        group_id=seat.group_id,
        member_id=seat.member_id,
        quantity=seat.quantity,
        head=seat.head,
        taken=seat.taken,
    )


def held_from(ref: str, *, group_id: str) -> Held:
    """What `held_ref` said."""
    order_id, campaign_id, member_id, quantity, head, taken = json.loads(ref)
    return Held(
        order_id=order_id,
        campaign_id=campaign_id,
        group_id=group_id,
        member_id=member_id,
        quantity=quantity,
        head=head,
        taken=taken,
    )


# --- the seat and the limits --------------------------------------------------------------------------------


def seat_of(order: Order, *, payment_id: str | None = None, now: int) -> Seat:
    """The seat that an order pays for: held until then, or confirmed at once by a payment that came late."""
    held = payment_id is None
    pk, sk = Seat.key(order.group_id, order.member_id)
    slot = due.slot(job=RELEASE_JOB, pk=pk, at=order.held_until, ref=held_ref(order))
    return Seat(
        pk,
        sk,
        state="held" if held else "confirmed",
        group_id=order.group_id,
        campaign_id=order.campaign_id,
        member_id=order.member_id,
        order_id=order.order_id,
        head=order.head,
        sku_id=order.sku_id,
        quantity=order.quantity,
        amount_fen=order.amount_fen,
        taken=order.taken,
        joined_at=now,
        held_until=order.held_until if held else None,
        paid_at=None if held else now,
        payment_id=payment_id,
        owner=f"{order.member_id}#groups",
        listed_at=f"{now:011d}#{order.group_id}",
        # The hold of a head is the hold of the group, which carries it.
        **(slot if held and not order.head else {}),
    )


def part_taken(campaign: Campaign, order: Order, *, head: bool, seen: str | None) -> Write:
    """The member's part grows, if they have no other unpaid order than ``seen`` and the limits leave room."""
    room = Part.units <= campaign.per_member_units - order.quantity
    if head:
        room &= Part.groups < campaign.per_member_groups
    idle = Part.order_id.does_not_exist() if seen is None else Part.order_id == seen
    actions = (Part.order_id.set(order.order_id), Part.units.add(order.quantity), Part.groups.add(int(head)))
    key = Part.key(campaign.campaign_id, order.member_id)
    when = Part.pk.does_not_exist() | (idle & room)
    return table.upsert(Part, key, *actions, when=when, refuse=PartRefused).but(natural=True)


def part_back(held: Held, *, refuse: Refusal) -> Write:
    """The member's part shrinks by an order that is let go unpaid."""
    let_go = (Part.order_id.remove(), Part.let_go.set(held.order_id))
    actions = (*let_go, Part.units.add(-held.quantity), Part.groups.add(-int(held.head)))
    mine = Part.order_id == held.order_id
    return table.update(Part, Part.key(held.campaign_id, held.member_id), *actions, when=mine, refuse=refuse)


# --- the stock ----------------------------------------------------------------------------------------------


def first_shard(campaign: Campaign, group: Group, order: Order) -> rules.Taken:
    """Where a seat's units come from at first: nowhere, when the group has them already."""
    if group.reserve == "group":
        return []
    return [[order.sku_id, rules.shard_for(order.order_id, campaign.stock_shards), order.quantity]]


def stock_taken(taken: rules.Taken, *, campaign_id: str, now: int, window: bool) -> list[Write]:
    """Units are taken from these shards, if each has enough; ``window``: and the campaign is on, and its time is.

    A pause, or the end of the campaign's time, stops opening and not joining.
    """
    writes = []
    for sku_id, k, units in taken:
        enough = Stock.left >= units
        if window:
            running = Stock.on == True  # noqa: E712 - pynamodb's comparison
            enough = enough & running & (Stock.starts_at <= now) & (Stock.ends_at > now)
        writes.append(
            table.update(
                Stock,
                Stock.key(campaign_id, sku_id, k),
                Stock.left.add(-units),
                when=enough,
                refuse=lambda row: campaigns.stock_refusal(row, now=now, window=window) or StockShort(),
            )
        )
    return writes


def stock_back(taken: Sequence[rules.Taken], *, campaign_id: str) -> list[Write]:
    """Units go back to the shards that they came from; this process remembers no more that there were too few."""
    back = rules.added_up(taken)
    for sku_id, _ in back:
        campaigns.short_of.forget((campaign_id, sku_id))
    return [
        table.update(Stock, Stock.key(campaign_id, sku_id, k), Stock.left.add(units), refuse=NotFound)
        for (sku_id, k), units in back.items()
    ]
