"""Adding, editing and removing programs when any call fails: counted once, audited, and told the same."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from chalicelib.core import cache, table
from chalicelib.core.errors import NotFound
from chalicelib.members import service as members
from chalicelib.members.schemas import EditProgram
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_program, books, emptied, only
from tests.harness.faults import each_fault
from tests.harness.rows import rows

TOLD = a_program("demo")
EDITED = EditProgram(
    appid="wx-new", secret_name="demo", name="The new name", kind="campaign", landing_page="pages/home/home"
)


@dataclass
class World:
    """What was answered."""

    names: list[str] = field(default_factory=list)


def nothing() -> World:
    emptied()
    return World()


def one_program() -> World:
    emptied()
    members.add_program(TOLD, by=OWNER, now=NOW)
    cache.clear_all()
    return World()


def add(world: World) -> None:
    world.names.append(members.add_program(TOLD, by=OWNER, now=NOW + len(world.names)).name)


def edit(world: World) -> None:
    world.names.append(members.edit_program("demo", EDITED, by=OWNER, now=NOW + 1).name)


def remove(world: World) -> None:
    members.remove_program("demo", by=OWNER, now=NOW + 1)


def audits(store: Store, action: str) -> list[dict[str, Any]]:
    return rows(store.client, "truth", kind="audit", action=action)


def test_adding_makes_one_program_counted_once_with_one_audit_row(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert set(world.names) == {TOLD.name}
        assert there == Counter(program=1, program_count=1, audit=1)
        assert there.only("program_count")["n"] == 1
        assert "demo" in members.programs(now=NOW)

    each_fault(add, client=table.client(), setup=nothing, check=check)


def test_editing_takes_effect_and_the_trail_shows_one_change(store: Store) -> None:
    def check(world: World) -> None:
        assert set(world.names) == {EDITED.name}
        assert only(store.client, "program")["name"] == EDITED.name
        changes = [row for row in audits(store, "program.edited") if row["before"] != row["after"]]
        assert len(changes) == 1

    each_fault(edit, client=table.client(), setup=one_program, check=check)


def test_editing_again_the_same_way_leaves_one_audit_row(store: Store) -> None:
    def check(world: World) -> None:
        assert len(audits(store, "program.edited")) == 1

    each_fault(edit, client=table.client(), setup=one_program, check=check)


def test_removing_counts_down_once_with_one_audit_row(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert there == Counter(program_count=1, audit=2)
        assert there.only("program_count")["n"] == 0
        assert len(audits(store, "program.removed")) == 1
        assert members.programs(now=NOW) == {}

    each_fault(remove, client=table.client(), setup=one_program, check=check, may_refuse=(NotFound,))
