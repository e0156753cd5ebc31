"""Very many groups that end in the same minute: `python -m bench.expiry`; 10,000, unless told otherwise.

It runs the jobs as they are deployed, each minute for its time box, on the store of `bench.store`. A call takes a
while only by the clock that the jobs look at, a clock for each worker; so how many minutes it takes is computed and
not waited for. Every other group has two payers, every tenth somebody whose hold runs out in that minute too, and a
campaign waits to be looked at by the job that shares its minute with the ends. It fails when a figure differs:

    transactions = groups, none refused        table units = 4 a group + 6 a payer        no group ended twice
    minutes = what the fullest shard takes     holds and the campaign: in the first of them

Told of two runs at once, which share the shards, it ends every group once as well.
"""

import argparse
import functools
import importlib
import json
import math
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from botocore.exceptions import ClientError

from bench.settlement import stood_up
from bench.store import Entry, Large
from tests.harness.wire import WRITES, Call, Params, wrapped

NOW = 1_767_232_800
"""When the minute is over in which all groups end."""
CAMPAIGN, SKU, PRICE, SIZE, STOCK_SHARDS = "cmp_00000000000000000000000000", "tea", 8900, 5, 10


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long a call takes by the jobs' clock."""

    read_s: float
    write_s: float


TAKES = Latency(read_s=0.008, write_s=0.030)
"""More than DynamoDB takes as a rule."""


# --- the rows, each made when it is asked for -----------------------------------------------------------------


def _payers(n: int) -> int:
    return 1 + n % 2


def _holds(n: int) -> int:
    return int(n % 10 == 0)


def _ends_at(n: int) -> int:
    return NOW - 60 + n % 60


def _id(prefix: str, n: int, m: int = 0) -> str:
    return f"{prefix}_{n:022d}{m:04d}"


def _group(n: int) -> Any:
    from chalicelib.core import due
    from chalicelib.core.clock import DAY
    from chalicelib.groupbuys import reading
    from chalicelib.groupbuys.holding import EXPIRE_JOB
    from chalicelib.groupbuys.models import SCORE, Group

    pk, sk = Group.key(_id("grp", n))
    missing, ends_at = SIZE - _payers(n), _ends_at(n)
    told: dict[str, Any] = {"new_members_only": False, "late_payment": "elsewhere", "lifetime_s": DAY}
    told |= {"opened_at": ends_at - DAY, "began_at": ends_at - DAY, "held_until": ends_at - DAY + 900}
    return Group(
        pk,
        sk,
        state="open",
        group_id=_id("grp", n),
        campaign_id=CAMPAIGN,
        head_id=_id("mbr", n),
        size=SIZE,
        free=missing - _holds(n),
        missing=missing,
        prices={SKU: PRICE},
        reserve="group",
        taken=[[SKU, n % STOCK_SHARDS, SIZE]],
        expires_at=ends_at,
        board=reading.board_of(CAMPAIGN),
        score=missing * SCORE + ends_at,
        **told,
        **due.slot(job=EXPIRE_JOB, pk=pk, at=ends_at),
    )


def _order(n: int, m: int) -> Any:
    from chalicelib.orders.service import Order

    held = m == _payers(n)
    paid: dict[str, Any] = {"payment_id": _id("pay", n, m), "paid_fen": PRICE, "refundable_fen": PRICE}
    place: dict[str, Any] = {"campaign_id": CAMPAIGN, "group_id": _id("grp", n), "sku_id": SKU, "size": SIZE}
    pk, sk = Order.key(_id("ord", n, m))
    return Order(
        pk,
        sk,
        state="pending" if held else "paid",
        order_id=_id("ord", n, m),
        member_id=_id("mbr", n, m),
        purpose="groupbuy",
        gateway="mall",
        quantity=1,
        head=m == 0,
        taken=[],
        title="Tea",
        amount_fen=PRICE,
        created_at=_ends_at(n) - 900,
        held_until=_ends_at(n),
        **({} if held else paid),
        **place,
    )


def _seat(n: int, m: int) -> Any:
    from chalicelib.groupbuys.holding import seat_of

    order = _order(n, m)
    return seat_of(order, payment_id=order.payment_id, now=order.created_at)


def _part(n: int, m: int) -> Any:
    from chalicelib.groupbuys.models import Part

    return Part(*Part.key(CAMPAIGN, _id("mbr", n, m)), order_id=_id("ord", n, m), units=1, groups=int(m == 0))


def _stock(k: int) -> Any:
    from chalicelib.groupbuys.models import Stock

    told: dict[str, Any] = {"campaign_id": CAMPAIGN, "sku_id": SKU, "starts_at": 0, "ends_at": NOW}
    return Stock(*Stock.key(CAMPAIGN, SKU, k), left=0, put=10**6, on=True, edition=0, **told)


def _campaign() -> Any:
    """It was closed this minute, and open groups go on."""
    from chalicelib.core import due
    from chalicelib.groupbuys.campaigns import CLOSE_JOB
    from chalicelib.groupbuys.models import Campaign

    told: dict[str, Any] = {"max_units_per_seat": 1, "per_member_units": 1, "per_member_groups": 1}
    told |= {"visible_from": 0, "starts_at": 0, "ends_at": NOW + 60, "group_lifetime_s": 60, "created_at": 0}
    told |= {"hold_s": 900, "open_hold_s": 900, "late_payment": "elsewhere", "new_members_only": False}
    told |= {
        "mode": "fixed",
        "reserve": "group",
        "stock_shards": STOCK_SHARDS,
        "fingerprint": "",
        "edition": 1,
    }
    pk, sk = Campaign.key(CAMPAIGN)
    return Campaign(
        pk,
        sk,
        state="closed",
        campaign_id=CAMPAIGN,
        title="Tea",
        product={"id": "tea", "title": "Tea", "skus": []},
        sizes=[SIZE],
        on=False,
        closed_at=NOW,
        open_groups="go_on",
        **told,
        **due.slot(job=CLOSE_JOB, pk=CAMPAIGN, at=NOW),
    )


@functools.lru_cache(maxsize=1000)
def _made(pk: str, sk: str) -> Any:
    row = _row(pk.split("#"), sk)
    return row.serialize() if row is not None else None


def _row(pk: Sequence[str], sk: str) -> Any:
    kind, last = pk[0], pk[-1]
    if kind == "STOCK":
        return _stock(int(last))
    if kind == "CAMPAIGNS":
        return _campaign()
    if sk.startswith("SEAT#"):
        return _seat(*_numbers(sk))
    if kind == "GROUP":
        return _group(_numbers(last)[0])
    if sk != "META" or kind not in ("ORDER", "PART"):
        return None
    return (_order if kind == "ORDER" else _part)(*_numbers(last))


def _numbers(told: str) -> tuple[int, int]:
    digits = told[-26:]
    return int(digits[:22]), int(digits[22:])


def _beside(pk: str) -> list[str]:
    """A group's own row and its seats."""
    assert pk.startswith("GROUP#"), pk
    n, _ = _numbers(pk)
    return ["META", *(f"SEAT#{_id('mbr', n, m)}" for m in range(_payers(n) + _holds(n)))]


def a_minute(groups: int) -> dict[str, list[Entry]]:
    """What is due in each shard: the ends, the holds, the campaign."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for n in range(groups):
        rows = [_group(n), *([_seat(n, _payers(n))] if _holds(n) else [])]
        for row in rows:
            kind = "group" if row.sk == "META" else "seat"
            found[row.due_shard].append(Entry(row.due_at, row.pk, row.sk, row.due_ref, kind))
    row = _campaign()
    found[row.due_shard].append(Entry(row.due_at, row.pk, row.sk, row.due_ref, "groupbuy"))
    return found


# --- the minutes ----------------------------------------------------------------------------------------------


class Clock(threading.local):
    """Stands in for `time` in the jobs: every worker has its own, which its calls move on."""

    seconds = 0.0

    def monotonic(self) -> float:
        """What it shows."""
        return self.seconds


@dataclass
class Seen:
    """What the jobs did: entries handled by job, and transactions that were refused."""

    handled: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    refused: list[str] = field(default_factory=list)

    def count(self, job: str) -> int:
        """Entries of this job that were handled."""
        return self.handled[job].total()


@contextmanager
def _watched(seen: Seen, takes: Latency) -> Iterator[None]:
    from chalicelib.core import due, table

    clock = Clock()

    def layer(below: Call, operation: str, params: Params) -> Params:
        clock.seconds += takes.write_s if operation in WRITES else takes.read_s
        try:
            return below(operation, params)
        except ClientError:
            if operation == "TransactWriteItems":
                seen.refused.append(operation)
            raise

    with ExitStack() as worn:
        worn.enter_context(mock.patch.object(due, "time", clock))
        worn.enter_context(mock.patch.dict(due._handlers, _watching(due._handlers, seen)))
        worn.enter_context(wrapped(table.client(), layer))
        yield


def _watching(handlers: dict[str, Any], seen: Seen) -> dict[str, Any]:
    def watched(job: str, handler: Any) -> Callable[[Any, int], None]:
        def handle(entry: Any, now: int) -> None:
            seen.handled[job][f"{entry.pk} {entry.sk}"] += 1
            handler(entry, now)

        return handle

    return {job: watched(job, handler) for job, handler in handlers.items()}


def _minute(name: str, *, number: int, at_once: int) -> None:
    """The scheduled function of this name, so many of it at once."""
    import app
    from chalicelib.core import clock
    from infra.local.pump import Context

    def run(k: int) -> None:
        asked = ("version", "account", "region", "detail", "detail-type", "source", "time", "resources")
        event = {**dict.fromkeys(asked, ""), "id": f"{name}-{number}-{k}"}
        getattr(app, name)(event, Context(function_name=name))

    runs = [threading.Thread(target=run, args=(k,)) for k in range(at_once)]
    with mock.patch.object(clock, "now", lambda: NOW + 60 * number):
        for one in runs:
            one.start()
        for one in runs:
            one.join()


def measured(client: Any, *, groups: int, at_once: int = 1, takes: Latency = TAKES) -> dict[str, int]:
    """The figures of the minute's end, and what they should be; ``client`` is a real one, of nothing."""
    from chalicelib.core import table
    from tests.harness.counter import counting

    importlib.import_module("app")  # what declares the jobs that are watched
    _made.cache_clear()
    entries, seen = a_minute(groups), Seen()
    fullest = max(len(some) for shard, some in entries.items() if shard.startswith("expire#"))
    store = table._client = Large(client, made=_made, due=entries, beside=_beside)
    minutes, first = 0, dict[str, int]()
    with counting(store) as spent, _watched(seen, takes):
        while seen.count("expire") < groups and minutes < groups:
            _minute("expire_groups", number=minutes, at_once=at_once)
            _minute("release_holds", number=minutes, at_once=at_once)
            minutes += 1
            first = first or {job: seen.count(job) for job in ("expire", "release", "close")}
    told = {"groups": groups, "of the fullest shard": fullest, "minutes": minutes}
    if at_once == 1:
        told["minutes expected"] = math.ceil(fullest / _a_minute_s_part(takes))
    return told | _in_the_first(first, groups) | _ended(store, seen, groups) | _paid_for(spent, seen, groups)


def _a_minute_s_part(takes: Latency) -> int:
    """How many groups of one shard are ended in a minute: what is begun before the time is over is done."""
    import app
    from chalicelib.core import due

    box, each = app.JOB_SECONDS * 2 / 3, takes.read_s + takes.write_s
    pages = math.ceil(box / each / due.PAGE)
    return math.ceil((box - pages * takes.read_s) / each)


def _in_the_first(first: dict[str, int], groups: int) -> dict[str, int]:
    return {
        "ended in the first minute": first["expire"],
        "holds let go in it": first["release"],
        "holds let go in it expected": sum(map(_holds, range(groups))),
        "campaigns looked at in it": first["close"],
        "campaigns looked at in it expected": 1,
    }


def _ended(store: Large, seen: Seen, groups: int) -> dict[str, int]:
    rows = [json.loads(text) for text in store.written.values() if text is not None]
    of = defaultdict[str, list[dict[str, Any]]](list)
    for row in rows:
        of[row["kind"]["S"]].append(row)
    return {
        "ended": sum(row["state"]["S"] == "expired" for row in of["group"]),
        "ended expected": groups,
        "ended by two": sum(times - 1 for times in seen.handled["expire"].values()),
        "ended by two expected": 0,
        "fen owed back": sum(int(row["amount_fen"]["N"]) for row in of["refund"]),
        "fen owed back expected": PRICE * sum(map(_payers, range(groups))),
        "units back in stock": sum(int(row["left"]["N"]) for row in of["groupbuy_stock"]),
        "units back in stock expected": SIZE * groups,
    }


def _paid_for(spent: Any, seen: Seen, groups: int) -> dict[str, int]:
    payers, holds = (sum(map(of, range(groups))) for of in (_payers, _holds))
    singles = spent.operations["UpdateItem"]
    return {
        "transactions": spent.operations["TransactWriteItems"],
        "transactions expected": groups + holds,
        "transactions refused": len(seen.refused),
        "transactions refused expected": 0,
        "reads": spent.operations["Query"] + spent.operations["GetItem"],
        "leases and looks": singles,
        "table units": spent.table_units - singles,
        "table units expected": 4 * groups + 6 * payers + 8 * holds,
        "index units": spent.index_units,
        "index units expected": 3 * groups + 2 * payers + 2 * holds + 2 * seen.count("close"),
    }


def wrong(found: Mapping[str, int]) -> list[str]:
    """The figures that are not as they should be."""
    return [name for name in found if found[name] != found.get(f"{name} expected", found[name])]


def main(argv: Sequence[str]) -> int:
    """Print the figures; 1 when one is not as expected."""
    asked = argparse.ArgumentParser(prog="bench.expiry", description=__doc__)
    asked.add_argument("--groups", type=int, default=10_000)
    asked.add_argument("--shards", type=int, default=16, help="DUE_SHARDS of the deployment")
    given = asked.parse_args(argv)
    failed = False
    for at_once in (1, 2):
        started = time.monotonic()
        with stood_up(shards=given.shards) as client:
            found = measured(client, groups=given.groups, at_once=at_once)
        print(f"{given.shards} shards, {at_once} run(s) a minute")
        for name, value in found.items():
            print(f"{name:40}{value:>14,}")
        print(f"{'seconds, here':40}{time.monotonic() - started:>14,.0f}")
        for name in wrong(found):
            failed = True
            print(f"{name} is not as expected")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
