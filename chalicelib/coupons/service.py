"""The rules of claiming and giving coupons, and of a member's own list."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.core import clock, config, due, ids, shards, table
from chalicelib.core.errors import AppError, Busy, Conflict, Invalid, NotFound
from chalicelib.core.table import Write
from chalicelib.coupons import rules, templates
from chalicelib.coupons.models import Coupon, Tally, Template, Terms
from chalicelib.coupons.templates import (
    CouponClaimOver,
    CouponNotStarted,
    CouponOff,
    CouponSoldOut,
    StockShort,
)
from chalicelib.members import service as members
from chalicelib.points import goods, levels

JOB = "coupons"
ROUNDS = 12
KEYS_REMEMBERED = 8


class CouponLimitReached(Conflict):
    """The member has claimed as many as they may; ``details.limit`` says of which limit: ``member`` or ``day``."""

    code = "coupon_limit_reached"
    en = "You have claimed as many as you can."
    zh = "已达到领取上限。"
    advice = "Show the member's own coupons; `details.limit` is `day` when tomorrow brings another."


class NotEligible(Conflict):
    """The coupon is for others; ``details.why`` is `new_members_only`, `level_too_low`, `tag_missing` or
    `not_for_claiming`."""

    code = "coupon_not_eligible"
    en = "This coupon is not for you."
    zh = "你不符合领取条件。"
    advice = "Say what `details.why` asks for."


class AlreadyGranted(Conflict):
    """The member has a coupon of this template for this cause."""

    code = "coupon_already_granted"
    en = "This coupon was given before."
    zh = "该优惠券已发放。"
    advice = "Show the member's own coupons."


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon, and whether this call made it."""

    coupon: Coupon
    new: bool


# --- ids and rows -------------------------------------------------------------------------------------------


def id_for_claim(template_id: str, member_id: str, n: int) -> str:
    """The id of a member's n-th claim of a template."""
    return ids.derived("cpn", member_id, template_id, str(n))


def id_for_cause(template_id: str, member_id: str, cause: str) -> str:
    """The id of the coupon that a member is given for a cause."""
    return ids.derived("cpn", member_id, template_id, "cause", cause)


def new_coupon(
    template: Template, member_id: str, coupon_id: str, *, source: str, shard: int, now: int, **more: Any
) -> Coupon:
    """A coupon of a template under its terms of now, due to be reminded of or to expire."""
    starts_at, ends_at = rules.window(template.validity, now=now, zone=config.settings().zone)
    remind_at = ends_at - template.remind_before_s
    pk, sk = Coupon.key(member_id, coupon_id)
    told = {
        "version": template.version,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "giftable": template.giftable,
        "remind_at": remind_at if template.remind_before_s and remind_at > now else None,
        **more,
    }
    coupon = Coupon(
        pk,
        sk,
        state="unused",
        coupon_id=coupon_id,
        member_id=member_id,
        template_id=template.template_id,
        source=source,
        shard=shard,
        claimed_at=now,
        **told,
    )
    make_due(coupon, now=now)
    return coupon


def make_due(coupon: Coupon, *, now: int) -> None:
    """A new coupon is due to be reminded of, or to expire."""
    at, ref = _resting_slot(coupon, now=now)
    coupon.due_shard, coupon.due_at, coupon.due_ref = due.shard_of(JOB, coupon.pk), at, ref


def _resting_slot(coupon: Coupon, *, now: int) -> tuple[int, str]:
    """What is due on a coupon that nobody holds: when, and what."""
    if coupon.remind_at is not None and coupon.remind_at > now:
        return coupon.remind_at, "remind"
    return coupon.ends_at, "expire"


def at_rest(coupon: Coupon, *, now: int) -> list[Action]:
    """The actions by which a held or used coupon comes back: unused, or expired by its window."""
    let_go = [Coupon.order_ref.remove(), Coupon.locked_until.remove(), Coupon.used_at.remove()]
    if coupon.ends_at <= now:
        return [Coupon.state.set("expired"), *let_go, *due.emptied()]
    at, ref = _resting_slot(coupon, now=now)
    return [Coupon.state.set("unused"), *let_go, *due.moved(job=JOB, pk=coupon.pk, at=at, ref=ref)]


# --- claiming -----------------------------------------------------------------------------------------------


def claim(*, template_id: str, member_id: str, key: str | None = None, now: int) -> Claim:
    """Give a member one coupon of a template, in one transaction with its unit of stock.

    Where one is the limit, a repeat answers with the first; where more may be claimed, with the same ``key`` (of
    the caller's choice) it does.

    Raises:
        NotFound, CouponNotStarted, CouponClaimOver, CouponOff, CouponSoldOut, CouponLimitReached, NotEligible.
    """
    template = templates.find(template_id, now=now)
    mark = hashlib.sha256(key.encode()).hexdigest()[:12] if key else None
    try:
        _may_claim(template, member_id, now=now)
        return _claim(template, member_id, mark=mark, now=now)
    except (CouponNotStarted, CouponClaimOver, CouponOff, CouponSoldOut, NotEligible):
        first = _first_answer(template, member_id, mark=mark)
        if first is None:
            raise
        return Claim(coupon=first, new=False)


def _may_claim(template: Template, member_id: str, *, now: int) -> None:
    """Refuse early what the write would refuse too, and what only who asks decides."""
    refusal = templates.why_not_now(template, now=now)
    if refusal is not None:
        raise refusal
    why = why_not_eligible(template, member_id, now=now)
    if why is not None:
        raise NotEligible(why=why)
    if templates.remembered_empty(template, now=now):
        raise CouponSoldOut


def why_not_eligible(template: Template, member_id: str, *, now: int) -> str | None:
    """Why a member may not claim, as a code; None when they may."""
    kind = template.audience["kind"]
    member = members.show(member_id) if kind in ("new_members", "tag") else None
    return rules.why_not_for(
        template.audience,
        registered_at=member.registered_at if member else 0,
        tags=(member.tags or ()) if member else (),
        level=levels.standing(member_id, now=now).number if kind == "level" else 0,
        new_since=template.claim_from,
        now=now,
    )


def _first_answer(template: Template, member_id: str, *, mark: str | None) -> Coupon | None:
    """What this very call has brought before."""
    n = 1 if _once_only(template) else None
    if n is None and mark is not None:
        tally = table.get(Tally, Tally.key(template.template_id, member_id))
        n = dict(tally.recent).get(mark) if tally is not None else None
    if n is None:
        return None
    return find(member_id, id_for_claim(template.template_id, member_id, n))


def _once_only(template: Template) -> bool:
    return template.per_member == 1


def _claim(template: Template, member_id: str, *, mark: str | None, now: int) -> Claim:
    seen: Tally | None = None
    n, shard = 1, shards.shard_for(member_id, template.stock_shards)
    for _ in range(ROUNDS):
        coupon_id = id_for_claim(template.template_id, member_id, n)
        coupon = new_coupon(template, member_id, coupon_id, source="claim", shard=shard, now=now, n=n)
        try:
            table.transact(_claiming(template, coupon, seen, mark=mark, now=now))
            return Claim(coupon=coupon, new=True)
        except _TallyMoved as moved:
            seen = moved.row
            first = dict(seen.recent).get(mark) if mark else None
            if first is not None:
                return Claim(
                    coupon=own(member_id, id_for_claim(template.template_id, member_id, first)), new=False
                )
            n = _next_claim(template, seen, now=now)
        except table.Taken as first_one:
            if _once_only(template):
                return Claim(coupon=_as_it_is(first_one.row), new=False)
            # Claimed while one was the limit and nothing was counted: counted now, as it would have been.
            seen = _counted_late(first_one.row)
            n = _next_claim(template, seen, now=now)
        except StockShort:
            [[shard, _one]] = templates.elsewhere(template, 1, now=now)
    raise Busy


def _counted_late(coupon: Coupon) -> Tally:
    """The tally of somebody who claimed while one was the limit."""
    key = Tally.key(coupon.template_id, coupon.member_id)
    return Tally(*key, n=coupon.n, day=_day(coupon.claimed_at), today=1, recent=[])


def _next_claim(template: Template, seen: Tally, *, now: int) -> int:
    today = seen.today if seen.day == _day(now) else 0
    _within_limit(template, n=seen.n + 1, today=today + 1)
    return seen.n + 1


def _within_limit(template: Template, *, n: int, today: int) -> None:
    if n > template.per_member:
        raise CouponLimitReached(limit="member", at_most=template.per_member)
    if template.per_member_daily is not None and today > template.per_member_daily:
        raise CouponLimitReached(limit="day", at_most=template.per_member_daily)


class _TallyMoved(Exception):
    """The member has claimed more than was seen; ``row`` says how many."""

    def __init__(self, row: Tally) -> None:
        super().__init__(row.pk)
        self.row = row


def _claiming(
    template: Template, coupon: Coupon, seen: Tally | None, *, mark: str | None, now: int
) -> list[Write]:
    counted = [] if _once_only(template) else [_counted(template, coupon, seen, mark=mark, now=now)]
    return [*counted, table.create(coupon), templates.taken(template, coupon.shard, 1, now=now, window=True)]


def _counted(template: Template, coupon: Coupon, seen: Tally | None, *, mark: str | None, now: int) -> Write:
    """The member's tally goes on, if it is still what was seen; whether there is room was judged by that."""
    day = _day(now)
    today = (seen.today if seen is not None and seen.day == day else 0) + 1
    recent = [*(seen.recent if seen is not None else ()), *([[mark, coupon.n]] if mark else ())]
    actions = (
        Tally.n.set(coupon.n),
        Tally.day.set(day),
        Tally.today.set(today),
        Tally.recent.set(recent[-KEYS_REMEMBERED:]),
    )
    # A tally is never deleted; what was seen may be one that nobody has written yet.
    as_seen = Tally.pk.does_not_exist()
    if seen is not None:
        as_seen |= Tally.n == seen.n
    key = Tally.key(template.template_id, coupon.member_id)
    return table.upsert(Tally, key, *actions, when=as_seen, refuse=_TallyMoved).but(natural=True)


def _day(now: int) -> str:
    return clock.local_day(now, zone=config.settings().zone)


def claim_all(
    template_ids: Sequence[str], *, member_id: str, key: str | None, now: int
) -> list[tuple[str, Claim | AppError]]:
    """What became of each template, in the order asked for; one that is refused does not stop the others."""
    outcomes: list[tuple[str, Claim | AppError]] = []
    for template_id in dict.fromkeys(template_ids):
        try:
            outcomes.append(
                (template_id, claim(template_id=template_id, member_id=member_id, key=key, now=now))
            )
        except AppError as refused:
            outcomes.append((template_id, refused))
    return outcomes


# --- giving -------------------------------------------------------------------------------------------------


def granted(template_id: str, member_id: str, *, cause: str, now: int) -> list[Write]:
    """The writes that give a member one coupon of a template for a cause, once, for another room's transaction.

    It takes a unit of stock and does not count towards the member's limit of claims. The template must be on;
    whether it is time to claim does not matter.

    Raises:
        NotFound, CouponOff, CouponSoldOut: now or, when sent, by the writes. AlreadyGranted, when sent: the cause
        has brought one. Busy, when sent: the shard that was looked at has just been emptied; ask again.
    """
    return giving(template_id, member_id, cause=cause, source="grant", now=now)


def giving(
    template_id: str,
    member_id: str,
    *,
    cause: str,
    source: str,
    refuse: table.Refusal | None = None,
    now: int,
) -> list[Write]:
    """`granted` by one of this room's own ways."""
    template = templates.find(template_id, now=now)
    refusal = templates.why_not_now(template, now=now, window=False)
    if refusal is not None:
        raise refusal
    coupon_id = id_for_cause(template_id, member_id, cause)
    shard = shards.shard_for(coupon_id, template.stock_shards)
    if template.limited:
        # Looked at first, so that a reaction learns that nothing is left and does not fail for ever.
        [[shard, _one]] = templates.elsewhere(template, 1, first=shard, now=now)
    coupon = new_coupon(template, member_id, coupon_id, source=source, shard=shard, now=now)
    unit = templates.taken(template, shard, 1, now=now, window=False)
    return [table.create(coupon, refuse=refuse or (lambda _: AlreadyGranted())), _named(unit, template)]


def _named(unit: Write, template: Template) -> Write:
    """A shard that is short says in words for other rooms what that means."""

    def refuse(row: Any) -> Exception:
        refused = table.refusal(unit, row)
        if not isinstance(refused, StockShort):
            return refused
        return CouponSoldOut() if template.stock_shards == 1 else Busy()

    return unit.but(refuse=refuse)


# --- a member's own -----------------------------------------------------------------------------------------


def own(member_id: str, coupon_id: str) -> Coupon:
    """A member's coupon as it is now.

    Raises:
        NotFound: there is none of this id, or it is somebody else's.
    """
    coupon = find(member_id, coupon_id)
    if coupon is None:
        raise NotFound
    return coupon


def find(member_id: str, coupon_id: str) -> Coupon | None:
    """A member's coupon as it is now, also where it is another's since they were merged; None: there was none."""
    while (coupon := table.get(Coupon, Coupon.key(member_id, coupon_id))) is not None:
        if coupon.state != "moved" or coupon.moved_to is None or coupon.moved_id is None:
            return coupon
        member_id, coupon_id = coupon.moved_to, coupon.moved_id
    return None


def _as_it_is(first: Coupon) -> Coupon:
    return own(first.member_id, first.coupon_id) if first.state == "moved" else first


def has(member_id: str, coupon_id: str) -> bool:
    """Whether a member has this coupon, in whatever state."""
    return table.get(Coupon, Coupon.key(member_id, coupon_id)) is not None


def there(wanted: Sequence[tuple[str, str]]) -> set[str]:
    """Which of these coupons, by member and id, there are, whatever became of them."""
    rows = table.get_all([(Coupon, Coupon.key(*one)) for one in wanted])
    return {row.coupon_id for row in rows if row is not None}


def all_of(member_id: str) -> list[Coupon]:
    """All coupons of a member, newest first, read consistently: what was just won is among them."""
    rows = [row for row in table.query_all(Coupon, f"COUPONS#{member_id}") if row.state != "moved"]
    return sorted(rows, key=order_of, reverse=True)


def of_member(member_id: str) -> list[Coupon]:
    """All coupons of somebody who is a member.

    Raises:
        NotFound: nobody is.
    """
    members.show(member_id)
    return all_of(member_id)


def order_of(coupon: Coupon) -> tuple[int, str]:
    """The order of lists."""
    return coupon.claimed_at, coupon.coupon_id


def state_of(coupon: Coupon, *, now: int) -> str:
    """What a coupon is for people: one that is over is expired also before the job has come to it."""
    over = coupon.state == "unused" and coupon.ends_at <= now
    return "expired" if over else coupon.state or ""


def counts(coupons: Sequence[Coupon], *, now: int) -> dict[str, int]:
    """How many there are of each status."""
    return dict(Counter(state_of(one, now=now) for one in coupons))


def usable(coupon: Coupon, *, now: int) -> bool:
    """Whether it can be used now."""
    return coupon.state == "unused" and coupon.starts_at <= now < coupon.ends_at


def terms_for(coupons: Sequence[Coupon], *, now: int) -> dict[str, tuple[Terms, rules.Terms]]:
    """By coupon, the version of terms it was claimed under, and what it is worth."""
    rows = templates.terms_of({(one.template_id, one.version) for one in coupons}, now=now)
    return {one.coupon_id: _worth(one, rows[(one.template_id, one.version)]) for one in coupons}


def _worth(coupon: Coupon, row: Terms) -> tuple[Terms, rules.Terms]:
    told: Mapping[str, Any] = row.terms
    value = told["value_fen"] if coupon.value_fen is None else coupon.value_fen
    return row, rules.Terms(**{**told, "value_fen": value})


# --- bought with points, or brought by a level --------------------------------------------------------------


def _for_points(giving: goods.Giving) -> list[Write]:
    return granted(
        giving.what["template_id"], giving.member_id, cause=f"points#{giving.cause}", now=giving.now
    )


def _check_for_points(what: goods.What, now: int) -> None:
    template_id = what.get("template_id")
    if set(what) != {"template_id"} or not isinstance(template_id, str):
        raise Invalid(field="what", reason="{template_id} is needed")
    try:
        templates.find(template_id, now=now)
    except NotFound as missing:
        raise Invalid(field="what.template_id", reason="there is no such template") from missing


goods.goods("coupon", give=_for_points, check=_check_for_points)


# --- offers -------------------------------------------------------------------------------------------------


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """A template, and whether a member can claim it."""

    template: Template
    status: str
    why: str | None = None
    claimed: int = 0


def offers(*, member_id: str | None, product: tuple[str, Sequence[str]] | None, now: int) -> list[Offered]:
    """What can be claimed now or later, for a product where one is named; those that end first first."""
    rows = [row for row in templates.shown(now=now) if row.audience["kind"] != "none"]
    if product is not None:
        rows = [row for row in rows if rules.in_scope(row.terms["scope"], *product)]
    mine = all_of(member_id) if member_id is not None else []
    left = templates.with_units_left(rows, now=now)
    return [_offered(row, member_id, mine, left=row.template_id in left, now=now) for row in rows]


def _offered(
    template: Template, member_id: str | None, mine: Sequence[Coupon], *, left: bool, now: int
) -> Offered:
    claims = [one for one in mine if one.template_id == template.template_id and one.n is not None]
    today = sum(_day(one.claimed_at) == _day(now) for one in claims)
    status, why = "claimable", None
    if len(claims) >= template.per_member:
        status = "claimed"
    elif template.per_member_daily is not None and today >= template.per_member_daily:
        status, why = "claimed", "day"
    elif template.claim_from > now:
        status = "not_started"
    elif not left:
        status = "sold_out"
    elif member_id is not None and (why := why_not_eligible(template, member_id, now=now)):
        status = "not_eligible"
    return Offered(template=template, status=status, why=why, claimed=len(claims))
