"""Withdrawals from the phone to the bank: frozen once, sent under one number, and back once unless paid."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from chalicelib.core import clock, config, deliveries, facts, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.http import Call, Document, Listing, Reply
from chalicelib.operators import stuck
from chalicelib.support import service as support
from chalicelib.withdrawals import admin as withdrawal_admin
from chalicelib.withdrawals import applying, payees, sending, tax
from chalicelib.withdrawals import mall as withdrawal_mall
from chalicelib.withdrawals import routes as withdrawal_routes
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals.models import Payee, Withdrawal
from chalicelib.withdrawals.schemas import (
    AskWithdrawal,
    EditWithdrawalTerms,
    ExportStatement,
    FindWithdrawals,
    PaidByHand,
    Rejected,
    StatementQuery,
    TellPayee,
    TransferOutcome,
    Withdraw,
)
from infra.local import mall
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_call, a_member, books, called, caught_up, reacted
from tests.harness.counter import Spent, counting
from tests.harness.direct import Direct
from tests.harness.serving import served
from tests.withdrawals import (
    ACCOUNT,
    ALICE,
    METHODS,
    Bank,
    a_promoter,
    again,
    approve,
    asked,
    balance,
    broken,
    claw_back,
    earn,
    entry_of,
    run,
    sent,
    terms,
    withdraw,
)

REAL_POST = deliveries.post
MONTHLY = {"rule": "monthly"}
ID_CARD = "11010519491231002X"
FEBRUARY = clock.month_starts_at(2026 * 12 + 1, zone=config.settings().zone)


@pytest.fixture(autouse=True)
def bank(store: Store, direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """The mall's bank; whatever a test does, the books add up at its end."""
    there = Bank()
    monkeypatch.setattr(deliveries, "post", there.post)
    a_promoter()
    config.override(payout_gateways="sandbox manual mall")
    yield there
    assert broken(books(store.client).rows) == []


def by_operator(*, now: int = NOW) -> Call:
    return a_call(operator=OWNER, now=now)


def tell(row: Withdrawal, kind: str, *, now: int = NOW, **more: Any) -> Withdrawal:
    """The mall says how it ended."""
    told = TransferOutcome(id="e-1", type=f"withdrawal.{kind}", **more)  # type: ignore[arg-type]
    withdrawal_mall.tell(a_call(now=now), row.withdrawal_id, told)
    return again(row)


def known(member_id: str = ALICE) -> None:
    """Alice says who she is."""
    payees.tell(
        TellPayee(real_name="王小明", id_number=ID_CARD), member_id=member_id, nonce=b"n" * 12, now=NOW
    )


def refused(row_or_fen: int, code: str, **more: Any) -> dict[str, Any]:
    """Applying is refused so; the details."""
    with pytest.raises(Exception) as told:
        withdraw(row_or_fen, **more)
    assert getattr(told.value, "code", repr(told.value)) == code
    return dict(told.value.details)  # type: ignore[attr-defined]


# --- applying -----------------------------------------------------------------------------------------------


def test_an_application_freezes_the_amount_and_says_where_it_goes() -> None:
    terms(fee_fixed_fen=100, fee_bps=50, tax={"rule": "fixed", "bps": 2000})
    earn(300_00)

    row = withdraw(200_00)

    assert (row.state, row.amount_fen, row.fee_fen, row.tax_fen, row.net_fen) == (
        "applied",
        200_00,
        2_00,
        40_00,
        158_00,
    )
    assert balance() == (100_00, 200_00)


def test_without_terms_nothing_is_withdrawn() -> None:
    earn(300_00)

    refused(200_00, "withdrawals_closed")


def test_what_refuses_comes_in_the_order_in_which_one_can_do_something_about_it() -> None:
    terms(max_fen=500_00, day_max_fen=600_00, open_at_once=2, tax=MONTHLY, fee_fixed_fen=50)
    more = {"key": "k"}

    assert refused(1, "invalid", method="gold", **more)["field"] == "method"
    refused(1, "payee_needed", **more)
    known()
    assert refused(99, "invalid", **more)["min_fen"] == 101
    assert refused(500_01, "invalid", **more)["max_fen"] == 500_00
    assert refused(200, "not_enough_money", **more) == {"balance_fen": 0}
    earn(1000_00)
    assert refused(200, "invalid", method="bank", account=None, **more)["field"] == "account"
    assert refused(200, "invalid", account=ACCOUNT, **more)["field"] == "account"
    withdraw(500_00, key="one")
    assert refused(100_01, "withdrawal_day_limit", **more)["left_fen"] == 100_00
    withdraw(100_00, key="two")
    assert len(refused(200, "withdrawal_open", **more)["withdrawal_ids"]) == 2


def test_what_the_fee_and_the_tax_would_eat_up_is_not_taken() -> None:
    terms(fee_fixed_fen=99, tax={"rule": "fixed", "bps": 10_000})
    earn(300_00)

    assert refused(200, "invalid")["reason"] == "nothing would be left"


def test_a_balance_that_is_gone_when_the_write_comes_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    terms()
    earn(300_00)
    seen = applying.ground(ALICE)
    withdraw(200_00, owner=ALICE)
    monkeypatch.setattr(applying, "_judge_limits", lambda *_, **__: None)

    assert seen.balance_fen == 300_00
    with pytest.raises(applying.NotEnoughMoney):
        withdraw(200_01)


def test_one_key_is_one_withdrawal_and_its_body_stays() -> None:
    terms(open_at_once=3)
    earn(900_00)

    first, new = asked(200_00, key="tap")
    second, again_new = asked(200_00, key="tap")

    assert (new, again_new, second.withdrawal_id) == (True, False, first.withdrawal_id)
    for other in ({"fen": 300_00}, {"fen": 200_00, "method": "sandbox"}):
        with pytest.raises(IdempotencyMismatch):
            withdraw(key="tap", **other)
    with pytest.raises(Invalid, match="invalid"):
        withdraw(200_00)
    assert withdraw(200_00, key="another").withdrawal_id != first.withdrawal_id
    assert balance() == (500_00, 400_00)


def test_without_a_key_the_one_that_is_open_is_the_answer() -> None:
    terms()
    earn(900_00)
    first = withdraw(200_00, method="bank")

    repeated, new = asked(200_00, method="bank")
    assert (repeated.withdrawal_id, new) == (first.withdrawal_id, False)
    for other in ({"fen": 300_00}, {"fen": 200_00, "account": {**ACCOUNT, "number": "6222020200112231"}}):
        assert refused(other.pop("fen"), "withdrawal_open", method="bank", **other)["open_at_once"] == 1  # type: ignore[arg-type]
    withdrawals.reject(first.withdrawal_id, reason="no", by=OWNER, now=NOW)
    assert withdraw(200_00, method="bank").withdrawal_id != first.withdrawal_id


def test_what_is_given_back_is_given_back_to_the_day_and_the_month_too() -> None:
    terms(max_fen=500_000, day_max_fen=500_000, tax=MONTHLY)
    earn(20_000_00)
    known()
    first = withdraw(400_000)
    assert first.tax_fen == 640_00
    tell(sent(first), "failed", reason="no such account")

    second = withdraw(200_000)
    withdrawals.reject(second.withdrawal_id, reason="no", by=OWNER, now=NOW)

    third = withdraw(500_000)

    assert (second.tax_fen, third.tax_fen) == (240_00, 800_00)
    assert balance() == (15_000_00, 5_000_00)


def test_a_month_in_parts_is_withheld_as_the_month_in_one() -> None:
    terms(open_at_once=5, tax=MONTHLY)
    earn(100_000_00)
    known()

    taxes = [withdraw(fen, key=str(fen)).tax_fen for fen in (500_00, 600_00, 3_900_00, 25_000_00)]

    assert sum(taxes) == 5_200_00  # of ¥30,000 in one
    assert taxes[:2] == [0, 60_00]


def test_a_quote_says_what_would_arrive_and_why_not() -> None:
    terms(fee_fixed_fen=100)
    earn(50_00)
    call = called(ALICE)

    well = withdrawal_routes.quote(call, AskWithdrawal(amount_fen=50_00, method="mall"))
    short = withdrawal_routes.quote(call, AskWithdrawal(amount_fen=60_00, method="mall"))

    assert (well.net_fen, well.why_not, well.balance_fen) == (49_00, None, 50_00)
    assert (short.net_fen, short.why_not) == (59_00, "not_enough_money")
    assert books(table.client())["withdrawal"] == 0


def test_the_rules_say_all_that_the_page_needs() -> None:
    terms(fee_bps=30, tax=MONTHLY, open_at_once=1)
    earn(900_00)
    known()
    row = withdraw(200_00)

    rules = withdrawal_routes.show_rules(called(ALICE))

    assert (rules.methods, rules.open_ids) == (["sandbox", "bank", "mall"], [row.withdrawal_id])
    assert (rules.identity_needed, rules.identity_known, rules.day_left_fen) == (True, True, 99_800_00)
    assert (rules.balance_fen, rules.frozen_fen, rules.fee_bps) == (700_00, 200_00, 30)


def test_a_method_whose_gateway_this_deployment_forbids_is_not_offered() -> None:
    terms()
    config.override(payout_gateways="manual")

    assert withdrawal_routes.show_rules(called(ALICE)).methods == ["bank"]
    assert refused(200, "invalid")["field"] == "method"
    with pytest.raises(Invalid):
        terms(fee_fixed_fen=1)


# --- the life of one ----------------------------------------------------------------------------------------


def test_a_withdrawal_is_looked_at_sent_and_paid(bank: Bank) -> None:
    terms(fee_fixed_fen=100)
    earn(300_00)
    row = withdraw(200_00)
    assert run().handled == 0  # nobody has looked at it

    approve(row)
    assert run().handled == 1
    assert again(row).state == "transferring"
    paid = tell(row, "paid", reference="B-1")

    assert (paid.state, paid.reference, paid.ended_at) == ("paid", "B-1", NOW)
    assert balance() == (100_00, 0)
    assert bank.asked == [row.withdrawal_id]
    data = bank.bodies[0]["data"]
    assert (data["net_fen"], data["account"], data["payee"]) == (199_00, None, None)
    assert data["external_ids"] == ["m-AAA"]
    assert tell(row, "paid", reference="B-1").rev == paid.rev


def test_a_small_one_needs_nobody(bank: Bank) -> None:
    terms(auto_up_to_fen=50_00, open_at_once=2)
    earn(300_00)

    small, large = withdraw(50_00, key="s"), withdraw(50_01, key="l")
    run()

    assert (small.state, large.state, bank.asked) == ("approved", "applied", [small.withdrawal_id])


@pytest.mark.parametrize("kind", ["failed", "expired"])
def test_what_is_not_paid_comes_back_once(kind: str) -> None:
    terms()
    earn(300_00)
    row = sent(withdraw(200_00))

    ended = tell(row, kind, reason="closed account")
    told = tell(row, kind)

    assert (ended.state, ended.reason, told.rev, balance()) == (
        kind,
        "closed account",
        ended.rev,
        (300_00, 0),
    )
    assert (
        tell(row, "expired" if kind == "failed" else "failed").rev == ended.rev
    )  # the money is there as told


def test_a_rejection_gives_back_and_says_why() -> None:
    terms()
    earn(300_00)
    row = withdraw(200_00)

    for _ in range(2):
        withdrawal_admin.reject(by_operator(), row.withdrawal_id, Rejected(reason="ask again with a name"))

    shown = withdrawal_routes.show(called(ALICE), row.withdrawal_id)
    assert (shown.state, shown.reason, balance()) == ("rejected", "ask again with a name", (300_00, 0))
    with pytest.raises(withdrawals.WithdrawalOver) as over:
        approve(row)
    assert over.value.details == {"state": "rejected"}
    assert [one["action"] for one in books(table.client()).of("audit", subject=row.withdrawal_id)] == [
        "withdrawal.rejected"
    ]


def test_what_is_on_its_way_is_rejected_no_more() -> None:
    terms()
    earn(300_00)
    row = sent(withdraw(200_00))

    with pytest.raises(withdrawals.WithdrawalOver):
        withdrawals.reject(row.withdrawal_id, reason="no", by=OWNER, now=NOW)
    assert balance() == (100_00, 200_00)


def test_in_the_sandbox_the_payee_confirms_or_it_expires() -> None:
    terms(auto_up_to_fen=100_00, confirm_s=600, open_at_once=2)
    earn(300_00)
    taken, left = (withdraw(50_00, method="sandbox", key=key) for key in "ab")
    run()
    shown = withdrawal_routes.show(called(ALICE), taken.withdrawal_id)
    assert (shown.state, shown.confirm_by) == ("awaiting_confirmation", NOW + 600)
    assert shown.confirm_url == f"https://shop.example/v1/sandbox/withdrawals/{taken.withdrawal_id}/confirm"

    for _ in range(2):
        withdrawal_routes.confirm_in_sandbox(a_call(), taken.withdrawal_id)
    assert run(now=NOW + 599).handled == 0
    run(now=NOW + 600)

    assert (again(taken).state, again(left).state, balance()) == ("paid", "expired", (250_00, 0))
    with pytest.raises(withdrawals.WithdrawalOver):
        withdrawal_routes.confirm_in_sandbox(a_call(), left.withdrawal_id)
    config.override(payout_gateways="manual mall")
    with pytest.raises(NotFound):
        withdrawal_routes.confirm_in_sandbox(a_call(), taken.withdrawal_id)


def test_an_operator_pays_by_hand_under_the_banks_number() -> None:
    terms()
    earn(300_00)
    row = withdraw(200_00, method="bank")
    with pytest.raises(withdrawals.WithdrawalOver):
        withdrawal_admin.paid(by_operator(), row.withdrawal_id, PaidByHand(reference="ICBC-1"))
    row = sent(row)
    assert row.state == "transferring" and row.due_at is None  # a person pays it, no job

    payee = withdrawal_admin.show_payee(by_operator(), row.withdrawal_id)
    assert payee.account is not None and (payee.account.number, payee.net_fen) == (ACCOUNT["number"], 200_00)
    for _ in range(2):
        answer = withdrawal_admin.paid(by_operator(), row.withdrawal_id, PaidByHand(reference="ICBC-1"))

    assert (answer.state, answer.reference, answer.account) == ("paid", "ICBC-1", "****2230")
    with pytest.raises(withdrawals.WithdrawalOver):
        withdrawal_admin.paid(by_operator(), row.withdrawal_id, PaidByHand(reference="ICBC-2"))
    with pytest.raises(withdrawals.WithdrawalOver):
        withdrawal_admin.failed(by_operator(), row.withdrawal_id, Rejected(reason="bounced"))
    told = Counter(one["action"] for one in books(table.client()).of("audit", subject=row.withdrawal_id))
    assert told == {"withdrawal.approved": 1, "withdrawal.payee_shown": 1, "withdrawal.paid": 1}


def test_what_a_person_could_not_pay_comes_back() -> None:
    terms()
    earn(300_00)
    row = withdraw(200_00, method="bank")
    approve(row)

    failed = withdrawal_admin.failed(by_operator(), row.withdrawal_id, Rejected(reason="no such account"))

    assert (failed.state, balance()) == ("failed", (300_00, 0))
    assert run().handled == 0


def test_what_the_mall_pays_no_operator_ends() -> None:
    terms()
    earn(300_00)
    row = sent(withdraw(200_00))

    with pytest.raises(withdrawals.NotByHand):
        withdrawal_admin.paid(by_operator(), row.withdrawal_id, PaidByHand(reference="x"))
    with pytest.raises(NotFound):
        tell(_manual(), "paid")


def _manual() -> Withdrawal:
    """One that the mall does not pay, of somebody else."""
    bob = a_member()
    earn(300_00, owner=bob)
    return withdraw(200_00, method="bank", owner=bob)


# --- a number for good --------------------------------------------------------------------------------------


def test_what_is_not_known_is_asked_about_under_the_same_number(bank: Bank) -> None:
    # CRMEB takes a new number for each try (UserExtractServices.php:226-238): a retry pays twice.
    terms()
    earn(300_00)
    bank.down, bank.mute = 1, 2  # not sent at all, then sent and never answered, twice
    row = withdraw(200_00)
    approve(row)

    for tick in range(8):
        run(now=NOW + tick * 3600)
        assert again(row).state == "transferring" and balance() == (100_00, 200_00)

    assert bank.transfers == {row.withdrawal_id: 3}
    assert bank.paid_fen == 200_00
    assert bank.bodies[0] == bank.bodies[2]
    run(now=NOW + 2 * DAY)  # no word of it for a day
    assert bank.transfers == {row.withdrawal_id: 4}


def test_what_is_never_known_waits_for_a_person_who_looks_at_the_banks_books(bank: Bank) -> None:
    terms(open_at_once=2)
    earn(300_00)
    bank.down = 99
    rows = [withdraw(100_00, key=key) for key in "ab"]
    for row in rows:
        approve(row)
    for tick in range(12):
        run(now=NOW + tick * 3600)

    found = stuck.listed(limit=10)[0]
    assert [(one.trouble.job, one.story.amount_fen) for one in found] == [("pay_out", 100_00)] * 2
    for one, how in zip(found, ("paid", "failed"), strict=True):
        for _ in range(2):
            stuck.settle(stuck_id=one.id, how=how, reason="looked up", by=OWNER, now=NOW)

    assert sorted(again(row).state or "" for row in rows) == ["failed", "paid"]
    assert balance() == (200_00, 0)


def test_two_operators_and_three_runs_send_once(bank: Bank) -> None:
    # CRMEB's adopt() reads the state, pays, then writes it (UserExtractServices.php:226-238): two admins pay twice.
    terms()
    earn(300_00)
    row = withdraw(200_00)

    for _ in range(2):
        approve(row)
    for _ in range(3):
        run()
    tell(row, "paid", reference="B-1")
    approve(row)
    run()

    assert (bank.asked, balance()) == ([row.withdrawal_id], (100_00, 0))
    assert len(books(table.client()).of("audit", action="withdrawal.approved")) == 1


def test_a_worker_that_dies_before_it_hears_leaves_one_that_is_asked_about(bank: Bank) -> None:
    terms()
    earn(300_00)
    row = approve(withdraw(200_00))
    begun = sending.begin(row, now=NOW)

    assert begun is not None and (begun.state, begun.due_at, bank.asked) == ("transferring", NOW, [])
    assert sending.begin(row, now=NOW) is None
    run(now=NOW + 60)
    assert bank.asked == [row.withdrawal_id]


@pytest.mark.parametrize(("ended", "told"), [("paid", "failed"), ("failed", "paid"), ("expired", "paid")])
@pytest.mark.parametrize("how", ["stands", "followed"])
def test_what_is_told_otherwise_afterwards_moves_nothing_until_a_person_says_so(
    ended: str, told: str, how: str
) -> None:
    terms()
    earn(300_00)
    row = sent(withdraw(200_00))
    before = tell(row, ended)
    has = balance()

    for _ in range(2):
        with pytest.raises(withdrawals.WithdrawalOver) as over:
            tell(row, told, reference="B-9")
        assert over.value.details == {"state": ended}
    assert (again(row).state, balance()) == (ended, has)

    (found,) = stuck.listed(limit=10)[0]
    assert (found.trouble.job, found.story.details["told"]) == (sending.DIFFERS_JOB, f"withdrawal.{told} B-9")
    for _ in range(2):
        stuck.settle(stuck_id=found.id, how=how, reason="looked up", by=OWNER, now=NOW)
    assert stuck.listed(limit=10)[0] == []
    assert before.state == ended
    if how == "stands":
        with pytest.raises(withdrawals.WithdrawalOver):
            tell(row, told, reference="B-9")
        assert stuck.listed(limit=10)[0] == []  # it was decided
        assert (again(row).state, balance()) == (ended, has)
    else:
        paid = told == "paid"
        drift = ledger.drift(owner=ALICE, book="money")
        assert (again(row).state, drift.balance, drift.none) == (told, 100_00 if paid else 300_00, True)
        books_of = withdrawal_admin.list_statements(by_operator(), StatementQuery())
        assert [(one.withdrawals, one.amount_fen) for one in books_of.items] == [(paid * 1, paid * 200_00)]


def test_a_mall_that_changes_its_mind_again_and_again_is_followed_each_time() -> None:
    terms()
    earn(300_00)
    row = sent(withdraw(200_00))
    tell(row, "paid")

    for told, left in (("failed", 300_00), ("paid", 100_00)) * 2:
        with pytest.raises(withdrawals.WithdrawalOver):
            tell(row, told)
        follow(told)
        drift = ledger.drift(owner=ALICE, book="money")
        assert (again(row).state, drift.balance, drift.none) == (told, left, True)
    assert tell(row, "paid").state == "paid"


def follow(told: str) -> None:
    """A person follows what was told otherwise, of the only one of which something was."""
    (found,) = stuck.listed(limit=10)[0]
    assert found.story.details["told"] == f"withdrawal.{told}"
    stuck.settle(stuck_id=found.id, how="followed", reason="looked up", by=OWNER, now=NOW)


@pytest.mark.parametrize(
    ("ended", "told", "next_tax_fen"), [("failed", "paid", 520_00), ("paid", "failed", 440_00)]
)
def test_what_is_followed_counts_in_its_months_tax_or_no_more(
    ended: str, told: str, next_tax_fen: int
) -> None:
    terms(tax=MONTHLY)
    earn(9_000_00)
    known()
    row = sent(withdraw(3_000_00))
    tell(row, ended)
    with pytest.raises(withdrawals.WithdrawalOver):
        tell(row, told)

    follow(told)

    assert withdraw(3_000_00).tax_fen == next_tax_fen


# --- what is taken back meanwhile ---------------------------------------------------------------------------


def test_who_is_in_debt_by_now_is_not_paid(bank: Bank) -> None:
    terms()
    cause = earn(300_00)
    row = approve(withdraw(200_00))
    claw_back(cause, 150_00)

    run()

    assert (again(row).state, again(row).reason, bank.asked) == ("rejected", "debt", [])
    assert balance() == (150_00, 0)
    assert withdraw(150_00).state == "applied"


def test_what_is_taken_back_once_it_is_sent_is_a_debt_that_the_next_earnings_net() -> None:
    terms()
    cause = earn(300_00)
    row = sent(withdraw(300_00))
    claw_back(cause, 100_00)
    assert balance() == (-100_00, 300_00)

    tell(row, "paid")
    earn(150_00)

    assert balance() == (50_00, 0)
    refused(51_00, "not_enough_money")


# --- months -------------------------------------------------------------------------------------------------


def test_what_is_sent_in_another_month_is_taxed_and_told_there() -> None:
    terms(open_at_once=3, tax=MONTHLY)
    earn(20_000_00)
    known()
    first, second = (withdraw(fen, key=str(fen)) for fen in (3_000_00, 800_00))
    assert (first.tax_fen, second.tax_fen) == (440_00, 160_00)
    third = withdraw(800_00, key="c", now=FEBRUARY)
    assert third.tax_fen == 0

    sent_second = sent(second, now=FEBRUARY)  # the second payment of February, and so of ¥1,600
    assert (sent_second.month, sent_second.tax_fen, sent_second.net_fen) == ("2026-02", 160_00, 640_00)
    assert sent(first, now=FEBRUARY + 60).tax_fen == 576_00  # ¥736 of ¥4,600
    for row in (first, second):
        tell(row, "paid", now=FEBRUARY + 90)

    (february,) = withdrawal_routes.list_statements(called(ALICE, now=FEBRUARY), Listing()).items
    assert (february.month, february.withdrawals, february.amount_fen) == ("2026-02", 2, 3_800_00)
    assert (february.tax_fen, february.net_fen) == (736_00, 3_064_00)


def test_a_person_has_one_allowance_a_month_whichever_member_they_are() -> None:
    """After the measures for withholding it is the person's income: a second member is no second ¥800."""
    terms(open_at_once=3, tax=MONTHLY)
    bob = a_member()
    for owner in (ALICE, bob):
        known(owner)
        earn(9_000_00, owner=owner)

    first, second = withdraw(800_00, key="a"), withdraw(800_00, key="b", owner=bob)
    assert (first.tax_fen, second.tax_fen) == (0, 160_00)
    withdrawals.reject(first.withdrawal_id, reason="no", by=OWNER, now=NOW)

    # The tax that was taken stays taken; of ¥1,600 nothing more is owed.
    assert withdraw(800_00, key="c").tax_fen == 0
    (month,) = books(table.client()).of("payee_month")
    assert (month["base_fen"], month["tax_fen"]) == (1_600_00, 160_00)
    assert ID_CARD not in str(books(table.client()).rows)


def other_person(number: str = "E12345678", *, name: str = "李四", now: int = NOW) -> Payee:
    """Alice says that she is somebody else."""
    given = TellPayee(real_name=name, id_number=number, id_kind="passport")
    return payees.tell(given, member_id=ALICE, nonce=b"m" * 12, now=now)


def test_a_member_who_is_another_person_by_now_has_that_persons_allowance() -> None:
    terms(open_at_once=3, tax=MONTHLY)
    earn(9_000_00)
    known()
    mine = withdraw(800_00, key="a")
    other_person()
    theirs, theirs_again = (withdraw(800_00, key=key) for key in "bc")

    assert [row.tax_fen for row in (mine, theirs, theirs_again)] == [0, 0, 160_00]
    for row in (mine, theirs, theirs_again):
        tell(sent(row), "paid")
    months = withdrawal_routes.list_statements(called(ALICE), Listing()).items
    assert sorted((one.withdrawals, one.tax_fen) for one in months) == [(1, 0), (2, 160_00)]


def test_a_member_is_another_person_once_in_a_calendar_month_and_corrects_a_name_at_any_time() -> None:
    known()
    other_person()
    corrected = other_person(name="李思")
    assert other_person(name="李思", now=NOW + 9).at == NOW, "told the same again, it is the same"
    for number in ("E99999999", "E00000000"):
        with pytest.raises(payees.PayeeChanged) as told:
            other_person(number, now=FEBRUARY - 1)
        assert told.value.details == {"again_at": FEBRUARY}
    with pytest.raises(payees.PayeeChanged):
        known()
    there = payees.find(ALICE)
    assert there is not None and (there.rev, there.person) == (3, corrected.person)

    other_person("E99999999", now=FEBRUARY)
    with pytest.raises(payees.PayeeChanged):
        other_person("E00000000", now=FEBRUARY + 1)


def test_what_another_person_withdrew_is_not_in_a_quote_that_is_refused() -> None:
    terms(tax=MONTHLY, min_fen=100_00)
    bob = a_member()
    for owner in (ALICE, bob):
        known(owner)
    earn(9_000_00)
    earn(1_000_00, owner=bob)
    withdraw(800_00)

    def quoted(fen: int) -> tuple[int, str | None]:
        told = withdrawal_routes.quote(called(bob), AskWithdrawal(amount_fen=fen, method="mall"))
        return told.tax_fen, told.why_not

    assert quoted(1_000_01) == (tax.withheld_fen(1_000_01), "not_enough_money")
    assert quoted(99_00) == (0, "invalid")
    assert quoted(1_000_00) == (tax.withheld_fen(1_800_00), None)


def test_a_months_statement_is_for_the_member_and_for_finance() -> None:
    terms(auto_up_to_fen=100_000, fee_fixed_fen=100, tax={"rule": "fixed", "bps": 1000, "identity": True})
    bob = a_member()
    for owner in (ALICE, bob):
        known(owner)
        earn(900_00, owner=owner)
        row = withdraw(100_00, owner=owner)
        run()
        tell(row, "paid")

    mine = withdrawal_routes.list_statements(called(bob), Listing()).items
    everybody = withdrawal_admin.list_statements(by_operator(), StatementQuery(month="2026-01"))
    told = withdrawal_admin.export_statement(by_operator(), ExportStatement(month="2026-01"))

    assert [(one.month, one.amount_fen, one.fee_fen, one.tax_fen, one.net_fen) for one in mine] == [
        ("2026-01", 100_00, 1_00, 10_00, 89_00)
    ]
    assert {one.member_id for one in everybody.items} == {ALICE, bob}
    assert isinstance(told, Document) and str(told.content).count("王小明") == 2
    assert str(told.content).count(ID_CARD) == 2
    (audit,) = books(table.client()).of("audit", action="withdrawals.exported")
    assert {ALICE, bob} == set(json.loads(audit["after"])["members"])
    assert withdrawal_admin.list_statements(by_operator(), StatementQuery(month="2025-12")).items == []


def test_who_was_paid_is_who_is_named_whoever_they_are_by_now(bank: Bank) -> None:
    terms(tax=MONTHLY)
    earn(900_00)
    known()
    first = sent(withdraw(200_00))
    for _ in range(2):  # told the same again, it is the same
        known()
    shown = [withdrawal_admin.show_payee(by_operator(), first.withdrawal_id).real_name]
    other_person()
    run(now=NOW + 2 * DAY)  # asked for again
    tell(first, "paid")
    tell(sent(withdraw(300_00), now=NOW + 3 * DAY), "paid")

    shown.append(withdrawal_admin.show_payee(by_operator(), first.withdrawal_id).real_name)
    told = withdrawal_admin.export_statement(by_operator(), ExportStatement(month="2026-01"))
    lines = [line for line in str(told.content).splitlines() if ALICE in line]

    assert shown == ["王小明", "王小明"] and bank.bodies[0] == bank.bodies[1]
    assert len(lines) == 2
    for name, number, fen in (("王小明", ID_CARD, 200_00), ("李四", "E12345678", 300_00)):
        assert any(name in line and number in line and str(fen) in line for line in lines)


# --- the mall works tax out ---------------------------------------------------------------------------------


def test_the_mall_may_work_tax_out_and_tells_it() -> None:
    terms(fee_fixed_fen=100, tax={"rule": "mall"})
    earn(300_00)
    row = sent(withdraw(200_00))
    assert (row.tax_fen, row.net_fen) == (0, 199_00)

    with pytest.raises(Invalid):
        tell(row, "paid", tax_fen=199_01)
    paid = tell(row, "paid", tax_fen=31_00)

    assert (paid.tax_fen, paid.net_fen) == (31_00, 168_00)
    (month,) = withdrawal_routes.list_statements(called(ALICE), Listing()).items
    assert (month.tax_fen, month.net_fen) == (31_00, 168_00)


def test_where_tax_is_worked_out_here_nobody_else_tells_it() -> None:
    terms()
    earn(300_00)
    row = sent(withdraw(200_00))

    with pytest.raises(Invalid):
        tell(row, "paid", tax_fen=1)
    assert tell(row, "paid", tax_fen=0).state == "paid"


# --- what is personal ---------------------------------------------------------------------------------------


def test_names_and_numbers_are_sealed_at_rest_and_masked_when_shown(store: Store) -> None:
    terms()
    earn(300_00)
    call = called(ALICE)
    with pytest.raises(NotFound):
        withdrawal_routes.show_payee(call)

    told = withdrawal_routes.tell_payee(call, TellPayee(real_name="王小明", id_number=ID_CARD.lower()))
    withdraw(200_00, method="bank")

    assert (told.real_name, told.id_number) == ("王*", "****002X")
    assert withdrawal_routes.show_payee(call).id_number == "****002X"
    everything = str(books(store.client).rows)
    for secret in ("王小明", ID_CARD, ACCOUNT["number"], "ICBC"):
        assert secret not in everything
    with pytest.raises(Invalid):
        withdrawal_routes.tell_payee(call, TellPayee(real_name="王小明", id_number="110105194912310021"))
    again_told = withdrawal_routes.tell_payee(
        call, TellPayee(real_name="Li", id_number="E12345678", id_kind="passport")
    )
    assert (again_told.id_number, again_told.id_kind) == ("****5678", "passport")


def test_a_shop_without_keys_takes_nothing_personal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_PAYEE_KEYS", "")

    with pytest.raises(Invalid):
        terms()
    with pytest.raises(Invalid):
        known()
    assert terms(methods=[METHODS[2]]).n == 1


# --- terms and lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"methods": [METHODS[0], METHODS[0]]}, "methods"),
        ({"min_fen": 200, "max_fen": 199, "day_max_fen": 500}, "max_fen"),
        ({"max_fen": 500, "day_max_fen": 499}, "day_max_fen"),
        ({"fee_fixed_fen": 101}, "min_fen"),
        ({"tax": {"rule": "fixed"}}, "tax"),
        ({"tax": {"rule": "none", "bps": 5}}, "tax"),
    ],
)
def test_terms_that_make_no_sense_are_not_taken(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as wrong:
        terms(**changes)
    assert wrong.value.details["field"] == field


def test_terms_are_versions_and_a_withdrawal_keeps_its_own() -> None:
    built_in = withdrawal_admin.list_terms(by_operator()).items
    assert [(one.version, one.methods) for one in built_in] == [(0, [])]
    first = terms(fee_fixed_fen=50)
    assert terms(fee_fixed_fen=50).n == first.n == 1
    earn(300_00)
    row = withdraw(200_00)

    body = msgspec.convert({"methods": METHODS, "fee_fixed_fen": 10}, EditWithdrawalTerms)
    assert withdrawal_admin.make_terms(by_operator(), body).version == 2

    assert (again(row).terms, again(row).fee_fen, withdrawal_terms.of(1, now=NOW).told.fee_fixed_fen) == (
        1,
        50,
        50,
    )
    assert [one.version for one in withdrawal_admin.list_terms(by_operator()).items] == [2, 1]
    assert len(books(table.client()).of("audit", action="withdrawals.terms")) == 2


def test_mine_are_listed_newest_first_and_the_last_at_once(store: Store) -> None:
    terms(open_at_once=10)
    earn(900_00)
    rows = [withdraw(10_00, key=str(n), now=NOW + n) for n in range(5)]

    first = withdrawal_routes.list_mine(called(ALICE), Listing(limit=3))
    rest = withdrawal_routes.list_mine(called(ALICE), Listing(limit=3, after=first.next))

    found = [one.withdrawal_id for one in (*first.items, *rest.items)]
    assert found == [row.withdrawal_id for row in reversed(rows)]
    assert len(withdrawal_routes.list_mine(called(ALICE), Listing(limit=1)).items) == 1


def test_what_the_index_does_not_have_yet_is_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    terms(open_at_once=10)
    earn(900_00)
    old = withdraw(10_00, key="old")
    late = table.owned(f"{ALICE}#withdrawals", limit=10)
    row = withdraw(10_00, key="new", now=NOW + 1)
    monkeypatch.setattr(table, "owned", lambda *_, **__: late)

    shown = withdrawal_routes.list_mine(called(ALICE), Listing())

    assert [one.withdrawal_id for one in shown.items] == [row.withdrawal_id, old.withdrawal_id]


def test_what_the_index_says_late_is_not_in_the_list_of_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    terms()
    earn(300_00)
    row = withdraw(200_00)
    late = table.chained("rank", withdrawals.boards_of("applied"), limit=10)
    approve(row)
    monkeypatch.setattr(table, "chained", lambda *_, **__: late)

    assert withdrawals.of_state("applied", limit=10, after=None).rows == []


def test_support_sees_it_in_the_member_s_story() -> None:
    terms()
    earn(300_00)
    row = withdraw(200_00, method="bank")
    withdrawals.reject(row.withdrawal_id, reason="no", by=OWNER, now=NOW)

    story = support.timeline(ALICE, limit=20, before=None, now=NOW)[0]

    (told,) = [one for one in story if one.what == "withdrew"]
    assert (told.subject, told.details["state"], told.details["reason"]) == (
        row.withdrawal_id,
        "rejected",
        "no",
    )
    assert [one.details["state"] for one in story if one.what == "money_posted"] == [None, "released", None]


def test_somebody_elses_is_not_there() -> None:
    terms()
    earn(300_00)
    row = withdraw(200_00)

    with pytest.raises(NotFound):
        withdrawal_routes.show(called(a_member()), row.withdrawal_id)


def test_operators_find_them_by_state_and_by_member() -> None:
    terms(open_at_once=5)
    earn(900_00)
    waits, goes = (withdraw(10_00, key=key) for key in "ab")
    sent(goes)

    def found(**query: Any) -> list[str]:
        page = withdrawal_admin.find(by_operator(), FindWithdrawals(**query))
        return [one.withdrawal_id for one in page.items]

    assert found(state="applied") == [waits.withdrawal_id]
    assert found(state="transferring") == [goes.withdrawal_id]
    assert found(state="paid") == []
    assert set(found(member_id=ALICE)) == {waits.withdrawal_id, goes.withdrawal_id}
    for wrong in ({}, {"state": "applied", "member_id": ALICE}):
        with pytest.raises(Invalid):
            found(**wrong)
    assert withdrawal_admin.show(by_operator(), goes.withdrawal_id).sent_at == NOW


# --- facts and budgets --------------------------------------------------------------------------------------


def test_how_it_ended_is_owed_to_whoever_reacts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []
    monkeypatch.setattr(facts, "_reactions", {})
    terms(open_at_once=2)
    earn(300_00)
    quiet = sent(withdraw(100_00, key="a"))
    assert tell(quiet, "paid").due_at is None

    @facts.errand("withdrawal.paid", name="test.paid")
    def hear(row: Withdrawal, now: int) -> None:
        told.append((row.withdrawal_id, row.net_fen))

    row = sent(withdraw(100_00, key="b"))
    assert tell(row, "paid").due_ref == "withdrawal.paid"
    caught_up(now=NOW)
    assert told == [(row.withdrawal_id, 100_00)]
    assert again(row).due_at is None

    third = sent(withdraw(50_00, key="c"))
    tell(third, "paid")
    with pytest.raises(withdrawals.WithdrawalOver):
        tell(third, "failed")  # takes the slot in which the fact is owed
    assert told[1:] == [(third.withdrawal_id, 50_00)]
    follow("failed")
    with pytest.raises(withdrawals.WithdrawalOver):
        tell(third, "paid")
    follow("paid")
    assert again(third).due_ref == "withdrawal.paid"
    caught_up(now=NOW)
    assert told[2:] == [(third.withdrawal_id, 50_00)]


def test_every_step_is_a_fact(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(facts, "_reactions", {})
    for name in ("applied", "approved", "awaiting", "paid"):
        facts.errand(f"withdrawal.{name}", name="test")(lambda row, now, name=name: seen.append(name))  # type: ignore[misc]
    terms()
    earn(300_00)
    row = sent(withdraw(200_00, method="sandbox"))
    sending.confirm_in_sandbox(row.withdrawal_id, now=NOW)

    reacted(store.client, now=NOW)

    assert seen == ["applied", "approved", "awaiting", "paid"]


def costs(do: Any) -> Spent:
    """What ``do`` asked of the store."""
    with counting(table.client()) as spent:
        do()
    return spent


def test_what_each_step_costs() -> None:
    terms()
    earn(300_00)
    withdrawal_terms.in_force(now=NOW)
    made: list[Withdrawal] = []

    spent = costs(lambda: made.append(withdraw(200_00, method="bank")))
    assert spent.operations == Counter(BatchGetItem=1, TransactWriteItems=1)
    # The withdrawal, its purse, the hold, the account; lists: mine, by state, the hold's.
    assert spent.writes == Counter({"truth": 8, "truth/owner": 2, "truth/rank": 1})

    (row,) = made
    approve(row)
    begins = costs(lambda: sending.begin(again(row), now=NOW))
    assert begins.writes == Counter({"truth": 4, "truth/rank": 2})

    spent = costs(
        lambda: withdrawals.paid_by_hand(row.withdrawal_id, reference="x", tax_fen=None, by=OWNER, now=NOW)
    )
    # The withdrawal, its purse, the hold, the account, its month, the audit row.
    assert spent.operations == Counter(GetItem=2, BatchGetItem=1, TransactWriteItems=1)
    assert spent.writes["truth"] == 12


def test_a_refusal_writes_nothing() -> None:
    terms()
    earn(300_00)
    withdrawal_terms.in_force(now=NOW)

    spent = costs(lambda: refused(300_01, "not_enough_money"))

    assert (spent.calls, spent.writes) == (1, Counter())


# --- over the wire ------------------------------------------------------------------------------------------


def test_the_demo_mall_pays_once_over_the_wire(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "post", REAL_POST)
    now = clock.now()
    terms()
    earn(300_00, now=now)
    row = withdraw(200_00, now=now)
    approve(row, now=now)
    with served() as port:
        shop = mall.start(secrets=["test-mall-secret"], liebian_url=f"http://127.0.0.1:{port}")
        config.override(mall_webhook_url=shop.webhook_url)
        for _ in range(3):
            sending.pay_out(entry_of(again(row)), now)
        until(lambda: again(row).state == "paid" and not shop.shop.outbox.waiting())
        shop.stop()

    assert (shop.shop.payouts, shop.shop.outbox.given_up) == ({row.withdrawal_id: 200_00}, [])
    assert (again(row).reference, balance()) == (f"B-{row.withdrawal_id[-6:]}", (100_00, 0))


def until(holds: Callable[[], bool]) -> None:
    """It comes to be so within ten seconds."""
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


# --- as the routes answer -----------------------------------------------------------------------------------


def test_a_repeat_answers_200_with_the_first() -> None:
    terms()
    earn(300_00)
    body = Withdraw(amount_fen=200_00, method="mall")

    first, second = (withdrawal_routes.apply(called(ALICE), body) for _ in range(2))

    assert isinstance(first, Reply) and (first.status, second.status) == (201, 200)
    assert first.body == second.body
