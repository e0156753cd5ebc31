"""Withdrawals paid by WeChat Pay, over real HTTP: one number, one end, and what WeChat says decides (M2)."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

import app
from chalicelib.core import config, due
from chalicelib.core.clock import DAY, HOUR, MINUTE
from chalicelib.core.errors import AppError, Invalid, NotFound
from chalicelib.operators import stuck
from chalicelib.wechat import transfers as wechat
from chalicelib.withdrawals import payees, sending, transfers
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.models import Withdrawal
from chalicelib.withdrawals.schemas import TellPayee
from chalicelib.withdrawals.service import TRANSFER_JOB, WithdrawalOver
from infra.local import proxy
from tests.factories import NOW, OWNER, PROGRAM, a_word
from tests.harness.direct import Direct
from tests.transfers import NAME, Shop, hear, opened_program, paid_by_wechat, terms
from tests.withdrawals import ALICE, again, asked, balance, earn, entry_of, withdraw

CREATE = wechat.BILLS
FEN = 200_00


@pytest.fixture
def shop(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with paid_by_wechat(monkeypatch) as there:
        opened_program(there)
        earn(3_000_00)
        terms()
        yield there


def run(shop: Shop, *, now: int | None = None) -> due.Ran:
    """The function `transfers` of the app, at this time."""
    at = shop.at(now or shop.now)
    return due.run(job=TRANSFER_JOB, worker=a_word("w"), now=at, seconds=30)


def waiting(shop: Shop, fen: int = FEN, **more: Any) -> Withdrawal:
    row = withdraw(fen, method="wechat", **more)
    run(shop)
    return again(row)


def has_ended(row: Withdrawal, state: str, *, left: int) -> Withdrawal:
    row = again(row)
    assert (row.state, balance()) == (state, (left, 0))
    return row


# --- one way through ----------------------------------------------------------------------------------------


def test_it_waits_on_wechats_page_and_is_paid_when_the_member_takes_it(shop: Shop) -> None:
    row = waiting(shop)

    assert (row.state, row.confirm_by) == ("awaiting_confirmation", NOW + DAY)
    assert shop.bill.number == "wdr" + row.withdrawal_id[4:] and len(shop.bill.number) == 29
    assert transfers.id_of(shop.bill.number) == row.withdrawal_id
    assert shop.bill.asked["notify_url"] == "https://shop.example.com/v1/wechat/demo/transfers"
    assert shop.phone("confirm", row, package="another") == "requestMerchantTransfer:fail package"
    assert shop.confirms(row) == "requestMerchantTransfer:ok"
    assert has_ended(row, "paid", left=2_800_00).reference == shop.bill.reference
    assert transfers.page(again(row), now=shop.now) is None


def test_untold_it_is_asked_about_the_longer_it_takes_the_rarer(shop: Shop) -> None:
    shop.fault("/notices/transfers", "withheld")
    row = waiting(shop)
    asked_at = []
    while (row := again(row)).due_at and row.due_at < NOW + 3 * HOUR:
        asked_at.append(row.due_at - NOW)
        run(shop, now=row.due_at)

    assert asked_at[:4] == [60, 120, 180, 270] and asked_at[-1] - asked_at[-2] <= HOUR
    shop.confirms(row)
    assert again(row).state == "awaiting_confirmation"
    run(shop, now=again(row).due_at)
    has_ended(row, "paid", left=2_800_00)


def test_no_other_job_and_no_request_asks_wechat_to_transfer(shop: Shop) -> None:
    row = withdraw(FEN, method="wechat")

    for job in app.ROOM_JOBS:
        due.run(job=job, worker="w", now=NOW, seconds=1)

    assert TRANSFER_JOB not in app.ROOM_JOBS and shop.bank.asked == []
    assert again(row).state == "approved" and (row.due_shard or "").startswith(f"{TRANSFER_JOB}#")


# --- what is not heard --------------------------------------------------------------------------------------


def test_what_wechat_has_forgotten_is_not_sent_again(shop: Shop) -> None:
    row = waiting(shop)
    shop.bank.by_number.clear()

    assert run(shop, now=NOW + HOUR).failed == 1

    assert len(shop.bank.asked) == 1 and "fund bill" in (again(row).last_error or "")


def test_after_a_month_nothing_is_sent_under_a_number_that_may_have_been_used(shop: Shop) -> None:
    shop.fault(CREATE, "busy")
    row = withdraw(FEN, method="wechat")
    run(shop)
    shop.fault(CREATE, None)

    assert run(shop, now=NOW + 29 * DAY).failed == 1
    assert shop.bank.by_number == {} and again(row).state == "transferring"


# --- nobody takes it ----------------------------------------------------------------------------------------


def test_what_nobody_takes_in_time_is_cancelled_and_comes_back(shop: Shop) -> None:
    terms(confirm_s=600)
    row = waiting(shop)
    assert row.confirm_by == NOW + 600

    run(shop, now=NOW + 600)

    assert shop.bill.state == "CANCELLED"
    has_ended(row, "expired", left=3_000_00)


def test_a_cancellation_without_an_answer_is_no_end(shop: Shop) -> None:
    terms(confirm_s=600)
    row = waiting(shop)
    shop.fault(f"{CREATE}/out-bill-no/{shop.bill.number}/cancel", "busy")

    run(shop, now=NOW + 600)
    assert (again(row).state, balance()) == ("awaiting_confirmation", (2_800_00, FEN))

    shop.fault(f"{CREATE}/out-bill-no/{shop.bill.number}/cancel", None)
    run(shop, now=NOW + 700)
    has_ended(row, "expired", left=3_000_00)


def test_taken_just_before_it_was_cancelled_it_is_paid(shop: Shop) -> None:
    terms(confirm_s=600)
    shop.fault("/notices/transfers", "withheld")
    row = waiting(shop)
    assert shop.confirms(row) == "requestMerchantTransfer:ok"

    run(shop, now=NOW + 600)

    has_ended(row, "paid", left=2_800_00)


def test_closed_by_wechat_itself_it_comes_back(shop: Shop) -> None:
    shop.fault("/notices/transfers", "withheld")
    row = waiting(shop)
    shop.bank.lives_s = shop.bank.closes_s = 1.0

    run(shop, now=NOW + MINUTE)

    assert has_ended(row, "failed", left=3_000_00).reason == "OVERDUE_CLOSE"


def test_a_member_who_does_not_want_it_has_it_back_once_wechat_has_closed_it(shop: Shop) -> None:
    row = waiting(shop)

    over = withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=NOW + 30)
    assert over.state == "awaiting_confirmation" and transfers.page(over, now=NOW + 30) is None
    assert withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=NOW + 31).rev == over.rev
    run(shop, now=NOW + 31)

    has_ended(row, "expired", left=3_000_00)
    assert withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=NOW + 40).state == "expired"


def test_given_up_while_it_is_asked_about_it_stays_given_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, show = waiting(shop), wechat.show

    def meanwhile(number: str, *, now: int) -> Any:
        bill = show(number, now=now)
        withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=now)
        return bill

    monkeypatch.setattr(wechat, "show", meanwhile)
    sending.pay_out(entry_of(row), shop.at(NOW + MINUTE))
    monkeypatch.setattr(wechat, "show", show)

    assert (again(row).confirm_by, again(row).due_at) == (NOW + MINUTE, NOW + MINUTE)
    run(shop)
    has_ended(row, "expired", left=3_000_00)


def test_only_what_waits_can_be_cancelled_and_only_by_whose_it_is(shop: Shop) -> None:
    row = withdraw(FEN, method="wechat")
    with pytest.raises(WithdrawalOver):
        withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=NOW)
    run(shop)
    with pytest.raises(NotFound):
        withdrawals.cancel(row.withdrawal_id, member_id="mbr_" + "B" * 26, now=NOW)
    shop.confirms(row)
    with pytest.raises(WithdrawalOver):
        withdrawals.cancel(row.withdrawal_id, member_id=ALICE, now=NOW)


# --- what WeChat refuses ------------------------------------------------------------------------------------


def stuck_words() -> list[str]:
    rows, _ = stuck.listed(limit=9)
    return [one.row.last_error or "" for one in rows]


def ten_times(shop: Shop, row: Withdrawal) -> None:
    for _ in range(due.FAILURES):
        run(shop, now=max(shop.now, again(row).due_at or 0))


def test_without_money_in_the_account_it_waits_for_a_person_and_goes_on_under_its_number(shop: Shop) -> None:
    shop.bank.outcome = "NOT_ENOUGH"
    row = withdraw(FEN, method="wechat")
    ten_times(shop, row)

    assert again(row).state == "transferring" and balance() == (2_800_00, FEN)
    (words,) = stuck_words()
    assert "NOT_ENOUGH" in words and "put money into the account" in words
    shop.bank.outcome = ""
    stuck.retry(stuck_id=stuck.id_of(TRANSFER_JOB, again(row)), by=OWNER, now=shop.now)
    run(shop)

    assert set(shop.bank.asked) == {transfers.number_of(row.withdrawal_id)}
    assert again(row).state == "awaiting_confirmation" and stuck_words() == []


def test_held_up_for_lack_of_money_it_goes_on_when_there_is_some(shop: Shop) -> None:
    shop.bank.funds_fen = FEN - 1
    row = withdraw(FEN, method="wechat")
    run(shop)
    assert (again(row).state, again(row).due_at) == ("transferring", NOW + MINUTE)
    assert run(shop, now=NOW + HOUR).failed == 1
    assert "is there money in the account" in (again(row).last_error or "")

    shop.bank.funds_fen = FEN
    run(shop, now=NOW + 2 * HOUR)

    assert again(row).state == "awaiting_confirmation"


@pytest.mark.parametrize("code", ["FREQUENCY_LIMITED", "NO_AUTH"])
def test_no_refusal_ends_it(shop: Shop, code: str) -> None:
    shop.bank.outcome = code
    row = withdraw(FEN, method="wechat")

    assert run(shop).failed == 1

    assert again(row).state == "transferring" and code in (again(row).last_error or "")


def test_from_an_address_that_wechat_does_not_know_nothing_is_transferred(shop: Shop) -> None:
    shop.bank.addresses = frozenset({proxy.ADDRESS})
    row = withdraw(FEN, method="wechat")
    assert run(shop).failed == 1
    assert "INVALID_REQUEST" in (again(row).last_error or "") and shop.bank.by_number == {}

    way_out = proxy.start()
    if way_out is None:
        pytest.skip("no second address on this machine")
    config.override(outbound_proxy=way_out.url)
    run(shop, now=NOW + MINUTE)
    way_out.stop()

    assert again(row).state == "awaiting_confirmation"
    assert way_out.passed == 2, "it was asked about and sent, and only that"


# --- who is paid --------------------------------------------------------------------------------------------


def named() -> None:
    given = TellPayee(real_name=NAME, id_number="11010519491231002X")
    payees.tell(given, member_id=ALICE, nonce=b"n" * 12, now=NOW)


def refused(fen: int, **more: Any) -> str:
    with pytest.raises(AppError) as no:
        asked(fen, method="wechat", **more)
    return f"{no.value.code} {no.value.details.get('field', '')}".strip()


def test_what_wechat_would_not_transfer_is_refused_at_once(shop: Shop) -> None:
    assert refused(9) == "invalid amount_fen"
    assert refused(2_000_00) == "payee_needed"
    assert refused(FEN, program_id="another") == "invalid method"
    assert refused(FEN, account={"name": "a", "number": "1234"}) == "invalid account"
    assert asked(1_999_99, method="wechat")[1]


def test_a_real_name_is_told_sealed_and_another_person_is_not_paid(shop: Shop) -> None:
    named()
    row = waiting(shop, 2_000_00)
    assert shop.bill.name == NAME and NAME not in str(shop.bill.asked)

    shop.confirms(row, name="李四")

    assert has_ended(row, "failed", left=3_000_00).reason == "NAME_NOT_CORRECT"


def test_below_what_a_name_is_taken_for_none_is_told(shop: Shop) -> None:
    named()
    waiting(shop, 29)

    assert shop.bill.name is None


# --- what WeChat tells by itself ----------------------------------------------------------------------------


def test_told_again_after_a_person_gave_it_back_a_person_looks(shop: Shop) -> None:
    shop.deaf = True
    row = waiting(shop)
    shop.confirms(row)
    ending = withdrawals.Ending(to="failed", reason="looked up", now=NOW)
    withdrawals.end(again(row), ending)
    shop.deaf = False

    hear(*shop.told[0], now=NOW)
    hear(*shop.told[0], now=NOW)

    has_ended(row, "failed", left=3_000_00)
    ((only, *others), _) = stuck.listed(limit=9)
    assert (only.trouble.job, others) == (sending.DIFFERS_JOB, [])
    assert again(row).told == f"SUCCESS {shop.bill.reference}"


def test_what_is_told_of_another_sum_or_nobodys_changes_nothing(shop: Shop) -> None:
    row = waiting(shop)
    told = wechat.Bill(
        number=transfers.number_of(row.withdrawal_id),
        reference="1",
        state="SUCCESS",
        created_at=NOW,
        amount_fen=FEN,
    )
    wrong: list[tuple[wechat.Bill, str, type[AppError]]] = [
        (replace(told, amount_fen=FEN + 1), PROGRAM, Invalid),
        (replace(told, mchid="1900000001"), PROGRAM, Invalid),
        (replace(told, number="wdrX"), PROGRAM, NotFound),
        (told, "another", NotFound),
    ]

    for bill, program_id, refusal in wrong:
        with pytest.raises(refusal):
            sending.told_by_wechat(bill, program_id=program_id, now=NOW)

    assert again(row).state == "awaiting_confirmation"
