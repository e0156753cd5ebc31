"""The rules of withdrawals: each ends once, and what was frozen for it is paid or comes back, once (M2).

The purse is written under its ``rev`` with whatever begins or ends a withdrawal, so that how many are open and what
a day has taken are right however many come at once; in the same transaction the month of the person who is paid,
under the ``rev`` by which its tax was worked out; the balance is a condition of the account. A withdrawal's id is
the number of its transfer for good: an outcome that is not known is asked for again under it, by `sending`, and a
new number is only ever another withdrawal, out of what is left.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.core import clock, config, due, facts, ledger, table
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, Invalid, NotFound
from chalicelib.core.table import Write
from chalicelib.operators import service as operators
from chalicelib.withdrawals import sealing
from chalicelib.withdrawals.models import ENDS, OPEN, Month, Purse, Taxed, Withdrawal
from chalicelib.withdrawals.schemas import Account
from chalicelib.withdrawals.tax import DayTally, Tally

MONEY = "money"
JOB = "pay_out"
TRANSFER_JOB = "transfers"
ROUNDS = 40
RECENT = 3
AWAITS = "awaiting_confirmation"


class WithdrawalOver(Conflict):
    """The withdrawal is in a state in which this cannot be done: ``details.state``."""

    code = "withdrawal_over"
    en = "This withdrawal has gone another way."
    zh = "该提现状态已变更。"
    advice = "Read it again and show its state."


class NotByHand(Conflict):
    """The withdrawal is paid by a gateway that tells of it itself."""

    code = "withdrawal_not_by_hand"
    en = "This withdrawal is not paid by hand."
    zh = "该提现不是人工打款。"
    advice = "Wait for its gateway; what is stuck is settled at /v1/admin/stuck."


class Stale(Exception):
    """A row was written to since it was read."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a withdrawal ends; ``tax_fen`` is told by who pays, ``also_from`` are states besides `ENDS`."""

    to: str
    now: int
    reference: str | None = None
    reason: str | None = None
    tax_fen: int | None = None
    also_from: Sequence[str] = ()
    with_: Sequence[Write] = msgspec.field(default_factory=tuple)


# --- reading ------------------------------------------------------------------------------------------------


def show(withdrawal_id: str, *, member_id: str | None = None) -> Withdrawal:
    """The withdrawal of this id, if it is this member's.

    Raises:
        NotFound: there is none.
    """
    row = table.get(Withdrawal, Withdrawal.key(withdrawal_id))
    if row is None or (member_id not in (None, row.member_id) and row.owner != f"{member_id}#withdrawals"):
        raise NotFound
    return row


def of_member(member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """A member's withdrawals, newest first; what was just applied for is among them, though the index lags."""
    page = table.owned(f"{member_id}#withdrawals", limit=limit, after=after)
    if after is not None:
        return page
    purse = table.get(Purse, Purse.key(member_id))
    listed = {row.withdrawal_id for row in page.rows}
    missing = [wid for wid in (purse.recent if purse else ()) if wid not in listed]
    fresh = [row for row in those(missing) if _newer(row, page)]
    return table.Page(sorted([*page.rows, *fresh], key=_newest, reverse=True), page.next_key)


def _newer(row: Withdrawal, page: table.Page) -> bool:
    """Whether a row that the index did not bring belongs on the first page, and not on a later one."""
    return page.next_key is None or _newest(row) > _newest(page.rows[-1])


def _newest(row: Withdrawal) -> str:
    return str(row.listed_at)


def those(withdrawal_ids: Sequence[str]) -> list[Withdrawal]:
    """The withdrawals of these ids as they are now, those that there are."""
    rows = (
        table.get_all([(Withdrawal, Withdrawal.key(wid)) for wid in withdrawal_ids]) if withdrawal_ids else []
    )
    return [row for row in rows if row is not None]


def boards_of(state: str) -> list[str]:
    """The partitions of the rank index that hold the withdrawals in a state."""
    return table.boards(f"WITHDRAWALS#{state}")


def of_state(state: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """The withdrawals in a state, the oldest first while they are not ended, else the newest."""
    entries, next_key = table.chained(
        "rank", boards_of(state), limit=limit, newest_first=state not in OPEN, after=after
    )
    rows = those([entry["pk"].removeprefix("WITHDRAWAL#") for entry in entries])
    return table.Page([row for row in rows if row.state == state], next_key)


def account_of(row: Withdrawal, *, now: int) -> Account | None:
    """Where the money is to go, unmasked."""
    if row.account is None:
        return None
    text = sealing.opened(row.account, about=row.withdrawal_id, now=now)
    return msgspec.json.decode(text, type=Account)


# --- what all of it stands on -------------------------------------------------------------------------------


def cause_of(row: Withdrawal) -> str:
    """Under what the money of a withdrawal is held."""
    return f"withdrawal#{row.withdrawal_id}"


def job_of(gateway: str) -> str:
    """The job that drives a gateway; WeChat Pay's is its own, for it takes transfers from known addresses only."""
    return TRANSFER_JOB if gateway == "wechat" else JOB


def today(now: int) -> dict[str, Any]:
    """The brand's day and month."""
    day = clock.local_day(now, zone=config.settings().zone)
    return {"day": day, "month": day[:7]}


def board_of(state: str, withdrawal_id: str) -> str:
    """Which of them holds this withdrawal."""
    return table.board_for(withdrawal_id, boards_of(state))


def day_of(purse: Purse | None) -> DayTally:
    """What a purse says of its day."""
    return DayTally() if purse is None else DayTally(day=purse.day, day_fen=purse.day_fen)


def tally_of(taxed: Taxed | None) -> Tally:
    """What a person's month says."""
    return Tally() if taxed is None else Tally(base_fen=taxed.base_fen, tax_fen=taxed.tax_fen)


def taxed_write(row: Withdrawal, person: str, before: Taxed | None) -> Write:
    """The write that adds a payment to a person's month, if nobody wrote that since its tax was worked out.

    Raises (when sent):
        Stale: somebody did.
    """
    unread = Taxed.pk.does_not_exist() if before is None else Taxed.rev == before.rev
    actions = (Taxed.base_fen.add(row.amount_fen), Taxed.tax_fen.add(row.tax_fen))
    key = Taxed.key(person, row.month)
    return table.upsert(Taxed, key, *actions, when=unread, refuse=lambda _: Stale())


def retaxed(row: Withdrawal, *, sign: int) -> list[Write]:
    """The write by which a payment counts in its person's month no more, or again; what else was added stays."""
    if row.tax_rule != "monthly" or row.person is None:
        return []
    actions = (Taxed.base_fen.add(sign * row.amount_fen), Taxed.tax_fen.add(sign * row.tax_fen))
    return [table.upsert(Taxed, Taxed.key(row.person, row.month), *actions)]


def purse_write(
    before: Purse | None, member_id: str, *, n: int, open_ids: list[str], recent: list[str], tally: DayTally
) -> Write:
    """The purse told anew, if nobody wrote it since it was read.

    Raises (when sent):
        Stale: somebody did.
    """
    told: dict[str, Any] = {"n": n, "open_ids": open_ids, "recent": recent}
    rev = before.rev + 1 if before is not None else 1
    row = Purse(*Purse.key(member_id), rev=rev, day=tally.day, day_fen=tally.day_fen, **told)
    unread = Purse.pk.does_not_exist() if before is None else Purse.rev == before.rev
    return Write(operation="Put", row=row, when=unread, refuse=lambda _: Stale())


def recent_with(row: Withdrawal, purse: Purse | None) -> list[str]:
    """The member's latest, this one first, which a list that is read a moment later may not have yet."""
    return [row.withdrawal_id, *(purse.recent if purse else ())][:RECENT]


def moved(row: Withdrawal, *, to: str, then: Sequence[Action]) -> Write:
    """The write that brings a withdrawal into another state.

    Raises (when sent):
        Stale: its state is not as it was read.
    """
    board = Withdrawal.board.set(board_of(to, row.withdrawal_id))
    actions = (Withdrawal.state.set(to), board, *then)
    as_read = Withdrawal.state == row.state
    return table.update(Withdrawal, (row.pk, row.sk), *actions, when=as_read, refuse=lambda _: Stale())


# --- ending -------------------------------------------------------------------------------------------------


def end(row: Withdrawal, ending: Ending) -> bool:
    """End a withdrawal, with its money; false: it had ended so before.

    Raises:
        WithdrawalOver: it is not in a state from which it can, such as ended otherwise. Invalid: tax that is told
        where it is not worked out by who pays, or more than there is. Busy.
    """
    for _ in range(ROUNDS):
        hold_key = ledger.Hold.key(row.member_id, MONEY, cause_of(row))
        keys = [(Withdrawal, (row.pk, row.sk)), (Purse, Purse.key(row.member_id)), (ledger.Hold, hold_key)]
        found, purse, hold = table.get_many(keys)
        if _alike(found.state, ending.to):
            return False
        if found.state not in (*ENDS[ending.to], *ending.also_from):
            raise WithdrawalOver(state=found.state)
        try:
            table.transact([*ending_writes(found, purse, hold, ending), *ending.with_])
            return True
        except (Stale, ledger.HoldOver):
            continue  # it ended meanwhile: its money is where that end would have it
    raise Busy


def _alike(state: str, to: str) -> bool:
    """Whether the money is where this end would have it: failed or expired, it is back."""
    return state == to or {state, to} == {"failed", "expired"}


def ending_writes(row: Withdrawal, purse: Purse, hold: ledger.Hold, ending: Ending) -> list[Write]:
    """The writes that end a withdrawal: what is frozen is spent and added up in its month, or comes back."""
    tax_fen = _tax_told(row, ending)
    net_fen = row.amount_fen - row.fee_fen - tax_fen
    told = {"reference": ending.reference, "reason": ending.reason}
    then = [
        Withdrawal.ended_at.set(ending.now),
        Withdrawal.tax_fen.set(tax_fen),
        Withdrawal.net_fen.set(net_fen),
        *(getattr(Withdrawal, name).set(value) for name, value in told.items() if value is not None),
        *owing(ending.to, row, now=ending.now),
    ]
    change = moved(row, to=ending.to, then=then)
    left = purse_ended(row, purse, counts=0 if ending.to == "paid" else -1)
    if ending.to == "paid":
        paid = paid_in_month(row, tax_fen=tax_fen, sign=1, now=ending.now)
        return [change, *left, *ledger.hold_spent(hold), paid]
    reason = f"withdrawal_{ending.to}"
    return [change, *left, *ledger.hold_released(hold, reason=reason, now=ending.now)]


def _tax_told(row: Withdrawal, ending: Ending) -> int:
    if ending.tax_fen is None:
        return row.tax_fen
    if row.tax_rule != "mall" and ending.tax_fen != row.tax_fen:
        raise Invalid(field="tax_fen", reason="tax is worked out here", tax_fen=row.tax_fen)
    if ending.tax_fen > row.amount_fen - row.fee_fen:
        raise Invalid(
            field="tax_fen", reason="more than the fee leaves", left_fen=row.amount_fen - row.fee_fen
        )
    return ending.tax_fen


def owing(to: str, row: Withdrawal, *, now: int) -> list[Action]:
    """It is due no more but for what follows from its end, if anything does."""
    return facts.owed_or_emptied(f"withdrawal.{to}", pk=row.pk, now=now)


def purse_ended(row: Withdrawal, purse: Purse, *, counts: int) -> list[Write]:
    """The purse once it is not open, and its person's month; ``counts``: by -1 they lose it, by 1 have it again."""
    tally = day_of(purse).less_day(day=row.day, fen=-counts * row.amount_fen)
    open_ids = [wid for wid in purse.open_ids if wid != row.withdrawal_id]
    left = purse_write(
        purse, row.member_id, n=purse.n, open_ids=open_ids, recent=list(purse.recent), tally=tally
    )
    return [left, *(retaxed(row, sign=counts) if counts else ())]


def paid_in_month(row: Withdrawal, *, tax_fen: int, sign: int, now: int) -> Write:
    """The write that adds a payment to its month, or takes it out; counted once by the state that it comes with."""
    board = table.board_for(row.member_id, pay_sheets(row.month))
    net_fen = row.amount_fen - row.fee_fen - tax_fen
    counts = {
        "n": 1,
        "amount_fen": row.amount_fen,
        "fee_fen": row.fee_fen,
        "tax_fen": tax_fen,
        "net_fen": net_fen,
    }
    return table.upsert(
        Month,
        Month.key(row.member_id, row.month, row.person),
        *(getattr(Month, name).add(sign * fen) for name, fen in counts.items()),
        Month.member_id.set(row.member_id),
        Month.month.set(row.month),
        *(() if row.payee is None else (Month.payee.set(row.payee), Month.id_kind.set(row.id_kind))),
        Month.board.set(board),
        Month.score.set(Month.score | now),
    )


def pay_sheets(month: str) -> list[str]:
    """The partitions of the rank index that hold a month's statements."""
    return table.boards(f"PAYSHEET#{month}")


def cancel(withdrawal_id: str, *, member_id: str, now: int) -> Withdrawal:
    """The member does not want it any more: their time to confirm is over. Said again, nothing changes.

    It has not ended by this: the gateway closes it, and they may have taken the money before it does.

    Raises:
        NotFound. WithdrawalOver: it does not wait for them, or is paid. Busy.
    """
    for _ in range(ROUNDS):
        row = show(withdrawal_id, member_id=member_id)
        if row.state in ("failed", "expired") or (row.state == AWAITS and (row.confirm_by or 0) <= now):
            return row
        if row.state != AWAITS:
            raise WithdrawalOver(state=row.state)
        over = (Withdrawal.confirm_by.set(now), *due.moved(job=job_of(row.gateway), pk=row.pk, at=now))
        waits = (Withdrawal.state == AWAITS) & (Withdrawal.confirm_by > now)
        with suppress(Stale):
            table.apply(
                table.update(Withdrawal, (row.pk, row.sk), *over, when=waits, refuse=lambda _: Stale())
            )
            return show(withdrawal_id)
    raise Busy


# --- for operators ------------------------------------------------------------------------------------------


def approve(withdrawal_id: str, *, by: Operator, now: int) -> Withdrawal:
    """Let a withdrawal be paid; approved before, it is as it is.

    Raises:
        NotFound. WithdrawalOver: it was rejected, or has failed.
    """
    for _ in range(ROUNDS):
        row = show(withdrawal_id)
        if row.state in (*OPEN[1:], "paid"):
            return row
        if row.state != "applied":
            raise WithdrawalOver(state=row.state)
        slot = due.moved(job=job_of(row.gateway), pk=row.pk, at=now)
        try:
            table.transact(
                [moved(row, to="approved", then=slot), _audit(row, "approved", {}, by=by, now=now)]
            )
        except Stale:
            continue
    raise Busy


def reject(withdrawal_id: str, *, reason: str, by: Operator, now: int) -> Withdrawal:
    """Do not pay: the money comes back. Said again, nothing changes.

    Raises:
        NotFound. WithdrawalOver: its transfer has begun, or it has ended otherwise.
    """
    row = show(withdrawal_id)
    audit = _audit(row, "rejected", {"reason": reason}, by=by, now=now)
    end(row, Ending(to="rejected", reason=reason, now=now, with_=[audit]))
    return show(withdrawal_id)


def paid_by_hand(
    withdrawal_id: str, *, reference: str, tax_fen: int | None, by: Operator, now: int
) -> Withdrawal:
    """Note that an operator has paid, under the bank's number; said again under it, nothing changes.

    Raises:
        NotFound, NotByHand. WithdrawalOver: it is not approved, has ended otherwise, or under another number.
    """
    row = _by_hand(withdrawal_id)
    audit = _audit(row, "paid", {"reference": reference}, by=by, now=now)
    given = Ending(
        to="paid", reference=reference, tax_fen=tax_fen, now=now, also_from=("approved",), with_=[audit]
    )
    end(row, given)
    row = show(withdrawal_id)
    if row.reference != reference:
        raise WithdrawalOver(state=row.state, reference=row.reference)
    return row


def failed_by_hand(withdrawal_id: str, *, reason: str, by: Operator, now: int) -> Withdrawal:
    """Note that an operator could not pay: the money comes back. Said again, nothing changes.

    Raises:
        NotFound, NotByHand. WithdrawalOver: it is not approved, or was paid.
    """
    row = _by_hand(withdrawal_id)
    audit = _audit(row, "failed", {"reason": reason}, by=by, now=now)
    end(row, Ending(to="failed", reason=reason, now=now, also_from=("approved",), with_=[audit]))
    return show(withdrawal_id)


def _by_hand(withdrawal_id: str) -> Withdrawal:
    row = show(withdrawal_id)
    if row.gateway != "manual":
        raise NotByHand(gateway=row.gateway)
    return row


def _audit(row: Withdrawal, what: str, told: dict[str, Any], *, by: Operator, now: int) -> Write:
    return operators.recorded(
        by=by,
        action=f"withdrawal.{what}",
        subject=row.withdrawal_id,
        before={"state": row.state},
        after={"state": what, **told},
        now=now,
        member_id=row.member_id,
    )


def looked_at(row: Withdrawal, *, by: Operator, now: int) -> None:
    """Note that an operator was shown whom to pay, before they are."""
    audit = operators.recorded(
        by=by,
        action="withdrawal.payee_shown",
        subject=row.withdrawal_id,
        before=None,
        after=None,
        now=now,
        member_id=row.member_id,
    )
    table.apply(audit)
