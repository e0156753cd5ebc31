"""What a process may remember for a short while: rows that many requests share and that no limit hangs on."""

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
FRESH_FOR_S = 30

_all: "weakref.WeakSet[Cache[object]]" = weakref.WeakSet()


class Cache(Generic[T]):
    """Values by key, each at most ``for_s`` seconds old; the oldest half goes when ``size`` is reached."""

    def __init__(self, *, for_s: int = FRESH_FOR_S, size: int = 1000) -> None:
        self._for_s = for_s
        self._size = size
        self._values: dict[Hashable, tuple[int, T]] = {}
        self._lock = threading.Lock()
        _all.add(self)  # type: ignore[arg-type]

    def get(self, key: Hashable, *, now: int, load: Callable[[], T]) -> T:
        """The remembered value, or what ``load`` gives; a failing ``load`` is not remembered."""
        found = self._values.get(key)
        if found is not None and 0 <= now - found[0] < self._for_s:
            return found[1]
        value = load()
        self.put(key, value, now=now)
        return value

    def peek(self, key: Hashable, *, now: int) -> T | None:
        """The remembered value, if it is fresh."""
        found = self._values.get(key)
        return found[1] if found is not None and 0 <= now - found[0] < self._for_s else None

    def put(self, key: Hashable, value: T, *, now: int) -> None:
        """Remember ``value``."""
        with self._lock:
            self._values.pop(key, None)
            if len(self._values) >= self._size:
                for old in list(self._values)[: self._size // 2]:
                    del self._values[old]
            self._values[key] = (now, value)

    def forget(self, key: Hashable) -> None:
        """Read it anew next time; called after this process changed it."""
        with self._lock:
            self._values.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()


def clear_all() -> None:
    """Forget everything in every cache of the process; for tests and a new store."""
    for cache in list(_all):
        cache.clear()
