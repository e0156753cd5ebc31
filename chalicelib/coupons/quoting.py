"""What a member's coupons save on a basket, why the others do not apply, and the best combination."""

from collections.abc import Sequence

import msgspec

from chalicelib.coupons import rules, service
from chalicelib.coupons.models import Coupon


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon on a basket: what it saves, or why not."""

    coupon: Coupon
    option: rules.Option | None
    why_not: rules.WhyNot | None


def quote(
    member_id: str, basket: rules.Basket, *, now: int
) -> tuple[list[Weighed], tuple[rules.Option, ...]]:
    """Each of a member's coupons on a basket, those that save most first, and the best combination."""
    held = [
        one for one in service.all_of(member_id) if service.state_of(one, now=now) in ("unused", "locked")
    ]
    weighed = weigh(held, basket, now=now)
    best = rules.best([one.option for one in weighed if one.option is not None], basket)
    return sorted(weighed, key=lambda one: -(one.option.saving.fen if one.option else 0)), best


def weigh(coupons: Sequence[Coupon], basket: rules.Basket, *, now: int) -> list[Weighed]:
    """Each coupon on a basket, in the order given."""
    terms = service.terms_for(coupons, now=now)
    return [_weighed(one, terms[one.coupon_id][1], basket, now=now) for one in coupons]


def _weighed(coupon: Coupon, terms: rules.Terms, basket: rules.Basket, *, now: int) -> Weighed:
    saving = _not_now(coupon, now=now) or rules.saving_of(terms, basket)
    if isinstance(saving, rules.WhyNot):
        return Weighed(coupon=coupon, option=None, why_not=saving)
    option = rules.Option(
        coupon_id=coupon.coupon_id,
        terms=terms,
        group=terms.group or coupon.template_id,
        ends_at=coupon.ends_at,
        saving=saving,
    )
    return Weighed(coupon=coupon, option=option, why_not=None)


def _not_now(coupon: Coupon, *, now: int) -> rules.WhyNot | None:
    if coupon.state != "unused":
        return rules.WhyNot(code="in_use")
    if now < coupon.starts_at:
        return rules.WhyNot(code="not_valid_yet", details={"starts_at": coupon.starts_at})
    if coupon.ends_at <= now:
        return rules.WhyNot(code="expired", details={"ends_at": coupon.ends_at})
    return None
