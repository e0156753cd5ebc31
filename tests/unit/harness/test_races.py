"""race() starts together, keeps the order, tells refusals from accidents; and it sees a naive race."""

import threading
from pathlib import Path

import pytest

from tests import proof
from tests.harness.races import REPORT, race, read_then_write

from .store import Store


class SoldOut(Exception):
    code = "sold_out"


def test_the_harness_sees_the_race_that_a_naive_version_loses(store: Store) -> None:
    store.put("stock", units=1)

    def sell(units: int) -> None:
        if units < 1:
            raise SoldOut
        store.change("stock", "SET units = :left", left=units - 1)

    naive = read_then_write(lambda: int(store.get("stock")["units"]["N"]), sell, parties=8)

    assert len(race(*[naive] * 8).winners) == 8, "the harness cannot see the race"


def test_all_calls_run_at_the_same_moment_and_their_outcomes_keep_the_order() -> None:
    met = threading.Barrier(16)

    def call(number: int) -> int:
        met.wait(10)
        if number % 2:
            raise SoldOut
        return number

    outcomes = race(*[lambda n=n: call(n) for n in range(16)])

    assert outcomes.winners == list(range(0, 16, 2))
    assert [one.refused for one in outcomes] == [False, True] * 8
    outcomes.expect(won=8, sold_out=8, busy=0)


def test_more_calls_than_threads_are_all_made() -> None:
    assert race(*[lambda n=n: n for n in range(40)], threads=4).winners == list(range(40))
    assert race() == []


def test_a_wrong_distribution_is_told_with_its_first_accident() -> None:
    outcomes = race(lambda: 1, lambda: 1 // 0)

    with pytest.raises(AssertionError, match=r"wanted .*'won': 2.* gave .*ZeroDivisionError") as told:
        outcomes.expect(won=2)
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def test_a_read_that_fails_does_not_leave_the_others_waiting() -> None:
    naive = read_then_write(lambda: 1 // 0, lambda _: None, parties=2)

    assert race(naive, naive).winners == []


def test_where_chance_decides_nobody_is_told_anything_else() -> None:
    outcomes = race(lambda: 1, lambda: 2, lambda: 1 // 0)

    race(lambda: 1, lambda: 2).expect_won_or("sold_out", least=1, most=2)
    with pytest.raises(AssertionError, match="0 to 3 winners.* gave .*ZeroDivisionError"):
        outcomes.expect_won_or("sold_out")
    with pytest.raises(AssertionError, match="0 to 1 winners"):
        outcomes.expect_won_or("ZeroDivisionError", most=1)
    with pytest.raises(AssertionError, match="3 to 3 winners"):
        outcomes.expect_won_or("ZeroDivisionError", least=3)


def test_what_was_expected_and_what_came_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPORT, str(tmp_path))

    race(lambda: 1).expect(won=1)
    race(lambda: 1, lambda: 2).expect_won_or(most=2)

    told = [{key: value for key, value in line.items() if key != "test"} for line in proof.noted(tmp_path)]
    assert told == [
        {"ended": {"won": 1}},
        {"expected": [1, 1], "of": 1},
        {"ended": {"won": 2}},
        {"expected": [0, 2], "of": 2},
    ]
