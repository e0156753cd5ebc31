"""What came of the calls of one stretch of time, and when a rate is said to bend the stack."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load.day import Call

P99_MS = 500.0
SERVED = 0.98
RIGHT = (200, 201)
NO_ANSWER, NOT_REACHED = "no_answer", "not_reached"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a call went, in seconds since the stretch began; status 0: there was none.

    ``told``: what the answer says is so from now on, for the audit.
    """

    call: Call
    sent: float
    done: float
    status: int
    code: str = ""
    told: str = ""

    @property
    def right(self) -> bool:
        """Whether it did what was asked."""
        return self.status in RIGHT

    @property
    def took_ms(self) -> float:
        """From when it was to be sent, so that waiting to be sent counts too."""
        return (self.done - self.call.at) * 1000

    @property
    def late_ms(self) -> float:
        """How late the generator itself was."""
        return (self.sent - self.call.at) * 1000


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """So many seconds of calls at a rate.

    ``behind_s``: how long the stack's own work took to catch up then; None if its end was not waited for.
    """

    rate: float
    seconds: float
    answers: Sequence[Answer]
    behind_s: float | None = 0.0

    @property
    def offered(self) -> float:
        """Calls a second that were to be made."""
        return len(self.answers) / self.seconds

    @property
    def served(self) -> float:
        """Calls a second that did what was asked, until the last of them was answered."""
        right = [one.done for one in self.answers if one.right]
        return len(right) / max(self.seconds, *right) if right else 0.0

    def took_ms(self, share: float) -> float:
        """This share of the calls that were sent took no longer."""
        return percentile([one.took_ms for one in self.answers if one.code != NOT_REACHED], share)

    def late_ms(self, share: float) -> float:
        """This share of them the generator sent no later."""
        return percentile([one.late_ms for one in self.answers if one.code != NOT_REACHED], share)

    @property
    def errors(self) -> Counter[str]:
        """What went wrong, by status and code."""
        return Counter(f"{one.status or '-'} {one.code}" for one in self.answers if not one.right)

    @property
    def bends(self) -> bool:
        """Whether this was more than the stack does well."""
        return self.took_ms(0.99) > P99_MS or self.served < SERVED * self.offered


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them do not exceed; 0 of none."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else 0.0
