"""What people see of campaigns and groups: answers composed in one call, strangers' names masked."""

from collections.abc import Mapping, Sequence

from chalicelib.core.cache import Cache
from chalicelib.core.clock import DAY
from chalicelib.core.errors import NotFound
from chalicelib.core.http import Call
from chalicelib.core.money import yuan
from chalicelib.core.table import Raw
from chalicelib.groupbuys import campaigns, reading
from chalicelib.groupbuys.models import Campaign, Group, Seat
from chalicelib.groupbuys.schemas import (
    CampaignAnswer,
    GroupAnswer,
    JoinableGroup,
    MyGroup,
    Price,
    ProductGroupbuy,
    SeatAnswer,
    Share,
    SkuAnswer,
)
from chalicelib.groupbuys.service import Seated
from chalicelib.orders import service as orders
from chalicelib.orders.answers import order_answer
from chalicelib.orders.service import Order
from chalicelib.sharing import answers as sharing_answers
from chalicelib.sharing import rules as sharing
from chalicelib.sharing import service as links
from chalicelib.sharing.schemas import MintLink, Sharer, TargetRef

POLL_AFTER_S = 5
GOING_ON = ("opening", "open", "expiring")

_campaign_of: Cache[str] = Cache(for_s=DAY, size=5000)


def campaign_answer(row: Campaign, call: Call) -> CampaignAnswer:
    """A campaign as everybody may see it."""
    return CampaignAnswer(
        campaign_id=row.campaign_id,
        title=row.title,
        state=row.state or "",
        product_id=row.product["id"],
        product_title=row.product["title"],
        image_url=row.product.get("image_url"),
        skus=[_sku(sku) for sku in row.product["skus"]],
        mode=row.mode,
        sizes=row.sizes,
        new_members_only=row.new_members_only,
        max_units_per_seat=row.max_units_per_seat,
        per_member_units=row.per_member_units,
        per_member_groups=row.per_member_groups,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        group_lifetime_s=row.group_lifetime_s,
        fill_at_expiry_from=row.fill_at_expiry_from,
        now=call.now,
    )


def _sku(sku: Mapping[str, object]) -> SkuAnswer:
    prices = sku["prices"]
    assert isinstance(prices, list)
    head = sku.get("head_price_fen")
    return SkuAnswer(
        sku_id=str(sku["sku_id"]),
        title=str(sku["title"]),
        list_price_fen=int(str(sku["list_price_fen"])),
        head_price_fen=None if head is None else int(str(head)),
        prices=[Price(**price) for price in prices],
    )


def group_answer(group_id: str, call: Call) -> GroupAnswer:
    """A group's whole page: campaign, seats, my order, whether I can join, and what else there is."""
    group, seats = reading.with_seats(group_id)
    mine = _mine(seats, call)
    order = orders.find(mine.order_id) if mine else None
    return _page(group, seats, call, order=order, others=_others(group, call))


def seated_answer(seated: Seated, call: Call) -> GroupAnswer:
    """The same for who has a seat now: what they just wrote is not read again, and nothing else is offered while
    the group goes on."""
    group, seats = seated.group, seated.seats
    if seats is None:
        group, seats = reading.with_seats(group.group_id)
    others = [] if group.state in GOING_ON else _others(group, call)
    return _page(group, seats, call, order=seated.order, others=others)


def _others(group: Group, call: Call) -> list[Group]:
    rows = reading.joinable(group.campaign_id, limit=reading.OFFERED + 1, now=call.now)
    return [row for row in rows if row.group_id != group.group_id][: reading.OFFERED]


def _mine(seats: Sequence[Seat], call: Call) -> Seat | None:
    session = call.caller.session
    return next((seat for seat in seats if session and seat.member_id == session.member_id), None)


def _page(
    group: Group, seats: Sequence[Seat], call: Call, *, order: Order | None, others: Sequence[Group]
) -> GroupAnswer:
    campaign = campaigns.find(group.campaign_id, now=call.now)
    session, mine = call.caller.session, _mine(seats, call)
    reader = session.member_id if session is not None and mine is None else None
    refusal = reading.why_not_you(group, campaign, reader, now=call.now)
    return GroupAnswer(
        group_id=group.group_id,
        state=group.state or "",
        size=group.size,
        free=group.free,
        missing=group.missing,
        expires_at=group.expires_at,
        ended_at=group.ended_at,
        real_members=group.real_members,
        prices_fen=group.prices,
        steps=group.steps,
        campaign=campaign_answer(campaign, call),
        seats=_seats(group, seats, call),
        my_order=order_answer(order, now=call.now) if order and mine else None,
        can_join=refusal is None and mine is None,
        cannot_join_because=_because(refusal, mine),
        joinable=[joinable(row, call) for row in others],
        share_target={"kind": "group", "id": group.group_id},
        share=_share(mine, group, call) if mine is not None and group.state == "open" else None,
        poll_after_s=POLL_AFTER_S if group.state in GOING_ON else None,
        now=call.now,
    )


def _share(mine: Seat, group: Group, call: Call) -> Share | None:
    """Only who has a seat shares a group in earnest; a link for everybody who looks would fill their lists."""
    wanted = MintLink(target=TargetRef(kind="group", id=mine.group_id), channel="wechat")
    link = links.link_for(sharer_id=mine.member_id, wanted=wanted, now=call.now)
    if link is None:
        return None
    about = links.About.told(_told(group, now=call.now))
    card = links.card(link, about=about, now=call.now, lang=call.lang, open_names=True)
    return Share(code=link.code, card=card)


def _because(refusal: Exception | None, mine: Seat | None) -> str | None:
    if mine is not None:
        return "already_in"
    return getattr(refusal, "code", None) if refusal is not None else None


def _seats(group: Group, seats: Sequence[Seat], call: Call) -> list[SeatAnswer]:
    session = call.caller.session
    return [
        SeatAnswer(
            member=person(seat.member_id, call),
            head=seat.head,
            state=reading.state_of(seat, group),
            mine=session is not None and seat.member_id == session.member_id,
            joined_at=seat.joined_at,
        )
        for seat in seats
    ]


def my_groups(member_id: str, *, limit: int, after: Raw | None, now: int) -> tuple[list[MyGroup], Raw | None]:
    """A page of the member's groups, newest first; the first has what the list does not show yet."""
    page = reading.mine(member_id, limit=limit, after=after)
    known = {seat.group_id for seat in page.rows}
    lately = reading.lately(member_id, now=now) if after is None else []
    fresh = [one for one in lately if one.group_id not in known]
    had = [(one.group_id, one.order_id, one.head, one.created_at) for one in fresh]
    had += [(seat.group_id, seat.order_id, seat.head, seat.joined_at) for seat in page.rows]
    groups = reading.those([group_id for group_id, *_ in had]) if had else {}
    return [_my_group(groups[one[0]], *one[1:]) for one in had if one[0] in groups], page.next_key


def _my_group(group: Group, order_id: str, head: bool, joined_at: int) -> MyGroup:
    return MyGroup(
        group_id=group.group_id,
        state=group.state or "",
        size=group.size,
        missing=group.missing,
        expires_at=group.expires_at,
        order_id=order_id,
        head=head,
        joined_at=joined_at,
    )


def person(member_id: str, call: Call) -> Sharer:
    """Somebody's name and picture, masked for strangers."""
    return sharing_answers.person(member_id, call, open_names=call.caller.session is not None)


def joinable(row: Group, call: Call) -> JoinableGroup:
    """A group that can be joined."""
    return JoinableGroup(
        group_id=row.group_id,
        size=row.size,
        missing=row.missing,
        expires_at=row.expires_at or 0,
        head=person(row.head_id, call),
    )


def product_groupbuy(row: Campaign, call: Call) -> ProductGroupbuy:
    """A campaign on its product's page, with a few groups to join."""
    groups = reading.joinable(row.campaign_id, limit=reading.OFFERED, now=call.now)
    return ProductGroupbuy(
        campaign=campaign_answer(row, call),
        can_open=campaigns.can_open(row, now=call.now),
        joinable=[joinable(group, call) for group in groups],
    )


def describe(group_id: str, now: int) -> dict[str, str]:
    """What a shared group's card may show."""
    return _told(reading.find(group_id), now=now)


def _told(group: Group, *, now: int) -> dict[str, str]:
    campaign = campaigns.find(group.campaign_id, now=now)
    sku_id, lowest_fen = min(group.prices.items(), key=lambda one: one[1])
    listed = [sku["list_price_fen"] for sku in campaign.product["skus"] if sku["sku_id"] == sku_id]
    return {
        "title": campaign.product["title"],
        "image": campaign.product.get("image_url") or "",
        "price": yuan(lowest_fen),
        "price_fen": str(lowest_fen),
        **({"list_price_fen": str(listed[0])} if listed else {}),
        "seats_left": str(group.missing),
        "size": str(group.size),
    }


def part_of(group_id: str, now: int) -> str | None:
    """The campaign that a group belongs to for ever; None: there is no such group."""
    try:
        return _campaign_of.get(group_id, now=now, load=lambda: reading.find(group_id).campaign_id)
    except NotFound:
        return None


sharing.target_kind(
    "group",
    variables={"price", "seats_left", "size"},
    path="/pages/group/group?id={id}&link={link}",
    describe=describe,
    part_of=part_of,
)
