"""The rules of opening and joining a group, and what every other file of this room builds its writes from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.core import due, ids, table
from chalicelib.core.clock import MINUTE
from chalicelib.core.config import settings
from chalicelib.core.errors import Busy, Conflict, Gone, Invalid, NotFound
from chalicelib.core.table import Refusal, Row, Write
from chalicelib.groupbuys import campaigns, rules
from chalicelib.groupbuys.campaigns import CampaignNotStarted, CampaignOver, CampaignPaused
from chalicelib.groupbuys.models import Campaign, Group, Part, Seat, Stock
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order

RELEASE_JOB = "release"
EXPIRE_JOB = "expire"
ROUNDS = 12
OFFERED = 3
CAMPAIGNS_LOOKED_AT = 100


class GroupFull(Conflict):
    """Every seat of the group is held or paid; ``joinable`` and ``can_open`` say what else there is."""

    code = "group_full"
    en = "This group is full."
    zh = "该团已满。"
    advice = "Offer `details.joinable`, or opening one's own group."


class GroupExpired(Gone):
    """The group is over; ``joinable`` and ``can_open`` say what else there is."""

    code = "group_expired"
    en = "This group is over."
    zh = "该团已结束。"
    advice = "Offer `details.joinable`, or opening one's own group."


class GroupNotOpen(Conflict):
    """The head has not paid yet."""

    code = "group_not_open"
    en = "This group is not open yet."
    zh = "团长尚未支付，暂不能参团。"
    advice = "Try again in a moment, or offer `details.joinable`."


class OnlyJoining(Conflict):
    """Too few units are left for a new group: one can only join, or open one of ``details.sizes``, if any."""

    code = "only_joining"
    en = "No new groups can be opened, but you can join one."
    zh = "库存已被占用，暂不能开团，可以参团。"
    advice = "Offer `details.joinable`."


class SkuSoldOut(Conflict):
    """Too little is left; ``left`` says how much, ``other_skus`` and ``sizes`` what there still is."""

    code = "sku_sold_out"
    en = "Sold out."
    zh = "已售罄。"
    advice = "Offer `details.other_skus` and `details.sizes`; units of groups that fail come back."


class LimitReached(Conflict):
    """The member has bought, or opened, as much as the campaign allows; ``details.limit`` says which."""

    code = "limit_reached"
    en = "You have reached the limit of this offer."
    zh = "已达到购买上限。"
    advice = "Show the limit and `details.mine`; who may open no more may join `details.joinable`."


class OrderInTheWay(Conflict):
    """The member has another unpaid order in the campaign, or a seat in the group by another order."""

    code = "order_in_the_way"
    en = "There is another order of this member in the way."
    zh = "该会员有另一笔订单未处理。"
    advice = "Pay or cancel `details.order_id` first."


class NotNewMember(Conflict):
    """Only people who became members after the campaign began may join; heads may be anybody (老带新)."""

    code = "not_new"
    en = "Only new members can join this group."
    zh = "仅限新会员参团。"
    advice = "Offer `details.joinable`, which takes everybody, or opening one's own group."


@dataclass(frozen=True, kw_only=True)
class Held:
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


class _OrderTaken(Exception):
    """The mall's order was seated before."""

    def __init__(self, row: Order) -> None:
        super().__init__(row.pk)
        self.row = row


class SeatTaken(Exception):
    """The member has a seat in this group."""

    def __init__(self, row: Seat) -> None:
        super().__init__(row.pk)
        self.row = row


class StockShort(Exception):
    """A shard has too few units."""


@dataclass(frozen=True, kw_only=True)
class Seated:
    """A group, the member's order in it, and whether this call made it."""

    group: Group
    order: Order
    new: bool


# --- opening ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Buying:
    """Who buys how much of what; ``mall_order_id`` when the mall made its order first, ``link`` that led here."""

    member_id: str
    sku_id: str | None
    quantity: int
    mall_order_id: str | None = None
    link: str | None = None


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
            return Seated(group=group, order=order, new=True)
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
    offer: dict[str, Any] = {"joinable": offered(campaign_id, now=now)}
    if isinstance(refused, LimitReached):
        offer["mine"] = in_campaign(campaign_id, buying.member_id)
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
        **due.slot(job=RELEASE_JOB, pk=pk, at=now + campaign.open_hold_s, ref=""),
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
    group.due_ref = held_ref(order)
    return [
        part_taken(campaign, order, head=True, seen=seen),
        table.create(group, refuse=Busy),
        table.create(seat_of(order, now=now), refuse=Busy),
        table.create(order, refuse=_OrderTaken),
        *stock_taken(taken, campaign_id=campaign.campaign_id, now=now, window=True),
    ]


# --- joining ------------------------------------------------------------------------------------------------


def join(*, group_id: str, buying: Buying, now: int) -> Seated:
    """Take a seat, held until it is paid; seated already, the seat that is.

    Raises:
        NotFound, GroupFull, GroupExpired, GroupNotOpen, NotNewMember, LimitReached, SkuSoldOut, Invalid,
        OrderInTheWay.
    """
    group = find(group_id)
    campaign = campaigns.find(group.campaign_id, now=now)
    try:
        return _join(group, campaign, buying, now=now)
    except (GroupFull, GroupExpired, GroupNotOpen, NotNewMember, LimitReached) as refused:
        return _of(buying, _seated_already(group, buying, refused, campaign=campaign, now=now))


def _join(group: Group, campaign: Campaign, buying: Buying, *, now: int) -> Seated:
    sku = rules.sku_of(campaign.product, buying.sku_id)
    _may_buy(campaign, buying.quantity)
    price_fen = group.prices[sku["sku_id"]]
    order = _new_order(campaign, group, sku, buying, price_fen=price_fen, head=False, now=now)
    seen: str | None = None
    taken = first_shard(campaign, group, order)
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
            taken = _elsewhere(campaign, sku["sku_id"], buying.quantity, head=False, now=now)
    raise Busy


def _repeated(order: Order, *, part_pk: str) -> Seated:
    """The mall's order was seated before: the same answer, if the same member bought in the same campaign."""
    if Part.key(order.campaign_id, order.member_id)[0] != part_pk:
        raise OrderInTheWay(order_id=order.order_id, group_id=order.group_id)
    return Seated(group=find(order.group_id), order=order, new=False)


def _of(buying: Buying, answer: Seated) -> Seated:
    """The seat or order that was there first; for the mall, only if it is for the same mall order."""
    if buying.mall_order_id and answer.order.mall_order_id != buying.mall_order_id:
        raise OrderInTheWay(order_id=answer.order.order_id, group_id=answer.order.group_id)
    return answer


def first_shard(campaign: Campaign, group: Group, order: Order) -> rules.Taken:
    """Where a seat's units come from at first: nowhere, when the group has them already."""
    if group.reserve == "group":
        return []
    return [[order.sku_id, rules.shard_for(order.order_id, campaign.stock_shards), order.quantity]]


def _may_join(group: Group, campaign: Campaign, member_id: str, *, now: int) -> None:
    if group.new_members_only and not is_new(member_id, campaign):
        raise NotNewMember
    refusal = why_not(group, now=now)
    if refusal is not None:
        raise refusal


def _may_still_join(group_id: str, *, now: int) -> None:
    """Before a join that met others is sent again: 64 for 4 seats then send 100 times, not 400."""
    refusal = why_not(find(group_id), now=now)
    if refusal is not None:
        raise refusal


def is_new(member_id: str, campaign: Campaign) -> bool:
    """Whether somebody became a member after the campaign began."""
    return members.show(member_id).registered_at >= campaign.starts_at


def why_not(group: Group | None, *, now: int) -> Exception | None:
    """Why nobody can join this group now, read off its row; None when somebody can."""
    if group is None or group.state == "lapsed":
        return NotFound()
    if group.state == "opening":
        return GroupNotOpen()
    if group.state == "filled" or (group.state == "open" and group.missing == 0):
        return GroupFull()
    if group.state != "open" or (group.expires_at or 0) <= now:
        return GroupExpired()
    return GroupFull() if group.free < 1 else None


def why_not_you(group: Group, campaign: Campaign, member_id: str | None, *, now: int) -> Exception | None:
    """Why this member cannot join, or nobody can; None when they can. A stranger is asked when they sign in."""
    refusal = why_not(group, now=now)
    if refusal is None and member_id is not None and group.new_members_only:
        return None if is_new(member_id, campaign) else NotNewMember()
    return refusal


def _seated_already(
    group: Group, buying: Buying, refused: Conflict | Gone, *, campaign: Campaign, now: int
) -> Seated:
    """A repeat is answered as the first time, even when the group is full or over by now."""
    seat = table.get(Seat, Seat.key(group.group_id, buying.member_id))
    if seat is not None:
        return Seated(group=group, order=orders.show(seat.order_id), new=False)
    if isinstance(refused, LimitReached):
        raise LimitReached(
            **refused.details, mine=in_campaign(campaign.campaign_id, buying.member_id)
        ) from refused
    anybody = isinstance(refused, NotNewMember)
    offer = {
        "joinable": offered(campaign.campaign_id, anybody=anybody, now=now),
        "can_open": campaigns.can_open(campaign, now=now),
    }
    raise type(refused)(**offer) from refused


def in_campaign(campaign_id: str, member_id: str) -> list[dict[str, str]]:
    """The member's own seats in a campaign, newest first, as a refusal shows them."""
    rows = mine(member_id, limit=50, after=None).rows
    seats = [row for row in rows if row.campaign_id == campaign_id][:OFFERED]
    groups = those([row.group_id for row in seats]) if seats else {}
    return [
        {
            "group_id": row.group_id,
            "order_id": row.order_id,
            "state": state_of(row, groups.get(row.group_id)),
        }
        for row in seats
    ]


def state_of(seat: Seat, group: Group | None) -> str:
    """A seat's state as people see it: a group that expired owes all who paid their money, in the same write."""
    given_back = seat.state == "confirmed" and group is not None and group.state == "expired"
    return "refunded" if given_back else seat.state or ""


def _joining(
    campaign: Campaign, group: Group, order: Order, taken: rules.Taken, *, seen: str | None, now: int
) -> list[Write]:
    order.taken = taken
    seat = table.update(
        Group,
        Group.key(group.group_id),
        Group.free.add(-1),
        when=(Group.free >= 1) & (Group.state == "open") & (Group.expires_at > now),
        refuse=lambda row: why_not(row, now=now) or Busy(),
    )
    return [
        part_taken(campaign, order, head=False, seen=seen),
        table.create(seat_of(order, now=now), refuse=SeatTaken),
        table.create(order, refuse=_OrderTaken),
        seat,
        *stock_taken(taken, campaign_id=campaign.campaign_id, now=now, window=False),
    ]


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
    return Seated(group=find(order.group_id), order=order, new=False)


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


def part_taken(campaign: Campaign, order: Order, *, head: bool, seen: str | None) -> Write:
    """The member's part grows, if they have no other unpaid order than ``seen`` and the limits leave room."""
    room = Part.units <= campaign.per_member_units - order.quantity
    if head:
        room &= Part.groups < campaign.per_member_groups
    idle = Part.order_id.does_not_exist() if seen is None else Part.order_id == seen
    actions = (Part.order_id.set(order.order_id), Part.units.add(order.quantity), Part.groups.add(int(head)))
    key = Part.key(campaign.campaign_id, order.member_id)
    when = Part.pk.does_not_exist() | (idle & room)
    return replace(table.upsert(Part, key, *actions, when=when, refuse=PartRefused), natural=True)


def part_back(held: Held, *, refuse: Refusal) -> Write:
    """The member's part shrinks by an order that is let go unpaid."""
    let_go = (Part.order_id.remove(), Part.let_go.set(held.order_id))
    actions = (*let_go, Part.units.add(-held.quantity), Part.groups.add(-int(held.head)))
    mine = Part.order_id == held.order_id
    return table.update(Part, Part.key(held.campaign_id, held.member_id), *actions, when=mine, refuse=refuse)


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


def held_ref(order: Order) -> str:
    """What a due entry says of an unpaid order, so that it can be let go without a read."""
    what = [order.order_id, order.campaign_id, order.member_id, order.quantity, order.head, order.taken]
    return json.dumps(what, separators=(",", ":"))


def held_by(order: Order) -> Held:
    """What an unpaid order holds."""
    return held_from(held_ref(order), group_id=order.group_id)


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
    joinable = offered(campaign.campaign_id, now=now) if head and whole else []
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


# --- reading ------------------------------------------------------------------------------------------------


def find(group_id: str) -> Group:
    """The group as it is now.

    Raises:
        NotFound: there is none.
    """
    group = table.get(Group, Group.key(group_id))
    if group is None:
        raise NotFound
    return group


def with_seats(group_id: str) -> tuple[Group, list[Seat]]:
    """The group and its seats, in the order in which they were taken, in one read.

    Raises:
        NotFound: there is none.
    """
    rows = table.query_all(Row, Group.key(group_id)[0])
    group = next((row for row in rows if isinstance(row, Group)), None)
    if group is None:
        raise NotFound
    return group, sorted((row for row in rows if isinstance(row, Seat)), key=lambda seat: seat.joined_at)


def joinable(campaign_id: str, *, limit: int, now: int) -> list[Group]:
    """Open groups with a free seat, nearest to full first."""
    entries, _ = table.index("rank", Row.board == board_of(campaign_id), limit=limit * 2)
    rows = table.get_many([(Group, (entry["pk"], entry["sk"])) for entry in entries]) if entries else []
    return [row for row in rows if row is not None and why_not(row, now=now) is None][:limit]


def offered(campaign_id: str, *, anybody: bool = False, now: int) -> list[dict[str, Any]]:
    """A few joinable groups, as a refusal offers them; ``anybody``: only those that take old members too."""
    rows = joinable(campaign_id, limit=OFFERED * 2 if anybody else OFFERED, now=now)
    return [
        {"group_id": row.group_id, "size": row.size, "missing": row.missing, "expires_at": row.expires_at}
        for row in rows
        if not (anybody and row.new_members_only)
    ][:OFFERED]


def board_of(campaign_id: str) -> str:
    """The partition of the rank index that holds a campaign's open groups."""
    return f"OPEN#{campaign_id}"


def ending_board_of(campaign_id: str) -> str:
    """The partition of the rank index that holds groups of a closed campaign until they have ended."""
    return f"ENDING#{campaign_id}"


def mine(member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """A member's seats, newest first."""
    return table.owned(f"{member_id}#groups", limit=limit, after=after)


def lately(member_id: str, *, now: int) -> list[Order]:
    """The member's newest order in each campaign that is seen, if it was made this minute and holds a seat, newest
    first: read consistently, for the index of their list may lag behind what they just did."""
    running = campaigns.visible(now=now)[:CAMPAIGNS_LOOKED_AT]
    parts = (
        table.get_many([(Part, Part.key(row.campaign_id, member_id)) for row in running]) if running else []
    )
    found = orders.those([part.order_id for part in parts if part is not None and part.order_id])
    seated = [order for order in found if order.state in ("pending", "paid")]
    fresh = [order for order in seated if order.created_at > now - MINUTE]
    return sorted(fresh, key=lambda order: order.created_at, reverse=True)


def those(group_ids: Sequence[str]) -> dict[str, Group]:
    """The groups of these ids as they are now, those that there are."""
    rows = table.get_all([(Group, Group.key(group_id)) for group_id in dict.fromkeys(group_ids)])
    return {row.group_id: row for row in rows if row is not None}
