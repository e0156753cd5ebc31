"""What a member's withdrawals mean for leaving: none may be under way, and no money left, unless it is given up.

Whom the money went to is of two kinds. The account it went to is needed while a transfer may come back: sealed as
it is, it stays for `ACCOUNTS_STAY_S` after its member was erased. Who was paid, and what was withheld of it, is the
tax book: by the rules for the collection of taxes (税收征收管理法实施细则, art. 29) books and vouchers are kept for
ten years, so what a month's statement says of its payee stays sealed for as long, under the id that means nobody.
"""

from typing import Any

from chalicelib.core import due, estates, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import NotFound
from chalicelib.core.estates import Obstacle
from chalicelib.core.table import Row, Write
from chalicelib.operators import stuck
from chalicelib.withdrawals import payees
from chalicelib.withdrawals.models import OPEN, Forgetting, Month, Payee, Purse, Withdrawal
from chalicelib.withdrawals.service import MONEY

JOB = "forget_payee"
ACCOUNTS_STAY_S = 30 * DAY
TAX_BOOK_STAYS_S = 10 * 366 * DAY
AGAIN_S = DAY
FORFEITED = "forfeited"
_SEALED = ("account", "payee")


class _Gone(Exception):
    """It is so already."""


def _gone(_: Any) -> Exception:
    return _Gone()


@estates.obstructs("withdrawals")
def obstacles(member_id: str, now: int) -> list[Obstacle]:
    """Withdrawals under way, money that is left, which can be given up, and money that is owed."""
    purse = table.get(Purse, Purse.key(member_id))
    under_way = list(purse.open_ids) if purse is not None else []
    left_fen = ledger.balance(owner=member_id, book=MONEY)
    found = [Obstacle(code="withdrawals_open", details={"withdrawal_ids": under_way})] if under_way else []
    if left_fen > 0:
        how = {"amount_fen": left_fen, "withdraw": "POST /v1/me/withdrawals", "forfeit": True}
        found.append(Obstacle(code="balance_left", details=how))
    if left_fen < 0:
        found.append(Obstacle(code="money_owed", details={"amount_fen": -left_fen}))
    return found


@estates.exports("withdrawals")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's withdrawals, with the last four of each account; who they are to the tax office, masked."""
    payee = payees.find(member_id)
    own = Row.sk.startswith("MONTH#")
    months = table.query_all(Month, Month.key(member_id, "")[0], own)
    return {
        "withdrawals": estates.listed(f"{member_id}#withdrawals", without=(*_SEALED, "person")),
        "months": estates.some(reversed(months), without=(*_SEALED, "person")),
        "payee": None if payee is None else estates.told(payee, without=("sealed", "person")),
    }


@estates.erases("withdrawals")
def erase(member_id: str, now: int) -> bool:
    """Who the member is goes; money that they gave up is taken off their account, and said so in its ledger."""
    months = table.query_all(Month, Month.key(member_id, "")[0], Row.sk.startswith("MONTH#"))
    writes = [
        table.delete(Payee, Payee.key(member_id), refuse=_gone),
        _to_be_forgotten(member_id, now=now),
        *(_kept_for_the_tax_office(month, now=now) for month in months),
    ]
    done = [_applied([write]) for write in writes]
    left_fen = ledger.balance(owner=member_id, book=MONEY)
    if left_fen <= 0:
        return any(done)
    given_up = ledger.posted(
        owner=member_id,
        book=MONEY,
        amount=-left_fen,
        cause=FORFEITED,
        reason=FORFEITED,
        now=now,
        refuse=_gone,
    )
    return _applied(given_up) or any(done)


def _applied(writes: list[Write]) -> bool:
    try:
        table.transact(writes)
    except _Gone:
        return False
    return True


def _to_be_forgotten(member_id: str, *, now: int) -> Write:
    pk, sk = Forgetting.key(member_id)
    slot = due.slot(job=JOB, pk=pk, at=now + ACCOUNTS_STAY_S)
    return table.create(Forgetting(pk, sk, member_id=member_id, **slot), refuse=_gone)


def _kept_for_the_tax_office(month: Month, *, now: int) -> Write:
    stays = Month.ttl.set(now + TAX_BOOK_STAYS_S)
    endless = Month.ttl.does_not_exist()
    return table.update(Month, (month.pk, month.sk), stays, when=endless, refuse=_gone)


@due.handles(JOB)
def forget(entry: due.Entry, now: int) -> None:
    """Erase whom an erased member's withdrawals went to; what is open again, as a transfer came back, waits."""
    row = table.get(Forgetting, (entry.pk, entry.sk))
    if row is None or row.due_at != entry.due_at:
        return
    found = [one for page in table.owned_pages(f"{row.member_id}#withdrawals") for one in page.rows]
    for one in found:
        if one.state not in OPEN and (one.account or one.payee or one.shown):
            _forget(one)
    if any(one.state in OPEN for one in found):
        later = due.moved(job=JOB, pk=row.pk, at=now + AGAIN_S)
        table.apply(table.update(Forgetting, (row.pk, row.sk), *later, refuse=NotFound))
    else:
        _applied([table.delete(Forgetting, (row.pk, row.sk), refuse=_gone)])


stuck.trouble(
    stuck.Trouble(job=JOB, en="Bank accounts that could not be erased", zh="未能清除的收款账户信息")
)


def _forget(row: Withdrawal) -> None:
    nothing = (Withdrawal.account.remove(), Withdrawal.payee.remove(), Withdrawal.shown.remove())
    as_read = Withdrawal.rev == row.rev
    _applied([table.update(Withdrawal, (row.pk, row.sk), *nothing, when=as_read, refuse=_gone)])
