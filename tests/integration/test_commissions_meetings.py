"""Two who meet over one commission, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Iterator

import pytest

from chalicelib.commissions import months, promoters, rates, rules, runs, service, settling, terms
from chalicelib.core import due, facts, ledger, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from tests.commissions import (
    LATER,
    LONG_AGO,
    a_friend_of,
    a_promoter,
    a_rate,
    alone,
    balance,
    bought,
    broken,
    commission,
    completed,
    earned,
    happens,
    paid,
    partly_refunded,
    refunded,
    settled,
    some_terms,
    told_again,
)
from tests.factories import NOW, OWNER, emptied
from tests.harness.direct import Direct
from tests.harness.meetings import before_write

FEBRUARY = NOW + 40 * DAY


@pytest.fixture(autouse=True)
def books(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the end every commission is the sum of its lines, and the money what is settled."""
    alone(monkeypatch)
    emptied()
    some_terms(steps=[{"from_fen": 9_900, "bonus_bps": 100}], now=LONG_AGO)
    yield
    assert broken(direct) == []


@pytest.fixture
def alice(books: None) -> str:
    """A promoter who earns a tenth."""
    a_rate(bps=1000)
    return a_promoter()


def entry_of(row: Row | None) -> due.Entry:
    """What the index says of a row that is due."""
    assert row is not None and row.due_shard is not None and row.due_at is not None
    told = {"pk": row.pk, "sk": row.sk, "kind": "", "due_ref": row.due_ref or ""}
    return due.Entry(due_shard=row.due_shard, due_at=row.due_at, **told)


def close_january(promoter_id: str) -> None:
    """The month's sales are added up."""
    months.close(entry_of(months.find(promoter_id, "2026-01")), FEBRUARY)


def base_fen(promoter_id: str, month: str) -> int:
    """What counts in a month."""
    row = months.find(promoter_id, month)
    return (row.base_fen or 0) if row is not None else 0


def held(order: Order) -> None:
    """An operator holds its commission back."""
    service.hold(commission(order).commission_id, reason="a look", by=OWNER, now=NOW)


def lines() -> list[tuple[str, int]]:
    """What the day's run noted, and when."""
    return [(row.what, row.at) for row in runs.lines(runs.day_of(LATER))]


# --- what a commission becomes ------------------------------------------------------------------------------


def test_what_goes_back_while_it_is_settled_is_not_settled(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    entries = [entry_of(commission(order))]

    with before_write(1, lambda: refunded(order, now=LATER)):
        settling.settle(entries, LATER)

    assert (earned(order), balance(alice)) == ([("L1", "cancelled", 0)], 0)


def test_what_is_settled_while_it_goes_back_is_clawed_back(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    entries = [entry_of(commission(order))]
    partly_refunded(order, l1=900, now=LATER, told=False)
    refunded(order, now=LATER, told=False)

    with before_write(1, lambda: settling.settle(entries, LATER)):
        told_again(order, now=LATER)

    assert (earned(order), balance(alice)) == ([("L1", "cancelled", 0)], 0)


def test_of_two_parts_that_go_back_at_once_after_it_was_settled_each_is_clawed_back(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    settled()
    partly_refunded(order, l1=900, now=LATER, told=False)

    with before_write(1, lambda: partly_refunded(order, l1=1000, now=LATER)):
        told_again(order, now=LATER)

    assert (earned(order), balance(alice)) == ([("L1", "settled", 800)], 800)


def test_what_goes_back_while_its_month_is_closed_is_no_bonus(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    settled()

    with before_write(1, lambda: partly_refunded(order, l1=100, now=LATER)), pytest.raises(Busy):
        close_january(alice)
    close_january(alice)

    assert (base_fen(alice, "2026-01"), balance(alice)) == (9_800, 980)


def test_what_goes_back_while_its_month_is_closed_counts_in_the_next(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    settled()
    partly_refunded(order, l1=900, now=FEBRUARY, told=False)

    with before_write(1, lambda: close_january(alice)):
        told_again(order, now=FEBRUARY)

    assert (base_fen(alice, "2026-01"), base_fen(alice, "2026-02")) == (9_900, -900)


def test_what_is_counted_while_its_month_is_closed_counts_in_the_next(alice: str) -> None:
    friend = a_friend_of(alice)
    completed(paid(bought(friend)))
    settled()
    order = completed(paid(bought(friend)))
    settling.settle([entry_of(commission(order))], LATER)

    with before_write(2, lambda: close_january(alice)):
        due.run(job=facts.JOB, worker="late", now=FEBRUARY, seconds=30)
    due.run(job=facts.JOB, worker="later", now=FEBRUARY + DAY, seconds=30)

    assert (base_fen(alice, "2026-01"), base_fen(alice, "2026-02")) == (9_900, 9_900)


def test_what_was_settled_counts_once_though_it_is_told_by_two_at_once(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    settling.settle([entry_of(commission(order))], LATER)
    pk, _ = ledger.Account.key(alice, service.MONEY)
    (entry,) = table.query_all(Row, pk, Row.sk.startswith("ENTRY#settle#"))

    def told() -> None:
        happens("settlement.posted", entry, now=LATER)

    with before_write(1, told):
        told()

    assert (promoters.counts_of(alice)["orders"], base_fen(alice, "2026-01")) == (1, 9_900)


def test_what_is_made_by_two_at_once_and_held_by_then_is_held(alice: str) -> None:
    order = paid(bought(a_friend_of(alice)), told=False)

    def made() -> None:
        told_again(order)
        held(order)

    with before_write(1, made):
        told_again(order)

    assert earned(order) == [("L1", "held", 990)]


def test_what_is_settled_while_it_is_held_stays_settled(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))

    with before_write(1, settled), pytest.raises(service.CommissionMoved):
        held(order)

    assert (earned(order), balance(alice)) == ([("L1", "settled", 990)], 990)


def test_what_is_held_while_its_order_is_completed_stays_held(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))), told=False)

    with before_write(1, lambda: held(order)):
        told_again(order)

    assert earned(order) == [("L1", "held", 990)]
    assert commission(order).due_at is None


def test_what_is_held_while_it_waits_stays_held(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    orders.aftersale(order.order_id, is_open=True, at=NOW)
    entries = [entry_of(commission(order))]

    with before_write(1, lambda: held(order)):
        settling.settle(entries, LATER)

    row = commission(order)
    assert (row.state, service.changes_of(row)[-1].what) == ("held", "held")
    assert row.due_at is None


def test_what_goes_back_after_it_was_settled_is_clawed_back_once_by_two_at_once(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    settled()
    partly_refunded(order, l1=900, now=LATER, told=False)

    with before_write(1, lambda: told_again(order, now=LATER)):
        told_again(order, now=LATER)

    assert (earned(order), balance(alice)) == ([("L1", "settled", 900)], 900)


# --- what a day's run notes ---------------------------------------------------------------------------------


def test_what_waits_twice_in_a_day_is_noted_once(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    orders.aftersale(order.order_id, is_open=True, at=NOW)
    settled()
    held(order)
    service.release(commission(order).commission_id, reason="fine", by=OWNER, now=LATER)

    settled(now=LATER + HOUR)

    assert lines() == [("waits", LATER)]


def test_what_fails_twice_in_a_day_is_noted_once(alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry_of(commission(completed(paid(bought(a_friend_of(alice))))))]

    def sick(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(settling, "_settled", sick)
        for now in (LATER, LATER + HOUR):
            with pytest.raises(RuntimeError):
                settling.settle(entries, now)

    assert lines() == [("failed", LATER)]


# --- what operators say -------------------------------------------------------------------------------------


def values() -> list[tuple[int, bool]]:
    """What the rate of the first level said, the newest first."""
    found = rates.versions(rates.id_for(rules.Scope(level="level1")))
    return [(one.value, one.on) for one in found]


@pytest.mark.parametrize("before", [[], [(500, True)]], ids=["the first", "the next"])
def test_of_two_who_say_a_rate_at_once_one_does(before: list[tuple[int, bool]]) -> None:
    for value, _ in before:
        a_rate(bps=value)

    with before_write(1, lambda: a_rate(bps=1000)), pytest.raises(Busy):
        a_rate(bps=2000)

    assert values() == [(1000, True), *before]


def test_a_rate_that_is_said_anew_while_another_switches_it_off_is_on() -> None:
    rate_id = a_rate(bps=500)

    with before_write(1, lambda: a_rate(bps=1000)), pytest.raises(Busy):
        rates.switch_off(rate_id, by=OWNER, now=NOW)

    assert values() == [(1000, True), (500, True)]


def test_of_two_versions_of_the_terms_that_are_made_at_once_one_is_made() -> None:
    with before_write(1, lambda: some_terms(hold_days=8)), pytest.raises(Busy):
        some_terms(hold_days=9)

    assert [terms.said(row).hold_days for row in terms.versions(limit=9)] == [8, 7]
