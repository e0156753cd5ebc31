"""The jobs against everybody else: what they find due is done by one, and not at all where its state has moved on.

Jobs and callers have clocks of their own: a job's says that a time is over while a caller still has a second left.
"""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import due
from chalicelib.core.clock import DAY
from chalicelib.coupons import expiring, gifts, service, templates, using
from chalicelib.coupons.models import Coupon
from tests.coupons import LAST_DAY, a_coupon, again, broken, lock, run_jobs, wanted
from tests.factories import NOW, OWNER
from tests.groupbuys import a_buyer, buyers, naively
from tests.races.arena import ROUGH, STORM, Arena, overtaken, rounds
from tests.races.test_coupon_uses import STEPS, steps

pytestmark = pytest.mark.engine

ENDS = {("unused", "expired"), ("locked", "expired"), ("gifting", "expired")}
LOCK_OVER = NOW + 1800
GIFT_OVER = NOW + gifts.OPEN_FOR_S


def job(*, at: int) -> Callable[[], Any]:
    """A run of the coupons' job that has found its work, and does it now."""
    [entry] = due._due(f"{service.JOB}#0", now=at)
    return lambda: expiring.do_due(entry, at)


def check(arena: Arena, coupon: Coupon, *, rev: int) -> None:
    """So many steps were taken, all of them allowed, and coupons, units and orders say the same."""
    assert again(coupon).rev == rev
    assert set(steps(arena)) <= STEPS | ENDS
    assert broken(arena, templates.find(coupon.template_id, now=NOW), stock=10) == []


# --- the end of a lock --------------------------------------------------------------------------------------


def held() -> Coupon:
    """A coupon that an order holds."""
    coupon = a_coupon()
    lock(coupon, order="M-1")
    return coupon


def test_the_harness_sees_a_coupon_used_and_let_go_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    coupon = held()
    ends = job(at=LOCK_OVER)
    naively(monkeypatch)

    arena.collide(lambda: using.redeem("M-1", now=LOCK_OVER - 1), ends).expect(won=2)

    assert again(coupon).rev == 4


@rounds(STORM)
def test_a_lock_whose_time_is_over_while_it_is_paid_and_let_go_comes_to_one_end(arena: Arena) -> None:
    coupon, n = held(), 16

    outcomes = arena.race(
        *[
            lambda: using.redeem("M-1", now=LOCK_OVER - 1),
            job(at=LOCK_OVER),
            lambda: using.release("M-1", now=LOCK_OVER - 1),
        ]
        * n
    )

    # The jobs are never refused; of those who pay and those who let go, all or none came in time.
    outcomes.expect(won=2 * n, coupon_lock_state=n)
    check(arena, coupon, rev=3)


@rounds(ROUGH)
def test_what_a_job_lets_go_is_the_next_orders_and_no_later_job_takes_it_away(arena: Arena) -> None:
    coupon = held()

    outcomes = arena.race(
        *[job(at=LOCK_OVER)] * 16,
        *[lambda n=n: using.lock(wanted(coupon, order=f"N-{n}"), now=LOCK_OVER) for n in range(16)],
    )

    taken = again(coupon).state == "locked"
    outcomes.expect(won=16 + taken, coupon_in_use=16 - taken)
    check(arena, coupon, rev=3 + taken)


def test_an_order_that_holds_its_coupon_anew_keeps_it_though_its_first_lock_is_over(arena: Arena) -> None:
    coupon = held()
    ends = job(at=LOCK_OVER)

    def anew() -> None:
        using.release("M-1", now=LOCK_OVER)
        lock(coupon, order="M-1", now=LOCK_OVER)

    with overtaken(arena.client, "TransactWriteItems", anew):
        ends()

    assert (again(coupon).state, again(coupon).locked_until) == ("locked", LOCK_OVER + 1800)
    check(arena, coupon, rev=4)


# --- the end of a coupon ------------------------------------------------------------------------------------


def test_the_harness_sees_a_coupon_expired_and_held_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    coupon = a_coupon()
    ends, last = job(at=LAST_DAY), LAST_DAY - 1
    naively(monkeypatch)

    arena.collide(lambda: using.lock(wanted(coupon, order="M-1"), now=last), ends).expect(won=2)

    assert again(coupon).rev == 3


@rounds(STORM)
def test_in_its_last_second_a_coupon_is_used_given_taken_away_or_expired(arena: Arena) -> None:
    coupon, last, who = a_coupon(giftable=True), LAST_DAY - 1, OWNER
    code, _ = using.shop_code(coupon.member_id, coupon.coupon_id, now=last)

    outcomes = arena.race(
        *[
            job(at=LAST_DAY),
            lambda: using.lock(wanted(coupon, order="M-1"), now=last),
            lambda: using.verify(code, by=who, now=last),
            lambda: gifts.give(coupon.member_id, coupon.coupon_id, now=last),
            lambda: using.void(coupon.member_id, coupon.coupon_id, reason="x", by=who, now=last),
        ]
        * 8
    )

    refusals = {"coupon_in_use", "coupon_not_applicable", "coupon_not_giftable"}
    outcomes.expect_won_or(*refusals)
    check(arena, coupon, rev=2)
    run_jobs()
    assert again(coupon).state in ("expired", "redeemed", "void")


def test_the_harness_sees_a_coupon_noticed_by_eight_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    coupon = a_coupon(remind_before_s=DAY)
    reminds = job(at=LAST_DAY - DAY)
    naively(monkeypatch)

    arena.collide(*[reminds] * 8).expect(won=8)

    assert again(coupon).rev == 9


@rounds(STORM)
def test_a_coupon_is_noticed_once_by_jobs_that_run_at_once(arena: Arena) -> None:
    coupon = a_coupon(remind_before_s=DAY)

    arena.race(*[job(at=LAST_DAY - DAY)] * 32).expect(won=32)

    assert len(arena.rows("coupon_reminder")) == 1
    assert again(coupon).due_ref == "expire"
    check(arena, coupon, rev=2)


# --- the end of a gift --------------------------------------------------------------------------------------


def sent() -> tuple[Coupon, str, Callable[[], Any]]:
    """A coupon on its way, its code, and the job that finds it not taken in time."""
    coupon = a_coupon(giftable=True)
    code = gifts.give(coupon.member_id, coupon.coupon_id, now=NOW)[0].code
    [entry] = due._due(f"{gifts.JOB}#0", now=GIFT_OVER)
    return coupon, code, lambda: gifts.end_gift(entry, GIFT_OVER)


def test_the_harness_sees_a_gift_taken_and_back_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    (coupon, code, ends), bob = sent(), a_buyer()
    naively(monkeypatch)

    arena.collide(lambda: gifts.accept(code, bob, now=GIFT_OVER - 1), ends).expect(won=2)

    assert (again(coupon).rev, len(service.all_of(bob))) == (4, 1)


@rounds(STORM)
def test_a_gift_in_its_last_second_is_one_friends_or_back_with_its_giver(arena: Arena) -> None:
    (coupon, code, ends), crowd, last = sent(), buyers(16), GIFT_OVER - 1

    outcomes = arena.race(
        *[ends] * 8,
        *[lambda one=one: gifts.accept(code, one, now=last) for one in crowd],
        *[ends] * 8,
        *[lambda: gifts.take_back(coupon.member_id, coupon.coupon_id, now=last)] * 8,
    )

    outcomes.expect_won_or("gift_taken", "gift_over")
    taken = sum(len(service.all_of(one)) for one in crowd)
    assert (again(coupon).state, gifts.find(code).state) == (
        ("gifted", "taken") if taken == 1 else ("unused", "back")
    )
    assert taken <= 1
    check(arena, coupon, rev=3)
