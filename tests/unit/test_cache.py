"""What is remembered is fresh, bounded, and can be forgotten."""

import threading
from collections.abc import Callable

import pytest

from chalicelib.core import cache
from chalicelib.core.cache import Cache


def counted(value: str = "v") -> tuple[Callable[[], str], list[str]]:
    """A load, and the list of its calls."""
    calls: list[str] = []

    def load() -> str:
        calls.append(value)
        return f"{value}{len(calls)}"

    return load, calls


def test_a_value_is_loaded_once_while_it_is_fresh() -> None:
    remembered: Cache[str] = Cache(for_s=30)
    load, calls = counted()

    assert [remembered.get("k", now=now, load=load) for now in (100, 129, 130, 159)] == [
        "v1",
        "v1",
        "v2",
        "v2",
    ]
    assert len(calls) == 2


def test_a_clock_that_was_put_back_makes_nothing_fresh_for_ever() -> None:
    remembered: Cache[str] = Cache(for_s=30)
    load, _ = counted()
    remembered.get("k", now=1000, load=load)

    assert remembered.get("k", now=500, load=load) == "v2"
    assert remembered.peek("k", now=499) is None


def test_keys_are_kept_apart() -> None:
    remembered: Cache[str] = Cache()

    assert remembered.get(("a", 1), now=0, load=lambda: "one") == "one"
    assert remembered.get(("a", 2), now=0, load=lambda: "two") == "two"


def test_nothing_found_is_remembered_too() -> None:
    remembered: Cache[str | None] = Cache()
    calls: list[int] = []

    for _ in range(3):
        remembered.get("k", now=0, load=lambda: calls.append(1))

    assert calls == [1]


def test_a_failing_load_is_not_remembered() -> None:
    remembered: Cache[str] = Cache()

    def fail() -> str:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        remembered.get("k", now=0, load=fail)
    assert remembered.get("k", now=0, load=lambda: "there") == "there"


def test_peek_shows_only_what_is_fresh() -> None:
    remembered: Cache[str] = Cache(for_s=10)
    remembered.put("k", "v", now=100)

    assert [remembered.peek("k", now=now) for now in (100, 109, 110)] == ["v", "v", None]
    assert remembered.peek("other", now=100) is None


def test_the_oldest_half_goes_when_it_is_full() -> None:
    remembered: Cache[int] = Cache(size=10)
    for n in range(10):
        remembered.put(n, n, now=0)
    remembered.put(0, 0, now=0)  # written again: the youngest now
    remembered.put(10, 10, now=0)

    assert [n for n in range(11) if remembered.peek(n, now=0) is not None] == [0, 6, 7, 8, 9, 10]


def test_forgetting_one_and_all() -> None:
    remembered: Cache[str] = Cache()
    for key in "ab":
        remembered.put(key, key, now=0)

    remembered.forget("a")
    remembered.forget("nobody")
    assert (remembered.peek("a", now=0), remembered.peek("b", now=0)) == (None, "b")
    remembered.clear()
    assert remembered.peek("b", now=0) is None


def test_every_cache_of_the_process_can_be_cleared() -> None:
    one: Cache[str] = Cache()
    other: Cache[str] = Cache()
    for remembered in (one, other):
        remembered.put("k", "v", now=0)

    cache.clear_all()

    assert one.peek("k", now=0) is None and other.peek("k", now=0) is None


def test_threads_never_break_it() -> None:
    remembered: Cache[int] = Cache(size=20)
    broken: list[Exception] = []

    def use(seed: int) -> None:
        try:
            for n in range(2000):
                key = (n * seed) % 50
                assert remembered.get(key, now=n // 100, load=lambda key=key: key) == key  # type: ignore[misc]
                remembered.forget((key + 1) % 50)
        except Exception as failure:
            broken.append(failure)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in (3, 7, 11, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert broken == []
