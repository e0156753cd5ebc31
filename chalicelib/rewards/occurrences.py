"""The facts of the house that earn rewards: what rules may know of each, and the occurrences that their rows bring.

A visit is no source and never will be (A1): whoever comes by a link has to register, order, or do something else
first. A binding that a mere visit made of a member of long standing brings nothing either. Orders of a group-buy
count when their group is filled, whatever they were paid before (G7).
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from chalicelib.checkins import service as checkins
from chalicelib.core import table
from chalicelib.core.errors import NotFound
from chalicelib.core.table import Row
from chalicelib.groupbuys import reading as groups
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.points import levels
from chalicelib.rewards import sources
from chalicelib.rewards.granting import lessened, source, undone
from chalicelib.rewards.models import First
from chalicelib.rewards.rules import FactSpec, FactWords
from chalicelib.rewards.sources import Lookup, Occurrence
from chalicelib.sharing import attribution
from chalicelib.sharing import service as sharing

PAID = ("paid", "completed")
LOOKED_BACK = 100
BEFORE_THEY_LEFT = "before_they_left"
"""Orders of a member that are looked at to say which was the first."""
_PERSON = frozenset({"sharer", "upper", "program", "registered_at", "level"})
_ORDER = _PERSON | {"channel", "amount_fen", "campaign", "product", "category", "first_order"}


# --- what is known of people --------------------------------------------------------------------------------


def person(
    actor: str, *, link: str | None = None, sharer: str | None = None, now: int
) -> dict[str, Any | Lookup]:
    """What rules may ask of whoever acted: who brought them, and by which channel, and who they are.

    The sharer is who shared ``link``, else whoever the member is bound to.
    """

    @cache
    def brought_by() -> str | None:
        return sharer or _sharer_of(link, actor, now=now) or _bound_to(actor, now=now)

    def upper() -> str | None:
        below = brought_by()
        above = _bound_to(below, now=now) if below else None
        return above if above != actor else None

    member = cache(partial(members.show, actor))
    return {
        "sharer": brought_by,
        "upper": upper,
        "channel": lambda: _link(link, "channel", now=now),
        "program": lambda: member().program_id,
        "registered_at": lambda: member().registered_at,
        "level": lambda: levels.standing(actor, now=now).number,
    }


def _sharer_of(link: str | None, actor: str, *, now: int) -> str | None:
    found = _link(link, "sharer_id", now=now)
    return found if found != actor else None


def _link(code: str | None, name: str, *, now: int) -> str | None:
    if not code:
        return None
    try:
        return str(getattr(sharing.find(code, now=now), name))
    except NotFound:
        return None


def _bound_to(member_id: str, *, now: int) -> str | None:
    held = attribution.binding(member_id, now=now)
    return held.promoter_id if held is not None else None


# --- registration -------------------------------------------------------------------------------------------


def registered(member: Any, now: int) -> Sequence[Occurrence]:
    """A member who has registered, by a link or not."""
    about = person(member.member_id, link=member.came_link, now=now)
    known = {**about, "program": member.program_id, "registered_at": member.registered_at}
    return [
        Occurrence(
            key=f"member#{member.member_id}", actor=member.member_id, at=member.registered_at, known=known
        )
    ]


def bound(binding: Any, now: int) -> Sequence[Occurrence]:
    """A new member who is bound to who brought them; what a visit alone or an operator bound earns nothing."""
    if binding.state != "bound" or binding.cause != "registered":
        return []
    known = person(binding.member_id, link=binding.link, sharer=binding.promoter_id, now=now)
    return [
        Occurrence(
            key=f"binding#{binding.member_id}", actor=binding.member_id, at=binding.bound_at, known=known
        )
    ]


sources.describe(
    "member.registered",
    FactSpec(
        words=FactWords(
            self_zh="注册成为会员",
            self_en="when you become a member",
            friend_zh="好友注册成为会员",
            friend_en="becomes a member",
        ),
        values=_PERSON | {"channel"},
    ),
)
source("member.registered", on="member.registered", occurrences=registered)
sources.describe(
    "binding.made",
    FactSpec(
        words=FactWords(
            self_zh="通过好友分享注册",
            self_en="when you register by a friend's link",
            friend_zh="好友通过你的分享注册",
            friend_en="registers by your link",
        ),
        values=_PERSON | {"channel"},
    ),
)
source("binding.made", on="binding.made", occurrences=bound)


# --- orders -------------------------------------------------------------------------------------------------


def paid(order: Any, now: int) -> Sequence[Occurrence]:
    """An order that was paid; one of a group-buy counts when its group is filled."""
    if order.state not in PAID or order.purpose == "group":
        return []
    return [_order(order, at=order.paid_at, now=now)]


def completed(order: Any, now: int) -> Sequence[Occurrence]:
    """An order that was received, or is past the time to give it back."""
    if order.state != "completed":
        return []
    return [_order(order, at=order.completed_at, now=now)]


def filled(group: Any, now: int) -> Sequence[Occurrence]:
    """The orders of a group that is filled, with what is left of them to be paid after differences went back."""
    if group.state != "filled":
        return []
    seats = {seat.order_id: seat for seat in groups.with_seats(group.group_id)[1]}
    return [
        _order(order, at=group.ended_at, now=now, head=bool(seats[order.order_id].head))
        for order in orders.those(sorted(seats))
        if order.state in PAID and order.group_id == group.group_id
    ]


def _order(order: Any, *, at: int, now: int, **known: Any) -> Occurrence:
    fen = order.amount_fen if order.refundable_fen is None else order.refundable_fen
    lines = cache(partial(orders.lines_of, order))
    about = {
        **person(order.member_id, link=order.link, now=now),
        "amount_fen": fen,
        "campaign": order.campaign_id,
        "product": lambda: sorted({line.product_id for line in lines()}),
        "category": lambda: sorted({one for line in lines() for one in line.category_ids}),
        "first_order": lambda: is_first(order),
    }
    key = f"order#{order.order_id}"
    return Occurrence(key=key, actor=order.member_id, at=at, known={**about, **known}, depends_on=order)


def is_first(order: Any) -> bool:
    """Whether this is the member's first paid order; noted when first asked, so that there is only one.

    Who was erased and came back has no first one any more.
    """
    key = First.key(order.member_id)
    noted = table.get(First, key)
    if noted is None:
        noted = First(*key, order_id=_first_of(order))
        try:
            table.apply(table.create(noted))
        except table.Taken as earlier:
            noted = earlier.row
    return bool(noted.order_id == order.order_id)


def would_be_first(order: Any) -> bool:
    """The same for those who only ask what would be: as it is noted, or as it is known; nothing is noted."""
    noted = table.get(First, First.key(order.member_id))
    first = noted.order_id if noted is not None else _first_of(order)
    return bool(first == order.order_id)


def _first_of(order: Any) -> str:
    if members.show(order.member_id).returned:
        return BEFORE_THEY_LEFT
    known = orders.of_member(order.member_id, limit=LOOKED_BACK, after=None).rows
    all_paid = [one for one in known if one.state in PAID and one.paid_at is not None]
    return str(min([order, *all_paid], key=lambda one: (one.paid_at, one.order_id)).order_id)


def _order_of(row: Row) -> str:
    return f"order#{row.pk.removeprefix('ORDER#')}"


def _left_of(refund: Row) -> tuple[str, int] | None:
    """What is left of an order after a part of it went back."""
    order = orders.find(refund.pk.removeprefix("ORDER#"))
    if order is None or order.state not in PAID:
        return None
    return _order_of(refund), order.refundable_fen or 0


sources.describe(
    "order.paid",
    FactSpec(
        words=FactWords(
            self_zh="下单并支付（拼团订单成团后）",
            self_en="when you pay for an order (of a group-buy, when the group is filled)",
            friend_zh="好友下单并支付（拼团订单成团后）",
            friend_en="pays for an order (of a group-buy, when the group is filled)",
        ),
        values=_ORDER,
        paid=True,
    ),
)
source("order.paid", on="order.paid", occurrences=paid)
source("group.filled", on="order.paid", occurrences=filled)
sources.describe(
    "order.completed",
    FactSpec(
        words=FactWords(
            self_zh="订单完成",
            self_en="when an order of yours is completed",
            friend_zh="好友的订单完成",
            friend_en="has an order completed",
        ),
        values=_ORDER,
        paid=True,
    ),
)
source("order.completed", on="order.completed", occurrences=completed)
sources.describe(
    "group.filled",
    FactSpec(
        words=FactWords(
            self_zh="拼团成功",
            self_en="when your group is filled",
            friend_zh="好友拼团成功",
            friend_en="is in a group that is filled",
        ),
        values=_ORDER | {"head"},
        paid=True,
    ),
)
source("group.filled", on="group.filled", occurrences=filled)
undone("order.refunded", lambda order: [_order_of(order)])
lessened(orders.REDUCED, _left_of)


# --- coupons ------------------------------------------------------------------------------------------------


def redeemed(coupon: Any, now: int) -> Sequence[Occurrence]:
    """A coupon that was used, by an order or in the shop; its template is the campaign that rules may ask for.

    One that is returned and used again earns nothing a second time.
    """
    if coupon.state != "redeemed":
        return []
    known = {**person(coupon.member_id, now=now), "campaign": coupon.template_id}
    return [
        Occurrence(
            key=f"coupon#{coupon.coupon_id}",
            actor=coupon.member_id,
            at=coupon.used_at,
            known=known,
            depends_on=coupon,
        )
    ]


sources.describe(
    "coupon.redeemed",
    FactSpec(
        words=FactWords(
            self_zh="使用优惠券",
            self_en="when you use a coupon",
            friend_zh="好友使用优惠券",
            friend_en="uses a coupon",
        ),
        values=_PERSON | {"campaign"},
        paid=True,
    ),
)
source("coupon.redeemed", on="coupon.redeemed", occurrences=redeemed)
undone("coupon.returned", lambda lock: [f"coupon#{coupon_id}" for coupon_id in lock.coupon_ids])


# --- check-ins ----------------------------------------------------------------------------------------------


def checked_in(month: Any, now: int) -> Sequence[Occurrence]:
    """The day that was checked in last, and those before it of which nobody may have heard, each at its moment."""
    return [
        Occurrence(
            key=f"checkin#{told.campaign_id}#{told.member_id}#{told.day}",
            actor=told.member_id,
            at=told.at,
            known={**person(told.member_id, now=now), "campaign": told.campaign_id},
        )
        for told in checkins.untold(month)
    ]


sources.describe(
    "checkin.done",
    FactSpec(
        words=FactWords(
            self_zh="完成签到",
            self_en="when you check in",
            friend_zh="好友完成签到",
            friend_en="checks in",
        ),
        values=_PERSON | {"campaign"},
    ),
)
source("checkin.done", on="checkin.done", occurrences=checked_in)


def facts() -> list[str]:
    """The facts that rules may be on, those of other rooms included."""
    return sorted(sources.specs())
