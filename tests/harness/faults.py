"""Every storage call of an operation failed in every way, then the caller's retry, then the books.

    def claim(member): service.claim(template=TEMPLATE, member=member)      # what is under test
    def check(member): assert len(coupons_of(member)) == 1                  # after the retry: one effect
    each_fault(claim, client=client, setup=fresh_member, check=check)
    # or one subtest a case:  for case in fault_cases(...): with subtests.test(case.id): case.run()

``setup`` gives each case its own state (fresh ids; empty caches, so that every run makes the same calls) and
hands it to ``operation`` and ``check``. The faulted run may come through by its own retries, or fail with an
error of its own raised from the fault; a bare storage error that escapes breaks the case. Did it come through,
``check`` must hold at once, else after the caller's retry, which meets no faults and must come through. So an
operation raises when it fails: an answer of status 503 is no failure here.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests import proof
from tests.harness.wire import READS, WRITES, Call, Params, conflicting, throttled, wrapped, written

S = TypeVar("S")


class Fault(StrEnum):
    """How one storage call goes wrong."""

    UNREACHABLE = "unreachable"  # no connection, so no effect
    BEFORE = "before"  # no effect, and nobody can tell
    AFTER = "after"  # took effect, the reply is lost
    CONFLICT = "conflict"  # refused by a transaction in flight
    THROTTLE = "throttle"  # refused for want of throughput
    CRASH = "crash"  # took effect, and the process is gone


EVERY = os.environ.get("FAULTS") == "all"
"""`make faults` throttles, too, which callers cannot tell from a conflict."""
_WITHOUT_EFFECT = [Fault.AFTER, Fault.CONFLICT]


class Killed(BaseException):
    """The process ends here; not an Exception, so that no except clause lives on."""


@dataclass(frozen=True, kw_only=True)
class Case(Generic[S]):
    """One fault at one call of the operation."""

    client: Any
    operation: Callable[[S], object]
    setup: Callable[[], S]
    check: Callable[[S], object]
    may_refuse: tuple[type[Exception], ...]
    call: int
    calls: tuple[str, ...]
    fault: Fault

    @property
    def id(self) -> str:
        """Which call, and what befell it."""
        return f"call {self.call} of {len(self.calls)} ({self.calls[self.call - 1]}): {self.fault}"

    def run(self) -> None:
        """The faulted run, the retry, the check; each on this case's own state."""
        state = self.setup()
        with failing(self.client, call=self.call, fault=self.fault) as blow:
            came_through = self._came_through(state, blow)
        if not blow.fell:
            raise AssertionError("the call was never made; does setup() leave caches warm?")
        note(fault=self.fault, came_through=came_through)
        if came_through:
            self.check(state)  # before the retry, which would make good a success told for nothing
        with suppress(*self.may_refuse):
            self.operation(state)
        self.check(state)

    def _came_through(self, state: S, blow: "Blow") -> bool:
        try:
            self.operation(state)
        except self.may_refuse:
            return False
        except BaseException as error:
            if error is blow.error and not isinstance(error, Killed):
                raise AssertionError("a bare storage error escaped") from error
            if not any(cause is blow.error for cause in _chain(error)):
                raise
            return False
        return True


def each_fault(
    operation: Callable[[S], object],
    *,
    client: Any,
    setup: Callable[[], S],
    check: Callable[[S], object],
    may_refuse: tuple[type[Exception], ...] = (),
) -> list[str]:
    """Run every case; answers their ids.

    ``may_refuse``: refusals that are a right answer to the caller's retry, such as "already left".

    Raises:
        ExceptionGroup: the cases that broke, each with its id as a note.
    """
    broken: list[Exception] = []
    ids = []
    for case in fault_cases(operation, client=client, setup=setup, check=check, may_refuse=may_refuse):
        ids.append(case.id)
        try:
            case.run()
        except Exception as error:
            error.add_note(f"fault case: {case.id}")
            broken.append(error)
    if broken:
        raise ExceptionGroup(f"{len(broken)} of {len(ids)} fault cases broke", broken)
    return ids


def fault_cases(
    operation: Callable[[S], object],
    *,
    client: Any,
    setup: Callable[[], S],
    check: Callable[[S], object],
    may_refuse: tuple[type[Exception], ...] = (),
) -> Iterator[Case[S]]:
    """The cases of an operation, after one clean run that shows its calls and must pass ``check``."""
    state = setup()
    with recording(client) as made:
        operation(state)
    check(state)
    assert made, "the operation made no storage call"
    for call, name in enumerate(made, start=1):
        for fault in faults_of(name):
            yield Case(
                client=client,
                operation=operation,
                setup=setup,
                check=check,
                may_refuse=may_refuse,
                call=call,
                calls=tuple(made),
                fault=fault,
            )


def faults_of(operation: str) -> list[Fault]:
    """The faults that make a difference to a call: a read has no effect to lose."""
    without = (
        _WITHOUT_EFFECT if operation in READS else [Fault.CONFLICT] if operation == "BatchWriteItem" else []
    )
    return [fault for fault in Fault if fault not in without and (EVERY or fault is not Fault.THROTTLE)]


def note(**told: Any) -> None:
    """Keep what became of a case, if somebody wants a report."""
    proof.note("FAULT_REPORT", **told)


@contextmanager
def recording(client: Any) -> Iterator[list[str]]:
    """The names of the calls that are made meanwhile."""
    made: list[str] = []

    def layer(below: Call, operation: str, params: Params) -> Params:
        if operation in READS | WRITES:
            made.append(operation)
        return below(operation, params)

    with wrapped(client, layer):
        yield made


@dataclass(kw_only=True)
class Blow:
    """The fault of one call: when it falls, and whether it fell."""

    client: Any
    call: int
    fault: Fault
    error: BaseException | None = None
    made: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def fell(self) -> bool:
        """Whether the call was made at all."""
        return self.error is not None

    def layer(self, below: Call, operation: str, params: Params) -> Params:
        """What `wrapped` puts round the client."""
        with self._lock:
            self.made += operation in READS | WRITES
            falls = self.made == self.call and not self.fell
            if falls:
                self.error = self._error(operation, params)
        if not falls:
            return below(operation, params)
        if self.fault in (Fault.AFTER, Fault.CRASH):
            with suppress(ClientError):
                below(operation, params)
        assert self.error is not None
        raise self.error

    def _error(self, operation: str, params: Params) -> Any:
        if self.fault is Fault.CRASH:
            return Killed(f"call {self.call}")
        if self.fault is Fault.THROTTLE:
            return throttled(self.client, operation, params)
        if self.fault is Fault.CONFLICT:
            first = [True, *[False] * (len(written(operation, params)) - 1)]
            return conflicting(self.client, operation, first)
        # Before and after look the same: who takes a read time-out for either of them is wrong half the time.
        kind = EndpointConnectionError if self.fault is Fault.UNREACHABLE else ReadTimeoutError
        return kind(endpoint_url=self.client.meta.endpoint_url)


@contextmanager
def failing(client: Any, *, call: int, fault: Fault) -> Iterator[Blow]:
    """The ``call``-th call that is made meanwhile goes wrong like this."""
    blow = Blow(client=client, call=call, fault=fault)
    with wrapped(client, blow.layer):
        yield blow


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from or while handling."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
