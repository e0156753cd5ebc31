"""The rules of operators: their keys, and the audit trail."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from chalicelib.core import ids, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator, Role
from chalicelib.core.errors import IdempotencyMismatch, NotFound, Unauthorized
from chalicelib.core.table import Page, Write
from chalicelib.operators.models import Audit, OperatorKey, Said

MALL = Operator(key_id="mall", name="mall", role="owner")
"""Who the audit trail says it was where the mall's own word changed something; no key opens a door as this."""

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


def recorded(
    *,
    by: Operator,
    action: str,
    subject: str,
    before: Any,
    after: Any,
    now: int,
    member_id: str | None = None,
) -> Write:
    """The audit row of a change, to be sent in the transaction that makes the change.

    ``before`` and ``after`` are JSON values without secrets; None: it was not there. ``member_id`` puts it in that
    member's story, where a change of the member themselves is anyway.
    """
    audit_id = ids.ulid("aud", now=now, entropy=ids.entropy(now=now))
    about = member_id or (subject if subject.startswith("mbr_") else None)
    listed = table.listed(f"{about}#audit", at=now, as_=audit_id) if about else {}
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
            **listed,
        )
    )


class Repeated(Exception):
    """This change was made before, under this key."""


def said_once(*what: Any, by: Operator, idempotency_key: str | None) -> list[Write]:
    """The write that lets a change happen once for a key, in the change's own transaction; none without a key.

    ``what`` are JSON values that tell the change.

    Raises (when sent):
        Repeated: it was made before. IdempotencyMismatch: the key came with another change.
    """
    if idempotency_key is None:
        return []
    told = list(what)

    def refuse(row: Said | None) -> Exception:
        if row is not None and row.what == told:
            return Repeated()
        return IdempotencyMismatch(field="Idempotency-Key", reason="used for another body")

    return [table.create(Said(*Said.key(by.key_id, idempotency_key), what=told), refuse=refuse)]


def was_said(*, by: Operator, idempotency_key: str) -> bool:
    """Whether a change was made under this key."""
    return table.get(Said, Said.key(by.key_id, idempotency_key)) is not None


def begun(made_id: str, fingerprint: str, *, by: Operator, idempotency_key: str | None) -> None:
    """Note with which body something is made before its parts are: only it makes whole what broke off.

    Raises:
        IdempotencyMismatch: it was begun with another.
    """
    if idempotency_key:
        (note,) = said_once("made", made_id, fingerprint, by=by, idempotency_key=made_id)
        with suppress(Repeated):
            table.apply(note)


def trail(*, month: str, limit: int, after: table.Raw | None) -> Page:
    """A month of the audit trail (``YYYY-MM``), newest first."""
    return table.query(Audit, f"AUDIT#{month}", limit=limit, newest_first=True, after=after)


def month_of(now: int) -> str:
    """The month of the trail that ``now`` is in, by UTC."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m}"
