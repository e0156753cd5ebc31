"""HTTP for the mini-program: offers, claims, a member's own coupons, quotes, the code for the shop."""

from chalicelib.core import asking, cursors, doors, limits
from chalicelib.core.errors import AppError, Invalid, NotFound
from chalicelib.core.http import Api, Call, Items, Listing, Reply
from chalicelib.coupons import (
    answers,
    codes,
    expiring,
    gifts,
    invites,
    packs,
    plans,
    service,
    templates,
    using,
)
from chalicelib.coupons.models import Coupon
from chalicelib.coupons.schemas import (
    Claimed,
    ClaimedMany,
    ClaimMany,
    CouponAnswer,
    GiftAnswer,
    Invites,
    MyCoupons,
    MyCouponsQuery,
    MyPack,
    Offers,
    OffersQuery,
    OpenPack,
    Outcome,
    PackAnswer,
    Plans,
    Quote,
    QuoteAnswer,
    ShopCode,
    UseCode,
)
from chalicelib.members import service as members
from chalicelib.safety import risk

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
    ask = asking.before("coupon_claim", call)
    return Offers(items=[answers.my_offer(row) for row in rows], ask_subscriptions=ask, now=call.now)


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
        risk.TooRisky,
    ],
)
def claim(call: Call, template_id: str) -> Reply[Claimed]:
    """Claim a coupon; where more than one may be claimed, a repeat is told by its Idempotency-Key."""
    _not_too_risky(call)
    made = service.claim(
        template_id=template_id, member_id=call.member_id, key=call.idempotency_key, now=call.now
    )
    return claimed(made.coupon, call, new=made.new)


@api.post("/v1/coupons/claims", door=doors.MEMBER, refuses=[risk.TooRisky])
def claim_many(call: Call, body: ClaimMany) -> ClaimedMany:
    """Claim several at one tap, each with its outcome."""
    _not_too_risky(call)
    made = service.claim_all(
        body.template_ids, member_id=call.member_id, key=call.idempotency_key, now=call.now
    )
    return ClaimedMany(items=[_outcome(one, became, call) for one, became in made], now=call.now)


def _not_too_risky(call: Call) -> None:
    risk.admit(lambda: members.writer(call.member_id, call.program_id, call.now), ip=call.ip, now=call.now)


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


# --- codes, gifts -------------------------------------------------------------------------------------------


@api.post(
    "/v1/coupons/codes",
    door=doors.MEMBER,
    status=201,
    a_minute=limits.TYPED_A_MINUTE,
    refuses=[
        NotFound,
        Invalid,
        codes.CodeUsed,
        codes.CodeOver,
        templates.CouponOff,
        templates.CouponSoldOut,
        codes.CodeOff,
    ],
)
def use_code(call: Call, body: UseCode) -> Reply[Claimed]:
    """Use a code in print."""
    made = codes.use(body.code, call.member_id, now=call.now)
    return claimed(made.coupon, call, new=made.new)


@api.post(
    "/v1/me/coupons/{coupon_id}/gifts", door=doors.MEMBER, status=201, refuses=[NotFound, gifts.NotGiftable]
)
def give(call: Call, coupon_id: str) -> Reply[GiftAnswer]:
    """Put a coupon on its way to a friend; on its way already, the same gift."""
    gift, new = gifts.give(call.member_id, coupon_id, now=call.now)
    return Reply(answers.gift_answer(gift, call), 201 if new else 200)


@api.delete("/v1/me/coupons/{coupon_id}/gifts", door=doors.MEMBER, refuses=[NotFound, gifts.GiftTaken])
def take_back(call: Call, coupon_id: str) -> CouponAnswer:
    """Keep a coupon after all, while no friend has taken it."""
    return answers.coupon_answer(gifts.take_back(call.member_id, coupon_id, now=call.now), now=call.now)


@api.get("/v1/gifts/{code}", door=doors.PUBLIC, refuses=[NotFound])
def show_gift(call: Call, code: str) -> GiftAnswer:
    """What a friend is given, before they take it."""
    return answers.gift_answer(gifts.find(code), call)


@api.post(
    "/v1/gifts/{code}/claims",
    door=doors.MEMBER,
    status=201,
    refuses=[NotFound, gifts.OwnGift, gifts.GiftTaken, gifts.GiftOver],
)
def accept(call: Call, code: str) -> Reply[Claimed]:
    """Take a gift; taken already by me, the same coupon."""
    made = gifts.accept(code, call.member_id, now=call.now)
    return claimed(made.coupon, call, new=made.new)


# --- packs, invitations -------------------------------------------------------------------------------------


@api.get("/v1/packs", door=doors.PUBLIC)
def list_plans(call: Call) -> Plans:
    """The share packs that are given now, with all of their terms."""
    rows = plans.running(now=call.now)
    return Plans(items=[answers.plan_answer(row, call) for row in rows], now=call.now)


@api.post(
    "/v1/packs",
    door=doors.MEMBER,
    status=201,
    refuses=[
        NotFound,
        plans.PlanNotOpen,
        packs.PackNeedsOrder,
        templates.CouponOff,
        templates.CouponSoldOut,
    ],
)
def open_pack(call: Call, body: OpenPack) -> Reply[PackAnswer]:
    """My pack to share; open already, the same pack."""
    opened = packs.open_pack(body.plan_id, call.member_id, order_id=body.order_id, now=call.now)
    return Reply(answers.pack_answer(opened.pack.pack_id, call), 201 if opened.new else 200)


@api.get("/v1/me/packs", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_packs(call: Call, query: Listing) -> Items[MyPack]:
    """My packs, newest first, those that are over too."""
    where = f"packs#{call.member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = packs.mine(call.member_id, limit=query.limit, after=after)
    items = [answers.my_pack(row) for row in page.rows]
    return Items(items=items, next=cursors.seal(page.next_key, where=where, now=call.now), now=call.now)


@api.get("/v1/packs/{pack_id}", door=doors.PUBLIC, refuses=[NotFound])
def show_pack(call: Call, pack_id: str) -> PackAnswer:
    """A pack's whole page in one call: terms, counts, outcomes."""
    return answers.pack_answer(pack_id, call)


@api.post(
    "/v1/packs/{pack_id}/pieces",
    door=doors.MEMBER,
    status=201,
    refuses=[NotFound, packs.OwnPack, packs.PackEmpty, packs.PackOver, service.NotEligible],
)
def take_piece(call: Call, pack_id: str) -> Reply[Claimed]:
    """Take the next piece; taken one already, the same coupon."""
    made = packs.take(pack_id, call.member_id, now=call.now)
    return claimed(made.coupon, call, new=made.new)


@api.get("/v1/invites", door=doors.PUBLIC)
def list_invites(call: Call) -> Invites:
    """What bringing new members brings now, and, signed in, how far I am."""
    session = call.caller.session
    row = invites.running(at=call.now, now=call.now)
    mine = session.member_id if session else None
    return Invites(items=[answers.invite_answer(row, mine, call)] if row else [], now=call.now)
