"""What a merged member was given becomes another's: the list, what limits count, their first order.

A grant stays under the key it was given by, and what is taken back of it is taken from the account it went to; but
it is in the other's list and counts there. Beside it stands one under the other's name that only says that it is
there: whoever reacts again to an order that went over gives nothing twice. Counts add up, also of a rule with
tiers: a tier that the sum leaps over was reached by neither.
"""

from pynamodb.expressions.update import Action

from chalicelib.core import estates, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write
from chalicelib.rewards.models import Day, First, Grant, Listed, Progress

AT_ONCE = 20


@estates.hands_over("rewards")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """Some of it goes over, each thing once; whether there was any."""
    rows = table.query(Row, Progress.key(member_id, "")[0], limit=AT_ONCE).rows
    for row in rows:
        table.transact(_listed(row, into) if isinstance(row, Listed) else _counted(row, into))
    return _first(member_id, into) or bool(rows)


def _listed(row: Listed, into: str) -> list[Write]:
    key = (Progress.key(into, "")[0], row.sk)
    writes = [_gone(row), table.create(table.copied(row, key), refuse=Busy)]
    member_id = row.pk.partition("#")[2]
    keys = [Grant.key(row.occurrence, row.rule_id, one) for one in (member_id, into)]
    grant, theirs = table.get_many([(Grant, one) for one in keys])
    if grant is not None:
        same = Grant.rev == grant.rev
        held = table.update(Grant, keys[0], Grant.holder_id.set(into), when=same, refuse=Busy)
        writes.append(held)
    if grant is not None and theirs is None:
        stands = {"member_id": into, "state": "moved", "gifts": [], "tracked": False, "day": None}
        writes.append(table.create(table.copied(grant, keys[1], **stands), refuse=Busy))
    return writes


def _counted(row: Progress | Day, into: str) -> list[Write]:
    key = (Progress.key(into, "")[0], row.sk)
    theirs = table.get(Row, key)
    if theirs is None:
        return [_gone(row), table.create(table.copied(row, key), refuse=Busy)]
    kind = type(row)
    actions: list[Action] = [kind.n.add(row.n)]
    if isinstance(row, Progress) and row.tiers:
        mine, had = dict(row.tiers), dict(theirs.tiers or {})  # type: ignore[attr-defined]
        times = {at: max(int(mine.get(at, 0)), int(had.get(at, 0))) for at in {*mine, *had}}
        actions = [Progress.n.add(row.n), Progress.tiers.set(times)]
    return [_gone(row), table.update(kind, key, *actions, when=Row.rev == theirs.rev, refuse=Busy)]


def _gone(row: Row) -> Write:
    return table.delete(type(row), (row.pk, row.sk), when=Row.rev == row.rev, refuse=Busy)


def _first(member_id: str, into: str) -> bool:
    """The first order of either is the first of both; whose own was noted keeps it."""
    row, theirs = table.get_many([(First, First.key(one)) for one in (member_id, into)])
    if row is None:
        return False
    noted = (
        [table.create(First(*First.key(into), order_id=row.order_id), refuse=Busy)] if theirs is None else []
    )
    table.transact([_gone(row), *noted])
    return True
