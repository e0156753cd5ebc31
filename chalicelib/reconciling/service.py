"""The rules of proving the books, in passes that a job makes by night.

**Daily, what moved.** Whatever moves a balance posts an entry, and whoever moves a group takes a seat; both are in
the owner index with their time. The pass reads that index from end to end, keys only, and proves the partitions of
what was listed since the day before: a million entries are 150 MB of index, 19,000 read units, and no posting pays.
What was frozen and is spent posts none: such an account is proved with its next entry, or by the month's pass.
**Monthly, in full.** The pass reads every row of the table once, consistently: it proves every partition it meets,
and adds up what each row uses of a counter that counts rows all over the table. When it began it noted the
counters' revisions; at its end it compares those that are unchanged, for of the others it cannot know. They are
counted as ``unjudged``: what is claimed without a pause for a whole pass is judged in a quieter month.

Every pass looks again, first, at what is open in a partition; what adds up by then is marked gone, with when.
Nothing is ever mended here.

A pass is a row that is due, works a slice at a time and keeps where it is. A slice's sums are written in the
transaction that moves the cursor, so that a slice that is read again, by whomever, is counted once. It ends after
so many proofs or seconds, wherever in a page that is, and a proof reads so many rows at most: no promoter, however
big, makes a slice longer than its function lives. Should one be killed again and again all the same, the others go
first.
"""

import time
from collections import Counter as Added
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.commissions import books as commissions
from chalicelib.core import clock, config, due, ledger, table, telemetry
from chalicelib.core.books import Counter, Differs, Sum, Tally, TooLarge, Unsure, read
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
PROOFS = 500
"""Numbers that a slice proves at most."""
SLICE_S = 5.0
"""What a slice has of the ten seconds between the end of a job's time and that of its function."""
OPEN_A_PAGE = 100
TRIES = 3
"""How often a slice is begun before the other passes have their turn."""
NUMBERS_A_ROW = 1000
SLICES_STAY_S = 60 * DAY
TALLIES: Sequence[Tally] = (groupbuys.STOCK, coupons.STOCK, points.EXCHANGES, rewards.PURSES)
_SUMS = ("looked", "proved", "drifts", "unjudged", "too_large")
_NOTHING_YET: dict[str, Any] = dict.fromkeys(("slices", *_SUMS), 0)
_planned: Cache[bool] = Cache(for_s=DAY)


# --- the ledger ---------------------------------------------------------------------------------------------


def prove_account(pk: str, now: int) -> Differs | None:
    """Whether an account is what its entries add up to; in one read, and exactly when that says no.

    Raises:
        Unsure: it kept being posted to. TooLarge: it has too many entries.
    """
    rows = read(Row, pk)
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
    row = Pass(pk, sk, state="looking_again", full=full, since=at - DAY - HOUR, **_NOTHING_YET, **slot)
    try:
        table.apply(table.create(row))
    except table.Taken:
        logger.info("the pass is planned already", reconciling=name)


def begin(*, now: int) -> str:
    """A pass in full that is due at once, besides those of the nights; its name."""
    name = f"{clock.local_day(now, zone=config.settings().zone)}#{now}{MONTH}"
    pk, sk = Pass.key(name)
    slot = due.slot(job=JOB, pk=pk, at=now)
    row = Pass(pk, sk, state="looking_again", full=True, since=now - DAY - HOUR, **_NOTHING_YET, **slot)
    table.apply(table.create(row))
    return name


class _Moved(Exception):
    """Another has worked this slice."""


class _Slice(msgspec.Struct):
    """What a slice has read and proved of its pass, and how it goes on."""

    row: Pass
    begun_at: int
    now: int
    known: Mapping[tuple[str, str], Drift]
    over_at: float
    state: str
    cursor: Raw | None
    place: str = ""
    sums: Added[str] = msgspec.field(default_factory=Added)
    proved: set[tuple[int, str]] = msgspec.field(default_factory=set)
    uses: Added[str] = msgspec.field(default_factory=Added)

    @property
    def over(self) -> bool:
        """Whether the next slice goes on from here; a step is made in any case, however slow the store is."""
        stepped = (self.state, self.cursor) != (self.row.state, self.row.cursor)
        return stepped and (len(self.proved) >= PROOFS or time.monotonic() >= self.over_at)

    def looks_again(self, drift: Drift) -> bool:
        """Whether a number is looked at before all others: it is open, or was until this slice was begun before."""
        return bool(drift.place) and (drift.gone_at is None or drift.gone_in == self.row.sk)

    def looked_again(self, drift: Drift | None) -> bool:
        """Whether a number that is met was looked at before: it was open when the pass began."""
        if drift is None or not self.looks_again(drift):
            return False
        noted = self.row.sk in (drift.again_day, drift.again_month, drift.gone_in)
        return noted or drift.first_seen_at < self.begun_at


@due.handles(JOB, late_after_s=DAY)
def go_on(entry: due.Entry, now: int) -> None:
    """The next slice of a pass: pages are read, their partitions proved; or, all being read, the judgement."""
    row = table.get(Pass, (entry.pk, entry.sk))
    if row is None or row.due_at != entry.due_at or row.state == "done":
        return
    try:
        if not _begun(row, now=now):
            return
        if row.state == "judging":
            _judge(row, now=now)
        else:
            _work(row, now=now)
    except _Moved:
        logger.info("another has worked this slice", reconciling=row.sk)


def _begun(row: Pass, *, now: int) -> bool:
    """Note that a slice is begun; one that was begun in vain again and again waits until others had their turn."""
    waits = (row.tries or 0) >= TRIES and (row.due_at or now) < now
    action = (Row.due_at.set(now), Pass.tries.remove()) if waits else (Pass.tries.add(1),)
    table.apply(_as_read(row, *action))
    if waits:
        logger.error("a slice does not come to its end", reconciling=row.sk, slice=row.slices)
    return not waits


def _work(row: Pass, *, now: int) -> None:
    revs = {_name(tally, one): one.rev for tally, one in _counters()} if row.full and not row.slices else {}
    it = _Slice(
        row=row,
        begun_at=row.begun_at or now,
        now=now,
        known=_known(),
        over_at=time.monotonic() + SLICE_S,
        state=row.state or "",
        cursor=row.cursor,
        proved={(n, pk) for n, pk in row.proved_last or ()},
    )
    if it.state == "looking_again":
        _look_again(it)
    if it.state == "running":
        _walk(it)
    actions = [
        Pass.state.set(it.state),
        Pass.cursor.remove() if it.cursor is None else Pass.cursor.set(it.cursor),
        Pass.begun_at.set(it.begun_at),
        Pass.proved_last.set([[n, pk] for n, pk in sorted(it.proved) if pk == it.place]),
        *_next(row, it.state, it.sums, now=now),
    ]
    parts = [*_kept(row, "REVS", revs, now=now), *_kept(row, f"USES#{row.slices:06d}", it.uses, now=now)]
    table.transact([_as_read(row, *actions), *parts])


def _next(row: Pass, state: str, sums: Mapping[str, int], *, now: int) -> list[Action]:
    """What every step of a pass notes, and when the next one is due: at once, and as another entry of the index."""
    noted = [Pass.slices.add(1), Pass.tries.remove()]
    noted += [getattr(Pass, name).add(n) for name, n in sums.items()]
    if state == "done":
        return [*noted, Pass.ended_at.set(now), *due.emptied()]
    return [*noted, *due.moved(job=JOB, pk=row.pk, at=min((row.due_at or now) + 1, now))]


def _as_read(row: Pass, *actions: Action) -> Write:
    as_read = Pass.slices == row.slices
    return table.update(Pass, (row.pk, row.sk), *actions, when=as_read, refuse=lambda _: _Moved())


def _kept(row: Pass, part: str, numbers: Mapping[str, int], *, now: int) -> Iterator[Write]:
    named = sorted(numbers.items())
    for at in range(0, len(named), NUMBERS_A_ROW):
        key = Slice.key(row.sk, f"{part}#{at // NUMBERS_A_ROW:03d}")
        some = dict(named[at : at + NUMBERS_A_ROW])
        yield table.create(Slice(*key, numbers=some, ttl=now + SLICES_STAY_S), refuse=lambda _: _Moved())


# --- reading and proving ------------------------------------------------------------------------------------


def _look_again(it: _Slice) -> None:
    """What was open when the pass began, wherever it lies."""
    books = {one.name: n for n, one in enumerate(SUMS)}
    while True:
        page = table.query(Drift, "DRIFTS", limit=OPEN_A_PAGE, after=it.cursor)
        for drift in page.rows:
            if it.over:
                return
            if it.looks_again(drift) and drift.book in books:
                _prove(it, books[drift.book], drift.place)
            it.cursor = {"pk": {"S": drift.pk}, "sk": {"S": drift.sk}}
        it.cursor = page.next_key
        if page.next_key is None:
            it.state = "running"
            return


def _walk(it: _Slice) -> None:
    """A few pages of the table, or of the owner index as far as it is of late; each row's partition is proved."""
    for _ in range(PAGES):
        items, next_key = _page(it)
        for item in items:
            if it.over:
                return
            _meet(it, item)
            it.cursor = _place_of(item, full=it.row.full)
        it.cursor = next_key
        if next_key is None:
            it.state = "judging" if it.row.full else "done"
            return


def _page(it: _Slice) -> tuple[list[Raw], Raw | None]:
    if it.row.full:
        return table.scan(limit=PAGE, after=it.cursor)
    late = Row.listed_at >= f"{it.row.since:011d}"
    return table.scan(index="owner", when=late, limit=PAGE, after=it.cursor)


def _place_of(item: Raw, *, full: bool) -> Raw:
    """Where a read goes on behind a row."""
    return {name: item[name] for name in (("pk", "sk") if full else ("pk", "sk", "owner", "listed_at"))}


def _meet(it: _Slice, item: Raw) -> None:
    kind, pk = item["kind"]["S"], item["pk"]["S"]
    it.sums["looked"], it.place = it.sums["looked"] + 1, pk
    for n, one in enumerate(SUMS):
        if kind in one.kinds and pk.endswith(one.ends):
            drift = it.known.get((one.name, _subject(pk)))
            if not it.looked_again(drift):
                _prove(it, n, pk)
    for tally in TALLIES if it.row.full else ():
        if kind in tally.kinds:
            for key, units in tally.uses(table.decode(item)):
                it.uses[f"{tally.name}#{key}"] += units


def _subject(pk: str) -> str:
    return pk.partition("#")[2]


def _prove(it: _Slice, n: int, pk: str) -> None:
    """Whether a partition's numbers add up, once in a slice; what does not is told, and what does again."""
    if (n, pk) in it.proved:
        return
    it.proved.add((n, pk))
    name, subject = SUMS[n].name, _subject(pk)
    try:
        differs = SUMS[n].prove(pk, it.now)
    except TooLarge:
        it.sums["too_large"] += 1
        logger.warning("more rows than a proof reads", book=name, subject=subject)
        return
    except Unsure:
        it.sums["unjudged"] += 1
        return
    it.sums["proved"] += 1
    drift = it.known.get((name, subject))
    if differs is not None:
        it.sums["drifts"] += 1
        again = it.state == "looking_again"
        _tell(name, subject, differs, seen_in=it.row.sk, place=pk, again=again, now=it.now)
    elif drift is not None and drift.gone_at is None:
        _gone(drift, seen_in=it.row.sk, now=it.now)


def _counters() -> Iterator[tuple[Tally, Counter]]:
    return ((tally, one) for tally in TALLIES for one in tally.counters())


def _name(tally: Tally, one: Counter) -> str:
    return f"{tally.name}#{one.key}"


def _judge(row: Pass, *, now: int) -> None:
    """Compare the counters that nothing has changed since the pass began with what rows use of them."""
    revs, uses = _added_up(row)
    sums: Added[str] = Added()
    known = _known()
    for tally, one in _counters():
        name = _name(tally, one)
        if revs.get(name) != one.rev:
            sums["unjudged"] += 1
            continue
        sums["proved"] += 1
        adds_up, drift = dict.fromkeys(one.says, uses[name]), known.get((tally.name, one.key))
        if dict(one.says) != adds_up:
            sums["drifts"] += 1
            _tell(tally.name, one.key, Differs(says=one.says, adds_up=adds_up), seen_in=row.sk, now=now)
        elif drift is not None and drift.gone_at is None:
            _gone(drift, seen_in=row.sk, now=now)
    table.apply(_as_read(row, Pass.state.set("done"), *_next(row, "done", sums, now=now)))


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


def _known() -> dict[tuple[str, str], Drift]:
    """What did not add up when it was last proved, or is gone, by book and subject."""
    rows: list[Drift] = table.query_all(Drift, "DRIFTS")
    return {(row.book, row.subject): row for row in rows}


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
    book: str,
    subject: str,
    differs: Differs,
    *,
    seen_in: str,
    now: int,
    place: str | None = None,
    again: bool = False,
) -> None:
    """Keep both numbers for operators, and count them for the alarm, once a pass."""
    month = seen_in.endswith(MONTH)
    last = Drift.last_month if month else Drift.last_day
    looked = (Drift.again_month if month else Drift.again_day,) if again else ()
    actions = [one.set(seen_in) for one in (last, Drift.seen_in, *looked)]
    actions += [Drift.place.set(place)] if place else []
    actions += _numbers(book, subject, differs, now=now)
    anew = last.does_not_exist() | (last != seen_in) | Drift.gone_at.exists()
    try:
        table.apply(
            table.upsert(Drift, Drift.key(book, subject), *actions, when=anew, refuse=lambda _: _Told())
        )
    except _Told:
        return
    count(telemetry.DRIFTS)
    logger.error(
        "a number does not add up", book=book, subject=subject, says=differs.says, is_=differs.adds_up
    )


def _numbers(book: str, subject: str, differs: Differs, *, now: int) -> list[Action]:
    return [
        Drift.book.set(book),
        Drift.subject.set(subject),
        Drift.says.set(dict(differs.says)),
        Drift.adds_up.set(dict(differs.adds_up)),
        Drift.first_seen_at.set(Drift.first_seen_at | now),
        Drift.seen_at.set(now),
        Drift.times.add(1),
        Drift.gone_at.remove(),
        Drift.gone_in.remove(),
    ]


def drifts(*, limit: int, after: Raw | None) -> Page:
    """The numbers that did not add up, book by book, also those that are gone by now."""
    return table.query(Drift, "DRIFTS", limit=limit, after=after)


def passes(*, limit: int, after: Raw | None) -> Page:
    """The passes, newest first."""
    return table.query(Pass, "RECONCILING", limit=limit, newest_first=True, after=after)
