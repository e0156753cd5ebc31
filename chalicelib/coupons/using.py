"""The rules of using coupons: held for an order, redeemed, let go, brought back; in the shop; taken away.

An order's lock row is its natural key: everything that becomes of its coupons is one transaction over the lock and
all of them, under the state that each must have. So an order's coupons are held, used and returned all together or
not at all, each step once, whatever comes at the same time.
"""

import contextlib
import hashlib
import hmac
from collections.abc import Callable, Sequence

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.core import config, due, facts, ids, table
from chalicelib.core.clock import MINUTE
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, NotFound
from chalicelib.core.table import Write
from chalicelib.core.telemetry import logger
from chalicelib.coupons import quoting, rules, service, templates
from chalicelib.coupons.models import Coupon, Lock
from chalicelib.coupons.service import JOB, ROUNDS
from chalicelib.operators import service as operators

CODE_LETTERS = 10


class CouponInUse(Conflict):
    """The coupon is held by another order, on its way to a friend, or used; ``details.state`` says which."""

    code = "coupon_in_use"
    en = "This coupon is in use, or has been used."
    zh = "该优惠券正在使用中或已使用。"
    advice = "Show the coupon's state; quote the basket anew."


class CouponNotApplicable(Conflict):
    """A coupon does not apply to this basket; ``details.why`` says why, as a quote does."""

    code = "coupon_not_applicable"
    en = "This coupon does not apply to this order."
    zh = "该优惠券不适用于此订单。"
    advice = "Quote the basket anew and offer what applies."


class CouponsNotCombinable(Conflict):
    """These coupons may not be used together."""

    code = "coupons_not_combinable"
    en = "These coupons cannot be used together."
    zh = "所选优惠券不能同时使用。"
    advice = "Offer the best combination of a quote."


class OrderHasCoupons(Conflict):
    """The order holds, or has used, other coupons or another basket; ``details.state`` says which."""

    code = "order_has_coupons"
    en = "This order has coupons already."
    zh = "该订单已使用优惠券。"
    advice = "Release the order's coupons first, then lock the new ones."


class WrongLockState(Conflict):
    """This cannot be done with the order's coupons as they are; ``details.state`` says how they are."""

    code = "coupon_lock_state"
    en = "The coupons of this order are in another state."
    zh = "该订单的优惠券状态不允许此操作。"
    advice = "Read `details.state`: released and returned coupons must be locked anew."


class ShopCodeInvalid(Conflict):
    """The code is not one of ours, or older than two minutes."""

    code = "shop_code_invalid"
    en = "This code is not valid any more."
    zh = "核销码无效或已过期。"
    advice = "Ask the member to show the code anew."


class Locking(msgspec.Struct, frozen=True, kw_only=True):
    """Which coupons an order wants held, on which basket, for how long."""

    order_ref: str
    member_id: str
    coupon_ids: tuple[str, ...]
    basket: rules.Basket
    lock_s: int

    @property
    def fingerprint(self) -> str:
        """The same for the same coupons and basket."""
        told = repr((self.member_id, sorted(self.coupon_ids), self.basket))
        return hashlib.sha256(told.encode()).hexdigest()[:32]


class _Moved(Exception):
    """Something is not what it was; read again."""


# --- held for an order --------------------------------------------------------------------------------------


def lock(wanted: Locking, *, now: int) -> tuple[Lock, bool]:
    """Hold coupons for an order, all of them or none, and whether this call did; the same again answers the same.

    Raises:
        NotFound: one of them is not the member's. CouponInUse, CouponNotApplicable, CouponsNotCombinable,
        OrderHasCoupons.
    """
    for _ in range(ROUNDS):
        held = table.get(Lock, Lock.key(wanted.order_ref))
        if held is not None and held.state != "released":
            return _same(held, wanted), False
        coupons = _own(wanted.member_id, wanted.coupon_ids)
        try:
            row = _lock_row(wanted, coupons, rev=(held.rev + 1 if held else 1), now=now)
            table.transact([_put(row, held), *[_locked(one, row, now=now) for one in coupons]])
            return row, True
        except _Moved:
            continue
    raise Busy


def _same(held: Lock, wanted: Locking) -> Lock:
    if held.fingerprint != wanted.fingerprint or held.state == "returned":
        raise OrderHasCoupons(state=held.state, coupon_ids=held.coupon_ids)
    return held


def _own(member_id: str, coupon_ids: Sequence[str]) -> list[Coupon]:
    rows = table.get_many([(Coupon, Coupon.key(member_id, one)) for one in coupon_ids])
    missing = [one for one, row in zip(coupon_ids, rows, strict=True) if row is None]
    if missing:
        raise NotFound(coupon_ids=missing)
    return [service.own(member_id, row.coupon_id) if row.state == "moved" else row for row in rows]


def _lock_row(wanted: Locking, coupons: Sequence[Coupon], *, rev: int, now: int) -> Lock:
    savings = rules.together(_applied(coupons, wanted, now=now), wanted.basket)
    per_line = [sum(parts) for parts in zip(*(one.per_line for one in savings), strict=True)]
    freight_fen = sum(one.freight_fen for one in savings)
    return Lock(
        *Lock.key(wanted.order_ref),
        rev=rev,
        state="locked",
        order_ref=wanted.order_ref,
        member_id=wanted.member_id,
        coupon_ids=[one.coupon_id for one in coupons],
        fingerprint=wanted.fingerprint,
        per_coupon=[one.fen for one in savings],
        per_line=per_line,
        freight_fen=freight_fen,
        discount_fen=sum(per_line) + freight_fen,
        locked_at=now,
        locked_until=now + wanted.lock_s,
    )


def _applied(coupons: Sequence[Coupon], wanted: Locking, *, now: int) -> list[rules.Saving]:
    """What each coupon saves, if all of them apply and may be used together."""
    weighed = quoting.weigh(coupons, wanted.basket, now=now)
    for one in weighed:
        if one.why_not is not None and one.why_not.code == "in_use":
            raise _held_by(one.coupon, wanted)
        if one.why_not is not None:
            why = {"why": one.why_not.code, **one.why_not.details}
            raise CouponNotApplicable(coupon_id=one.coupon.coupon_id, **why)
    options = [one.option for one in weighed if one.option is not None]
    if not rules.may_combine(options):
        raise CouponsNotCombinable(coupon_ids=[one.coupon_id for one in options])
    return [one.saving for one in options]


def _held_by(coupon: Coupon, wanted: Locking) -> Exception:
    """Held by this very order since its lock was read: look again; else it is in use."""
    if coupon.order_ref == wanted.order_ref:
        return _Moved()
    return CouponInUse(coupon_id=coupon.coupon_id, state=coupon.state)


def _put(row: Lock, held: Lock | None) -> Write:
    free = Lock.pk.does_not_exist() if held is None else (Lock.state == "released") & (Lock.rev == held.rev)
    return Write(operation="Put", row=row, when=free, refuse=lambda _: _Moved())


def _locked(coupon: Coupon, row: Lock, *, now: int) -> Write:
    actions = (
        Coupon.state.set("locked"),
        Coupon.order_ref.set(row.order_ref),
        Coupon.locked_until.set(row.locked_until),
        *due.moved(job=JOB, pk=coupon.pk, at=row.locked_until, ref="unlock"),
    )
    in_time = (Coupon.starts_at <= now) & (Coupon.ends_at > now)
    free = (Coupon.state == "unused") & in_time
    return table.update(Coupon, (coupon.pk, coupon.sk), *actions, when=free, refuse=lambda _: _Moved())


# --- redeemed, let go, brought back -------------------------------------------------------------------------


def redeem(order_ref: str, *, now: int) -> Lock:
    """The order is paid: its coupons are used. Used already, nothing changes.

    Its lock decides, and not the clock: a coupon that was held in time is good until the lock is let go.

    Raises:
        NotFound: the order has no coupons. WrongLockState: they were let go, or brought back.
    """

    def used(coupon: Coupon) -> list[Action]:
        owed = facts.owed_or_emptied("coupon.redeemed", pk=coupon.pk, now=now)
        return [Coupon.state.set("redeemed"), Coupon.used_at.set(now), Coupon.locked_until.remove(), *owed]

    return _step(order_ref, before="locked", after="redeemed", actions=used, read=False, now=now)


def release(order_ref: str, *, over_by: int | None = None, now: int) -> Lock:
    """The order is off before it was paid: its coupons are unused again, or expired by their window.

    ``over_by``: only if the lock's own time is over by then, for an order may hold its coupons anew at any moment.

    Raises:
        NotFound: the order has no coupons. WrongLockState: they are used, or brought back, or held for longer.
    """
    return _step(
        order_ref,
        before="locked",
        after="released",
        actions=lambda coupon: service.at_rest(coupon, now=now),
        read=True,
        over_by=over_by,
        now=now,
    )


def bring_back(order_ref: str, *, now: int) -> Lock:
    """The order that used them was cancelled or refunded: once, its coupons are unused again, or expired.

    Raises:
        NotFound: the order has no coupons. WrongLockState: it has not used them.
    """

    def unused(coupon: Coupon) -> list[Action]:
        # What is still owed of the redemption could not be told from the row that replaces it. What keeps failing
        # of it must not keep the coupon from its member: it is being undone.
        try:
            facts.catch_up(coupon, now=now)
        except Busy:
            raise
        except Exception:
            logger.exception("a redemption was undone before it was told", coupon=coupon.coupon_id)
        return service.at_rest(coupon, now=now)

    return _step(order_ref, before="redeemed", after="returned", actions=unused, read=True, now=now)


def _step(
    order_ref: str,
    *,
    before: str,
    after: str,
    actions: Callable[[Coupon], list[Action]],
    read: bool,
    over_by: int | None = None,
    now: int,
) -> Lock:
    """An order's lock and all of its coupons go from one state to the next, once."""
    for _ in range(ROUNDS):
        held = table.get(Lock, Lock.key(order_ref))
        if held is None:
            raise NotFound
        if held.state == after:
            return held
        if held.state != before or (over_by is not None and held.locked_until > over_by):
            raise WrongLockState(state=held.state, needed=before)
        coupons = _coupons_of(held, read=read)
        # The coupons' own slots say when they expire, so that it is the order's lock that tells of their return.
        owing = facts.owing_if_wanted("coupon.returned", pk=held.pk, now=now) if after == "returned" else []
        moved = table.update(
            Lock,
            (held.pk, held.sk),
            Lock.state.set(after),
            *owing,
            when=(Lock.state == before) & (Lock.rev == held.rev),
            refuse=lambda _: _Moved(),
        )
        try:
            table.transact([moved, *[_stepped(one, order_ref, before, actions(one)) for one in coupons]])
        except _Moved:
            read = True  # they may be another's, since their member was merged
            continue
        held.state = after
        return held
    raise Busy


def _coupons_of(held: Lock, *, read: bool) -> list[Coupon]:
    """The order's coupons; as much of them as their keys tell, where nothing else is needed."""
    if read:
        return _own(held.member_id, held.coupon_ids)
    keys = [Coupon.key(held.member_id, one) for one in held.coupon_ids]
    return [Coupon(*key, coupon_id=key[1], member_id=held.member_id) for key in keys]


def _stepped(coupon: Coupon, order_ref: str, before: str, actions: Sequence[Action]) -> Write:
    its = (Coupon.state == before) & (Coupon.order_ref == order_ref)
    return table.update(Coupon, (coupon.pk, coupon.sk), *actions, when=its, refuse=lambda _: _Moved())


def show(order_ref: str) -> Lock:
    """The coupons of an order.

    Raises:
        NotFound: it has none.
    """
    held = table.get(Lock, Lock.key(order_ref))
    if held is None:
        raise NotFound
    return held


# --- in the shop --------------------------------------------------------------------------------------------


def shop_code(member_id: str, coupon_id: str, *, now: int) -> tuple[str, int]:
    """What a member shows in the shop, and when it changes; the code says whose it is, so that no read is needed.

    Raises:
        NotFound: there is no such coupon. CouponInUse, CouponNotApplicable: it cannot be used now.
    """
    coupon = service.own(member_id, coupon_id)
    if not service.usable(coupon, now=now):
        raise _unusable(coupon, now=now)
    return f"{member_id}.{coupon_id}.{_mac(member_id, coupon_id, now // MINUTE, now=now)}", (
        now // MINUTE + 1
    ) * MINUTE


def _mac(member_id: str, coupon_id: str, minute: int, *, now: int) -> str:
    key = config.secret("link_key", now=now).encode()
    return ids.keyed_code("shop", member_id, coupon_id, str(minute), key=key, length=CODE_LETTERS)


def verify(code: str, *, by: Operator, now: int) -> Coupon:
    """The shop takes a coupon by the code that is shown: it is used, in one write with the trail.

    The same code again, by the same operator, answers the same.

    Raises:
        ShopCodeInvalid: not ours, or older than two minutes. CouponInUse, CouponNotApplicable: it cannot be used.
    """
    member_id, coupon_id, mac = _read(code, now=now)
    ref = f"shop#{by.key_id}#{mac}"
    key = Coupon.key(member_id, coupon_id)
    actions = (
        Coupon.state.set("redeemed"),
        Coupon.order_ref.set(ref),
        Coupon.used_at.set(now),
        *facts.owed_or_emptied("coupon.redeemed", pk=key[0], now=now),
    )
    free = (Coupon.state == "unused") & (Coupon.starts_at <= now) & (Coupon.ends_at > now)
    used = table.update(Coupon, key, *actions, when=free, refuse=lambda row: _not_used(row, ref, now=now))
    audit = operators.recorded(
        by=by,
        action="coupon.verified",
        subject=coupon_id,
        before=None,
        after={"member_id": member_id},
        now=now,
    )
    with contextlib.suppress(_Used):
        table.transact([used, audit])
    return service.own(member_id, coupon_id)


class _Used(Exception):
    """This very code has used it."""


def _not_used(row: Coupon | None, ref: str, *, now: int) -> Exception:
    if row is None:
        return NotFound()
    return _Used() if row.state == "redeemed" and row.order_ref == ref else _unusable(row, now=now)


def _unusable(row: Coupon, *, now: int) -> Conflict:
    if row.state != "unused":
        return CouponInUse(coupon_id=row.coupon_id, state=row.state)
    why = "not_valid_yet" if now < row.starts_at else "expired"
    return CouponNotApplicable(coupon_id=row.coupon_id, why=why, starts_at=row.starts_at, ends_at=row.ends_at)


def _read(code: str, *, now: int) -> tuple[str, str, str]:
    parts = code.split(".")
    if len(parts) != 3:
        raise ShopCodeInvalid
    member_id, coupon_id, mac = parts
    minutes = (now // MINUTE, now // MINUTE - 1)
    if not any(hmac.compare_digest(_mac(member_id, coupon_id, one, now=now), mac) for one in minutes):
        raise ShopCodeInvalid
    return member_id, coupon_id, mac


# --- taken away ---------------------------------------------------------------------------------------------


def void(member_id: str, coupon_id: str, *, reason: str, by: Operator, now: int) -> Coupon:
    """An operator takes an unused coupon away; its unit is not given back. Taken away already, nothing changes.

    Raises:
        NotFound: there is no such coupon. CouponInUse: it is held, used or over.
    """
    coupon = service.own(member_id, coupon_id)
    if coupon.state == "void":
        return coupon
    gone = table.update(
        Coupon,
        (coupon.pk, coupon.sk),
        Coupon.state.set("void"),
        *due.emptied(),
        when=Coupon.state == "unused",
        refuse=lambda row: (
            _Gone() if row.state == "void" else CouponInUse(coupon_id=coupon_id, state=row.state)
        ),
    )
    audit = operators.recorded(
        by=by,
        action="coupon.voided",
        subject=coupon_id,
        before={"state": coupon.state, "member_id": member_id},
        after={"reason": reason},
        now=now,
    )
    with contextlib.suppress(_Gone):
        table.transact([gone, audit])
    return service.own(member_id, coupon_id)


def taken_back(template_id: str, member_id: str, *, cause: str, now: int) -> list[table.Write]:
    """The writes that take a coupon away that was `service.granted` for a cause, and give its unit back.

    Raises:
        NotFound: the cause gave none. CouponInUse, when sent: it is held, given to a friend, used or over.
    """
    coupon_id = service.id_for_cause(template_id, member_id, cause)
    coupon = service.own(member_id, coupon_id)
    gone = table.update(
        Coupon,
        (coupon.pk, coupon.sk),
        Coupon.state.set("void"),
        Coupon.unit_back.set(True),
        *due.emptied(),
        when=Coupon.state == "unused",
        refuse=lambda row: CouponInUse(coupon_id=coupon_id, state=row.state if row is not None else None),
    )
    return [gone, templates.back(templates.find(template_id, now=now), coupon.shard, 1)]


class _Gone(Exception):
    """It was taken away by another."""
