"""Due work when any storage call fails or the worker is killed: done once, and retried once by a person."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from chalicelib.core import due, table
from chalicelib.core.errors import NotFound
from chalicelib.core.table import IntAttribute, Row
from chalicelib.operators import stuck
from infra.local.clients import Store
from tests.factories import NOW, OWNER, books, emptied, only
from tests.harness.faults import each_fault

pytestmark = pytest.mark.usefixtures("direct")

JOB = "test-chores"
KEY = ("CHORE#1", "META")


class Chore(Row, discriminator="test_fault_chore"):
    """Something to be done once: ``open``, then ``done``."""

    times = IntAttribute(null=True)


class NotYet(Exception):
    """It is not done."""


class _Done(Exception):
    """It was done before."""


@dataclass
class World:
    """The time, which every run moves on."""

    now: int = NOW
    runs: int = 0


@pytest.fixture(autouse=True)
def the_job(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A job of this file's own."""
    monkeypatch.setattr(due, "_handlers", {**due._handlers, JOB: do})
    yield


def do(entry: due.Entry, now: int) -> None:
    done = (Chore.state.set("done"), Chore.times.add(1), *due.emptied())
    try:
        table.apply(table.update(Chore, KEY, *done, when=Chore.state == "open", refuse=lambda _: _Done()))
    except _Done:
        return


def a_chore() -> World:
    emptied()
    table.apply(table.create(Chore(*KEY, state="open", **due.slot(job=JOB, pk=KEY[0], at=NOW))))
    return World()


def a_stuck_chore() -> World:
    world = a_chore()
    for _ in range(due.FAILURES):
        row = only(table.client(), "test_fault_chore")
        due.postpone(an_entry(row["due_at"]), ValueError("no luck"), now=row["due_at"])
    return world


def an_entry(due_at: int) -> due.Entry:
    return due.Entry(
        pk=KEY[0], sk=KEY[1], kind="test_fault_chore", due_shard=f"{JOB}#0", due_at=due_at, due_ref=""
    )


def run(world: World) -> None:
    """The next run, by another worker, when a lease that a killed one holds is over."""
    world.now += due.LEASE_S + 1
    world.runs += 1
    due.run(job=JOB, worker=f"run-{world.runs}", now=world.now, seconds=30)
    if only(table.client(), "test_fault_chore")["state"] != "done":
        raise NotYet


def test_what_is_due_is_done_once(store: Store) -> None:
    def check(world: World) -> None:
        row = only(store.client, "test_fault_chore")
        assert row["times"] == 1
        assert not {"due_at", "due_shard", "due_ref", "attempts", "last_error"} & row.keys()
        assert due.run(job=JOB, worker="after", now=world.now + 9999, seconds=30) == due.Ran()

    each_fault(run, client=table.client(), setup=a_chore, check=check, may_refuse=(NotYet,))


def test_a_failure_is_counted_once(store: Store) -> None:
    def check(world: World) -> None:
        row = only(store.client, "test_fault_chore")
        assert (row["attempts"], row["due_at"], row["due_shard"]) == (1, NOW + 30, f"{JOB}#0")
        assert row["last_error"] == "ValueError: no luck"

    def fail(world: World) -> None:
        due.postpone(an_entry(NOW), ValueError("no luck"), now=NOW)

    each_fault(fail, client=table.client(), setup=a_chore, check=check)


def test_what_was_stuck_is_retried_with_one_audit_row(store: Store) -> None:
    stuck_id = stuck.id_of(JOB, Chore(*KEY))

    def check(world: World) -> None:
        there = books(store.client)
        row = there.only("test_fault_chore")
        assert (row["due_shard"], row["due_at"]) == (f"{JOB}#0", NOW + 5000)
        assert "attempts" not in row
        assert there["audit"] == 1
        assert stuck.listed(limit=10)[0] == []

    def retry(world: World) -> None:
        stuck.retry(stuck_id=stuck_id, by=OWNER, now=NOW + 5000)

    each_fault(retry, client=table.client(), setup=a_stuck_chore, check=check, may_refuse=(NotFound,))
