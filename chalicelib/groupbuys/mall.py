"""HTTP for the mall's servers: seats for orders that the mall makes first."""

from typing import Annotated

import msgspec

from chalicelib.core import doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.groupbuys import answers, campaigns, reading, refusals, service, shelving, telling
from chalicelib.groupbuys.schemas import GroupAnswer, Size, Units
from chalicelib.members import service as members
from chalicelib.members.schemas import Id, MemberRef
from chalicelib.orders import service as orders
from chalicelib.orders.answers import order_answer
from chalicelib.orders.schemas import OrderAnswer

api = Api(__name__)
tell = telling.tell_filled  # importing it tells facts that the mall hears of groups
off_shelf = shelving.off_shelf  # importing it takes the mall's word that a product is sold no more
MallOrderId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]


class TakeSeat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A seat for an order of the mall: in ``group_id``, or in a new group."""

    member: MemberRef
    mall_order_id: MallOrderId
    sku_id: Id | None = None
    quantity: Units = 1
    group_id: Id | None = None
    size: Size | None = None


class MallSeat(msgspec.Struct, frozen=True, kw_only=True):
    """The seat, what it costs, and until when it is held."""

    group: GroupAnswer
    order: OrderAnswer
    price_fen: int
    held_until: int
    now: int


@api.post(
    "/v1/mall/groupbuys/{campaign_id}/seats",
    door=doors.MALL,
    status=201,
    refuses=[
        NotFound,
        Invalid,
        members.MemberBlocked,
        members.MemberLeaving,
        campaigns.CampaignNotStarted,
        campaigns.CampaignOver,
        campaigns.CampaignPaused,
        refusals.GroupFull,
        refusals.GroupExpired,
        refusals.GroupNotOpen,
        refusals.NotNewMember,
        refusals.LimitReached,
        refusals.OnlyJoining,
        refusals.OrderInTheWay,
        refusals.SkuSoldOut,
    ],
)
def take_seat(call: Call, campaign_id: str, body: TakeSeat) -> Reply[MallSeat]:
    """Mall first: a seat for an order that the mall has made; its number is the natural key."""
    member = members.referred(body.member, now=call.now)
    buying = service.Buying(
        member_id=member.member_id,
        sku_id=body.sku_id,
        quantity=body.quantity,
        mall_order_id=body.mall_order_id,
    )
    if body.group_id is None:
        seated = service.open_group(campaign_id=campaign_id, buying=buying, size=body.size, now=call.now)
    else:
        seated = _join(campaign_id, body.group_id, buying, now=call.now)
    answer = MallSeat(
        group=answers.seated_answer(seated, call),
        order=order_answer(seated.order, now=call.now),
        price_fen=seated.order.amount_fen,
        held_until=seated.order.held_until,
        now=call.now,
    )
    return Reply(answer, 201 if seated.new else 200)


def _join(campaign_id: str, group_id: str, buying: service.Buying, *, now: int) -> service.Seated:
    if reading.find(group_id).campaign_id != campaign_id:
        raise NotFound
    return service.join(group_id=group_id, buying=buying, now=now)


@api.delete("/v1/mall/seats/{mall_order_id}", door=doors.MALL, refuses=[NotFound, orders.OrderOver, Busy])
def give_seat_back(call: Call, mall_order_id: str) -> OrderAnswer:
    """The mall's unpaid order is over: its seat is free again."""
    order = orders.find_for_mall(mall_order_id)
    if order is None:
        raise NotFound
    return order_answer(orders.cancel(order, now=call.now), now=call.now)
