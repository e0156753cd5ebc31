"""HTTP for the mall's servers: points in its checkout."""

from chalicelib.core import doors, ledger
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.members import service as members
from chalicelib.points import checkout, service
from chalicelib.points.models import Checkout
from chalicelib.points.schemas import CheckoutAnswer, FreezePoints, ReleasePoints, SpendPoints

api = Api(__name__)


@api.post(
    "/v1/mall/points/freeze",
    door=doors.MALL,
    status=201,
    refuses=[
        Invalid,
        members.MemberBlocked,
        service.NotEnoughPoints,
        checkout.PointsOverShare,
        checkout.CheckoutDiffers,
    ],
)
def freeze(call: Call, body: FreezePoints) -> Reply[CheckoutAnswer]:
    """Take points out of a member's balance for an order, and say what they take off its price."""
    member = members.referred(body.member, now=call.now)
    row, new = checkout.freeze(body, member_id=member.member_id, now=call.now)
    return Reply(_answer(row, call), 201 if new else 200)


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
    row = checkout.release(body.mall_order_id, points=body.points, refund_id=body.refund_id, now=call.now)
    return _answer(row, call)


def _answer(row: Checkout, call: Call) -> CheckoutAnswer:
    state, returned = checkout.state_of(row)
    return CheckoutAnswer(
        mall_order_id=row.mall_order_id,
        member_id=row.member_id,
        state=state,
        points=row.points,
        discount_fen=row.discount_fen,
        returned=returned,
        held_until=row.held_until,
        balance=ledger.balance(owner=row.member_id, book=service.POINTS),
        now=call.now,
    )
