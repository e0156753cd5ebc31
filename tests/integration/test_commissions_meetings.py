"""Two who meet over one commission, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Iterator

import pytest

from chalicelib.commissions import months, settling
from chalicelib.core import due, facts
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row
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
    paid,
    partly_refunded,
    refunded,
    settled,
    some_terms,
    told_again,
)
from tests.factories import NOW, emptied
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
