"""The rules of opening and joining a group; what was done before is answered as it was then."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pynamodb.expressions.condition import Condition

from chalicelib.core import due, ids, table
from chalicelib.core.config import settings
from chalicelib.core.errors import AppError, Busy, Conflict, Gone, Invalid
from chalicelib.core.table import Write
from chalicelib.groupbuys import campaigns, holding, reading, rules
from chalicelib.groupbuys.campaigns import CampaignNotStarted, CampaignOver, CampaignPaused
from chalicelib.groupbuys.holding import ROUNDS, PartRefused, SeatTaken, StockShort
from chalicelib.groupbuys.models import Campaign, Group, Part, Seat
from chalicelib.groupbuys.refusals import (
    GroupExpired,
    GroupFull,
    GroupNotOpen,
    LimitReached,
    NotNewMember,
    OnlyJoining,
    OrderInTheWay,
    PriceNotAsShown,
    SkuSoldOut,
)
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order


class _NotAsShown(Exception):
    """The group is another than the page showed."""


class _OrderTaken(Exception):
    """The mall's order was seated before."""

    def __init__(self, row: Order) -> None:
        super().__init__(row.pk)
        self.row = row


class Seated(msgspec.Struct, frozen=True, kw_only=True):
    """A group, the member's order in it, and whether this call made it; ``seats``: all that are taken, if known."""

    group: Group
    order: Order
    new: bool
    seats: Sequence[Seat] | None = None


class Buying(msgspec.Struct, frozen=True, kw_only=True):
    """Who buys how much of what; ``mall_order_id`` when the mall made its order first, ``link`` that led here."""

    member_id: str
    sku_id: str | None
    quantity: int
    mall_order_id: str | None = None
    link: str | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the page showed of a group: enough to join it without reading it first."""

    campaign_id: str
    size: int
    price_fen: int


# --- opening ------------------------------------------------------------------------------------------------


def open_group(*, campaign_id: str, buying: Buying, size: int | None, now: int) -> Seated:
    """Open a group: its units are taken, the head's seat is held until the head pays.

    A member with an unpaid order in the campaign gets that order again.

    Raises:
        NotFound, CampaignNotStarted, CampaignOver, CampaignPaused, Invalid, LimitReached, OnlyJoining, SkuSoldOut,
        OrderInTheWay.
    """
    try:
        return _open(campaign_id, buying, size=size, now=now)
    except (CampaignNotStarted, CampaignOver, CampaignPaused, LimitReached) as refused:
        return _of(buying, _opened_already(campaign_id, buying, refused, now=now))


def _open(campaign_id: str, buying: Buying, *, size: int | None, now: int) -> Seated:
    campaign = campaigns.open_now(campaign_id, now=now)
    sku = rules.sku_of(campaign.product, buying.sku_id)
    people = rules.size_of(campaign.sizes, size, mode=campaign.mode)
    _may_buy(campaign, buying.quantity)
    units = people if campaign.reserve == "group" else buying.quantity
    group, order = _new_group(campaign, sku, people, buying, now=now)
    seen: str | None = None
    taken: rules.Taken = [[sku["sku_id"], rules.shard_for(order.order_id, campaign.stock_shards), units]]
    for _ in range(ROUNDS):
        try:
            table.transact(_opening(campaign, group, order, taken, seen=seen, now=now))
            return Seated(group=group, order=order, new=True, seats=[holding.seat_of(order, now=now)])
        except PartRefused as refused:
            answer = _first_answer(buying, refused.row)
            if answer is not None:
                return _of(buying, answer)
            seen = _room_in(campaign, refused.row, buying.quantity, head=True)
        except _OrderTaken as first:
            return _repeated(first.row, part_pk=Part.key(campaign.campaign_id, buying.member_id)[0])
        except StockShort:
            taken = _elsewhere(campaign, sku["sku_id"], units, head=True, now=now)
    raise Busy


def _opened_already(campaign_id: str, buying: Buying, refused: Conflict | Gone, *, now: int) -> Seated:
    """A repeat is answered as the first time, even when nobody can open a group any more."""
    part = table.get(Part, Part.key(campaign_id, buying.member_id))
    answer = _first_answer(buying, part) if part is not None else None
    if answer is not None:
        return answer
    offer: dict[str, Any] = {"joinable": reading.offered(campaign_id, now=now)}
    if isinstance(refused, LimitReached):
        offer["mine"] = reading.in_campaign(campaign_id, buying.member_id)
        own = {one["group_id"] for one in offer["mine"]}
        offer["joinable"] = [one for one in offer["joinable"] if one["group_id"] not in own]
    raise type(refused)(**refused.details, **offer) from refused


def _new_group(
    campaign: Campaign, sku: Mapping[str, Any], people: int, buying: Buying, *, now: int
) -> tuple[Group, Order]:
    group_id = ids.ulid("grp", now=now, entropy=ids.entropy(now=now))
    prices = rules.promised(campaign.product, size=people, mode=campaign.mode)
    price_fen = sku.get("head_price_fen") or prices[sku["sku_id"]]
    pk, sk = Group.key(group_id)
    group = Group(
        pk,
        sk,
        state="opening",
        group_id=group_id,
        campaign_id=campaign.campaign_id,
        head_id=buying.member_id,
        size=people,
        free=people - 1,
        missing=people,
        prices=prices,
        steps=rules.steps(campaign.product) if campaign.mode == "ladder" else None,
        reserve=campaign.reserve,
        taken=[],
        new_members_only=campaign.new_members_only,
        late_payment=campaign.late_payment,
        fill_at_expiry_from=campaign.fill_at_expiry_from,
        opened_at=now,
        held_until=now + campaign.open_hold_s,
        lifetime_s=campaign.group_lifetime_s,
        **due.slot(job=holding.RELEASE_JOB, pk=pk, at=now + campaign.open_hold_s, ref=""),
    )
    return group, _new_order(campaign, group, sku, buying, price_fen=price_fen, head=True, now=now)


def _new_order(
    campaign: Campaign,
    group: Group,
    sku: Mapping[str, Any],
    buying: Buying,
    *,
    price_fen: int,
    head: bool,
    now: int,
) -> Order:
    order_id = ids.ulid("ord", now=now, entropy=ids.entropy(now=now))
    if buying.mall_order_id:
        order_id = orders.id_for_mall(buying.mall_order_id)
    return Order(
        *Order.key(order_id),
        state="pending",
        order_id=order_id,
        member_id=buying.member_id,
        purpose="group",
        gateway="mall" if buying.mall_order_id else settings().payment_gateway,
        mall_order_id=buying.mall_order_id,
        link=buying.link,
        campaign_id=campaign.campaign_id,
        group_id=group.group_id,
        sku_id=sku["sku_id"],
        quantity=buying.quantity,
        size=group.size,
        lifetime_s=campaign.group_lifetime_s,
        head=head,
        opened=head,
        taken=[],
        title=f"{campaign.product['title']} {sku['title']}",
        amount_fen=price_fen * buying.quantity,
        created_at=now,
        held_until=now + (campaign.open_hold_s if head else campaign.hold_s),
        **orders.listed(buying.member_id, order_id, now=now),
    )


def _opening(
    campaign: Campaign, group: Group, order: Order, taken: rules.Taken, *, seen: str | None, now: int
) -> list[Write]:
    order.taken = taken
    if group.reserve == "group":
        group.taken = taken
    group.due_ref = holding.held_ref(order)
    return [
        holding.part_taken(campaign, order, head=True, seen=seen),
        table.create(group, refuse=Busy),
        table.create(holding.seat_of(order, now=now), refuse=Busy),
        table.create(order, refuse=_OrderTaken),
        *holding.stock_taken(taken, campaign_id=campaign.campaign_id, now=now, window=True),
    ]


# --- joining ------------------------------------------------------------------------------------------------


def join(*, group_id: str, buying: Buying, shown: Shown | None = None, now: int) -> Seated:
    """Take a seat, held until it is paid; seated already, the seat that is.

    With what the page ``shown``, and if the group is so, it is one call; no other price than that is taken.

    Raises:
        NotFound, GroupFull, GroupExpired, GroupNotOpen, NotNewMember, LimitReached, SkuSoldOut, Invalid,
        OrderInTheWay, PriceNotAsShown.
    """
    at_once = _join_at_once(group_id, buying, shown, now=now) if shown is not None else None
    if at_once is not None:
        return at_once
    group = reading.find(group_id)
    campaign = campaigns.find(group.campaign_id, now=now)
    try:
        return _join(group, campaign, buying, shown=shown, now=now)
    except (GroupFull, GroupExpired, GroupNotOpen, NotNewMember, LimitReached, PriceNotAsShown) as refused:
        return _of(buying, _seated_already(group, buying, refused, campaign=campaign, now=now))


def _join_at_once(group_id: str, buying: Buying, shown: Shown, *, now: int) -> Seated | None:
    """A join in one call, if all is as the page showed it; None: the longer way tells what is not."""
    try:
        campaign = campaigns.find(shown.campaign_id, now=now)
        group = _as_shown(group_id, campaign, shown, now=now)
        order = _joiner_s_order(group, campaign, buying, shown=shown, now=now)
        taken = holding.first_shard(campaign, group, order)
        writes = _joining(campaign, group, order, taken, seen=None, as_shown=True, now=now)
        table.transact(writes, peek=lambda: _may_still_join(group_id, now=now))
    except (AppError, _NotAsShown, PartRefused, SeatTaken, _OrderTaken, StockShort):
        return None
    return Seated(group=group, order=order, new=True)


def _as_shown(group_id: str, campaign: Campaign, shown: Shown, *, now: int) -> Group:
    """The group as its campaign would open it today with the size that was shown; the write asks if it is so."""
    if campaign.new_members_only:
        raise _NotAsShown  # who is new has to be read
    size = rules.size_of(campaign.sizes, shown.size, mode=campaign.mode)
    return Group(
        *Group.key(group_id),
        state="open",
        group_id=group_id,
        campaign_id=campaign.campaign_id,
        size=size,
        prices=rules.promised(campaign.product, size=size, mode=campaign.mode),
        reserve=campaign.reserve,
        new_members_only=False,
    )


def _joiner_s_order(
    group: Group, campaign: Campaign, buying: Buying, *, shown: Shown | None, now: int
) -> Order:
    sku = rules.sku_of(campaign.product, buying.sku_id)
    _may_buy(campaign, buying.quantity)
    price_fen = group.prices[sku["sku_id"]]
    if shown is not None and shown.price_fen != price_fen:
        raise PriceNotAsShown(price_fen=price_fen)
    return _new_order(campaign, group, sku, buying, price_fen=price_fen, head=False, now=now)


def _join(group: Group, campaign: Campaign, buying: Buying, *, shown: Shown | None, now: int) -> Seated:
    order = _joiner_s_order(group, campaign, buying, shown=shown, now=now)
    seen: str | None = None
    taken = holding.first_shard(campaign, group, order)
    for _ in range(ROUNDS):
        try:
            _may_join(group, campaign, buying.member_id, now=now)
            writes = _joining(campaign, group, order, taken, seen=seen, now=now)
            table.transact(writes, peek=lambda: _may_still_join(group.group_id, now=now))
            return Seated(group=group, order=order, new=True)
        except PartRefused as refused:
            answer = _first_answer(buying, refused.row, group=group)
            if answer is not None:
                return _of(buying, answer)
            seen = _room_in(campaign, refused.row, buying.quantity, head=False)
        except _OrderTaken as first:
            return _repeated(first.row, part_pk=Part.key(campaign.campaign_id, buying.member_id)[0])
        except SeatTaken as first:
            return _of(buying, Seated(group=group, order=orders.show(first.row.order_id), new=False))
        except StockShort:
            taken = _elsewhere(campaign, order.sku_id, buying.quantity, head=False, now=now)
    raise Busy


def _repeated(order: Order, *, part_pk: str) -> Seated:
    """The mall's order was seated before: the same answer, if the same member bought in the same campaign."""
    if Part.key(order.campaign_id, order.member_id)[0] != part_pk:
        raise OrderInTheWay(order_id=order.order_id, group_id=order.group_id)
    return Seated(group=reading.find(order.group_id), order=order, new=False)


def _of(buying: Buying, answer: Seated) -> Seated:
    """The seat or order that was there first; for the mall, only if it is for the same mall order."""
    if buying.mall_order_id and answer.order.mall_order_id != buying.mall_order_id:
        raise OrderInTheWay(order_id=answer.order.order_id, group_id=answer.order.group_id)
    return answer


def _may_join(group: Group, campaign: Campaign, member_id: str, *, now: int) -> None:
    if group.new_members_only and not reading.is_new(member_id, campaign):
        raise NotNewMember
    refusal = reading.why_not(group, now=now)
    if refusal is not None:
        raise refusal


def _may_still_join(group_id: str, *, now: int) -> None:
    """Before a join that met others is sent again: 64 for 4 seats then send 100 times, not 400."""
    refusal = reading.why_not(reading.find(group_id), now=now)
    if refusal is not None:
        raise refusal


def _seated_already(
    group: Group, buying: Buying, refused: Conflict | Gone, *, campaign: Campaign, now: int
) -> Seated:
    """A repeat is answered as the first time, even when the group is full or over by now."""
    seat = table.get(Seat, Seat.key(group.group_id, buying.member_id))
    if seat is not None:
        return Seated(group=group, order=orders.show(seat.order_id), new=False)
    if isinstance(refused, LimitReached):
        raise LimitReached(
            **refused.details, mine=reading.in_campaign(campaign.campaign_id, buying.member_id)
        ) from refused
    anybody = isinstance(refused, NotNewMember)
    offer = {
        "joinable": reading.offered(campaign.campaign_id, anybody=anybody, now=now),
        "can_open": campaigns.can_open(campaign, now=now),
    }
    raise type(refused)(**refused.details, **offer) from refused


def _joining(
    campaign: Campaign,
    group: Group,
    order: Order,
    taken: rules.Taken,
    *,
    seen: str | None,
    as_shown: bool = False,
    now: int,
) -> list[Write]:
    order.taken = taken
    joinable = (Group.free >= 1) & (Group.state == "open") & (Group.expires_at > now)
    seat = table.update(
        Group,
        Group.key(group.group_id),
        Group.free.add(-1),
        when=joinable & _promise_of(group) if as_shown else joinable,
        refuse=lambda row: reading.why_not(row, now=now) or _NotAsShown(),
    )
    return [
        holding.part_taken(campaign, order, head=False, seen=seen),
        table.create(holding.seat_of(order, now=now), refuse=SeatTaken),
        table.create(order, refuse=_OrderTaken),
        seat,
        *holding.stock_taken(taken, campaign_id=campaign.campaign_id, now=now, window=False),
    ]


def _promise_of(group: Group) -> Condition:
    """What a seat hangs on of what the group was opened with; the rest no edit of a campaign changes."""
    promise: Condition = (
        (Group.campaign_id == group.campaign_id) & (Group.size == group.size) & (Group.prices == group.prices)
    )
    return promise


# --- what opening and joining share -------------------------------------------------------------------------


def _may_buy(campaign: Campaign, quantity: int) -> None:
    if quantity > campaign.max_units_per_seat:
        raise Invalid(field="quantity", reason="too many for one seat", at_most=campaign.max_units_per_seat)
    if quantity > campaign.per_member_units:
        raise LimitReached(limit="units", at_most=campaign.per_member_units)


def _first_answer(buying: Buying, part: Part, *, group: Group | None = None) -> Seated | None:
    """What this call has brought before: the mall's order, the seat in this group, else the unpaid order."""
    first = orders.find(orders.id_for_mall(buying.mall_order_id)) if buying.mall_order_id else None
    if first is not None:
        return _repeated(first, part_pk=part.pk)
    seat = table.get(Seat, Seat.key(group.group_id, buying.member_id)) if group is not None else None
    if group is not None and seat is not None:
        return Seated(group=group, order=orders.show(seat.order_id), new=False)
    return _unpaid(part)


def _unpaid(part: Part) -> Seated | None:
    """The member's unpaid order in the campaign, if there is one."""
    order = orders.find(part.order_id) if part.order_id else None
    if order is None or order.state != "pending":
        return None
    return Seated(group=reading.find(order.group_id), order=order, new=False)


def _room_in(campaign: Campaign, part: Part, quantity: int, *, head: bool) -> str | None:
    """The order that may be replaced as the newest, if the limits leave room.

    Raises:
        LimitReached: they do not.
    """
    if part.units > campaign.per_member_units - quantity:
        raise LimitReached(limit="units", at_most=campaign.per_member_units, used=part.units)
    if head and part.groups >= campaign.per_member_groups:
        raise LimitReached(limit="groups", at_most=campaign.per_member_groups, used=part.groups)
    return part.order_id


def _elsewhere(campaign: Campaign, sku_id: str, units: int, *, head: bool, now: int) -> rules.Taken:
    """Where else the units can come from, by one consistent look at all shards; too little is remembered for 2 s.

    Raises:
        OnlyJoining: nowhere, but there are open groups. SkuSoldOut: nowhere.
    """
    name = (campaign.campaign_id, sku_id)
    left = campaigns.short_of.peek(name, now=now)
    if left is None or rules.spread(left, units) is not None:
        left = campaigns.stock_left(campaign, sku_id)
        plan = rules.spread(left, units)
        if plan is not None:
            return [[sku_id, k, part] for k, part in plan]
        campaigns.short_of.put(name, left, now=now)
    raise _short(campaign, sku_id, left, head=head, now=now)


def _short(campaign: Campaign, sku_id: str, left: Mapping[int, int], *, head: bool, now: int) -> Conflict:
    """Too few units are left: what one can have instead."""
    whole = campaign.reserve == "group"
    possible = campaign.sizes if head and whole and campaign.mode == "fixed" else []
    sizes = [size for size in possible if rules.spread(left, size) is not None]
    joinable = reading.offered(campaign.campaign_id, now=now) if head and whole else []
    if joinable:
        return OnlyJoining(joinable=joinable, sizes=sizes)
    others = [sku["sku_id"] for sku in campaign.product["skus"] if sku["sku_id"] != sku_id]
    had = {other: sum(campaigns.stock_left(campaign, other).values()) for other in others}
    return SkuSoldOut(
        sku_id=sku_id,
        left=sum(left.values()),
        sizes=sizes,
        other_skus=[{"sku_id": other, "left": units} for other, units in had.items() if units],
    )
