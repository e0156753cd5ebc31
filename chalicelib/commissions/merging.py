"""What a merged member has here becomes another's: being a promoter, commissions that are to come, friends, money.

A commission that is not settled yet goes over and is settled to the other. What was settled stays where it was,
with the months and counts made of it, as the proof of these books compares them with the account it was settled to:
the other's account has one entry that says how much came over, and what is clawed back of it later is a debt of the
old account, which goes over in its turn. The month of the merge has two parts, each with its own step. The old
promoter stays what they were until then, but is in no list; the tier of both is the higher one.
"""

from typing import Any

from pynamodb.expressions.update import Action

from chalicelib.commissions import promoters, service
from chalicelib.commissions.models import Brought, Commission, Invited, Promoter, Spent
from chalicelib.core import due, estates, facts, ledger, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.orders import service as orders
from chalicelib.sharing import orders as attributions

AT_ONCE = 20
OPEN = ("pending", "due", "held")


@estates.hands_over("commissions")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """Some things of a merged member go over, each once; whether there were any."""
    return any(
        [
            _promoter(member_id, into, now=now),
            _commissions(member_id, into),
            _invited(member_id, into),
            _spent(member_id, into),
            _money(member_id, into, now=now),
        ]
    )


def _money(member_id: str, into: str, *, now: int) -> bool:
    writes = ledger.handed_over(owner=member_id, to=into, book=service.MONEY, now=now)
    if writes:
        table.transact(writes)
    return bool(writes)


# --- the promoter -------------------------------------------------------------------------------------------


def _promoter(member_id: str, into: str, *, now: int) -> bool:
    row, theirs = table.get_many([(Promoter, Promoter.key(one)) for one in (member_id, into)])
    if row is None or row.handed_to is not None:
        return False
    off = (Promoter.handed_to.set(into), Promoter.owner.remove(), Promoter.listed_at.remove())
    table.transact(
        [
            table.update(Promoter, (row.pk, row.sk), *off, when=Promoter.rev == row.rev, refuse=Busy),
            *_became(row, theirs, into, now=now),
        ]
    )
    return True


def _became(row: Promoter, theirs: Promoter | None, into: str, *, now: int) -> list[Write]:
    """What it makes of the other: a promoter like them; or the higher tier, and suspended if either was."""
    if theirs is None or (theirs.active_at is None and row.active_at is not None):
        owner = table.listed(f"promoters#{row.state}", at=now, as_=into)
        rev = max(row.rev, theirs.rev if theirs is not None else 0) + 1
        copy = table.copied(row, Promoter.key(into), member_id=into, **{**owner, "rev": rev + 1})
        seen = Promoter.pk.does_not_exist() if theirs is None else Promoter.rev == theirs.rev
        return [Write(operation="Put", row=copy, when=seen, refuse=Busy)]
    told = _both(row, theirs, now=now)
    actions = [getattr(Promoter, name).set(value) for name, value in told.items()]
    unchanged = Promoter.rev == theirs.rev
    return [table.update(Promoter, (theirs.pk, theirs.sk), *actions, when=unchanged, refuse=Busy)]


def _both(row: Promoter, theirs: Promoter, *, now: int) -> dict[str, Any]:
    told: dict[str, Any] = {"tier": max(row.tier, theirs.tier)}
    if row.active_at is not None and theirs.active_at is not None:
        told["active_at"] = min(row.active_at, theirs.active_at)
    if row.state == "suspended" and theirs.state == "active":
        told |= {"state": "suspended", "suspended_at": now}
        told |= {"reason": row.reason} if row.reason else {}
        told |= table.listed("promoters#suspended", at=now, as_=theirs.member_id)
    return told


# --- commissions --------------------------------------------------------------------------------------------


def _commissions(member_id: str, into: str) -> bool:
    found: list[Commission] = []
    page = service.of_promoter(member_id, limit=100, after=None)
    while True:
        found += [row for row in page.rows if row.state in OPEN]
        if page.next_key is None or len(found) >= AT_ONCE:
            break
        page = service.of_promoter(member_id, limit=100, after=page.next_key)
    for row in found[:AT_ONCE]:
        renamed = attributions.renamed(row.order_id, member_id, into)
        table.transact([_handed(row, into), *_brought(row, into), *renamed])
    return bool(found)


def _handed(row: Commission, into: str) -> Write:
    actions: list[Action] = [Commission.promoter_id.set(into), Commission.owner.set(f"{into}#commissions")]
    if row.state == "due" and row.due_at is not None:
        actions += due.moved(job=service.JOB, pk=into, at=row.due_at, ref=into)
    return service.updated(row, *actions).but(refuse=Busy)


def _brought(row: Commission, into: str) -> list[Write]:
    """On the first level its buyer brought the other something, and the one before one thing less."""
    if row.level != "L1":
        return []
    first = {"first_id": row.commission_id, "ordered_at": row.made_at}
    known = [getattr(Brought, name).set(getattr(Brought, name) | value) for name, value in first.items()]
    last = Brought.last_id.set(Brought.last_id | row.commission_id)
    more = table.upsert(Brought, Brought.key(into, row.member_id), *known, last, Brought.orders.add(1))
    key = Brought.key(row.promoter_id, row.member_id)
    return [more, table.update(Brought, key, Brought.orders.add(-1), refuse=Busy)]


# --- who was brought, and what was bought -------------------------------------------------------------------


def _invited(member_id: str, into: str) -> bool:
    """Friends of both count once."""
    rows = table.query(Invited, Invited.key(member_id, "")[0], limit=AT_ONCE).rows
    for row in rows:
        gone = table.delete(Invited, (row.pk, row.sk), refuse=Busy)
        writes = [gone, promoters.counted(member_id, cause=row.sk, invitees=-1)]
        key = Invited.key(into, row.sk)
        if row.sk != into and table.get(Invited, key) is None:
            one_more = promoters.counted(into, cause=row.sk, invitees=1)
            writes += [table.create(Invited(*key), refuse=Busy), one_more]
        table.transact(writes)
    return bool(rows)


def _spent(member_id: str, into: str) -> bool:
    """What is left by now of the orders that count; one that is counted for the other is the other's already.

    An order goes over before what counts of it: what went back in between was looked for under the other's name.
    """
    rows = table.query(Spent, Spent.key(member_id, "")[0], limit=AT_ONCE).rows
    for row in rows:
        gone = table.delete(Spent, (row.pk, row.sk), when=Spent.rev == row.rev, refuse=Busy)
        writes = [gone, promoters.counted(member_id, cause=row.sk, spend_fen=-row.fen)]
        if table.get(Spent, Spent.key(into, row.sk)) is None:
            writes += _spent_by(into, row)
        table.transact(writes)
    return bool(rows)


def _spent_by(member_id: str, row: Spent) -> list[Write]:
    order = orders.find(row.sk)
    fen = row.fen if order is None else promoters.spent_fen(order)
    unchanged = [facts.unchanged(order)] if order is not None else []
    if not fen:
        return unchanged
    counts = table.create(Spent(*Spent.key(member_id, row.sk), fen=fen), refuse=Busy)
    return [*unchanged, counts, promoters.counted(member_id, cause=row.sk, spend_fen=fen)]
