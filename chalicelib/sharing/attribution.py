"""The rules of who brought whom: one binding a member, made by a policy, never to oneself, never in a circle.

A binding is one transaction: the binding's row, the visit that made it (which binds one member only), and a
check on every binding that was walked to rule out a circle; so a bind that happens at the same time cannot slip
past. A member who registers in the same transaction can be nobody's promoter yet, and needs no walk.
"""

from collections.abc import Sequence

from chalicelib.core import deliveries, facts, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict
from chalicelib.core.table import Write
from chalicelib.members import service as members
from chalicelib.operators import service as operators
from chalicelib.sharing import rules
from chalicelib.sharing.models import Binding as Binding  # noqa: PLC0414 - other rooms react to it
from chalicelib.sharing.models import Past, Policy, VisitUse
from chalicelib.sharing.schemas import EditPolicy
from chalicelib.sharing.visits import Visit

WALK_AT_MOST = 8
ROUNDS = 10


class NotBound(Conflict):
    """Why a visit did not bind; a sign-in goes on without it, and says the code."""


class SelfReferral(NotBound):
    """Nobody brings themselves."""

    code = "self_referral"
    en = "You cannot bring yourself."
    zh = "不能绑定自己。"
    advice = "Do not offer it on the member's own links."


class WouldCircle(NotBound):
    """The promoter was brought, directly or not, by this very member."""

    code = "would_circle"
    en = "You brought this person yourself."
    zh = "对方是你邀请来的，不能互相绑定。"
    advice = "Say so; nothing else to do."


class ChainTooLong(NotBound):
    """More than eight members stand above the promoter, too many to rule out a circle for an old member."""

    code = "chain_too_long"
    en = "This is not possible for this link."
    zh = "该链接暂不支持绑定。"
    advice = "Nothing to do; new members are bound all the same."


class NotNew(NotBound):
    """The policy binds new members only."""

    code = "not_a_new_member"
    en = "This is for new members only."
    zh = "仅限新会员。"
    advice = "Show the target without the promise for newcomers."


class VisitUsed(NotBound):
    """This visit has bound another member already."""

    code = "visit_used"
    en = "This visit was used by somebody else."
    zh = "该访问记录已被使用。"
    advice = "Open the link again for a visit of one's own."


class PromoterGone(NotBound):
    """The sharer is blocked, or not there any more."""

    code = "promoter_gone"
    en = "The person who shared this is not here any more."
    zh = "分享人已不可用。"
    advice = "Nothing to do."


_policy: Cache[Policy] = Cache()
_bindings: Cache[Binding] = Cache(size=5000)
"""Only bindings that hold are remembered: one that is missing may be made at any moment."""


# --- policies -----------------------------------------------------------------------------------------------


def policy(*, now: int) -> Policy:
    """The policy in force, at most 30 seconds old: version 0, first touch for ever, until operators say."""

    def load() -> Policy:
        rows = policies(limit=1)
        return rows[0] if rows else Policy(*Policy.key(0), n=0, mode="first", depth=1, made_at=0)

    return _policy.get("current", now=now, load=load)


def policies(*, limit: int) -> list[Policy]:
    """The versions, newest first."""
    return table.query(Policy, "POLICY", limit=limit, newest_first=True).rows


def make_policy(given: EditPolicy, *, by: Operator, now: int) -> Policy:
    """The next version of the policy; bindings keep the version they were made under.

    What is in force already makes no new version.

    Raises:
        Busy: somebody else made a version at the same moment.
    """
    newest = next(iter(policies(limit=1)), None)
    if newest is not None and (newest.mode, newest.depth) == (given.mode, given.depth):
        return newest
    n = newest.n + 1 if newest else 1
    row = Policy(*Policy.key(n), n=n, mode=given.mode, depth=given.depth, made_at=now)
    before = newest and {"version": newest.n, "mode": newest.mode, "depth": newest.depth}
    after = {"version": n, "mode": given.mode, "depth": given.depth}
    audit = operators.recorded(
        by=by, action="policy.made", subject=str(n), before=before, after=after, now=now
    )
    table.transact([table.create(row, refuse=Busy), audit])
    _policy.clear()
    return row


# --- binding ------------------------------------------------------------------------------------------------


def binding(member_id: str, *, now: int) -> Binding | None:
    """The binding that holds; one that was found may be 30 seconds old."""
    known = _bindings.peek(member_id, now=now)
    if known is not None:
        return known
    found = table.get(Binding, Binding.key(member_id))
    if found is None or found.state != "bound":
        return None
    _bindings.put(member_id, found, now=now)
    return found


def first_binding(member_id: str, *, visit: Visit, now: int) -> list[Write]:
    """The writes that bind a member who registers in the same transaction.

    Raises:
        PromoterGone: the sharer may not bring anybody. When sent, VisitUsed: the visit bound another.
    """
    _promoter_there(visit, now=now)
    row = _row(member_id, visit=visit, rev=1, cause="registered", now=now)
    return [table.create(row), _used(visit, member_id)]


def bind(member_id: str, *, visit: Visit, now: int) -> Binding:
    """Bind a member of long standing by a visit, if the policy does that; bound already, the binding that is.

    Raises:
        NotNew, SelfReferral, WouldCircle, ChainTooLong, VisitUsed, PromoterGone: why not.
    """
    for _ in range(ROUNDS):
        held = table.get(Binding, Binding.key(member_id))
        if held is not None and held.state == "bound":
            return held
        _may_bind_later(member_id, visit, now=now)
        row = _row(member_id, visit=visit, rev=(held.rev + 1 if held else 1), cause="visit", now=now)
        try:
            above = _walk(member_id, visit.link.sharer_id)
            table.transact([_put(row, held), _used(visit, member_id), *above])
            return row
        except (table.Taken, _Moved):
            continue  # the member was bound, or somebody above moved, meanwhile: look again
    raise Busy


def _may_bind_later(member_id: str, visit: Visit, *, now: int) -> None:
    if visit.link.sharer_id == member_id:
        raise SelfReferral
    if not rules.binds_later(policy(now=now).mode):
        raise NotNew
    _promoter_there(visit, now=now)


def _promoter_there(visit: Visit, *, now: int) -> None:
    sharer = members.profile(visit.link.sharer_id, now=now)
    if sharer is None or not sharer.active:
        raise PromoterGone


class _Moved(Exception):
    """A binding that was walked has changed."""


def _walk(member_id: str, promoter_id: str) -> list[Write]:
    """Up from the promoter to somebody nobody brought: a check on every binding on the way."""
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


def _row(member_id: str, *, visit: Visit, rev: int, cause: str, now: int) -> Binding:
    pk, sk = Binding.key(member_id)
    return Binding(
        pk,
        sk,
        rev=rev,
        state="bound",
        member_id=member_id,
        promoter_id=visit.link.sharer_id,
        link=visit.link.code,
        visit_id=visit.visit_id,
        policy=policy(now=now).n,
        bound_at=now,
        cause=cause,
        **facts.owed("binding.made", pk=pk, rev=rev, now=now),
    )


def _put(row: Binding, held: Binding | None) -> Write:
    """The binding in place of the unbound one that was read; the past of an unbound one is kept already."""
    if held is None:
        return table.create(row)
    return Write(operation="Put", row=row, when=Binding.rev == held.rev, refuse=lambda _: _Moved())


def _used(visit: Visit, member_id: str) -> Write:
    row = VisitUse(*VisitUse.key(visit.visit_id), member_id=member_id)
    # The same member may come by the same visit again, say after an operator unbound them.
    mine = VisitUse.pk.does_not_exist() | (VisitUse.member_id == member_id)
    return Write(operation="Put", row=row, when=mine, refuse=VisitUsed)


# --- operators ----------------------------------------------------------------------------------------------


def move(member_id: str, *, promoter_id: str | None, reason: str, by: Operator, now: int) -> Binding | None:
    """An operator gives a customer to a promoter, or to nobody; what was is kept, made orders stay as they are.

    Raises:
        NotFound: no such member or promoter. SelfReferral, WouldCircle, ChainTooLong: it would be wrong.
    """
    members.show(member_id)
    if promoter_id == member_id:
        raise SelfReferral
    if promoter_id is not None:
        members.show(promoter_id)
    for _ in range(ROUNDS):
        held = table.get(Binding, Binding.key(member_id))
        if held is not None:
            # What is still owed of the binding as it was could not be told from the one that replaces it.
            facts.catch_up(held, now=now)
            held = table.get(Binding, Binding.key(member_id))
        if _whose(held) == promoter_id:
            return held
        try:
            moved = _moved(member_id, held, promoter_id, now=now)
            above = _walk(member_id, promoter_id) if promoter_id else []
            audit = operators.recorded(
                by=by,
                action="binding.moved",
                subject=member_id,
                before={"promoter_id": _whose(held)},
                after={"promoter_id": promoter_id, "reason": reason},
                now=now,
            )
            told = _told_mall(moved, now=now)
            table.transact([_put(moved, held), *_past(held, cause=reason, now=now), audit, *above, *told])
        except (table.Taken, _Moved):
            continue
        _bindings.forget(member_id)
        return moved
    raise Busy


def _whose(held: Binding | None) -> str | None:
    return held.promoter_id if held is not None and held.state == "bound" else None


def _moved(member_id: str, held: Binding | None, promoter_id: str | None, *, now: int) -> Binding:
    pk, sk = Binding.key(member_id)
    rev = held.rev + 1 if held else 1
    return Binding(
        pk,
        sk,
        rev=rev,
        state="bound" if promoter_id else "unbound",
        member_id=member_id,
        promoter_id=promoter_id or (held.promoter_id if held else ""),
        policy=policy(now=now).n,
        bound_at=now,
        cause="operator",
    )


def _past(held: Binding | None, *, cause: str, now: int) -> list[Write]:
    if held is None:
        return []
    names = ("state", "promoter_id", "link", "visit_id", "policy", "bound_at", "cause")
    was = {name: getattr(held, name) for name in names}
    return [table.create(Past(*Past.key(held.member_id, held.rev), was=was, changed_at=now, cause=cause))]


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
    }
    cause = [row.member_id, row.promoter_id, str(row.rev)]
    return deliveries.owe(
        "member.bound" if row.state == "bound" else "member.unbound", cause=cause, data=data, now=now
    )
