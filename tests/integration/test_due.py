"""Jobs: what is due is done once, in a time box, by one worker a shard; what fails is tried ever more seldom."""

import math
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.core import config, due, table
from chalicelib.core.table import IntAttribute, Row
from chalicelib.operators import stuck
from infra.local.clients import Store
from tests.factories import NOW, OWNER, only
from tests.harness.counter import counting
from tests.harness.faults import Killed
from tests.harness.hostile import Hostile
from tests.harness.rows import rows
from tests.harness.wire import Call, Params, wrapped

JOB = "test-errands"
PAUSES_S = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


class Errand(Row, discriminator="test_errand"):
    """Something to be done at a time."""

    times = IntAttribute(null=True)


@dataclass
class Clerk:
    """The job's handler: notes what it was given, and may be told to do something else about it."""

    given: list[str] = field(default_factory=list)
    instead: Callable[[due.Entry, int], None] | None = None

    def __call__(self, entry: due.Entry, now: int) -> None:
        self.given.append(entry.pk)
        (self.instead or finish)(entry, now)


def finish(entry: due.Entry, now: int) -> None:
    done = (Errand.state.set("done"), Errand.times.add(1), *due.emptied())
    table.apply(
        table.update(
            Errand, (entry.pk, entry.sk), *done, when=Errand.state == "open", refuse=lambda _: KeyError()
        )
    )


def fail(entry: due.Entry, now: int) -> None:
    raise ValueError("no luck")


def nothing(entry: due.Entry, now: int) -> None:
    """Leaves the row as due as it was."""


@pytest.fixture
def clerk(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clerk]:
    """A job of this file's own."""
    there = Clerk()
    monkeypatch.setattr(due, "_handlers", {**due._handlers, JOB: there})
    yield there


def an_errand(pk: str = "ERRAND#1", *, at: int = NOW) -> None:
    table.apply(table.create(Errand(pk, "META", state="open", **due.slot(job=JOB, pk=pk, at=at, ref="go"))))


def run(*, worker: str = "w", now: int = NOW, seconds: float = 30) -> due.Ran:
    return due.run(job=JOB, worker=worker, now=now, seconds=seconds)


def test_what_is_due_is_done_and_what_is_not_yet_due_waits(store: Store, clerk: Clerk) -> None:
    an_errand("ERRAND#now")
    an_errand("ERRAND#later", at=NOW + 1)

    assert (run().handled, clerk.given) == (1, ["ERRAND#now"])
    assert (run(now=NOW + 1).handled, clerk.given[1:]) == (1, ["ERRAND#later"])


def test_every_shard_is_worked_and_every_page_of_it(
    store: Store, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.override(due_shards=4)
    monkeypatch.setattr(due, "PAGE", 2)
    names = [f"ERRAND#{number}" for number in range(13)]
    for name in names:
        an_errand(name)
    assert len({row["due_shard"] for row in rows(store.client, "truth", kind="test_errand")}) == 4

    assert (run().handled, sorted(clerk.given)) == (13, sorted(names))


def test_a_handler_is_given_what_it_needs_without_a_read(store: Store, clerk: Clerk) -> None:
    seen: list[due.Entry] = []
    clerk.instead = lambda entry, now: seen.append(entry)
    an_errand()

    run()

    (entry,) = seen
    told = (entry.pk, entry.sk, entry.kind, entry.due_shard, entry.due_at, entry.due_ref)
    assert told == ("ERRAND#1", "META", "test_errand", f"{JOB}#0", NOW, "go")


def test_a_job_with_nothing_due_reads_one_page_and_writes_nothing(store: Store, clerk: Clerk) -> None:
    for number in range(5):
        an_errand(f"ERRAND#{number}", at=NOW + 999)

    with counting(table.client()) as spent:
        run()

    assert (spent.operations, spent.table_units) == ({"Query": 1}, 0)


# --- failing ------------------------------------------------------------------------------------------------


def test_what_fails_is_tried_again_with_growing_pauses_and_is_stuck_after_the_tenth(
    store: Store, clerk: Clerk
) -> None:
    clerk.instead = fail
    an_errand()
    now, pauses = NOW, []
    for attempt in range(1, 10):
        assert run(now=now).failed == 1
        row = only(store.client, "test_errand")
        assert (row["attempts"], row["last_error"]) == (attempt, "ValueError: no luck")
        assert run(now=row["due_at"] - 1) == due.Ran()
        pauses.append(row["due_at"] - now)
        now = row["due_at"]

    assert run(now=now).failed == 1

    assert pauses == PAUSES_S
    row = only(store.client, "test_errand")
    assert (row["due_shard"], row["due_at"], row["attempts"]) == (f"stuck#{JOB}", now, 10)
    assert run(now=now + 999_999) == due.Ran()
    assert len(clerk.given) == 10


def a_stuck_errand(store: Store, clerk: Clerk) -> int:
    clerk.instead = fail
    an_errand()
    now = NOW
    for _ in range(due.FAILURES):
        run(now=now)
        now = only(store.client, "test_errand")["due_at"]
    clerk.instead = None
    return now


def test_what_is_stuck_is_listed_with_its_reason_and_a_person_gives_it_ten_more_tries(
    store: Store, clerk: Clerk
) -> None:
    now = a_stuck_errand(store, clerk)
    (waiting,) = stuck.listed(limit=10)[0]
    stuck_id, job, row = waiting.id, waiting.trouble.job, waiting.row
    assert (job, row.pk, row.attempts, row.last_error) == (JOB, "ERRAND#1", 10, "ValueError: no luck")

    stuck.retry(stuck_id=stuck_id, by=OWNER, now=now + 5)

    assert stuck.listed(limit=10)[0] == []
    assert run(now=now + 5).handled == 1
    done = only(store.client, "test_errand")
    assert (done["state"], done["times"]) == ("done", 1) and "due_at" not in done
    audit = only(store.client, "audit")
    assert (audit["action"], audit["subject"], audit["by"]) == (
        "stuck.retried",
        "ERRAND#1 META",
        OWNER.key_id,
    )


def test_a_retried_row_has_all_its_ten_tries_again(store: Store, clerk: Clerk) -> None:
    now = a_stuck_errand(store, clerk)
    (waiting,) = stuck.listed(limit=10)[0]
    stuck_id = waiting.id
    stuck.retry(stuck_id=stuck_id, by=OWNER, now=now)
    clerk.instead = fail

    run(now=now)

    row = only(store.client, "test_errand")
    assert (row["attempts"], row["due_at"] - now, row["due_shard"]) == (1, 30, f"{JOB}#0")


def test_one_failure_holds_up_nothing_else_and_is_not_tried_twice_in_a_run(
    store: Store, clerk: Clerk
) -> None:
    def bad_luck_for_the_second(entry: due.Entry, now: int) -> None:
        (fail if entry.pk == "ERRAND#2" else finish)(entry, now)

    clerk.instead = bad_luck_for_the_second
    for number in (1, 2, 3):
        an_errand(f"ERRAND#{number}", at=NOW - 5000)

    ran = run()

    assert (ran.handled, ran.failed, sorted(clerk.given)) == (2, 1, ["ERRAND#1", "ERRAND#2", "ERRAND#3"])


def test_what_another_has_done_meanwhile_is_not_postponed(store: Store, clerk: Clerk) -> None:
    def done_by_another_first(entry: due.Entry, now: int) -> None:
        finish(entry, now)
        raise ValueError("too late")

    clerk.instead = done_by_another_first
    an_errand()

    assert run().failed == 1

    row = only(store.client, "test_errand")
    assert (row["state"], row["times"]) == ("done", 1)
    assert not {"due_at", "due_shard", "attempts", "last_error"} & row.keys()


@pytest.mark.parametrize(("job", "at"), [("test-others", NOW), (JOB, NOW + 500)])
def test_what_was_made_due_otherwise_meanwhile_is_left_as_it_is(
    store: Store, clerk: Clerk, job: str, at: int
) -> None:
    def moved_by_another_first(entry: due.Entry, now: int) -> None:
        moved = due.moved(job=job, pk=entry.pk, at=at)
        table.apply(table.update(Errand, (entry.pk, entry.sk), *moved, refuse=lambda _: KeyError()))
        raise ValueError("too late")

    clerk.instead = moved_by_another_first
    an_errand()

    assert run().failed == 1

    row = only(store.client, "test_errand")
    assert (row["due_shard"], row["due_at"]) == (f"{job}#0", at)
    assert not {"attempts", "last_error"} & row.keys()


# --- runs, workers and clocks -------------------------------------------------------------------------------


def test_what_a_handler_leaves_due_is_handled_once_a_run(store: Store, clerk: Clerk) -> None:
    clerk.instead = nothing
    an_errand()

    assert (run().handled, run(now=NOW + 60).handled) == (1, 1)
    assert len(clerk.given) == 2


def test_an_index_that_still_shows_what_was_done_makes_nobody_do_it_again(store: Store, clerk: Clerk) -> None:
    an_errand()
    stale: list[Params] = []

    def late(below: Call, operation: str, params: Params) -> Params:
        if params.get("IndexName") != "due":
            return below(operation, params)
        stale.append(stale[0] if stale else below(operation, params))
        return stale[-1]

    with wrapped(table.client(), late):
        ran = run()

    assert (ran.handled, ran.failed, clerk.given) == (1, 0, ["ERRAND#1"])
    assert len(stale) >= 3


def test_an_index_that_lags_delays_work_and_loses_none(store: Store, clerk: Clerk) -> None:
    with Hostile(table.client(), dice=random.Random(1), index_delay=math.inf) as hostile:
        an_errand()
        assert run() == due.Ran()
        assert hostile.counts["late"] == 1

    assert run().handled == 1


@dataclass
class Watch:
    """Stands in for `time` in the jobs: it moves when a handler says so."""

    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds


def test_the_time_box_ends_a_run_and_the_next_goes_on(
    store: Store, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    monkeypatch.setattr(due, "time", watch)

    def slowly(entry: due.Entry, now: int) -> None:
        finish(entry, now)
        watch.seconds += 10

    clerk.instead = slowly
    for number in range(5):
        an_errand(f"ERRAND#{number}")

    assert (run(seconds=25).handled, len(clerk.given)) == (3, 3)
    assert (run(worker="another", seconds=25).handled, len(set(clerk.given))) == (2, 5)


def errands_in(shards: int, count: int) -> dict[str, list[str]]:
    """So many errands over so many shards, none of them without: the names by shard."""
    config.override(due_shards=shards)
    by_shard: dict[str, list[str]] = {}
    for number in range(count):
        name = f"ERRAND#{number}"
        an_errand(name)
        by_shard.setdefault(due.shard_of(JOB, name), []).append(name)
    assert len(by_shard) == shards
    return by_shard


def test_as_many_work_at_once_as_there_are_shards(store: Store, clerk: Clerk) -> None:
    by_shard = errands_in(4, 40)
    first_of_each = {names[0] for names in by_shard.values()}
    all_are_at_work = threading.Barrier(4, timeout=30)

    def meeting_the_others(entry: due.Entry, now: int) -> None:
        if entry.pk in first_of_each:
            all_are_at_work.wait()
        finish(entry, now)

    clerk.instead = meeting_the_others
    for names in by_shard.values():
        table.apply(table.update(Errand, (names[0], "META"), Errand.due_at.set(NOW - 9), refuse=KeyError))

    ran = run()

    assert (ran.handled, ran.failed, len(ran.seen)) == (40, 0, 40)
    assert sorted(clerk.given) == sorted(name for names in by_shard.values() for name in names)


def test_a_full_shard_takes_its_part_of_the_time_and_no_more(
    store: Store, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    monkeypatch.setattr(due, "time", watch)
    monkeypatch.setattr(due, "WORKERS", 1)
    by_shard = errands_in(2, 24)
    full, other = sorted(by_shard, key=lambda shard: -len(by_shard[shard]))

    def slow_in_the_full_one(entry: due.Entry, now: int) -> None:
        finish(entry, now)
        watch.seconds += 10 if entry.due_shard == full else 0

    clerk.instead = slow_in_the_full_one

    run(seconds=60)

    done = {row["pk"] for row in rows(store.client, "truth", kind="test_errand", state="done")}
    assert len(done & set(by_shard[full])) == 3
    assert set(by_shard[other]) <= done


def test_of_several_jobs_a_long_one_leaves_each_behind_it_a_little_and_the_last_all_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch, given = Watch(), {}
    monkeypatch.setattr(due, "time", watch)

    def taking(**told: Any) -> due.Ran:
        given[told["job"]] = told["seconds"]
        watch.seconds += {"short": 2.0, "long": told["seconds"]}.get(told["job"], 0.0)
        return due.Ran()

    monkeypatch.setattr(due, "run", taking)

    due.run_each(jobs=["short", "long", "idle", "last"], worker="w", now=NOW, seconds=40)

    assert given == {"short": 37, "long": 36, "idle": 1, "last": 2}


def test_a_second_run_works_the_shards_that_the_first_has_not_come_to(
    store: Store, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "WORKERS", 1)
    by_shard = errands_in(4, 40)
    second: list[due.Ran] = []
    held: list[str] = []

    def with_another_run_meanwhile(entry: due.Entry, now: int) -> None:
        if not held:
            held.append(entry.due_shard)
            second.append(run(worker="second"))
        finish(entry, now)

    clerk.instead = with_another_run_meanwhile

    first = run(worker="first")

    mine = len(by_shard[held[0]])
    assert (first.handled, second[0].handled) == (mine, 40 - mine)
    assert len(clerk.given) == len(set(clerk.given)) == 40


def test_runs_begin_with_different_shards() -> None:
    config.override(due_shards=8)

    orders = [due._in_turn(JOB, f"run-{number}") for number in range(50)]

    assert {frozenset(order) for order in orders} == {frozenset(orders[0])}
    assert len({order[0] for order in orders}) == len(orders[0]) == 8


def test_a_run_without_time_does_nothing(store: Store, clerk: Clerk) -> None:
    an_errand()

    assert run(seconds=0) == due.Ran()


def test_a_second_worker_passes_over_a_shard_that_is_being_worked(store: Store, clerk: Clerk) -> None:
    meanwhile: list[due.Ran] = []

    def with_another_run_meanwhile(entry: due.Entry, now: int) -> None:
        meanwhile.append(run(worker="second", now=now + 60))
        finish(entry, now)

    clerk.instead = with_another_run_meanwhile
    an_errand()

    assert run(worker="first").handled == 1
    assert meanwhile == [due.Ran()]


def test_a_worker_gives_its_lease_back(store: Store, clerk: Clerk) -> None:
    clerk.instead = nothing
    an_errand()

    assert run(worker="first").handled == run(worker="second").handled == 1


def test_the_lease_of_a_dead_worker_ends_by_time(store: Store, clerk: Clerk) -> None:
    def dies(entry: due.Entry, now: int) -> None:
        raise Killed

    clerk.instead = dies
    an_errand()
    with pytest.raises(Killed):
        run(worker="dead")
    clerk.instead = None

    assert run(worker="second", now=NOW + due.LEASE_S - 1) == due.Ran()
    assert run(worker="second", now=NOW + due.LEASE_S).handled == 1


def test_the_same_invocation_sent_again_has_its_lease_still(store: Store, clerk: Clerk) -> None:
    def dies(entry: due.Entry, now: int) -> None:
        raise Killed

    clerk.instead = dies
    an_errand()
    with pytest.raises(Killed):
        run(worker="event-1")
    clerk.instead = None

    assert run(worker="event-1", now=NOW + 1).handled == 1


def test_a_row_may_become_due_for_another_time_with_all_its_tries(store: Store, clerk: Clerk) -> None:
    an_errand()
    clerk.instead = fail
    run()
    moved = due.moved(job=JOB, pk="ERRAND#1", at=NOW + 500, ref="come")
    table.apply(table.update(Errand, ("ERRAND#1", "META"), *moved, refuse=lambda _: KeyError()))

    row: dict[str, Any] = only(store.client, "test_errand")

    assert (row["due_at"], row["due_ref"]) == (NOW + 500, "come")
    assert not {"attempts", "last_error"} & row.keys()
