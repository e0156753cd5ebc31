"""A brand has ten programs at most, however many are added at once, and the count is what there is.

Not noticed here: that the count's row exists when a program is taken away. It is there since the first program
came, and the program's own delete is refused with it.
"""

import functools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write, get
from chalicelib.members import service as members
from chalicelib.members.models import Program, ProgramCount
from chalicelib.members.schemas import EditProgram
from tests.factories import NOW, a_program, an_operator
from tests.harness.races import race, read_then_write
from tests.races.arena import (
    CROWD,
    STORM,
    Arena,
    careless,
    overtaken,
    rounds,
    unconditionally,
)

pytestmark = pytest.mark.engine

AT_MOST = 10
OLGA = an_operator()


def adding(program_id: str, *, name: str = "Tea") -> Callable[[], Any]:
    """An operator adds a program of this id."""
    return lambda: members.add_program(a_program(program_id, name=name), by=OLGA, now=NOW)


def editing(program_id: str, *, name: str) -> Callable[[], Any]:
    """An operator tells a program anew."""
    told = a_program(program_id, name=name)
    given = EditProgram(**{field: getattr(told, field) for field in EditProgram.__struct_fields__})
    return lambda: members.edit_program(program_id, given, by=OLGA, now=NOW)


def removing(program_id: str) -> Callable[[], Any]:
    """An operator takes the program away."""
    return functools.partial(members.remove_program, program_id, by=OLGA, now=NOW)


def check_count(arena: Arena) -> int:
    """As many as are counted, and never more than ten or less than none."""
    there = len(arena.rows("program"))
    [count] = arena.rows("program_count") or [{"n": 0}]
    assert there == count["n"], f"{there} programs, {count['n']} counted"
    seen = [one.new["n"] for one in arena.images("program_count") if one.new]
    assert all(0 <= n <= AT_MOST for n in seen), f"counted up to {max(seen)}"
    return there


def check_audits(arena: Arena) -> None:
    """The operators' book has every coming and going, and nothing else."""
    changes = arena.images("program")
    came, went = (sum(getattr(one, side) is None for one in changes) for side in ("old", "new"))
    assert len(arena.rows("audit", action="program.added")) == came
    assert len(arena.rows("audit", action="program.removed")) == went


def test_the_harness_sees_too_many_when_the_rule_is_a_read(arena: Arena) -> None:
    for n in range(9):
        adding(f"p{n}")()
    names = iter(f"q{n}" for n in range(8))

    def read() -> Any:
        return get(ProgramCount, ProgramCount.key())

    def write(seen: ProgramCount) -> Row:
        assert seen.n < AT_MOST
        name = next(names)
        unconditionally(members._program_row(name, a_program(name)))
        return unconditionally(ProgramCount(*ProgramCount.key(), n=seen.n + 1, rev=seen.rev + 1))

    naive = read_then_write(read, write, parties=8)
    race(*[naive] * 8).expect(won=8)

    with pytest.raises(AssertionError, match="17 programs, 10 counted"):
        check_count(arena)


@rounds(STORM)
def test_of_many_programs_added_at_once_ten_are_there(arena: Arena) -> None:
    outcomes = arena.race(*[adding(f"p{n}") for n in range(CROWD)])

    outcomes.expect(won=AT_MOST, too_many_programs=CROWD - AT_MOST)
    assert check_count(arena) == AT_MOST
    check_audits(arena)


@rounds(STORM)
def test_one_program_added_many_times_is_one(arena: Arena) -> None:
    outcomes = arena.race(*[adding("tea", name=f"Tea {n % 2}") for n in range(CROWD)])

    outcomes.expect(won=CROWD // 2, program_exists=CROWD // 2)
    assert check_count(arena) == 1
    check_audits(arena)


@rounds(STORM)
def test_the_count_is_right_after_a_storm_of_adding_removing_and_editing(arena: Arena) -> None:
    dice, ids = random.Random(arena.weather.seed), [f"p{n}" for n in range(13)]
    calls = [adding(dice.choice(ids)) for _ in range(40)]
    calls += [removing(dice.choice(ids)) for _ in range(18)] + [editing(one, name="Mate") for one in ids[:6]]
    dice.shuffle(calls)

    outcomes = arena.race(*calls)

    outcomes.expect_won_or("too_many_programs", "program_exists", "not_found", "busy")
    check_count(arena)
    check_audits(arena)


def test_a_program_that_is_edited_while_it_is_removed_is_not_removed_unseen(arena: Arena) -> None:
    adding("tea")()
    with overtaken(arena.client, "TransactWriteItems", by=editing("tea", name="Mate")), pytest.raises(Busy):
        removing("tea")()

    assert {row["subject"] for row in arena.rows("audit")} == {"tea"}


def without(kind: type[Row], operation: str) -> Callable[[Write], Write]:
    """Writes of this kind whose condition is gone."""

    def change(write: Write) -> Write:
        meant = isinstance(write.row, kind) and write.operation == operation
        return replace(write, when=None) if meant else write

    return change


def test_a_count_that_does_not_ask_for_room_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    careless(monkeypatch, without(ProgramCount, "Update"))

    for n in range(AT_MOST + 1):
        adding(f"p{n}")()

    with pytest.raises(AssertionError, match="counted up to 11"):
        check_count(arena)


def test_a_program_that_does_not_ask_whether_it_is_new_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless(monkeypatch, without(Program, "Put"))

    race(*[adding("tea"), adding("tea")]).expect(won=2)

    with pytest.raises(AssertionError, match="1 programs, 2 counted"):
        check_count(arena)


def test_a_removal_that_does_not_ask_whether_it_is_there_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in ("tea", "mate"):
        adding(one)()
    careless(monkeypatch, without(Program, "Delete"))

    with overtaken(arena.client, "TransactWriteItems", by=removing("tea")):
        removing("tea")()

    with pytest.raises(AssertionError, match="1 programs, 0 counted"):
        check_count(arena)


def test_an_edit_that_brings_a_program_back_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    adding("tea")()
    careless(monkeypatch, without(Program, "Put"))

    with overtaken(arena.client, "TransactWriteItems", by=removing("tea")):
        editing("tea", name="Mate")()

    with pytest.raises(AssertionError, match="1 programs, 0 counted"):
        check_count(arena)
