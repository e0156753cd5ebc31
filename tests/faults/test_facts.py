"""Reactions when any storage call fails or the reader is killed: each happens once, and then nothing is owed."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from chalicelib.core import due, facts, table
from chalicelib.core.table import IntAttribute, Row, Write
from infra.local.clients import Store
from tests.factories import NOW, books, emptied, only
from tests.harness.faults import each_fault
from tests.harness.rows import stream_records
from tests.harness.streams import Record, event

pytestmark = pytest.mark.usefixtures("direct")

KEY = ("THING#1", "META")
TALLY = ("TALLY#1", "META")


class Thing(Row, discriminator="test_fault_thing"):
    """Something that happens once, and counts how often it was seen to."""

    FACTS = {(None, "made"): "test_fault.made"}
    seen = IntAttribute(null=True)


class Tally(Row, discriminator="test_fault_tally"):
    """How often it was reacted to."""

    n = IntAttribute(null=True)


class NotYet(Exception):
    """It is still owed."""


@dataclass
class World:
    """The fact as the stream brings it, and the time, which every run moves on."""

    records: list[Record] = field(default_factory=list)
    now: int = NOW


@pytest.fixture(autouse=True)
def one_reaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reaction that writes another row."""
    monkeypatch.setattr(facts, "_reactions", {})
    facts.reaction("test_fault.made", name="tally")(tally)


@pytest.fixture
def another_reaction(one_reaction: None) -> None:
    """A reaction that writes the row itself."""
    facts.reaction("test_fault.made", name="mark")(mark)


def tally(row: Row, now: int) -> Sequence[Write]:
    return [table.upsert(Tally, TALLY, Tally.n.add(1))]


def mark(row: Row, now: int) -> Sequence[Write]:
    return [table.update(Thing, KEY, Thing.seen.add(1), refuse=NotYet)]


def an_owed_fact() -> World:
    emptied()
    owed = facts.owed("test_fault.made", pk=KEY[0], rev=1, now=NOW)
    table.apply(table.create(Thing(*KEY, state="made", **owed)))
    return World(records=stream_records(table.client(), "truth"))


def a_fact_not_owed() -> World:
    emptied()
    table.apply(table.create(Thing(*KEY, state="made")))
    return World(records=stream_records(table.client(), "truth"))


def by_the_stream(world: World) -> None:
    """What failed of a fact that is not owed has left a letter, which the job answers."""
    failed = facts.handle_stream(event(world.records), now=NOW)
    if books(table.client())["dead_letter"]:
        world.now += facts.OWED_AFTER_S
        due.run(job=facts.JOB, worker=f"run-{world.now}", now=world.now, seconds=30)
    there = books(table.client())
    if failed["batchItemFailures"] or "due_at" in there.only("test_fault_thing") or there["dead_letter"]:
        raise NotYet


def by_the_job(world: World) -> None:
    """What a stream that is down leaves to the job; a lease that a killed worker holds is over by then."""
    world.now += facts.OWED_AFTER_S
    due.run(job=facts.JOB, worker=f"run-{world.now}", now=world.now, seconds=30)
    if "due_at" in only(table.client(), "test_fault_thing"):
        raise NotYet


@pytest.mark.usefixtures("another_reaction")
@pytest.mark.parametrize("setup", [an_owed_fact, a_fact_not_owed])
def test_each_reaction_happens_once_and_nothing_is_owed(store: Store, setup: Callable[[], World]) -> None:
    each_fault(
        by_the_stream,
        client=table.client(),
        setup=setup,
        check=lambda world: happened_once(store, reactions=2),
        may_refuse=(NotYet,),
    )


def test_each_reaction_happens_once_without_a_stream(store: Store) -> None:
    each_fault(
        by_the_job,
        client=table.client(),
        setup=an_owed_fact,
        check=lambda world: happened_once(store),
        may_refuse=(NotYet,),
    )


def test_what_the_stream_left_half_done_is_finished_by_the_job(store: Store) -> None:
    def both(world: World) -> None:
        facts.handle_stream(event(world.records), now=NOW)
        by_the_job(world)

    each_fault(
        both,
        client=table.client(),
        setup=an_owed_fact,
        check=lambda world: happened_once(store),
        may_refuse=(NotYet,),
    )


def happened_once(store: Store, *, reactions: int = 1) -> None:
    there = books(store.client)
    assert there == Counter(test_fault_thing=1, test_fault_tally=1, marker=reactions)
    thing = there.only("test_fault_thing")
    assert (there.only("test_fault_tally")["n"], thing.get("seen", 0)) == (1, reactions - 1)
    assert not {"due_at", "due_shard", "due_ref", "attempts", "last_error"} & thing.keys()
