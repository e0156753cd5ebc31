"""The section of docs/performance.md: what was run, what came of it, where it bends and what to raise."""

import textwrap
from collections.abc import Callable, Sequence

from bench import page, plot
from bench.cost.deployed import ONE_PROCESSOR_MB
from bench.plot import Line
from bench.scale import claims, expiring, jobs, settling, storm, visits
from bench.scale.claims import Sale, Sold
from bench.scale.expiring import Ended, Minute
from bench.scale.jobs import Portion
from bench.scale.limits import NEW_TABLE_WRITES, SOURCES, TABLE_QUOTA
from bench.scale.running import SEED
from bench.scale.settling import Month, Settled
from bench.scale.storm import Came, Crowd
from bench.scale.visits import Levels, Rush, Rushed
from tests import proof

HEAD = """
The app's own code in virtual time, on {machine}, seed {seed}. **The app's own:** everything above botocore, which
is the choice of rows and shards, every condition, what a process remembers, how a refusal is judged, and the
waiting and trying again; of jobs the scheduled functions, their time boxes, shards, leases, pages and portions.
**Modelled:** DynamoDB, botocore's own repeats, the function's processes (each remembers for itself), and the work
of a job's handlers, which is recorded from the app's own handler (calls, rows, CPU) and played back call by call.

The model of DynamoDB: a partition takes 1,000 write and 3,000 read units a second [1]; a new table or index is
warm for 4,000 writes a second, of which each partition has its part, and can be warmed ahead [1, 2]; an index
that is full throttles its table [3]; writes that meet a transaction on their row are refused [4]. A call takes
what was measured in functions on AWS [5]: a single write 7.6 ms in the middle and 16 ms at the 99th percentile, a
transaction of five rows 25 ms and 93 ms. Not published, and assumed: a transaction owns its rows for all that it
takes longer than a single write, some 18 ms; a row is refused, and not queued, while it is owned; reads take as
long as writes. Left out: bursts above the limits and splitting for heat, which AWS gives at best effort and says
no times of; cold starts; the network; CPU of requests, which other sections have.
"""


def section(*, quick: bool = False) -> str:
    """All of it; ``quick``: as little as shows that it runs."""
    head = HEAD.format(machine=page.machine("botocore", "pynamodb", "moto"), seed=SEED).strip()
    parts = [of_claims(quick), of_visits(quick), of_a_storm(quick), of_settling(quick), of_expiring(quick)]
    told = [filled(paragraph) for paragraph in head.split("\n\n")]
    return "\n\n".join([*told, *parts, _sources()])


def filled(text: str) -> str:
    """A paragraph, as wide as the docs are."""
    return textwrap.fill(" ".join(text.split()), 116, break_on_hyphens=False, break_long_words=False)


def table(names: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """In Markdown."""
    return "".join(proof.line(*cells) for cells in [names, ["---"] * len(names), *lines]).rstrip()


def shown(name: str, svg: str, *, told: str, quick: bool) -> str:
    """A plot beside the page; of a quick run it is not kept."""
    return told if quick else plot.save(name, svg, told=told)


def _sources() -> str:
    return "\n".join(f"- [{number}] {where}" for number, where in SOURCES)


# --- claims ---------------------------------------------------------------------------------------------------

RATES = (10, 20, 25, 30, 40, 50, 70)
"""Claims a second and shard."""
SLICE, SLICE_S = 5, 8.0
"""Shards that are played to see what one bears, and for how long: what one bears, all do that stand beside it."""
ALL = 10_000


def of_claims(quick: bool) -> str:
    """Claims a second on one template."""
    rates, seconds = (RATES[:2], 1.0) if quick else (RATES, SLICE_S)
    slices = [claims.held(Sale(rate=rate * SLICE, seconds=seconds, shards=SLICE)) for rate in rates]
    whole = _whole(quick)
    parts = [
        "### Claims on one coupon template",
        filled(_CLAIMS.format(shards=SLICE, seconds=seconds, all=ALL)),
        table(_OF_CLAIMS, [_slice(one) for one in slices]),
        shown("claims", _drawn(slices), told="Refused claims and waiting by stock shards", quick=quick),
        filled(_WHOLE),
        table(_OF_WHOLE, [_line(name, one) for name, one in whole]),
        filled(_claims_bend(slices, whole)),
    ]
    return "\n\n".join(parts)


def _drawn(slices: Sequence[Sold]) -> str:
    def line(name: str, of: Callable[[Sold], float]) -> Line:
        return Line(name, [(ALL / _each(one), of(one)) for one in slices])

    return plot.lines(
        f"{ALL:,} claims a second on one coupon template",
        x="stock shards",
        y="% of claims, seconds",
        drawn=[
            line("refused as busy, %", lambda one: one.refused),
            line("99 % answered within, s", lambda one: one.outcomes.took_ms(0.99) / 1000),
            line("half answered within, s", lambda one: one.outcomes.took_ms(0.5) / 1000),
        ],
    )


_CLAIMS = """What one stock shard bears: {shards} of them, each with its part of the claims, for {seconds:.0f}
s; a claim is refused when it was told to come again later (503 busy) after fourteen tries or five seconds. The
second column is how many shards {all:,} claims a second then need."""
_WHOLE = """The whole of it, to see that shards do not disturb each other, and what else bends, each for some
seconds or less; the table and its indexes are warm for 80,000 writes a second unless told otherwise. The last
line is the assumption: were a row owned for half as long, a shard would bear twice as much."""
_OF_CLAIMS = (
    "claims/s a shard",
    f"shards for {ALL:,}/s",
    "claims",
    "refused, %",
    "conflicts a claim",
    "p50 ms",
    "p99 ms",
)
_OF_WHOLE = (
    "what",
    "claims/s",
    "shards",
    "refused, %",
    "conflicts a claim",
    "throttles a claim",
    "p50 ms",
    "p99 ms",
)


def _each(one: Sold) -> float:
    return one.sale.rate / one.sale.shards


def _whole(quick: bool) -> list[tuple[str, Sold]]:
    second, more = (0.02, 0.05) if quick else (0.5, 2.5)
    sales = [
        ("all of it", Sale(rate=ALL, seconds=second, shards=400)),
        ("a part, on a warm table", Sale(rate=1500, seconds=more, shards=150)),
        ("with DUE_SHARDS of 1", Sale(rate=1500, seconds=more, shards=150, due_shards=1)),
        ("on a new table", Sale(rate=1500, seconds=more, shards=150, warm_writes=NEW_TABLE_WRITES)),
        ("calls take half as long", Sale(rate=50 * SLICE, seconds=2 * more, shards=SLICE, times=0.5)),
    ]
    return [(name, claims.held(sale)) for name, sale in sales]


def _slice(one: Sold) -> list[object]:
    told = one.outcomes
    return [
        f"{_each(one):.0f}",
        f"{ALL / _each(one):,.0f}",
        f"{told.calls:,}",
        f"{one.refused:.2f}",
        f"{one.conflicts / told.calls:.2f}",
        f"{told.took_ms(0.5):.0f}",
        f"{told.took_ms(0.99):,.0f}",
    ]


def _line(name: str, one: Sold) -> list[object]:
    told = one.outcomes
    return [
        name,
        f"{one.sale.rate:,.0f}",
        f"{one.sale.shards:,}",
        f"{one.refused:.2f}",
        f"{one.conflicts / told.calls:.2f}",
        f"{one.throttles / told.calls:.2f}",
        f"{told.took_ms(0.5):.0f}",
        f"{told.took_ms(0.99):,.0f}",
    ]


def _claims_bend(slices: Sequence[Sold], whole: Sequence[tuple[str, Sold]]) -> str:
    fine = [one for one in slices if one.refused < 1]
    most = max(map(_each, fine), default=RATES[0])
    brisk = max((_each(one) for one in fine if one.outcomes.took_ms(0.99) < 1000), default=RATES[0])
    units = max(one.table_units for _, one in whole)
    return _CLAIMS_BEND.format(
        most=most,
        shards=ALL / most,
        brisk=brisk,
        brisk_shards=ALL / brisk,
        units=units,
        all_units=units * ALL,
        all=ALL,
        quota=TABLE_QUOTA,
    )


_CLAIMS_BEND = """**Where it bends.** A shard is owned by one transaction at a time. Up to {most:.0f} claims a
second a shard less than 1 % are refused, which is {shards:,.0f} shards for {all:,} a second; for a p99 below a
second it is {brisk:.0f} a shard, or {brisk_shards:,.0f} shards; a template has 400 at most. A claim takes
{units:.1f} write units of the table, so that {all:,} a second are {all_units:,.0f}, where the default quota of
a table is {quota:,} [6]. **What to raise:** `stock_shards` of the template; `DUE_SHARDS`, since every coupon's
end is an entry of the due index, of which one partition takes a thousand a second, and a full index throttles
the claims; and before the sale begins the warm throughput of the table and of its due index, with the table's
quota for more than this."""


# --- visits ---------------------------------------------------------------------------------------------------

WIDER: Levels = ((1, 1), (64, 1), (512, 8), (4096, 64))
"""The same rows a level over more partitions."""


def of_visits(quick: bool) -> str:
    """One link that everybody opens."""
    runs = _rushes(quick)
    held = [(name, visits.held(rush)) for name, rush in runs]
    bars = plot.bars(
        "Visits of one link that are counted while they come",
        y="counted a second",
        drawn=[(f"{name}, {one.rush.rate / 1000:.0f}k", one.each_second) for name, one in held],
    )
    return "\n\n".join(
        [
            "### One link that everybody opens",
            filled(_VISITS.format(part=PART)),
            table(_OF_VISITS, [_rushed(name, one) for name, one in held]),
            shown("visits", bars, told="Visits of one link that are counted a second", quick=quick),
            filled(_visits_bend()),
        ]
    )


_VISITS = """Every visit by somebody who was not there in this hour, which is the dearest case, for two seconds;
the table warm for 200,000 writes a second, and at most 3,000 processes, where an account has 1,000 unless it
asks for more [7]. An hour begins with one row; a row that has had 96 visitors is full, and the next level has
64 times as many rows. `level n`, or `n`: the levels before it were filled earlier in the hour, and every
process knows it and the link; `new`: none does, as when an hour has just begun. To be quick, it is played with
{part:.0%} of the visits, of the processes and of what a partition takes, which bends at the same place.
`counted at last`: what had to wait is counted when the rush is over. The last column is the part of the calls
that were refused by a full row, which tells a process to go past it."""
_OF_VISITS = (
    "when",
    "visits/s",
    "counted/s",
    "counted at last, %",
    "no process, %",
    "throttles a visit",
    "calls a visit",
    "p50 ms",
    "p99 ms",
    "met a full row, %",
)


PART = 0.05
"""Of one link's visits, processes and partitions, that is played."""


def _rushes(quick: bool) -> list[tuple[str, Rush]]:
    part = 0.002 if quick else PART
    told: tuple[tuple[str, int, int, bool, Levels | None], ...] = (
        ("level 1", 10_000, 1, True, None),
        ("level 2", 10_000, 2, True, None),
        ("level 2", 50_000, 2, True, None),
        ("level 3", 50_000, 3, True, None),
        ("2, wider", 50_000, 2, True, WIDER),
        ("2, new", 10_000, 2, False, None),
        ("3, new", 50_000, 3, False, None),
        ("3, new, wider", 50_000, 3, False, WIDER),
    )
    return [
        (name, Rush(rate=rate, seconds=2.0, full=full, part=part, known=known, levels=levels))
        for name, rate, full, known, levels in told
    ]


def _rushed(name: str, one: Rushed) -> list[object]:
    told, calls = one.outcomes, max(1, one.outcomes.calls)
    return [
        name,
        f"{one.rush.rate:,.0f}",
        f"{one.each_second:,.0f}",
        f"{told.share('ok'):.1f}",
        f"{told.share('turned away'):.1f}",
        f"{one.throttles / calls:.2f}",
        f"{one.sent / calls:.2f}",
        f"{told.took_ms(0.5):.0f}",
        f"{told.took_ms(0.99):,.0f}",
        f"{100 * one.full_refusals / one.sent:.0f}",
    ]


def _visits_bend() -> str:
    from chalicelib.sharing.models import LEVELS, ROW_HOLDS

    return _VISITS_BEND.format(
        takes=", ".join(f"level {n} {partitions * 1000:,}" for n, (partitions, _) in enumerate(LEVELS)),
        holds=", ".join(f"{partitions * rows * ROW_HOLDS:,}" for partitions, rows in LEVELS),
    )


_VISITS_BEND = """**Where it bends.** A level takes a thousand writes a second for each of its partitions:
{takes}; and it is full after {holds} visitors of an hour. A process that has not yet seen that a row is full
spends a write on finding out, so that all of them, new or at the beginning of an hour, press on the first row,
which takes a thousand a second, and then on the rows of the next level. A throttled call waits a second in
botocore and keeps its process, so that more are begun, and each of them asks the first row again. **What to
raise:** the partitions of `LEVELS` in `sharing/models.py`, as in the lines `wider`, at the price of as many
more queries when a link's visits are added up; the function's concurrency; the traffic table's warm throughput
and quota. It would help more if a process could learn by one read, and not by writes that are refused, which
rows of a link are full."""


# --- a storm --------------------------------------------------------------------------------------------------


def of_a_storm(quick: bool) -> str:
    """A crowd that wants into one group."""
    sizes = (50,) if quick else (200, 1000, 2000)
    crowds = [Crowd(people=n) for n in sizes] + [Crowd(people=sizes[-1], as_shown=True)]
    came = [storm.held(crowd) for crowd in crowds]
    return "\n\n".join(
        [
            "### A crowd that wants into one group",
            filled(_STORM),
            table(_OF_A_STORM, [_came(one) for one in came]),
            filled(_storm_bends(came)),
        ]
    )


_STORM = """All come within a second for the four free seats of a group of five; `in one call`: with the price
that the page showed, which saves the read before. In every run exactly four were seated and all others were
told that it is full, with the groups that can be joined instead."""
_OF_A_STORM: tuple[str, ...] = (
    "people",
    "in one call",
    "told full",
    "told busy",
    "last seat after s",
    "calls a person",
    "conflicts",
)
_OF_A_STORM += ("throttles", "slowest answer, s")


def _came(one: Came) -> list[object]:
    told = one.outcomes
    return [
        f"{one.crowd.people:,}",
        "yes" if one.crowd.as_shown else "no",
        f"{told.ended['group_full']:,}",
        f"{told.ended['busy']:,}",
        f"{one.full_after_s:.2f}",
        f"{one.calls.total() / told.calls:.1f}",
        f"{one.conflicts:,}",
        f"{one.throttles:,}",
        f"{one.slowest_s:.2f}",
    ]


def _storm_bends(came: Sequence[Came]) -> str:
    busiest = max(came, key=lambda one: one.throttles)
    return _STORM_BENDS.format(
        people=busiest.crowd.people,
        throttles=busiest.throttles,
        row=busiest.hottest,
    )


_STORM_BENDS = """**Where it bends.** All that is asked of a group lies in one partition: the group, which is
read before the seat is asked for and once more before another try, and the seats, among which who is refused is
looked for. It answers 3,000 reads a second. Of {people:,} people who came within one second, {throttles:,}
calls were throttled, most of them on `{row}`, and each of those waits for botocore's second and for another
try. **What to raise:** no setting; a process could remember for two seconds that a group is full, as it does
that a stock is empty."""


# --- jobs -----------------------------------------------------------------------------------------------------


def of_settling(quick: bool) -> str:
    """A million commissions that are due."""
    cost, deployed = settling.cost(), jobs.memory_mb()
    settings = ((1, deployed), (16, deployed), (16, ONE_PROCESSOR_MB), (32, ONE_PROCESSOR_MB))
    held = [settling.held(_month(one, mb, quick), cost) for one, mb in settings]
    drawn = [(f"{one.month.due_shards}, {one.month.memory_mb} MB", one.needed) for one in held]
    bars = plot.bars("Minutes to settle what is due, by DUE_SHARDS and memory", y="minutes", drawn=drawn)
    parts = [
        "### A million commissions that are due",
        filled(_settling_told(held[0], cost)),
        table(_OF_JOBS, [_settled(one) for one in held]),
        shown("settling", bars, told="Minutes to settle a million commissions", quick=quick),
        filled(_settling_bends(held)),
    ]
    return "\n\n".join(parts)


def _month(due_shards: int, memory_mb: int, quick: bool) -> Month:
    if quick:
        return Month(due_shards=due_shards, memory_mb=memory_mb, commissions=4000, promoters=200, minutes=1)
    return Month(due_shards=due_shards, memory_mb=memory_mb, minutes=1)


def _settling_told(first: Settled, cost: settling.Cost) -> str:
    return _SETTLING.format(
        n=first.month.commissions,
        promoters=first.month.promoters,
        own=1000 * cost.large.cpu_s,
        botocore=1000 * (cost.large.all_cpu_s - cost.large.cpu_s),
        minutes=first.minutes,
    )


_SETTLING = """{n:,} commissions of {promoters:,} promoters, due at once, by `run_room_jobs` as it is scheduled,
every minute, with what its time box leaves to settling. A portion of 98 took {own:.0f} ms of this machine's CPU
in the app's code and {botocore:.0f} ms in botocore; a function has a core at 1,769 MB and its part of one below
that [8], taken to be as fast as this one. Minutes played: {minutes}, with all of it due; the rest is in
proportion."""
_OF_JOBS = (
    "DUE_SHARDS",
    "memory, MB",
    "minutes played",
    "settled in them",
    "transactions",
    "commissions in each",
    "minutes for all",
)


def _settled(one: Settled) -> list[object]:
    return [
        one.month.due_shards,
        f"{one.month.memory_mb:,}",
        one.minutes,
        f"{one.done:,}",
        f"{one.transactions:,}",
        f"{one.done / one.transactions:.1f}",
        f"{one.needed:,.0f}",
    ]


def _settling_bends(held: Sequence[Settled]) -> str:
    from chalicelib.core import due

    slowest, fastest = max(held, key=lambda one: one.needed), min(held, key=lambda one: one.needed)
    return _SETTLING_BENDS.format(
        slowest=slowest.needed,
        shards=slowest.month.due_shards,
        mb=slowest.month.memory_mb,
        fastest=fastest.needed,
        fast_shards=fastest.month.due_shards,
        fast_mb=fastest.month.memory_mb,
        gathered=due.GATHERED,
    )


_SETTLING_BENDS = """**Where it bends.** From {slowest:,.0f} minutes with DUE_SHARDS of {shards} and {mb:,} MB
to {fastest:,.0f} with {fast_shards} and {fast_mb:,} MB. A worker puts together what is due to one promoter
among the first {gathered:,} entries of its shard; with few shards these hold one or two of each promoter, and
every transaction settles as few, at the CPU and the waiting of a whole one. More shards gather more of a
promoter's, and sixteen are worked at once; then the function's CPU is what they share. **What to raise:**
`DUE_SHARDS`, until all that is due to a promoter is gathered, and the memory of `run_room_jobs`; before it
begins every job of the function looks at every shard, one after the other."""


def of_expiring(quick: bool) -> str:
    """A hundred thousand groups that end in one minute."""
    cost, deployed, one_core = expiring.cost(), jobs.memory_mb(), ONE_PROCESSOR_MB
    few = ((1, deployed, 10), (16, deployed, 1), (16, deployed, 10), (16, deployed, 100))
    settings = (*few, (16, one_core, 10), (16, one_core, 100))
    held = [expiring.held(_minute(*one, quick), cost) for one in settings]
    drawn = [(_named(one), one.needed) for one in held]
    bars = plot.bars(
        "Minutes to end the groups, by DUE_SHARDS, memory, stock shards", y="minutes", drawn=drawn
    )
    parts = [
        "### A hundred thousand groups that end in one minute",
        filled(_expiring_told(held[0], cost[1])),
        table(_OF_ENDS, [_ended(one) for one in held]),
        shown("expiring", bars, told="Minutes to end a hundred thousand groups", quick=quick),
        filled(_expiring_bends(held)),
    ]
    return "\n\n".join(parts)


def _minute(due_shards: int, memory_mb: int, stock_shards: int, quick: bool) -> Minute:
    groups, minutes = (500, 1) if quick else (expiring.GROUPS, 1)
    return Minute(
        due_shards=due_shards, memory_mb=memory_mb, stock_shards=stock_shards, groups=groups, minutes=minutes
    )


def _expiring_told(first: Ended, two: Portion) -> str:
    return _EXPIRING.format(
        n=first.minute.groups,
        own=1000 * two.cpu_s,
        botocore=1000 * (two.all_cpu_s - two.cpu_s),
        minutes=first.minutes,
    )


_EXPIRING = """{n:,} groups of one campaign, half of them with one payer and half with two, by `expire_groups`
as it is scheduled, every minute. A group with two payers took {own:.1f} ms of this machine's CPU in the app's
code and {botocore:.1f} ms in botocore. Each gives its units back to the stock shard that it took them from,
which other groups do as well. Minutes played: {minutes}."""
_OF_ENDS: tuple[str, ...] = (
    "DUE_SHARDS",
    "memory, MB",
    "stock shards",
    "played, minutes",
    "done in them",
    "conflicts",
    "throttles",
)
_OF_ENDS += ("minutes for all",)


def _named(one: Ended) -> str:
    return f"{one.minute.due_shards}/{one.minute.memory_mb}/{one.minute.stock_shards}"


def _ended(one: Ended) -> list[object]:
    return [
        one.minute.due_shards,
        f"{one.minute.memory_mb:,}",
        one.minute.stock_shards,
        one.minutes,
        f"{one.done:,}",
        f"{one.conflicts:,}",
        f"{one.throttles:,}",
        f"{one.needed:,.0f}",
    ]


def _expiring_bends(held: Sequence[Ended]) -> str:
    slowest, fastest = max(held, key=lambda one: one.needed), min(held, key=lambda one: one.needed)
    return _EXPIRING_BENDS.format(
        slowest=slowest.needed, slow=_named(slowest), fastest=fastest.needed, fast=_named(fastest)
    )


_EXPIRING_BENDS = """**Where it bends.** From {slowest:,.0f} minutes (DUE_SHARDS, MB, stock shards: {slow}) to
{fastest:,.0f} ({fast}). With few stock shards the workers meet each other on them; with enough of them the
function's CPU is what they share, of which a Python process uses one core at most. **What to raise:** the
memory of `expire_groups`, `DUE_SHARDS` up to 16, and the campaign's `stock_shards`. Beyond that no setting
helps: the job would have to be several functions, each with some of the shards."""
