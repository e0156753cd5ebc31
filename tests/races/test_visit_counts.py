"""Visits are counted exactly (A1): once a visitor, link and hour, in rows that never hold more than they may.

A third condition, that the row is not there yet, lets a row begin; without it nothing is counted at all, which
any test sees. A closed day is folded once: a second fold would write the same and be seen in no count, so the
images are asked.
"""

import functools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pynamodb.expressions.condition import Condition

from chalicelib.core import due, facts
from chalicelib.core.cache import Cache
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write, get
from chalicelib.members import service as members
from chalicelib.sharing import visits
from chalicelib.sharing.models import LEVELS, ROW_HOLDS, Hour, Link, LinkDay
from chalicelib.sharing.schemas import FunnelDay
from tests.factories import NOW, PROGRAM, a_link, a_member, an_openid
from tests.harness.races import race, read_then_write
from tests.harness.rows import Plain
from tests.harness.streams import event
from tests.races.arena import CROWD, STORM, Arena, careless, insisting, rounds, unconditionally

pytestmark = pytest.mark.engine

TODAY = "2026-01-01"
ARRIVALS = ("chat", "group", "moments", "code", "other")


def opening(link: Link, visitor: int) -> Callable[[], Any]:
    """The visitor opens the link, some from a chat, some from moments."""
    scene = (1007, 1008, 1154, 1047, None)[visitor % 5]
    return lambda: visits.record(link=link, visitor=f"v-{visitor}", wx_scene=scene, now=NOW)


def funnel(link: Link, *, now: int) -> list[FunnelDay]:
    """What came of the link in a week."""
    return visits.funnel(code=link.code, sharer_id=link.sharer_id, days=7, now=now)


def check_counted(arena: Arena, link: Link, *, visitors: int, holds: int) -> list[Plain]:
    """Every visitor is in one row, once; no row but those of the last level holds more than it may."""
    counted = [row for row in arena.rows("visit_hour") if row["pk"].startswith(f"VISITS#{link.code}#")]
    seen = [visitor for row in counted for visitor in row["seen"]]
    assert len(seen) == len(set(seen)) == visitors, f"{len(seen)} counted, {len(set(seen))} of them different"
    for row in counted:
        assert row["n"] == len(row["seen"]) == sum(row.get(name, 0) for name in ARRIVALS), row["sk"]
        assert row["n"] <= holds or level_of(row) == len(LEVELS) - 1, f"{row['n']} in a row for {holds}"
    assert [day.opened for day in funnel(link, now=NOW)] == [visitors]
    return counted


def level_of(row: Plain) -> int:
    """The level that an hour row belongs to."""
    return int(row["pk"].rsplit("#", 1)[1].partition(".")[0])


def test_the_harness_sees_visitors_lost_when_the_rule_is_a_read(arena: Arena) -> None:
    link, crowd = a_link(sharer_id=a_member()), iter(range(8))
    key = Hour.key(link.code, hour="2026010110", level=0, visitor=b"")

    def read() -> Any:
        return get(Hour, key)

    def write(seen: Any) -> Row:
        n, others = (seen.n, seen.seen) if seen else (0, set())
        return unconditionally(Hour(*key, n=n + 1, chat=n + 1, seen=others | {bytes([next(crowd)] * 8)}))

    naive = read_then_write(read, write, parties=8)
    race(*[naive] * 8).expect(won=8)

    with pytest.raises(AssertionError, match="1 counted"):
        check_counted(arena, link, visitors=8, holds=96)


@rounds(STORM)
@pytest.mark.parametrize(
    ("cold", "holds", "crowd", "levels"), [(False, 96, 200, {0, 1}), (True, 2, 160, {0, 1, 2})]
)
def test_every_visitor_counts_once_while_the_link_heats_up(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, cold: bool, holds: int, crowd: int, levels: set[int]
) -> None:
    monkeypatch.setattr(visits, "ROW_HOLDS", holds)
    if cold:
        forget_full_rows(monkeypatch)
    link = a_link(sharer_id=a_member())
    opened = [opening(link, visitor) for visitor in [*range(crowd)] * 2]
    random.Random(arena.weather.seed).shuffle(opened)

    outcomes = arena.race(*opened)

    outcomes.expect(won=2 * crowd)
    assert len({visit.visit_id for visit in outcomes.winners}) == crowd
    counted = check_counted(arena, link, visitors=crowd, holds=holds)
    assert {level_of(row) for row in counted} == levels
    assert [row["n"] for row in counted if level_of(row) == 0] == [holds]


def forget_full_rows(patch: pytest.MonkeyPatch) -> None:
    """Every visit is counted by a process that has counted none before."""
    patch.setattr(visits, "_full", Cache(for_s=0))


@rounds(STORM)
def test_one_visitor_who_opens_many_links_at_once_counts_on_each(arena: Arena) -> None:
    links = [a_link(sharer_id=a_member()) for _ in range(8)]

    outcomes = arena.race(*[opening(link, visitor) for link in links for visitor in (1, 2)] * 4)

    outcomes.expect(won=64)
    for link in links:
        check_counted(arena, link, visitors=2, holds=96)


def check_folded_once(arena: Arena, *, opened: int, new_members: int) -> None:
    """The day's count was written once and is right, and so is the count beside it."""
    days = [one.new for one in arena.images("link_day") if one.new]
    assert {day["opened"] for day in days if "opened" in day} == {opened}
    rows = arena.rows("link_day")
    assert sum(row.get("new_members", 0) for row in rows) == new_members
    assert sum(row["rev"] for row in rows) == len(days) == 1 + new_members, "a closed day was folded again"


def reacting(record: Any) -> Callable[[], None]:
    """The stream's reader, which is given a record again for as long as it failed."""

    def react() -> None:
        if facts.handle_stream(event([record]), now=NOW)["batchItemFailures"]:
            raise Busy

    return insisting(react)


def answered() -> None:
    """What failed in the storm is a letter, which its job answers."""
    due.run(job=facts.JOB, worker="w", now=NOW + HOUR, seconds=9.0)


@rounds(STORM)
def test_a_closed_day_is_folded_once_while_reactions_count_beside_it(arena: Arena) -> None:
    link = a_link(sharer_id=a_member())
    race(*[opening(link, visitor) for visitor in range(100)]).expect(won=100)
    came = members.Came(link=link.code, visit_id="vis_a")
    for _ in range(16):
        members.find_or_register(proofs=[an_openid()], program_id=PROGRAM, now=NOW, came=came)
    reactions = [reacting(record) for record in arena.records()]
    readers = [functools.partial(funnel, link, now=NOW + 2 * DAY)] * (CROWD - 16)

    outcomes = arena.race(*readers, *reactions)

    outcomes.expect(won=len(readers) + len(reactions))
    answered()
    for days in outcomes.winners[: len(readers)]:
        assert [(day.day, day.opened) for day in days] == [(TODAY, 100)]
    check_folded_once(arena, opened=100, new_members=16)


def counting_when(condition: Condition) -> Callable[[Write], Write]:
    """Visits that are counted when only this holds, or the row is not there yet."""
    when = Hour.pk.does_not_exist() | condition
    return lambda write: replace(write, when=when) if isinstance(write.row, Hour) else write


def test_a_row_that_does_not_ask_for_the_visitor_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = a_link(sharer_id=a_member())
    careless(monkeypatch, counting_when(Hour.n < ROW_HOLDS))

    race(*[opening(link, 1)] * 8).expect(won=8)

    with pytest.raises(AssertionError):
        check_counted(arena, link, visitors=1, holds=96)


def test_a_row_that_does_not_ask_for_room_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "ROW_HOLDS", 1000)  # as good as none
    link = a_link(sharer_id=a_member())

    race(*[opening(link, visitor) for visitor in range(8)]).expect(won=8)

    with pytest.raises(AssertionError, match="8 in a row for 2"):
        check_counted(arena, link, visitors=8, holds=2)


def test_a_full_row_that_is_taken_for_every_visitor_of_the_hour_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going past a full row without a look whether the visitor is in it counts them again."""
    monkeypatch.setattr(visits, "ROW_HOLDS", 2)
    monkeypatch.setattr(visits, "_holds", lambda seen, visitor: False)
    link = a_link(sharer_id=a_member())

    race(*[opening(link, visitor % 4) for visitor in range(16)]).expect(won=16)

    with pytest.raises(AssertionError, match="4 of them different"):
        check_counted(arena, link, visitors=4, holds=2)


def test_a_fold_that_does_not_ask_whether_it_was_done_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = a_link(sharer_id=a_member())
    opening(link, 1)()
    careless(
        monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, LinkDay) else write
    )

    arena.collide(*[functools.partial(funnel, link, now=NOW + 2 * DAY)] * 8).expect(won=8)

    with pytest.raises(AssertionError, match="folded again"):
        check_folded_once(arena, opened=1, new_members=0)
