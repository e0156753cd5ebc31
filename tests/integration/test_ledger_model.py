"""The ledger against a plain list of lots: any order of earning, spending, holds, reversals and months' ends.

The model keeps what is left of each month and changes it lot by lot, as a person would on paper; the ledger keeps
sums. After every step they say the same, and the entries add up.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chalicelib.core import ledger, table
from chalicelib.core.ledger import HoldOver, NotEnough, OverReversed
from infra.local.clients import Store
from tests.factories import emptied
from tests.points import ALICE, close, earn, freeze, held, release, reverse, spend, thaw

MONTHS = 2
"""Points last for so many months after their own, so that months end often."""
SOME = st.integers(1, 60)


@dataclass
class Lot:
    """What one month brought, what is left of it, and what expired of it once it was closed."""

    month: int
    earned: int = 0
    left: int = 0
    expired: int | None = None


@dataclass
class Posting:
    """What a cause posted: into which month, and how much of it may still be reversed."""

    amount: int
    left: int
    month: int | None = None


@dataclass
class Paper:
    """The same books, kept lot by lot."""

    lots: list[Lot] = field(default_factory=list)
    debt: int = 0
    returned: int = 0
    """What came back of months that were closed: it goes with the oldest that is open."""
    rest: int | None = None
    """The month in which it came back, when none was open any more: it lasts as if that had brought it."""

    @property
    def open(self) -> list[Lot]:
        """The months that are not closed, the oldest first."""
        return [lot for lot in self.lots if lot.expired is None]

    @property
    def balance(self) -> int:
        """What can be spent."""
        return sum(lot.left for lot in self.open) + self.returned - self.debt

    def earn(self, amount: int, month: int) -> None:
        """A debt is netted first; the month has earned it all the same."""
        if not self.lots or self.lots[-1].month != month:
            self.lots.append(Lot(month))
        netted = min(self.debt, amount)
        self.debt -= netted
        self.lots[-1].earned += amount
        self.lots[-1].left += amount - netted

    def take(self, amount: int) -> None:
        """The earliest first; what nobody has is a debt."""
        part = min(self.returned, amount)
        self.returned -= part
        amount -= part
        for lot in self.open:
            part = min(lot.left, amount)
            lot.left -= part
            amount -= part
        self.debt += amount

    def give_back(self, amount: int, month: int) -> None:
        """What was taken last comes back first, the debt before it; what no open month has room for is returned."""
        part = min(self.debt, amount)
        self.debt -= part
        amount -= part
        for lot in reversed(self.open):
            part = min(lot.earned - lot.left, amount)
            lot.left += part
            amount -= part
        self.returned += amount
        if not self.open and self.rest is None:
            self.rest = month

    def unearn(self, amount: int, month: int) -> None:
        """Out of its own month; had that expired, out of what expired of it; what is missing, out of the others."""
        lot = next(lot for lot in self.lots if lot.month == month)
        if lot.expired is not None:
            void = min(lot.expired, amount)
            lot.expired -= void
            self.take(amount - void)
            return
        unspent = min(lot.left, amount)
        lot.left -= unspent
        lot.earned -= amount
        self.take(amount - unspent)

    def close(self, month: int) -> None:
        """Every month up to this one is over, the earliest first."""
        for lot in self.open:
            if lot.month <= month:
                lot.expired = lot.left + self.returned
                lot.left = self.returned = 0
        if self.rest is not None and self.rest <= month:
            self.rest = None
            self.returned = self.returned if self.open else 0


class Ledger(RuleBasedStateMachine):
    """Both, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.month = 2026 * 12
        self.paper = Paper()
        self.postings: dict[str, Posting] = {}
        self.frozen: list[str] = []

    @initialize()
    def begin(self) -> None:
        emptied()

    @property
    def now(self) -> int:
        return ledger.closes_at(self.month, -1) + 3600

    def _new(self) -> str:
        return f"cause-{len(self.postings)}"

    @rule(amount=SOME)
    def earn(self, amount: int) -> None:
        cause = self._new()
        earn(amount, cause=cause, now=self.now, lasts_months=MONTHS)
        self.paper.earn(amount, self.month)
        self.postings[cause] = Posting(amount, amount, self.month)

    @rule(amount=SOME)
    def spend(self, amount: int) -> None:
        cause = self._new()
        if amount > self.paper.balance:
            with pytest.raises(NotEnough):
                spend(amount, cause=cause, now=self.now)
            return
        spend(amount, cause=cause, now=self.now)
        self.paper.take(amount)
        self.postings[cause] = Posting(-amount, amount)

    @rule(amount=SOME)
    def freeze(self, amount: int) -> None:
        cause = self._new()
        if amount > self.paper.balance:
            with pytest.raises(NotEnough):
                freeze(amount, cause=cause, now=self.now)
            return
        freeze(amount, cause=cause, now=self.now)
        self.paper.take(amount)
        self.postings[cause] = Posting(-amount, 0)
        self.frozen.append(cause)

    @precondition(lambda self: self.frozen)
    @rule(which=st.integers(0, 99), spends=st.booleans())
    def end_a_hold(self, which: int, spends: bool) -> None:
        cause = self.frozen.pop(which % len(self.frozen))
        hold = held(cause)
        posting = self.postings[cause]
        if spends:
            thaw(hold)
            posting.left = -posting.amount
        else:
            table.transact(ledger.hold_released(hold, reason="released", now=self.now, lasts_months=MONTHS))
            self.paper.give_back(-posting.amount, self.month)
        with pytest.raises(HoldOver):
            release(hold, now=self.now)

    @precondition(lambda self: self.postings)
    @rule(which=st.integers(0, 99), amount=SOME, part=st.uuids())
    def reverse(self, which: int, amount: int, part: object) -> None:
        cause, posting = list(self.postings.items())[which % len(self.postings)]
        if amount > posting.left:
            with pytest.raises(OverReversed):
                reverse(cause, amount, part=str(part), now=self.now)
            return
        table.transact(
            ledger.reversal(
                owner=ALICE,
                book="points",
                cause=cause,
                amount=amount,
                part=str(part),
                reason="refund",
                now=self.now,
                lasts_months=MONTHS,
            )
        )
        posting.left -= amount
        if posting.month is None:
            self.paper.give_back(amount, self.month)
        else:
            self.paper.unearn(amount, posting.month)

    @rule(months=st.integers(1, 3))
    def a_month_ends(self, months: int) -> None:
        self.month += months
        close(self.now, MONTHS)
        self.paper.close(self.month - MONTHS - 1)

    @invariant()
    def they_say_the_same(self) -> None:
        drift = ledger.drift(owner=ALICE, book="points")
        assert drift.none, drift
        assert drift.balance == self.paper.balance
        account = table.get(ledger.Account, ledger.Account.key(ALICE, "points"))
        if account is None:
            return
        left = ledger.lots(account, now=self.now)
        wanted = {lot.month: lot.left for lot in self.paper.open}
        if wanted:
            wanted[min(wanted)] += self.paper.returned
        assert {month: n for month, n in left.items() if n} == {m: n for m, n in wanted.items() if n}


def test_the_ledger_says_what_the_lots_say(store: Store) -> None:
    run = settings(
        max_examples=8,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Ledger, settings=run)
