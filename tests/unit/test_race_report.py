"""The table of races: one row a case, whatever process played which of its rounds, and what broke is counted."""

from typing import Any

from tests.races import report

SEATS = "tests/races/test_groupbuys_seats.py::test_many_joiners_for_4_seats"


def test_rounds_and_calls_of_a_case_add_up() -> None:
    lines: list[dict[str, Any]] = [
        {"test": f"{SEATS}[storm-3]", "ended": {"won": 4, "group_full": 28}},
        {"test": f"{SEATS}[storm-13]", "ended": {"won": 4, "group_full": 28}},
        {"test": f"{SEATS}[storm-13]", "ended": {"won": 2}},
        {"test": f"{SEATS}[storm-13]", "failed": "call"},
        {"test": "tests/races/test_ledger.py::test_a_debt", "ended": {}},
    ]

    *_, seats, debt = report.written(lines).splitlines()

    assert seats == "| groupbuys seats: many joiners for 4 seats | 2 | 66 | 56 group_full, 10 won | 1 |"
    assert debt == "| ledger: a debt | 1 | 0 |  | 0 |"
