"""What a merged member has here becomes another's: level, badges, what limits their exchanges, points and growth.

The level goes before the growth, which would bring its gift a second time. The entries of before stay in the
account they were posted to, as a ledger is not rewritten: the other's has one that says how much came over. A gift
that a level still owes is given to whom it is owed, and what it is of is handed over like anything else.
"""

from collections.abc import Sequence

from chalicelib.core import estates, ledger, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write
from chalicelib.points import exchanges, levels, service
from chalicelib.points.models import Award, Counted, Exchanged

BOOKS = (levels.GROWTH, service.POINTS)


@estates.hands_over("points")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """One thing of a merged member goes over, once; whether there was any."""
    for step in (levels.handed_over, _badges, _exchanged, _balances):
        if writes := step(member_id, into, now=now):
            table.transact(writes)
            return True
    return False


def _balances(member_id: str, into: str, *, now: int) -> Sequence[Write]:
    return next(
        (
            writes
            for book in BOOKS
            if (writes := ledger.handed_over(owner=member_id, to=into, book=book, now=now))
        ),
        [],
    )


def _badges(member_id: str, into: str, *, now: int) -> Sequence[Write]:
    """A badge that both have is one; counts add up."""
    rows = table.query(Row, Award.key(member_id, "")[0], limit=1).rows
    if not rows:
        return []
    row = rows[0]
    gone = table.delete(type(row), (row.pk, row.sk), when=Row.rev == row.rev, refuse=Busy)
    key = (Award.key(into, "")[0], row.sk)
    if isinstance(row, Counted):
        return [gone, table.upsert(Counted, key, Counted.n.add(row.n))]
    if table.get(Award, key) is not None:
        return [gone]
    # A row that does not begin at its first revision is no fact: the badge was awarded before.
    theirs = Award(*key, state="awarded", badge_id=row.badge_id, member_id=into, at=row.at, rev=2)
    return [gone, table.create(theirs, refuse=Busy)]


def _exchanged(member_id: str, into: str, *, now: int) -> Sequence[Write]:
    """How often each of them exchanged adds up, so that nobody exchanges more often for being two."""
    found = exchanges.everything()
    for row, n in zip(found, exchanges.taken_by(member_id, found), strict=True):
        if n:
            key, theirs = Exchanged.key(row.exchange_id, member_id), Exchanged.key(row.exchange_id, into)
            gone = table.delete(Exchanged, key, when=Exchanged.n == n, refuse=Busy)
            return [gone, table.upsert(Exchanged, theirs, Exchanged.n.add(n))]
    return []
