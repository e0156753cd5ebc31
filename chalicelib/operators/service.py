"""The rules of operators: keys, the audit trail, and what is stuck."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, cast

from chalicelib.core import deliveries, due, ids, table
from chalicelib.core.cache import Cache
from chalicelib.core.config import settings
from chalicelib.core.doors import Operator, Role
from chalicelib.core.errors import NotFound, Unauthorized
from chalicelib.core.table import Page, Row, Write
from chalicelib.operators.models import Audit, OperatorKey

_keys: Cache[OperatorKey | None] = Cache()


def authenticate(secret: str, now: int) -> Operator:
    """The operator who holds this key.

    Raises:
        Unauthorized: there is no such key, or it is off.
    """
    key = OperatorKey.key(secret)
    row = _keys.get(key, now=now, load=lambda: table.get(OperatorKey, key))
    if row is None or row.state != "active":
        raise Unauthorized
    return Operator(key_id=row.key_id, name=row.name, role=cast(Role, row.role))


def add(*, name: str, role: Role, secret: str, now: int) -> Operator:
    """Store a key for an operator; adding the same secret again changes nothing."""
    key_id = ids.derived("opk", *OperatorKey.key(secret))
    row = OperatorKey(
        *OperatorKey.key(secret), key_id=key_id, name=name, role=role, state="active", created_at=now
    )
    try:
        table.apply(table.create(row))
    except table.Taken as first:
        row = first.row
    return Operator(key_id=row.key_id, name=row.name, role=cast(Role, row.role))


def switch_off(*, secret: str) -> None:
    """Let a key open nothing any more, within 30 seconds.

    Raises:
        NotFound: there is no such key, or it is off already.
    """
    key = OperatorKey.key(secret)
    off = table.update(
        OperatorKey, key, OperatorKey.state.set("off"), when=OperatorKey.state == "active", refuse=NotFound
    )
    table.apply(off)
    _keys.forget(key)


def recorded(*, by: Operator, action: str, subject: str, before: Any, after: Any, now: int) -> Write:
    """The audit row of a change, to be sent in the transaction that makes the change.

    ``before`` and ``after`` are JSON values without secrets; None: it was not there.
    """
    audit_id = ids.ulid("aud", now=now, entropy=ids.entropy(now=now))
    return table.create(
        Audit(
            *Audit.key(audit_id, month_of(now)),
            by=by.key_id,
            by_name=by.name,
            role=by.role,
            action=action,
            subject=subject,
            at=now,
            before=before,
            after=after,
        )
    )


def trail(*, month: str, limit: int, after: table.Raw | None) -> Page:
    """A month of the audit trail (``YYYY-MM``), newest first."""
    return table.query(Audit, f"AUDIT#{month}", limit=limit, newest_first=True, after=after)


def stuck(*, limit: int) -> list[tuple[str, str, Row]]:
    """What failed ten times, of every job: (id to retry it by, job, row)."""
    found = [(job, row) for job in due.jobs() for row in due.stuck(job, limit=limit).rows]
    oldest_first = sorted(found, key=lambda one: one[1].due_at or 0)[:limit]
    return [(_stuck_id(job, row), job, row) for job, row in oldest_first]


def retry(*, stuck_id: str, by: Operator, now: int) -> None:
    """Give stuck work another ten tries, the first at once.

    Raises:
        NotFound: it is not stuck.
    """
    job, pk, sk = _stuck_key(stuck_id)
    audit = recorded(
        by=by, action="stuck.retried", subject=f"{pk} {sk}", before={"job": job}, after=None, now=now
    )
    table.transact([due.retried((pk, sk), job=job, now=now), audit])


def owed_deliveries(*, limit: int) -> list[deliveries.Delivery]:
    """Messages that the mall has not confirmed, those to be tried next first, then those given up."""
    live: list[dict[str, Any]] = []
    for number in range(settings().due_shards):
        live += table.index("due", Row.due_shard == f"{deliveries.JOB}#{number}", limit=limit)[0]
    given_up, _ = table.index("due", Row.due_shard == f"stuck#{deliveries.JOB}", limit=limit)
    entries = [*sorted(live, key=lambda entry: int(entry["due_at"])), *given_up]
    rows = table.get_many([(Row, (entry["pk"], entry["sk"])) for entry in entries[:limit]]) if entries else []
    return [row for row in rows if row is not None and row.state == "due"]


def month_of(now: int) -> str:
    """The month of the trail that ``now`` is in, by UTC."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m}"


def _stuck_id(job: str, row: Row) -> str:
    return base64.urlsafe_b64encode("\n".join((job, row.pk, row.sk)).encode()).decode().rstrip("=")


def _stuck_key(stuck_id: str) -> tuple[str, str, str]:
    try:
        text = base64.urlsafe_b64decode(stuck_id + "=" * (-len(stuck_id) % 4)).decode()
        job, pk, sk = text.split("\n")
    except (binascii.Error, ValueError) as unreadable:
        raise NotFound from unreadable
    if not (pk and sk):
        raise NotFound
    return job, pk, sk
