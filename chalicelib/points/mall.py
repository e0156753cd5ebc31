"""HTTP for the mall's servers: points in its checkout, and who a member is to the shop."""

from chalicelib.core import doors, ledger
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.members import service as members
from chalicelib.members.schemas import MemberRef
from chalicelib.points import checkout, levels, service
from chalicelib.points.answers import level_answer
from chalicelib.points.schemas import (
    BoundTo,
    CheckoutAnswer,
    FreezePoints,
    MallMember,
    ReleasePoints,
    SpendPoints,
)
from chalicelib.sharing import attribution

api = Api(__name__)


@api.post(
    "/v1/mall/points/freeze",
    door=doors.MALL,
    status=201,
    refuses=[
        Invalid,
        members.MemberBlocked,
        members.MemberLeaving,
        service.NotEnoughPoints,
        checkout.PointsOverShare,
        checkout.CheckoutDiffers,
        ledger.HoldOver,
    ],
)
def freeze(call: Call, body: FreezePoints) -> Reply[CheckoutAnswer]:
    """Take points out of a member's balance for an order, and say what they take off its price."""
    member = members.referred(body.member, now=call.now)
    standing, new = checkout.freeze(body, member_id=member.member_id, now=call.now)
    return Reply(_answer(standing, call), 201 if new else 200)


@api.post(
    "/v1/mall/points/spend",
    door=doors.MALL,
    refuses=[NotFound, service.NotEnoughPoints, ledger.HoldOver, Busy],
)
def spend(call: Call, body: SpendPoints) -> CheckoutAnswer:
    """The order is paid, and its points are spent."""
    return _answer(checkout.spend(body.mall_order_id, now=call.now), call)


@api.post("/v1/mall/points/release", door=doors.MALL, refuses=[NotFound, Invalid, ledger.OverReversed, Busy])
def release(call: Call, body: ReleasePoints) -> CheckoutAnswer:
    """The order is given up or refunded, and its points come back."""
    points, refund_id = body.points, body.refund_id
    standing = checkout.release(body.mall_order_id, points=points, refund_id=refund_id, now=call.now)
    return _answer(standing, call)


def _answer(standing: checkout.Standing, call: Call) -> CheckoutAnswer:
    row = standing.row
    return CheckoutAnswer(
        mall_order_id=row.mall_order_id,
        member_id=row.member_id,
        state=standing.state,
        points=row.points,
        discount_fen=row.discount_fen,
        returned=standing.returned,
        held_until=row.held_until,
        balance=ledger.balance(owner=row.member_id, book=service.POINTS),
        now=call.now,
    )


@api.get("/v1/mall/members/{ref}", door=doors.MALL, refuses=[NotFound, Invalid])
def show_member(call: Call, ref: str, query: MemberRef) -> MallMember:
    """Who a member is: level, perks, tags, points, and who brought them.

    ``ref`` is our id, or the mall's own; or ``-``, and the query names them as a body of the mall does.
    """
    member = _referred(ref, query)
    points = service.standing(member.member_id, now=call.now)
    level = levels.standing(member.member_id, now=call.now)
    return MallMember(
        member_id=member.member_id,
        external_ids=members.external_ids(member.member_id),
        state=member.state or "",
        registered_at=member.registered_at,
        level=level_answer(level.number, level.level),
        growth=level.growth,
        tags=sorted(member.tags or ()),
        balance=points.balance,
        frozen=points.frozen,
        debt=points.debt,
        binding=_bound_to(member.member_id, now=call.now),
        now=call.now,
    )


def _bound_to(member_id: str, *, now: int) -> BoundTo | None:
    bound = attribution.binding(member_id, now=now)
    if bound is None:
        return None
    return BoundTo(promoter_id=bound.promoter_id, link=bound.link, bound_at=bound.bound_at)


def _referred(ref: str, query: MemberRef) -> members.Member:
    if ref == "-" and query == MemberRef():
        raise NotFound
    if ref == "-":
        return members.find(proof=members.proofs_of(query)[0])
    if ref.startswith("mbr_"):
        return members.survivor(ref)
    return members.find(proof=members.proofs_of(MemberRef(external_id=ref))[0])
