"""Share packs (裂变券): a member gets N pieces to share, each friend takes one, and k new friends unlock the
sharer's own coupon.

Pieces are worth the same, or what the plan lists, in that order, which everybody can read beforehand: nothing is
drawn by chance, and sharing or looking alone gives nothing. A pack takes the units of all its pieces, and of the
sharer's own coupon, when it opens, so what was promised is there; what is left when it ends goes back to the shards
it came from.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.core import config, due, ids, shards, table
from chalicelib.core.errors import Busy, Conflict, Gone, NotFound
from chalicelib.core.table import Row, Write
from chalicelib.coupons import plans, rules, service, templates
from chalicelib.coupons.models import Coupon, Pack, Piece, Plan, Sharing, Template
from chalicelib.coupons.service import ROUNDS, Claim, NotEligible
from chalicelib.coupons.templates import StockShort
from chalicelib.members import service as members
from chalicelib.members.service import Member
from chalicelib.orders import service as orders

JOB = "coupon_packs"
PAID = ("paid", "completed")


class PackNeedsOrder(Conflict):
    """These packs come after an order, and this order is not the member's, or not paid."""

    code = "pack_needs_order"
    en = "This pack comes with an order that is paid."
    zh = "支付订单后才能领取该裂变券包。"
    advice = "Offer it on the page of a paid order."


class PackEmpty(Conflict):
    """Every piece is taken."""

    code = "pack_empty"
    en = "All pieces of this pack are taken."
    zh = "已被领完。"
    advice = "Show who took one; offer what else can be claimed."


class PackOver(Gone):
    """The pack's time is over."""

    code = "pack_over"
    en = "This pack is over."
    zh = "该裂变券包已结束。"
    advice = "Offer what else can be claimed."


class OwnPack(Conflict):
    """Pieces are for friends; the sharer's own coupon unlocks by them."""

    code = "pack_is_own"
    en = "The pieces are for your friends."
    zh = "不能领取自己分享的券。"
    advice = "Show how many new friends are missing."


class _Moved(Exception):
    """Something is not what it was; read again."""


def _moved(_: Any) -> Exception:
    return _Moved()


# --- opening ------------------------------------------------------------------------------------------------


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A pack, and whether this call opened it."""

    pack: Pack
    new: bool


def open_pack(
    plan_id: str, member_id: str, *, order_id: str | None, vouched: bool = False, now: int
) -> Opened:
    """A member's pack: one for a plan, or for a paid order; open already, the same pack.

    ``vouched``: the mall says that the order is the member's, and paid.

    Raises:
        NotFound, PlanNotOpen, PackNeedsOrder, CouponOff, CouponSoldOut.
    """
    row = plans.find(plan_id, now=now)
    ref = _order_ref(row, member_id, order_id, vouched=vouched)
    pack_id = ids.derived("cpk", plan_id, member_id, ref or "")
    there = table.get(Pack, Pack.key(pack_id))
    if there is not None:
        return Opened(pack=there, new=False)
    closed = plans.why_closed(row, now=now)
    if closed is not None:
        raise closed
    return _open(row, pack_id, member_id, ref, now=now)


def _order_ref(row: Plan, member_id: str, order_id: str | None, *, vouched: bool) -> str | None:
    if row.after != "order":
        return None
    if order_id is None:
        raise PackNeedsOrder
    if vouched:
        return f"mall#{order_id}"
    order = orders.find(order_id)
    if order is None or order.member_id != member_id or order.state not in PAID:
        raise PackNeedsOrder
    return order_id


def _open(row: Plan, pack_id: str, member_id: str, ref: str | None, *, now: int) -> Opened:
    friends = _given(row.template_id, now=now)
    sharers = _given(row.sharer_template_id, now=now) if row.sharer_template_id else None
    taken = [[shards.shard_for(pack_id, friends.stock_shards), row.pieces]]
    shard = shards.shard_for(pack_id, sharers.stock_shards) if sharers else None
    for _ in range(ROUNDS):
        pack = _pack(row, friends, pack_id, member_id, ref, now=now)
        pack.taken, pack.sharer_shard = taken, shard
        try:
            table.transact(_opening(pack, friends, sharers, now=now))
            return Opened(pack=pack, new=True)
        except table.Taken as first:
            return Opened(pack=first.row, new=False)
        except StockShort:
            taken, shard = _elsewhere(friends, sharers, row.pieces, now=now)
    raise Busy


def _elsewhere(
    friends: Template, sharers: Template | None, pieces: int, *, now: int
) -> tuple[list[list[int]], int | None]:
    """Where else the units of the pieces, and that of the sharer's own coupon, come from."""
    if sharers is None:
        return templates.elsewhere(friends, pieces, now=now), None
    if sharers.template_id != friends.template_id:
        [[shard, _one]] = templates.elsewhere(sharers, 1, now=now)
        return templates.elsewhere(friends, pieces, now=now), shard
    both = templates.elsewhere(friends, pieces + 1, now=now)
    return shards.some_of(both, pieces), both[-1][0]


def _given(template_id: str, *, now: int) -> Template:
    """A template whose coupons may be given now."""
    template = templates.find(template_id, now=now)
    refusal = templates.why_not_now(template, now=now, window=False)
    if refusal is not None:
        raise refusal
    return template


def _pack(row: Plan, friends: Template, pack_id: str, member_id: str, ref: str | None, *, now: int) -> Pack:
    pk, sk = Pack.key(pack_id)
    has_own = row.sharer_template_id is not None
    own_id = service.id_for_cause(row.sharer_template_id or "", member_id, f"pack#{pack_id}#own")
    return Pack(
        pk,
        sk,
        state="open",
        pack_id=pack_id,
        plan_id=row.plan_id,
        sharer_id=member_id,
        title=row.title,
        template_id=row.template_id,
        version=friends.version,
        pieces=row.pieces,
        amounts=row.amounts,
        left=row.pieces,
        new_friends_only=row.new_friends_only,
        new_missing=row.sharer_after_new,
        sharer_coupon_id=own_id if has_own else None,
        sharer_template_id=row.sharer_template_id,
        order_id=ref,
        opened_at=now,
        ends_at=now + row.open_for_s,
        taken=[],
        **due.slot(job=JOB, pk=pk, at=now + row.open_for_s),
    )


def _opening(pack: Pack, friends: Template, sharers: Template | None, *, now: int) -> list[Write]:
    parts = [(friends, k, units) for k, units in pack.taken]
    mine = Sharing(*Sharing.key(pack.sharer_id, now, pack.pack_id), pack_id=pack.pack_id)
    writes = [table.create(pack), table.create(mine, refuse=_moved)]
    if sharers is not None and pack.sharer_shard is not None and pack.sharer_coupon_id is not None:
        parts.append((sharers, pack.sharer_shard, 1))
        waiting = service.new_coupon(
            sharers,
            pack.sharer_id,
            pack.sharer_coupon_id,
            source="pack_own",
            shard=pack.sharer_shard,
            now=now,
        )
        waiting.state, waiting.due_shard, waiting.due_at, waiting.due_ref = "waiting", None, None, None
        writes.append(table.create(waiting, refuse=_moved))
    return [*writes, *_stock(parts, taking=True, now=now)]


def _stock(parts: Sequence[tuple[Template, int, int]], *, taking: bool, now: int) -> list[Write]:
    """Units taken from, or given back to, shards, each of which may stand in a transaction once."""
    total: Counter[tuple[str, int]] = Counter()
    for template, k, units in parts:
        total[(template.template_id, k)] += units
    of = {template.template_id: template for template, _, _ in parts}
    if taking:
        return [
            templates.taken(of[one], k, units, now=now, window=False) for (one, k), units in total.items()
        ]
    return [templates.back(of[one], k, units) for (one, k), units in total.items() if units]


# --- taking a piece -----------------------------------------------------------------------------------------


def show(pack_id: str) -> tuple[Pack, list[Piece]]:
    """A pack and the pieces that were taken, in order.

    Raises:
        NotFound: there is none.
    """
    found = table.query_all(Row, Pack.key(pack_id)[0])
    pack = next((row for row in found if isinstance(row, Pack)), None)
    if pack is None:
        raise NotFound
    return pack, sorted((row for row in found if isinstance(row, Piece)), key=lambda row: row.n)


def mine(member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """A member's own packs, newest first."""
    page = table.query(Sharing, Sharing.key(member_id, 0, "")[0], limit=limit, newest_first=True, after=after)
    return table.Page(table.get_all([(Pack, Pack.key(row.pack_id)) for row in page.rows]), page.next_key)


def between(member_id: str, *, since: int, until: int) -> list[Pack]:
    """The packs that a member opened after ``since`` and until ``until``."""
    pk, first = Sharing.key(member_id, since + 1, "")
    last = Sharing.key(member_id, until, "~")[1]
    rows = table.query_all(Sharing, pk, Sharing.sk.between(first, last))
    return [row for row in table.get_all([(Pack, Pack.key(row.pack_id)) for row in rows]) if row is not None]


def take(pack_id: str, member_id: str, *, now: int) -> Claim:
    """A friend takes the next piece: one for each friend, and the same friend again gets the same answer.

    Raises:
        NotFound, OwnPack, PackEmpty, PackOver, NotEligible.
    """
    friend = members.show(member_id)
    return _taken_formerly(pack_id, friend) or _take(pack_id, friend, now=now)


def _taken_formerly(pack_id: str, friend: Member) -> Claim | None:
    """What they took of it when they were another."""
    keys = [Piece.key(pack_id, one) for one in friend.formerly or ()]
    rows = table.get_many([(Piece, key) for key in keys]) if keys else []
    return next(
        (
            Claim(coupon=service.own(row.member_id, row.coupon_id), new=False)
            for row in rows
            if row is not None
        ),
        None,
    )


def _take(pack_id: str, friend: Member, *, now: int) -> Claim:
    member_id = friend.member_id
    for _ in range(ROUNDS + 50):
        pack = table.get(Pack, Pack.key(pack_id))
        if pack is None:
            raise NotFound
        new = friend.registered_at >= pack.opened_at
        coupon_id = service.id_for_cause(pack.template_id, member_id, f"pack#{pack_id}")
        try:
            _may_take(pack, member_id, new=new, now=now)
            coupon = _piece_coupon(pack, member_id, coupon_id, now=now)
            table.transact(_taking(pack, coupon, new=new, now=now))
            return Claim(coupon=coupon, new=True)
        except table.Taken:
            return Claim(coupon=service.own(member_id, coupon_id), new=False)
        except (PackEmpty, PackOver):
            first = service.find(member_id, coupon_id)
            if first is None:
                raise
            return Claim(coupon=first, new=False)
        except _Moved:
            continue
    raise Busy


def why_not(pack: Pack, member_id: str, *, new: bool, now: int) -> Conflict | Gone | None:
    """Why somebody cannot take a piece now; None when they can."""
    if pack.sharer_id == member_id:
        return OwnPack(new_missing=pack.new_missing)
    if pack.state == "empty":
        return PackEmpty()
    if pack.state != "open" or pack.ends_at <= now:
        return PackOver(ended_at=pack.ends_at)
    return NotEligible(why="new_members_only") if pack.new_friends_only and not new else None


def _may_take(pack: Pack, member_id: str, *, new: bool, now: int) -> None:
    refusal = why_not(pack, member_id, new=new, now=now)
    if refusal is not None:
        raise refusal


def _piece_coupon(pack: Pack, member_id: str, coupon_id: str, *, now: int) -> Coupon:
    """The coupon of the next piece, under the terms that the pack was opened under."""
    template = templates.find(pack.template_id, now=now)
    worth = pack.amounts[pack.pieces - pack.left] if pack.amounts is not None else None
    return service.new_coupon(
        template,
        member_id,
        coupon_id,
        source="pack",
        shard=pack.taken[0][0],
        now=now,
        version=pack.version,
        value_fen=worth,
    )


def _taking(pack: Pack, coupon: Coupon, *, new: bool, now: int) -> list[Write]:
    counts = new and pack.new_missing > 0
    unlocks = counts and pack.new_missing == 1
    piece = Piece(
        *Piece.key(pack.pack_id, coupon.member_id),
        n=pack.pieces - pack.left + 1,
        member_id=coupon.member_id,
        coupon_id=coupon.coupon_id,
        value_fen=coupon.value_fen,
        new=new,
        taken_at=now,
    )
    writes = [
        table.create(piece),
        _one_less(pack, counts=counts, unlocks=unlocks, now=now),
        table.create(coupon, refuse=_moved),
    ]
    return [*writes, _unlocked(pack, now=now)] if unlocks else writes


def _one_less(pack: Pack, *, counts: bool, unlocks: bool, now: int) -> Write:
    actions: list[Action] = [Pack.left.add(-1)]
    if counts:
        actions.append(Pack.new_missing.add(-1))
    if pack.left == 1:
        actions.append(Pack.state.set("empty"))
        if pack.sharer_coupon_id is None or unlocks or pack.new_missing == 0:
            actions += due.emptied()
    as_seen = (Pack.rev == pack.rev) & (Pack.state == "open") & (Pack.ends_at > now)
    return table.update(Pack, (pack.pk, pack.sk), *actions, when=as_seen, refuse=_moved)


def _unlocked(pack: Pack, *, now: int) -> Write:
    """The sharer's own coupon is good from now on, for as long as its template says."""
    assert pack.sharer_template_id is not None and pack.sharer_coupon_id is not None
    template = templates.find(pack.sharer_template_id, now=now)
    starts_at, ends_at = rules.window(template.validity, now=now, zone=config.settings().zone)
    pk, sk = Coupon.key(pack.sharer_id, pack.sharer_coupon_id)
    return table.update(
        Coupon,
        (pk, sk),
        Coupon.state.set("unused"),
        Coupon.starts_at.set(starts_at),
        Coupon.ends_at.set(ends_at),
        Coupon.remind_at.remove(),
        *due.moved(job=service.JOB, pk=pk, at=ends_at, ref="expire"),
        when=Coupon.state == "waiting",
        refuse=_moved,
    )


# --- the end ------------------------------------------------------------------------------------------------


@due.handles(JOB)
def end_pack(entry: due.Entry, now: int) -> None:
    """A pack's time is over: units of pieces that nobody took, and of a coupon that stayed locked, go back.

    Raises:
        Busy: pieces kept being taken.
    """
    pack_id = entry.pk.removeprefix("PACK#")
    for _ in range(ROUNDS):
        pack, _pieces = show(pack_id)
        if pack.state not in ("open", "empty") or pack.ends_at > now:
            return
        try:
            table.transact(_ending(pack, now=now))
            return
        except _Moved:
            continue
    raise Busy


def _ending(pack: Pack, *, now: int) -> list[Write]:
    over = (Pack.state.set("over"), *due.emptied())
    writes = [table.update(Pack, (pack.pk, pack.sk), *over, when=Pack.rev == pack.rev, refuse=_moved)]
    friends = templates.find(pack.template_id, now=now)
    parts = [(friends, k, units) for k, units in shards.some_of(pack.taken, pack.left)]
    if pack.sharer_coupon_id and pack.sharer_template_id and pack.new_missing > 0:
        sharers = templates.find(pack.sharer_template_id, now=now)
        parts.append((sharers, pack.sharer_shard or 0, 1))
        lapsed = Coupon.state.set("lapsed")
        key = Coupon.key(pack.sharer_id, pack.sharer_coupon_id)
        writes.append(table.update(Coupon, key, lapsed, when=Coupon.state == "waiting", refuse=_moved))
    return [*writes, *_stock(parts, taking=False, now=now)]
