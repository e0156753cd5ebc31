"""Calls that start at the same moment, and what became of each.

    outcomes = race(*[lambda m=m: claim(member=m) for m in members])
    outcomes.expect(won=50, sold_out=14)                # the message shows the distribution
    outcomes.expect_won_or("sold_out", most=50)         # where chance decides how many
    naive = read_then_write(stock_left, sell, parties=8)
    assert len(race(*[naive] * 8).winners) > 1, "the harness cannot see the race"

A race test is worth something only beside the second kind: a deliberately naive version that loses. What was
expected and what came is noted for the report of `make races`.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from tests import proof

REPORT = "RACE_REPORT"
"""Where the environment names the folder of that report."""
PATIENCE_S = 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What became of one call: its value, or the exception it ended in."""

    value: Any = None
    error: BaseException | None = None

    @property
    def won(self) -> bool:
        """The call came back."""
        return self.error is None

    @property
    def refused(self) -> bool:
        """A rule said no, or the store was busy: an error that has a code, not an accident."""
        return isinstance(getattr(self.error, "code", None), str)

    @property
    def name(self) -> str:
        """``won``, the code of the refusal, or the class of the accident."""
        return "won" if self.error is None else getattr(self.error, "code", type(self.error).__name__)


class Outcomes(list[Outcome]):
    """All outcomes of a race, in the order of the calls."""

    @property
    def winners(self) -> list[Any]:
        """The values of the calls that came back."""
        return [outcome.value for outcome in self if outcome.won]

    @property
    def distribution(self) -> Counter[str]:
        """How many ended in which way."""
        return Counter(outcome.name for outcome in self)

    def expect(self, **wanted: int) -> None:
        """Exactly so many of each name, and nothing else; a zero may be left out.

        Raises:
            AssertionError: with the distribution; its cause is the first accident, if there was one.
        """
        winners = wanted.get("won", 0)
        self._noted(least=winners, most=winners)
        if self.distribution != Counter({name: count for name, count in wanted.items() if count}):
            self._fail(f"wanted {wanted}")

    def expect_won_or(self, *refusals: str, least: int = 0, most: int | None = None) -> None:
        """Nobody was told anything but these, and so many won; who may win is left to chance.

        Raises:
            AssertionError: as above.
        """
        most = len(self) if most is None else most
        self._noted(least=least, most=most)
        there = self.distribution
        if not (set(there) <= {"won", *refusals} and least <= there["won"] <= most):
            self._fail(f"wanted {least} to {most} winners, or {refusals}")

    def _noted(self, *, least: int, most: int) -> None:
        proof.note(REPORT, expected=[least, most], of=len(self))

    def _fail(self, wanted: str) -> NoReturn:
        accident = next((one.error for one in self if not one.won and not one.refused), None)
        raise AssertionError(f"{wanted}, the race gave {dict(self.distribution)}") from accident

    def told(self) -> "Outcomes":
        """The same, noted as what a race came to."""
        proof.note(REPORT, ended=dict(self.distribution))
        return self


def race(*calls: Callable[[], Any], threads: int = 64) -> Outcomes:
    """Start all calls at one barrier, at most ``threads`` at a time (the others follow as threads get free)."""
    outcomes = [Outcome(error=TimeoutError(f"still running after {PATIENCE_S} s"))] * len(calls)
    together = threading.Barrier(min(threads, len(calls)) or 1)
    waiting = iter(range(len(calls)))

    def run() -> None:
        first = next(waiting)
        together.wait(PATIENCE_S)
        for at in itertools.chain([first], waiting):
            outcomes[at] = _outcome(calls[at])

    running = [threading.Thread(target=run, daemon=True) for _ in calls[:threads]]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(PATIENCE_S)
    return Outcomes(outcomes).told()


def _outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(value=call())
    except BaseException as error:  # a call that is killed is an outcome too
        return Outcome(error=error)


def read_then_write(read: Callable[[], T], write: Callable[[T], Any], *, parties: int) -> Callable[[], Any]:
    """The race that everybody writes by accident, made certain: nobody writes before all have read."""
    all_have_read = threading.Barrier(parties)

    def naive() -> Any:
        try:
            seen = read()
        except BaseException:
            all_have_read.abort()
            raise
        all_have_read.wait(PATIENCE_S)
        return write(seen)

    return naive
