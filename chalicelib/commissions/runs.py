"""What settling did, day by day: batches that were settled, commissions that wait, and those that failed.

Each is a row under its natural key, so the record of a day is exact whatever was killed or ran twice.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from chalicelib.commissions.models import RUN_ROWS, RunLine
from chalicelib.core import clock, config, ledger, table
from chalicelib.core.shards import shard_for
from chalicelib.core.table import Write


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A day in numbers: what was looked at, settled into how much, what waits, and what failed."""

    day: str
    counted: int
    settled: int
    held: int
    failed: int
    promoters: int
    amount_fen: int


def day_of(at: int) -> str:
    """The day of the brand's calendar."""
    return clock.local_day(at, zone=config.settings().zone)


def _line(what: str, name: str, promoter_id: str, *, at: int, **told: Any) -> RunLine:
    partition = RunLine.partition(day_of(at), shard_for(promoter_id, RUN_ROWS))
    given = {"commissions": 1, "cause": name, "promoter_id": promoter_id, "at": at, **told}
    return RunLine(partition, f"{what}#{name}", what=what, **given)


def settled(entry: ledger.Entry, *, commissions: int) -> Write:
    """The write that notes a batch which was settled, in a transaction that happens once for it."""
    promoter_id, _ = ledger.owner_of(entry)
    name = f"{promoter_id}#{entry.cause}"
    told = {"commissions": commissions, "amount_fen": entry.amount, "cause": entry.cause}
    return table.create(_line("settled", name, promoter_id, at=entry.at, **told))


def note(what: str, commission: Any, *, why: str, now: int) -> None:
    """Note a commission that waits, or failed, once for the day."""
    told = {"amount_fen": commission.amount_fen, "cause": why}
    try:
        table.apply(
            table.create(_line(what, commission.commission_id, commission.promoter_id, at=now, **told))
        )
    except table.Taken:
        return


def lines(day: str) -> list[RunLine]:
    """All that was done on a day."""
    partitions = [RunLine.partition(day, k) for k in range(RUN_ROWS)]
    return [row for partition in partitions for row in table.query_all(RunLine, partition)]


def record(day: str) -> Record:
    """The day in numbers."""
    rows = lines(day)

    def total(what: str, of: Callable[[RunLine], int]) -> int:
        return sum(of(row) for row in rows if row.what == what)

    counts = {what: total(what, lambda row: row.commissions) for what in ("settled", "waits", "failed")}
    return Record(
        day=day,
        counted=sum(counts.values()),
        settled=counts["settled"],
        held=counts["waits"],
        failed=counts["failed"],
        promoters=len({row.promoter_id for row in rows if row.what == "settled"}),
        amount_fen=total("settled", lambda row: row.amount_fen),
    )


def statement(day: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """The day's lines, partition by partition."""
    k, key = (after["k"], after["key"]) if after else (0, None)
    found: list[RunLine] = []
    while k < RUN_ROWS and len(found) < limit:
        page = table.query(RunLine, RunLine.partition(day, k), limit=limit - len(found), after=key)
        found += page.rows
        key = page.next_key
        k += key is None
    return table.Page(found, {"k": k, "key": key} if k < RUN_ROWS else None)
