"""The rules of templates: making, editing, switching, and the units of their stock.

A template is read by everybody and never written by a claim; its shards carry the window and whether it is on, so
that one write decides. Every shard is switched and edited by its own write; the state between is ``pausing``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from chalicelib.core import ids, shards, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, Gone, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.table import Write
from chalicelib.coupons import rules
from chalicelib.coupons.models import Invite, Plan, Stock, Template, Terms
from chalicelib.coupons.schemas import EditTemplate, MakeTemplate
from chalicelib.operators import service as operators
from chalicelib.points import levels


class CouponNotStarted(Conflict):
    """Claiming has not begun; ``details.starts_at`` says when it does."""

    code = "coupon_not_started"
    en = "This coupon cannot be claimed yet."
    zh = "领取尚未开始。"
    advice = "Count down to `details.starts_at`."


class CouponClaimOver(Gone):
    """The time of claiming is over."""

    code = "coupon_claim_over"
    en = "The time to claim this coupon is over."
    zh = "领取时间已结束。"
    advice = "Show that it is over."


class CouponOff(Conflict):
    """The shop switched the template off; coupons that were claimed stay good."""

    code = "coupon_off"
    en = "This coupon is not offered at the moment."
    zh = "该优惠券已停止发放。"
    advice = "Hide it, or try again later."


class CouponSoldOut(Conflict):
    """Nothing is left."""

    code = "coupon_sold_out"
    en = "All coupons are gone."
    zh = "优惠券已被领完。"
    advice = "Show that it is sold out; units of packs that end unused come back."


class RequestDiffers(Invalid):
    """The same Idempotency-Key, or name of a batch, came with another body."""

    code = "coupon_request_differs"
    en = "This key was used for another request."
    zh = "该标识已用于其他请求。"
    advice = "A bug in the caller: one key for one request."


P = TypeVar("P", Template, Plan, Invite)


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes or changes something, when, and the key under which a repeat is recognised."""

    by: Operator
    now: int
    idempotency_key: str | None = None

    def new_id(self, prefix: ids.Prefix) -> str:
        """The id of what is made: the same for the same key."""
        if self.idempotency_key:
            return ids.derived(prefix, self.by.key_id, self.idempotency_key)
        return ids.ulid(prefix, now=self.now, entropy=ids.entropy(now=self.now))

    def recorded(self, action: str, subject: str, *, before: Any = None, after: Any = None) -> Write:
        """The line in the trail."""
        return operators.recorded(
            by=self.by, action=action, subject=subject, before=before, after=after, now=self.now
        )


def fingerprint_of(given: msgspec.Struct) -> str:
    """The same for the same body."""
    return hashlib.sha256(msgspec.json.encode(given, order="sorted")).hexdigest()


def made_once(row: P, audit: Write) -> P:
    """The row that was made, by this call or by the same one before.

    Raises:
        RequestDiffers: the key came with another body.
    """
    try:
        table.transact([table.create(row), audit])
    except table.Taken as first:
        if first.row.fingerprint != row.fingerprint:
            raise RequestDiffers(field="Idempotency-Key", reason="used for another body") from first
        return first.row  # type: ignore[no-any-return]
    return row


_templates: Cache[Template] = Cache()
_all: Cache[list[Template]] = Cache()
_terms: Cache[Terms] = Cache(for_s=10**9, size=5000)
_empty: Cache[bool] = Cache(for_s=shards.SOLD_OUT_FOR_S)
_left: Cache[bool] = Cache(for_s=shards.SOLD_OUT_FOR_S)


# --- reading ------------------------------------------------------------------------------------------------


def find(template_id: str, *, now: int) -> Template:
    """The template, at most 30 seconds old.

    Raises:
        NotFound: there is none.
    """

    def load() -> Template:
        template = table.get(Template, Template.key(template_id))
        if template is None:
            raise NotFound
        return template

    return _templates.get(template_id, now=now, load=load)


def everything() -> list[Template]:
    """All templates, newest first."""
    rows = table.query_all(Template, "COUPON_TEMPLATES")
    return sorted(rows, key=lambda row: (row.created_at, row.sk), reverse=True)


def shown(*, now: int) -> list[Template]:
    """The templates that are on, those whose claiming ends first first, at most 30 seconds old."""
    rows = _all.get("all", now=now, load=everything)
    on = [row for row in rows if row.state == "on" and row.claim_until > now]
    return sorted(on, key=lambda row: (row.claim_until, row.template_id))


def terms_of(wanted: set[tuple[str, int]], *, now: int) -> dict[tuple[str, int], Terms]:
    """Versions of terms, which never change; those not seen before are read in one call."""
    known = {one: _terms.peek(one, now=now) for one in wanted}
    missing = sorted(one for one, row in known.items() if row is None)
    for one, row in zip(missing, table.get_all([(Terms, Terms.key(*one)) for one in missing]), strict=True):
        _terms.put(one, row, now=now)
        known[one] = row
    return {one: row for one, row in known.items() if row is not None}


def why_not_now(
    row: Template | Stock | None, *, now: int, window: bool = True
) -> Conflict | Gone | NotFound | None:
    """Why nobody gets a coupon now, as far as time and state go; without ``window`` it is given, not claimed."""
    if row is None:
        return NotFound()
    if window and now < row.claim_from:
        return CouponNotStarted(starts_at=row.claim_from)
    if window and row.claim_until <= now:
        return CouponClaimOver(ended_at=row.claim_until)
    on = row.on if isinstance(row, Stock) else row.state == "on"
    return None if on else CouponOff()


# --- stock --------------------------------------------------------------------------------------------------


class StockShort(Exception):
    """A shard has too few units."""


def taken(template: Template, k: int, units: int, *, now: int, window: bool) -> Write:
    """The write that takes units from a shard, if it has them and is on, and, with ``window``, it is time."""
    actions = [Stock.issued.add(units)]
    allowed = Stock.on == True  # noqa: E712 - pynamodb's comparison
    if template.limited:
        actions.append(Stock.left.add(-units))
        allowed &= Stock.left >= units
    if window:
        allowed &= (Stock.claim_from <= now) & (Stock.claim_until > now)
    return table.update(
        Stock,
        Stock.key(template.template_id, k),
        *actions,
        when=allowed,
        refuse=lambda row: why_not_now(row, now=now, window=window) or StockShort(),
    )


def back(template: Template, k: int, units: int) -> Write:
    """The write that gives units back to the shard they came from, whether it is on or not."""
    more = [Stock.left.add(units)] if template.limited else []
    return table.update(
        Stock, Stock.key(template.template_id, k), Stock.issued.add(-units), *more, refuse=NotFound
    )


def elsewhere(template: Template, units: int, *, first: int | None = None, now: int) -> list[list[int]]:
    """Where units can come from, ``[[shard, units], …]``, by one consistent look at all shards.

    From the ``first`` shard, if it has enough, so that many who look at once do not all turn to the fullest.

    Raises:
        CouponSoldOut: nowhere; this is remembered for two seconds.
    """
    left = {k: row.left or 0 for k, row in stock_of(template).items()}
    if first is not None and left.get(first, 0) >= units:
        return [[first, units]]
    plan = shards.spread(left, units)
    if plan is not None:
        return [[k, part] for k, part in plan]
    if units == 1:
        _empty.put(template.template_id, True, now=now)
    raise CouponSoldOut


def remembered_empty(template: Template, *, now: int) -> bool:
    """Whether this process saw two seconds ago or less that nothing is left."""
    return bool(_empty.peek(template.template_id, now=now))


def with_units_left(rows: Sequence[Template], *, now: int) -> set[str]:
    """Which of these have a unit left, as of two seconds ago at most; for pages, it grants nothing."""
    unknown = [row for row in rows if row.limited and _left.peek(row.template_id, now=now) is None]
    keys = [Stock.key(row.template_id, k) for row in unknown for k in range(row.stock_shards)]
    found = [row for row in table.get_all([(Stock, key) for key in keys]) if row is not None]
    some = {row.template_id for row in found if row.left}
    for row in unknown:
        _left.put(row.template_id, row.template_id in some, now=now)
    return {row.template_id for row in rows if not row.limited or _left.peek(row.template_id, now=now)}


def stock_of(template: Template) -> dict[int, Stock]:
    """The shards as they are now."""
    keys = [Stock.key(template.template_id, k) for k in range(template.stock_shards)]
    rows = table.get_all([(Stock, key) for key in keys])
    return {k: row for k, row in enumerate(rows) if row is not None}


# --- making and changing ------------------------------------------------------------------------------------


def make(given: MakeTemplate, making: Making) -> Template:
    """A new template with its stock and first terms; the same key and body again answers with the first.

    Raises:
        Invalid: something about it is wrong. RequestDiffers: the key came with another body.
    """
    rules.valid_template(given, levels=len(levels.everything(now=making.now)))
    template_id, limited = making.new_id("ctp"), given.stock is not None
    template = _row(template_id, given, limited=limited, shard_count=given.stock_shards)
    template.created_at, template.fingerprint = making.now, fingerprint_of(given)
    if table.get(Template, Template.key(template_id)) is None:
        # What a making that broke off has left is made again by the repeat, row by row. Not for a template that is
        # there, and by the body that began it: another body must not bring it shards.
        _begun(template, making)
        for write in [table.create(_terms_row(template)), *_new_stock(template, given.stock)]:
            _once(write)
    made = made_once(template, making.recorded("coupon.made", template_id, after=_told(template)))
    _forget(template_id)
    return made


def _begun(template: Template, making: Making) -> None:
    key = making.idempotency_key
    try:
        operators.begun(template.template_id, template.fingerprint, by=making.by, idempotency_key=key)
    except IdempotencyMismatch as other:
        raise RequestDiffers(**other.details) from other


def _forget(template_id: str) -> None:
    _templates.forget(template_id)
    _all.clear()


def _row(template_id: str, given: EditTemplate, *, limited: bool, shard_count: int) -> Template:
    return Template(
        *Template.key(template_id),
        state="on",
        template_id=template_id,
        title=given.title,
        version=1,
        terms=_worth(given),
        limited=limited,
        per_member=given.per_member,
        per_member_daily=given.per_member_daily,
        claim_from=given.claim.starts_at,
        claim_until=given.claim.ends_at,
        validity=msgspec.to_builtins(given.validity),
        audience=msgspec.to_builtins(given.audience),
        giftable=given.giftable,
        remind_before_s=given.remind_before_s,
        stock_shards=shard_count,
    )


def _worth(given: EditTemplate) -> dict[str, Any]:
    return {
        "kind": given.kind,
        "value_fen": given.value_fen or 0,
        "percent_bps": given.percent_bps or 0,
        "cap_fen": given.cap_fen,
        "threshold_fen": given.threshold_fen,
        "scope": msgspec.to_builtins(given.scope),
        "exclusive": given.exclusive,
        "group": given.group,
    }


def _terms_row(template: Template) -> Terms:
    return Terms(
        *Terms.key(template.template_id, template.version),
        template_id=template.template_id,
        version=template.version,
        title=template.title,
        terms=template.terms,
    )


def _new_stock(template: Template, stock: int | None) -> list[Write]:
    parts: list[int | None] = [None] * template.stock_shards
    if stock is not None:
        parts = list(shards.evenly(stock, template.stock_shards))
    return [
        table.create(
            Stock(
                *Stock.key(template.template_id, k),
                template_id=template.template_id,
                left=left,
                put=left,
                issued=0,
                on=True,
                claim_from=template.claim_from,
                claim_until=template.claim_until,
            )
        )
        for k, left in enumerate(parts)
    ]


def _once(write: Write) -> None:
    try:
        table.apply(write)
    except table.Taken:
        return


def edit(template_id: str, given: EditTemplate, making: Making) -> Template:
    """The template told anew; what is claimed already keeps its terms. Broken off, it is done by saying it again.

    As it was, nothing changes, and no line is left in the trail.

    Raises:
        NotFound: there is none. Invalid: something about it is wrong. Busy: somebody else changed it meanwhile.
    """
    as_made = msgspec.convert({**_told_of(given), "stock": None}, MakeTemplate)
    rules.valid_template(as_made, levels=len(levels.everything(now=making.now)))
    before = _now(template_id)
    row = _row(template_id, given, limited=before.limited, shard_count=before.stock_shards)
    row.state, row.created_at, row.fingerprint = before.state, before.created_at, before.fingerprint
    row.rev, row.version = before.rev + 1, before.version
    if (row.terms, row.title) != (before.terms, before.title):
        row.version = _next_terms(row)
    for k in range(row.stock_shards):
        _window_moved(row, k)
    _forget(template_id)
    if _same(row, before):
        return before
    put = Write(operation="Put", row=row, when=Template.rev == before.rev, refuse=Busy)
    audit = making.recorded("coupon.edited", template_id, before=_told(before), after=_told(row))
    table.transact([put, audit])
    _forget(template_id)
    return row


def _same(row: Template, before: Template) -> bool:
    """Whether an edit says what the template is already, as one whose reply was lost does."""
    told = Template.get_attributes().keys() - {"kind", "rev"}
    return all(getattr(row, name) == getattr(before, name) for name in told)


def _told_of(given: EditTemplate) -> Mapping[str, Any]:
    told: Mapping[str, Any] = msgspec.to_builtins(given)
    return told


def _next_terms(row: Template) -> int:
    """The version that holds these terms: a new one, or that of an edit that broke off."""
    while True:
        row.version += 1
        try:
            table.apply(table.create(_terms_row(row)))
        except table.Taken as first:
            if (first.row.terms, first.row.title) != (row.terms, row.title):
                continue
        return row.version


class _AsItWas(Exception):
    """The shard is so already."""


def _window_moved(template: Template, k: int) -> None:
    other = (Stock.claim_from != template.claim_from) | (Stock.claim_until != template.claim_until)
    actions = (Stock.claim_from.set(template.claim_from), Stock.claim_until.set(template.claim_until))
    key = Stock.key(template.template_id, k)
    _turned(table.update(Stock, key, *actions, when=other, refuse=lambda _: _AsItWas()))


def _turned(write: Write) -> None:
    try:
        table.apply(write)
    except _AsItWas:
        return


def switch(template_id: str, *, to: str, making: Making) -> Template:
    """Switch a template ``on`` or ``off``: every shard by its own write, the state between is ``pausing``.

    Broken off, it is done by saying it again. Coupons that were claimed stay good.

    Raises:
        NotFound: there is none.
    """
    template = _now(template_id)
    if to == "off" and template.state != to:
        table.apply(_stated(template, "pausing"))
    for k in range(template.stock_shards):
        on = to == "on"
        key, other = Stock.key(template_id, k), Stock.on != on
        _turned(table.update(Stock, key, Stock.on.set(on), when=other, refuse=lambda _: _AsItWas()))
    # Also when it is so already: this process may remember it as it was before a call that broke off.
    _forget(template_id)
    if template.state == to:
        # Of two who said otherwise at once, some shards may have had the other's word: now they have this one.
        return template
    was, is_now = {"state": template.state}, {"state": to}
    audit = making.recorded(f"coupon.{to}", template_id, before=was, after=is_now)
    table.transact([_stated(template, to), audit])
    _forget(template_id)
    return _now(template_id)


def _stated(template: Template, state: str) -> Write:
    key = Template.key(template.template_id)
    return table.update(Template, key, Template.state.set(state), refuse=NotFound)


def add_units(template_id: str, *, units: int, making: Making) -> Template:
    """More units, or, with a negative number, fewer; never below what is left of a shard.

    With an Idempotency-Key, once, however often it is said.

    Raises:
        NotFound: no such template. Invalid: its stock is unlimited, or not so many are left in one shard.
        IdempotencyMismatch: the key came with another change.
    """
    template = _now(template_id)
    if not template.limited:
        raise Invalid(field="units", reason="the stock is unlimited")
    left = {k: row.left or 0 for k, row in stock_of(template).items()}
    k = min(left, key=left.__getitem__) if units > 0 else max(left, key=left.__getitem__)
    enough = Stock.left >= -units if units < 0 else None
    refusal = Invalid(field="units", reason="fewer are left in any one shard", left=left[k])
    more = (Stock.left.add(units), Stock.put.add(units))
    change = table.update(Stock, Stock.key(template_id, k), *more, when=enough, refuse=lambda _: refusal)
    was = {"left": sum(left.values())}
    audit = making.recorded("coupon.stock", template_id, before=was, after={"units": units})
    once = operators.said_once(
        "coupon.stock", template_id, units, by=making.by, idempotency_key=making.idempotency_key
    )
    with suppress(operators.Repeated):
        table.transact([*once, change, audit])
    return template


def _now(template_id: str) -> Template:
    template = table.get(Template, Template.key(template_id))
    if template is None:
        raise NotFound
    return template


def _told(row: Template) -> dict[str, Any]:
    names = ("title", "state", "version", "terms", "per_member", "per_member_daily", "claim_from")
    return {name: getattr(row, name) for name in (*names, "claim_until", "validity", "audience")}
