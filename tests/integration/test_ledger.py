"""The ledger: what a posting is, what comes back, what expires, and what each of it costs."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import due, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.core.ledger import Drift, HoldOver, NotEnough, OverReversed, Posted, Standing
from tests.factories import NOW, books
from tests.harness.counter import counting, item_size
from tests.harness.hostile import Hostile
from tests.harness.meetings import before_write
from tests.points import ALICE, YEAR, balance, close, earn, freeze, lots, release, reverse, spend

BOB = "mbr_" + "B" * 26
FEBRUARY = NOW + 31 * DAY
MARCH = NOW + 59 * DAY
END_OF_JANUARY = 1_801_411_200  # 1 February 2027, 00:00 in Shanghai
END_OF_FEBRUARY = 1_803_830_400

pytestmark = pytest.mark.usefixtures("direct")


def listed(**more: Any) -> list[tuple[str, int]]:
    page = ledger.entries(owner=ALICE, book="points", **{"limit": 10, **more})
    return [(entry.cause, entry.amount) for entry in page.rows]


# --- posting ------------------------------------------------------------------------------------------------


def test_what_is_earned_can_be_spent_and_no_more() -> None:
    earn(100)
    spend(30)

    with pytest.raises(NotEnough) as refused:
        spend(71)

    assert refused.value.details == {"balance": 70, "book": "points"}
    assert balance() == 70


def test_nobody_spends_from_an_account_that_is_not_there() -> None:
    with pytest.raises(NotEnough) as refused:
        spend(1)

    assert refused.value.details["balance"] == 0


def test_a_cause_posts_once_and_a_replay_is_told_so_even_when_nothing_is_left() -> None:
    earn(100, cause="day-1")
    spend(100, cause="gift")

    for cause, amount in (("day-1", 100), ("gift", -100)):
        with pytest.raises(Posted) as told:
            earn(amount, cause=cause)
        assert told.value.row.amount == amount

    assert balance() == 0


def test_lines_of_one_posting_add_up_to_it() -> None:
    earn(12, cause="day-7", lines=[("day", 5), ("streak", 7)])

    entry = ledger.find(owner=ALICE, book="points", cause="day-7")
    assert entry is not None and (entry.amount, entry.lines) == (12, [["day", 5], ["streak", 7]])
    with pytest.raises(ValueError, match="13"):
        earn(13, lines=[("day", 5), ("streak", 7)])
    with pytest.raises(ValueError, match="0"):
        earn(0)


def test_books_of_one_owner_are_apart() -> None:
    earn(5, book="growth", lasts_months=None)
    earn(7)

    assert ledger.balance(owner=ALICE, book="growth") == 5
    assert ledger.balance(owner=ALICE, book="makeup_card") == 0
    assert balance() == 7


# --- the list -----------------------------------------------------------------------------------------------


def test_what_was_just_posted_is_listed_though_the_index_lags() -> None:
    with Hostile(table.client(), dice=random.Random(1), index_delay=float("inf")):
        earn(10, cause="one")
        spend(3, cause="two", now=NOW + 1)
        earn(1, cause="three", now=NOW + 2)

        assert listed() == [("three", 1), ("two", -3), ("one", 10)]
        assert listed(limit=2) == [("three", 1), ("two", -3)]


def test_pages_follow_each_other_without_a_gap_or_a_repeat() -> None:
    causes = [earn(n + 1, cause=f"c{n}", now=NOW + n) for n in range(7)]
    seen: list[str] = []
    after = None
    while True:
        page = ledger.entries(owner=ALICE, book="points", limit=2, after=after)
        seen += [entry.cause for entry in page.rows]
        after = page.next_key
        if after is None:
            break

    assert seen == causes[::-1]


# --- holds --------------------------------------------------------------------------------------------------


def test_what_is_frozen_is_spent_once() -> None:
    earn(100)
    hold = freeze(60)
    assert (balance(), ledger.drift(owner=ALICE, book="points").frozen) == (40, 60)

    table.transact(ledger.hold_spent(hold))

    for again in (ledger.hold_spent(hold), ledger.hold_released(hold, reason="released", now=NOW)):
        with pytest.raises(HoldOver) as refused:
            table.transact(again)
        assert refused.value.details == {"state": "spent"}
    assert ledger.drift(owner=ALICE, book="points") == Drift(balance=40, posted=40, frozen=0, held=0)


def test_what_is_frozen_is_released_once() -> None:
    earn(100)
    hold = freeze(60)

    release(hold)

    with pytest.raises(HoldOver) as refused:
        release(hold)
    assert refused.value.details == {"state": "released"}
    assert ledger.drift(owner=ALICE, book="points") == Drift(balance=100, posted=100, frozen=0, held=0)


def test_a_hold_that_has_an_end_is_due_then_and_not_once_it_is_over() -> None:
    earn(100)
    hold = freeze(60, until=NOW + 900)
    assert (hold.due_shard, hold.due_at) == (due.shard_of(ledger.RELEASE_JOB, hold.pk), NOW + 900)

    release(hold)

    found = ledger.find(owner=ALICE, book="points", cause=hold.cause)
    assert found is not None and found.due_at is None


# --- reversing ----------------------------------------------------------------------------------------------


def test_reversing_what_was_spent_already_is_a_debt_that_later_earnings_net() -> None:
    order = earn(100)
    spend(80)

    reverse(order)
    standing = ledger.standing(owner=ALICE, book="points", lasts_months=YEAR, now=NOW)
    assert standing == Standing(balance=-80, frozen=0, debt=80, expiring=0, expires_at=None)

    earn(90)
    with pytest.raises(NotEnough):
        spend(11)
    assert balance() == 10


def test_never_more_is_reversed_than_was_posted() -> None:
    order = earn(100)
    reverse(order, 30, part="refund-1")
    reverse(order, 50, part="refund-2")

    with pytest.raises(OverReversed) as refused:
        reverse(order, 21, part="refund-3")

    assert refused.value.details == {"left": 20}
    with pytest.raises(Posted):
        reverse(order, 30, part="refund-1")
    reverse(order)
    assert balance() == 0


def test_what_was_spent_comes_back_and_what_is_frozen_cannot_be_reversed() -> None:
    earn(100)
    gift = spend(40)
    reverse(gift, 15)
    hold = freeze(20)

    with pytest.raises(OverReversed):
        reverse(hold.cause)

    table.transact(ledger.hold_spent(hold))
    reverse(hold.cause)
    assert balance() == 75


def test_what_is_reversed_by_two_at_once_is_reversed_once() -> None:
    order = earn(100)

    with before_write(1, lambda: reverse(order, 60, part="refund-1")), pytest.raises(Posted):
        reverse(order, 60, part="refund-1")
    with before_write(1, lambda: reverse(order, 30, part="refund-2")), pytest.raises(OverReversed) as refused:
        reverse(order, 20, part="refund-3")

    assert (refused.value.details, balance()) == ({"left": 10}, 10)


# --- months -------------------------------------------------------------------------------------------------


def test_points_expire_at_the_end_of_the_month_a_year_after_they_were_earned() -> None:
    earn(100)
    earn(50, now=FEBRUARY)
    spend(70, now=FEBRUARY)
    standing = ledger.standing(owner=ALICE, book="points", lasts_months=YEAR, now=FEBRUARY)
    assert (standing.expiring, standing.expires_at) == (30, END_OF_JANUARY)

    close(END_OF_JANUARY - 1)
    assert balance() == 80
    close(END_OF_JANUARY)
    assert (balance(), listed()[0]) == (50, ("expired#2026-01", -30))

    close(END_OF_JANUARY)
    assert balance() == 50
    close(END_OF_FEBRUARY)
    assert balance() == 0
    account = table.get(ledger.Account, ledger.Account.key(ALICE, "points"))
    assert account is not None and account.due_shard is None


def test_months_that_a_late_job_finds_are_closed_one_after_the_other() -> None:
    earn(100)
    earn(50, now=FEBRUARY)
    spend(30)

    close(END_OF_FEBRUARY + DAY)

    assert listed() == [("expired#2026-02", -50), ("expired#2026-01", -70)] + listed()[2:]
    assert balance() == 0


def test_what_is_released_after_its_month_is_over_lasts_as_long_as_the_oldest_that_is_not() -> None:
    earn(100)
    earn(50, now=FEBRUARY)
    hold = freeze(80, now=FEBRUARY)
    close(END_OF_JANUARY)
    assert balance() == 50

    release(hold, now=END_OF_JANUARY)
    assert (balance(), lots(END_OF_JANUARY)) == (130, [130])

    close(END_OF_FEBRUARY)
    assert balance() == 0


def test_what_is_released_when_no_month_is_left_expires_too() -> None:
    earn(100)
    hold = freeze(80)
    close(END_OF_JANUARY)
    release(hold, now=END_OF_JANUARY)

    close(ledger.closes_at(2027 * 12 + 1, YEAR) - 1)
    assert balance() == 80
    close(ledger.closes_at(2027 * 12 + 1, YEAR))
    assert balance() == 0


def test_reversing_what_expired_takes_only_what_was_spent_of_it() -> None:
    order = earn(100)
    spend(60)
    earn(50, now=FEBRUARY)
    close(END_OF_JANUARY)
    assert balance() == 50

    reverse(order, 30, part="one", now=END_OF_JANUARY)
    assert balance() == 50
    reverse(order, 30, part="two", now=END_OF_JANUARY)
    assert balance() == 30
    reverse(order, now=END_OF_JANUARY)
    assert balance() == -10


def test_what_expired_is_void_once_however_many_reverse_it() -> None:
    order, other = earn(60), earn(40)
    spend(60)
    close(END_OF_JANUARY)

    with before_write(1, lambda: reverse(order, 30, now=END_OF_JANUARY)), pytest.raises(Busy):
        reverse(other, 30, now=END_OF_JANUARY)
    reverse(other, 30, now=END_OF_JANUARY)

    assert balance() == -20


def test_what_is_reversed_while_its_month_is_closed_is_taken_out_of_what_expired() -> None:
    order = earn(100)
    earn(50, now=FEBRUARY)

    with before_write(1, lambda: close(END_OF_JANUARY)), pytest.raises(Busy):
        reverse(order, 30, now=END_OF_JANUARY)
    reverse(order, 30, now=END_OF_JANUARY)

    assert (balance(), lots(END_OF_JANUARY)) == (50, [50])


@pytest.mark.parametrize(
    ("meanwhile", "left"), [(lambda: spend(70), 30), (lambda: close(END_OF_JANUARY), 100)]
)
def test_a_month_is_closed_as_it_is_when_that_is_written(meanwhile: Callable[[], object], left: int) -> None:
    earn(100)
    earn(50, now=FEBRUARY)

    with before_write(1, meanwhile):
        close(END_OF_JANUARY)

    expired = ledger.find(owner=ALICE, book="points", cause="expired#2026-01")
    assert expired is not None and (expired.amount, balance()) == (-left, 50)


def test_a_month_that_comes_over_after_it_expired_here_expires_once_more() -> None:
    for owner in (ALICE, BOB):
        earn(100, owner=owner)
    close(END_OF_JANUARY)

    table.transact(ledger.handed_over(owner=BOB, to=ALICE, book="points", now=END_OF_JANUARY))
    assert balance() == 100
    close(END_OF_JANUARY)

    assert balance() == 0


def test_what_is_posted_while_all_of_an_account_goes_over_goes_over_too() -> None:
    earn(100)

    def hand_over() -> None:
        table.transact(ledger.handed_over(owner=ALICE, to=BOB, book="points", now=NOW))

    with before_write(1, lambda: spend(30)), pytest.raises(Busy):
        hand_over()
    with before_write(1, hand_over), pytest.raises(Busy):
        hand_over()

    assert (balance(), ledger.balance(owner=BOB, book="points")) == (0, 70)


def test_reversing_in_an_open_month_takes_out_of_that_month() -> None:
    order = earn(100)
    earn(50, now=FEBRUARY)
    spend(10)

    reverse(order, now=FEBRUARY)

    assert (balance(), lots(FEBRUARY)) == (40, [0, 40])


def test_points_that_last_are_used_after_those_that_expire() -> None:
    earn(100, lasts_months=None)
    earn(50)
    spend(20)

    close(END_OF_JANUARY)

    assert balance() == 100


def test_a_longer_life_moves_what_is_due_and_no_end_makes_it_lasting() -> None:
    earn(100)
    close(END_OF_JANUARY, months=24)
    assert balance() == 100

    later = ledger.closes_at(2026 * 12, 24)
    close(later, months=None)
    earn(10, now=later)
    close(later + 400 * DAY)
    assert balance() == 100


def test_a_slot_that_came_round_is_not_taken_for_the_month_of_long_ago() -> None:
    order = earn(100)
    close(END_OF_JANUARY)
    again = NOW + 3 * 365 * DAY + 2 * DAY
    earn(40, now=again)

    reverse(order, now=again)

    assert (balance(), lots(again)) == (40, [40])


# --- what it costs ------------------------------------------------------------------------------------------


def test_a_posting_is_one_call_four_units_and_one_for_the_list() -> None:
    with counting(table.client()) as first:
        earn(5)
    with counting(table.client()) as second:
        earn(5)
    with counting(table.client()) as spent:
        spend(5)

    assert first.writes == Counter({"truth": 4, "truth/owner": 1, "truth/due": 1})
    assert second.writes == spent.writes == Counter({"truth": 4, "truth/owner": 1})
    assert [each.calls for each in (first, second, spent)] == [1, 1, 1]


def test_an_account_of_36_months_is_still_one_unit() -> None:
    cause = f"checkin#cmp_{'0' * 26}#2026-01-01"
    earn(99_999, cause=cause)
    account = table.get(ledger.Account, ledger.Account.key(ALICE, "points"))
    assert account is not None
    for name in ("balance", "frozen", "lasting", *(f"m{slot}" for slot in range(ledger.RING))):
        setattr(account, name, 99_999_999)
    account.last_but_one = account.last_but_two = cause

    assert item_size(account.serialize()) <= 1024


def test_freezing_spending_and_releasing_cost_what_they_say() -> None:
    earn(100)
    with counting(table.client()) as frozen:
        hold, other = freeze(10, cause="a"), freeze(10, cause="b")
    with counting(table.client()) as spent:
        table.transact(ledger.hold_spent(hold))
    with counting(table.client()) as released:
        release(other)

    assert (frozen.writes["truth"], spent.writes["truth"], released.writes["truth"]) == (8, 4, 6)
    assert (spent.index_units, released.index_units) == (0, 1)


def test_a_replay_of_a_posting_changes_nothing() -> None:
    with Hostile(table.client(), dice=random.Random(1), lost_reply=1.0):
        earn(5, cause="one")
        spend(2, cause="two")
        hold = freeze(2, cause="three")
        release(hold)
        reverse("one", 1)

    assert balance() == 2
    assert books(table.client()) == Counter(account=1, entry=4, hold=1)
