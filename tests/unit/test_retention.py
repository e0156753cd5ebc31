"""docs/retention.md: of every kind of row it is said what of a person it has, how long, and why."""

import re
from collections.abc import Iterator
from pathlib import Path

from chalicelib.core import facts
from chalicelib.core.clock import DAY
from chalicelib.core.table import Row
from chalicelib.members import leaving, returning
from chalicelib.rewards import granting
from chalicelib.sharing import signals, visits
from chalicelib.withdrawals import leaving as payouts

PAGE = Path(__file__).parents[2] / "docs" / "retention.md"
LINE = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def kinds(above: type[Row] = Row) -> Iterator[str]:
    for one in above.__subclasses__():
        kind = Row.get_attributes()["kind"].serialize(one)
        if one.__module__.startswith("chalicelib."):
            yield str(kind)
        yield from kinds(one)


def lines() -> dict[str, str]:
    return {kind: f"{data} {kept}" for kind, data, kept, _ in LINE.findall(PAGE.read_text(encoding="utf-8"))}


def test_every_kind_of_row_is_named_once_and_no_other() -> None:
    named = [found[0] for found in LINE.findall(PAGE.read_text(encoding="utf-8"))]

    assert sorted(named) == sorted(set(kinds()))
    assert len(named) > 100


def test_the_periods_are_those_of_the_code() -> None:
    said = lines()

    for kind, seconds in {
        "erased": returning.KEPT_S,
        "withdrawal": payouts.ACCOUNTS_STAY_S,
        "payee_forgetting": payouts.ACCOUNTS_STAY_S,
        "visit_hour": visits.ROWS_STAY_S,
        "signal_seen": 2 * signals.LOOKS_BACK_DAYS * DAY,
        "reward_seen": granting.SEEN_STAYS_S,
        "reward_day": granting.DAYS_STAY_S,
        "marker": facts.MARKERS_STAY_S,
    }.items():
        assert f"{seconds // DAY} days" in said[kind], kind
    assert "ten years" in said["withdrawal_month"]
    assert payouts.TAX_BOOK_STAYS_S >= 10 * 365 * DAY
    assert leaving.CHANGE_OF_MIND_S == 15 * DAY
