"""What the stack's process has used, and what the stack still owes."""

import time
from dataclasses import dataclass
from pathlib import Path

from chalicelib.core import config, due, facts, table
from chalicelib.core.table import Row
from tests.races.arena import insisting

_LOOKS_EVERY_S = 0.5
RESTS_WITHIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a process has of the machine."""

    rss_mb: float
    threads: int


@dataclass(frozen=True, kw_only=True)
class Owed:
    """What is not done: facts that the stream has not brought yet, letters of reactions that failed, how long the
    oldest work is due, and rows that wait for a person.
    """

    facts: int
    letters: int
    oldest_due_s: int
    stuck: int


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look during the soak."""

    at_s: float
    used: Used
    owed: Owed


def used(process_id: int) -> Used:
    """As the kernel of Linux tells it."""
    status = (Path("/proc") / str(process_id) / "status").read_text(encoding="utf-8")
    told = dict(line.split(":", 1) for line in status.splitlines())
    return Used(rss_mb=int(told["VmRSS"].split()[0]) / 1024, threads=int(told["Threads"]))


def owed(*, now: int) -> Owed:
    """By the due index, past the stack."""
    waiting = [kind for kind, _ in _entries(facts.JOB, until=now + facts.OWED_AFTER_S + 60)]
    late = [at for job in due.jobs() for _, at in _entries(job, until=now)]
    return Owed(
        facts=len(waiting) - waiting.count("dead_letter"),
        letters=waiting.count("dead_letter"),
        oldest_due_s=now - min(late, default=now),
        stuck=len(due.stuck(*due.jobs(), limit=100).rows),
    )


def _entries(job: str, *, until: int) -> list[tuple[str, int]]:
    """Kind and time of what is due under a job, the oldest thousand of each shard."""
    shards = [f"{job}#{k}" for k in range(config.settings().due_shards)]
    found = [
        table.index("due", (Row.due_shard == shard) & (Row.due_at <= until), limit=1000)[0]
        for shard in shards
    ]
    return [(entry["kind"], entry["due_at"]) for some in found for entry in some]


def look(process_id: int, *, at_s: float) -> Look:
    """What the stack uses and owes now; asked again where the store has no time for it."""
    there = insisting(lambda: owed(now=int(time.time())))()
    return Look(at_s=at_s, used=used(process_id), owed=there)


def caught_up(*, within_s: float) -> float | None:
    """Wait until nothing is owed and nothing is due; how long that took, and None if it took longer."""
    begun = time.monotonic()
    while time.monotonic() < begun + within_s:
        there = insisting(lambda: owed(now=int(time.time())))()
        if not (there.facts or there.letters or there.oldest_due_s):
            return time.monotonic() - begun
        time.sleep(_LOOKS_EVERY_S)
    return None


def rested(process_id: int, *, threads: int) -> int:
    """The process's threads once they are no more than before, or when they had time enough."""
    give_up_at = time.monotonic() + RESTS_WITHIN_S
    while (now := used(process_id).threads) > threads and time.monotonic() < give_up_at:
        time.sleep(_LOOKS_EVERY_S)
    return now
