"""Settling (结算): what is past all objections becomes money in the promoter's account.

The job brings all that is due of one promoter together, so a batch is one transaction: the commissions, each as it
was read, one entry and the account. A batch that was killed is done or not; the next run finds what is left. Two
runs at once settle each commission once, as its own row decides.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from chalicelib.commissions import rules, runs, service
from chalicelib.commissions.models import Commission
from chalicelib.commissions.rules import Change
from chalicelib.commissions.service import GIVEN_BACK, MONEY, Moved
from chalicelib.core import due, facts, ids, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.core.telemetry import logger
from chalicelib.operators import stuck
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order

JOB = service.JOB
MOST = 98
"""Commissions of a batch: with the entry and the account they fill a transaction."""
ROUNDS = 10
LOOKED_AT_AGAIN_S = DAY


@due.handles_together(JOB, most=MOST)
def settle(entries: Sequence[due.Entry], now: int) -> None:
    """Settle what is due of one promoter; what cannot be settled yet moves to a later day.

    Raises:
        Busy: the commissions kept changing.
    """
    try:
        _settle(entries, now=now)
    except Exception as failure:
        if len(entries) == 1:
            _note_failure(entries[0], failure, now=now)
        raise


def _settle(entries: Sequence[due.Entry], *, now: int) -> None:
    for _ in range(ROUNDS):
        rows = _still_due(entries, now=now)
        if not rows:
            return
        there = {order.order_id: order for order in orders.those([row.order_id for row in rows])}
        objected = [row for row in rows if _objection(row, there.get(row.order_id))]
        try:
            for row in objected:
                _wait(row, there.get(row.order_id), now=now)
            if not objected:
                table.transact(_settling(rows, now=now))
                return
        except Moved:
            continue
        except ledger.Posted:
            logger.info("batch was settled before", promoter=entries[0].due_ref)
            return
    raise Busy


def _still_due(entries: Sequence[due.Entry], *, now: int) -> list[Commission]:
    found = table.get_all([(Commission, (entry.pk, entry.sk)) for entry in entries])
    # One that is another promoter's by now, as theirs was merged, is settled with theirs.
    mine = [row for row in found if row is not None and row.promoter_id == entries[0].due_ref]
    return [row for row in mine if row.state == "due" and (row.due_at or now) <= now]


def _objection(row: Commission, order: Order | None) -> str | None:
    """Why a commission does not settle now."""
    if order is None:
        return "no order"
    if order.state in GIVEN_BACK or (order.refundable_fen or 0) != row.order_left_fen:
        return "moved"
    return "aftersale" if order.disputed else None


def _wait(row: Commission, order: Order | None, *, now: int) -> None:
    """What went back is followed first; what an after-sale is open for is looked at again on another day.

    Raises:
        Moved: it changed meanwhile.
    """
    why = _objection(row, order)
    if order is not None and why == "moved":
        service.follow(order, cause="order.refunded", now=now)
        return
    told = Change(at=now, what="waits", cause=why or "", fen=row.amount_fen)
    again = () if service.changes_of(row)[-1].what == "waits" else (told,)
    table.apply(service.updated(row, *service.settles(row.promoter_id, now + LOOKED_AT_AGAIN_S), told=again))
    runs.note("waits", row, why=why or "", now=now)


def _settling(rows: Sequence[Commission], *, now: int) -> list[Write]:
    """The entry first: that it is there says that the batch was settled."""
    cause = f"settle#{ids.derived('com', *(f'{row.commission_id}.{row.rev}' for row in rows))[4:]}"
    first_level = [row for row in rows if row.level == "L1"]
    links = Counter(link for link in map(service.counted_link, rows) if link)
    about: dict[str, Any] = {
        "commissions": len(rows),
        "orders": len(first_level),
        "base_fen": sum(rules.base_fen(service.lines_of(row)) for row in first_level),
        **({"links": dict(sorted(links.items()))} if links else {}),
    }
    posting = ledger.posted(
        owner=rows[0].promoter_id,
        book=MONEY,
        amount=sum(row.amount_fen for row in rows),
        cause=cause,
        reason="settled",
        now=now,
        settlement=about,
    )
    return [*posting, *(_settled(row, cause, now=now) for row in rows)]


def _settled(row: Commission, cause: str, *, now: int) -> Write:
    told = Change(at=now, what="settled", cause=cause, fen=row.amount_fen)
    actions = (
        Commission.state.set("settled"),
        Commission.settled_at.set(now),
        Commission.settled_fen.set(row.amount_fen),
        Commission.settled_cause.set(cause),
        *facts.owed_or_emptied("commission.settled", pk=row.pk, now=now),
    )
    return service.updated(row, *actions, told=[told])


def _note_failure(entry: due.Entry, failure: Exception, *, now: int) -> None:
    row = table.get(Commission, (entry.pk, entry.sk))
    if row is not None:
        runs.note("failed", row, why=type(failure).__name__, now=now)


stuck.trouble(
    stuck.Trouble(job=JOB, en="A commission that could not be settled", zh="未能结算的佣金", urgency=0)
)
