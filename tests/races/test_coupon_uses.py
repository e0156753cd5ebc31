"""Uses: a coupon is held by one order, redeemed once, returned once by that order (C2), or given to one friend.

Storms of lock, redeem, release and return are judged by the stream as well: every change of a coupon is one of
those that are allowed.

Cases of the field, by their numbers in research/malls.md 3:
    14 lilishop, a use that is checked and then written: test_many_orders_for_one_coupon_and_one_holds_it,
       test_the_shop_the_mall_a_friend_and_an_operator_at_once_and_one_gets_it
    15 macrozheng/mall#1003, five orders, one coupon:
       test_the_harness_sees_a_coupon_used_by_five_orders_when_the_rule_is_a_read, and the same with rules
"""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core.errors import AppError
from chalicelib.coupons import gifts, service, templates, using
from chalicelib.coupons.models import Coupon
from tests.coupons import a_basket, a_coupon, a_template, again, broken, claim, lock, wanted
from tests.factories import NOW, OWNER
from tests.groupbuys import a_buyer, buyers, naively
from tests.races.arena import CROWD, ROUGH, STORM, Arena, rounds

pytestmark = pytest.mark.engine

STEPS = {
    (None, "unused"),
    ("unused", "locked"),
    ("locked", "unused"),
    ("locked", "redeemed"),
    ("redeemed", "unused"),
    ("unused", "redeemed"),
    ("unused", "void"),
    ("unused", "gifting"),
    ("gifting", "gifted"),
    ("gifting", "unused"),
}


def steps(arena: Arena) -> list[tuple[str | None, str]]:
    """What became of all coupons, step by step; what a step owed and owes no more is none."""
    changes = arena.images("coupon")
    stepped = [(one.old["state"] if one.old else None, one.new["state"]) for one in changes if one.new]
    return [(before, after) for before, after in stepped if before != after]


def check(arena: Arena, *coupons: Coupon) -> None:
    """Every step is allowed, and coupons and orders say the same."""
    assert set(steps(arena)) <= STEPS
    for coupon in coupons:
        template = templates.find(coupon.template_id, now=NOW)
        assert broken(arena, template, stock=10) == []


def locking(coupon: Coupon, order: str) -> Callable[[], Any]:
    """An order wants the coupon."""
    return lambda: using.lock(wanted(coupon, order=order), now=NOW)[0]


def test_the_harness_sees_a_coupon_used_by_five_orders_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macrozheng/mall#1003: five orders, one coupon."""
    coupon = a_coupon()
    naively(monkeypatch)

    arena.collide(*[locking(coupon, f"M-{n}") for n in range(5)]).expect(won=5)

    assert len(arena.rows("coupon_lock", state="locked")) == 5


@rounds(STORM)
def test_many_orders_for_one_coupon_and_one_holds_it(arena: Arena) -> None:
    coupon = a_coupon()

    outcomes = arena.race(*[locking(coupon, f"M-{n}") for n in range(CROWD)])

    outcomes.expect(won=1, coupon_in_use=CROWD - 1)
    check(arena, coupon)


@rounds(STORM)
def test_vendure_4660_many_orders_are_paid_with_a_coupon_for_one(arena: Arena) -> None:
    coupon = a_coupon()

    def paying(order: str) -> Callable[[], Any]:
        def pay() -> Any:
            using.lock(wanted(coupon, order=order), now=NOW)
            return using.redeem(order, now=NOW)

        return pay

    arena.race(*[paying(f"M-{n}") for n in range(8)]).expect(won=1, coupon_in_use=7)

    assert [row["state"] for row in arena.rows("coupon_lock")] == ["redeemed"]
    check(arena, coupon)


def test_macrozheng_mall_1002_coupons_are_worth_more_than_the_order(arena: Arena) -> None:
    """There 1,000 yuan were taken off 176 in full, and the order was to pay 824 below nothing."""
    alice, basket = a_buyer(), a_basket(8800, 8800)
    worth = {"value_fen": 1000_00, "threshold_fen": 100_00, "exclusive": False}
    wallet = [claim(a_template(**worth), alice) for _ in range(2)]

    one = lock(wallet[0], basket=basket)
    using.release(one.order_ref, now=NOW)
    two = lock(*wallet, basket=basket)

    assert (one.discount_fen, one.per_line) == (two.discount_fen, two.per_line) == (176_00, [8800, 8800])


@rounds(STORM)
def test_one_order_that_locks_many_times_holds_its_coupons_once(arena: Arena) -> None:
    alice = a_buyer()
    pair = [claim(a_template(exclusive=False), alice) for _ in range(2)]
    ask = wanted(*pair, order="M-1")

    arena.race(*[lambda: using.lock(ask, now=NOW)] * CROWD).expect(won=CROWD)

    assert [again(one).rev for one in pair] == [2, 2]
    check(arena, *pair)


@rounds(ROUGH)
def test_two_orders_that_want_two_coupons_crosswise_hold_both_or_none(arena: Arena) -> None:
    alice = a_buyer()
    one, two = [claim(a_template(exclusive=False), alice) for _ in range(2)]
    asks = [wanted(*pair, order=f"M-{n}") for n, pair in enumerate([(one, two), (two, one)] * 8)]

    outcomes = arena.race(*[lambda ask=ask: using.lock(ask, now=NOW) for ask in asks])

    outcomes.expect(won=1, coupon_in_use=15)
    assert again(one).order_ref == again(two).order_ref
    check(arena, one, two)


def test_the_harness_sees_a_coupon_redeemed_and_released_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    coupon = a_coupon()
    lock(coupon, order="M-1")
    naively(monkeypatch)

    arena.collide(lambda: using.redeem("M-1", now=NOW), lambda: using.release("M-1", now=NOW)).expect(won=2)

    assert again(coupon).rev == 4


@rounds(STORM)
def test_redeem_and_release_at_once_come_to_one_end(arena: Arena) -> None:
    coupon = a_coupon()
    lock(coupon, order="M-1")

    outcomes = arena.race(
        *[lambda: using.redeem("M-1", now=NOW), lambda: using.release("M-1", now=NOW)] * (CROWD // 2)
    )

    outcomes.expect(won=CROWD // 2, coupon_lock_state=CROWD // 2)
    assert again(coupon).rev == 3
    check(arena, coupon)


@rounds(STORM)
def test_a_redemption_is_returned_once_though_it_is_asked_for_many_times(arena: Arena) -> None:
    coupon = a_coupon()
    lock(coupon, order="M-1")
    using.redeem("M-1", now=NOW)

    arena.race(*[lambda: using.bring_back("M-1", now=NOW)] * CROWD).expect(won=CROWD)

    assert [step for step in steps(arena) if step == ("redeemed", "unused")] == [("redeemed", "unused")]
    check(arena, coupon)


@rounds(STORM)
def test_a_storm_of_orders_on_one_wallet_leaves_every_coupon_with_one_order_or_none(arena: Arena) -> None:
    alice = a_buyer()
    wallet = [claim(a_template(exclusive=False), alice) for _ in range(4)]

    def an_order(n: int) -> Callable[[], None]:
        pair = (wallet[n % 4], wallet[(n + 1) % 4])

        def course() -> None:
            order = f"M-{n}"
            using.lock(wanted(*pair, order=order), now=NOW)
            if n % 3 == 0:
                using.release(order, now=NOW)
                return
            using.redeem(order, now=NOW)
            using.bring_back(order, now=NOW)

        return lambda: settled(course)

    arena.race(*[an_order(n) for n in range(32)]).expect(won=32)

    check(arena, *wallet)
    assert len(arena.rows("coupon_lock")) > 1


def settled(course: Callable[[], None]) -> None:
    """The course of an order, which another may have got in the way of."""
    try:
        course()
    except AppError as refused:
        if refused.code == "busy":
            raise


@rounds(ROUGH)
def test_the_shop_the_mall_a_friend_and_an_operator_at_once_and_one_gets_it(arena: Arena) -> None:
    coupon = a_coupon(giftable=True)
    code, _ = using.shop_code(coupon.member_id, coupon.coupon_id, now=NOW)

    outcomes = arena.race(
        *[lambda: using.verify(code, by=OWNER, now=NOW)] * 8,
        *[locking(coupon, f"M-{n}") for n in range(8)],
        *[lambda: gifts.give(coupon.member_id, coupon.coupon_id, now=NOW)] * 8,
        *[lambda: using.void(coupon.member_id, coupon.coupon_id, reason="x", by=OWNER, now=NOW)] * 8,
    )

    outcomes.expect_won_or("coupon_in_use", "coupon_not_giftable")
    assert again(coupon).rev == 2
    check(arena, coupon)


# --- gifts --------------------------------------------------------------------------------------------------


def test_the_harness_sees_a_gift_taken_by_eight_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    coupon = a_coupon(giftable=True)
    code = gifts.give(coupon.member_id, coupon.coupon_id, now=NOW)[0].code
    crowd = buyers(8)
    naively(monkeypatch)

    arena.collide(*[lambda one=one: gifts.accept(code, one, now=NOW) for one in crowd]).expect(won=8)

    assert len(arena.rows("coupon", source="gift")) == 8


@rounds(STORM)
def test_a_gift_in_many_hands_is_one_friends(arena: Arena) -> None:
    coupon = a_coupon(giftable=True)
    code = gifts.give(coupon.member_id, coupon.coupon_id, now=NOW)[0].code

    outcomes = arena.race(*[lambda one=one: gifts.accept(code, one, now=NOW) for one in buyers(CROWD)])

    outcomes.expect(won=1, gift_taken=CROWD - 1)
    check(arena, coupon)


@rounds(STORM)
def test_a_gift_that_is_taken_and_taken_back_at_once_is_one_of_both(arena: Arena) -> None:
    coupon, bob = a_coupon(giftable=True), a_buyer()
    code = gifts.give(coupon.member_id, coupon.coupon_id, now=NOW)[0].code

    outcomes = arena.race(
        *[
            lambda: gifts.accept(code, bob, now=NOW),
            lambda: gifts.take_back(coupon.member_id, coupon.coupon_id, now=NOW),
        ]
        * 16
    )

    outcomes.expect_won_or("gift_over", "gift_taken")
    taken = len(service.all_of(bob))
    assert again(coupon).state == ("gifted" if taken else "unused")
    check(arena, coupon)
