"""Transfers by WeChat Pay under a crowd: one number however many send it, one end however many bring one (M2)."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.core import cache, ledger
from chalicelib.wechat import transfers as wechat
from chalicelib.withdrawals import sending, transfers
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.models import Withdrawal
from infra.local.wechat.transfers import ENDS
from tests.factories import NOW, PROGRAM, a_word
from tests.races.arena import STORM, Arena, rounds
from tests.transfers import Shop, opened_program, paid_by_wechat, terms
from tests.withdrawals import ALICE, again, broken, earn, entry_of, withdraw

pytestmark = pytest.mark.engine
FEN = 200_00
OVER = NOW + 250
"""Within the five minutes in which a signature of ours is taken, whoever's clock it is by."""


@pytest.fixture
def shop(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """WeChat Pay, for Alice alone."""
    with paid_by_wechat(monkeypatch) as there:
        cache.clear_all()
        opened_program(there)
        earn(FEN)
        terms()
        yield there
    cache.clear_all()


def the_job(row: Withdrawal, *, now: int = NOW) -> Callable[[], None]:
    """A worker that was told that it is due."""
    return lambda: sending.pay_out(entry_of(row), now)


def waiting() -> Withdrawal:
    row = withdraw(FEN, method="wechat")
    the_job(row)()
    return again(row)


def gives_up(row: Withdrawal) -> Callable[[], str]:
    return lambda: str(withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=OVER).state)


def told(shop: Shop, row: Withdrawal) -> Callable[[], None]:
    """WeChat says that it is paid."""
    number = transfers.number_of(row.withdrawal_id)
    bill = wechat.Bill(number=number, reference="1330", state="SUCCESS", created_at=NOW, amount_fen=FEN)
    return lambda: sending.told_by_wechat(bill, program_id=PROGRAM, now=OVER)


def books(arena: Arena) -> dict[str, Any]:
    """Everything adds up; the one withdrawal."""
    kinds = ("account", "entry", "hold", "withdrawal", "withdrawal_purse", "withdrawal_month")
    assert broken([row for kind in kinds for row in arena.rows(kind)]) == []
    (row,) = arena.rows("withdrawal")
    return row


def test_the_harness_sees_many_transfers_when_each_worker_takes_a_number_of_its_own(
    arena: Arena, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # CRMEB transfers under a new number each time (UserExtractServices.php:226-238).
    meeting, met = threading.Barrier(6), threading.local()

    def of_its_own(_: str) -> str:
        # None sends before all have looked, as when they begin at the same moment.
        if not getattr(met, "already", False):
            met.already = True
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(timeout=5)
        return a_word("n")

    monkeypatch.setattr(transfers, "number_of", of_its_own)
    row = withdraw(FEN, method="wechat")
    # Begun already, so that each of them looks at what is under way.
    assert sending.begin(row, now=NOW) is not None

    arena.race(*[the_job(row)] * 6)

    assert len(shop.bank.by_number) == 6


@rounds(STORM)
def test_sent_by_many_workers_it_is_one_transfer(arena: Arena, shop: Shop) -> None:
    row = withdraw(FEN, method="wechat")

    arena.race(*[the_job(row)] * 8).expect(won=8)
    the_job(again(row))()

    assert set(shop.bank.by_number) == {transfers.number_of(row.withdrawal_id)}
    assert again(row).state == "awaiting_confirmation" and again(row).package == shop.bill.package
    books(arena)


@rounds(STORM)
def test_taken_while_it_is_asked_about_told_of_and_given_up_it_is_paid_once(arena: Arena, shop: Shop) -> None:
    row = waiting()
    shop.deaf = True
    shop.confirms(row)
    shop.at(OVER)

    arena.race(*[told(shop, row)] * 6, *[the_job(row, now=OVER)] * 5, *[gives_up(row)] * 5)

    assert books(arena)["state"] == "paid" and shop.bank.paid_fen == FEN
    assert [month["n"] for month in arena.rows("withdrawal_month")] == [1]
    assert ledger.balance(owner=ALICE, book="money") == 0


@rounds(STORM)
def test_taken_given_up_and_closed_at_once_both_books_have_the_same_end(arena: Arena, shop: Shop) -> None:
    row = waiting()
    page = {"mchId": "1900000109", "appId": shop.bill.asked["appid"], "package": row.package}
    shop.at(OVER)

    arena.race(
        *[gives_up(row)] * 5,
        *[the_job(row, now=OVER)] * 6,
        *[lambda: shop.phone("confirm", row, **page)] * 4,
    )
    for _ in range(2):
        the_job(again(row), now=OVER)()

    found = books(arena)
    paid = shop.bill.state == "SUCCESS"
    assert shop.bill.state in ENDS and found["state"] == ("paid" if paid else "expired")
    assert shop.bank.paid_fen == (FEN if paid else 0)
    assert ledger.balance(owner=ALICE, book="money") == (0 if paid else FEN)
