"""Withdrawals under a crowd: no more leaves than is there, each number once, and back once unless paid (M2, L1)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core import cache, config, deliveries, ledger
from chalicelib.withdrawals import payees, sending, tax
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals.models import OPEN, Purse, Taxed, Withdrawal
from chalicelib.withdrawals.schemas import TellPayee
from chalicelib.withdrawals.service import Ending, WithdrawalOver
from tests.factories import NOW, OWNER
from tests.races.arena import ROUGH, STORM, Arena, careless, rounds
from tests.withdrawals import (
    ACCOUNT,
    ALICE,
    Bank,
    a_promoter,
    again,
    approve,
    asked,
    broken,
    claw_back,
    earn,
    entry_of,
    terms,
    withdraw,
)

pytestmark = pytest.mark.engine
FEN = 100_00


@pytest.fixture
def bank(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """What the mall pays out of, for Alice alone."""
    there = Bank()
    monkeypatch.setattr(deliveries, "post", there.post)
    config.override(payout_gateways="sandbox manual mall")
    cache.clear_all()
    a_promoter()
    yield there
    cache.clear_all()


def taking(n: int, *, key: str | None = None) -> Callable[[], str]:
    """One tap; the id of the withdrawal."""
    return lambda: asked(FEN, key=key or f"tap-{n}")[0].withdrawal_id


def check(arena: Arena) -> list[dict[str, Any]]:
    """The books add up now, and no image of the account was below zero; the withdrawals."""
    kinds = ("account", "entry", "hold", "withdrawal", "withdrawal_purse", "payee_month")
    assert broken([row for kind in kinds for row in arena.rows(kind)]) == []
    return arena.rows("withdrawal")


def lowest(arena: Arena) -> int:
    """The lowest that the balance ever was."""
    balances = [change.new["balance"] for change in arena.images("account") if change.new is not None]
    return int(min(balances))


def the_job(row: Withdrawal, *, now: int = NOW) -> Callable[[], None]:
    """A worker that was told that it is due."""
    return lambda: sending.pay_out(entry_of(row), now)


# --- applying -----------------------------------------------------------------------------------------------


def test_the_harness_sees_a_balance_paid_eight_times_when_no_condition_holds(
    arena: Arena, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    # lilishop#145: eight times 100 out of a wallet with 100; so does DistributionCashServiceImpl.java:101-103.
    terms(open_at_once=10)
    earn(FEN)
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[taking(n) for n in range(8)]).expect(won=8)

    assert ledger.balance(owner=ALICE, book="money") == -7 * FEN
    with pytest.raises(AssertionError):
        check(arena)


@rounds(STORM)
def test_lilishop_145_eight_withdrawals_of_all_there_is(arena: Arena, bank: Bank) -> None:
    """Each names another account, which went past the guard against whoever taps twice."""
    terms(open_at_once=10)
    earn(FEN)

    def naming(n: int) -> Callable[[], str]:
        account = {**ACCOUNT, "number": f"622202020011223{n}"}
        return lambda: asked(FEN, method="bank", key=f"tap-{n}", account=account)[0].withdrawal_id

    arena.race(*[naming(n) for n in range(8)]).expect(won=1, not_enough_money=7)

    assert len(check(arena)) == 1
    assert (lowest(arena), ledger.balance(owner=ALICE, book="money")) == (0, 0)


@rounds(STORM)
def test_a_hundred_withdrawals_of_one_balance(arena: Arena, bank: Bank) -> None:
    terms(open_at_once=10)
    earn(6 * FEN + FEN // 2)

    outcomes = arena.race(*[taking(n) for n in range(100)])

    outcomes.expect(won=6, not_enough_money=94)
    assert len(check(arena)) == len(set(outcomes.winners)) == 6
    assert (lowest(arena), ledger.balance(owner=ALICE, book="money")) == (FEN // 2, FEN // 2)


@rounds(ROUGH)
def test_one_may_be_open_at_a_time_however_many_ask(arena: Arena, bank: Bank) -> None:
    terms()
    earn(90 * FEN)

    outcomes = arena.race(*[taking(n) for n in range(12)], *[taking(0, key="the one")] * 6)

    outcomes.expect_won_or("withdrawal_open")
    (row,) = check(arena)
    assert set(outcomes.winners) == {row["withdrawal_id"]}


@rounds(STORM)
def test_one_tap_twelve_times_is_one_withdrawal(arena: Arena, bank: Bank) -> None:
    terms(open_at_once=10, day_max_fen=100_000_00)
    earn(90 * FEN)

    outcomes = arena.race(*[taking(0)] * 12)

    outcomes.expect(won=12)
    (row,) = check(arena)
    assert set(outcomes.winners) == {row["withdrawal_id"]}


def test_the_harness_sees_more_open_than_may_be_when_the_purse_is_a_read(
    arena: Arena, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms()
    earn(90 * FEN)
    careless(monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, Purse) else write)

    arena.collide(*[taking(n) for n in range(8)]).expect(won=8)

    assert len(arena.rows("withdrawal")) == 8


def test_the_harness_sees_more_on_a_day_than_may_be_when_the_purse_is_a_read(
    arena: Arena, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms(open_at_once=10, max_fen=FEN, day_max_fen=3 * FEN)
    earn(90 * FEN)
    careless(monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, Purse) else write)

    arena.collide(*[taking(n) for n in range(8)]).expect(won=8)

    assert sum(row["amount_fen"] for row in arena.rows("withdrawal")) == 8 * FEN


@rounds(ROUGH)
def test_the_day_s_limit_holds_however_many_ask(arena: Arena, bank: Bank) -> None:
    terms(open_at_once=10, max_fen=FEN, day_max_fen=3 * FEN)
    earn(90 * FEN)

    arena.race(*[taking(n) for n in range(10)]).expect(won=3, withdrawal_day_limit=7)

    check(arena)
    (purse,) = arena.rows("withdrawal_purse")
    assert (purse["day_fen"], len(json.loads(purse["recent"]))) == (3 * FEN, 3)


# --- one person, several members ----------------------------------------------------------------------------


def persons(*owners: str) -> None:
    """All of them have told the same number."""
    for owner in owners:
        given = TellPayee(real_name="王小明", id_number="11010519491231002X")
        payees.tell(given, member_id=owner, nonce=b"n" * 12, now=NOW)


def taxed(owner: str) -> Callable[[], int]:
    """One of them withdraws; the tax of it."""
    return lambda: int(asked(8 * FEN, key=owner, owner=owner)[0].tax_fen)


def test_the_harness_sees_one_number_have_two_allowances_when_the_month_is_a_read(
    arena: Arena, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms(tax={"rule": "monthly"})
    owners = [a_promoter(f"mbr_{'P' * 25}{n}") for n in range(2)]
    persons(*owners)
    for owner in owners:
        earn(8 * FEN, owner=owner)
    careless(monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, Taxed) else write)

    outcomes = arena.collide(*map(taxed, owners))

    assert outcomes.winners == [0, 0], "¥1,600 of which ¥800 are free, twice"


@rounds(STORM)
def test_a_member_becomes_one_other_person_in_a_month_however_many_are_told_at_once(
    arena: Arena, bank: Bank
) -> None:
    persons(ALICE)

    def told(number: int) -> Callable[[], str]:
        given = TellPayee(real_name="李四", id_number=f"E1234567{number}", id_kind="passport")
        return lambda: payees.tell(given, member_id=ALICE, nonce=b"m" * 12, now=NOW).person

    outcomes = arena.race(*map(told, range(6)))

    outcomes.expect(won=1, payee_changed=5)
    (row,) = arena.rows("payee")
    assert [row["person"]] == outcomes.winners


@rounds(STORM)
def test_one_number_has_one_allowance_as_however_many_members_it_asks(arena: Arena, bank: Bank) -> None:
    terms(tax={"rule": "monthly"})
    owners = [a_promoter(f"mbr_{'P' * 25}{n}") for n in range(8)]
    persons(*owners)
    for owner in owners:
        earn(8 * FEN, owner=owner)

    outcomes = arena.race(*map(taxed, owners), *map(taxed, owners))

    outcomes.expect(won=16)
    rows = check(arena)
    assert sum(row["tax_fen"] for row in rows) == tax.withheld_fen(len(owners) * 8 * FEN)
    (month,) = arena.rows("payee_month")
    assert month["base_fen"] == len(owners) * 8 * FEN


# --- taken back meanwhile -----------------------------------------------------------------------------------


@rounds(STORM)
def test_what_is_taken_back_while_others_withdraw_is_paid_to_nobody(arena: Arena, bank: Bank) -> None:
    terms(open_at_once=10, auto_up_to_fen=FEN)
    causes = [earn(FEN) for _ in range(6)]
    backs: list[Callable[[], object]] = [lambda cause=cause: claw_back(cause) for cause in causes[:4]]  # type: ignore[misc]

    outcomes = arena.race(*backs, *[taking(n) for n in range(9)], *backs)

    outcomes.expect_won_or("Posted", "not_enough_money")
    made = [again_row(row) for row in check(arena)]
    arena.race(*[the_job(row) for row in made for _ in range(2)])
    rows = check(arena)
    settled_fen = 6 * FEN - 4 * FEN
    out_fen = sum(row["net_fen"] for row in rows if row["state"] in ("transferring", "paid"))
    assert out_fen == bank.paid_fen <= settled_fen
    # Who was not sent was rejected for the debt, and what is left is what was settled and is not on its way.
    assert {row["state"] for row in rows} <= {"transferring", "rejected"}
    assert ledger.balance(owner=ALICE, book="money") == settled_fen - out_fen


def again_row(row: dict[str, Any]) -> Withdrawal:
    return withdrawals.show(row["withdrawal_id"])


# --- one number, one end ------------------------------------------------------------------------------------


def approving(row: Withdrawal) -> Callable[[], str]:
    """An operator who approves; the state they see."""
    return lambda: str(approve(row).state)


def test_the_harness_sees_an_approval_beside_a_rejection_when_no_condition_holds(
    arena: Arena, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms()
    earn(FEN)
    row = withdraw(FEN)
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(approving(row), rejecting(row))

    with pytest.raises(AssertionError):
        assert again(row).state == "approved"
        check(arena)


def rejecting(row: Withdrawal) -> Callable[[], str]:
    return lambda: str(withdrawals.reject(row.withdrawal_id, reason="no", by=OWNER, now=NOW).state)


@rounds(STORM)
def test_approved_many_times_and_sent_by_many_workers_it_is_one_transfer(arena: Arena, bank: Bank) -> None:
    # CRMEB reads the state, transfers under a new number, then writes it (UserExtractServices.php:226-238).
    terms()
    earn(FEN)
    row = withdraw(FEN)

    arena.race(*[approving(row)] * 6, *[the_job(row)] * 6).expect(won=12)
    arena.race(*[the_job(again(row))] * 6).expect(won=6)

    assert set(bank.transfers) <= {row.withdrawal_id}
    assert again(row).state == "transferring"
    check(arena)
    assert len({audit["sk"] for audit in arena.rows("audit", action="withdrawal.approved")}) == 1


@rounds(ROUGH)
def test_rejected_while_it_is_sent_it_is_the_one_or_the_other(arena: Arena, bank: Bank) -> None:
    terms()
    earn(FEN)
    row = approve(withdraw(FEN))

    outcomes = arena.race(*[rejecting(row)] * 4, *[the_job(row)] * 4)

    outcomes.expect_won_or("withdrawal_over")
    check(arena)
    state = again(row).state
    assert (state == "rejected") == (not bank.asked)
    assert ledger.balance(owner=ALICE, book="money") == (FEN if state == "rejected" else 0)


def ending(row: Withdrawal, to: str) -> Callable[[], str]:
    """One who ends it; how it ended."""

    def end() -> str:
        try:
            withdrawals.end(row, Ending(to=to, now=NOW))
        except WithdrawalOver as over:
            return str(over.details["state"])
        return str(again(row).state)

    return end


@rounds(STORM)
def test_paid_failed_and_expired_at_once_it_has_one_end_and_one_back(arena: Arena, bank: Bank) -> None:
    terms(confirm_s=600)
    earn(FEN)
    row = approve(withdraw(FEN, method="sandbox"))
    the_job(row)()
    row = again(row)
    assert row.state == "awaiting_confirmation"
    expiring = the_job(row, now=NOW + 600)

    outcomes = arena.race(
        *[ending(row, to) for to in ("paid", "failed", "expired") for _ in range(4)], *[expiring] * 4
    )

    outcomes.expect(won=16)
    told = {outcome.value for outcome in outcomes if outcome.value is not None}
    ended = again(row).state
    assert told == {ended} and ended not in OPEN
    check(arena)
    assert ledger.balance(owner=ALICE, book="money") == (0 if ended == "paid" else FEN)
    months = arena.rows("withdrawal_month")
    assert [month["n"] for month in months] == ([1] if ended == "paid" else [])
    assert withdrawal_terms.of(row.terms, now=NOW).told.confirm_s == 600
