"""The section of docs/performance.md, and the same tables for the reader's own shop."""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench import page
from bench.cost import deployed, monthly, server
from bench.cost.monthly import DAYS, GB, MILLION, Assumed, Line
from bench.cost.operations import KEPT_BESIDE, Operation, Table
from bench.cost.prices import Price, Region, Source, things
from tests import proof

SHOPS = (1_000, 100_000, 10_000_000)
PEAK = 5
"""How much more is asked in the busiest second than in the average one, taken to be so."""
CUT = ("location", "service")
"""What a line of the log says that its message or its log group says already."""
SYMBOLS = {"USD": "$", "CNY": "¥"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """All that the section is made of."""

    table: Table
    region: Region
    assumed: Assumed
    log_line: str


def filled(text: str) -> str:
    """A paragraph in lines of the house's length."""
    return textwrap.fill(" ".join(text.split()), 116, break_on_hyphens=False, break_long_words=False)


def table_of(names: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table, its numbers to the right."""
    ruler = ["---", *["---:"] * (len(names) - 1)]
    return "".join(proof.line(*cells) for cells in [names, ruler, *lines]).rstrip()


def money(amount: float | None, currency: str = "USD") -> str:
    """An amount with as many digits as it deserves."""
    if amount is None:
        return "?"
    digits = 0 if amount >= 100 else 2 if amount >= 0.1 or amount == 0 else 4
    return f"{SYMBOLS[currency]}{amount:,.{digits}f}"


# --- operations ---------------------------------------------------------------------------------------------


def by_operation(told: Told) -> str:
    """A million of each operation: what it asks for, and what that costs."""
    names = ("a million of", "calls", "written", "read", "runs", "API", "Lambda", "DynamoDB", "logs", "all")
    return table_of(names, [_operation(name, one, told) for name, one in told.table.operations.items()])


def _operation(name: str, one: Operation, told: Told) -> list[str]:
    asked = {thing: MILLION * count for thing, count in monthly.of_operation(one, told.assumed).items()}
    lines = monthly.bill(asked, told.region, told.assumed, allowance=False)
    work = one.at_once + one.after
    parts = [("API Gateway",), ("Lambda",), ("DynamoDB, written", "DynamoDB, read"), ("CloudWatch, logs",)]
    counts = [
        f"{work.calls}",
        f"{work.rows} + {work.entries}",
        f"{work.reads:g}",
        f"{one.requests + one.after.runs}",
    ]
    amounts = [sum(line.amount or 0 for line in lines if line.part in part) for part in parts]
    return [name, *counts, *map(money, amounts), money(monthly.total(lines))]


# --- shops --------------------------------------------------------------------------------------------------


def by_shop(told: Told) -> str:
    """Three shops and one where nobody calls, part by part, beside the server."""
    asked = [monthly.idle(told.table, told.assumed), *(_month(told, members) for members in SHOPS)]
    bills = [monthly.bill(one, told.region, told.assumed, allowance=False) for one in asked]
    less = [monthly.bill(one, told.region, told.assumed, allowance=True) for one in asked]
    beside = [server.bill(one, told.region, allowance=False) for one in asked]
    lines = [[part, *(money(_part(bill, part)) for bill in bills)] for part in monthly.PARTS]
    lines.append(["**all, a month**", *(f"**{money(monthly.total(bill))}**" for bill in bills)])
    lines.append(["less what is free for good", *(money(monthly.total(bill)) for bill in less)])
    lines.append(["requests in the busiest second", "0", *(f"{_peak(one):,.1f}" for one in asked[1:])])
    lines.append(["the server, a month", *(money(monthly.total(bill)) for bill in beside)])
    return table_of(("", "nobody calls", *(f"{members:,} members" for members in SHOPS)), lines)


def _cost(told: Told, members: float) -> str:
    lines = monthly.bill(_month(told, members), told.region, told.assumed, allowance=False)
    return money(monthly.total(lines))


def _month(told: Told, members: float) -> dict[str, float]:
    return monthly.month(monthly.use_of(members), told.table, told.assumed)


def _part(lines: Iterable[Line], part: str) -> float:
    return sum(line.amount or 0.0 for line in lines if line.part == part)


def _peak(asked: Mapping[str, float]) -> float:
    return asked["api_requests"] / DAYS / 86400 * PEAK


def use_words() -> str:
    """What a thousand members are taken to do in a day."""
    return ", ".join(f"{name} {count:g}" for name, count in monthly.A_THOUSAND_DO.items())


def as_dear(told: Told) -> float:
    """With so many members this costs as much as the server."""
    low, high = 0.0, 1e9
    for _ in range(60):
        middle = (low + high) / 2
        asked = _month(told, middle)
        here = monthly.total(monthly.bill(asked, told.region, told.assumed, allowance=False))
        there = monthly.total(server.bill(asked, told.region, allowance=False))
        low, high = (middle, high) if here < there else (low, middle)
    return low


def by_server(told: Told) -> str:
    """What the server is made of."""
    bill = server.bill({}, told.region, allowance=False)
    parts = [[part, money(_part(bill, part))] for part in server.PARTS if _part(bill, part)]
    return table_of(("the server", "a month"), [*parts, ["all", money(monthly.total(bill))]])


def otherwise(told: Told, members: float) -> str:
    """How much it hangs on what is only assumed, or decided, in a shop of so many members."""
    now, prices = told.assumed, told.region.prices
    by_http = replace(told.region, prices={**prices, "api_requests": prices["http_requests"]})
    changed = {
        "as above": told,
        "calls of DynamoDB take twice as long": _if(told, call_ms=2 * now.call_ms),
        "a run takes three times as long besides": _if(told, run_ms=3 * now.run_ms),
        "every hundredth run starts cold and takes 1.5 s more": _if(told, run_ms=now.run_ms + 15),
        "the functions run on arm64": _if(told, architecture="arm64"),
        "Lambda's own lines are not kept": _if(told, platform_logs=False),
        "the app says nothing of requests that were answered": _if(told, app_logs=False),
        "the API is an HTTP API, which chalice does not make": replace(told, region=by_http),
    }
    lines = [[name, _cost(one, members)] for name, one in changed.items()]
    return table_of((f"{members:,.0f} members", "a month"), lines)


def _if(told: Told, **assumed: Any) -> Told:
    return replace(told, assumed=replace(told.assumed, **assumed))


def answer(use: Mapping[str, float], asked: Mapping[str, float], region: Region, assumed: Assumed) -> str:
    """A shop's month, line by line, for the reader's own numbers."""
    full, less = (monthly.bill(asked, region, assumed, allowance=free) for free in (False, True))
    day = ", ".join(f"{name} {count:,.10g}" for name, count in use.items())
    lines = [f"A day: {day}", f"A month in {region.name}, {region.currency}:"]
    lines += [
        f"  {one.part:32}{one.quantity:>20,.2f}  {one.thing:20}{money(one.amount, region.currency):>12}"
        for one in full
    ]
    missing = [f"{things()[thing]:,.0f} {thing}" for thing in region.missing(line.thing for line in full)]
    if missing:
        told = f"No price is known of {', '.join(missing)}: give it by --price THING=AMOUNT."
        return "\n".join([*lines, told])
    lines.append(f"  {'all':74}{money(monthly.total(full), region.currency):>12}")
    lines.append(f"  {'less what is free for good':74}{money(monthly.total(less), region.currency):>12}")
    return "\n".join(lines)


# --- logs ---------------------------------------------------------------------------------------------------


def log_table(line: str, region: Region) -> str:
    """What a check-in leaves in the log, by who says it, and what a million of them cost."""
    said = json.loads(line)
    cut = {name: value for name, value in said.items() if name not in CUT}
    saved = len(line.encode()) - len((json.dumps(cut, separators=(",", ":")) + "\n").encode())
    parts = {
        "Lambda: START": len(monthly.PLATFORM[0]),
        "Lambda: END": len(monthly.PLATFORM[1]),
        "Lambda: REPORT": len(monthly.PLATFORM[2]),
        f"the app: {', '.join(f'`{name}`' for name in CUT)}": saved,
        "the app: all else": len(line.encode()) - saved,
    }
    price = region.prices["log_gb"]
    lines = [
        [*one, money(price.of(one[1] * MILLION / GB))]
        for one in [*parts.items(), ("all", sum(parts.values()))]
    ]
    return table_of(("who says it", "bytes", "a million"), lines)


# --- prices -------------------------------------------------------------------------------------------------


def price_table(region: Region) -> str:
    """The prices, and where each is from."""
    pages = list(_pages(region))
    lines = [[*_price(price), pages.index(price.source.page) + 1] for price in region.prices.values()]
    return table_of(("of", region.currency, "free a month", "from"), lines)


def sources(region: Region) -> str:
    """AWS's pages by number, where their figures were seen, and as of when."""
    pages = _pages(region)
    return "\n".join(
        f"{n}. [{one.page}]({one.url}), {one.read}: {one.seen}." for n, one in enumerate(pages.values(), 1)
    )


def _pages(region: Region) -> dict[str, Source]:
    return {price.source.page: price.source for price in region.prices.values()}


def _price(price: Price) -> list[str]:
    amounts = " / ".join(f"{amount:.10f}".rstrip("0").rstrip(".") for _, amount in price.tiers)
    each = f"{price.per:,.0f} {price.words}" if price.per > 1 else price.words
    return [each, amounts, f"{price.free:,.0f}" if price.free else ""]


# --- the section --------------------------------------------------------------------------------------------


def section(told: Told) -> str:
    """The text below the heading."""
    parts = [in_short(told), *_of_operations(told), *_of_shops(told), *_of_logs(told), *_of_prices(told)]
    return "\n\n".join(parts)


def in_short(told: Told) -> str:
    """The whole of it in a sentence."""
    nobody = monthly.idle(told.table, told.assumed)
    full, less = (
        money(monthly.total(monthly.bill(nobody, told.region, told.assumed, allowance=free)))
        for free in (False, True)
    )
    shops = ", ".join(f"{_cost(told, members)} with {members:,}" for members in SHOPS)
    beside = money(monthly.total(server.bill({}, told.region, allowance=False)))
    return filled(_IN_SHORT.format(full=full, less=less, shops=shops, beside=beside, region=told.region.name))


_IN_SHORT = """
In {region} a shop costs {full} a month when nobody calls ({less} within what AWS gives for nothing for good,
most of it for alarms), {shops} members; two small servers with PostgreSQL and Redis that may lose a zone cost
{beside} whoever calls.
"""


def _of_operations(told: Told) -> list[str]:
    how = filled(
        _HOW.format(
            here=page.machine("botocore", "moto", "aws-lambda-powertools"),
            assumed=told.assumed,
            api=deployed.memory_gb(api=True),
            other=deployed.memory_gb(api=False),
        )
    )
    return [how, filled(_A_MILLION.format(region=told.region.name)), by_operation(told)]


_HOW = """
Made by `python -m bench.cost --table` ({here}). `python -m bench.cost --members 20000 --visits 5000` answers
for a shop of yours. What is asked of AWS is counted: operations played on the embedded store through the
deployed handlers, in the demo shop with all its rooms and a mall beside it, with what it asks for remembered;
units are AWS's rule. Assumed are {assumed.call_ms:g} ms for a call of DynamoDB and {assumed.run_ms:g} ms
besides for a run of a function, of {api:g} GB for the API and {other:g} GB for all else, on
{assumed.architecture}; and that a reader of the stream runs for each operation alone, as in a quiet shop, where
a busy one has it run for a hundred records at once.
"""
_A_MILLION = """
A million of each in {region}, with what readers of the stream and jobs do because of it: DynamoDB's calls,
units written (of rows + of index entries) and read, runs of functions, and dollars.
"""


def _of_shops(told: Told) -> list[str]:
    return [
        filled(_A_DAY.format(day=use_words(), peak=PEAK, refusals=told.assumed.refusals, beside=KEPT_BESIDE)),
        by_shop(told),
        filled(_BESIDE.format(dear=round(as_dear(told), -3))),
        by_server(told),
        "How much hangs on what is only assumed, or was decided:",
        otherwise(told, 100_000),
    ]


_A_DAY = """
Shops that are a year old. Of a thousand members a day is: {day}. So one in ten is there and looks at six pages
(the list of group-buys, a group, the check-in, one's coupons); groups are of two. The busiest second is taken
to have {peak} times the average; {refusals} different refusals are told as metrics, and {beside} bytes are
taken to be kept beside each row and entry.
"""
_BESIDE = """
The server is the smallest pair that may lose a zone, there whether anybody calls or not. How many requests a
second it bears was not measured, and the people who watch and mend it are not in the bill. With days as above,
this here costs as much as that one with {dear:,.0f} members.
"""


def _of_logs(told: Told) -> list[str]:
    return ["Logs. A check-in leaves these bytes:", log_table(told.log_line, told.region), filled(_LESS)]


_LESS = """
What could go: Lambda's own lines, by `LogFormat` JSON together with `SystemLogLevel` WARN (the first without
the second makes them longer), at the price of the memory that REPORT tells; and of the app's line what its
message and its log group say already. With `POWERTOOLS_LOG_LEVEL` WARNING only what is wrong is said.
"""


def _of_prices(told: Told) -> list[str]:
    return [filled(_PRICES), price_table(told.region), sources(told.region)]


_PRICES = """
Prices, each for so many of what it is of, in tiers where there are several. AWS draws the tables of its pages
by script, so that a stored copy has no figures; where each figure was seen stands below the table. Hold them
against the pages before you rely on them. What is free in an account's first year only is left out. Of
Singapore and Ningxia `prices.json` has what could be found, and `--price` takes the rest.
"""
