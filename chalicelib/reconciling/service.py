"""The rules of proving the books, in passes that a job makes by night.

**Daily, what moved.** Whatever moves a balance posts an entry, and whoever moves a group takes a seat; both are in
the owner index with their time. The pass reads that index from end to end, keys only, and proves the partitions of
what was listed since the day before: a million entries are 150 MB of index, 19,000 read units, and no posting pays.
What was frozen and is spent posts none: such an account is proved with its next entry, or by the month's pass.
**Monthly, in full.** The pass reads every row of the table once, consistently: it proves every partition it meets,
and adds up what each row uses of a counter that counts rows all over the table. When it began it noted the
counters' revisions; at its end it compares those that are unchanged, for of the others it cannot know. They are
counted as ``unjudged``: what is claimed without a pause for a whole pass is judged in a quieter month.

Every pass looks again at what is open in a partition; what adds up by then is marked gone, with when. Nothing is
ever mended here.

A pass is a row that is due, works a few pages at a time and keeps where it is. A slice's sums are written in the
transaction that moves the cursor, so that a slice that is read again, by whomever, is counted once.
"""

from collections import Counter as Added
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pynamodb.expressions.update import Action

from chalicelib.commissions import books as commissions
from chalicelib.core import clock, config, due, ledger, table
from chalicelib.core.books import Counter, Differs, Sum, Tally, Unsure
from chalicelib.core.cache import Cache
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.ledger import Account, Hold
from chalicelib.core.table import Page, Raw, Row, Write
from chalicelib.core.telemetry import count, logger
from chalicelib.coupons import books as coupons
from chalicelib.groupbuys import books as groupbuys
from chalicelib.points import books as points
from chalicelib.reconciling.models import Drift, Pass, Slice
from chalicelib.rewards import books as rewards

JOB = "reconcile"
MONTH = "#month"
"""How the names of the passes end that are in full."""
AT_HOUR, AT_MINUTE = 3, 30
PAGES = 4
PAGE: int | None = None
"""Rows of a page; None: as many as a megabyte holds."""
NUMBERS_A_ROW = 1000
SLICES_STAY_S = 60 * DAY
TALLIES: Sequence[Tally] = (groupbuys.STOCK, coupons.STOCK, points.EXCHANGES, rewards.PURSES)
_NOTHING_YET: dict[str, Any] = dict.fromkeys(("slices", "looked", "proved", "drifts", "unjudged"), 0)
_planned: Cache[bool] = Cache(for_s=DAY)


# --- the ledger ---------------------------------------------------------------------------------------------


def prove_account(pk: str) -> Differs | None:
    """Whether an account is what its entries add up to; in one read, and exactly when that says no.

    Raises:
        Unsure: it kept being posted to.
    """
    rows = table.query_all(Row, pk)
    account = next((row for row in rows if isinstance(row, Account)), Account(pk, "META"))
    entries = [row for row in rows if isinstance(row, ledger.Entry)]
    held = -sum(row.amount for row in entries if isinstance(row, Hold) and row.state == "frozen")
    if (account.balance or 0, account.frozen or 0) == (sum(row.amount for row in entries), held):
        return None
    _, owner, book = pk.split("#")
    drift = ledger.drift(owner=owner, book=book)
    says, adds_up = (drift.balance, drift.frozen), (drift.posted, drift.held)
    if says == adds_up:
        return None
    names = ("balance", "frozen")
    return Differs(says=dict(zip(names, says, strict=True)), adds_up=dict(zip(names, adds_up, strict=True)))


ACCOUNTS = Sum(name="accounts", kinds=frozenset({"account", "entry", "hold"}), prove=prove_account)
SUMS: Sequence[Sum] = (ACCOUNTS, groupbuys.GROUPS, commissions.MONTHS, commissions.COUNTS)


# --- passes -------------------------------------------------------------------------------------------------


def plan(*, now: int) -> None:
    """The passes of this day and this month are due tonight, or at once when the night is over; each once."""
    day = clock.local_day(now, zone=config.settings().zone)
    for name, full in ((f"{day[:7]}{MONTH}", True), (f"{day}#day", False)):
        if not _planned.peek(name, now=now):
            _plan(name, full=full, now=now)
            _planned.put(name, True, now=now)


def _plan(name: str, *, full: bool, now: int) -> None:
    pk, sk = Pass.key(name)
    local = datetime.fromtimestamp(now, config.settings().zone)
    at = int(local.replace(hour=AT_HOUR, minute=AT_MINUTE, second=0, microsecond=0).timestamp())
    slot = due.slot(job=JOB, pk=pk, at=at)
    row = Pass(pk, sk, state="running", full=full, since=at - DAY - HOUR, **_NOTHING_YET, **slot)
    try:
        table.apply(table.create(row))
    except table.Taken:
        logger.info("the pass is planned already", reconciling=name)


class _Moved(Exception):
    """Another has worked this slice."""


@dataclass
class _Seen:
    """What a slice has read."""

    cursor: Raw | None
    looked: int = 0
    partitions: set[tuple[int, str]] = field(default_factory=set)
    uses: Added[str] = field(default_factory=Added)


@due.handles(JOB)
def go_on(entry: due.Entry, now: int) -> None:
    """The next slice of a pass: its pages are read, its partitions proved; or, all being read, the judgement."""
    row = table.get(Pass, (entry.pk, entry.sk))
    if row is None or row.due_at != entry.due_at or row.state == "done":
        return
    try:
        if row.state == "judging":
            _judge(row, now=now)
        else:
            _work(row, now=now)
    except _Moved:
        logger.info("another has worked this slice", reconciling=row.sk)


def _work(row: Pass, *, now: int) -> None:
    revs = {_name(tally, one): one.rev for tally, one in _counters()} if row.full and not row.slices else {}
    seen = _read(row)
    drifts, unjudged = _prove(row, seen.partitions, now=now)
    ends = seen.cursor is None
    state = "running" if not ends else "judging" if row.full else "done"
    actions = [
        Pass.state.set(state),
        Pass.cursor.remove() if seen.cursor is None else Pass.cursor.set(seen.cursor),
        Pass.looked.add(seen.looked),
        Pass.proved.add(len(seen.partitions) - unjudged),
        Pass.unjudged.add(unjudged),
        *_next(row, state, drifts, now=now),
    ]
    parts = [*_kept(row, "REVS", revs, now=now), *_kept(row, f"USES#{row.slices:06d}", seen.uses, now=now)]
    table.transact([_moved(row, *actions), *parts])


def _next(row: Pass, state: str, drifts: int, *, now: int) -> list[Action]:
    """What every step of a pass notes, and when the next one is due: at once, and as another entry of the index."""
    noted = [Pass.slices.add(1), Pass.drifts.add(drifts)]
    if state == "done":
        return [*noted, Pass.ended_at.set(now), *due.emptied()]
    return [*noted, *due.moved(job=JOB, pk=row.pk, at=min((row.due_at or now) + 1, now))]


def _moved(row: Pass, *actions: Action) -> Write:
    as_read = (Pass.slices == row.slices) & (Pass.state == row.state)
    return table.update(Pass, (row.pk, row.sk), *actions, when=as_read, refuse=lambda _: _Moved())


def _kept(row: Pass, part: str, numbers: Mapping[str, int], *, now: int) -> Iterator[Write]:
    named = sorted(numbers.items())
    for at in range(0, len(named), NUMBERS_A_ROW):
        key = Slice.key(row.sk, f"{part}#{at // NUMBERS_A_ROW:03d}")
        some = dict(named[at : at + NUMBERS_A_ROW])
        yield table.create(Slice(*key, numbers=some, ttl=now + SLICES_STAY_S), refuse=lambda _: _Moved())


# --- reading and proving ------------------------------------------------------------------------------------


def _read(row: Pass) -> _Seen:
    """A few pages of the table, or of the owner index as far as it is of late."""
    seen = _Seen(cursor=row.cursor)
    for _ in range(PAGES):
        if row.full:
            items, seen.cursor = table.scan(limit=PAGE, after=seen.cursor)
        else:
            late = Row.listed_at >= f"{row.since:011d}"
            items, seen.cursor = table.scan(index="owner", when=late, limit=PAGE, after=seen.cursor)
        seen.looked += len(items)
        for item in items:
            _note(seen, item, full=row.full)
        if seen.cursor is None:
            break
    return seen


def _note(seen: _Seen, item: Raw, *, full: bool) -> None:
    kind, pk = item["kind"]["S"], item["pk"]["S"]
    proved_there = [n for n, one in enumerate(SUMS) if kind in one.kinds and pk.endswith(one.ends)]
    seen.partitions.update((n, pk) for n in proved_there)
    tallies = [one for one in TALLIES if kind in one.kinds] if full else []
    for tally in tallies:
        for key, units in tally.uses(table.decode(item)):
            seen.uses[f"{tally.name}#{key}"] += units


def _prove(row: Pass, partitions: set[tuple[int, str]], *, now: int) -> tuple[int, int]:
    """How many of them do not add up, and of how many that cannot be said; each of the former is told.

    The first slice proves what is open besides, wherever that lies.
    """
    drifts, unjudged, still_open = 0, 0, _open()
    if not row.slices:
        partitions |= _places(still_open.values())
    for n, pk in sorted(partitions):
        name, subject = SUMS[n].name, pk.partition("#")[2]
        try:
            differs = SUMS[n].prove(pk)
        except Unsure:
            unjudged += 1
            continue
        drifts += differs is not None
        if differs is not None:
            _tell(name, subject, differs, seen_in=row.sk, place=pk, now=now)
        elif (name, subject) in still_open:
            _gone(still_open[name, subject], seen_in=row.sk, now=now)
    return drifts, unjudged


def _places(found: Iterable[Drift]) -> set[tuple[int, str]]:
    books = {one.name: n for n, one in enumerate(SUMS)}
    return {(books[drift.book], drift.place) for drift in found if drift.place and drift.book in books}


def _counters() -> Iterator[tuple[Tally, Counter]]:
    return ((tally, one) for tally in TALLIES for one in tally.counters())


def _name(tally: Tally, one: Counter) -> str:
    return f"{tally.name}#{one.key}"


def _judge(row: Pass, *, now: int) -> None:
    """Compare the counters that nothing has changed since the pass began with what rows use of them."""
    revs, uses = _added_up(row)
    drifts, judged, unjudged, still_open = 0, 0, 0, _open()
    for tally, one in _counters():
        name = _name(tally, one)
        if revs.get(name) != one.rev:
            unjudged += 1
            continue
        judged += 1
        adds_up = dict.fromkeys(one.says, uses[name])
        if dict(one.says) != adds_up:
            drifts += 1
            _tell(tally.name, one.key, Differs(says=one.says, adds_up=adds_up), seen_in=row.sk, now=now)
        elif (tally.name, one.key) in still_open:
            _gone(still_open[tally.name, one.key], seen_in=row.sk, now=now)
    noted = (Pass.state.set("done"), Pass.proved.add(judged), Pass.unjudged.add(unjudged))
    table.apply(_moved(row, *noted, *_next(row, "done", drifts, now=now)))


def _added_up(row: Pass) -> tuple[dict[str, int], Added[str]]:
    revs: dict[str, int] = {}
    uses: Added[str] = Added()
    for part in table.query_all(Slice, Slice.key(row.sk, "")[0]):
        if part.sk.startswith("REVS#"):
            revs |= part.numbers
        else:
            uses.update(part.numbers)
    return revs, uses


# --- what is told -------------------------------------------------------------------------------------------


class _Told(Exception):
    """This pass has told it already, or another has since it was read."""


def _open() -> dict[tuple[str, str], Drift]:
    """What did not add up when it was last proved, by book and subject."""
    rows: list[Drift] = table.query_all(Drift, "DRIFTS")
    return {(row.book, row.subject): row for row in rows if row.gone_at is None}


def _gone(drift: Drift, *, seen_in: str, now: int) -> None:
    """Note that it adds up again, unless it was told meanwhile."""
    actions = (Drift.gone_at.set(now), Drift.gone_in.set(seen_in))
    as_read = Drift.rev == drift.rev
    try:
        table.apply(
            table.update(Drift, (drift.pk, drift.sk), *actions, when=as_read, refuse=lambda _: _Told())
        )
    except _Told:
        return
    logger.info("a number adds up again", book=drift.book, subject=drift.subject)


def _tell(
    book: str, subject: str, differs: Differs, *, seen_in: str, now: int, place: str | None = None
) -> None:
    """Keep both numbers for operators, and count them for the alarm, once a pass."""
    last = Drift.last_month if seen_in.endswith(MONTH) else Drift.last_day
    actions: list[Any] = [
        last.set(seen_in),
        Drift.book.set(book),
        Drift.subject.set(subject),
        Drift.says.set(dict(differs.says)),
        Drift.adds_up.set(dict(differs.adds_up)),
        Drift.first_seen_at.set(Drift.first_seen_at | now),
        Drift.seen_at.set(now),
        Drift.seen_in.set(seen_in),
        Drift.times.add(1),
        Drift.gone_at.remove(),
        Drift.gone_in.remove(),
        *([Drift.place.set(place)] if place else ()),
    ]
    anew = last.does_not_exist() | (last != seen_in) | Drift.gone_at.exists()
    try:
        table.apply(
            table.upsert(Drift, Drift.key(book, subject), *actions, when=anew, refuse=lambda _: _Told())
        )
    except _Told:
        return
    count("Drifts")
    logger.error(
        "a number does not add up", book=book, subject=subject, says=differs.says, is_=differs.adds_up
    )


def drifts(*, limit: int, after: Raw | None) -> Page:
    """The numbers that did not add up, book by book, also those that are gone by now."""
    return table.query(Drift, "DRIFTS", limit=limit, after=after)


def passes(*, limit: int, after: Raw | None) -> Page:
    """The passes, newest first."""
    return table.query(Pass, "RECONCILING", limit=limit, newest_first=True, after=after)
