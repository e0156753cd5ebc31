"""HTTP for operators: who I am, the audit trail, what is stuck, what is still owed to the mall."""

from chalicelib.core import cursors, doors
from chalicelib.core.errors import NotFound
from chalicelib.core.http import Api, Call, Items
from chalicelib.operators import service
from chalicelib.operators.schemas import AuditEntry, AuditQuery, Me, OwedDelivery, Retried, Some, StuckRow

api = Api(__name__)


@api.get("/v1/admin/me", door=doors.ANY_OPERATOR)
def show_me(call: Call) -> Me:
    """The operator behind the key."""
    operator = call.operator
    return Me(key_id=operator.key_id, name=operator.name, role=operator.role, now=call.now)


@api.get("/v1/admin/audit", door=doors.operators("finance"), refuses=[cursors.CursorInvalid])
def list_audit(call: Call, query: AuditQuery) -> Items[AuditEntry]:
    """What operators changed in a month, newest first."""
    month = query.month or service.month_of(call.now)
    where = f"audit#{month}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = service.trail(month=month, limit=query.limit, after=after)
    entries = [
        AuditEntry(
            id=row.sk,
            by=row.by,
            by_name=row.by_name,
            role=row.role,
            action=row.action,
            subject=row.subject,
            at=row.at,
            before=row.before,
            after=row.after,
        )
        for row in page.rows
    ]
    return Items(items=entries, next=cursors.seal(page.next_key, where=where, now=call.now), now=call.now)


@api.get("/v1/admin/stuck", door=doors.operators("support", "finance"))
def list_stuck(call: Call, query: Some) -> Items[StuckRow]:
    """Work that failed ten times and waits for a person: reactions, deliveries, jobs."""
    found = service.stuck(limit=query.limit)
    rows = [
        StuckRow(
            id=stuck_id,
            job=job,
            kind=row.get_attributes()["kind"].serialize(type(row)) or "",
            ref=row.due_ref or "",
            attempts=row.attempts or 0,
            last_error=row.last_error or "",
            since=row.due_at or 0,
        )
        for stuck_id, job, row in found
    ]
    return Items(items=rows, now=call.now)


@api.post("/v1/admin/stuck/{stuck_id}/retry", door=doors.operators("support", "finance"), refuses=[NotFound])
def retry_stuck(call: Call, stuck_id: str) -> Retried:
    """Give stuck work another ten tries, the first at once."""
    service.retry(stuck_id=stuck_id, by=call.operator, now=call.now)
    return Retried(id=stuck_id, due_at=call.now, now=call.now)


@api.get("/v1/admin/deliveries", door=doors.operators("support", "finance"))
def list_deliveries(call: Call, query: Some) -> Items[OwedDelivery]:
    """Messages that the mall has not confirmed yet."""
    rows = [
        OwedDelivery(
            id=row.pk,
            to=row.to,
            type=row.type,
            created_at=row.created_at,
            attempts=row.attempts or 0,
            next_try_at=row.due_at or 0,
            last_error=row.last_error or "",
        )
        for row in service.owed_deliveries(limit=query.limit)
    ]
    return Items(items=rows, now=call.now)
