"""Two who meet over one member's money, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable, Iterator

import pytest

from chalicelib.core import config, deliveries, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.operators import stuck
from chalicelib.withdrawals import applying, payees, sending
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.models import Withdrawal
from chalicelib.withdrawals.schemas import TellPayee, TransferOutcome
from infra.local.clients import Store
from tests.factories import NOW, OWNER, books
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.withdrawals import (
    ALICE,
    Bank,
    a_promoter,
    again,
    approve,
    asked,
    balance,
    broken,
    earn,
    run,
    sent,
    terms,
    withdraw,
)

BOB = "mbr_" + "B" * 26
MONTHLY = {"rule": "monthly"}
FIRST, SECOND, THIRD = "11010519491231002X", "440524188001010014", "110101199003070791"
FEBRUARY = NOW + 31 * DAY


@pytest.fixture(autouse=True)
def bank(store: Store, direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """The mall's bank; whoever meets, the books add up at its end."""
    there = Bank()
    monkeypatch.setattr(deliveries, "post", there.post)
    a_promoter()
    config.override(payout_gateways="sandbox manual mall")
    yield there
    assert broken(books(store.client).rows) == []


def is_known(member_id: str = ALICE, number: str = FIRST, *, now: int = NOW) -> None:
    """A member says who they are."""
    payees.tell(
        TellPayee(real_name="王小明", id_number=number), member_id=member_id, nonce=b"n" * 12, now=now
    )


def tell(row: Withdrawal, kind: str, **more: str) -> None:
    """The mall says how a transfer ended."""
    told = TransferOutcome(id="x", type=f"withdrawal.{kind}", **more)  # type: ignore[arg-type]
    sending.told_by_mall(row.withdrawal_id, told, now=NOW)


def rejected(row: Withdrawal) -> None:
    """An operator does not let it be paid."""
    withdrawals.reject(row.withdrawal_id, reason="no", by=OWNER, now=NOW)


# --- applying -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 1], ids=["the first ever", "not the first"])
def test_of_two_taps_with_keys_of_their_own_one_is_open(before: int) -> None:
    terms()
    earn(900_00)
    for _ in range(before):
        rejected(withdraw(100_00, key="before"))

    with before_write(1, lambda: withdraw(200_00, key="one")), pytest.raises(applying.WithdrawalOpen):
        withdraw(200_00, key="another")

    assert balance() == (700_00, 200_00)


def test_of_two_taps_with_one_key_there_is_one_withdrawal() -> None:
    terms(open_at_once=2)
    earn(900_00)

    with before_write(1, lambda: withdraw(200_00, key="tap")):
        row, new = asked(200_00, key="tap")

    assert (new, row.rev, balance()) == (False, 1, (700_00, 200_00))


@pytest.mark.parametrize("before", [0, 1], ids=["the month's first", "not the first"])
def test_two_members_who_are_one_person_are_taxed_as_one(before: int) -> None:
    terms(open_at_once=3, tax=MONTHLY)
    for member_id in (ALICE, a_promoter(BOB)):
        earn(9_000_00, owner=member_id)
        is_known(member_id)
    for _ in range(before):
        withdraw(700_00, key="before")
    expected = 492_00 if before else 520_00

    with before_write(1, lambda: withdraw(3_000_00, key="b", owner=BOB)):
        row = withdraw(3_000_00, key="a")

    assert row.tax_fen == expected


@pytest.mark.parametrize("before", [0, 1], ids=["the month's first", "not the first"])
def test_what_is_sent_in_another_month_is_taxed_with_what_is_applied_for_there_meanwhile(before: int) -> None:
    terms(open_at_once=3, tax=MONTHLY)
    for member_id in (ALICE, a_promoter(BOB)):
        earn(9_000_00, owner=member_id)
        is_known(member_id)
    for _ in range(before):
        withdraw(700_00, key="before", now=FEBRUARY)
    row = approve(withdraw(3_000_00, key="a"))
    expected = 492_00 if before else 520_00

    with before_write(2, lambda: withdraw(3_000_00, key="b", owner=BOB, now=FEBRUARY)):
        run(now=FEBRUARY)

    assert (again(row).month, again(row).tax_fen) == ("2026-02", expected)


# --- who is paid --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
def test_a_member_becomes_another_person_once_a_month_whoever_says_it_first(known: bool) -> None:
    if known:
        is_known()

    with before_write(1, lambda: is_known(number=SECOND)):
        if known:
            with pytest.raises(payees.PayeeChanged):
                is_known(number=THIRD)
        else:
            is_known(number=THIRD)

    with pytest.raises(payees.PayeeChanged):
        is_known(number=FIRST)


def test_of_two_versions_of_the_terms_that_are_made_at_once_one_is_made() -> None:
    with before_write(1, lambda: terms(min_fen=102)), pytest.raises(Busy):
        terms(min_fen=103)

    assert books(table.client()).only("withdrawal_terms")["told"]


# --- what operators decide ----------------------------------------------------------------------------------


def test_what_is_rejected_while_it_is_approved_is_not_paid(bank: Bank) -> None:
    terms()
    earn(300_00)
    row = withdraw(200_00)

    with before_write(1, lambda: rejected(row)), pytest.raises(withdrawals.WithdrawalOver):
        approve(row)

    assert (run().handled, again(row).state, bank.asked) == (0, "rejected", [])


@pytest.mark.parametrize("begun", [approve, lambda row: row], ids=["approved", "applied"])
def test_what_is_sent_while_it_is_rejected_is_not_rejected(
    bank: Bank, begun: Callable[[Withdrawal], Withdrawal]
) -> None:
    terms()
    earn(300_00)
    row = begun(withdraw(200_00))

    with before_write(1, lambda: sent(row)), pytest.raises(withdrawals.WithdrawalOver):
        rejected(row)

    assert (again(row).state, bank.asked, balance()) == (
        "transferring",
        [row.withdrawal_id],
        (100_00, 200_00),
    )


# --- what a person follows ----------------------------------------------------------------------------------


def told_otherwise(ended: str, told: str) -> tuple[Withdrawal, stuck.Stuck]:
    """A withdrawal that ended, of which the other end was told since, and how it waits for a person."""
    terms()
    earn(300_00)
    row = sent(withdraw(200_00))
    tell(row, ended)
    with pytest.raises(withdrawals.WithdrawalOver):
        tell(row, told)
    (found,) = stuck.listed(limit=10)[0]
    return row, found


@pytest.mark.parametrize(("ended", "told"), [("paid", "failed"), ("failed", "paid"), ("expired", "paid")])
def test_what_was_told_otherwise_is_followed_by_two_at_once(ended: str, told: str) -> None:
    row, found = told_otherwise(ended, told)

    def follow(reason: str) -> None:
        stuck.settle(stuck_id=found.id, how="followed", reason=reason, by=OWNER, now=NOW)

    with before_write(1, lambda: follow("first")):
        follow("second")

    assert (again(row).state, stuck.listed(limit=10)[0]) == (told, [])


@pytest.mark.parametrize(("ended", "told"), [("paid", "failed"), ("failed", "paid"), ("expired", "paid")])
def test_what_differs_is_told_again_while_a_person_follows_it(ended: str, told: str) -> None:
    row, found = told_otherwise(ended, told)

    def follow() -> None:
        stuck.settle(stuck_id=found.id, how="followed", reason="looked up", by=OWNER, now=NOW)

    with before_write(1, follow), pytest.raises(withdrawals.WithdrawalOver):
        tell(row, told, reference="B-9")

    assert (again(row).state, stuck.listed(limit=10)[0]) == (told, [])


def test_what_is_paid_while_the_member_cancels_it_stays_as_it_is() -> None:
    terms()
    earn(300_00)
    row = sent(withdraw(200_00, method="sandbox"))
    assert again(row).state == "awaiting_confirmation"

    def confirm() -> None:
        sending.confirm_in_sandbox(row.withdrawal_id, now=NOW)

    with before_write(1, confirm), pytest.raises(withdrawals.WithdrawalOver):
        withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=NOW)

    assert again(row).state == "paid"
