"""Points, growth, levels, badges and exchanges of who became another: all goes over, and nothing counts twice."""

import random

import pytest

from chalicelib.core import ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import NotFound
from chalicelib.core.table import Row
from chalicelib.points import badges, exchanges, levels, merging
from chalicelib.points import service as points
from chalicelib.points.models import Counted, Exchanged, MemberLevel
from infra.local.clients import Store
from tests.factories import NOW, reacted
from tests.harness.rows import rows
from tests.merging import Two, become_one, looked, two_members
from tests.points import YEAR, an_exchange

pytestmark = pytest.mark.usefixtures("direct")

MONTH = 31 * DAY


def post(
    owner: str, amount: int, *, now: int, cause: str, book: str = "points", months: int | None = YEAR
) -> None:
    table.transact(
        ledger.posted(
            owner=owner, book=book, amount=amount, cause=cause, reason="test", now=now, lasts_months=months
        )
    )


def standing(owner: str, *, now: int, book: str = "points") -> dict[int, int]:
    account = table.get(ledger.Account, ledger.Account.key(owner, book))
    return {month: left for month, left in ledger.lots(account, now=now).items() if left} if account else {}


def proved(two: Two, *, book: str = "points") -> int:
    """What the two have together; both accounts add up."""
    for owner in (two.one, two.other):
        assert ledger.drift(owner=owner, book=book).none
    return sum(ledger.balance(owner=owner, book=book) for owner in (two.one, two.other))


def test_points_go_over_with_their_months() -> None:
    two = two_members()
    post(two.one, 50, now=NOW, cause="a")
    post(two.one, 30, now=NOW + MONTH, cause="b")
    post(two.one, -20, now=NOW + MONTH, cause="c")
    post(two.other, 5, now=NOW + MONTH, cause="a")
    later = NOW + MONTH
    before = {
        month: left + standing(two.other, now=later).get(month, 0)
        for month, left in standing(two.one, now=later).items()
    }

    become_one(two, now=later)

    assert standing(two.other, now=later) == before
    assert (ledger.balance(owner=two.one, book="points"), proved(two)) == (0, 65)
    assert standing(two.one, now=later) == {}


def test_what_expires_expires_in_the_others_account_when_it_would_have() -> None:
    two = two_members()
    for owner, months in ((two.one, 1), (two.other, 3)):
        post(owner, 50, now=NOW, cause="a", months=months)
    merging.hand_over(two.one, two.other, NOW)

    ledger.close(owner=two.other, book="points", lasts_months=2, now=NOW)
    account = table.get(ledger.Account, ledger.Account.key(two.other, "points"))
    assert account is not None and account.due_at == ledger.closes_at(ledger._month(NOW), 2)
    ledger.close(owner=two.other, book="points", lasts_months=2, now=account.due_at)
    assert proved(two) == 0


def test_what_came_back_when_its_month_was_over_lasts_as_long_as_it_would_have() -> None:
    two = two_members()
    post(two.one, 50, now=NOW, cause="a", months=1)
    table.transact(ledger.frozen(owner=two.one, book="points", amount=50, cause="h", reason="t", now=NOW))
    later = NOW + 4 * MONTH
    ledger.close(owner=two.one, book="points", lasts_months=1, now=later)
    hold = ledger.find(owner=two.one, book="points", cause="h")
    assert isinstance(hold, ledger.Hold)
    table.transact(ledger.hold_released(hold, reason="t", now=later, lasts_months=1))
    merging.hand_over(two.one, two.other, later)

    ledger.close(owner=two.other, book="points", lasts_months=1, now=later)
    assert (ledger.balance(owner=two.other, book="points"), proved(two)) == (50, 50)
    ledger.close(owner=two.other, book="points", lasts_months=1, now=later + 2 * MONTH)
    assert proved(two) == 0


def test_a_debt_goes_over_and_is_netted() -> None:
    two = two_members()
    post(two.one, 40, now=NOW, cause="a")
    post(two.one, -40, now=NOW, cause="b")
    table.transact(ledger.reversal(owner=two.one, book="points", cause="a", reason="refund", now=NOW))
    post(two.other, 100, now=NOW, cause="a")

    become_one(two)

    assert ledger.balance(owner=two.other, book="points") == proved(two) == 60


def test_what_is_in_a_hold_stays_until_it_comes_back() -> None:
    two = two_members()
    post(two.one, 40, now=NOW, cause="a")
    table.transact(ledger.frozen(owner=two.one, book="points", amount=30, cause="h", reason="test", now=NOW))
    become_one(two)
    assert (ledger.balance(owner=two.other, book="points"), proved(two)) == (10, 10)

    hold = ledger.find(owner=two.one, book="points", cause="h")
    assert isinstance(hold, ledger.Hold)
    points.release(hold, reason="test", now=NOW + DAY)
    looked(now=NOW + DAY)

    assert (ledger.balance(owner=two.other, book="points"), proved(two)) == (40, 40)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_came_before_and_comes_after_the_sums_stay(seed: int) -> None:
    """Earning, spending, holding, reversing, expiring, for both, before and after; a look after each step."""
    dice, two, now = random.Random(seed), two_members(), NOW
    lasts = dice.choice([2, 5, None])
    for owner in (two.one, two.other):
        for n in range(8):
            now = NOW + n * MONTH // 2
            _happens(dice, owner, f"{n}", now=now, months=lasts)
    for n in range(8, 14):
        now += MONTH // 2
        before = proved(two)
        changed = _happens(dice, dice.choice([two.one, two.other]), f"{n}", now=now, months=lasts)
        assert proved(two) == before + changed
        while merging.hand_over(two.one, two.other, now):
            pass
        assert proved(two) == before + changed
    assert ledger.balance(owner=two.one, book="points") == 0
    account = table.get(ledger.Account, ledger.Account.key(two.other, "points"))
    if account is not None and (account.balance or 0) > 0 and lasts is not None:
        assert sum(ledger.lots(account, now=now).values()) <= (account.balance or 0)


def _happens(dice: random.Random, owner: str, n: str, *, now: int, months: int | None) -> int:
    what, amount = dice.choice(["earn", "earn", "spend", "reverse", "close"]), dice.randrange(1, 60)
    before = ledger.balance(owner=owner, book="points")
    if what == "earn":
        post(owner, amount, now=now, cause=n, months=months)
    elif what == "spend" and before >= amount:
        post(owner, -amount, now=now, cause=n, months=months)
    elif what == "reverse":
        for at in range(int(n)):
            entry = ledger.find(owner=owner, book="points", cause=str(at))
            if entry is not None and entry.left:
                table.transact(
                    ledger.reversal(
                        owner=owner,
                        book="points",
                        cause=str(at),
                        reason="refund",
                        now=now,
                        lasts_months=months,
                    )
                )
                break
    else:
        ledger.close(owner=owner, book="points", lasts_months=months, now=now)
    return ledger.balance(owner=owner, book="points") - before


def test_growth_goes_over_and_makes_the_level_it_makes_for_who_brought_it(store: Store) -> None:
    two = two_members()
    post(two.one, 70, now=NOW, cause="a", book="growth", months=None)
    become_one(two)
    reacted(store.client, now=NOW + 31)

    assert (ledger.balance(owner=two.other, book="growth"), proved(two, book="growth")) == (70, 70)
    posted = [row for row in rows(store.client, "truth") if row.get("state") == "growth"]
    assert len(posted) == 2


def test_the_higher_level_stays_and_brings_its_gift_no_second_time() -> None:
    two = two_members()
    for owner, level, highest in ((two.one, 3, 4), (two.other, 2, 2)):
        key = MemberLevel.key(owner)
        row = MemberLevel(*key, state=str(level), member_id=owner, level=level, highest=highest, since=NOW)
        table.apply(table.create(row))

    become_one(two)
    looked(now=NOW + DAY)

    there = table.get(MemberLevel, MemberLevel.key(two.other))
    assert there is not None
    assert (there.level, there.highest) == (3, 4)
    assert levels._gifts(two.other, there, 4, now=NOW) == []
    fallen = table.update(MemberLevel, (there.pk, there.sk), MemberLevel.level.set(1), refuse=NotFound)
    table.apply(fallen)
    looked(now=NOW + 9 * DAY)
    fallen_to = table.get(MemberLevel, MemberLevel.key(two.other))
    assert fallen_to is not None and fallen_to.level == 1


def test_badges_are_had_once_and_what_leads_to_them_adds_up() -> None:
    two = two_members()
    for owner, badge in ((two.one, "early"), (two.one, "loyal"), (two.other, "loyal")):
        table.apply(badges.awarded(owner, badge, now=NOW))
    for owner, n in ((two.one, 3), (two.other, 2)):
        table.apply(table.create(Counted(*Counted.key(owner, "order.paid"), n=n)))

    become_one(two)

    assert badges.of(two.other) == ({"order.paid": 5}, {"early": NOW, "loyal": NOW})
    assert badges.of(two.one) == ({}, {})


def test_how_often_both_exchanged_adds_up(store: Store) -> None:
    two = two_members()
    found = an_exchange(per_member=2)
    for owner in (two.one, two.other):
        table.apply(table.create(Exchanged(*Exchanged.key(found.exchange_id, owner), n=1)))

    become_one(two)

    assert exchanges.taken_by(two.other, [found]) == [2]
    assert not table.get(Row, Exchanged.key(found.exchange_id, two.one))
