"""A promoter's month: what was settled in it, its place in the ranking, and the bonus of its step (阶梯奖励).

The month is counted by the fact of each settlement, and closed a day after its end: the step that the month's sales
reached is paid once, as a bonus of its own, and what it was worked out from stays in the month's row. What goes
back counts against the month it was settled in while that is open, and then against the running one, where a late
count goes as well; a bonus that was paid stays.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.commissions import promoters, rules, runs, terms
from chalicelib.commissions.models import Earned
from chalicelib.core import clock, config, due, facts, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.core.money import part_fen
from chalicelib.core.table import Refusal, Row, Write
from chalicelib.operators import stuck
from chalicelib.sharing import visits

JOB = "volume"
MONEY = "money"
CLOSES_AFTER_S = DAY


# --- counting -----------------------------------------------------------------------------------------------


@facts.reaction("settlement.posted", name="commissions.count_settlement", money=True)
def count_settlement(entry: ledger.Entry, now: int) -> Sequence[Write]:
    """What was settled counts: for the tier, for the month, for the day's run."""
    member_id, _ = ledger.owner_of(entry)
    about: dict[str, Any] = entry.about
    month = _open_month(member_id, at=entry.at, now=now)
    given = {"orders": about["orders"], "base_fen": about["base_fen"]}
    return [
        promoters.counted(member_id, cause=entry.cause, settled_fen=entry.amount, orders=about["orders"]),
        _added(member_id, month, amount_fen=entry.amount, refuse=Busy, **given),
        runs.settled(entry, commissions=about["commissions"]),
    ]


@facts.reaction("settlement.posted", name="commissions.count_links")
def count_links(entry: ledger.Entry, now: int) -> Sequence[Write]:
    """The links that brought the buyers of what was settled: as many as a batch has orders at most."""
    return visits.settled(entry.about.get("links", {}), cause=entry.cause, at=entry.at)


@facts.errand("settlement.posted", name="commissions.promote_by_settlement")
def promote_by_settlement(entry: ledger.Entry, now: int) -> None:
    """The tier that was reached by it, once it is counted."""
    promoters.promote(ledger.owner_of(entry)[0], now=now)


def less(
    member_id: str, *, settled_at: int, amount_fen: int, base_fen: int, refuse: Refusal, now: int
) -> Write:
    """The write by which what goes back counts against its month, or the running one once that is closed."""
    month = _open_month(member_id, at=settled_at, now=now)
    return _added(member_id, month, amount_fen=-amount_fen, orders=0, base_fen=-base_fen, refuse=refuse)


def _open_month(member_id: str, *, at: int, now: int) -> int:
    """The month of ``at``; the running one, if that is closed."""
    month = _month_of(at)
    row = table.get(Earned, Earned.key(member_id, clock.month_name(month)))
    return _month_of(now) if row is not None and row.state == "closed" else month


def _month_of(at: int) -> int:
    return clock.month_of(at, zone=config.settings().zone)


def _ends_at(month: int) -> int:
    return clock.month_starts_at(month + 1, zone=config.settings().zone)


def _added(
    member_id: str, month: int, *, amount_fen: int, orders: int, base_fen: int, refuse: Refusal
) -> Write:
    pk, sk = Earned.key(member_id, clock.month_name(month))
    first: dict[str, Any] = {
        "state": "open",
        "member_id": member_id,
        "board": _board(sk, member_id),
        **due.slot(job=JOB, pk=pk, at=_ends_at(month) + CLOSES_AFTER_S, ref=sk),
    }
    actions: list[Action] = [
        getattr(Earned, name).set(getattr(Earned, name) | to) for name, to in first.items()
    ]
    counts = (Row.score.add(amount_fen), Earned.orders.add(orders), Earned.base_fen.add(base_fen))
    is_open = Earned.pk.does_not_exist() | (Earned.state == "open")
    return table.upsert(Earned, (pk, sk), *actions, *counts, when=is_open, refuse=refuse)


# --- closing ------------------------------------------------------------------------------------------------


@due.handles(JOB)
def close(entry: due.Entry, now: int) -> None:
    """A month is over: its sales say which step it reached, and the bonus is paid, once.

    Raises:
        Busy: something was counted meanwhile.
    """
    row = table.get(Earned, (entry.pk, entry.sk))
    if row is None or row.state != "open" or (row.due_at or 0) > now:
        return
    step = _step(row)
    bonus_fen = part_fen(row.base_fen or 0, rate_bps=step.bonus_bps) if step is not None else 0
    actions = (
        Earned.state.set("closed"),
        Earned.bonus_fen.set(bonus_fen),
        Earned.step.set(msgspec.to_builtins(step)),
        Earned.closed_at.set(now),
        *due.emptied(),
    )
    unmoved = Earned.rev == row.rev
    writes = [table.update(Earned, (row.pk, row.sk), *actions, when=unmoved, refuse=Busy)]
    if bonus_fen:
        cause = f"bonus#{row.sk}"
        writes += ledger.posted(
            owner=row.member_id, book=MONEY, amount=bonus_fen, cause=cause, reason="bonus", now=now
        )
    table.transact(writes)


def _step(row: Earned) -> rules.Step | None:
    """The step of the terms at the month's end; none for who could not earn any more by then."""
    year, month = row.sk.split("-")
    last = _ends_at(int(year) * 12 + int(month) - 1) - 1
    if promoters.active(row.member_id, at=last) is None:
        return None
    made = next((one for one in terms.versions(limit=100) if one.made_at <= last), None)
    return rules.step_for(terms.said(made).steps, row.base_fen or 0) if made is not None else None


stuck.trouble(
    stuck.Trouble(
        job=JOB, en="A promoter's month that could not be closed", zh="未能结账的分销月份", urgency=0
    )
)


# --- reading ------------------------------------------------------------------------------------------------


def find(member_id: str, month: str) -> Earned | None:
    """A promoter's month, if anything was settled in it."""
    return table.get(Earned, Earned.key(member_id, month))


def of_promoter(member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """A promoter's months, newest first."""
    return table.query(Earned, Earned.key(member_id, "")[0], limit=limit, newest_first=True, after=after)


def name_of(at: int) -> str:
    """The month of the brand's calendar, ``YYYY-MM``."""
    return clock.month_name(_month_of(at))


def _board(month: str, member_id: str) -> str:
    return table.board_for(member_id, _boards(month))


def _boards(month: str) -> list[str]:
    return table.boards(f"EARNED#{month}")


def ranking(month: str, *, limit: int) -> list[Earned]:
    """Who had most settled in a month, the first first; of equals the earlier id."""
    entries: list[dict[str, Any]] = []
    for board in _boards(month):
        entries += table.index("rank", Row.board == board, limit=limit, newest_first=True)[0]
    entries.sort(key=lambda entry: (-entry["score"], entry["pk"]))
    rows = table.get_many([(Earned, (entry["pk"], entry["sk"])) for entry in entries[:limit]])
    return [row for row in rows if row is not None]
