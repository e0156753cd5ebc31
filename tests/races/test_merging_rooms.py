"""What a merged member has goes over while it is spent, held, paid and given back: each thing once, none lost."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core import cache, ledger
from chalicelib.core.estates import HandOver
from chalicelib.core.table import Write
from chalicelib.coupons import merging as coupons_merging
from chalicelib.coupons import using
from chalicelib.coupons.models import Coupon
from chalicelib.groupbuys import merging as groupbuys_merging
from chalicelib.points import merging as points_merging
from tests.coupons import a_template, claim, claiming, lock
from tests.factories import NOW, a_member
from tests.groupbuys import (
    a_campaign,
    broken,
    buying,
    check,
    open_paid_group,
    opened,
    pay,
    paying,
    refunding,
    releasing,
    take,
)
from tests.points import earn, spend
from tests.races.arena import ROUGH, STORM, Arena, careless, rounds, rounds_of

pytestmark = pytest.mark.engine

THREADS = 16


def over(move: HandOver, one: str, other: str) -> Callable[[], bool]:
    """One ask of the job."""
    return lambda: move(one, other, NOW + 60)


def emptied(move: HandOver, one: str, other: str) -> None:
    """The job's next look."""
    cache.clear_all()
    while move(one, other, NOW + 60):
        pass


@rounds(ROUGH, STORM)
def test_an_account_goes_over_while_both_earn_and_spend(arena: Arena) -> None:
    one, other = a_member(), a_member()
    for owner in (one, other):
        earn(50, owner=owner, cause="first")
    move = over(points_merging.hand_over, one, other)
    mine = [functools.partial(earn, 10, owner=one, cause=f"e{n}") for n in range(4)]
    theirs = [functools.partial(spend, 5, owner=other, cause=f"s{n}") for n in range(4)]

    arena.race(
        *[call for some in zip([move] * 4, mine, theirs, [move] * 4, strict=True) for call in some],
        threads=THREADS,
    )
    emptied(points_merging.hand_over, one, other)

    for owner in (one, other):
        assert ledger.drift(owner=owner, book="points").none
    assert ledger.balance(owner=one, book="points") == 0
    assert ledger.balance(owner=other, book="points") == 100 + 40 - 20


def check_coupons(arena: Arena, one: str, other: str, *, limit: int) -> None:
    """No coupon is in two places; no more claims than the limit, for both; each has its unit of stock."""
    rows = arena.rows("coupon")
    live = [row for row in rows if row["state"] != "moved"]
    assert len({row["coupon_id"] for row in live}) == len(live), "a coupon is in two places"
    assert {row["member_id"] for row in live} == {other}
    assert sum(row["issued"] for row in arena.rows("coupon_stock")) == len(live)
    [tally] = [row for row in arena.rows("coupon_tally") if row["pk"].endswith(other)]
    assert tally["n"] == len([row for row in live if "n" in row])
    for row in arena.rows("coupon_lock"):
        [held] = [coupon for coupon in live if coupon.get("order_ref") == row["order_ref"]]
        assert held["state"] == row["state"]
    assert len(live) <= limit


@rounds(ROUGH, STORM)
def test_coupons_go_over_while_they_are_held_used_and_claimed(arena: Arena) -> None:
    one, other, template = a_member(), a_member(), a_template(per_member=5)
    held = [claim(template, one, key=f"k{n}") for n in range(3)]
    for n, coupon in enumerate(held[:2]):
        lock(coupon, order=f"M-{n}")
    move = over(coupons_merging.hand_over, one, other)
    uses = [functools.partial(using.redeem, f"M-{n}", now=NOW) for n in range(2)]
    claims = [claiming(template, other, key=f"o{n}") for n in range(4)]

    arena.race(*uses, *claims, *[move] * 6, *uses, threads=THREADS)
    emptied(coupons_merging.hand_over, one, other)
    for use in uses:
        use()

    check_coupons(arena, one, other, limit=7)  # four were claimed by who did not have the others yet
    assert sorted(row["state"] for row in arena.rows("coupon_lock")) == ["redeemed", "redeemed"]


def test_a_coupon_that_leaves_without_its_condition_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, template = a_member(), a_member(), a_template(per_member=5)
    lock(claim(template, one, key="k"), order="M-1")

    def forgetful(write: Write) -> Write:
        mine: Any = write.row
        return (
            replace(write, when=None) if isinstance(mine, Coupon) and write.operation != "Delete" else write
        )

    careless(monkeypatch, forgetful)
    arena.collide(
        over(coupons_merging.hand_over, one, other), functools.partial(using.redeem, "M-1", now=NOW)
    )

    with pytest.raises((AssertionError, ValueError)):
        check_coupons(arena, one, other, limit=5)


@rounds_of("reserve", ("group", ROUGH), ("seat", STORM))
def test_seats_go_over_while_they_are_paid_released_and_given_back(arena: Arena, reserve: str) -> None:
    campaign = a_campaign(sizes={3: 8900}, reserve=reserve, per_member_groups=4)
    one, other = a_member(), a_member()
    headed = pay(opened(campaign, buying(one)).order)
    unpaid = take(open_paid_group(campaign), buying(one))
    shared = open_paid_group(campaign, buying(other))
    move = over(groupbuys_merging.hand_over, one, other)
    calls = [paying(unpaid, "pay_1"), releasing(arena, unpaid), refunding(headed), paying(unpaid, "pay_1")]

    arena.race(*calls, *[move] * 4, *calls, threads=THREADS)
    emptied(groupbuys_merging.hand_over, one, other)

    assert broken(arena, campaign.campaign_id) == []
    assert not arena.rows("order", member_id=one) and not arena.rows("seat", member_id=one)
    assert shared.head_id == other
    check(arena, campaign)
