"""Payouts that have happened and of which the books do not know, as after a restore: each is taken in once.

A withdrawal that is here and not ended is paid by it. One that is not here is entered as paid, under the number
that it had, and taken from the member's money, whatever that is by now: what is not there is a debt. As its row is
lost, its fee and tax are not known, and it is entered without. What contradicts the books is left to people.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from chalicelib.core import ledger, table
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, NotFound
from chalicelib.core.table import Write
from chalicelib.members import rules as member_rules
from chalicelib.members import service as members
from chalicelib.operators import service as operators
from chalicelib.wechat import transfers as wechat
from chalicelib.withdrawals import service, terms, transfers
from chalicelib.withdrawals.models import OPEN, Purse, Withdrawal
from chalicelib.withdrawals.service import MONEY, ROUNDS, Ending, Stale

REASON = "taken_in"
Became = Literal["known", "noted", "entered", "differs", "nobody"]
"""It was noted before, or is now; it is entered; the books say otherwise; whose it is is not known."""


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """Money that somebody was paid: under the withdrawal's number, and ``reference`` in the books of who paid."""

    withdrawal_id: str
    reference: str
    net_fen: int
    at: int
    gateway: str
    member_id: str | None = None


def is_ours(number: str) -> bool:
    """Whether a number in WeChat Pay's books is that of a withdrawal."""
    return number.startswith("wdr")


def by_wechat(number: str, *, now: int) -> Payout | None:
    """What WeChat Pay has under a number that left the account; None: it was not taken by its payee.

    Raises:
        NotFound: WeChat Pay has forgotten it. PayRefused, PayUnknown: it does not say.
    """
    bill = wechat.show(number, now=now)
    if bill is None:
        raise NotFound
    if bill.state != "SUCCESS":
        return None
    return Payout(
        withdrawal_id=transfers.id_of(number),
        reference=bill.reference,
        net_fen=bill.amount_fen or 0,
        at=bill.created_at,
        gateway=transfers.GATEWAY,
        member_id=_payee(bill, now=now),
    )


def _payee(bill: wechat.Bill, *, now: int) -> str | None:
    found = [one.program_id for one in members.programs(now=now).values() if one.appid == bill.appid]
    for program_id in found:
        proof = member_rules.openid_proof(program_id=program_id, openid=bill.openid or "")
        if who := members.whose([proof]).get(proof):
            return who
    return None


def take_in(payout: Payout, *, by: Operator, now: int) -> Became:
    """Note a payout in the books; noted before, nothing changes.

    Raises:
        Busy: the member's books kept changing.
    """
    try:
        row = service.show(payout.withdrawal_id)
    except NotFound:
        return _enter(payout, by=by, now=now)
    if row.net_fen != payout.net_fen:
        return "differs"
    if row.state == "paid":
        return "known"
    if row.state not in OPEN:
        return "differs"
    audit = _audit(payout, row.member_id, row.state, by=by, now=now)
    told = Ending(
        to="paid", reference=payout.reference, now=now, also_from=("applied", "approved"), with_=[audit]
    )
    service.end(row, told)
    return "noted"


def _audit(payout: Payout, member_id: str, before: str | None, *, by: Operator, now: int) -> Write:
    return operators.recorded(
        by=by,
        action="withdrawal.taken_in",
        subject=payout.withdrawal_id,
        before={"state": before} if before else None,
        after={"state": "paid", "reference": payout.reference, "net_fen": payout.net_fen},
        now=now,
        member_id=member_id,
    )


def _enter(payout: Payout, *, by: Operator, now: int) -> Became:
    member_id = payout.member_id
    if member_id is None or not members.known([member_id]):
        return "nobody"
    for _ in range(ROUNDS):
        try:
            table.transact(_entered(payout, member_id, by=by, now=now))
            return "entered"
        except table.Taken:
            return "known"
        except Stale:
            continue
    raise Busy


def _entered(payout: Payout, member_id: str, *, by: Operator, now: int) -> Sequence[Write]:
    row = _row(payout, member_id, now=now)
    purse = table.get(Purse, Purse.key(member_id))
    # Its number may be that of which one it was: the next one gets another.
    left = service.purse_write(
        purse,
        member_id,
        n=(purse.n if purse else 0) + 1,
        open_ids=list(purse.open_ids) if purse else [],
        recent=service.recent_with(row, purse),
        tally=service.day_of(purse),
    )
    charged = ledger.charged(
        owner=member_id,
        book=MONEY,
        amount=row.amount_fen,
        cause=service.cause_of(row),
        reason=REASON,
        now=now,
    )
    month = service.paid_in_month(row, tax_fen=0, sign=1, now=now)
    audit = _audit(payout, member_id, None, by=by, now=now)
    return [table.create(row), left, *charged, month, audit]


def _row(payout: Payout, member_id: str, *, now: int) -> Withdrawal:
    pk, sk = Withdrawal.key(payout.withdrawal_id)
    return Withdrawal(
        pk,
        sk,
        state="paid",
        withdrawal_id=payout.withdrawal_id,
        member_id=member_id,
        amount_fen=payout.net_fen,
        fee_fen=0,
        tax_fen=0,
        net_fen=payout.net_fen,
        method=payout.gateway,
        gateway=payout.gateway,
        terms=terms.in_force(now=now).n,
        tax_rule="none",
        applied_at=payout.at,
        ended_at=payout.at,
        reference=payout.reference,
        reason=REASON,
        score=payout.at,
        board=service.board_of("paid", payout.withdrawal_id),
        **service.today(payout.at),
        **table.listed(f"{member_id}#withdrawals", at=payout.at, as_=payout.withdrawal_id),
    )
