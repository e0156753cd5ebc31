"""The rules of sending: what is approved is sent once, asked about until its end is known, and given back once.

`transferring` is written before the gateway hears of it, so a worker that dies in between leaves a transfer that is
asked about and not one that is forgotten. An outcome that is not known changes nothing but when it is asked for
next; the tenth in vain waits for a person, who settles it by what the gateway's own books say.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from chalicelib.core import due, facts, ledger, table
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.table import Write
from chalicelib.core.telemetry import logger
from chalicelib.operators import stuck
from chalicelib.operators.stuck import ByHand, Moved, Trouble
from chalicelib.wechat.transfers import Bill
from chalicelib.withdrawals import payouts, service, tax, terms, transfers
from chalicelib.withdrawals.models import OPEN, UNDER_WAY, Purse, Taxed, Withdrawal
from chalicelib.withdrawals.payouts import Gateway, Standing
from chalicelib.withdrawals.schemas import TransferOutcome
from chalicelib.withdrawals.service import (
    JOB,
    MONEY,
    ROUNDS,
    TRANSFER_JOB,
    Ending,
    Stale,
    WithdrawalOver,
)

DIFFERS_JOB = "pay_out_differs"
_GATEWAYS: dict[str, Gateway] = {
    "sandbox": payouts.Sandbox(),
    "manual": payouts.Manual(),
    "mall": payouts.Mall(),
    transfers.GATEWAY: transfers.WeChat(),
}


class InDebt(Exception):
    """More was taken back of the member's money, since they applied, than is left."""


@due.handles(TRANSFER_JOB, sends_money=True)
@due.handles(JOB, sends_money=True)
def pay_out(entry: due.Entry, now: int) -> None:
    """Send what is approved, ask about what is under way, close what nobody confirmed.

    Raises:
        payouts.NotKnown: it is asked about again, and then a person sees it.
    """
    row = table.get(Withdrawal, (entry.pk, entry.sk))
    if row is not None and row.state == "approved":
        row = begin(row, now=now)
    if row is None or row.state not in UNDER_WAY:
        return
    _stands(row, _GATEWAYS[row.gateway].transfer(row, now=now), now=now)


# --- beginning ----------------------------------------------------------------------------------------------


def begin(row: Withdrawal, *, now: int) -> Withdrawal | None:
    """The withdrawal as one whose transfer has begun; None: it has ended, or somebody else began it.

    A member in debt is not paid: what was taken back since would be out of the shop's own pocket.
    """
    for _ in range(ROUNDS):
        row, writes = _beginning(row, now=now)
        if row.net_fen < terms.LEAST_NET_FEN:
            _rejected(row, "nothing_left", now=now)
            return None
        try:
            table.transact(writes)
            return table.get(Withdrawal, (row.pk, row.sk))
        except InDebt:
            _rejected(row, "debt", now=now)
            return None
        except Stale:
            found = table.get(Withdrawal, (row.pk, row.sk))
            if found is None or found.state != "approved":
                return None
            row = found
    raise Busy


def _rejected(row: Withdrawal, reason: str, *, now: int) -> None:
    try:
        service.end(row, Ending(to="rejected", reason=reason, now=now))
    except WithdrawalOver as over:
        logger.info("it went on meanwhile", withdrawal=row.withdrawal_id, state=over.details["state"])


def _beginning(row: Withdrawal, *, now: int) -> tuple[Withdrawal, list[Write]]:
    """The row as it will be sent, and the writes that begin: in another month than it was applied, taxed there."""
    month = service.today(now)["month"]
    elsewhere = month != row.month and tax.adds_up({"rule": row.tax_rule})
    taxed = _taxed_in(row, row.person, month) if elsewhere and row.person else []
    # Still due: asked about by the next run, should this one die before it has heard anything.
    slot = due.moved(job=service.job_of(row.gateway), pk=row.pk, at=now)
    sums = (Withdrawal.tax_fen.set(row.tax_fen), Withdrawal.net_fen.set(row.net_fen))
    then = [Withdrawal.sent_at.set(now), Withdrawal.month.set(month), *sums, *slot]
    sent = service.moved(row, to="transferring", then=then)
    return row, [sent, _no_debt(row), *taxed]


def _taxed_in(row: Withdrawal, person: str, month: str) -> list[Write]:
    """Take the payment out of the month it was applied for in, and into this one's sum, which says its tax."""
    out = service.retaxed(row, sign=-1)
    before = table.get(Taxed, Taxed.key(person, month))
    row.tax_fen = min(
        row.amount_fen - row.fee_fen,
        tax.tax_fen({"rule": row.tax_rule}, row.amount_fen, service.tally_of(before)),
    )
    row.net_fen, row.month = row.amount_fen - row.fee_fen - row.tax_fen, month
    return [*out, service.taxed_write(row, person, before)]


def _no_debt(row: Withdrawal) -> Write:
    key = ledger.Account.key(row.member_id, MONEY)
    return table.check(
        ledger.Account, key, when=ledger.Account.balance >= 0, refuse=lambda _: InDebt(row.withdrawal_id)
    )


# --- what the gateway says ----------------------------------------------------------------------------------


def _stands(row: Withdrawal, standing: Standing, *, now: int) -> None:
    if standing.state in UNDER_WAY:
        _under_way(row, standing)
        return
    try:
        service.end(row, _ending(standing, now=now))
    except WithdrawalOver as over:
        logger.info("it ended meanwhile", withdrawal=row.withdrawal_id, state=over.details["state"])


def _ending(standing: Standing, *, now: int) -> Ending:
    return Ending(to=standing.state, reference=standing.reference, reason=standing.reason, now=now)


def _under_way(row: Withdrawal, standing: Standing) -> None:
    """Note how it stands, and when it is asked about next."""
    at = standing.ask_at
    then = due.emptied() if at is None else due.moved(job=service.job_of(row.gateway), pk=row.pk, at=at)
    if standing.confirm_by is not None:
        then = [*then, Withdrawal.confirm_by.set(standing.confirm_by)]
    if standing.package is not None:
        then = [*then, Withdrawal.package.set(standing.package)]
    # Nobody else's change is undone by what was heard before it, such as that the member does not want it any more.
    unchanged = Withdrawal.rev == row.rev
    _unless_ended(service.moved(row, to=standing.state, then=then).also(unchanged))


def _unless_ended(write: Write) -> None:
    try:
        table.apply(write)
    except Stale:
        logger.info("it went on meanwhile", key=write.row.pk)


def confirm_in_sandbox(withdrawal_id: str, *, now: int) -> Withdrawal:
    """The payee confirms on the sandbox's page; again, it is as it is.

    Raises:
        NotFound: the sandbox does not pay it. WithdrawalOver: it does not wait for anybody.
    """
    row = service.show(withdrawal_id)
    if row.gateway != "sandbox":
        raise NotFound
    if row.state not in ("awaiting_confirmation", "paid"):
        raise WithdrawalOver(state=row.state)
    service.end(row, Ending(to="paid", reference=f"sandbox-{withdrawal_id}", now=now))
    return service.show(withdrawal_id)


def told_by_mall(withdrawal_id: str, told: TransferOutcome, *, now: int) -> Withdrawal:
    """The mall says how a transfer ended; told again, nothing changes.

    Raises:
        NotFound: the mall does not pay it. WithdrawalOver: it was not asked for yet, or has ended otherwise, and
        a person looks at it. Invalid: tax that is worked out here, or more of it than there is.
    """
    row = service.show(withdrawal_id)
    if row.gateway != "mall":
        raise NotFound
    to = told.type.removeprefix("withdrawal.")
    ending = Ending(to=to, reference=told.reference, reason=told.reason, tax_fen=told.tax_fen, now=now)
    try:
        service.end(row, ending)
    except WithdrawalOver:
        why = f"{told.type} {told.reference or told.reason or ''}".strip()
        _differs(service.show(withdrawal_id), why, now=now)
        raise
    return service.show(withdrawal_id)


def told_by_wechat(bill: Bill, *, program_id: str, now: int) -> None:
    """WeChat Pay says by itself how a transfer ended; told again, nothing changes.

    Raises:
        NotFound: it is none of this program's. Invalid: it is about another sum, or another merchant's.
    """
    row = service.show(transfers.id_of(bill.number))
    if (row.gateway, row.program_id) != (transfers.GATEWAY, program_id):
        raise NotFound
    try:
        standing = transfers.standing(row, bill, now=now)
    except payouts.NotKnown as wrong:
        raise Invalid(field="resource", reason=str(wrong)) from wrong
    if standing.state in UNDER_WAY:
        return
    try:
        service.end(row, _ending(standing, now=now))
    except WithdrawalOver:
        _differs(service.show(row.withdrawal_id), f"{bill.state} {bill.reference}", now=now)


def _differs(row: Withdrawal, why: str, *, now: int) -> None:
    """What was sent has ended, and is told of as ended otherwise: a person looks, and nothing moves by itself."""
    if row.state in OPEN or row.sent_at is None:
        return
    facts.catch_up(row, now=now)
    actions = (Withdrawal.told.set(why), *due.handed_over(DIFFERS_JOB, at=now, why=why))
    # What a person has decided about, or looks at already, is no news when it is told again.
    news = Withdrawal.told.does_not_exist() | (Withdrawal.told != why)
    first = (Withdrawal.state == row.state) & news
    _unless_ended(table.update(Withdrawal, (row.pk, row.sk), *actions, when=first, refuse=lambda _: Stale()))


# --- what a person decides ----------------------------------------------------------------------------------


def _settled(to: str) -> stuck.Decide:
    """What was asked about in vain has ended so, as the gateway's own books say."""

    def settle(row: Withdrawal, hand: ByHand) -> None:
        hold_key = ledger.Hold.key(row.member_id, MONEY, service.cause_of(row))
        purse, hold = table.get_many([(Purse, Purse.key(row.member_id)), (ledger.Hold, hold_key)])
        change, *others = service.ending_writes(row, purse, hold, Ending(to=to, now=hand.now))
        change = change.also(hand.still).but(actions=(*change.actions, hand.mark))
        with _decided(row):
            table.transact([change, *others, hand.audit])

    return settle


def _stands_as_it_is(row: Withdrawal, hand: ByHand) -> None:
    table.transact([stuck.emptied(row, hand), hand.audit])


def _followed(row: Withdrawal, hand: ByHand) -> None:
    """It is as it was told: what was paid comes back, or what came back is taken again, as far as it is there.

    The mall may tell otherwise again, and a person follow: each payment has a cause of its own.
    """
    purse = table.get(Purse, Purse.key(row.member_id))
    assert purse is not None
    to, sign = ("failed", -1) if row.state == "paid" else ("paid", 1)
    last = row.paid_as or service.cause_of(row)
    paid_as = last if to == "failed" else f"{last}#paid_after_all"
    then = (Withdrawal.paid_as.set(paid_as), *service.owing(to, row, now=hand.now), hand.mark)
    change = service.moved(row, to=to, then=then).also(hand.still)
    left = service.purse_ended(row, purse, counts=sign)
    month = service.paid_in_month(row, tax_fen=row.tax_fen, sign=sign, now=hand.now)
    with _decided(row):
        back = _moved_back(row, to, paid_as, now=hand.now)
        table.transact([change, *left, *back, month, hand.audit])


def _moved_back(row: Withdrawal, to: str, cause: str, *, now: int) -> list[Write]:
    """The payment of this cause reversed, or made."""
    given: dict[str, Any] = {"owner": row.member_id, "book": MONEY, "cause": cause, "now": now}
    if to == "failed":
        return ledger.reversal(reason="withdrawal_failed", **given)
    return ledger.posted(amount=-row.amount_fen, reason="withdrawal", **given)


@contextmanager
def _decided(row: Withdrawal) -> Iterator[None]:
    """Another person may decide the same at this moment, and be first with the row or with the money."""
    try:
        yield
    except (Stale, ledger.Posted) as stale:
        found = table.get(Withdrawal, (row.pk, row.sk))
        raise (Busy if found is not None and found.rev == row.rev else Moved) from stale


def _tell(rows: Sequence[Withdrawal]) -> list[stuck.Story]:
    names = ("withdrawal_id", "state", "gateway", "method", "net_fen", "sent_at", "reference", "told")
    return [
        stuck.Story(
            member_id=row.member_id,
            amount_fen=row.amount_fen,
            details={name: getattr(row, name) for name in names},
        )
        for row in rows
    ]


for job in (JOB, TRANSFER_JOB):
    stuck.trouble(
        Trouble(
            job=job,
            en="A withdrawal of which it is not known whether it was paid",
            zh="打款结果未知的提现",
            urgency=0,
            tell=_tell,
            settle={"paid": _settled("paid"), "failed": _settled("failed")},
        )
    )
stuck.trouble(
    Trouble(
        job=DIFFERS_JOB,
        en="A withdrawal that ended in one way and was told to have ended in another",
        zh="打款结果前后不一致的提现",
        urgency=0,
        tell=_tell,
        retry=False,
        settle={"stands": _stands_as_it_is, "followed": _followed},
    )
)
