"""HTTP for the mall's servers: what coupons save on an order, and holding, using, returning them."""

from chalicelib.core import doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.coupons import answers, packs, plans, templates, using
from chalicelib.coupons.schemas import (
    LockAnswer,
    MallLock,
    MallOpenPack,
    MallOrderRef,
    MallQuote,
    PackAnswer,
    QuoteAnswer,
)
from chalicelib.members import service as members

api = Api(__name__)


@api.post(
    "/v1/mall/coupons/quote", door=doors.MALL, refuses=[Invalid, members.MemberBlocked, members.MemberLeaving]
)
def quote(call: Call, body: MallQuote) -> QuoteAnswer:
    """Which of a member's coupons apply to a basket, and the best combination."""
    member = members.referred(body.member, now=call.now)
    return answers.quote_answer(member.member_id, answers.basket_of(body.lines, body.freight_fen), call)


@api.post(
    "/v1/mall/coupons/lock",
    door=doors.MALL,
    status=201,
    refuses=[
        NotFound,
        Invalid,
        Busy,
        members.MemberBlocked,
        members.MemberLeaving,
        using.CouponInUse,
        using.CouponNotApplicable,
        using.CouponsNotCombinable,
        using.OrderHasCoupons,
    ],
)
def lock(call: Call, body: MallLock) -> Reply[LockAnswer]:
    """Hold coupons for an order, all of them or none, with what comes off each line; the same again, the same."""
    if len(set(body.coupon_ids)) != len(body.coupon_ids):
        raise Invalid(field="coupon_ids", reason="a coupon stands twice")
    member = members.referred(body.member, now=call.now)
    wanted = using.Locking(
        order_ref=body.mall_order_id,
        member_id=member.member_id,
        coupon_ids=tuple(body.coupon_ids),
        basket=answers.basket_of(body.lines, body.freight_fen),
        lock_s=body.lock_s,
    )
    row, new = using.lock(wanted, now=call.now)
    return Reply(answers.lock_answer(row, now=call.now), 201 if new else 200)


@api.post("/v1/mall/coupons/redeem", door=doors.MALL, refuses=[NotFound, Busy, using.WrongLockState])
def redeem(call: Call, body: MallOrderRef) -> LockAnswer:
    """The order is paid: its coupons are used; also after their own time, as long as the lock lasts."""
    return answers.lock_answer(using.redeem(body.mall_order_id, now=call.now), now=call.now)


@api.post("/v1/mall/coupons/release", door=doors.MALL, refuses=[NotFound, Busy, using.WrongLockState])
def release(call: Call, body: MallOrderRef) -> LockAnswer:
    """The order is off before it was paid: its coupons are unused again, or expired."""
    return answers.lock_answer(using.release(body.mall_order_id, now=call.now), now=call.now)


@api.post("/v1/mall/coupons/return", door=doors.MALL, refuses=[NotFound, Busy, using.WrongLockState])
def bring_back(call: Call, body: MallOrderRef) -> LockAnswer:
    """The order was cancelled or refunded: once, the coupons it used are unused again, or expired."""
    return answers.lock_answer(using.bring_back(body.mall_order_id, now=call.now), now=call.now)


@api.post(
    "/v1/mall/packs",
    door=doors.MALL,
    status=201,
    refuses=[
        NotFound,
        Invalid,
        members.MemberBlocked,
        members.MemberLeaving,
        plans.PlanNotOpen,
        templates.CouponOff,
        templates.CouponSoldOut,
    ],
)
def open_pack(call: Call, body: MallOpenPack) -> Reply[PackAnswer]:
    """A share pack for a member who has paid an order of the mall; open already, the same pack."""
    plans.find(body.plan_id, now=call.now)
    member = members.referred(body.member, now=call.now)
    opened = packs.open_pack(
        body.plan_id, member.member_id, order_id=body.mall_order_id, vouched=True, now=call.now
    )
    return Reply(answers.pack_answer(opened.pack.pack_id, call), 201 if opened.new else 200)
