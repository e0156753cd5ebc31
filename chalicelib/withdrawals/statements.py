"""The rules of statements: what was paid out, by member and month, for the member, operators and the tax office."""

from collections.abc import Sequence
from typing import Any

from chalicelib.core import table
from chalicelib.core.doors import Operator
from chalicelib.core.table import Page
from chalicelib.operators import service as operators
from chalicelib.withdrawals import payees, service
from chalicelib.withdrawals.models import Month
from chalicelib.withdrawals.schemas import MonthStatement, PayeeMonth

_COUNTS = ("amount_fen", "fee_fen", "tax_fen", "net_fen")


def of_member(member_id: str, *, limit: int, after: table.Raw | None) -> Page:
    """A member's months, the newest first; one in which they said to be somebody else is two."""
    pk, sk = Month.key(member_id, "")
    return table.query(Month, pk, Month.sk.startswith(sk), limit=limit, newest_first=True, after=after)


def of_month(month: str, *, limit: int, after: table.Raw | None) -> Page:
    """What was paid out in a month, member by member, by when they were paid first."""
    sheets = service.pay_sheets(month)
    entries, next_key = table.chained("rank", sheets, limit=limit, after=after)
    keys = [(Month, (entry["pk"], entry["sk"])) for entry in entries]
    return Page([row for row in (table.get_many(keys) if keys else []) if row is not None], next_key)


def statement(row: Month) -> MonthStatement:
    """One row as it is shown."""
    return MonthStatement(**_told(row))


def _told(row: Month) -> dict[str, Any]:
    counts = {name: getattr(row, name) for name in _COUNTS}
    return {"month": row.month, "member_id": row.member_id, "withdrawals": row.n, **counts}


def exported(page: Page, *, month: str, by: Operator, now: int) -> list[PayeeMonth]:
    """The rows with whom they were paid to, open; that they were shown is in the audit trail first."""
    rows: Sequence[Month] = page.rows
    audit = operators.recorded(
        by=by,
        action="withdrawals.exported",
        subject=month,
        before=None,
        after={"members": [row.member_id for row in rows]},
        now=now,
    )
    table.apply(audit)
    return [_payee_month(row, now=now) for row in rows]


def _payee_month(row: Month, *, now: int) -> PayeeMonth:
    known = payees.of(row, now=now)
    return PayeeMonth(
        **_told(row),
        real_name=known.real_name if known else None,
        id_kind=known.id_kind if known else None,
        id_number=known.id_number if known else None,
    )
