"""What a merged member has here becomes another's: links, customers, the invite code, and whose customer they are.

Who was theirs is the other's from then on, with all that made them so; but for the other themselves, and for
whoever brought the other, directly or not: these are nobody's, as nobody brings themselves, and nobody goes in a
circle. Of two bindings of one person the other's own stays, if it holds and is not to the merged member. The past
of the merged member's binding stays with them, as do their visits that bound nobody: they are what was known then.
"""

from contextlib import suppress

from pynamodb.expressions.update import Action

from chalicelib.core import estates, facts, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write
from chalicelib.sharing import attribution, invites
from chalicelib.sharing.models import Binding, Invite, Link, Touch
from chalicelib.sharing.refusals import ChainTooLong, WouldCircle

AT_ONCE = 20


@estates.hands_over("sharing")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """Some things of a merged member go over, each once; whether there were any."""
    return any(
        [
            _own_binding(member_id, into, now=now),
            _customers(member_id, into, now=now),
            _links(member_id, into),
            _missed(member_id, into),
            _invite(member_id, into, now=now),
        ]
    )


def _links(member_id: str, into: str) -> bool:
    rows = table.owned(f"{member_id}#links", limit=AT_ONCE).rows
    for row in rows:
        theirs = (Link.sharer_id.set(into), Link.owner.set(f"{into}#links"))
        mine = Link.sharer_id == member_id
        table.apply(table.update(Link, (row.pk, row.sk), *theirs, when=mine, refuse=Busy))
    return bool(rows)


def _invite(member_id: str, into: str, *, now: int) -> bool:
    """Their code, which may be in print, brings people to the other, beside the other's own."""
    row = invites.kept(member_id, now=now)
    if row is None:
        return False
    mine = Invite.member_id == member_id
    table.apply(table.update(Invite, (row.pk, row.sk), Invite.member_id.set(into), when=mine, refuse=Busy))
    return True


def _missed(member_id: str, into: str) -> bool:
    """Who came to them and was not bound came to the other, who may know them already."""
    rows = table.owned(f"{member_id}#missed", limit=AT_ONCE).rows
    for row in rows:
        key = Touch.key(row.member_id, into)
        writes = [table.delete(Touch, (row.pk, row.sk), when=Touch.rev == row.rev, refuse=Busy)]
        if row.member_id != into and table.get(Touch, key) is None:
            copy = table.copied(row, key, promoter_id=into, owner=f"{into}#missed")
            writes.append(table.create(copy, refuse=Busy))
        table.transact(writes)
    return bool(rows)


# --- bindings -----------------------------------------------------------------------------------------------


def _customers(member_id: str, into: str, *, now: int) -> bool:
    rows = [row for row in table.owned(f"{member_id}#customers", limit=AT_ONCE).rows if row.state == "bound"]
    for row in rows:
        if _told(row, now=now):
            table.transact(_given(row, into))
    return bool(rows)


def _told(row: Binding, *, now: int) -> bool:
    """Whether the binding owes nothing; what it owed has happened now, and it is looked at again."""
    if row.owed_rev is None or not facts.wanted(row.due_ref or ""):
        return True
    facts.catch_up(row, now=now)
    return False


def _given(row: Binding, into: str) -> list[Write]:
    """The binding with the other for a promoter, or undone where that would be wrong."""
    with suppress(WouldCircle, ChainTooLong):
        above = attribution.walk(row.member_id, into)
        theirs = (Binding.promoter_id.set(into), Binding.owner.set(f"{into}#customers"))
        return [_changed(row, *theirs), *(one.but(refuse=Busy) for one in above)]
    return [_undone(row)]


def _own_binding(member_id: str, into: str, *, now: int) -> bool:
    row, theirs = table.get_many([(Binding, Binding.key(one)) for one in (member_id, into)])
    if row is None or row.state != "bound":
        return False
    if not _told(row, now=now) or (theirs is not None and not _told(theirs, now=now)):
        return True
    kept = theirs is not None and theirs.promoter_id != member_id and attribution.holds(theirs, now=now)
    moved = _taken(row, theirs, into, now=now) if attribution.holds(row, now=now) and not kept else []
    table.transact([_undone(row), *moved])
    return True


def _taken(row: Binding, theirs: Binding | None, into: str, *, now: int) -> list[Write]:
    """Their binding as the other's; its revision goes on by more than one, so that it is no new binding. What the
    other's own was until then is kept, for orders of that time."""
    with suppress(WouldCircle, ChainTooLong):
        above = attribution.walk(into, row.promoter_id)
        listed = attribution.customers(row.promoter_id, into, at=row.bound_at)
        rev = max(row.rev, theirs.rev if theirs is not None else 0) + 2
        copy = table.copied(row, Binding.key(into), member_id=into, **{**listed, "rev": rev})
        unchanged = Binding.pk.does_not_exist() if theirs is None else Binding.rev == theirs.rev
        put = Write(operation="Put", row=copy, when=unchanged, refuse=Busy)
        undone = table.table_name(Binding), row.pk, row.sk
        walked = [one.but(refuse=Busy) for one in above if one.key != undone]
        return [put, *attribution.left(copy, theirs, now=now), *walked]
    return []


def _undone(row: Binding) -> Write:
    """Nobody's customer any more; their promoter has them in no list."""
    off = (Row.owner.remove(), Row.listed_at.remove())
    return _changed(row, Binding.state.set("unbound"), *off)


def _changed(row: Binding, *actions: Action) -> Write:
    unchanged = Binding.rev == row.rev
    return table.update(Binding, (row.pk, row.sk), *actions, when=unchanged, refuse=Busy)
