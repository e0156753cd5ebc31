"""Promoters, rates, orders of the mall and what becomes of them, and the commissions that must follow.

    alice = a_promoter()
    a_rate(bps=1000)
    order = paid(bought(a_friend_of(alice), [line(paid_fen=9900)]))
    assert earned(order) == [("L1", "pending", 990)]
    completed(order); settled(now=NOW + 8 * DAY)
    assert balance(alice) == 990
    assert broken(client) == []

`broken` reads the whole table past every layer: each commission against its lines, the ledger against both.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from chalicelib.commissions import explaining, months, promoters, rates, rules, runs, service, settling, terms
from chalicelib.commissions.models import Commission
from chalicelib.commissions.rules import DistributionTerms, Scope
from chalicelib.core import due, facts, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.facts import Fact
from chalicelib.core.table import Row
from chalicelib.orders import giving, ordinary
from chalicelib.orders import service as orders
from chalicelib.orders.giving import Given
from chalicelib.orders.models import Refund
from chalicelib.orders.service import Back, Order, Paid
from chalicelib.sharing import attribution
from tests.factories import NOW, OWNER, a_member, a_word
from tests.harness.rows import Plain, rows

HOLD_DAYS = 7
LATER = NOW + (HOLD_DAYS + 1) * DAY
SETTLED = ("settled", "clawed_back")
ROOM = (months, explaining, runs)
LONG_AGO = NOW - 100 * DAY


def alone(patch: pytest.MonkeyPatch) -> None:
    """Nobody else reacts, so that what is counted, or waited for, is this room's."""
    for fact, reactions in list(facts._reactions.items()):
        mine = [one for one in reactions if one.name.startswith(("commissions.", "sharing.attribute"))]
        patch.setitem(facts._reactions, fact, mine)


def some_terms(now: int = LONG_AGO, **told: Any) -> None:
    """The terms in force."""
    given = {"auto_approval": True, "hold_days": HOLD_DAYS, **told}
    terms.make(msgspec.convert(given, DistributionTerms), by=OWNER, now=now)


def a_promoter(*, now: int = LONG_AGO) -> str:
    """A member whom an operator made a promoter."""
    member_id = a_member(now=now)
    promoters.assign(member_id, by=OWNER, now=now)
    return member_id


def a_friend_of(promoter_id: str, *, now: int = LONG_AGO) -> str:
    """A member who is a promoter's customer."""
    friend = a_member(now=now)
    attribution.move(friend, promoter_id=promoter_id, reason="test", by=OWNER, now=now)
    return friend


def a_rate(
    *,
    bps: int | None = None,
    unit_fen: int | None = None,
    level: str = "level1",
    now: int = LONG_AGO,
    **scope: Any,
) -> str:
    """A rate for a scope."""
    given = msgspec.convert({"level": level, **scope}, Scope)
    basis: rules.Basis = "bps" if bps is not None else "fen"
    value = bps if bps is not None else unit_fen or 0
    return str(rates.say(given, basis=basis, value=value, by=OWNER, now=now)[0].rate_id)


# --- orders -------------------------------------------------------------------------------------------------


def line(
    line_id: str = "1", *, product_id: str = "tea", paid_fen: int = 9900, quantity: int = 1, **more: Any
) -> dict[str, Any]:
    """A line of an order."""
    return {
        "line_id": line_id,
        "product_id": product_id,
        "quantity": quantity,
        "paid_fen": paid_fen,
        **more,
    }


def bought(
    member_id: str, lines: Sequence[dict[str, Any]] | None = None, *, now: int = NOW, number: str = ""
) -> Order:
    """An order of the mall."""
    lines = lines or [line()]
    told = ordinary.Told(
        mall_order_id=number or a_word("M-"),
        member_id=member_id,
        link=None,
        created_at=now,
        amount_fen=sum(one["paid_fen"] for one in lines),
        lines=lines,
    )
    return ordinary.made(told, now=now)


def paid(order: Order, *, now: int = NOW, told: bool = True) -> Order:
    """It is paid, and whoever follows it knows."""
    orders.pay(order.order_id, Paid(payment_id=f"p-{order.order_id}", amount_fen=order.amount_fen), now=now)
    return _told("order.paid", order, now=now) if told else orders.show(order.order_id)


def completed(order: Order, *, now: int = NOW, told: bool = True) -> Order:
    """It is done."""
    orders.complete(order.order_id, now=now)
    return _told("order.completed", order, now=now) if told else orders.show(order.order_id)


def refunded(order: Order, *, now: int = NOW, told: bool = True) -> Order:
    """All of it goes back."""
    giving.follow(order, Given(number=a_word("r-"), amount_fen=None, payment_id=None), now=now)
    return _told("order.refunded", order, now=now) if told else orders.show(order.order_id)


def partly_refunded(order: Order, *, now: int = NOW, told: bool = True, **lines: int) -> Order:
    """So much of each of these lines goes back: ``partly_refunded(order, l1=100)`` is of the line "1"."""
    named = {name.removeprefix("l"): fen for name, fen in lines.items()}
    order = orders.show(order.order_id)
    number = a_word("r-")
    back = Back(reason="mall", done=True, number=number, lines=named)
    by_fen = sum(named.values())
    orders.told_partly_refunded(order, amount_fen=by_fen, cause=number, back=back, now=now)
    if told:
        refund = next(row for row in orders.money_of(order.order_id)[1] if row.number == number)
        _reduced(refund, now=now)
    return orders.show(order.order_id)


def _told(name: str, order: Order, *, now: int) -> Order:
    row = orders.show(order.order_id)
    happens(name, row, now=now)
    return row


def _reduced(refund: Refund, *, now: int) -> None:
    happens("order.reduced", refund, now=now)


def happens(name: str, row: Row, *, now: int = NOW) -> None:
    """Everybody reacts to a fact of a row."""
    fact = Fact(name=name, pk=row.pk, sk=row.sk, rev=row.rev, owed=row.due_ref == name)
    facts.dispatch(fact, now=now)


def told_again(order: Order, *, now: int = NOW) -> None:
    """All facts of an order come, late and in the wrong order."""
    row = orders.show(order.order_id)
    for name in ("order.completed", "order.paid", "order.refunded", "order.refunding"):
        facts.dispatch(Fact(name=name, pk=row.pk, sk=row.sk, rev=row.rev, owed=False), now=now)


# --- settling -----------------------------------------------------------------------------------------------


def settled(*, now: int = LATER, worker: str = "settler") -> due.Ran:
    """The job runs, and what it posted is counted; nothing may fail."""
    ran = due.run(job=settling.JOB, worker=worker, now=now, seconds=30)
    due.run(job=facts.JOB, worker=worker, now=now + facts.OWED_AFTER_S, seconds=30)
    return ran


def balance(member_id: str) -> int:
    """A promoter's money, proven by the entries."""
    drift = ledger.drift(owner=member_id, book=service.MONEY)
    assert drift.none, drift
    return drift.balance


def earned(order: Order) -> list[tuple[str, str | None, int]]:
    """The commissions of an order: level, state, fen."""
    found = service.of_order(order.order_id)
    return [(row.level, row.state, row.amount_fen) for row in sorted(found, key=lambda row: row.sk)]


def commission(order: Order, level: str = "L1") -> Commission:
    """The commission of an order on a level."""
    row = table.get(Commission, Commission.key(order.order_id, level))
    assert row is not None
    return row


def broken(client: Any, name: str = "truth") -> list[str]:
    """M1 in a whole table: each commission is the sum of its lines, and the money is what is settled."""
    there: dict[str, list[Plain]] = defaultdict(list)
    for row in rows(client, name):
        there[row["kind"]].append(row)
    wrong = [line for row in there["commission"] for line in wrong_in(row)]
    owed: Counter[str] = Counter()
    for row in there["commission"]:
        owed[row["promoter_id"]] += row["amount_fen"] if row["state"] in SETTLED else 0
    for row in there["promoter_month"]:
        owed[row["member_id"]] += row.get("bonus_fen") or 0
    has = {
        row["pk"].split("#")[1]: row["balance"] for row in there["account"] if row["pk"].endswith("#money")
    }
    for owner in sorted({*owed, *has}):
        if owed[owner] != has.get(owner, 0):
            wrong.append(f"{owner} has {has.get(owner)}, not {owed[owner]}")
    return wrong


def wrong_in(row: Plain) -> list[str]:
    """What does not fit in a commission by itself."""
    lines = msgspec.convert(msgspec.json.decode(row["lines"]), list[rules.Line])
    changes = msgspec.json.decode(row["changes"])
    fits = {
        "is not the sum of its lines": row["state"] == "cancelled"
        or rules.total_fen(lines) == row["amount_fen"],
        "does not tell its last change": changes[-1][3] == row["amount_fen"],
    }
    return [f"{row['commission_id']} {what}" for what, right in fits.items() if not right]
