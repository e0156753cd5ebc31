"""The pages of races: one row a case, whatever process played which of its rounds, and what broke is counted."""

from typing import Any

import pytest

from tests.proof import DOCS
from tests.races import report
from tests.races.published import ATTACKS, Attack

FOLDER = "tests/races"
SEATS = f"{FOLDER}/test_groupbuys_seats.py::test_many_joiners_for_4_seats"
SIGHT = f"{FOLDER}/test_groupbuys_seats.py::test_the_harness_sees_seats_taken_twice_when_the_rule_is_a_read"
DEBT = f"{FOLDER}/test_ledger.py::test_a_debt"
Lines = list[dict[str, Any]]


def raced(test: str, *, least: int = 4, most: int = 4, **ended: int) -> Lines:
    """One round in which so many were expected to win."""
    said = {"expected": [least, most], "of": sum(ended.values())}
    return [{"test": test, "ended": ended}, {"test": test, **said}, {"test": test, "came": "passed"}]


def rows(lines: Lines) -> list[str]:
    """The lines of the page's tables, without their heads."""
    page = report.written(report.cases(lines))
    return [line for line in page.splitlines() if line.startswith("| ") and ": " in line]


def test_rounds_calls_and_winners_of_a_case_add_up() -> None:
    first = raced(f"{SEATS}[storm-3]", won=4, group_full=28)
    second = raced(f"{SEATS}[storm-13]", won=4, group_full=28)

    assert rows(first + second) == [
        "| groupbuys seats: many joiners for 4 seats | 2 | 64 | 8 | 8 | 56 group_full | 0 |"
    ]


def test_where_chance_decides_a_range_is_expected() -> None:
    some = raced(DEBT, least=2, most=5, won=3, busy=6)
    unsaid: Lines = [{"test": DEBT, "ended": {"won": 1}}]

    assert [report.Case(test=DEBT, lines=one).expected for one in (some, some + unsaid, unsaid)] == [
        "2 to 5",
        "2 to 6",
        "any",
    ]


def test_a_round_that_broke_is_one_violation_however_often_it_failed() -> None:
    failed: Lines = [{"test": f"{DEBT}[fair-1]", "came": "failed"}] * 2

    [row] = rows(failed + raced(f"{DEBT}[storm-3]", won=4))

    assert row == "| ledger: a debt | 2 | 4 | 4 | 4 |  | 1 |"


def test_a_sight_is_told_apart_with_how_often_it_was_seen() -> None:
    lines = raced(f"{SIGHT}[0]", won=8) + raced(f"{SIGHT}[1]", won=8)
    lines.append({"test": f"{SIGHT}[1]", "came": "failed"})

    [row] = rows(lines)

    assert row.endswith("when the rule is a read | 2 | 16 | 1 |")


def test_each_room_has_its_sum_and_all_have_theirs() -> None:
    lines = raced(f"{SEATS}[fair-1]", won=4) + raced(SIGHT, won=8) + raced(DEBT, won=2)

    told = report.rooms(report.cases(lines)).splitlines()

    assert "| group-buys | 1 | 1 | 4 | 0 | 1 | 1 of 1 |" in told
    assert told[-1] == "| all | 2 | 2 | 6 | 0 | 1 | 1 of 1 |"


def test_every_file_of_races_is_of_one_room() -> None:
    files = (DOCS.parent / FOLDER).glob("test_*.py")
    stems = sorted(file.stem.removeprefix("test_") for file in files)

    assert sorted([stem for some in report.ROOMS.values() for stem in some] + list(report.NO_RACES)) == stems


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.name)
def test_every_attack_is_played_by_a_test_that_is_there(attack: Attack) -> None:
    for test in attack.tests:
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (DOCS.parent / FOLDER / file).read_text(encoding="utf-8"), test


def test_an_attack_is_told_with_its_outcome() -> None:
    attack = ATTACKS[0]
    [test] = attack.tests

    def outcome(lines: Lines) -> str:
        page = report.published(report.cases(lines))
        [row] = [line for line in page.splitlines() if attack.link in line]
        return row.rpartition(" | ")[2]

    assert outcome([]) == "not played |"
    assert outcome(raced(f"{FOLDER}/{test}[storm-3]", won=4)) == "held |"
    assert outcome([{"test": f"{FOLDER}/{test}", "came": "failed"}]) == "broken in 1 of 1 rounds |"
