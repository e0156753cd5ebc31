"""The rules of applying: who may withdraw how much now, where it would go, and that it is frozen once.

What is read refuses; the write grants: the purse as it was read, and the balance by the account's own condition. A
repeat is the first answer, under its key, or, where one withdrawal may be open at a time, while that one is.
"""

from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib.core import due, ids, ledger, moneyout, table
from chalicelib.core.errors import AppError, Busy, Conflict, IdempotencyMismatch, Invalid
from chalicelib.core.moneyout import MoneyOut
from chalicelib.core.table import Write
from chalicelib.withdrawals import payees, sealing, service, tax, transfers
from chalicelib.withdrawals.models import Payee, Purse, Taxed, Withdrawal
from chalicelib.withdrawals.schemas import Account, AskWithdrawal, Method, Withdraw
from chalicelib.withdrawals.service import MONEY, ROUNDS, Stale
from chalicelib.withdrawals.tax import Split
from chalicelib.withdrawals.terms import LEAST_NET_FEN, Version, in_force


class WithdrawalsClosed(Conflict):
    """Nothing can be withdrawn: the shop offers no way."""

    code = "withdrawals_closed"
    en = "Nothing can be withdrawn at the moment."
    zh = "暂不支持提现。"
    advice = "Hide the button."


class NotEnoughMoney(Conflict):
    """Less than this is there to withdraw: ``details.balance_fen``."""

    code = "not_enough_money"
    en = "You do not have that much to withdraw."
    zh = "可提现余额不足。"
    advice = "Show `details.balance_fen`."


class WithdrawalOpen(Conflict):
    """As many withdrawals as may be are not ended: ``details.withdrawal_ids``."""

    code = "withdrawal_open"
    en = "Another withdrawal has not ended yet."
    zh = "还有未完成的提现。"
    advice = "Show those in `details.withdrawal_ids`."


class WithdrawalDayLimit(Conflict):
    """The day's limit leaves less than this: ``details.left_fen``."""

    code = "withdrawal_day_limit"
    en = "This is more than can be withdrawn today."
    zh = "超出今日提现额度。"
    advice = "Offer `details.left_fen`."


class Applying(msgspec.Struct, frozen=True, kw_only=True):
    """Who applies, and what makes a repeat the same."""

    member_id: str
    now: int
    idempotency_key: str | None = None
    nonce: bytes = b""
    program_id: str = ""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What is there when somebody would withdraw; nothing of it grants."""

    purse: Purse | None
    balance_fen: int
    frozen_fen: int
    payee: Payee | None
    there: Withdrawal | None
    taxed: Taxed | None = None
    off: bool = False

    @property
    def n(self) -> int:
        """How many were applied for before."""
        return self.purse.n if self.purse else 0

    @property
    def open_ids(self) -> list[str]:
        """Those that are not ended."""
        return list(self.purse.open_ids) if self.purse else []

    @property
    def person(self) -> str | None:
        """Who would be paid, if the member has said it."""
        return self.payee.person if self.payee else None


# --- reading ---------------------------------------------------------------------------------------------------


def ground(member_id: str, *, withdrawal_id: str | None = None) -> Ground:
    """What is there for a member who would withdraw, in one read."""
    keys: list[tuple[type[table.Row], table.Key]] = [
        (Purse, Purse.key(member_id)),
        (ledger.Account, ledger.Account.key(member_id, MONEY)),
        (Payee, Payee.key(member_id)),
        (MoneyOut, moneyout.KEY),
    ]
    if withdrawal_id is not None:
        keys.append((Withdrawal, Withdrawal.key(withdrawal_id)))
    purse, account, payee, switch, *there = table.get_many(keys)
    return Ground(
        purse=purse,
        balance_fen=(account.balance or 0) if account else 0,
        frozen_fen=(account.frozen or 0) if account else 0,
        payee=payee,
        there=there[0] if there else None,
        off=moneyout.says_off(switch),
    )


def with_month(here: Ground, terms: Version, *, now: int) -> Ground:
    """With what the person who would be paid had in this month, where tax is of all of it.

    They may have had it as another member, or be somebody else altogether: it is asked once nothing else refuses.
    """
    if here.person is None or not tax.adds_up(terms.tax_rule):
        return here
    key = Taxed.key(here.person, service.today(now)["month"])
    return replace(here, taxed=table.get(Taxed, key))


# --- applying --------------------------------------------------------------------------------------------------


def quote(asked: AskWithdrawal, *, terms: Version, here: Ground, now: int) -> tuple[Split, AppError | None]:
    """Where an amount would go, and what refuses it now; refused, its tax is that of a month's first payment."""
    split = _split(asked, terms, here)
    try:
        _judge(asked, split, terms, here, now=now)
        here = with_month(here, terms, now=now)
        split = _split(asked, terms, here)
        _judge(asked, split, terms, here, now=now)
    except AppError as refused:
        return split, refused
    return split, None


def apply(asked: Withdraw, who: Applying) -> tuple[Withdrawal, bool]:
    """Freeze an amount and owe its payment; applied for before in the same way, that, and false.

    Raises:
        Invalid: something about it, or a key is needed. IdempotencyMismatch: the key came with another body.
        MoneyOutOff, WithdrawalsClosed, PayeeNeeded, WithdrawalOpen, WithdrawalDayLimit, NotEnoughMoney. Busy.
    """
    terms = in_force(now=who.now)
    if who.idempotency_key is None and terms.told.open_at_once > 1:
        raise Invalid(field="Idempotency-Key", reason="needed where several may be open at once")
    for _ in range(ROUNDS):
        here = ground(who.member_id, withdrawal_id=_id(who, None) if who.idempotency_key else None)
        before = _asked_before(asked, who, here)
        if before is not None:
            return before, False
        _judge(asked, _split(asked, terms, here), terms, here, now=who.now)
        here = with_month(here, terms, now=who.now)
        row = _made(asked, who, terms, here)
        try:
            table.transact(_applying(row, here))
            return row, True
        except (table.Taken, Stale):
            continue  # the repeat, or somebody else, was first: what is there now says which
    raise Busy


def _id(who: Applying, here: Ground | None) -> str:
    which = f"key#{who.idempotency_key}" if here is None else f"n#{here.n}"
    return ids.derived("wdr", who.member_id, which)


def _asked_before(asked: Withdraw, who: Applying, here: Ground) -> Withdrawal | None:
    """The withdrawal that this is a repeat of: under its key, or, where one is open at a time, that one."""
    if who.idempotency_key is not None:
        return _first(here.there, asked, now=who.now) if here.there is not None else None
    rows = service.those(here.open_ids)
    return next((row for row in rows if _same(row, asked, now=who.now)), None)


def _first(row: Withdrawal, asked: Withdraw, *, now: int) -> Withdrawal:
    if not _same(row, asked, now=now):
        raise IdempotencyMismatch(field="Idempotency-Key", reason="used for another body")
    return row


def _same(row: Withdrawal, asked: Withdraw, *, now: int) -> bool:
    alike = (row.amount_fen, row.method) == (asked.amount_fen, asked.method)
    return alike and service.account_of(row, now=now) == asked.account


def _split(asked: AskWithdrawal, terms: Version, here: Ground) -> Split:
    told = terms.told
    return tax.split(
        asked.amount_fen,
        fixed_fen=told.fee_fixed_fen,
        bps=told.fee_bps,
        rule=terms.tax_rule,
        tally=service.tally_of(here.taxed),
    )


def _judge(asked: AskWithdrawal, split: Split, terms: Version, here: Ground, *, now: int) -> Method:
    """What refuses this, in the order in which a person can do something about it."""
    told, method = terms.told, terms.method(asked.method)
    # After a restore the next one might get the number of one that is lost, and was paid.
    if here.off:
        raise moneyout.MoneyOutOff
    if not terms.offered:
        raise WithdrawalsClosed
    if method is None:
        raise Invalid(field="method", reason="one of these", known=terms.offered)
    if tax.needs_identity(terms.tax_rule) and here.person is None:
        raise payees.PayeeNeeded
    if not told.min_fen <= asked.amount_fen <= told.max_fen:
        raise Invalid(field="amount_fen", reason="out of bounds", min_fen=told.min_fen, max_fen=told.max_fen)
    if split.net_fen < LEAST_NET_FEN:
        raise Invalid(
            field="amount_fen", reason="nothing would be left", fee_fen=split.fee_fen, tax_fen=split.tax_fen
        )
    if method.gateway == transfers.GATEWAY:
        transfers.judge(split.net_fen, named=here.payee is not None)
    _judge_limits(asked, terms, here, now=now)
    return method


def _judge_limits(asked: AskWithdrawal, terms: Version, here: Ground, *, now: int) -> None:
    if len(here.open_ids) >= terms.told.open_at_once:
        raise WithdrawalOpen(withdrawal_ids=here.open_ids, open_at_once=terms.told.open_at_once)
    left_fen = day_left(terms, here, now=now)
    if asked.amount_fen > left_fen:
        raise WithdrawalDayLimit(left_fen=left_fen, day_max_fen=terms.told.day_max_fen)
    if asked.amount_fen > here.balance_fen:
        raise NotEnoughMoney(balance_fen=here.balance_fen)


def day_left(terms: Version, here: Ground, *, now: int) -> int:
    """What the day's limit leaves."""
    return max(0, terms.told.day_max_fen - service.day_of(here.purse).on(service.today(now)["day"]).day_fen)


def _made(asked: Withdraw, who: Applying, terms: Version, here: Ground) -> Withdrawal:
    split = _split(asked, terms, here)
    method = _judge(asked, split, terms, here, now=who.now)
    if method.account != (asked.account is not None):
        raise Invalid(field="account", reason="needed here" if method.account else "not taken here")
    by_wechat = method.gateway == transfers.GATEWAY
    if by_wechat:
        transfers.known(who.member_id, program_id=who.program_id)
    withdrawal_id = _id(who, None if who.idempotency_key else here)
    approved = asked.amount_fen <= terms.told.auto_up_to_fen
    state = "approved" if approved else "applied"
    pk, sk = Withdrawal.key(withdrawal_id)
    return Withdrawal(
        pk,
        sk,
        state=state,
        withdrawal_id=withdrawal_id,
        member_id=who.member_id,
        amount_fen=split.amount_fen,
        fee_fen=split.fee_fen,
        tax_fen=split.tax_fen,
        net_fen=split.net_fen,
        method=method.method,
        gateway=method.gateway,
        terms=terms.n,
        tax_rule=terms.told.tax.rule,
        payee=here.payee.sealed if here.payee else None,
        person=here.person,
        id_kind=here.payee.id_kind if here.payee else None,
        program_id=who.program_id if by_wechat else None,
        applied_at=who.now,
        score=who.now,
        board=service.board_of(state, withdrawal_id),
        **_sealed(asked.account, withdrawal_id, who),
        **service.today(who.now),
        **table.listed(f"{who.member_id}#withdrawals", at=who.now, as_=withdrawal_id),
        **(due.slot(job=service.job_of(method.gateway), pk=pk, at=who.now) if approved else {}),
    )


def _sealed(account: Account | None, withdrawal_id: str, who: Applying) -> dict[str, Any]:
    if account is None:
        return {}
    text = msgspec.json.encode(account).decode()
    sealed = sealing.seal(text, about=withdrawal_id, nonce=who.nonce, now=who.now)
    return {"account": sealed, "shown": sealing.masked(account.number)}


def _applying(row: Withdrawal, here: Ground) -> list[Write]:
    adds_up = row.tax_rule == "monthly" and row.person is not None
    taxed = [service.taxed_write(row, row.person, here.taxed)] if adds_up else []
    frozen = ledger.frozen(
        owner=row.member_id,
        book=MONEY,
        amount=row.amount_fen,
        cause=service.cause_of(row),
        reason="withdrawal",
        now=row.applied_at,
        short=lambda account: NotEnoughMoney(balance_fen=(account.balance or 0) if account else 0),
    )
    purse = service.purse_write(
        here.purse,
        row.member_id,
        n=here.n + 1,
        open_ids=[*here.open_ids, row.withdrawal_id],
        recent=service.recent_with(row, here.purse),
        tally=service.day_of(here.purse).on(row.day).with_day(row.amount_fen),
    )
    return [table.create(row), purse, *taxed, *frozen]
