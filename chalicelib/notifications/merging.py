"""The inbox of a member who became another goes over: it is all in one partition, a row at a time."""

from collections.abc import Sequence

from chalicelib.core import due, estates, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write
from chalicelib.notifications import service
from chalicelib.notifications.models import Consent, Notification, Settings, member_key


@estates.hands_over("notifications")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """One line, consent or setting (where the other has none) goes over, once; whether there was any.

    Who was counting their taps or their day begins anew.
    """
    rows = table.query(Row, member_key(member_id), limit=1).rows
    if not rows:
        return False
    gone = table.delete(type(rows[0]), (rows[0].pk, rows[0].sk), when=Row.rev == rows[0].rev, refuse=Busy)
    table.transact([gone, *_handed(rows[0], into)])
    return True


def _handed(row: Row, into: str) -> Sequence[Write]:
    key = (member_key(into), row.sk)
    if isinstance(row, Consent):
        return [table.upsert(Consent, key, Consent.left.add(row.left), Consent.accepts.add(row.accepts))]
    if not isinstance(row, Notification | Settings) or table.get(type(row), key) is not None:
        return []
    raw = row.serialize()
    theirs = table.decode({**raw, "pk": {"S": key[0]}})
    if isinstance(theirs, Notification):
        _listed_under(theirs, into)
    return [table.create(theirs, refuse=Busy)]


def _listed_under(row: Notification, into: str) -> None:
    row.member_id = into
    row.owner = service.unseen(into) if row.seen_at is None else service.seen(into)
    if row.due_shard is not None:
        job, _, _ = row.due_shard.rpartition("#")
        row.due_shard = row.due_shard if job == "stuck" else due.shard_of(job, row.pk)
