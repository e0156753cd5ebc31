"""What a shop asks of AWS in a month, from what its people do in a day; and what that costs, line by line."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bench.cost import deployed
from bench.cost.operations import Operation, Sizes, Table, Work
from bench.cost.prices import Region

DAYS = 365 / 12
HOURS = DAYS * 24
SECONDS = HOURS * 3600
TEN_MINUTES = HOURS * 6
GB, MILLION = 1e9, 1e6
PAGES = ("the list of group-buys", "the page of a group", "the page of the check-in", "one's coupons")
DONE_BY: Mapping[str, Mapping[str, float]] = {
    "visits": {"a visit of a link": 1},
    "new": {"a first login, by a visit": 1},
    "logins": {"a later login": 1},
    "pages": {page: 1 / len(PAGES) for page in PAGES},
    "shares": {"a link is made": 1},
    "checkins": {"a check-in": 1},
    "claims": {"a coupon is claimed": 1},
    "uses": {"a coupon is used": 1},
    "groups": {"a group is opened": 1, "its head pays": 1},
    "joins": {"a seat is taken": 1, "the last one pays": 1},
    "completed": {"an order is completed": 1},
    "holds": {"a hold runs out": 1},
    "expiries": {"a group runs out": 1},
    "refusals": {"somebody is refused": 1},
}
"""Which operations what people do in a day is made of; groups are of two."""
A_THOUSAND_DO: Mapping[str, float] = {
    "visits": 150,
    "new": 2,
    "logins": 20,
    "pages": 600,
    "shares": 30,
    "checkins": 40,
    "claims": 20,
    "uses": 5,
    "groups": 4,
    "joins": 3,
    "completed": 6,
    "holds": 1,
    "expiries": 1,
    "refusals": 10,
}
"""What a thousand members are taken to do in a day: one in ten is there, looks at six pages, and so on."""
PARTS: Mapping[str, tuple[str, ...]] = {
    "API Gateway": ("api_requests",),
    "Lambda": ("invocations", "gb_seconds"),
    "DynamoDB, written": ("write_units",),
    "DynamoDB, read": ("read_units", "stream_reads"),
    "DynamoDB, kept and backed up": ("stored_gb", "backup_gb"),
    "CloudWatch, logs": ("log_gb", "log_stored_gb"),
    "CloudWatch, alarms and metrics": ("alarms", "metrics", "dashboards"),
    "Data to the internet": ("data_out_gb",),
}
PLATFORM = (
    "START RequestId: 00000000-0000-0000-0000-000000000000 Version: $LATEST\n",
    "END RequestId: 00000000-0000-0000-0000-000000000000\n",
    "REPORT RequestId: 00000000-0000-0000-0000-000000000000\tDuration: 12.34 ms\tBilled Duration: 13 ms\t"
    "Memory Size: 1024 MB\tMax Memory Used: 120 MB\t\n",
)
"""What Lambda itself says of every run, in the form of its developer guide."""
PLATFORM_BYTES = sum(map(len, PLATFORM))


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What no count says: how long a call of DynamoDB takes, transactions too, and what a run takes besides; the
    processor; how many different refusals there are in a month, each of which is a metric; that the log is said."""

    call_ms: float = 10.0
    run_ms: float = 10.0
    architecture: str = "x86_64"
    refusals: int = 5
    app_logs: bool = True
    platform_logs: bool = True


@dataclass(frozen=True, kw_only=True)
class Line:
    """So much of one thing, and what it costs; None where its price is not known."""

    part: str
    thing: str
    quantity: float
    amount: float | None


def use_of(members: float, **given: float | None) -> dict[str, float]:
    """What so many members do in a day; ``given``: what is known better."""
    usual = {name: members / 1000 * count for name, count in A_THOUSAND_DO.items()}
    return usual | {name: count for name, count in given.items() if count is not None}


def done_in(use: Mapping[str, float]) -> Counter[str]:
    """How often each operation is done, given what people do."""
    done: Counter[str] = Counter()
    for name, count in use.items():
        for operation, times in DONE_BY[name].items():
            done[operation] += count * times  # type: ignore[assignment]
    return done


def of_operation(one: Operation, assumed: Assumed) -> dict[str, float]:
    """What an operation asks for, but for what is kept of it."""
    size, written = one.sizes, one.at_once + one.after
    logged = size.logged * assumed.app_logs + (one.requests + one.after.runs) * _platform(assumed)
    return {
        "api_requests": one.requests,
        "invocations": one.requests + one.after.runs,
        "gb_seconds": _gb_seconds(one, assumed),
        "write_units": written.rows + written.entries,
        "read_units": written.reads,
        "log_gb": logged / GB,
        "data_out_gb": size.answered / GB,
    }


def month(use: Mapping[str, float], table: Table, assumed: Assumed) -> dict[str, float]:
    """What a shop asks for in a month in which it has been there for a year."""
    found: Counter[str] = Counter(idle(table, assumed))
    kept = Sizes()
    for name, times in done_in(use).items():
        one = table.operations[name]
        found.update({thing: DAYS * times * count for thing, count in of_operation(one, assumed).items()})
        kept += replace(one.sizes, **{part: getattr(one.sizes, part) * times * 365 for part in _KEPT})
    found["backup_gb"] += kept.rows / GB  # type: ignore[assignment]
    found["stored_gb"] += (kept.rows + kept.entries + kept.temporary) / GB  # type: ignore[assignment]
    found["log_stored_gb"] += found["log_gb"] * deployed.logs_stay_days() / DAYS  # type: ignore[assignment]
    found["metrics"] += 1 + assumed.refusals if use.get("refusals") else 0
    return dict(found)


_KEPT = ("rows", "entries", "temporary")


def idle(table: Table, assumed: Assumed) -> dict[str, float]:
    """What a shop asks for in a month in which nobody calls."""
    work = table.idle
    runs = work.runs * TEN_MINUTES
    seconds = (work.calls * assumed.call_ms + work.runs * assumed.run_ms) / 1000 * TEN_MINUTES
    return {
        "invocations": runs,
        "gb_seconds": seconds * deployed.memory_gb(api=False),
        "read_units": work.reads * TEN_MINUTES,
        "write_units": (work.rows + work.entries) * TEN_MINUTES,
        "stream_reads": len(deployed.READERS) * deployed.SHARDS * deployed.POLLS * SECONDS,
        "log_gb": runs * _platform(assumed) / GB,
        "alarms": deployed.alarms(jobs=round(work.runs / 10)),
        "dashboards": deployed.DASHBOARDS,
    }


def bill(asked: Mapping[str, float], region: Region, assumed: Assumed, *, allowance: bool) -> list[Line]:
    """What that costs in a region; ``allowance``: less what is free for good."""
    return [
        _line(part, thing, asked[thing], region, assumed, allowance=allowance)
        for part, things in PARTS.items()
        for thing in things
        if asked.get(thing)
    ]


def total(lines: Iterable[Line]) -> float:
    """The sum of what is known."""
    return sum(line.amount or 0.0 for line in lines)


def _line(
    part: str, thing: str, quantity: float, region: Region, assumed: Assumed, *, allowance: bool
) -> Line:
    name = f"gb_seconds_{assumed.architecture}" if thing == "gb_seconds" else thing
    price = region.prices.get(name)
    return Line(
        part=part,
        thing=name,
        quantity=quantity,
        amount=price.of(quantity, allowance=allowance) if price else None,
    )


def _platform(assumed: Assumed) -> int:
    return PLATFORM_BYTES if assumed.platform_logs else 0


def _gb_seconds(one: Operation, assumed: Assumed) -> float:
    own = Work(calls=one.at_once.calls, runs=one.requests)
    return sum(
        (work.calls * assumed.call_ms + work.runs * assumed.run_ms) / 1000 * deployed.memory_gb(api=api)
        for work, api in ((own, True), (one.after, False))
    )
