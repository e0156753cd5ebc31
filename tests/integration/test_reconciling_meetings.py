"""Two who meet over one pass or one drift, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import cache, due, table
from chalicelib.core.clock import HOUR
from chalicelib.core.ledger import Account
from chalicelib.coupons.models import Stock
from chalicelib.reconciling import service
from chalicelib.reconciling.models import Drift, Pass
from tests.coupons import a_template
from tests.factories import NOW
from tests.harness.meetings import before_write
from tests.points import ALICE, earn

pytestmark = pytest.mark.usefixtures("direct")
AT = NOW + HOUR
DAILY, MONTHLY = "2026-01-01#day", "2026-01#month"


def planned(*, now: int = AT) -> None:
    """A process that remembers nothing plans the passes of the night."""
    cache.clear_all()
    service.plan(now=now)


def the_pass(name: str) -> Any:
    """It as it is."""
    return table.get(Pass, Pass.key(name))


def step(name: str, *, now: int = AT) -> None:
    """A worker makes the next slice of a pass."""
    row = the_pass(name)
    told = {"pk": row.pk, "sk": row.sk, "kind": "", "due_ref": "", "due_shard": row.due_shard or ""}
    service.go_on(due.Entry(due_at=row.due_at or now, **told), now)


def made(name: str, *, now: int) -> None:
    """A pass is made to its end."""
    while the_pass(name).state != "done":
        step(name, now=now)


def bend_account(by: int) -> None:
    """Alice's balance is changed as no code changes it."""
    key = Account.key(ALICE, "points")
    table.apply(table.update(Account, key, Account.balance.add(by), refuse=KeyError))


def an_account() -> Callable[[int], None]:
    """A partition that is proved; how it is bent."""
    earn(10)
    return bend_account


def a_stock() -> Callable[[int], None]:
    """A counter that is judged at a pass's end; how it is bent."""
    key = Stock.key(a_template(stock=9).template_id, 0)

    def bend(by: int) -> None:
        table.apply(table.update(Stock, key, Stock.issued.add(by), refuse=KeyError))

    return bend


# --- a pass -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "slices", "write"),
    [(MONTHLY, 0, 1), (DAILY, 0, 2), (MONTHLY, 0, 2), (MONTHLY, 1, 2)],
    ids=["begun", "worked by day", "worked by month", "judged"],
)
def test_a_slice_that_another_has_worked_meanwhile_is_not_worked_again(
    name: str, slices: int, write: int
) -> None:
    an_account()
    a_stock()
    planned()
    for _ in range(slices):
        step(name)
    there: list[Any] = []

    def another() -> None:
        step(name)
        there.append(the_pass(name).serialize())

    with before_write(write, another):
        step(name)

    assert [the_pass(name).serialize()] == there


def test_a_pass_that_was_made_is_not_planned_again() -> None:
    earn(10)
    planned()
    made(DAILY, now=AT)

    planned(now=AT + HOUR)

    assert the_pass(DAILY).state == "done"


def test_of_two_that_are_begun_in_one_second_one_is_made() -> None:
    name = service.begin(now=AT)
    step(name)

    with pytest.raises(table.Taken):
        service.begin(now=AT)

    assert the_pass(name).slices == 1


# --- a drift ------------------------------------------------------------------------------------------------


def the_drift() -> Drift:
    """The one number that did not add up."""
    (row,) = table.query_all(Drift, "DRIFTS")
    assert isinstance(row, Drift)
    return row


@pytest.mark.parametrize(
    ("of", "name", "slices"), [(an_account, DAILY, 0), (an_account, MONTHLY, 0), (a_stock, MONTHLY, 1)]
)
def test_what_two_find_in_one_slice_is_told_once(
    of: Callable[[], Callable[[int], None]], name: str, slices: int
) -> None:
    of()(7)
    planned()
    for _ in range(slices):
        step(name)

    with before_write(2, lambda: step(name)):
        step(name)

    assert the_drift().times == 1


@pytest.mark.parametrize(("of", "slices"), [(an_account, 0), (a_stock, 1)])
def test_what_is_found_wrong_again_while_it_is_found_right_is_not_gone(
    of: Callable[[], Callable[[int], None]], slices: int
) -> None:
    bend = of()
    bend(7)
    made(service.begin(now=AT), now=AT)
    bend(-7)
    name = service.begin(now=AT + 1)
    for _ in range(slices):
        step(name, now=AT + 1)

    def wrong_again() -> None:
        bend(7)
        made(service.begin(now=AT + 2), now=AT + 2)

    with before_write(2, wrong_again):
        step(name, now=AT + 1)

    assert the_drift().times == 2
    assert the_drift().gone_at is None
