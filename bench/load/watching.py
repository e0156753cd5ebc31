"""What the stack's process has used, and what the stack still owes."""

import time
from dataclasses import dataclass
from pathlib import Path

from infra.local.demo.telling import operator

CATCHES_UP_WITHIN_S = 300.0
_LOOKS_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a process has of the machine."""

    rss_mb: float
    threads: int


@dataclass(frozen=True, kw_only=True)
class Owed:
    """What is not done: facts whose reactions the stream has not brought yet, those among them that failed and are
    letters, how long the oldest work is due, and what waits for a person."""

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


def owed(url: str, *, now: int) -> Owed:
    """By the due index, past the stack, and by the operators' list."""
    from chalicelib.core import due, facts

    waiting = [kind for kind, _ in _entries(facts.JOB, until=now + facts.OWED_AFTER_S + 60)]
    late = [at for job in due.jobs() for _, at in _entries(job, until=now)]
    return Owed(
        facts=len(waiting) - waiting.count("dead_letter"),
        letters=waiting.count("dead_letter"),
        oldest_due_s=now - min(late, default=now),
        stuck=len(operator(url).call("GET", "/v1/admin/stuck")["items"]),
    )


def _entries(job: str, *, until: int) -> list[tuple[str, int]]:
    """Kind and time of what is due under a job, the oldest thousand of each shard."""
    from chalicelib.core import config, table
    from chalicelib.core.table import Row

    shards = [f"{job}#{k}" for k in range(config.settings().due_shards)]
    found = [
        table.index("due", (Row.due_shard == shard) & (Row.due_at <= until), limit=1000)[0]
        for shard in shards
    ]
    return [(entry["kind"], entry["due_at"]) for some in found for entry in some]


def caught_up(url: str) -> float:
    """Wait until nothing is owed and nothing is due; how long that took, and at most `CATCHES_UP_WITHIN_S`."""
    begun = time.monotonic()
    while time.monotonic() < begun + CATCHES_UP_WITHIN_S:
        there = owed(url, now=int(time.time()))
        if not (there.facts or there.letters or there.oldest_due_s):
            break
        time.sleep(_LOOKS_EVERY_S)
    return time.monotonic() - begun


def rested(process_id: int, *, threads: int) -> int:
    """The process's threads once they are no more than before, or after half a minute."""
    give_up_at = time.monotonic() + 30
    while (now := used(process_id).threads) > threads and time.monotonic() < give_up_at:
        time.sleep(_LOOKS_EVERY_S)
    return now
