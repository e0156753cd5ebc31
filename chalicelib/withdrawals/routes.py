"""HTTP for members: what I can withdraw, my withdrawals, who I am to the tax office; and the sandbox's page."""

import secrets

from chalicelib.core import asking, config, cursors, doors, moneyout
from chalicelib.core.errors import Busy, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.http import Api, Call, Items, Listing, Reply
from chalicelib.withdrawals import applying, payees, sealing, sending, service, statements, tax, transfers
from chalicelib.withdrawals.models import Payee, Withdrawal
from chalicelib.withdrawals.schemas import (
    AskWithdrawal,
    MonthStatement,
    MyRules,
    PayeeAnswer,
    TellPayee,
    Withdraw,
    WithdrawalAnswer,
    WithdrawalQuote,
)
from chalicelib.withdrawals.terms import in_force

api = Api(__name__)


@api.get("/v1/me/withdrawals/rules", door=doors.MEMBER)
def show_rules(call: Call) -> MyRules:
    """What I can withdraw, how, and what is taken off."""
    terms, here = in_force(now=call.now), applying.ground(call.member_id)
    told = terms.told
    return MyRules(
        methods=terms.offered,
        min_fen=told.min_fen,
        max_fen=told.max_fen,
        day_max_fen=told.day_max_fen,
        day_left_fen=applying.day_left(terms, here, now=call.now),
        fee_fixed_fen=told.fee_fixed_fen,
        fee_bps=told.fee_bps,
        open_at_once=told.open_at_once,
        open_ids=here.open_ids,
        tax_rule=told.tax.rule,
        identity_needed=tax.needs_identity(terms.tax_rule),
        identity_known=here.person is not None,
        balance_fen=here.balance_fen,
        frozen_fen=here.frozen_fen,
        ask_subscriptions=asking.before("withdrawal", call),
        now=call.now,
    )


@api.post("/v1/me/withdrawals/quote", door=doors.MEMBER)
def quote(call: Call, body: AskWithdrawal) -> WithdrawalQuote:
    """What would arrive of an amount, and whether it can be withdrawn now."""
    terms, here = in_force(now=call.now), applying.ground(call.member_id)
    split, refused = applying.quote(body, terms=terms, here=here, now=call.now)
    return WithdrawalQuote(
        amount_fen=split.amount_fen,
        fee_fen=split.fee_fen,
        tax_fen=split.tax_fen,
        net_fen=split.net_fen,
        tax_rule=terms.told.tax.rule,
        method=body.method,
        balance_fen=here.balance_fen,
        why_not=refused.code if refused else None,
        now=call.now,
    )


@api.post(
    "/v1/me/withdrawals",
    door=doors.MEMBER,
    status=201,
    refuses=[
        Invalid,
        IdempotencyMismatch,
        moneyout.MoneyOutOff,
        applying.WithdrawalsClosed,
        payees.PayeeNeeded,
        applying.WithdrawalOpen,
        applying.WithdrawalDayLimit,
        applying.NotEnoughMoney,
        Busy,
    ],
)
def apply(call: Call, body: Withdraw) -> Reply[WithdrawalAnswer]:
    """Withdraw an amount, which is frozen at once.

    Said again under the same Idempotency-Key, or while it is the one that may be open, it is the same.
    """
    who = applying.Applying(
        member_id=call.member_id,
        now=call.now,
        idempotency_key=call.idempotency_key,
        nonce=secrets.token_bytes(sealing.NONCE_BYTES),
        program_id=call.program_id,
    )
    row, new = applying.apply(body, who)
    return Reply(_answer(row, call), 201 if new else 200)


@api.get("/v1/me/withdrawals", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_mine(call: Call, query: Listing) -> Items[WithdrawalAnswer]:
    """My withdrawals, newest first; the one just applied for is there."""
    where = f"withdrawals#{call.member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = service.of_member(call.member_id, limit=query.limit, after=after)
    following = cursors.seal(page.next_key, where=where, now=call.now)
    return Items(items=[_answer(row, call) for row in page.rows], next=following, now=call.now)


@api.get("/v1/me/withdrawals/statements", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_statements(call: Call, query: Listing) -> Items[MonthStatement]:
    """What was paid to me, month by month, the newest first."""
    where = f"withdrawal_months#{call.member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = statements.of_member(call.member_id, limit=query.limit, after=after)
    items = [statements.statement(row) for row in page.rows]
    return Items(items=items, next=cursors.seal(page.next_key, where=where, now=call.now), now=call.now)


@api.get("/v1/me/withdrawals/{withdrawal_id}", door=doors.MEMBER, refuses=[NotFound])
def show(call: Call, withdrawal_id: str) -> WithdrawalAnswer:
    """One of my withdrawals."""
    return _answer(service.show(withdrawal_id, member_id=call.member_id), call)


@api.post(
    "/v1/me/withdrawals/{withdrawal_id}/cancel",
    door=doors.MEMBER,
    refuses=[NotFound, service.WithdrawalOver, Busy],
)
def cancel(call: Call, withdrawal_id: str) -> WithdrawalAnswer:
    """Do not take the money: its gateway closes the transfer, and it comes back once that is certain."""
    return _answer(service.cancel(withdrawal_id, member_id=call.member_id, now=call.now), call)


def _answer(row: Withdrawal, call: Call) -> WithdrawalAnswer:
    waits = row.gateway == "sandbox" and row.state == "awaiting_confirmation"
    url = f"{call.base_url}/v1/sandbox/withdrawals/{row.withdrawal_id}/confirm"
    return WithdrawalAnswer(
        withdrawal_id=row.withdrawal_id,
        state=row.state or "",
        amount_fen=row.amount_fen,
        fee_fen=row.fee_fen,
        tax_fen=row.tax_fen,
        net_fen=row.net_fen,
        method=row.method,
        account=row.shown,
        applied_at=row.applied_at,
        confirm_by=row.confirm_by,
        ended_at=row.ended_at,
        reason=row.reason,
        confirm_url=url if waits else None,
        transfer_page=transfers.page(row, now=call.now),
        now=call.now,
    )


@api.get("/v1/me/payee", door=doors.MEMBER, refuses=[NotFound])
def show_payee(call: Call) -> PayeeAnswer:
    """Who I am to the tax office, masked."""
    row = payees.find(call.member_id)
    if row is None:
        raise NotFound
    return _payee(row, call)


@api.put("/v1/me/payee", door=doors.MEMBER, refuses=[Invalid, payees.PayeeChanged, Busy])
def tell_payee(call: Call, body: TellPayee) -> PayeeAnswer:
    """Say who I am to the tax office; it is kept sealed, and shown masked. Another person once a month at most."""
    nonce = secrets.token_bytes(sealing.NONCE_BYTES)
    return _payee(payees.tell(body, member_id=call.member_id, nonce=nonce, now=call.now), call)


def _payee(row: Payee, call: Call) -> PayeeAnswer:
    return PayeeAnswer(
        real_name=row.name_shown,
        id_number=row.number_shown,
        id_kind=row.id_kind,
        told_at=row.at,
        now=call.now,
    )


@api.post(
    "/v1/sandbox/withdrawals/{withdrawal_id}/confirm",
    door=doors.PUBLIC,
    refuses=[NotFound, service.WithdrawalOver, Busy],
)
def confirm_in_sandbox(call: Call, withdrawal_id: str) -> WithdrawalAnswer:
    """Take the money, as a phone would; only where the sandbox pays."""
    if "sandbox" not in config.settings().payout_gateways.split():
        raise NotFound
    return _answer(sending.confirm_in_sandbox(withdrawal_id, now=call.now), call)
