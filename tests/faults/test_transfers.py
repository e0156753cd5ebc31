"""Transfers by WeChat Pay when anything fails, here, there or between: out at most once, back once, all adds up."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.core import cache, due, table
from chalicelib.core.clock import DAY
from chalicelib.wechat import pay
from chalicelib.wechat import transfers as wechat
from chalicelib.withdrawals import sending, transfers
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.models import Withdrawal
from chalicelib.withdrawals.service import TRANSFER_JOB
from infra.local.wechat.transfers import ENDS
from tests.factories import NOW, a_word, books, emptied
from tests.faults.test_withdrawals import _tables
from tests.harness.direct import Direct
from tests.harness.faults import each_fault
from tests.transfers import Shop, opened_program, paid_by_wechat, terms
from tests.withdrawals import ALICE, again, balance, broken, earn, entry_of, withdraw

FEN, LEFT = 200_00, 300_00
OVER = NOW + 600


@pytest.fixture
def shop(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with paid_by_wechat(monkeypatch) as there:
        yield there


def run(shop: Shop, row: Withdrawal, *, now: int = NOW) -> None:
    """The job's handler, told that the withdrawal is due."""
    sending.pay_out(entry_of(row), shop.at(now))


def applied(shop: Shop) -> Withdrawal:
    shop.at(NOW)
    opened_program(shop)
    earn(FEN + LEFT)
    terms(confirm_s=600)
    return withdraw(FEN, method="wechat")


def begun(shop: Shop) -> Withdrawal:
    """Sent, and the answer never heard."""
    row = applied(shop)
    shop.fault(wechat.BILLS, "lost")
    with pytest.raises(Exception, match="ProtocolError"):
        run(shop, row)
    shop.fault(wechat.BILLS, None)
    return again(row)


def waiting(shop: Shop) -> Withdrawal:
    row = applied(shop)
    run(shop, row)
    return again(row)


def taken(shop: Shop) -> Withdrawal:
    """Taken by its payee, and nobody told."""
    row = waiting(shop)
    shop.fault("/notices/transfers", "withheld")
    shop.confirms(row)
    shop.fault("/notices/transfers", None)
    return row


def given_up(shop: Shop) -> Withdrawal:
    row = waiting(shop)
    return withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=OVER - 1)


def told(shop: Shop, row: Withdrawal) -> None:
    """What a notification says."""
    bill = wechat._bill({**_shown(shop), "state": shop.bill.state})
    sending.told_by_wechat(bill, now=shop.now)


def _shown(shop: Shop) -> dict[str, Any]:
    told = {"out_bill_no": shop.bill.number, "transfer_bill_no": shop.bill.reference}
    return {**told, "create_time": "2026-01-01T10:00:00+08:00", "transfer_amount": shop.bill.fen}


def unable(shop: Shop) -> Withdrawal:
    """Its payee's account cannot take it."""
    row = waiting(shop)
    shop.fault("/notices/transfers", "withheld")
    shop.phone("refuse", row)
    shop.fault("/notices/transfers", None)
    return row


# --- the store fails ----------------------------------------------------------------------------------------


@dataclass
class World:
    """One withdrawal, and WeChat's books of it."""

    row: Withdrawal
    bank: dict[str, Any] = field(default_factory=dict)


Plant = Callable[[Shop], Withdrawal]
Does = Callable[[Shop, Withdrawal], None]


def adds_up(shop: Shop, row: dict[str, Any]) -> None:
    """Both books say the same: what is paid is paid there, what is back is closed there, and nothing twice."""
    assert broken(books(table.client()).rows) == []
    assert len(shop.bank.by_number) <= 1
    assert set(shop.bank.by_number) <= {transfers.number_of(row["withdrawal_id"])}
    assert shop.bank.paid_fen <= FEN
    if row["state"] == "awaiting_confirmation":
        assert row["package"] == shop.bill.package, "its payee could not open the page"
    if row["state"] == "paid":
        assert shop.bank.paid_fen == FEN
    if row["state"] in ("failed", "expired"):
        assert shop.bank.paid_fen == 0 and shop.bill.state in ("FAIL", "CANCELLED")


CASES: list[tuple[str, Plant, Does, str]] = [
    ("send", applied, run, "awaiting_confirmation"),
    ("send again", begun, run, "awaiting_confirmation"),
    ("ask", taken, run, "paid"),
    ("close", waiting, lambda shop, row: run(shop, row, now=OVER), "expired"),
    ("close what was taken", taken, lambda shop, row: run(shop, row, now=OVER), "paid"),
    ("the member gives up", waiting, lambda shop, row: void(_cancel(row)), "awaiting_confirmation"),
    ("close what was given up", given_up, lambda shop, row: run(shop, row, now=OVER), "expired"),
    ("told that it is paid", taken, told, "paid"),
    ("told that it has failed", unable, told, "failed"),
]


def _cancel(row: Withdrawal) -> Withdrawal:
    return withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=NOW)


def void(_: object) -> None:
    """An operation answers nothing."""


@pytest.mark.parametrize(
    ("plant", "does", "state"), [case[1:] for case in CASES], ids=[one[0] for one in CASES]
)
def test_one_effect_whatever_the_store_does(shop: Shop, plant: Plant, does: Does, state: str) -> None:
    kept: list[tuple[World, dict[str, Any]]] = []
    # What is told in the background would make the calls whose turn it is to fail.
    shop.deaf = True

    def setup() -> World:
        if not kept:
            emptied()
            row = plant(shop)
            rows = {one.name: copy.deepcopy(one.items) for one in _tables()}
            kept.append((World(row, copy.deepcopy(vars(shop.bank))), rows))
        world, rows = kept[0]
        vars(shop.bank).update(copy.deepcopy(world.bank))
        shop.at(NOW)
        emptied()
        for one in _tables():
            one.items.update(copy.deepcopy(rows[one.name]))
        cache.clear_all()
        return world

    def check(world: World) -> None:
        row = books(table.client()).only("withdrawal")
        adds_up(shop, row)
        back = state in ("failed", "expired")
        assert (row["state"], balance()) == (
            state,
            (FEN + LEFT, 0) if back else (LEFT, 0 if state == "paid" else FEN),
        )

    each_fault(lambda world: does(shop, world.row), client=table.client(), setup=setup, check=check)


# --- WeChat, or the way to it, fails ------------------------------------------------------------------------


def to_the_end(shop: Shop, row: Withdrawal) -> dict[str, Any]:
    """The job runs as its rows become due, until nothing is; what is left of the withdrawal."""
    for _ in range(40):
        row = again(row)
        if row.due_at is None or not (row.due_shard or "").startswith(f"{TRANSFER_JOB}#"):
            break
        due.run(job=TRANSFER_JOB, worker=a_word("w"), now=shop.at(max(shop.now, row.due_at)), seconds=30)
    found = books(table.client()).only("withdrawal")
    adds_up(shop, found)
    assert shop.bill.state in ENDS and found["state"] not in ("transferring", "awaiting_confirmation")
    return found


def nobody(shop: Shop, row: Withdrawal) -> None:
    """Nobody does anything."""


def takes(shop: Shop, row: Withdrawal) -> None:
    shop.confirms(row)


def gives_up(shop: Shop, row: Withdrawal) -> None:
    if again(row).state == "awaiting_confirmation":
        withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=shop.now)


CALLS = {"send": "", "ask": "/out-bill-no", "close": "/cancel"}


@pytest.mark.parametrize(
    ("does", "call", "fault"),
    [
        *[(does, call, "lost") for does in (nobody, takes, gives_up) for call in CALLS],
        *[(takes, call, "busy") for call in CALLS],
    ],
)
def test_it_ends_once_whichever_call_fails_at_first(shop: Shop, does: Does, call: str, fault: str) -> None:
    row = applied(shop)
    number = transfers.number_of(row.withdrawal_id)
    path = f"{wechat.BILLS}/out-bill-no/{number}/cancel" if call == "close" else wechat.BILLS + CALLS[call]
    shop.fault(path, fault)
    for now in (NOW, NOW + 30, NOW + 120):
        due.run(job=TRANSFER_JOB, worker=a_word("w"), now=shop.at(now), seconds=30)
        does(shop, row)
    if call == "close":
        due.run(job=TRANSFER_JOB, worker=a_word("w"), now=shop.at(OVER + 60), seconds=30)
    shop.fault(path, None)
    due.run(
        job=TRANSFER_JOB, worker=a_word("w"), now=shop.at(max(shop.now, again(row).due_at or 0)), seconds=30
    )
    does(shop, row)

    ended = to_the_end(shop, row)

    assert ended["state"] == ("paid" if does is takes else "expired")


@pytest.mark.parametrize("fault", ["twice", "disorder", "withheld", "lost", "slow", "busy"])
@pytest.mark.parametrize("does", ["confirm", "refuse"])
def test_it_ends_once_however_wechat_tells(shop: Shop, does: str, fault: str) -> None:
    row = waiting(shop)
    shop.fault("/notices/transfers", fault)

    if does == "confirm":
        shop.confirms(row)
    else:
        shop.phone("refuse", row)

    assert to_the_end(shop, row)["state"] == ("paid" if does == "confirm" else "failed")


def test_an_answer_that_comes_too_late_is_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    row = applied(shop)
    monkeypatch.setattr(pay, "READ_S", 1.0)
    pay._pool.cache_clear()
    shop.simulator.slow_s = 1.5
    shop.fault(wechat.BILLS, "slow")
    due.run(job=TRANSFER_JOB, worker="w", now=NOW, seconds=30)
    pay._pool.cache_clear()
    assert "ReadTimeoutError" in (again(row).last_error or "") and len(shop.bank.by_number) == 0

    shop.fault(wechat.BILLS, None)
    assert to_the_end(shop, row)["state"] == "expired"


def test_closed_there_and_never_told_it_comes_back_after_days_of_silence(shop: Shop) -> None:
    shop.fault("/notices/transfers", "withheld")
    row = waiting(shop)
    shop.at(NOW + 3 * DAY)

    assert to_the_end(shop, row)["state"] == "expired"
