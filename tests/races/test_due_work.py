"""Due work is done once: a shard has one worker at a time, and even without that nothing is done twice.

The index only proposes, so a handler asks for the row as it was proposed; the handler here is the smallest that
does. What fails comes again with pauses, and its tenth failure makes it stuck. "Still due as proposed" asks for
the time and the shard; either of them alone goes unnoticed, for whatever moves a row gives it another time.
"""

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from chalicelib.core import config, due, table
from chalicelib.core.clock import HOUR
from chalicelib.core.due import Entry, Lease
from chalicelib.core.table import IntAttribute, Row
from tests.factories import NOW, a_word
from tests.harness.races import Outcomes, race, read_then_write
from tests.harness.rows import Plain
from tests.races.arena import ROUGH, STORM, Arena, careless, insisting, rounds

pytestmark = pytest.mark.engine

JOB = "race_chores"
KIND = "race_chore"


class Chore(Row, discriminator=KIND):
    """Something to be done once; ``done`` says how often it was."""

    done = IntAttribute(null=True)


class Moved(Exception):
    """It is no longer due as it was proposed."""


def do(entry: Entry, now: int) -> None:
    """The smallest handler: the effect under the condition that it is still due."""
    as_proposed = (Chore.due_at == entry.due_at) & (Chore.due_shard == entry.due_shard)
    done = table.update(
        Chore,
        (entry.pk, entry.sk),
        Chore.done.add(1),
        *due.emptied(),
        when=as_proposed,
        refuse=lambda _: Moved(),
    )
    try:
        table.apply(done)
    except Moved:
        return


@dataclass
class Watched:
    """A handler and who was in it: how often a row was handled, how many worked on a shard at once."""

    handle: due.Handler
    takes_s: float = 0.0
    handled: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)
    most_inside: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, entry: Entry, now: int) -> None:
        self._note(entry, 1)
        try:
            time.sleep(self.takes_s)
            self.handle(entry, now)
        finally:
            self._note(entry, -1)

    def _note(self, entry: Entry, step: int) -> None:
        with self._lock:
            self.handled[entry.pk] += step == 1
            self.inside[entry.due_shard] += step
            self.most_inside = max(self.most_inside, self.inside[entry.due_shard])


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The handler of the job, watched."""
    watched = Watched(do)
    monkeypatch.setitem(due._handlers, JOB, watched)
    return watched


def a_chore(number: int) -> Chore:
    """A chore that is due."""
    pk = f"CHORE#{number:03d}"
    return Chore(pk, "META", **due.slot(job=JOB, pk=pk, at=NOW - number % 7))


def chores(count: int, *, shards: int = 1) -> None:
    """So many chores, over so many shards of the index."""
    config.override(due_shards=shards)
    for at in range(0, count, 50):
        table.transact([table.create(a_chore(number)) for number in range(at, min(at + 50, count))])


def working(*, at: int = NOW) -> Callable[[], due.Ran]:
    """A worker with a name of its own, who begins again when the store was busy."""
    worker = a_word("w")
    return insisting(lambda: due.run(job=JOB, worker=worker, now=at, seconds=300))


def run_in_the_weather(arena: Arena, workers: int) -> list[Outcomes]:
    """The job with so many workers at once: now, and twice later for what a storm made fail."""
    runs = []
    with arena.hostile(index_delay=0.02):
        for at in [NOW, NOW + HOUR, NOW + 3 * HOUR] if arena.weather.stormy else [NOW]:
            runs.append(race(*[working(at=at) for _ in range(workers)]))
            runs[-1].expect(won=workers)
    return runs


def check_done_once(arena: Arena, *, count: int) -> None:
    """Every chore was done once, is not due any more, and never was again."""
    there = arena.rows(KIND)
    assert len(there) == count
    assert all(row.get("done") == 1 for row in there), Counter(row.get("done") for row in there)
    assert all("due_shard" not in row for row in there), "done, and due again"
    changes = [one.new for one in arena.images(KIND) if one.old and one.new]
    assert not [row for row in changes if "done" in row and "due_shard" in row], "done, and due again"
    assert all(row["done"] <= 1 for row in changes if "done" in row)


def check_one_worker_a_shard(watched: Watched) -> None:
    """The lease was respected."""
    assert watched.most_inside == 1, f"{watched.most_inside} worked on one shard at once"


def test_the_harness_sees_a_chore_done_twice_when_the_rule_is_a_read(arena: Arena) -> None:
    chores(1)
    key = ("CHORE#000", "META")

    def write(seen: Chore | None) -> Row:
        assert seen is not None
        assert seen.due_shard
        return table.apply(table.upsert(Chore, key, Chore.done.add(1), *due.emptied()))

    naive = read_then_write(lambda: table.get(Chore, key), write, parties=8)
    race(*[naive] * 8).expect(won=8)

    with pytest.raises(AssertionError, match="8: 1"):
        check_done_once(arena, count=1)


@rounds(ROUGH, STORM)
@pytest.mark.parametrize(("workers", "shards"), [(2, 1), (8, 4)])
def test_workers_at_once_do_each_of_200_chores_once(
    arena: Arena, watched: Watched, workers: int, shards: int
) -> None:
    chores(200, shards=shards)

    first, *_ = run_in_the_weather(arena, workers)

    check_done_once(arena, count=200)
    check_one_worker_a_shard(watched)
    if not arena.weather.stormy:
        assert set(watched.handled.values()) == {1}
        assert sum(ran.handled for ran in first.winners) == 200


@rounds(STORM)
def test_without_leases_eight_workers_still_do_each_chore_once(
    arena: Arena, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a lease may run out under a slow worker."""
    monkeypatch.setattr(due, "_lease", lambda *_, **__: True)
    watched.takes_s = 0.001
    chores(100)

    run_in_the_weather(arena, 8)

    check_done_once(arena, count=100)
    with pytest.raises(AssertionError, match="worked on one shard at once"):
        check_one_worker_a_shard(watched)


def test_a_worker_who_died_keeps_the_shard_until_the_lease_is_over(arena: Arena, watched: Watched) -> None:
    chores(10)
    assert due._lease(f"{JOB}#0", worker="dead", now=NOW)

    race(*[working(at=NOW + due.LEASE_S - 1) for _ in range(8)]).expect(won=8)
    assert not watched.handled

    race(*[working(at=NOW + due.LEASE_S) for _ in range(8)]).expect(won=8)
    check_done_once(arena, count=10)
    check_one_worker_a_shard(watched)


def always_failing(entry: Entry, now: int) -> None:
    """A handler that cannot."""
    raise ValueError(entry.pk)


def check_attempts(arena: Arena, *, attempts: int) -> list[Plain]:
    """Every failure was counted once, on every row, and the tenth stopped the row."""
    there = arena.rows(KIND)
    assert {row["attempts"] for row in there} == {attempts}
    shards = {f"stuck#{JOB}"} if attempts == due.FAILURES else {f"{JOB}#0"}
    assert {row["due_shard"] for row in there} == shards
    for change in arena.images(KIND):
        if change.old and change.new:
            assert change.new["attempts"] == change.old.get("attempts", 0) + 1
    return there


@pytest.mark.parametrize("leases", [True, False], ids=["leases", "no leases"])
def test_what_fails_ten_times_is_stuck_and_left_alone(
    arena: Arena, watched: Watched, monkeypatch: pytest.MonkeyPatch, leases: bool
) -> None:
    watched.handle = always_failing
    if not leases:
        monkeypatch.setattr(due, "_lease", lambda *_, **__: True)
    chores(8)

    with arena.hostile():
        for attempt in range(1, due.FAILURES + 3):
            race(*[working(at=NOW + attempt * HOUR) for _ in range(3)]).expect(won=3)
            if attempt in (1, due.FAILURES - 1):
                check_attempts(arena, attempts=attempt)

    check_attempts(arena, attempts=due.FAILURES)
    if leases:
        assert set(watched.handled.values()) == {due.FAILURES}
    assert len(due.stuck(JOB, limit=100).rows) == 8


def postponing(entry: Entry) -> Callable[[], None]:
    """A worker notes that it failed."""
    return lambda: due.postpone(entry, ValueError("slow"), now=NOW)


def proposed(arena: Arena) -> list[Entry]:
    """What the index proposes."""
    names = list(Entry.__annotations__)
    return [Entry(**{name: row[name] for name in names}) for row in arena.rows(KIND)]


def check_done_or_due(arena: Arena) -> None:
    """What is done is not due, and what is not done is."""
    for row in arena.rows(KIND):
        assert ("done" in row) != ("due_shard" in row), "done, and due again"


@rounds(ROUGH, STORM)
def test_a_failure_noted_late_never_makes_done_work_due_again(arena: Arena) -> None:
    chores(32)
    entries = proposed(arena)

    sides: list[Callable[[], None]] = []
    for number, entry in enumerate(entries):
        pair: list[Callable[[], None]] = [postponing(entry), functools.partial(do, entry, NOW)]
        sides += pair if number % 2 else pair[::-1]
    outcomes = arena.race(*sides, meet=True)

    outcomes.expect(won=64)
    check_done_or_due(arena)
    assert len([row for row in arena.rows(KIND) if "done" in row]) not in (0, 32), "they never met"


def test_a_failure_that_does_not_ask_whether_it_is_still_due_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    chores(1)
    [entry] = proposed(arena)
    do(entry, NOW)
    careless(monkeypatch, lambda write: replace(write, when=None))

    postponing(entry)()

    with pytest.raises(AssertionError, match="done, and due again"):
        check_done_or_due(arena)


def test_a_lease_that_does_not_ask_whether_it_is_free_is_noticed(
    arena: Arena, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless(monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, Lease) else write)
    watched.takes_s = 0.005
    chores(20)

    race(*[working() for _ in range(4)]).expect(won=4)

    with pytest.raises(AssertionError, match="worked on one shard at once"):
        check_one_worker_a_shard(watched)
