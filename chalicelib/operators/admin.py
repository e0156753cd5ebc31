"""HTTP for operators: who I am, the audit trail, what is stuck, what is still owed to the mall."""

from chalicelib.core import cursors, deliveries, doors
from chalicelib.core.config import settings
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Api, Call, Items, Listing
from chalicelib.operators import service, stuck
from chalicelib.operators.schemas import (
    AuditEntry,
    AuditQuery,
    Cancel,
    Decided,
    Me,
    OwedDelivery,
    Retried,
    Settle,
    StuckRow,
)

api = Api(__name__)
_SUPPORT = doors.operators("support", "finance")


@api.get("/v1/admin/me", door=doors.ANY_OPERATOR)
def show_me(call: Call) -> Me:
    """The operator behind the key."""
    operator = call.operator
    return Me(key_id=operator.key_id, name=operator.name, role=operator.role, now=call.now)


@api.get("/v1/admin/audit", door=doors.operators("finance"), refuses=[cursors.CursorInvalid], csv=True)
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


@api.get("/v1/admin/stuck", door=_SUPPORT, refuses=[cursors.CursorInvalid], csv=True)
def list_stuck(call: Call, query: Listing) -> Items[StuckRow]:
    """What waits for a person, with its story and what can be done: kind by kind, the oldest first."""
    where = f"stuck#{','.join(stuck.jobs())}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    found, next_key = stuck.listed(limit=query.limit, after=after)
    rows = [_stuck(one, call.lang) for one in found]
    return Items(items=rows, next=cursors.seal(next_key, where=where, now=call.now), now=call.now)


def _stuck(one: stuck.Stuck, lang: str) -> StuckRow:
    row, story = one.row, one.story
    return StuckRow(
        id=one.id,
        job=one.trouble.job,
        what=one.trouble.zh if lang == "zh" else one.trouble.en,
        kind=row.get_attributes()["kind"].serialize(type(row)) or "",
        ref=row.due_ref or "",
        member_id=story.member_id,
        order_id=story.order_id,
        group_id=story.group_id,
        campaign_id=story.campaign_id,
        amount_fen=story.amount_fen,
        details=dict(story.details),
        attempts=row.attempts or 0,
        last_error=row.last_error or "",
        since=row.due_at or 0,
        actions=one.trouble.actions(row),
        settle_as=sorted(one.trouble.settle),
    )


@api.post("/v1/admin/stuck/{stuck_id}/retry", door=_SUPPORT, refuses=[NotFound, stuck.NotApplicable])
def retry_stuck(call: Call, stuck_id: str) -> Retried:
    """Give stuck work another ten tries, the first at once."""
    stuck.retry(stuck_id=stuck_id, by=call.operator, now=call.now)
    return Retried(id=stuck_id, due_at=call.now, now=call.now)


@api.post(
    "/v1/admin/stuck/{stuck_id}/settle", door=_SUPPORT, refuses=[NotFound, Invalid, stuck.NotApplicable]
)
def settle_stuck(call: Call, stuck_id: str, body: Settle) -> Decided:
    """Settle stuck work by hand: what it settles happens as it would have by itself, once."""
    how = stuck.settle(stuck_id=stuck_id, how=body.how, reason=body.reason, by=call.operator, now=call.now)
    return Decided(id=stuck_id, action="settled", how=how, now=call.now)


@api.post("/v1/admin/stuck/{stuck_id}/cancel", door=_SUPPORT, refuses=[NotFound, stuck.NotApplicable])
def cancel_stuck(call: Call, stuck_id: str, body: Cancel) -> Decided:
    """What is owed is owed no longer, where that strands no money."""
    stuck.cancel(stuck_id=stuck_id, reason=body.reason, by=call.operator, now=call.now)
    return Decided(id=stuck_id, action="cancelled", how=None, now=call.now)


@api.get("/v1/admin/deliveries", door=_SUPPORT, refuses=[cursors.CursorInvalid], csv=True)
def list_deliveries(call: Call, query: Listing) -> Items[OwedDelivery]:
    """Messages that the mall has not confirmed yet: those to be tried next, then those given up."""
    where = f"deliveries#{settings().due_shards}"
    page = deliveries.owed(limit=query.limit, after=cursors.unseal(query.after, where=where, now=call.now))
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
        for row in page.rows
    ]
    return Items(items=rows, next=cursors.seal(page.next_key, where=where, now=call.now), now=call.now)
