"""Proving the books when any storage call fails: a pass goes on, a drift is told once and marked gone once."""

from collections.abc import Iterator

import pytest

from chalicelib.core import cache, due, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.ledger import Account
from chalicelib.reconciling import service
from tests.factories import NOW, books, emptied
from tests.harness.direct import Direct
from tests.harness.faults import each_fault
from tests.points import ALICE, earn

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing is remembered of what was planned."""
    yield
    cache.clear_all()


def bent(by: int) -> None:
    """Alice's balance is changed as no code changes it."""
    key = Account.key(ALICE, "points")
    table.apply(table.update(Account, key, Account.balance.add(by), refuse=KeyError))


def planned(*, now: int) -> int:
    """The day's pass is due, and that of the month is another's; when."""
    service._planned.put("2026-01#month", True, now=now)
    service.plan(now=now)
    return now


def a_wrong_account() -> int:
    """A day's pass is due, over an account that is wrong; when."""
    emptied()
    earn(10)
    bent(7)
    return planned(now=NOW + HOUR)


def one_that_was_seen_to() -> int:
    """The next day's pass is due, once somebody has put the account right."""
    prove(a_wrong_account())
    bent(-7)
    return planned(now=NOW + 3 * DAY)


def prove(now: int) -> None:
    """A reconciler goes on until nothing is due."""
    while entries := list(due._due(f"{service.JOB}#0", now=now)):
        for entry in entries:
            service.go_on(entry, now)


def test_a_drift_is_told_once(direct: Direct) -> None:
    def check(now: int) -> None:
        there = books(direct)
        (done,) = there.of("reconciling_pass")
        assert (done["state"], done["looked"], done["proved"], done["drifts"]) == ("done", 1, 1, 1)
        drift = there.only("drift")
        assert (drift["times"], drift["seen_at"], drift.get("gone_at")) == (1, now, None)

    each_fault(prove, client=table.client(), setup=a_wrong_account, check=check)


def test_a_drift_that_is_gone_is_marked_once_and_stays_on_the_list(direct: Direct) -> None:
    def check(now: int) -> None:
        drift = books(direct).only("drift")
        assert (drift["times"], drift["gone_at"], drift["gone_in"]) == (1, now, "2026-01-04#day")

    each_fault(prove, client=table.client(), setup=one_that_was_seen_to, check=check)
