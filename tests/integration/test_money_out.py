"""The switch of money out: while it is off nothing is sent and nothing fails, and then all of it goes once."""

import os

import pytest

from chalicelib.core import config, deliveries, due, moneyout, table
from chalicelib.core.clock import HOUR
from chalicelib.core.moneyout import MoneyOutOff
from chalicelib.orders import gateways
from chalicelib.orders import service as orders
from chalicelib.orders.service import REFUND_JOB, Back
from chalicelib.withdrawals import admin
from infra import doctor
from infra.local.clients import Store
from infra.restore import __main__ as restore
from tests.factories import NOW, OWNER, a_call, a_word, books
from tests.groupbuys import a_campaign, open_paid_group, orders_of
from tests.withdrawals import Bank, a_promoter, again, approve, earn, run, terms, withdraw

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture(autouse=True)
def bank(store: Store, monkeypatch: pytest.MonkeyPatch) -> Bank:
    config.override(payout_gateways="sandbox manual mall")
    there = Bank()
    monkeypatch.setattr(deliveries, "post", there.post)
    return there


def off() -> None:
    moneyout.switch_off(why="a test", by="Olivia", at=NOW)


def refunds_run() -> due.Ran:
    return due.run(job=REFUND_JOB, worker=a_word("w"), now=NOW, seconds=30)


def test_refunds_stay_due_and_are_no_failures_until_it_is_on() -> None:
    [order, _] = orders_of(open_paid_group(a_campaign(sizes={3: 8900}), payers=2))
    orders.refund(order.order_id, back=Back(reason="operator"), now=NOW)
    off()

    assert (refunds_run().handled, refunds_run().failed) == (0, 0)
    [refund] = orders.money_of(order.order_id)[1]
    assert (refund.state, refund.due_at) == ("due", NOW) and not refund.attempts

    moneyout.switch_on(by="Olivia", at=NOW)
    assert refunds_run().handled == 1
    assert orders.show(order.order_id).state == "refunded"


def test_what_waits_for_it_is_not_told_as_late(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(due, "measure", lambda name, value, **_: told.append(value))
    [order, _] = orders_of(open_paid_group(a_campaign(sizes={3: 8900}), payers=2))
    orders.refund(order.order_id, back=Back(reason="operator"), now=NOW - HOUR)
    off()

    refunds_run()
    assert told == []
    moneyout.switch_on(by="Olivia", at=NOW)
    refunds_run()
    assert told == [HOUR]


def test_withdrawals_stay_due_until_it_is_on(bank: Bank) -> None:
    terms()
    a_promoter()
    earn(500_00)
    row = withdraw(200_00)
    off()
    approve(row)

    assert (run().handled, run().failed, bank.asked, again(row).state) == (0, 0, [], "approved")
    moneyout.switch_on(by="Olivia", at=NOW)
    run()
    assert (bank.asked, again(row).state) == ([row.withdrawal_id], "transferring")


def test_it_holds_from_one_piece_of_work_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    for order in orders_of(open_paid_group(a_campaign(sizes={3: 8900}), payers=2)):
        orders.refund(order.order_id, back=Back(reason="operator"), now=NOW)
    sandbox = gateways.of("sandbox")
    genuine = sandbox.refund

    def last(*arguments: object, **named: object) -> bool:
        off()
        return bool(genuine(*arguments, **named))  # type: ignore[arg-type]

    monkeypatch.setattr(sandbox, "refund", last)

    assert refunds_run().handled == 1
    assert sorted(row["state"] for row in books(table.client()).of("refund")) == ["done", "due"]


def test_nobody_is_shown_whom_to_pay_by_hand() -> None:
    terms()
    a_promoter()
    earn(500_00)
    row = approve(withdraw(200_00, method="bank"))
    call = a_call(operator=OWNER, now=NOW)
    assert admin.show_payee(call, row.withdrawal_id).net_fen == 200_00
    off()

    with pytest.raises(MoneyOutOff):
        admin.show_payee(call, row.withdrawal_id)


def test_said_again_it_stays_as_it_was_first_said() -> None:
    off()
    moneyout.switch_off(why="again", by="Oscar", at=NOW + 9)
    first = now_it_is()
    assert (first.why, first.by, first.at) == ("a test", "Olivia", NOW)

    moneyout.switch_off(why="a table of yesterday", by="Oscar", at=NOW, restored_to=NOW - 60)
    assert now_it_is().restored_to == NOW - 60
    moneyout.switch_on(by="Olivia", at=NOW)
    moneyout.switch_on(by="Oscar", at=NOW)
    last = now_it_is()
    assert (last.state, last.by) == ("on", "Olivia") and not last.restored_to
    assert not moneyout.is_off()


def now_it_is() -> moneyout.MoneyOut:
    found = moneyout.show()
    assert found is not None
    return found


# --- from the command line ----------------------------------------------------------------------------------


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A shell of its own, and what the functions of its stage are told."""
    there = {**os.environ, "UNFINISHED_DAYS": "9"}
    monkeypatch.setattr(os, "environ", there)
    told = {"UNFINISHED_DAYS": "30", "WECHATPAY_MCHID": "1900000109"}
    monkeypatch.setattr(doctor, "environment", lambda stage: told if stage == "test" else {})
    return there


def test_the_steps_have_the_settings_of_the_functions_but_for_what_the_shell_says(
    shell: dict[str, str],
) -> None:
    assert restore.main(["--by", "Olivia", "off", "--why", "a table of yesterday"]) == 0

    assert (now_it_is().state, now_it_is().by) == ("off", "Olivia")
    settings = config.settings()
    assert (settings.wechatpay_mchid, settings.unfinished_days) == ("1900000109", 9)


def test_a_table_that_was_not_restored_is_not_brought_up(
    shell: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    off()

    assert [restore.main([step]) for step in ("bills", "reconcile", "on")] == [1, 1, 1]
    assert capsys.readouterr().err.count("was not restored") == 3
    assert moneyout.is_off()


def test_a_time_without_its_zone_is_asked_for() -> None:
    with pytest.raises(SystemExit):
        restore.main(["table", "--at", "2026-01-31T09:30:00", "--as", "truth-2"])
