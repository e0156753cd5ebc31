"""What people and the mall see of coupons."""

from collections.abc import Sequence
from typing import Any

import msgspec

from chalicelib.core.errors import AppError
from chalicelib.core.http import Call
from chalicelib.core.money import yuan
from chalicelib.coupons import gifts, invites, packs, quoting, rules, service, templates
from chalicelib.coupons.models import Coupon, Gift, Invite, Lock, Pack, Piece, Plan, Template, Terms
from chalicelib.coupons.schemas import (
    AdminInvite,
    Best,
    CouponAnswer,
    GiftAnswer,
    InviteAnswer,
    LineBody,
    LockAnswer,
    MyOffer,
    MyPack,
    Offer,
    PackAnswer,
    PieceAnswer,
    PlanAnswer,
    QuoteAnswer,
    Quoted,
    Refusal,
    Window,
)
from chalicelib.members import service as members
from chalicelib.members.rules import masked
from chalicelib.sharing import rules as sharing

_WORDS = {
    "not_in_scope": ("Nothing in the basket is meant.", "购物车中没有适用商品。"),
    "below_threshold": ("The basket is below the threshold.", "未达到使用门槛。"),
    "saves_nothing": ("It would save nothing here.", "在此订单中无优惠。"),
    "in_use": ("It is held for another order.", "已被其他订单占用。"),
    "not_valid_yet": ("It cannot be used yet.", "未到使用时间。"),
    "expired": ("Its time is over.", "已过期。"),
    "not_best": ("Another combination saves more.", "其他组合更优惠。"),
}


def coupon_answers(coupons: Sequence[Coupon], *, now: int) -> list[CouponAnswer]:
    """Coupons under the terms they were claimed under; the terms are read once and for ever."""
    terms = service.terms_for(coupons, now=now)
    return [_coupon(one, *terms[one.coupon_id], now=now) for one in coupons]


def coupon_answer(coupon: Coupon, *, now: int) -> CouponAnswer:
    """One coupon."""
    return coupon_answers([coupon], now=now)[0]


def _coupon(coupon: Coupon, version: Terms, terms: rules.Terms, *, now: int) -> CouponAnswer:
    return CouponAnswer(
        coupon_id=coupon.coupon_id,
        template_id=coupon.template_id,
        title=version.title,
        state=service.state_of(coupon, now=now),
        usable=service.usable(coupon, now=now),
        source=coupon.source,
        claimed_at=coupon.claimed_at,
        starts_at=coupon.starts_at,
        ends_at=coupon.ends_at,
        giftable=coupon.giftable,
        order_ref=coupon.order_ref,
        locked_until=coupon.locked_until,
        used_at=coupon.used_at,
        gift_code=coupon.gift_code if coupon.state == "gifting" else None,
        now=now,
        **worth(terms),
    )


def worth(terms: rules.Terms) -> dict[str, Any]:
    """What a coupon is worth, in words of the API."""
    names = ("kind", "value_fen", "percent_bps", "cap_fen", "threshold_fen", "scope", "exclusive", "group")
    return {name: getattr(terms, name) for name in names}


def offer(template: Template) -> Offer:
    """A template as anybody may know it."""
    return Offer(**offer_fields(template))


def offer_fields(template: Template) -> dict[str, Any]:
    """The fields of an offer."""
    return {
        "template_id": template.template_id,
        "title": template.title,
        "claim": Window(starts_at=template.claim_from, ends_at=template.claim_until),
        "validity": template.validity,
        "per_member": template.per_member,
        "per_member_daily": template.per_member_daily,
        "giftable": template.giftable,
        **worth(rules.Terms(**template.terms)),
    }


def my_offer(offered: service.Offered) -> MyOffer:
    """A template, and whether this member can claim it."""
    told = {"status": offered.status, "why": offered.why, "claimed": offered.claimed}
    return MyOffer(**{**offer_fields(offered.template), **told})


def refusal(error: AppError, call: Call) -> Refusal:
    """An error inside an answer."""
    return Refusal(code=error.code, message=error.message(call.lang), details=error.details)


def why_not(why: rules.WhyNot, call: Call) -> Refusal:
    """Why a coupon does not apply."""
    en, zh = _WORDS[why.code]
    return Refusal(code=why.code, message=zh if call.lang == "zh" else en, details=dict(why.details))


def basket_of(lines: Sequence[LineBody], freight_fen: int) -> rules.Basket:
    """A basket as the rules weigh it."""
    return rules.Basket(
        lines=tuple(
            rules.Line(
                product_id=line.product_id,
                category_ids=tuple(line.category_ids),
                price_fen=line.price_fen,
                quantity=line.quantity,
            )
            for line in lines
        ),
        freight_fen=freight_fen,
    )


def quote_answer(member_id: str, basket: rules.Basket, call: Call) -> QuoteAnswer:
    """Each coupon of a member on a basket, and the best combination."""
    weighed, chosen = quoting.quote(member_id, basket, now=call.now)
    savings = rules.together([one.saving for one in chosen], basket)
    ids = [one.coupon_id for one in chosen]
    shown = coupon_answers([one.coupon for one in weighed], now=call.now)
    lines = range(len(basket.lines))
    return QuoteAnswer(
        items=[_quoted(one, answer, ids, call) for one, answer in zip(weighed, shown, strict=True)],
        best=Best(
            coupon_ids=ids,
            discount_fen=sum(one.fen for one in savings),
            per_line=[sum(one.per_line[at] for one in savings) for at in lines],
            freight_fen=sum(one.freight_fen for one in savings),
        ),
        now=call.now,
    )


def _quoted(one: quoting.Weighed, coupon: CouponAnswer, best: Sequence[str], call: Call) -> Quoted:
    if one.option is None:
        assert one.why_not is not None
        return Quoted(coupon=coupon, applies=False, saves_fen=0, why_not=why_not(one.why_not, call))
    not_best = None if coupon.coupon_id in best else why_not(rules.WhyNot(code="not_best"), call)
    return Quoted(coupon=coupon, applies=True, saves_fen=one.option.saving.fen, why_not=not_best)


def lock_answer(row: Lock, *, now: int) -> LockAnswer:
    """The coupons of an order."""
    return LockAnswer(
        mall_order_id=row.order_ref,
        state=row.state or "",
        member_id=row.member_id,
        coupon_ids=row.coupon_ids,
        per_coupon=row.per_coupon,
        per_line=row.per_line,
        freight_fen=row.freight_fen,
        discount_fen=row.discount_fen,
        locked_until=row.locked_until,
        now=now,
    )


# --- gifts, packs, invitations ------------------------------------------------------------------------------


def _name(member_id: str, call: Call) -> str:
    profile = members.profile(member_id, now=call.now)
    return masked(profile.nickname if profile else None, lang=call.lang)


def gift_answer(gift: Gift, call: Call) -> GiftAnswer:
    """A coupon on its way to a friend."""
    coupon = coupon_answer(service.own(gift.giver_id, gift.coupon_id), now=call.now)
    # Who holds an old code learns nothing of what its giver did with the coupon since.
    shown = msgspec.structs.replace(
        coupon,
        state="gifting" if gift.state == "open" else "gone",
        usable=False,
        gift_code=None,
        order_ref=None,
        locked_until=None,
        used_at=None,
    )
    return GiftAnswer(
        code=gift.code,
        state=gift.state or "",
        giver=_name(gift.giver_id, call),
        coupon=shown,
        given_at=gift.given_at,
        ends_at=gift.ends_at,
        now=call.now,
    )


def plan_answer(row: Plan, call: Call) -> PlanAnswer:
    """A plan with all of its terms."""
    own = row.sharer_template_id
    return PlanAnswer(
        plan_id=row.plan_id,
        title=row.title,
        state=row.state or "",
        after=row.after,
        pieces=row.pieces,
        amounts=row.amounts,
        new_friends_only=row.new_friends_only,
        friends=offer(templates.find(row.template_id, now=call.now)),
        sharer=offer(templates.find(own, now=call.now)) if own else None,
        sharer_after_new=row.sharer_after_new,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        open_for_s=row.open_for_s,
        now=call.now,
    )


def pack_answer(pack_id: str, call: Call) -> PackAnswer:
    """A pack's whole page."""
    pack, pieces = packs.show(pack_id)
    session = call.caller.session
    reader = session.member_id if session else None
    refusal = _why_no_piece(pack, pieces, reader, call)
    return PackAnswer(
        pack_id=pack.pack_id,
        plan_id=pack.plan_id,
        title=pack.title,
        state=pack.state or "",
        sharer=_name(pack.sharer_id, call),
        mine=reader == pack.sharer_id,
        friends=offer(templates.find(pack.template_id, now=call.now)),
        pieces=pack.pieces,
        amounts=pack.amounts,
        left=pack.left,
        new_friends_only=pack.new_friends_only,
        new_missing=pack.new_missing,
        sharer_coupon_id=pack.sharer_coupon_id if reader == pack.sharer_id else None,
        taken=[_piece(one, call) for one in pieces],
        can_take=refusal is None,
        why_not=refusal,
        opened_at=pack.opened_at,
        ends_at=pack.ends_at,
        now=call.now,
    )


def _piece(piece: Piece, call: Call) -> PieceAnswer:
    return PieceAnswer(
        n=piece.n,
        friend=_name(piece.member_id, call),
        value_fen=piece.value_fen,
        new=piece.new,
        taken_at=piece.taken_at,
    )


def my_pack(row: Pack) -> MyPack:
    """A pack in its sharer's list."""
    return MyPack(**{name: getattr(row, name) for name in MyPack.__struct_fields__})


def _why_no_piece(pack: Pack, pieces: Sequence[Piece], reader: str | None, call: Call) -> Refusal | None:
    """Why the reader cannot take a piece; a stranger may, once they have signed in."""
    if any(one.member_id == reader for one in pieces):
        en, zh = "You have taken a piece.", "你已领取。"
        return Refusal(code="already_taken", message=zh if call.lang == "zh" else en, details={})
    new = reader is None or members.show(reader).registered_at >= pack.opened_at
    refused = packs.why_not(pack, reader or "", new=new, now=call.now)
    return refusal(refused, call) if refused is not None else None


def invite_answer(row: Invite, member_id: str | None, call: Call) -> InviteAnswer:
    """The terms of inviting, and how far somebody is."""
    mine = invites.brought(row.plan_id, member_id or "")
    full = mine.n // row.every >= row.times
    return InviteAnswer(
        **_invite_fields(row, call),
        brought=mine.n,
        won=mine.won,
        missed=mine.missed,
        missing=0 if full else row.every - mine.n % row.every,
        now=call.now,
    )


def admin_invite(row: Invite, call: Call) -> AdminInvite:
    """The terms of inviting, and whether they count."""
    counting = invites.running(at=call.now, now=call.now)
    return AdminInvite(
        **_invite_fields(row, call),
        state=row.state or "",
        counts=counting is not None and counting.plan_id == row.plan_id,
        created_at=row.created_at,
        now=call.now,
    )


def _invite_fields(row: Invite, call: Call) -> dict[str, Any]:
    friend = row.friend_template_id
    names = ("plan_id", "title", "every", "times", "starts_at", "ends_at")
    return {
        **{name: getattr(row, name) for name in names},
        "sharer": offer(templates.find(row.sharer_template_id, now=call.now)),
        "friend": offer(templates.find(friend, now=call.now)) if friend else None,
    }


# --- what can be shared -------------------------------------------------------------------------------------


def _described(title: str, terms: dict[str, Any]) -> dict[str, str]:
    return {"title": title, "value": yuan(terms["value_fen"]), "threshold": yuan(terms["threshold_fen"])}


def describe_template(template_id: str, now: int) -> dict[str, str]:
    """What a shared coupon's card may show."""
    template = templates.find(template_id, now=now)
    return _described(template.title, template.terms)


def describe_gift(code: str, now: int) -> dict[str, str]:
    """What a gift's card may show."""
    gift = gifts.find(code)
    coupon = service.own(gift.giver_id, gift.coupon_id)
    version, terms = service.terms_for([coupon], now=now)[coupon.coupon_id]
    return _described(version.title, worth(terms))


def describe_pack(pack_id: str, now: int) -> dict[str, str]:
    """What a pack's card may show."""
    pack = packs.show(pack_id)[0]
    return {"title": pack.title, "left": str(pack.left), "pieces": str(pack.pieces)}


_VALUE = {"value", "threshold"}
sharing.target_kind(
    "coupon", variables=_VALUE, path="/pages/coupon/coupon?id={id}&link={link}", describe=describe_template
)
sharing.target_kind(
    "gift", variables=_VALUE, path="/pages/gift/gift?id={id}&link={link}", describe=describe_gift
)
sharing.target_kind(
    "pack", variables={"left", "pieces"}, path="/pages/pack/pack?id={id}&link={link}", describe=describe_pack
)
