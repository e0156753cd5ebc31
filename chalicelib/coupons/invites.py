"""Inviting: who brings k new members gets a coupon, and each of those one too.

It hangs on what the friend does: they registered by the sharer's link, and sharing has bound them. A share or a
visit gives nothing. Each side is a reaction of its own to ``binding.made``, so that neither stands in the other's
way.
"""

from collections.abc import Sequence

import msgspec

from chalicelib.core import facts, table
from chalicelib.core.cache import Cache
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.table import Write
from chalicelib.coupons import service, templates
from chalicelib.coupons.models import Brought, Invite
from chalicelib.coupons.schemas import EditInvite
from chalicelib.coupons.templates import CouponOff, CouponSoldOut, Making
from chalicelib.sharing.attribution import Binding

_plans: Cache[list[Invite]] = Cache()


def plans(*, now: int) -> list[Invite]:
    """All plans, oldest first, at most 30 seconds old."""
    return _plans.get("all", now=now, load=lambda: table.query_all(Invite, "INVITE_PLANS"))


def running(*, at: int, now: int) -> Invite | None:
    """The plan that counted at this moment: the newest that was on; one counts at a time."""
    rows = [row for row in plans(now=now) if row.state == "on" and row.starts_at <= at < row.ends_at]
    return max(rows, key=order_of, default=None)


def order_of(row: Invite) -> tuple[int, str]:
    """The order of plans: the last of them counts."""
    return row.created_at, row.plan_id


def make(given: EditInvite, making: Making) -> Invite:
    """A new plan, which counts instead of older ones; the same key and body again answers with the first.

    Raises:
        Invalid: something about it is wrong. RequestDiffers: the key came with another body.
    """
    _valid(given, now=making.now)
    plan_id = making.new_id("cvp")
    row = Invite(
        *Invite.key(plan_id),
        state="on",
        plan_id=plan_id,
        created_at=making.now,
        fingerprint=templates.fingerprint_of(given),
        **msgspec.structs.asdict(given),
    )
    audit = making.recorded("invite_plan.made", plan_id, after=msgspec.to_builtins(given))
    made = templates.made_once(row, audit)
    _plans.clear()
    return made


def _valid(given: EditInvite, *, now: int) -> None:
    if given.ends_at <= given.starts_at:
        raise Invalid(field="ends_at", reason="it must be after starts_at")
    for field in ("sharer_template_id", "friend_template_id"):
        template_id = getattr(given, field)
        try:
            if template_id is not None:
                templates.find(template_id, now=now)
        except NotFound as unknown:
            raise Invalid(field=field, reason="there is no such template") from unknown


def switch_off(plan_id: str, making: Making) -> Invite:
    """A plan counts no more; off already, nothing changes.

    Raises:
        NotFound: there is none.
    """
    # Also when it is off already: this process may remember it as on, and have said so before its call broke off.
    _plans.clear()
    row = table.get(Invite, Invite.key(plan_id))
    if row is None:
        raise NotFound
    if row.state == "off":
        return row
    off = table.update(
        Invite, Invite.key(plan_id), Invite.state.set("off"), when=Invite.state == "on", refuse=Busy
    )
    table.transact([off, making.recorded("invite_plan.off", plan_id)])
    row.state = "off"
    _plans.clear()
    return row


def brought(plan_id: str, member_id: str) -> Brought:
    """How far a member is under a plan."""
    row = table.get(Brought, Brought.key(plan_id, member_id))
    return row or Brought(*Brought.key(plan_id, member_id), n=0, won=0, missed=0)


# --- reactions ----------------------------------------------------------------------------------------------


@facts.reaction("binding.made", name="coupons.invited_friend", money=True)
def thank_friend(row: Binding, now: int) -> Sequence[Write]:
    """Who registered by a friend's link gets the newcomer's coupon, if there is one left."""
    plan = _plan_for(row, now=now)
    if plan is None or plan.friend_template_id is None:
        return []
    return _coupon(plan.friend_template_id, row.member_id, cause=f"invited#{plan.plan_id}", now=now)


@facts.reaction("binding.made", name="coupons.invited_sharer", money=True)
def thank_sharer(row: Binding, now: int) -> Sequence[Write]:
    """Whoever brought them is one further, and gets a coupon with every k-th; who missed one for stock is counted.

    Raises:
        Busy: another of theirs is counted at the same moment; the stream brings the fact again.
    """
    plan = _plan_for(row, now=now)
    if plan is None:
        return []
    seen = brought(plan.plan_id, row.promoter_id)
    n = seen.n + 1
    earned = n % plan.every == 0 and n // plan.every <= plan.times
    cause = f"invite#{plan.plan_id}#{n // plan.every}"
    # Of two who both saw themselves as the k-th one is counted first, and so is the coupon: the other counts anew.
    coupon = (
        _coupon(plan.sharer_template_id, row.promoter_id, cause=cause, refuse=Busy, now=now) if earned else []
    )
    won, missed = seen.won + bool(coupon), seen.missed + (earned and not coupon)
    as_seen = Brought.pk.does_not_exist() if seen.n == 0 else Brought.n == seen.n
    actions = (Brought.n.set(n), Brought.won.set(won), Brought.missed.set(missed))
    counted = table.upsert(Brought, (seen.pk, seen.sk), *actions, when=as_seen, refuse=Busy)
    return [counted, *coupon]


def _plan_for(row: Binding, *, now: int) -> Invite | None:
    """The plan under which a new member counts; who was a member before counts under none."""
    if row.state != "bound" or row.cause != "registered":
        return None
    return running(at=row.bound_at, now=now)


def _coupon(
    template_id: str, member_id: str, *, cause: str, refuse: table.Refusal | None = None, now: int
) -> list[Write]:
    """The writes of a coupon; none where there is none to give."""
    try:
        return service.giving(template_id, member_id, cause=cause, source="invite", refuse=refuse, now=now)
    except (CouponSoldOut, CouponOff, NotFound):
        return []
