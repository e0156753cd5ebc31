"""HTTP for the mini-program: campaigns, groups, seats."""

import msgspec

from chalicelib.core import asking, cursors, doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call, Items, Reply
from chalicelib.groupbuys import answers, campaigns, ending, reading, refusals, service, settling
from chalicelib.groupbuys.schemas import (
    CampaignAnswer,
    CampaignList,
    CampaignsQuery,
    GroupAnswer,
    GroupList,
    JoinGroup,
    Left,
    MyGroup,
    MyGroupsQuery,
    OpenGroup,
    ProductOffers,
    Seated,
)
from chalicelib.orders.answers import order_answer
from chalicelib.orders.service import OrderOver, PaymentUnavailable

api = Api(__name__)
settle = settling.settle  # importing it tells orders where a group's payments go


@api.get("/v1/groupbuys", door=doors.PUBLIC)
def list_campaigns(call: Call, query: CampaignsQuery) -> CampaignList:
    """Campaigns that can be seen now, of a product if one is named, newest first."""
    rows = campaigns.visible(product_id=query.product_id, now=call.now)
    return CampaignList(items=[answers.campaign_answer(row, call) for row in rows], now=call.now)


@api.get("/v1/products/{product_id}/offers", door=doors.PUBLIC)
def list_offers(call: Call, product_id: str) -> ProductOffers:
    """What a product's page offers: its group-buys of now, with groups to join; none is no error."""
    rows = campaigns.visible(product_id=product_id, now=call.now)
    return ProductOffers(
        product_id=product_id, groupbuys=[answers.product_groupbuy(row, call) for row in rows], now=call.now
    )


@api.get("/v1/groupbuys/{campaign_id}", door=doors.PUBLIC, refuses=[NotFound])
def show_campaign(call: Call, campaign_id: str) -> CampaignAnswer:
    """One campaign."""
    return answers.campaign_answer(campaigns.find(campaign_id, now=call.now), call)


@api.get("/v1/groupbuys/{campaign_id}/groups", door=doors.PUBLIC, refuses=[NotFound])
def list_groups(call: Call, campaign_id: str) -> GroupList:
    """Groups that can be joined, nearest to full first."""
    campaigns.find(campaign_id, now=call.now)
    rows = reading.joinable(campaign_id, limit=20, now=call.now)
    return GroupList(items=[answers.joinable(row, call) for row in rows], now=call.now)


@api.post(
    "/v1/groupbuys/{campaign_id}/groups",
    door=doors.MEMBER,
    status=201,
    refuses=[
        NotFound,
        Invalid,
        campaigns.CampaignNotStarted,
        campaigns.CampaignOver,
        campaigns.CampaignPaused,
        refusals.LimitReached,
        refusals.OnlyJoining,
        refusals.SkuSoldOut,
    ],
)
def open_group(call: Call, campaign_id: str, body: OpenGroup) -> Reply[Seated]:
    """Open a group; an unpaid order in the campaign is answered again."""
    buying = _buying(call, body)
    seated = service.open_group(campaign_id=campaign_id, buying=buying, size=body.size, now=call.now)
    return _seated(seated, call)


@api.get("/v1/groups/{group_id}", door=doors.PUBLIC, refuses=[NotFound])
def show_group(call: Call, group_id: str) -> GroupAnswer:
    """A group's whole page in one call."""
    ask = asking.before("group_join", call)
    return msgspec.structs.replace(answers.group_answer(group_id, call), ask_subscriptions=ask)


@api.post(
    "/v1/groups/{group_id}/seats",
    door=doors.MEMBER,
    status=201,
    refuses=[
        NotFound,
        Invalid,
        refusals.GroupFull,
        refusals.GroupExpired,
        refusals.GroupNotOpen,
        refusals.NotNewMember,
        refusals.LimitReached,
        refusals.SkuSoldOut,
        refusals.PriceNotAsShown,
    ],
)
def join(call: Call, group_id: str, body: JoinGroup) -> Reply[Seated]:
    """Take a seat; seated already, the seat that is."""
    buying = _buying(call, body)
    shown = service.Shown(**msgspec.structs.asdict(body.shown)) if body.shown else None
    seated = service.join(group_id=group_id, buying=buying, shown=shown, now=call.now)
    return _seated(seated, call)


@api.delete(
    "/v1/groups/{group_id}/seats/me",
    door=doors.MEMBER,
    refuses=[NotFound, OrderOver, Busy, PaymentUnavailable],
)
def leave(call: Call, group_id: str) -> Left:
    """Give an unpaid seat back."""
    order_id = ending.leave(group_id=group_id, member_id=call.member_id, now=call.now)
    return Left(group_id=group_id, order_id=order_id, state="cancelled", now=call.now)


@api.get("/v1/me/groups", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_mine(call: Call, query: MyGroupsQuery) -> Items[MyGroup]:
    """My groups, newest first."""
    where = f"groups#{call.member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    items, following = answers.my_groups(call.member_id, limit=query.limit, after=after, now=call.now)
    return Items(items=items, next=cursors.seal(following, where=where, now=call.now), now=call.now)


def _buying(call: Call, body: OpenGroup | JoinGroup) -> service.Buying:
    return service.Buying(
        member_id=call.member_id, sku_id=body.sku_id, quantity=body.quantity, link=body.link
    )


def _seated(seated: service.Seated, call: Call) -> Reply[Seated]:
    answer = Seated(
        group=answers.seated_answer(seated, call),
        order=order_answer(seated.order, now=call.now),
    )
    return Reply(answer, 201 if seated.new else 200)
