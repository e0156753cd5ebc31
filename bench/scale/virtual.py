"""Time that passes only while nobody works, in which the app's own code runs: thousands of callers, one at a time.

    time = Virtual()
    time.begin(at=0.5, do=claim)        # a caller's own code, which may wait:
    time.wait(0.025)                    #   inside it, for a call that takes 25 ms
    time.run()                          # until nothing is left to happen

A caller is a thread, because the app's code waits in the middle of its functions; but only the one whose moment it
is runs, and hands on to the next. So a run is exact, is the same for the same dice, and needs no locks.
"""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

STACK_BYTES = 512 * 1024
"""Of a caller: there may be thousands, and the app's code is not deep."""

Do = Callable[[], object]


@dataclass
class Process:
    """A function's process: what it remembers, by the cache that remembers it, and until when its CPU is taken."""

    remembered: dict[int, dict[Any, Any]] = field(default_factory=dict)
    cpu_free_at: float = 0.0


class Caller:
    """A thread that does one thing after the other, and stands still while it waits."""

    def __init__(self) -> None:
        self.baton = threading.Lock()
        self.baton.acquire()
        self.do: Do | None = None
        self.process: Process | None = None


class Virtual:
    """The clock, and all that is to happen, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.current: Caller | None = None
        self._coming: list[tuple[float, int, Caller | Do]] = []
        self._numbers = count()
        self._idle: list[Caller] = []
        self._over = threading.Semaphore(0)
        self._failure: BaseException | None = None

    def begin(self, *, at: float, do: Do) -> None:
        """Let a caller do this at that moment."""
        heapq.heappush(self._coming, (at, next(self._numbers), do))

    def wait(self, seconds: float) -> None:
        """Let others work for so long; outside of all callers nobody waits."""
        me = self.current
        if me is None:
            return
        self.wake(me, at=self.now + max(0.0, seconds))
        self._hand_on(me)

    def stand(self) -> None:
        """Wait until another wakes this caller."""
        assert self.current is not None
        self._hand_on(self.current)

    def wake(self, caller: Caller, *, at: float) -> None:
        """Let a caller go on at that moment."""
        heapq.heappush(self._coming, (at, next(self._numbers), caller))

    def run(self) -> None:
        """Until nothing is left to happen.

        Raises:
            what a caller's code raised and did not catch.
        """
        before = threading.stack_size(STACK_BYTES)
        try:
            self._hand_on(None)
            self._over.acquire()
        finally:
            threading.stack_size(before)
        self.current = None
        for caller in self._idle:
            caller.do = None
            caller.baton.release()
        self._idle.clear()
        if self._failure is not None:
            raise self._failure

    def _hand_on(self, me: Caller | None) -> None:
        """Let the next one work; ``me`` goes on when it is its turn."""
        following = self._following()
        if following is None:
            self._over.release()
        elif following is not me:
            following.baton.release()
        if me is not None:
            if following is not me:
                me.baton.acquire()
            self.current = me

    def _following(self) -> Caller | None:
        if not self._coming or self._failure is not None:
            return None
        at, _, what = heapq.heappop(self._coming)
        self.now = max(self.now, at)
        if isinstance(what, Caller):
            return what
        caller = self._idle.pop() if self._idle else self._hired()
        caller.do = what
        return caller

    def _hired(self) -> Caller:
        caller = Caller()
        threading.Thread(target=self._live, args=(caller,), daemon=True).start()
        return caller

    def _live(self, me: Caller) -> None:
        while True:
            me.baton.acquire()
            if me.do is None:
                return
            self.current = me
            try:
                me.do()
            except BaseException as failure:  # noqa: BLE001 - told by `run`, in the thread that asked for it
                self._failure = failure
            me.process = None
            self._idle.append(me)
            self._hand_on(None)


@dataclass
class Fleet:
    """A function's processes: each does one thing at a time, the one that was used last first, at most so many."""

    time: Virtual
    most: int
    born: Callable[[], Process] = Process
    made: int = 0
    turned_away: int = 0
    idle: list[Process] = field(default_factory=list)

    def call(self, do: Do) -> bool:
        """Do this in a process of its own for as long as it takes; false: there was none left."""
        if not self.idle and self.made >= self.most:
            self.turned_away += 1
            return False
        if not self.idle:
            self.made += 1
        caller, process = self.time.current, self.idle.pop() if self.idle else self.born()
        assert caller is not None
        caller.process = process
        try:
            do()
        finally:
            self.idle.append(process)
        return True
