"""The ledger against a plain list of lots: any order of earning, spending, holds, reversals and months' ends.

The model keeps what is left of each month and changes it lot by lot, as a person would on paper; the ledger keeps
sums. After every step they say the same, and the entries add up. The store is unkind meanwhile: who is told "busy"
asks again, and is then told that it is done already where it was.

    make soak                          more examples, other ones each time: SOAK_EXAMPLES=5000 SOAK_SEED=7
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chalicelib.core import cache, due, ledger, table
from chalicelib.core.errors import Busy
from chalicelib.core.ledger import HoldOver, NotEnough, OverReversed, Posted
from chalicelib.points import service as points
from chalicelib.points.schemas import EditPointsRule
from infra.local.clients import Store
from tests.factories import OWNER, emptied
from tests.harness.hostile import Hostile
from tests.model.test_groupbuys import ODDS, SEED, at_first_hand, played
from tests.points import ALICE, earn, freeze, held, reversing, spend, thaw

EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "60"))
LATE_S = 5
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
        self.passed = 0
        self.paper = Paper()
        self.postings: dict[str, Posting] = {}
        self.parts = 0
        self.frozen: dict[str, int] = {}
        """The holds, and the months in which they end by themselves."""

    @initialize(dice=st.integers(0, 2**16))
    def begin(self, dice: int) -> None:
        emptied()
        points.edit_rule(EditPointsRule(lasts_months=MONTHS), by=OWNER, now=self.now)
        self.worn = ExitStack()
        clock = lambda: self.now + self.passed  # noqa: E731 - it goes on with the model
        client = table.client()
        self.hostile = Hostile(client, dice=random.Random(dice), index_delay=LATE_S, clock=clock)
        self.worn.enter_context(self.hostile)

    def teardown(self) -> None:
        """The store is kind again."""
        if hasattr(self, "worn"):
            self.worn.close()

    @property
    def now(self) -> int:
        return ledger.closes_at(self.month, -1) + 3600

    def _new(self) -> str:
        return f"cause-{len(self.postings)}"

    def _does(self, call: Callable[[], object], *, done: type[Exception] = Posted) -> None:
        """The call, made again while it is told "busy"; then it may learn that it is ``done``."""
        busy = 0
        with self._mood(**ODDS):
            while True:
                try:
                    call()
                except Busy:
                    busy += 1
                    assert busy < 30, "busy for ever"
                    continue
                except done:
                    assert busy, "nobody had asked before"
                return

    def _refused(self, why: type[Exception], call: Callable[[], object]) -> None:
        with self._mood(lost_reply=ODDS["lost_reply"], throttle=ODDS["throttle"]), pytest.raises(why):
            call()

    @contextmanager
    def _mood(self, **odds: float) -> Iterator[None]:
        before = {name: getattr(self.hostile, name) for name in ODDS}
        vars(self.hostile).update(odds)
        try:
            yield
        finally:
            vars(self.hostile).update(before)

    @rule(amount=SOME)
    def earn(self, amount: int) -> None:
        cause = self._new()
        self._does(lambda: earn(amount, cause=cause, now=self.now, lasts_months=MONTHS))
        self.paper.earn(amount, self.month)
        self.postings[cause] = Posting(amount, amount, self.month)

    @rule(amount=SOME)
    def spend(self, amount: int) -> None:
        cause = self._new()
        if amount > self.paper.balance:
            self._refused(NotEnough, lambda: spend(amount, cause=cause, now=self.now))
            return
        self._does(lambda: spend(amount, cause=cause, now=self.now))
        self.paper.take(amount)
        self.postings[cause] = Posting(-amount, amount)

    @rule(amount=SOME, months=st.integers(1, 3))
    def freeze(self, amount: int, months: int) -> None:
        cause, until = self._new(), ledger.closes_at(self.month + months, -1)
        if amount > self.paper.balance:
            self._refused(NotEnough, lambda: freeze(amount, cause=cause, now=self.now))
            return
        self._does(lambda: freeze(amount, cause=cause, now=self.now, until=until))
        self.paper.take(amount)
        self.postings[cause] = Posting(-amount, 0)
        self.frozen[cause] = self.month + months

    @precondition(lambda self: self.frozen)
    @rule(which=st.integers(0, 99), spends=st.booleans())
    def end_a_hold(self, which: int, spends: bool) -> None:
        cause = list(self.frozen)[which % len(self.frozen)]
        hold = held(cause)
        del self.frozen[cause]
        posting = self.postings[cause]

        def let_go() -> None:
            table.transact(ledger.hold_released(hold, reason="released", now=self.now, lasts_months=MONTHS))

        if spends:
            self._does(lambda: thaw(hold), done=HoldOver)
            posting.left = -posting.amount
        else:
            self._does(let_go, done=HoldOver)
            self.paper.give_back(-posting.amount, self.month)
        self._refused(HoldOver, let_go)

    @precondition(lambda self: self.postings)
    @rule(which=st.integers(0, 99), amount=SOME)
    def reverse(self, which: int, amount: int) -> None:
        cause, posting = list(self.postings.items())[which % len(self.postings)]
        self.parts += 1

        def reverses() -> None:
            writes = reversing(cause, amount, part=str(self.parts), lasts_months=MONTHS, now=self.now)
            table.transact(writes)

        if amount > posting.left:
            self._refused(OverReversed, reverses)
            return
        self._does(reverses)
        posting.left -= amount
        if posting.month is None:
            self.paper.give_back(amount, self.month)
        else:
            self.paper.unearn(amount, posting.month)

    @rule(months=st.integers(1, 3))
    def a_month_ends(self, months: int) -> None:
        """Holds whose time is over are let go, and then the months' points expire, each by its job."""
        self.month += months
        cache.clear_all()
        for job in (ledger.RELEASE_JOB, ledger.CLOSE_JOB):
            self._works(job)
        for cause in [one for one, until in self.frozen.items() if until <= self.month]:
            del self.frozen[cause]
            self.paper.give_back(-self.postings[cause].amount, self.month)
        self.paper.close(self.month - MONTHS - 1)

    def _works(self, job: str) -> None:
        with self._mood(lost_reply=ODDS["lost_reply"], throttle=ODDS["throttle"]):
            while True:
                self.passed += LATE_S + 1
                ran = due.run(job=job, worker=f"w{self.passed}", now=self.now, seconds=60)
                assert not ran.failed
                if not ran.handled:
                    return

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
    with at_first_hand():
        played(examples=EXAMPLES, dice=SEED, steps=20, of=Ledger)


def test_the_model_sees_a_spend_that_is_posted_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_first_hand():
        machine = Ledger()
        machine.begin(dice=1)
        machine.earn(amount=50)
        machine.they_say_the_same()
        real = spend

        def twice(amount: int, *, cause: str, now: int) -> None:
            for n in range(2):
                real(amount, cause=f"{cause}-{n}", now=now)

        monkeypatch.setattr("tests.model.test_ledger.spend", twice)
        machine.spend(amount=10)
        machine.worn.close()

        with pytest.raises(AssertionError):
            machine.they_say_the_same()
