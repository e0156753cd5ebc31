"""Whatever must happen at a time: rows with ``due_shard`` and ``due_at``, and the jobs that work them off.

A row becomes due by `slot`, in the write that makes it so, and stops being due by `emptied`, in the write that
did the work. A job asks the index what is due, under a lease per shard, inside a time box, and is safe to run
twice at once: the index only proposes, the handler's own condition decides. What fails is tried again with
growing pauses (to an hour); the tenth failure moves the row to ``stuck``, where operators see it.

    entity  pk                    sk     written by    read by
    Lease   LEASE#<job>#<shard>   META   run           run (one worker a shard)
"""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.update import Action

from chalicelib.core import config, moneyout, structs, table, telemetry
from chalicelib.core.clock import HOUR, MINUTE
from chalicelib.core.errors import NotFound
from chalicelib.core.table import IntAttribute, Row
from chalicelib.core.telemetry import about, count, logger, measure

FIRST_PAUSE_S = 30
FAILURES = 10
LEASE_S = 120
LATE_S = 3 * MINUTE
"""From when on what is due counts as late: jobs come every minute, and the lease of whoever died has ended."""
PAGE = 100
SHARE_S = 1.0
"""What each of several jobs has of their time, however long the others take."""
GATHERED_A_PAGE = 1000
GATHERED = 20_000
"""Entries of a shard that are looked at to put together what has the same ``due_ref``."""
WORKERS = 16
"""Shards that one run works at once; of more, each has its part of the time."""


class Lease(Row, discriminator="lease"):
    """Who works a due shard, and until when; a worker that died loses it by time."""

    holder = UnicodeAttribute()
    until = IntAttribute()

    @staticmethod
    def key(shard: str) -> table.Key:
        """Where the lease of a due shard is."""
        return f"LEASE#{shard}", "META"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the index says is due: enough to act without a read."""

    pk: str
    sk: str
    kind: str
    due_shard: str
    due_at: int
    due_ref: str


Handler = Callable[[Entry, int], None]
Together = Callable[[Sequence[Entry], int], None]


_handlers: dict[str, Handler] = {}
_together: dict[str, tuple[Together, int]] = {}
_late_after_s: dict[str, int] = {}
_sends_money: set[str] = set()


class Ran(msgspec.Struct):
    """What one run of a job did."""

    handled: int = 0
    failed: int = 0
    seen: set[tuple[str, str, int]] = msgspec.field(default_factory=set)


def handles(
    job: str, *, late_after_s: int = LATE_S, sends_money: bool = False
) -> Callable[[Handler], Handler]:
    """Declare the function that does what is due under ``job``; it takes an entry and ``now``.

    ``late_after_s``: for how long something may be due before it is told, of work that takes its time.
    ``sends_money``: it is left undone while money out is switched off.
    """

    def declare(handler: Handler) -> Handler:
        _handlers[job] = handler
        _late_after_s[job] = late_after_s
        if sends_money:
            _sends_money.add(job)
        return handler

    return declare


def handles_together(job: str, *, most: int) -> Callable[[Together], Together]:
    """Declare the function that does what is due under ``job`` for one ``due_ref``, ``most`` entries at a time.

    A batch that fails is tried again entry by entry, so that one that cannot be done holds up none of the others.
    """

    def declare(handler: Together) -> Together:
        _together[job] = (handler, most)
        return handler

    return declare


def slot(*, job: str, pk: str, at: int, ref: str = "") -> dict[str, Any]:
    """The attributes that make a new row due: ``Row(..., **slot(...))``."""
    return {"due_shard": shard_of(job, pk), "due_at": at, "due_ref": ref}


def moved(*, job: str, pk: str, at: int, ref: str = "") -> list[Action]:
    """The actions that make a row due at another time or for another job."""
    fresh = [Row.due_shard.set(shard_of(job, pk)), Row.due_at.set(at), Row.due_ref.set(ref)]
    return [*fresh, Row.attempts.remove(), Row.last_error.remove()]


def emptied() -> list[Action]:
    """The actions after which nothing is due on the row."""
    slot = (Row.due_shard, Row.due_at, Row.due_ref, Row.owed_rev, Row.attempts, Row.last_error)
    return [attribute.remove() for attribute in slot]


def slot_of(row: Row, *, pk: str) -> dict[str, Any]:
    """The attributes by which a copy of this row, under another ``pk``, is due like it; none if it is not."""
    if row.due_shard is None:
        return {}
    job, _, shard = row.due_shard.rpartition("#")
    return {"due_shard": shard_of(job, pk) if shard.isdigit() else row.due_shard}


def shard_of(job: str, pk: str) -> str:
    """The partition of the due index that holds this row's work for ``job``."""
    return f"{job}#{zlib.crc32(pk.encode()) % config.settings().due_shards}"


def run(*, job: str, worker: str, now: int, seconds: float) -> Ran:
    """Work off what is due under ``job`` for at most ``seconds``; ``worker`` is unique to this run.

    Every shard that has something due has a worker of its own, and none waits for a full one to end. A shard that
    another run holds is passed over.
    """
    # Looking first: a job that finds nothing, as most do, writes nothing.
    oldest = {shard: at for shard in _in_turn(job, worker) if (at := _oldest(shard, now=now)) is not None}
    full = list(oldest)
    rounds = -(-len(full) // WORKERS)
    _tell_late(job, min(oldest.values(), default=now), now=now)

    def work(shard: str) -> Ran:
        ran = Ran()
        if _lease(shard, worker=worker, now=now):
            _work(job, shard, ran, now=now, stop_at=time.monotonic() + seconds / rounds)
            _lease(shard, worker=worker, now=now, for_s=0)
        return ran

    return _added_up(_at_once(work, full))


def run_each(*, jobs: Sequence[str], worker: str, now: int, seconds: float) -> list[Ran]:
    """Work off several jobs in ``seconds``: each has all that is left but `SHARE_S` for every one behind it."""
    stop_at = time.monotonic() + seconds
    done = []
    for behind, job in zip(reversed(range(len(jobs))), jobs, strict=True):
        left = stop_at - time.monotonic() - behind * SHARE_S
        done.append(run(job=job, worker=worker, now=now, seconds=max(left, SHARE_S)))
    return done


def _in_turn(job: str, worker: str) -> list[str]:
    """The shards of a job, each run beginning with another one, so that runs at once spread over them."""
    count = config.settings().due_shards
    first = zlib.crc32(worker.encode())
    return [f"{job}#{(first + number) % count}" for number in range(count)]


def _at_once(work: Callable[[str], Ran], shards: Sequence[str]) -> list[Ran]:
    if len(shards) <= 1:
        return [work(shard) for shard in shards]
    from concurrent.futures import ThreadPoolExecutor

    structs.make_known()
    with ThreadPoolExecutor(min(WORKERS, len(shards))) as workers:
        return list(workers.map(work, shards))


def _added_up(parts: Sequence[Ran]) -> Ran:
    seen = set().union(*(part.seen for part in parts))
    return Ran(
        handled=sum(part.handled for part in parts), failed=sum(part.failed for part in parts), seen=seen
    )


def _work(job: str, shard: str, ran: Ran, *, now: int, stop_at: float) -> None:
    while time.monotonic() < stop_at:
        fresh = 0
        for portion in _portions(job, shard, now=now):
            if time.monotonic() >= stop_at or (job in _sends_money and moneyout.is_off()):
                return
            entries = [entry for entry in portion if (entry.pk, entry.sk, entry.due_at) not in ran.seen]
            if not entries:
                continue
            fresh += 1
            ran.seen.update((entry.pk, entry.sk, entry.due_at) for entry in entries)
            _attempt(job, entries, ran, now=now)
        if not fresh:
            return


def _portions(job: str, shard: str, *, now: int) -> Iterator[list[Entry]]:
    """What is due, one by one; or, of a job that works together, what has the same ``due_ref``."""
    if job not in _together:
        yield from ([entry] for entry in _due(shard, now=now))
        return
    most = _together[job][1]
    same: dict[str, list[Entry]] = {}
    for entry in islice(_due(shard, page=GATHERED_A_PAGE, now=now), GATHERED):
        same.setdefault(entry.due_ref, []).append(entry)
    for entries in same.values():
        yield from (entries[at : at + most] for at in range(0, len(entries), most))


def _attempt(job: str, entries: Sequence[Entry], ran: Ran, *, now: int) -> None:
    key = f"{entries[0].pk} {entries[0].sk}" if len(entries) == 1 else entries[0].due_ref
    with about(job=job, key=key, room=_room(job)):
        try:
            _together[job][0](entries, now) if job in _together else _handlers[job](entries[0], now)
            ran.handled += len(entries)
        except Exception as failure:
            if len(entries) > 1:
                logger.warning("due work failed together", entries=len(entries))
                for entry in entries:
                    _attempt(job, [entry], ran, now=now)
                return
            ran.failed += 1
            logger.exception("due work failed")
            postpone(entries[0], failure, now=now)


def _room(job: str) -> str:
    return telemetry.room_of(_together[job][0] if job in _together else _handlers[job])


def _oldest(shard: str, *, now: int) -> int | None:
    """Since when the first of a shard is due, if anything is."""
    condition = (Row.due_shard == shard) & (Row.due_at <= now)
    entries, _ = table.index("due", condition, limit=1)
    return _entry(entries[0]).due_at if entries else None


def _tell_late(job: str, oldest: int, *, now: int) -> None:
    """Tell how long the oldest waits, from what the run has read anyway; nothing while all is done in time.

    What waits because money out is off waits as it should.
    """
    late = now - oldest >= _late_after_s.get(job, LATE_S)
    if late and not (job in _sends_money and moneyout.is_off()):
        logger.warning("due work is late", job=job, room=_room(job), seconds=now - oldest)
        measure(telemetry.OLDEST_DUE, now - oldest, unit="Seconds", job=job)


def _due(shard: str, *, now: int, page: int = PAGE) -> Iterator[Entry]:
    after = None
    while True:
        condition = (Row.due_shard == shard) & (Row.due_at <= now)
        entries, after = table.index("due", condition, limit=page, after=after)
        for found in entries:
            yield _entry(found)
        if after is None:
            return


def _entry(found: dict[str, Any]) -> Entry:
    return Entry(
        pk=found["pk"],
        sk=found["sk"],
        kind=found["kind"],
        due_shard=found["due_shard"],
        due_at=found["due_at"],
        due_ref=found.get("due_ref", ""),
    )


class _Moved(Exception):
    """The row is no longer due as it was: somebody else has dealt with it."""


def postpone(entry: Entry, failure: Exception, *, now: int) -> None:
    """Try again later; the tenth failure makes the row stuck."""
    row = table.get(Row, (entry.pk, entry.sk))
    attempts = ((row.attempts if row else None) or 0) + 1
    job = entry.due_shard.rsplit("#", 1)[0]
    shard, pause = entry.due_shard, min(HOUR, FIRST_PAUSE_S * 2 ** (attempts - 1))
    if attempts >= FAILURES:
        shard, pause = stuck_shard(job), 0
        count(telemetry.STUCK_ROWS)
    actions = (
        Row.due_shard.set(shard),
        Row.due_at.set(now + pause),
        Row.attempts.set(attempts),
        Row.last_error.set(f"{type(failure).__name__}: {failure}"[:300]),
    )
    unmoved = (Row.due_at == entry.due_at) & (Row.due_shard == entry.due_shard)
    try:
        table.apply(
            table.update(Row, (entry.pk, entry.sk), *actions, when=unmoved, refuse=lambda _: _Moved())
        )
    except _Moved:
        logger.info("due work was done by another")


def jobs() -> list[str]:
    """Every job that has a handler in this process."""
    return sorted({*_handlers, *_together})


def stuck(*jobs: str, limit: int, after: table.Raw | None = None) -> table.Page:
    """The rows that wait for a person, job by job in this order, the oldest first, as they are now."""
    shards = [stuck_shard(job) for job in jobs]
    entries, next_key = table.chained("due", shards, limit=limit, after=after)
    rows = table.get_many([(Row, (entry["pk"], entry["sk"])) for entry in entries]) if entries else []
    return table.Page([row for row in rows if row is not None and row.due_shard in shards], next_key)


def stuck_shard(job: str) -> str:
    """The partition of the due index where rows of ``job`` wait for a person; no job works it."""
    return f"stuck#{job}"


def handed_over(job: str, *, at: int, why: str) -> list[Action]:
    """The actions that hand a row over to a person at once, without ten tries."""
    waits = (Row.due_shard.set(stuck_shard(job)), Row.due_at.set(at), Row.last_error.set(why))
    return [*waits, Row.attempts.remove()]


def retried(key: table.Key, *, job: str, now: int) -> table.Write:
    """The write that gives a stuck row another ten tries, at once.

    Raises (when sent):
        NotFound: it is not stuck in this job.
    """
    actions = (Row.due_shard.set(shard_of(job, key[0])), Row.due_at.set(now), Row.attempts.remove())
    return table.update(Row, key, *actions, when=Row.due_shard == stuck_shard(job), refuse=NotFound)


class _Held(Exception):
    """Another worker has the lease."""


def _lease(shard: str, *, worker: str, now: int, for_s: int = LEASE_S) -> bool:
    free = Lease.pk.does_not_exist() | (Lease.until <= now) | (Lease.holder == worker)
    actions = (Lease.holder.set(worker), Lease.until.set(now + for_s))
    try:
        table.apply(table.upsert(Lease, Lease.key(shard), *actions, when=free, refuse=lambda _: _Held()))
    except _Held:
        return False
    return True
