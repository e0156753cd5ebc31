"""HTTP for the mini-program: offers, claims, a member's own coupons, quotes, the code for the shop."""

from chalicelib.core import cursors, doors
from chalicelib.core.errors import AppError, Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.coupons import answers, expiring, service, templates, using
from chalicelib.coupons.models import Coupon
from chalicelib.coupons.schemas import (
    Claimed,
    ClaimedMany,
    ClaimMany,
    MyCoupons,
    MyCouponsQuery,
    Offers,
    OffersQuery,
    Outcome,
    Quote,
    QuoteAnswer,
    ShopCode,
)

api = Api(__name__)
do_due = expiring.do_due  # importing it tells the jobs what to do


@api.get("/v1/coupons", door=doors.PUBLIC)
def list_offers(call: Call, query: OffersQuery) -> Offers:
    """What can be claimed, on this product if one is named; signed in, whether I can, and why not."""
    session = call.caller.session
    categories = [query.category_id] if query.category_id else []
    rows = service.offers(
        member_id=session.member_id if session else None,
        product=(query.product_id, categories) if query.product_id else None,
        now=call.now,
    )
    return Offers(items=[answers.my_offer(row) for row in rows], now=call.now)


@api.post(
    "/v1/coupons/{template_id}/claims",
    door=doors.MEMBER,
    status=201,
    refuses=[
        NotFound,
        templates.CouponNotStarted,
        templates.CouponClaimOver,
        templates.CouponOff,
        templates.CouponSoldOut,
        service.CouponLimitReached,
        service.NotEligible,
    ],
)
def claim(call: Call, template_id: str) -> Reply[Claimed]:
    """Claim a coupon; where more than one may be claimed, a repeat is told by its Idempotency-Key."""
    made = service.claim(
        template_id=template_id, member_id=call.member_id, key=call.idempotency_key, now=call.now
    )
    return claimed(made.coupon, call, new=made.new)


@api.post("/v1/coupons/claims", door=doors.MEMBER)
def claim_many(call: Call, body: ClaimMany) -> ClaimedMany:
    """Claim several at one tap, each with its outcome."""
    made = service.claim_all(
        body.template_ids, member_id=call.member_id, key=call.idempotency_key, now=call.now
    )
    return ClaimedMany(items=[_outcome(one, became, call) for one, became in made], now=call.now)


def _outcome(template_id: str, became: service.Claim | AppError, call: Call) -> Outcome:
    if isinstance(became, AppError):
        return Outcome(template_id=template_id, coupon=None, error=answers.refusal(became, call))
    coupon = answers.coupon_answer(became.coupon, now=call.now)
    return Outcome(template_id=template_id, coupon=coupon, error=None)


@api.get("/v1/me/coupons", door=doors.MEMBER, refuses=[cursors.CursorInvalid, Invalid])
def list_mine(call: Call, query: MyCouponsQuery) -> MyCoupons:
    """My coupons, newest first, and how many of each status; what was just won is among them."""
    everything = service.all_of(call.member_id)
    where = f"coupons#{call.member_id}#{query.status or ''}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    rows = [one for one in everything if query.status in (None, service.state_of(one, now=call.now))]
    if after is not None:
        rows = [one for one in rows if service.order_of(one) < (after["at"], after["id"])]
    page, more = rows[: query.limit], len(rows) > query.limit
    last = {"at": page[-1].claimed_at, "id": page[-1].coupon_id} if more else None
    return MyCoupons(
        items=answers.coupon_answers(page, now=call.now),
        next=cursors.seal(last, where=where, now=call.now),
        counts=service.counts(everything, now=call.now),
        now=call.now,
    )


@api.get(
    "/v1/me/coupons/{coupon_id}/code",
    door=doors.MEMBER,
    refuses=[NotFound, using.CouponInUse, using.CouponNotApplicable],
)
def show_code(call: Call, coupon_id: str) -> ShopCode:
    """What the shop scans; it changes each minute."""
    code, changes_at = using.shop_code(call.member_id, coupon_id, now=call.now)
    return ShopCode(code=code, changes_at=changes_at, now=call.now)


@api.post("/v1/coupons/quote", door=doors.MEMBER)
def quote(call: Call, body: Quote) -> QuoteAnswer:
    """Which of my coupons apply to a basket, why the others do not, and the best combination."""
    return answers.quote_answer(call.member_id, answers.basket_of(body.lines, body.freight_fen), call)


def claimed(coupon: Coupon, call: Call, *, new: bool) -> Reply[Claimed]:
    """A coupon that is now the member's, by whatever way."""
    answer = Claimed(coupon=answers.coupon_answer(coupon, now=call.now), now=call.now)
    return Reply(answer, 201 if new else 200)
