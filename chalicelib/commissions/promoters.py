"""The rules of promoters: who may earn, since when, on which tier.

Nobody is one by being read: they apply, are assigned, or have bought enough, and their tier moves when something is
counted for them. Tiers only rise, but for an operator's word.
"""

from collections.abc import Sequence
from typing import Any

from chalicelib.commissions import rules, terms
from chalicelib.commissions.models import COUNT_ROWS, Counted, Invited, Spent
from chalicelib.commissions.models import Promoter as Promoter  # noqa: PLC0414 - other rooms name what they are given
from chalicelib.core import facts, table
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, NotFound
from chalicelib.core.shards import shard_for
from chalicelib.core.table import Row, Write
from chalicelib.members import service as members
from chalicelib.operators import service as operators
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order, Refund
from chalicelib.sharing import service as sharing
from chalicelib.sharing.attribution import Binding
from chalicelib.sharing.schemas import MintLink, TargetRef

COUNTS = ("invitees", "orders", "settled_fen", "spend_fen")
ROUNDS = 10
TIERS_KEPT = 30
"""How many changes of a promoter's tier are remembered; an order older than all of them has the oldest."""


class DistributionClosed(Conflict):
    """The shop takes no promoters."""

    code = "distribution_closed"
    en = "This shop is not looking for promoters right now."
    zh = "暂未开放分销员申请。"
    advice = "Hide the entry; GET /v1/promoters/rules says whether it is open."


class TermsChanged(Conflict):
    """The terms were changed since they were shown; ``details.version`` is the one in force."""

    code = "terms_changed"
    en = "The terms have changed. Please read them again."
    zh = "分销规则已更新，请重新阅读。"
    advice = "Read GET /v1/promoters/rules again, show it, and send its version."


class PromoterMoved(Conflict):
    """The promoter is in a state in which this cannot be done; ``details.state`` says which."""

    code = "promoter_moved"
    en = "This is not possible in this state."
    zh = "当前状态无法这样操作。"
    advice = "Read the promoter again and show their state."


# --- reading ------------------------------------------------------------------------------------------------


def find(member_id: str) -> Promoter | None:
    """The promoter, whatever their state."""
    return table.get(Promoter, Promoter.key(member_id))


def show(member_id: str) -> Promoter:
    """The promoter, whatever their state.

    Raises:
        NotFound: the member never was one.
    """
    row = find(member_id)
    if row is None:
        raise NotFound
    return row


def active(member_id: str, *, at: int) -> Promoter | None:
    """The promoter, if they could earn by what was ordered ``at``."""
    row = find(member_id)
    return row if row is not None and could_earn(row, at=at) else None


def could_earn(row: Promoter, *, at: int) -> bool:
    """Whether what was ordered ``at`` earns something: who was suspended keeps what came before, and after."""
    if row.active_at is None or at < row.active_at or row.state not in ("active", "suspended"):
        return False
    paused = any(since <= at < until for since, until in row.pauses or ())
    return not paused and (row.state == "active" or at < (row.suspended_at or 0))


def tier_at(row: Promoter, at: int) -> int:
    """The tier that a promoter had ``at``, however late it is asked."""
    return next((tier for until, tier in row.tiers or () if at < until), row.tier)


def _tiers(before: Promoter, *, now: int) -> list[list[int]]:
    """What the tier was, when it changes now."""
    return [*(before.tiers or ()), [now, before.tier]][-TIERS_KEPT:]


def counts_of(member_id: str) -> dict[str, int]:
    """What was counted for somebody."""
    pk, _ = Promoter.key(member_id)
    rows = table.query_all(Counted, pk, Row.sk.startswith("COUNT#"))
    return {name: sum(getattr(row, name) or 0 for row in rows) for name in COUNTS}


def listed(state: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """The promoters in a state, the latest first."""
    return table.owned(f"promoters#{state}", limit=limit, after=after)


def own_link(member_id: str, *, now: int) -> sharing.Link | None:
    """A promoter's own link; None when it was switched off."""
    target = TargetRef(kind="page", id=terms.in_force(now=now).landing_page)
    wanted = MintLink(target=target, channel="link", placement="promoter")
    return sharing.link_for(sharer_id=member_id, wanted=wanted, now=now)


# --- becoming one -------------------------------------------------------------------------------------------


def apply(member_id: str, *, version: int, now: int) -> tuple[Promoter, bool]:
    """The member agrees to a version of the terms and is a promoter, at once or when an operator says so.

    Who is one, or waits to be one, stays it and agrees to this version; who was refused may apply again.

    Raises:
        DistributionClosed: the shop takes none. TermsChanged: another version is in force.
    """
    current = terms.current(now=now)
    said = terms.said(current)
    for _ in range(ROUNDS):
        before = find(member_id)
        if before is None and not said.open:
            raise DistributionClosed
        if version != current.n:
            raise TermsChanged(version=current.n)
        agreed: dict[str, Any] = {"terms_version": version, "agreed_at": now}
        if before is not None and before.state != "refused":
            return (
                before if before.terms_version == version and before.agreed_at else _set(before, agreed)
            ), False
        to = "active" if said.auto_approval else "applied"
        row = _row(member_id, state=to, made_by="apply", now=now, before=before, **agreed)
        try:
            table.transact([_put(row, before)])
        except _Moved:
            continue
        return row, True
    raise Busy


class _Moved(Exception):
    """The promoter is not as they were read."""


def _row(
    member_id: str, *, state: str, made_by: str, now: int, before: Promoter | None = None, **more: Any
) -> Promoter:
    told: dict[str, Any] = {"tier": 1, "terms_version": terms.current(now=now).n, "applied_at": now}
    if before is not None:
        told |= {name: getattr(before, name) for name in ("tier", "tiers", "terms_version", "agreed_at")}
    active_at = now if state == "active" else None
    pk, sk = Promoter.key(member_id)
    rev = before.rev + 1 if before is not None else 1
    told |= {"member_id": member_id, "state": state, "made_by": made_by, "active_at": active_at, "rev": rev}
    where = table.listed(f"promoters#{state}", at=now, as_=member_id)
    return Promoter(pk, sk, **{**told, **more}, **where)


def _put(row: Promoter, before: Promoter | None) -> Write:
    unchanged = Promoter.pk.does_not_exist() if before is None else Promoter.rev == before.rev
    return Write(operation="Put", row=row, when=unchanged, refuse=lambda _: _Moved())


def _set(before: Promoter, told: dict[str, Any]) -> Promoter:
    actions = [getattr(Promoter, name).set(value) for name, value in told.items()]
    row = table.apply(table.update(Promoter, (before.pk, before.sk), *actions, refuse=NotFound))
    assert isinstance(row, Promoter)
    return row


# --- operators ----------------------------------------------------------------------------------------------


def assign(member_id: str, *, by: Operator, now: int) -> tuple[Promoter, bool]:
    """An operator makes a member a promoter at once; one who is active stays as they are.

    Raises:
        NotFound: there is no such member. PromoterMoved: they are suspended; that is ended by `resume`.
    """
    members.show(member_id)
    for _ in range(ROUNDS):
        before = find(member_id)
        if before is not None and before.state == "active":
            return before, False
        if before is not None and before.state == "suspended":
            raise PromoterMoved(state=before.state)
        row = _row(member_id, state="active", made_by="assigned", now=now, before=before)
        try:
            table.transact([_put(row, before), _audit("assigned", before, row, by=by, now=now)])
        except _Moved:
            continue
        return row, True
    raise Busy


_STEPS = {
    "approve": (("applied", "refused"), "active"),
    "refuse": (("applied",), "refused"),
    "suspend": (("active",), "suspended"),
    "resume": (("suspended",), "active"),
}


def move(member_id: str, *, step: str, reason: str, by: Operator, now: int) -> Promoter:
    """An operator approves, refuses, suspends or resumes a promoter; done already, nothing changes.

    Raises:
        NotFound: they never applied. PromoterMoved: they are in another state.
    """
    froms, to = _STEPS[step]
    for _ in range(ROUNDS):
        before = show(member_id)
        if before.state == to:
            return before
        if before.state not in froms:
            raise PromoterMoved(state=before.state)
        told: dict[str, Any] = {"state": to, "reason": reason}
        told |= {"suspended_at": now} if to == "suspended" else {}
        if before.state == "suspended":
            told |= {"pauses": [*(before.pauses or ()), [before.suspended_at, now]]}
        elif to == "active":
            told |= {"active_at": now}
        told |= table.listed(f"promoters#{to}", at=now, as_=member_id)
        try:
            return _changed(before, told, action=step, by=by, now=now)
        except _Moved:
            continue
    raise Busy


def set_tier(member_id: str, *, tier: int, reason: str, by: Operator, now: int) -> Promoter:
    """An operator puts a promoter on a tier; it rises from there as usual.

    Raises:
        NotFound: there is no such promoter.
    """
    for _ in range(ROUNDS):
        before = show(member_id)
        if before.tier == tier:
            return before
        try:
            told = {"tier": tier, "tiers": _tiers(before, now=now), "reason": reason}
            return _changed(before, told, action="tier", by=by, now=now)
        except _Moved:
            continue
    raise Busy


def _changed(before: Promoter, told: dict[str, Any], *, action: str, by: Operator, now: int) -> Promoter:
    actions = [getattr(Promoter, name).set(value) for name, value in told.items()]
    key, unmoved = (before.pk, before.sk), Promoter.rev == before.rev
    change = table.update(Promoter, key, *actions, when=unmoved, refuse=lambda _: _Moved())
    after = Promoter.from_raw_data(before.serialize())
    for name, value in told.items():
        setattr(after, name, value)
    table.transact([change, _audit(action, before, after, by=by, now=now)])
    return show(before.member_id)


def _audit(action: str, before: Promoter | None, after: Promoter, *, by: Operator, now: int) -> Write:
    def told(row: Promoter) -> dict[str, Any]:
        return {"state": row.state, "tier": row.tier, "reason": row.reason}

    return operators.recorded(
        by=by,
        action=f"promoter.{action}",
        subject=after.member_id,
        before=before and told(before),
        after=told(after),
        now=now,
    )


# --- counting -----------------------------------------------------------------------------------------------


def counted(member_id: str, *, cause: str, **more: int) -> Write:
    """The write that counts something for a promoter, in a transaction that happens once for its cause."""
    actions = [getattr(Counted, name).add(value) for name, value in more.items()]
    return table.upsert(Counted, Counted.key(member_id, shard_for(cause, COUNT_ROWS)), *actions)


def promote(member_id: str, *, now: int) -> None:
    """The promoter goes up to the tier that their counts reach, over several if need be.

    Raises:
        Busy: the promoter kept changing.
    """
    tiers = terms.in_force(now=now).tiers
    for _ in range(ROUNDS):
        row = find(member_id) if len(tiers) > 1 else None
        if row is None or not _rises(row, rules.tier_for(tiers, counts_of(member_id)), now=now):
            return
    raise Busy


def _rises(row: Promoter, reached: int, *, now: int) -> bool:
    """Whether it is to be looked at again: it should have risen, and was changed meanwhile."""
    if reached <= row.tier:
        return False
    actions = (Promoter.tier.set(reached), Promoter.tiers.set(_tiers(row, now=now)))
    unmoved = Promoter.rev == row.rev
    try:
        table.apply(
            table.update(Promoter, (row.pk, row.sk), *actions, when=unmoved, refuse=lambda _: _Moved())
        )
    except _Moved:
        return True
    return False


@facts.reaction("binding.made", name="commissions.count_invitee")
def count_invitee(row: Binding, now: int) -> Sequence[Write]:
    """Somebody who was brought counts for their promoter, once ever; nothing is earned by it."""
    if row.state != "bound" or find(row.promoter_id) is None:
        return []
    key = Invited.key(row.promoter_id, row.member_id)
    if table.get(Invited, key) is not None:
        return []
    first = table.create(Invited(*key), refuse=Busy)
    return [first, counted(row.promoter_id, cause=row.member_id, invitees=1)]


@facts.errand("binding.made", name="commissions.promote_by_invitees")
def promote_by_invitees(row: Binding, now: int) -> None:
    """The tier that the new friend reaches."""
    promote(row.promoter_id, now=now)


@facts.reaction("order.completed", name="commissions.count_spend")
def count_spend(order: Order, now: int) -> Sequence[Write]:
    """What a member bought counts, where that makes them a promoter."""
    return [] if terms.in_force(now=now).earned_by_spend_fen is None else _spent(order)


@facts.reaction("order.refunding", name="commissions.uncount_refunding")
@facts.reaction("order.refunded", name="commissions.uncount_refunded")
def uncount_spend(order: Order, now: int) -> Sequence[Write]:
    """What went back counts no more; who became a promoter by it stays one, until an operator suspends them."""
    return _spent(order) if table.get(Spent, Spent.key(order.member_id, order.order_id)) else []


@facts.reaction("order.reduced", name="commissions.uncount_reduced")
def uncount_reduced(refund: Refund, now: int) -> Sequence[Write]:
    """What went back in part counts no more."""
    order = orders.find(refund.order_id)
    lowered = uncount_spend(order, now) if order is not None else ()
    return [facts.unchanged(order), *lowered] if order is not None and lowered else []


def spent_fen(order: Order) -> int:
    """As much of an order as counts: what is left of one that was completed, in fen."""
    return (order.refundable_fen or 0) if order.state == "completed" else 0


def _spent(order: Order) -> list[Write]:
    """The writes by which as much of an order is counted as is left of it now."""
    key = Spent.key(order.member_id, order.order_id)
    row = table.get(Spent, key)
    fen = spent_fen(order)
    more = fen - (row.fen if row is not None else 0)
    if not more:
        return []
    as_seen = Spent.pk.does_not_exist() if row is None else Spent.rev == row.rev
    known = table.upsert(Spent, key, Spent.fen.set(fen), when=as_seen, refuse=Busy)
    return [known, counted(order.member_id, cause=order.order_id, spend_fen=more)]


@facts.errand("order.completed", name="commissions.earn_by_spend")
def earn_by_spend(order: Order, now: int) -> None:
    """Who has bought enough is a promoter; what they agree to they say when they open the page."""
    enough = terms.in_force(now=now).earned_by_spend_fen
    if enough is None or find(order.member_id) is not None:
        return
    if counts_of(order.member_id)["spend_fen"] >= enough:
        row = _row(order.member_id, state="active", made_by="spend", now=now)
        try:
            table.transact([_put(row, None)])
        except _Moved:
            return
