"""Virtual time: callers wait without waiting, in order, and processes are used again."""

import pytest

from bench.scale.virtual import Fleet, Virtual


def test_callers_go_on_in_the_order_of_their_moments() -> None:
    time, seen = Virtual(), list[tuple[float, str]]()

    def caller(name: str, seconds: float) -> None:
        for _ in range(2):
            time.wait(seconds)
            seen.append((time.now, name))

    time.begin(at=0.0, do=lambda: caller("slow", 10.0))
    time.begin(at=1.0, do=lambda: caller("quick", 2.0))
    time.run()

    assert seen == [(3.0, "quick"), (5.0, "quick"), (10.0, "slow"), (20.0, "slow")]


def test_what_a_caller_raises_is_raised_by_the_run() -> None:
    time = Virtual()

    def fails() -> None:
        time.wait(1.0)
        raise ValueError("no")

    time.begin(at=0.0, do=fails)
    time.begin(at=2.0, do=lambda: None)

    with pytest.raises(ValueError, match="no"):
        time.run()
    assert time.now == 1.0


def test_a_process_is_used_again_and_there_are_no_more_than_allowed() -> None:
    time = Virtual()
    fleet, used = Fleet(time, 2), list[int]()

    def call() -> None:
        assert time.current is not None
        used.append(id(time.current.process))
        time.wait(1.0)

    for at in (0.0, 0.5, 0.6, 1.2):
        time.begin(at=at, do=lambda: fleet.call(call))
    time.run()

    assert fleet.turned_away == 1
    assert used == [used[0], used[1], used[0]]
    assert used[0] != used[1]


def test_who_stands_goes_on_when_woken() -> None:
    time, seen = Virtual(), list[float]()

    def stands() -> None:
        me = time.current
        assert me is not None
        time.begin(at=3.0, do=lambda: time.wake(me, at=time.now + 1.0))
        time.stand()
        seen.append(time.now)

    time.begin(at=0.0, do=stands)
    time.run()

    assert seen == [4.0]
