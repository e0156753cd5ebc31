"""Accounts under a crowd: never below zero, a cause once, a hold ended once, a month closed once (L1, L2).

What the naive version does is what the ledger does, with every condition off.

Cases of the field, by their numbers in research/malls.md 3:
    20 yudao, more is taken than there is: test_a_hundred_spends_against_one_balance
       yudao, what was spent is not taken back: test_a_reversal_beside_spends_is_made_once_and_leaves_a_stated_debt
       yudao, experience is written as it was read: test_many_who_bring_growth_at_once_lose_none_of_it
       (withdrawals: tests/races/test_withdrawals.py)
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.core import ledger, table
from chalicelib.core.ledger import Account, Hold, HoldOver
from tests.factories import NOW
from tests.harness.races import race, read_then_write
from tests.points import ALICE, YEAR, check, close, earn, freeze, release, reverse, spend, thaw
from tests.races.arena import CROWD, ROUGH, STORM, Arena, careless, rounds, unconditionally

pytestmark = pytest.mark.engine
LAST_JANUARY, THIS_JANUARY = NOW - 365 * 86400, NOW


def spending(amount: int, *, cause: str = "") -> Callable[[], str]:
    """One who spends; told that it is posted already, they are done, as a phone is after a lost reply."""
    return lambda: spend(amount, cause=cause)


# --- spends -------------------------------------------------------------------------------------------------


def test_the_harness_sees_an_overdraft_when_no_condition_holds(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    earn(30)
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[spending(10) for _ in range(8)]).expect(won=8)

    with pytest.raises(AssertionError, match="below zero"):
        check(arena)


@rounds(STORM)
def test_a_hundred_spends_against_one_balance(arena: Arena) -> None:
    earn(500)

    outcomes = arena.race(*[spending(10, cause=f"s{n}") for n in range(100)])

    # In a storm a call that took effect may be made again, and finds its own entry.
    outcomes.expect_won_or("Posted", "not_enough", most=50)
    assert outcomes.distribution["not_enough"] == 50
    assert ledger.balance(owner=ALICE, book="points") == 0
    check(arena)


@rounds(STORM)
def test_one_cause_twenty_times_at_once_posts_once(arena: Arena) -> None:
    outcomes = arena.race(*[lambda: earn(7, cause="day-1")] * 20, *[lambda: earn(3, cause="day-2")] * 20)

    outcomes.expect_won_or("Posted", most=2)
    assert ledger.balance(owner=ALICE, book="points") == 10
    assert len(arena.rows("entry")) == 2
    check(arena)


def test_the_harness_sees_growth_lost_when_it_is_written_as_it_was_read(arena: Arena) -> None:
    earn(5, book="growth", lasts_months=None)
    key = Account.key(ALICE, "growth")

    def raised(seen: Account | None) -> object:
        assert seen is not None
        seen.balance = (seen.balance or 0) + 5
        return unconditionally(seen)

    race(*[read_then_write(lambda: table.get(Account, key), raised, parties=8)] * 8).expect(won=8)

    assert ledger.balance(owner=ALICE, book="growth") == 10


@rounds(STORM)
def test_many_who_bring_growth_at_once_lose_none_of_it(arena: Arena) -> None:
    outcomes = arena.race(
        *[lambda n=n: earn(5, cause=f"g{n}", book="growth", lasts_months=None) for n in range(CROWD)]
    )

    outcomes.expect_won_or("Posted")
    assert ledger.balance(owner=ALICE, book="growth") == 5 * CROWD
    check(arena)


# --- holds --------------------------------------------------------------------------------------------------


def ending(hold: Hold, *, spends: bool) -> Callable[[], str]:
    """One who spends or releases a hold; the answer is who was first."""

    def end() -> str:
        try:
            thaw(hold) if spends else release(hold)
        except HoldOver as over:
            return str(over.details["state"])
        return "spent" if spends else "released"

    return end


def test_the_harness_sees_a_hold_spent_and_released_when_no_condition_holds(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    earn(100)
    hold = freeze(10)
    careless(monkeypatch, lambda write: replace(write, when=None))

    outcomes = arena.collide(ending(hold, spends=True), ending(hold, spends=False))

    assert sorted(outcomes.winners) == ["released", "spent"]


@rounds(STORM)
def test_holds_are_spent_or_released_once_each(arena: Arena) -> None:
    earn(100)
    holds = [freeze(10) for _ in range(8)]
    calls = [ending(hold, spends=bool(n % 2)) for n in range(8) for hold in holds]

    outcomes = arena.race(*calls, *[spending(10, cause=f"s{n}") for n in range(12)])

    told = [outcome.value for outcome in outcomes[:CROWD]]
    for at in range(8):
        assert len(set(told[at::8])) == 1, "one hold was told of as spent and as released"
    check(arena)
    released = sum(told[at] == "released" for at in range(8))
    taken = sum(row["reason"] == "checkin" and row["amount"] < 0 for row in arena.rows("entry"))
    assert ledger.balance(owner=ALICE, book="points") == 20 + 10 * released - 10 * taken


# --- months -------------------------------------------------------------------------------------------------


def test_the_harness_sees_a_month_closed_eight_times_when_no_condition_holds(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    earn(400, now=LAST_JANUARY)
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[lambda: close(ledger.closes_at(2025 * 12, YEAR))] * 8).expect(won=8)

    assert ledger.balance(owner=ALICE, book="points") == 400 - 8 * 400


@rounds(ROUGH)
def test_a_month_is_closed_once_while_others_earn_and_spend(arena: Arena) -> None:
    earn(400, now=LAST_JANUARY)
    earn(100, now=THIS_JANUARY)
    over = ledger.closes_at(2025 * 12, YEAR)
    calls = [lambda: close(over)] * 12
    calls += [lambda n=n: spend(10, cause=f"s{n}") for n in range(26)]  # type: ignore[misc]
    calls += [lambda n=n: earn(5, cause=f"e{n}", now=over) for n in range(26)]  # type: ignore[misc]

    arena.race(*calls)

    check(arena)
    spent = sum(-row["amount"] for row in arena.rows("entry") if row["cause"].startswith("s"))
    (expired,) = arena.rows("entry", reason="expired")
    # What was spent before the month was over came out of it; what was spent afterwards, out of the others.
    assert 400 - spent <= -expired["amount"] <= 400
    (account,) = arena.rows("account")
    assert account["balance"] == 400 + 100 + 26 * 5 - spent + expired["amount"]
    assert f"m{2025 * 12 % ledger.RING}" not in account


# --- reversals ----------------------------------------------------------------------------------------------


def test_the_harness_sees_one_part_reversed_eight_times_when_no_condition_holds(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = earn(300)
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[lambda: reverse(order, 100, part="r1")] * 8).expect(won=8)

    assert ledger.balance(owner=ALICE, book="points") == 300 - 8 * 100


@rounds(STORM)
def test_a_reversal_beside_spends_is_made_once_and_leaves_a_stated_debt(arena: Arena) -> None:
    order = earn(300)
    earn(20)
    reversals: list[Callable[[], object]] = [lambda: reverse(order, 100, part="r1")] * 8
    reversals += [lambda: reverse(order, part="r2")] * 8
    spends = [spending(10, cause=f"s{n}") for n in range(48)]

    outcomes = arena.race(*reversals[:8], *spends[:24], *reversals[8:], *spends[24:])

    outcomes.expect_won_or("Posted", "not_enough", "over_reversed")
    check(arena, debts=True)
    spent = -sum(row["amount"] for row in arena.rows("entry") if row["cause"].startswith("s"))
    (original,) = arena.rows("entry", cause=order)
    back = -sum(row["amount"] for row in arena.rows("entry") if row["reason"] == "refund")
    assert back == 300 - original["left"] <= 300
    assert ledger.balance(owner=ALICE, book="points") == 320 - spent - back
