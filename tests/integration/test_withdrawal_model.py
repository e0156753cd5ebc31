"""Any course of things: what a purse, an account and a bank do against a few lines of arithmetic (L1, L2, M2)."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.core import config, deliveries, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import AppError
from chalicelib.core.ledger import Posted
from chalicelib.withdrawals import applying as withdrawal_applying
from chalicelib.withdrawals import payees, sending, tax
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.models import UNDER_WAY
from chalicelib.withdrawals.schemas import TellPayee, TransferOutcome
from infra.local.clients import Store
from tests.factories import NOW, OWNER, emptied
from tests.harness.direct import Direct
from tests.harness.rows import decoded
from tests.withdrawals import ALICE, Bank, a_promoter, broken, claw_back, earn, run, terms, withdraw

LARGEST = 5_000_00
Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["earn", "claw", "apply", "apply", "approve", "approve", "reject", "run", "run", "tell", "wait"]
        ),
        st.integers(0, 9),
        st.integers(1, LARGEST),
    ),
    min_size=20,
    max_size=40,
)


@dataclass
class Course:
    """What happened so far, in numbers."""

    bank: Bank
    now: int = NOW
    settled: dict[str, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)

    @property
    def settled_fen(self) -> int:
        """All that was earned and not taken back."""
        return sum(self.settled.values())

    def take(self, step: Step) -> None:
        """One thing happens, or is refused."""
        what, which, fen = step
        with suppress(AppError, Posted):
            getattr(self, f"_{what}")(which, fen)

    def _earn(self, which: int, fen: int) -> None:
        self.settled[earn(fen, now=self.now)] = fen

    def _claw(self, which: int, fen: int) -> None:
        if self.settled:
            cause = sorted(self.settled)[which % len(self.settled)]
            part = min(fen, self.settled[cause])
            claw_back(cause, part, part=f"{self.now}-{fen}-{len(self.ids)}")
            self.settled[cause] -= part

    def _apply(self, which: int, fen: int) -> None:
        method = "mall" if which % 3 else "sandbox"
        row = withdraw(200 + fen // 3, method=method, key=f"k{which}", now=self.now)
        if row.withdrawal_id not in self.ids:
            self.ids.append(row.withdrawal_id)

    def _one(self, which: int) -> str:
        return self.ids[which % len(self.ids)] if self.ids else "wdr_none"

    def _approve(self, which: int, fen: int) -> None:
        withdrawals.approve(self._one(which), by=OWNER, now=self.now)

    def _reject(self, which: int, fen: int) -> None:
        withdrawals.reject(self._one(which), reason="no", by=OWNER, now=self.now)

    def _run(self, which: int, fen: int) -> None:
        self.bank.down = which % 2
        run(now=self.now)

    def _tell(self, which: int, fen: int) -> None:
        row = withdrawals.show(self._one(which))
        if row.gateway == "sandbox":
            sending.confirm_in_sandbox(row.withdrawal_id, now=self.now)
        elif row.withdrawal_id in self.bank.asked:
            kind = ("paid", "failed", "expired")[fen % 3]
            told = TransferOutcome(id="e", type=f"withdrawal.{kind}")  # type: ignore[arg-type]
            sending.told_by_mall(row.withdrawal_id, told, now=self.now)

    def _wait(self, which: int, fen: int) -> None:
        self.now += which * DAY // 2


@pytest.fixture(scope="module")
def shop(embedded_store: Store) -> Iterator[pytest.MonkeyPatch]:
    """The embedded store without the way over botocore."""
    with pytest.MonkeyPatch.context() as patch:
        config.reset()
        config.override(dynamodb_endpoint="", payout_gateways="sandbox manual mall")
        patch.setattr(table, "_client", Direct(table._new_client()))
        yield patch
    config.reset()
    table.reset()


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(steps=STEPS, monthly=st.booleans())
def test_no_more_leaves_than_was_settled_and_all_of_it_is_told(
    shop: pytest.MonkeyPatch, steps: list[Step], monthly: bool
) -> None:
    course = begun(shop, monthly=monthly)

    for step in steps:
        course.take(step)
        rows = everything()
        assert broken(rows) == []
        assert out_fen(rows) <= settled_by_then(rows)

    standing = ledger.standing(owner=ALICE, book="money", now=course.now)
    paid_fen = sum(row["amount_fen"] for row in everything() if of(row, "paid"))
    assert standing.balance + standing.frozen + paid_fen == course.settled_fen
    assert max(course.bank.transfers.values(), default=0) <= len(steps)
    check_months(course, monthly=monthly)


def begun(shop: pytest.MonkeyPatch, *, monthly: bool) -> Course:
    emptied()
    bank = Bank()
    shop.setattr(deliveries, "post", bank.post)
    a_promoter()
    told = TellPayee(real_name="Li", id_number="11010519491231002X")
    payees.tell(told, member_id=ALICE, nonce=b"n" * 12, now=NOW)
    rule = {"rule": "monthly"} if monthly else {"rule": "fixed", "bps": 700}
    terms(open_at_once=4, fee_bps=60, auto_up_to_fen=1_000_00, confirm_s=DAY, tax=rule, day_max_fen=10**8)
    course = Course(bank)
    for _ in range(2):
        course.take(("earn", 0, LARGEST))
    return course


def everything() -> list[dict[str, Any]]:
    client: Direct = table.client()
    return [decoded(item) for item in client.items()]


def of(row: dict[str, Any], *states: str) -> bool:
    return row["kind"] == "withdrawal" and row["state"] in states


def out_fen(rows: list[dict[str, Any]]) -> int:
    """What is on its way or has arrived, in amounts of the account."""
    return sum(row["amount_fen"] for row in rows if of(row, "paid", *UNDER_WAY))


def settled_by_then(rows: list[dict[str, Any]]) -> int:
    """All that ever was settled: what was taken back once it was sent is a debt, and what came before it is not."""
    return sum(row["amount"] for row in rows if row["kind"] == "entry" and row.get("reason") == "commission")


def check_months(course: Course, *, monthly: bool) -> None:
    """A month's statement is the sum of what was paid; withheld is what the table says of it, or more."""
    rows = everything()
    for month in (row for row in rows if row["kind"] == "withdrawal_month"):
        paid = [row for row in rows if of(row, "paid") and row["month"] == month["month"]]
        for name in ("amount_fen", "fee_fen", "tax_fen", "net_fen"):
            assert month[name] == sum(row[name] for row in paid)
        if monthly:
            # One that failed once a later one was taxed leaves that one taxed for both; rounding takes a fen each.
            assert month["tax_fen"] >= tax.withheld_fen(month["amount_fen"]) - len(course.ids)
    assert withdrawal_applying.ground(ALICE).frozen_fen >= 0
