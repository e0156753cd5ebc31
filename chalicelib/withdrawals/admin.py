"""HTTP for operators: the terms of withdrawals, those that wait, whom they go to, and a month's statement."""

from typing import Any

import msgspec

from chalicelib.core import config, cursors, doors, moneyout, sheets
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import CSV, Api, Call, Document, Items
from chalicelib.withdrawals import payees, service, statements, terms
from chalicelib.withdrawals.models import Withdrawal
from chalicelib.withdrawals.schemas import (
    AdminWithdrawal,
    EditWithdrawalTerms,
    ExportStatement,
    FindWithdrawals,
    FullPayee,
    MonthStatement,
    PaidByHand,
    PayeeMonth,
    Rejected,
    StatementQuery,
    WithdrawalNow,
    WithdrawalTermsAnswer,
    WithdrawalTermsList,
    WithdrawalTermsMade,
)

api = Api(__name__)
_FINANCE = doors.operators("finance")
_READERS = doors.operators("finance", "support")
EXPORTED_AT_ONCE = 100


# --- the terms ----------------------------------------------------------------------------------------------


@api.get("/v1/admin/withdrawals/settings", door=doors.ANY_OPERATOR)
def list_terms(call: Call) -> WithdrawalTermsList:
    """The versions of the terms, newest first; version 0, which offers nothing, is built in."""
    found = terms.versions(limit=100) or [terms.in_force(now=call.now)]
    return WithdrawalTermsList(items=[_terms(version) for version in found], now=call.now)


@api.post("/v1/admin/withdrawals/settings", door=_FINANCE, status=201, refuses=[Invalid, Busy])
def make_terms(call: Call, body: EditWithdrawalTerms) -> WithdrawalTermsMade:
    """The next version; what was applied for keeps its own."""
    made = _terms(terms.make(body, by=call.operator, now=call.now))
    return WithdrawalTermsMade(**msgspec.structs.asdict(made), now=call.now)


def _terms(version: terms.Version) -> WithdrawalTermsAnswer:
    return WithdrawalTermsAnswer(
        **msgspec.structs.asdict(version.told), version=version.n, made_at=version.made_at
    )


# --- those that wait ----------------------------------------------------------------------------------------


@api.get("/v1/admin/withdrawals", door=_READERS, refuses=[Invalid, cursors.CursorInvalid], csv=True)
def find(call: Call, query: FindWithdrawals) -> Items[AdminWithdrawal]:
    """The withdrawals in a state, the oldest first while they wait, or those of a member, newest first."""
    if (query.state is None) == (query.member_id is None):
        raise Invalid(field="state", reason="exactly one of these is given", known=["state", "member_id"])
    by = query.state or query.member_id or ""
    where = f"admin_withdrawals#{by}#{config.settings().due_shards}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    listed = service.of_state if query.state else service.of_member
    page = listed(by, limit=query.limit, after=after)
    following = cursors.seal(page.next_key, where=where, now=call.now)
    return Items(items=[_admin(row) for row in page.rows], next=following, now=call.now)


@api.get("/v1/admin/withdrawals/{withdrawal_id}", door=_READERS, refuses=[NotFound])
def show(call: Call, withdrawal_id: str) -> WithdrawalNow:
    """One withdrawal."""
    return _as_it_is(service.show(withdrawal_id), now=call.now)


def _admin(row: Withdrawal) -> AdminWithdrawal:
    own: dict[str, Any] = {"account": row.shown, "attempts": row.attempts or 0, "state": row.state or ""}
    names = [name for name in AdminWithdrawal.__struct_fields__ if name not in own]
    told: dict[str, Any] = {name: getattr(row, name) for name in names}
    return AdminWithdrawal(**told, **own)


def _as_it_is(row: Withdrawal, *, now: int) -> WithdrawalNow:
    return WithdrawalNow(**msgspec.structs.asdict(_admin(row)), now=now)


@api.post(
    "/v1/admin/withdrawals/{withdrawal_id}/approve",
    door=_FINANCE,
    refuses=[NotFound, service.WithdrawalOver, Busy],
)
def approve(call: Call, withdrawal_id: str) -> WithdrawalNow:
    """Let it be paid."""
    return _as_it_is(service.approve(withdrawal_id, by=call.operator, now=call.now), now=call.now)


@api.post(
    "/v1/admin/withdrawals/{withdrawal_id}/reject",
    door=_FINANCE,
    refuses=[NotFound, service.WithdrawalOver, Busy],
)
def reject(call: Call, withdrawal_id: str, body: Rejected) -> WithdrawalNow:
    """Do not pay it; the member reads why, and has the money back."""
    row = service.reject(withdrawal_id, reason=body.reason, by=call.operator, now=call.now)
    return _as_it_is(row, now=call.now)


@api.post(
    "/v1/admin/withdrawals/{withdrawal_id}/paid",
    door=_FINANCE,
    refuses=[NotFound, Invalid, service.NotByHand, service.WithdrawalOver, Busy],
)
def paid(call: Call, withdrawal_id: str, body: PaidByHand) -> WithdrawalNow:
    """It was paid by hand, under this number of the bank's."""
    row = service.paid_by_hand(
        withdrawal_id, reference=body.reference, tax_fen=body.tax_fen, by=call.operator, now=call.now
    )
    return _as_it_is(row, now=call.now)


@api.post(
    "/v1/admin/withdrawals/{withdrawal_id}/failed",
    door=_FINANCE,
    refuses=[NotFound, service.NotByHand, service.WithdrawalOver, Busy],
)
def failed(call: Call, withdrawal_id: str, body: Rejected) -> WithdrawalNow:
    """It could not be paid by hand; the member has the money back."""
    row = service.failed_by_hand(withdrawal_id, reason=body.reason, by=call.operator, now=call.now)
    return _as_it_is(row, now=call.now)


@api.post(
    "/v1/admin/withdrawals/{withdrawal_id}/payee",
    door=_FINANCE,
    refuses=[NotFound, moneyout.MoneyOutOff],
)
def show_payee(call: Call, withdrawal_id: str) -> FullPayee:
    """Whom to pay, unmasked; each look is in the audit trail."""
    if moneyout.is_off():
        raise moneyout.MoneyOutOff
    row = service.show(withdrawal_id)
    service.looked_at(row, by=call.operator, now=call.now)
    payee = payees.of(row, now=call.now)
    return FullPayee(
        withdrawal_id=row.withdrawal_id,
        member_id=row.member_id,
        net_fen=row.net_fen,
        account=service.account_of(row, now=call.now),
        real_name=payee.real_name if payee else None,
        id_number=payee.id_number if payee else None,
        id_kind=payee.id_kind if payee else None,
        now=call.now,
    )


# --- statements ---------------------------------------------------------------------------------------------


@api.get("/v1/admin/withdrawals/statements", door=_READERS, refuses=[cursors.CursorInvalid], csv=True)
def list_statements(call: Call, query: StatementQuery) -> Items[MonthStatement]:
    """What was paid out in a month, member by member, each payee that they were by itself."""
    month = query.month or service.today(call.now)["month"]
    where = _sheet(month)
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = statements.of_month(month, limit=query.limit, after=after)
    items = [statements.statement(row) for row in page.rows]
    return Items(items=items, next=cursors.seal(page.next_key, where=where, now=call.now), now=call.now)


@api.post(
    "/v1/admin/withdrawals/statements/export",
    door=_FINANCE,
    refuses=[cursors.CursorInvalid],
    types=[CSV],
)
def export_statement(call: Call, body: ExportStatement) -> Document:
    """A month with names and id numbers as CSV, for the tax office; each page is in the audit trail."""
    where = _sheet(body.month)
    after = cursors.unseal(body.after, where=where, now=call.now)
    page = statements.of_month(body.month, limit=EXPORTED_AT_ONCE, after=after)
    rows = statements.exported(page, month=body.month, by=call.operator, now=call.now)
    columns = list(PayeeMonth.__struct_fields__)
    text = sheets.csv_of(columns, rows, zone=config.settings().zone)
    shown = {
        "Content-Disposition": f'attachment; filename="withdrawals-{body.month}.csv"',
        "Cache-Control": "no-store",
    }
    cursor = cursors.seal(page.next_key, where=where, now=call.now)
    following = {"X-Next": cursor} if cursor else {}
    return Document(text, "text/csv; charset=utf-8", tuple({**shown, **following}.items()))


def _sheet(month: str) -> str:
    return f"pay_sheet#{','.join(service.pay_sheets(month))}"
