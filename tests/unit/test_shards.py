"""Counts of a day spread over a few rows: a cause has one row, and nothing is lost when they are added up."""

from collections import Counter
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.shards import DAY_ROWS, by_day, day_of, day_row

DAYS = ("2026-01-01", "2026-01-02")


def test_what_many_rows_bring_in_a_day_is_spread_evenly_over_a_few() -> None:
    rows = Counter(day_row(DAYS[0], cause=f"GROUP#grp_{n}") for n in range(800))

    assert len(rows) == DAY_ROWS
    assert max(rows.values()) < 200


def test_what_one_row_brings_is_in_one_place_however_often_it_is_told() -> None:
    assert len({day_row(DAYS[0], cause="ORDER#ord_1") for _ in range(9)}) == 1


@given(st.lists(st.tuples(st.sampled_from(DAYS), st.text(max_size=9), st.integers(1, 99))))
def test_the_rows_of_a_day_add_up_to_all_that_was_counted(counted: list[tuple[str, str, int]]) -> None:
    rows = [SimpleNamespace(sk=day_row(day, cause=cause), paid=n) for day, cause, n in counted]
    own = [SimpleNamespace(sk=f"DAY#{day}", paid=None) for day in {day for day, _, _ in counted}]

    sums = {day: counts["paid"] for day, counts in by_day([*rows, *own], ["paid"]).items()}

    expected = Counter[str]()
    for day, _, n in counted:
        expected[day] += n
    assert sums == dict(expected)
    assert {day_of(row) for row in own} == set(sums)
