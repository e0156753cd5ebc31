"""Payouts of which the books do not know: each is entered once, what contradicts the books is left to people."""

from pathlib import Path

import pytest

from chalicelib.core import config, ids, moneyout
from chalicelib.withdrawals import untold
from chalicelib.withdrawals.untold import Payout
from infra.local.clients import Store
from infra.restore import payouts
from infra.restore.steps import NotYet, Step
from tests.factories import NOW, OWNER
from tests.harness.rows import rows
from tests.withdrawals import ALICE, a_promoter, again, approve, balance, broken, earn, terms, withdraw

pytestmark = pytest.mark.usefixtures("direct")

LOST = ids.derived("wdr", ALICE, "key#lost")
STEP = Step(by=OWNER, now=NOW)


@pytest.fixture(autouse=True)
def promoter(store: Store) -> None:
    config.override(payout_gateways="sandbox manual mall")
    terms()
    a_promoter()
    earn(500_00)


def told(withdrawal_id: str, fen: int, *, member_id: str | None = ALICE) -> str:
    paid = {"withdrawal_id": withdrawal_id, "reference": "bank-1", "at": NOW, "gateway": "manual"}
    return untold.take_in(Payout(net_fen=fen, member_id=member_id, **paid), by=OWNER, now=NOW)  # type: ignore[arg-type]


def test_a_lost_one_is_entered_once_and_the_next_has_another_number(store: Store) -> None:
    assert (told(LOST, 200_00), told(LOST, 200_00)) == ("entered", "known")

    assert balance() == (300_00, 0)
    assert withdraw(100_00).withdrawal_id == ids.derived("wdr", ALICE, "n#1")
    assert broken(rows(store.client, "truth")) == []


def test_what_is_not_there_any_more_is_a_debt(store: Store) -> None:
    assert told(LOST, 600_00) == "entered"

    assert balance() == (-100_00, 0)
    assert broken(rows(store.client, "truth")) == []


@pytest.mark.parametrize("approved", [False, True])
def test_one_that_is_here_is_paid_by_it(store: Store, approved: bool) -> None:
    row = withdraw(200_00, method="bank")
    if approved:
        approve(row)

    assert told(row.withdrawal_id, 200_00) == "noted"

    assert (again(row).state, again(row).reference, balance()) == ("paid", "bank-1", (300_00, 0))
    assert told(row.withdrawal_id, 200_00) == "known"
    assert broken(rows(store.client, "truth")) == []


def test_what_contradicts_the_books_changes_nothing() -> None:
    row = withdraw(200_00, method="bank")

    assert told(row.withdrawal_id, 201_00) == "differs"
    assert told(LOST, 200_00, member_id=None) == "nobody"
    assert told(LOST, 200_00, member_id="mbr_" + "Z" * 26) == "nobody"
    assert (again(row).state, balance()) == ("applied", (300_00, 200_00))


def test_lines_that_are_wrong_or_nobodys_are_told_and_the_others_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "paid.csv"
    head, lost = (
        "number,amount_fen,paid_on,reference,order_id,member_id",
        f"{LOST},20000,2026-01-01,b-1,,{ALICE}",
    )
    refund = ids.derived("rfd", "ord_1", "pay_1")
    file.write_text("\n".join([head, lost, f"{refund},1,2026-01-01,b-2,ord_1,", "wdr_1,1,2026-01-01,b-3,,"]))
    with pytest.raises(NotYet):
        payouts.take_in(file, STEP)

    moneyout.switch_off(why="a test", by="Olivia", at=NOW, restored_to=NOW - 60)
    assert not payouts.take_in(file, STEP)

    said = capsys.readouterr().out
    assert "line 3: nobody" in said and "line 4: " in said and "1 entered, 1 nobody, 1 wrong" in said
    assert balance() == (300_00, 0)
