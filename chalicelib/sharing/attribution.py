"""The rules of who brought whom: one binding a member, made by a policy, never to oneself, never in a circle.

A binding is one transaction: the binding's row, the visit that made it (which binds one member only), and a
check on every binding that was walked to rule out a circle; so a bind that happens at the same time cannot slip
past. A member who registers in the same transaction can be nobody's promoter yet, and needs no walk. A binding
that is taken by a newer visit, or whose window is over, is replaced in the same way, and its past is kept with
it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chalicelib.core import deliveries, facts, table
from chalicelib.core.cache import Cache
from chalicelib.core.clock import DAY
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.members import service as members
from chalicelib.operators import service as operators
from chalicelib.sharing import policies, touches, windows
from chalicelib.sharing.history import How
from chalicelib.sharing.models import Binding as Binding  # noqa: PLC0414 - other rooms react to it
from chalicelib.sharing.models import Past, VisitUse
from chalicelib.sharing.refusals import (
    BindingProtected,
    BoundToAnother,
    ChainTooLong,
    NotBound,
    NotNew,
    PromoterGone,
    SelfReferral,
    VisitUsed,
    WouldCircle,
)
from chalicelib.sharing.visits import Visit

WALK_AT_MOST = 8
ROUNDS = 10


_bindings: Cache[Binding] = Cache(size=5000)
"""Only bindings that hold are remembered: one that is missing may be made at any moment."""


class By(msgspec.Struct, frozen=True, kw_only=True):
    """What brings a member to a promoter: a visit of theirs, or their code, typed in."""

    promoter_id: str
    how: How
    at: int
    link: str | None = None
    visit_id: str | None = None
    places: Mapping[str, str] | None = None


def by_visit(visit: Visit, *, places: Mapping[str, str] | None = None) -> By:
    """Brought by a visit; ``places``: where the member was seen, see `signals`."""
    return By(
        promoter_id=visit.link.sharer_id,
        how="visit",
        at=visit.at,
        link=visit.link.code,
        visit_id=visit.visit_id,
        places=places,
    )


# --- binding ------------------------------------------------------------------------------------------------


def binding(member_id: str, *, now: int) -> Binding | None:
    """The binding that holds; one that was found may be 30 seconds old."""
    known = _bindings.peek(member_id, now=now) or table.get(Binding, Binding.key(member_id))
    if known is None or not holds(known, now=now):
        return None
    if _bindings.peek(member_id, now=now) is None:
        _bindings.put(member_id, known, now=now)
    return known


def holds(held: Binding, *, now: int) -> bool:
    """Whether it is a binding still: not undone, and its window not over."""
    return held.state == "bound" and (held.expires_at is None or now < held.expires_at)


def first_binding(
    member_id: str, *, visit: Visit, now: int, places: Mapping[str, str] | None = None
) -> list[Write]:
    """The writes that bind a member who registers in the same transaction.

    Raises:
        PromoterGone: the sharer may not bring anybody. When sent, VisitUsed: the visit bound another.
    """
    by = by_visit(visit, places=places)
    _promoter_there(by, now=now)
    return [table.create(_row(member_id, by=by, rev=1, cause="registered", now=now)), *_used(by, member_id)]


def come(member_id: str, *, visit: Visit, now: int, places: Mapping[str, str] | None = None) -> bool:
    """Whether a signed-in member is somebody's customer after this visit; mostly they were, and it is known."""
    held, by = binding(member_id, now=now), by_visit(visit, places=places)
    if held is not None and not _could_be_taken(held, by, now=now):
        touches.note(member_id, by=by, held=held, reason=_kept(held, by), now=now)
        return True
    try:
        bind(member_id, visit=visit, now=now, places=places)
    except NotBound:
        return False
    return True


def bind(member_id: str, *, visit: Visit, now: int, places: Mapping[str, str] | None = None) -> Binding:
    """Bind a member of long standing by a visit, if the policy does that; kept by another, the binding that is.

    Raises:
        NotNew, SelfReferral, WouldCircle, ChainTooLong, VisitUsed, PromoterGone: why not.
    """
    by = by_visit(visit, places=places)
    try:
        held, new = bring(member_id, by=by, now=now)
    except BoundToAnother as bound:
        touches.note(member_id, by=by, held=bound.held, reason=bound.code, now=now)
        return bound.held
    except NotBound as not_bound:
        touches.note(member_id, by=by, held=None, reason=not_bound.code, now=now)
        raise
    if not new:
        touches.note(member_id, by=by, held=held, reason=touches.THEIRS, now=now)
    return held


def bind_by_code(member_id: str, *, promoter_id: str, now: int) -> tuple[Binding, bool]:
    """Bind a member to whose invite code they typed in, and whether that is new.

    Raises:
        BoundToAnother, BindingProtected, NotNew, SelfReferral, WouldCircle, ChainTooLong, PromoterGone: why not.
    """
    by = By(promoter_id=promoter_id, how="invite_code", at=now)
    try:
        return bring(member_id, by=by, now=now)
    except NotBound as not_bound:
        held = not_bound.held if isinstance(not_bound, BoundToAnother) else None
        touches.note(member_id, by=by, held=held, reason=not_bound.code, now=now)
        raise


def bring(member_id: str, *, by: By, now: int) -> tuple[Binding, bool]:
    """Bind a member to whoever brings them, now, if the policy does that; theirs already, the binding that is.

    Raises:
        BoundToAnother, BindingProtected, NotNew, SelfReferral, WouldCircle, ChainTooLong, VisitUsed, PromoterGone:
        why not.
    """
    for _ in range(ROUNDS):
        held = _held(member_id, now=now)
        if held is not None and holds(held, now=now):
            if held.promoter_id == by.promoter_id:
                return held, False
            _may_take(held, by, now=now)
        _may_bind_later(member_id, by, held, now=now)
        if _owes(held, now=now):
            continue
        row = _row(member_id, by=by, rev=(held.rev + 1 if held else 1), cause=by.how, now=now)
        try:
            above = walk(member_id, by.promoter_id)
            table.transact([_put(row, held), *_used(by, member_id), *left(row, held, now=now), *above])
        except (table.Taken, _Moved):
            continue  # the member was bound, or somebody above moved, meanwhile: look again
        _bindings.forget(member_id)
        return row, True
    raise Busy


def _held(member_id: str, *, now: int) -> Binding | None:
    """The binding as it is, with all counted that renewed it."""
    held = table.get(Binding, Binding.key(member_id))
    if held is not None and held.state == "bound" and not holds(held, now=now):
        return windows.caught_up(held, now=now)
    return held


def _owes(held: Binding | None, *, now: int) -> bool:
    """Whether the binding owed something when it was read, which could not be told from the one in its place.

    It has happened now, and the binding is to be judged anew: another may have come in between.
    """
    if held is None or held.owed_rev is None:
        return False
    facts.catch_up(held, now=now)
    return True


def _may_take(held: Binding, by: By, *, now: int) -> None:
    until = windows.terms_of(held, now=now).protected_until(held.bound_at)
    if not _could_be_taken(held, by, now=now):
        raise BoundToAnother(held, since=held.bound_at, until=held.expires_at)
    if now < until:
        raise BindingProtected(held, since=held.bound_at, protected_until=until)


def _could_be_taken(held: Binding, by: By, *, now: int) -> bool:
    """Whether it is another's, by a visit that is no newer, and both policies let the newest take it."""
    newer = held.promoter_id != by.promoter_id and by.at >= (held.opened_at or held.bound_at)
    in_force = policies.terms(policies.current(now=now))
    return newer and in_force.takes(windows.terms_of(held, now=now))


def _kept(held: Binding, by: By) -> str:
    return touches.THEIRS if held.promoter_id == by.promoter_id else BoundToAnother.code


def _may_bind_later(member_id: str, by: By, held: Binding | None, *, now: int) -> None:
    if by.promoter_id == member_id:
        raise SelfReferral
    terms = policies.terms(policies.current(now=now))
    if not terms.binds(by.how) or (terms.mode == "new_members" and not _is_new(member_id, held, now=now)):
        raise NotNew
    _promoter_there(by, now=now)


def _is_new(member_id: str, held: Binding | None, *, now: int) -> bool:
    """Whether a member who types a code in counts as new: nobody's customer ever, and registered within a day."""
    return held is None and now - members.show(member_id).registered_at <= DAY


def _promoter_there(by: By, *, now: int) -> None:
    if not members.is_active(by.promoter_id, now=now):
        raise PromoterGone


class _Moved(Exception):
    """A binding that was walked has changed."""


def walk(member_id: str, promoter_id: str) -> list[Write]:
    """Up from the promoter to somebody nobody brought: a check on every binding on the way.

    One whose window is over counts as well, until another takes its place: a purchase told late may renew it.
    """
    checks: list[Write] = []
    above: str | None = promoter_id
    while above is not None:
        if above == member_id:
            raise WouldCircle
        if len(checks) == WALK_AT_MOST:
            raise ChainTooLong
        held = table.get(Binding, Binding.key(above))
        unchanged = Binding.pk.does_not_exist() if held is None else Binding.rev == held.rev
        checks.append(table.check(Binding, Binding.key(above), when=unchanged, refuse=lambda _: _Moved()))
        above = held.promoter_id if held is not None and held.state == "bound" else None
    return checks


def _row(member_id: str, *, by: By, rev: int, cause: str, now: int) -> Binding:
    pk, sk = Binding.key(member_id)
    policy = policies.current(now=now)
    owed = facts.owed("binding.made", pk=pk, rev=rev, now=now)
    return Binding(
        pk,
        sk,
        rev=rev,
        state="bound",
        member_id=member_id,
        promoter_id=by.promoter_id,
        link=by.link,
        visit_id=by.visit_id,
        policy=policy.n,
        bound_at=now,
        cause=cause,
        opened_at=by.at,
        expires_at=policies.terms(policy).expires_at(now),
        places=dict(by.places) if by.places else None,
        **owed,
        **customers(by.promoter_id, member_id, at=now),
    )


def customers(promoter_id: str, member_id: str, *, at: int) -> dict[str, Any]:
    """The attributes that put a binding in its promoter's list."""
    return table.listed(f"{promoter_id}#customers", at=at, as_=member_id)


def _put(row: Binding, held: Binding | None) -> Write:
    """The binding in place of the one that was read."""
    if held is None:
        return table.create(row)
    if held.state == "bound" and row.owed_rev is not None:
        # From bound to bound no state changes, so the stream tells of no fact: its job does, and at once.
        row.due_at = row.bound_at
    return Write(operation="Put", row=row, when=Binding.rev == held.rev, refuse=lambda _: _Moved())


def left(row: Binding, held: Binding | None, *, now: int) -> list[Write]:
    """The writes that keep what the binding was that is taken, or whose window is over; of one that was undone the
    past is kept already."""
    if held is None or held.state != "bound":
        return []
    ended_by = "taken" if holds(held, now=now) else "window_over"
    past = _past(held, cause=ended_by, ended_by=ended_by, now=now)
    return [*past, *touches.left(held, to=row.promoter_id, reason=ended_by, now=now)]


def _used(by: By, member_id: str) -> list[Write]:
    if by.visit_id is None:
        return []
    row = VisitUse(*VisitUse.key(by.visit_id), member_id=member_id)
    # The same member may come by the same visit again, say after an operator unbound them.
    mine = VisitUse.pk.does_not_exist() | (VisitUse.member_id == member_id)
    return [Write(operation="Put", row=row, when=mine, refuse=VisitUsed)]


# --- operators ----------------------------------------------------------------------------------------------


def move(
    member_id: str,
    *,
    promoter_id: str | None,
    reason: str,
    by: Operator,
    now: int,
    bound_at: int | None = None,
) -> Binding | None:
    """An operator gives a customer to a promoter, or to nobody; what was is kept, made orders stay as they are.

    ``bound_at``: since when they have been, where another system bound them; their window began then.

    Raises:
        NotFound: no such member or promoter. SelfReferral, WouldCircle, ChainTooLong: it would be wrong.
    """
    members.show(member_id)
    if promoter_id == member_id:
        raise SelfReferral
    if promoter_id is not None:
        members.show(promoter_id)
    for _ in range(ROUNDS):
        held = _held(member_id, now=now)
        if _whose(held, now=now) == promoter_id:
            return held
        if _owes(held, now=now):
            continue
        try:
            moved = _moved(member_id, held, promoter_id, bound_at=bound_at or now, now=now)
            above = walk(member_id, promoter_id) if promoter_id else []
            audit = operators.recorded(
                by=by,
                action="binding.moved",
                subject=member_id,
                before={"promoter_id": _whose(held, now=now)},
                after={"promoter_id": promoter_id, "reason": reason},
                now=now,
            )
            told = _told_mall(moved, now=now)
            past = _past(held, cause=reason, ended_by="operator", now=now)
            was = [*past, *_moved_from(held, to=promoter_id, now=now)]
            table.transact([_put(moved, held), *was, audit, *above, *told])
        except (table.Taken, _Moved):
            continue
        _bindings.forget(member_id)
        return moved
    raise Busy


def _whose(held: Binding | None, *, now: int) -> str | None:
    return held.promoter_id if held is not None and holds(held, now=now) else None


def _moved_from(held: Binding | None, *, to: str | None, now: int) -> list[Write]:
    if held is None or held.state != "bound":
        return []
    return touches.left(held, to=to, reason="moved" if holds(held, now=now) else "window_over", now=now)


def _moved(
    member_id: str, held: Binding | None, promoter_id: str | None, *, bound_at: int, now: int
) -> Binding:
    pk, sk = Binding.key(member_id)
    rev = held.rev + 1 if held else 1
    policy = policies.current(now=now)
    return Binding(
        pk,
        sk,
        rev=rev,
        state="bound" if promoter_id else "unbound",
        member_id=member_id,
        promoter_id=promoter_id or (held.promoter_id if held else ""),
        policy=policy.n,
        bound_at=bound_at,
        cause="operator",
        expires_at=policies.terms(policy).expires_at(bound_at) if promoter_id else None,
        **(customers(promoter_id, member_id, at=bound_at) if promoter_id else {}),
    )


def _past(held: Binding | None, *, cause: str, ended_by: str, now: int) -> list[Write]:
    if held is None:
        return []
    names = (
        "state",
        "promoter_id",
        "link",
        "visit_id",
        "policy",
        "bound_at",
        "cause",
        "expires_at",
        "places",
    )
    was = {name: getattr(held, name) for name in names}
    key = Past.key(held.member_id, held.rev)
    return [table.create(Past(*key, was=was, changed_at=now, cause=cause, ended_by=ended_by))]


def history(member_id: str) -> tuple[Binding | None, list[Past]]:
    """The binding as it is, and what it was before, newest first.

    Raises:
        NotFound: there is no such member.
    """
    members.show(member_id)
    rows = table.query_all(Binding, Binding.key(member_id)[0], Binding.sk.startswith("BINDING"))
    now = next((row for row in rows if isinstance(row, Binding)), None)
    return now, sorted((row for row in rows if isinstance(row, Past)), key=lambda row: row.sk, reverse=True)


# --- reactions ----------------------------------------------------------------------------------------------


@facts.reaction("binding.made", name="sharing.tell_mall")
def tell_mall(row: Binding, now: int) -> Sequence[Write]:
    """The mall learns whose customer a member is, if they still are; of a move it is told with the move."""
    if row.state != "bound" or row.cause == "operator":
        return []
    return _told_mall(row, now=now)


def _told_mall(row: Binding, *, now: int) -> list[Write]:
    data = {
        "member_id": row.member_id,
        "promoter_id": row.promoter_id,
        "link": row.link,
        "bound_at": row.bound_at,
        "expires_at": row.expires_at,
    }
    cause = [row.member_id, row.promoter_id, str(row.rev)]
    return deliveries.owe(
        "member.bound" if row.state == "bound" else "member.unbound", cause=cause, data=data, now=now
    )
