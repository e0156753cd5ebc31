"""Coupons by their services, on the embedded store: claimed, listed, quoted, held, used, brought back."""

import math
import random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chalicelib.core import config, due, facts, shards, table
from chalicelib.core.clock import DAY, MINUTE
from chalicelib.core.errors import AppError, Busy, IdempotencyMismatch, Invalid, NotFound
from chalicelib.coupons import quoting, service, templates, using
from chalicelib.coupons.models import Coupon, Stock
from chalicelib.coupons.schemas import MakeTemplate
from chalicelib.coupons.service import AlreadyGranted, CouponLimitReached, NotEligible
from chalicelib.coupons.templates import CouponClaimOver, CouponNotStarted, CouponOff, CouponSoldOut, Making
from chalicelib.coupons.using import (
    CouponInUse,
    CouponNotApplicable,
    CouponsNotCombinable,
    OrderHasCoupons,
    ShopCodeInvalid,
    WrongLockState,
)
from chalicelib.members import service as members
from chalicelib.points import goods, levels
from chalicelib.points import service as points
from chalicelib.points.schemas import EditLevels
from infra.local.clients import Store
from tests.coupons import (
    AFTERWARDS,
    LAST_DAY,
    MAKING,
    a_basket,
    a_coupon,
    a_template,
    again,
    broken,
    claim,
    edited,
    lock,
    run_jobs,
    told,
    wanted,
)
from tests.factories import NOW, OWNER, a_word, caught_up, dying_at, reacted
from tests.groupbuys import a_buyer, buyers
from tests.harness.hostile import Hostile
from tests.harness.rows import rows

pytestmark = pytest.mark.usefixtures("direct")


def refused(kind: type[AppError], call: Any) -> dict[str, Any]:
    """The details of a refusal."""
    with pytest.raises(kind) as said:
        call()
    return said.value.details


# --- claiming -----------------------------------------------------------------------------------------------


def test_a_claim_takes_one_unit_and_a_repeat_answers_with_the_same_coupon(store: Store) -> None:
    template, alice = a_template(stock=3), a_buyer()

    first = service.claim(template_id=template.template_id, member_id=alice, now=NOW)
    second = service.claim(template_id=template.template_id, member_id=alice, now=NOW + 5)

    assert (first.new, second.new) == (True, False)
    assert second.coupon.coupon_id == first.coupon.coupon_id
    assert broken(store, template, stock=3) == []


def test_a_repeat_answers_the_same_when_all_are_gone_and_it_is_over_and_off() -> None:
    template, alice = a_template(stock=1), a_buyer()
    coupon = claim(template, alice)

    refused(CouponSoldOut, lambda: claim(template, a_buyer()))
    assert claim(template, alice).coupon_id == coupon.coupon_id
    assert claim(template, alice, now=NOW + 2 * DAY).coupon_id == coupon.coupon_id
    templates.switch(template.template_id, to="off", making=MAKING)
    assert claim(template, alice).coupon_id == coupon.coupon_id


def test_a_claim_says_which_rule_refused_it() -> None:
    soon = a_template(claim={"starts_at": NOW + 10, "ends_at": NOW + DAY})
    late = a_template()
    off = a_template()
    templates.switch(off.template_id, to="off", making=MAKING)

    assert refused(CouponNotStarted, lambda: claim(soon, a_buyer())) == {"starts_at": NOW + 10}
    assert refused(CouponClaimOver, lambda: claim(late, a_buyer(), now=NOW + DAY)) == {"ended_at": NOW + DAY}
    refused(CouponOff, lambda: claim(off, a_buyer()))
    refused(NotFound, lambda: service.claim(template_id="ctp_x", member_id=a_buyer(), now=NOW))


def test_a_shard_refuses_by_itself_what_a_remembered_template_allows() -> None:
    """The template may be 30 seconds old; the shard's own condition is what counts (yudao never checks it)."""
    template = a_template()
    templates.find(template.template_id, now=NOW)
    table.apply(table.update(Stock, Stock.key(template.template_id, 0), Stock.on.set(False), refuse=NotFound))

    refused(CouponOff, lambda: claim(template, a_buyer()))


def test_the_last_unit_can_be_taken_from_whatever_shard_it_is_in(store: Store) -> None:
    template = a_template(stock=8, stock_shards=8)

    for member_id in buyers(8):
        claim(template, member_id)

    refused(CouponSoldOut, lambda: claim(template, a_buyer()))
    assert broken(store, template, stock=8) == []


def test_sold_out_is_remembered_for_two_seconds_and_then_looked_at_again() -> None:
    template = a_template(stock=1)
    claim(template, a_buyer())
    refused(CouponSoldOut, lambda: claim(template, a_buyer()))
    templates.add_units(template.template_id, units=1, making=MAKING)
    bob = a_buyer()

    refused(CouponSoldOut, lambda: claim(template, bob, now=NOW + 1))
    assert claim(template, bob, now=NOW + 2).state == "unused"


def test_unlimited_means_that_nothing_runs_out(store: Store) -> None:
    template = a_template(stock=None)

    for member_id in buyers(5):
        claim(template, member_id)

    assert broken(store, template, stock=None) == []


def test_more_than_one_can_be_claimed_up_to_the_limit_and_a_key_names_a_claim(store: Store) -> None:
    template, alice = a_template(per_member=3), a_buyer()

    claims = [claim(template, alice, key=key) for key in ("a", "a", "b", "b", "a", "c", "c")]

    assert [one.n for one in claims] == [1, 1, 2, 2, 1, 3, 3]
    assert refused(CouponLimitReached, lambda: claim(template, alice, key="d"))["limit"] == "member"
    assert broken(store, template, stock=10) == []


def test_so_many_a_day_and_the_brands_day_ends_at_its_midnight() -> None:
    template, alice = (
        a_template(per_member=9, per_member_daily=2, claim={"starts_at": NOW, "ends_at": LAST_DAY}),
        a_buyer(),
    )
    midnight = NOW + 14 * 3600  # it is ten in the morning

    claim(template, alice), claim(template, alice)

    last = midnight - 1
    assert refused(CouponLimitReached, lambda: claim(template, alice, now=last))["limit"] == "day"
    assert claim(template, alice, now=midnight).n == 3


def test_a_limit_that_is_raised_counts_the_day_on_which_the_first_was_claimed(store: Store) -> None:
    template, alice, bob = a_template(), *buyers(2)
    claim(template, alice), claim(template, bob)
    midnight = NOW + 14 * 3600
    template = templates.edit(template.template_id, edited(per_member=5, per_member_daily=2), MAKING)

    assert claim(template, alice).n == 2
    assert refused(CouponLimitReached, lambda: claim(template, alice))["limit"] == "day"
    assert [claim(template, bob, key=key, now=midnight).n for key in ("a", "b")] == [2, 3]
    assert broken(store, template, stock=10) == []


def test_a_limit_that_is_raised_counts_what_was_claimed_before_it_was_counted(store: Store) -> None:
    template, alice = a_template(), a_buyer()
    claim(template, alice)
    templates.edit(template.template_id, edited(per_member=2), MAKING)

    assert claim(template, alice).n == 2
    refused(CouponLimitReached, lambda: claim(template, alice))


def test_several_at_one_tap_each_have_their_outcome() -> None:
    here, gone = a_template(), a_template(stock=1)
    claim(gone, a_buyer())
    ids = [here.template_id, gone.template_id, "ctp_x", here.template_id]

    outcomes = service.claim_all(ids, member_id=a_buyer(), key=None, now=NOW)

    assert [getattr(became, "code", "won") for _, became in outcomes] == [
        "won",
        "coupon_sold_out",
        "not_found",
    ]


@pytest.mark.parametrize(
    ("audience", "why"),
    [
        ({"kind": "new_members"}, "new_members_only"),
        ({"kind": "new_members", "within_days": 2}, "new_members_only"),
        ({"kind": "tag", "any_of": ["vip"]}, "tag_missing"),
        ({"kind": "none"}, "not_for_claiming"),
    ],
)
def test_a_coupon_for_others_says_why(audience: dict[str, Any], why: str) -> None:
    template = a_template(audience=audience)
    old = a_buyer(now=NOW - 3 * DAY)

    assert refused(NotEligible, lambda: claim(template, old)) == {"why": why}


def test_new_members_and_the_tagged_may_claim_theirs() -> None:
    bob = a_buyer(now=NOW - 3 * DAY)
    members.tag(bob, tags={"vip"}, by=OWNER, now=NOW)

    assert claim(a_template(audience={"kind": "new_members"}), a_buyer()).n == 1
    assert claim(a_template(audience={"kind": "tag", "any_of": ["vip", "x"]}), bob).n == 1


def test_a_level_of_the_shop_is_asked_for_and_no_other() -> None:
    audience = {"kind": "level", "at_least": 2}
    assert refused(Invalid, lambda: a_template(audience=audience)) == {
        "field": "for.at_least",
        "reason": "the shop has no such level",
        "levels": 0,
    }
    leaves = [{"name": "Leaf", "growth": 0}, {"name": "Tree", "growth": 100}]
    levels.edit(msgspec.convert({"levels": leaves}, EditLevels), by=OWNER, now=NOW)
    carol, dora = buyers(2)
    table.transact(points.earned(carol, growth=100, cause="a gift", reason="gift", now=NOW))
    reacted(table.client(), now=NOW)
    template = a_template(audience=audience)

    assert claim(template, carol).n == 1
    assert refused(NotEligible, lambda: claim(template, dora)) == {"why": "level_too_low"}


def test_points_buy_a_coupon_once_for_what_they_pay(store: Store) -> None:
    template, carol = a_template(audience={"kind": "none"}, stock=1), a_buyer()
    giving = goods.Giving(
        member_id=carol, what={"template_id": template.template_id}, cause="exchange#1", now=NOW
    )
    goods.check("coupon", giving.what, now=NOW)

    table.transact(goods.given("coupon", giving))
    with pytest.raises(CouponSoldOut):
        goods.given("coupon", replace(giving, cause="exchange#2"))

    assert [one.template_id for one in service.all_of(carol)] == [template.template_id]
    assert broken(store, template, stock=1) == []


@pytest.mark.parametrize("what", [{}, {"template_id": "ctp_none"}, {"template_id": 7}, {"count": 1}])
def test_points_buy_no_coupon_that_there_is_not(what: dict[str, Any]) -> None:
    assert refused(Invalid, lambda: goods.check("coupon", what, now=NOW))["field"].startswith("what")


# --- given by other rooms -----------------------------------------------------------------------------------


def give(template_id: str, member_id: str, cause: str, *, now: int = NOW) -> None:
    """As another room does it."""
    table.transact(service.granted(template_id, member_id, cause=cause, now=now))


def test_a_cause_gives_one_coupon_beside_the_members_own_claims(store: Store) -> None:
    template, alice = a_template(audience={"kind": "none"}), a_buyer()

    give(template.template_id, alice, "rule-1#fact-1")
    refused(AlreadyGranted, lambda: give(template.template_id, alice, "rule-1#fact-1"))
    give(template.template_id, alice, "rule-1#fact-2", now=NOW + 5 * DAY)

    assert [one.source for one in service.all_of(alice)] == ["grant", "grant"]
    assert broken(store, template, stock=10) == []


@pytest.mark.parametrize("stock_shards", [1, 3])
def test_what_is_given_is_never_more_than_there_is_nor_of_what_is_off(
    stock_shards: int, store: Store
) -> None:
    template = a_template(stock=3, stock_shards=stock_shards)
    for cause in "abc":
        give(template.template_id, a_buyer(), cause)

    refused(CouponSoldOut, lambda: give(template.template_id, a_buyer(), "d"))
    templates.switch(template.template_id, to="off", making=MAKING)
    refused(CouponOff, lambda: give(template.template_id, a_buyer(), "d"))
    assert broken(store, template, stock=3) == []


def test_a_shard_that_was_emptied_since_it_was_looked_at_is_busy_and_not_sold_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "shard_for", lambda key, shards: 0)
    template = a_template(stock=2, stock_shards=2)
    writes = service.granted(template.template_id, a_buyer(), cause="a", now=NOW)
    same = service.granted(template.template_id, a_buyer(), cause="b", now=NOW)
    table.transact(writes)

    refused(Busy, lambda: table.transact(same))
    give(template.template_id, a_buyer(), "b")


# --- lists --------------------------------------------------------------------------------------------------


def test_what_was_just_won_is_in_the_list_though_every_index_is_late(store: Store) -> None:
    alice = a_buyer()
    with Hostile(table.client(), dice=random.Random(1), index_delay=math.inf):
        coupon = claim(a_template(), alice)

        assert [one.coupon_id for one in service.all_of(alice)] == [coupon.coupon_id]


def test_a_coupon_that_is_over_is_expired_for_people_before_the_job_has_come() -> None:
    coupon = a_coupon()

    assert service.counts([coupon], now=LAST_DAY - 1) == {"unused": 1}
    assert service.counts([coupon], now=LAST_DAY) == {"expired": 1}


def test_offers_say_for_each_whether_it_can_be_claimed_and_why_not() -> None:
    alice = a_buyer(now=NOW - 3 * DAY)
    mine, gone = a_template(title="mine"), a_template(title="gone", stock=1)
    claim(mine, alice), claim(gone, a_buyer())
    a_template(title="open")
    a_template(title="soon", claim={"starts_at": NOW + 9, "ends_at": NOW + DAY})
    a_template(title="new", audience={"kind": "new_members"})
    a_template(title="hidden", audience={"kind": "none"})
    a_template(title="over", claim={"starts_at": NOW - 9, "ends_at": NOW})

    offers = {
        one.template.title: (one.status, one.why)
        for one in service.offers(member_id=alice, product=None, now=NOW)
    }

    assert offers == {
        "mine": ("claimed", None),
        "gone": ("sold_out", None),
        "open": ("claimable", None),
        "soon": ("not_started", None),
        "new": ("not_eligible", "new_members_only"),
    }


def test_offers_for_a_product_are_those_that_mean_it() -> None:
    a_template(title="tea", scope={"kind": "products", "ids": ["tea"]})
    a_template(title="drinks", scope={"kind": "categories", "ids": ["drinks"]})
    a_template(title="no tea", scope={"kind": "all", "exclude_product_ids": ["tea"]})

    shown = service.offers(member_id=None, product=("tea", ["drinks"]), now=NOW)

    assert {one.template.title for one in shown} == {"tea", "drinks"}


# --- templates ----------------------------------------------------------------------------------------------


def test_editing_a_template_does_not_touch_what_was_claimed() -> None:
    coupon = a_coupon(value_fen=1000)
    templates.edit(coupon.template_id, edited(title="One off", value_fen=100), MAKING)

    [weighed] = quoting.weigh([again(coupon)], a_basket(), now=NOW)
    fresh = claim(templates.find(coupon.template_id, now=NOW), a_buyer())
    [other] = quoting.weigh([fresh], a_basket(), now=NOW)

    assert weighed.option and other.option
    assert (weighed.option.saving.fen, other.option.saving.fen) == (1000, 100)


def test_a_window_that_is_moved_is_moved_in_every_shard() -> None:
    template = a_template(stock_shards=3)
    templates.edit(template.template_id, edited(claim={"starts_at": NOW + 5, "ends_at": NOW + DAY}), MAKING)

    assert {row.claim_from for row in templates.stock_of(template).values()} == {NOW + 5}
    refused(CouponNotStarted, lambda: claim(template, a_buyer()))


def test_an_edit_that_says_the_same_makes_no_new_terms(store: Store) -> None:
    template = a_template()
    templates.edit(template.template_id, edited(), MAKING)

    assert len(rows(store.client, "truth", kind="coupon_terms")) == 1


def test_shards_that_are_as_they_are_told_to_be_are_not_written() -> None:
    template = a_template(stock_shards=2)

    templates.edit(template.template_id, edited(), MAKING)
    templates.switch(template.template_id, to="on", making=MAKING)

    assert [row.rev for row in templates.stock_of(template).values()] == [1, 1]


def test_the_same_key_makes_one_template_and_another_body_is_refused() -> None:
    keyed = Making(by=OWNER, now=NOW, idempotency_key=a_word())
    first = templates.make(msgspec.convert(told(), MakeTemplate), keyed)

    assert templates.make(msgspec.convert(told(), MakeTemplate), keyed).template_id == first.template_id
    refused(
        templates.RequestDiffers, lambda: templates.make(msgspec.convert(told(stock=9), MakeTemplate), keyed)
    )


def test_a_template_whose_making_broke_off_is_made_whole_by_its_own_body_only() -> None:
    keyed = Making(by=OWNER, now=NOW, idempotency_key=a_word())
    body, other = (msgspec.convert(told(stock=stock, stock_shards=2), MakeTemplate) for stock in (5, 2))
    with pytest.raises(KeyboardInterrupt), dying_at(5):
        templates.make(body, keyed)

    refused(templates.RequestDiffers, lambda: templates.make(other, keyed))

    made = templates.make(body, keyed)
    assert [row.left for row in templates.stock_of(made).values()] == [3, 2]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value_fen": None}, "value_fen"),
        ({"value_fen": 0}, "value_fen"),
        ({"kind": "percent_off"}, "percent_bps"),
        ({"kind": "fixed_price", "value_fen": None}, "value_fen"),
        ({"claim": {"starts_at": NOW, "ends_at": NOW}}, "claim.ends_at"),
        ({"validity": {"kind": "days"}}, "validity.days"),
        ({"validity": {"kind": "fixed", "starts_at": 5}}, "validity.ends_at"),
        ({"validity": {"kind": "fixed", "starts_at": 5, "ends_at": 5}}, "validity.ends_at"),
        ({"validity": {"kind": "fixed", "starts_at": 5, "ends_at": 6}}, "validity.ends_at"),
        ({"scope": {"kind": "products"}}, "scope.ids"),
        ({"stock": 2, "stock_shards": 3}, "stock_shards"),
        ({"for": {"kind": "tag"}}, "for.any_of"),
    ],
)
def test_a_template_that_says_too_little_or_too_much_is_invalid(changes: dict[str, Any], field: str) -> None:
    assert refused(Invalid, lambda: a_template(**changes))["field"] == field


def test_units_are_added_once_for_a_key() -> None:
    template = a_template(stock=5)
    keyed = replace(MAKING, idempotency_key="a-key")

    for _ in range(3):
        templates.add_units(template.template_id, units=4, making=keyed)
    refused(IdempotencyMismatch, lambda: templates.add_units(template.template_id, units=5, making=keyed))

    assert sum(row.left or 0 for row in templates.stock_of(template).values()) == 9


def test_shards_that_had_another_word_are_brought_to_this_one() -> None:
    template = a_template(stock=4, stock_shards=2)
    key = Stock.key(template.template_id, 1)
    table.apply(table.update(Stock, key, Stock.on.set(False), refuse=NotFound))

    templates.switch(template.template_id, to="on", making=MAKING)

    assert [row.on for row in templates.stock_of(template).values()] == [True, True]


def test_units_are_added_and_taken_away_but_not_below_what_is_left() -> None:
    template = a_template(stock=5, stock_shards=2)
    templates.add_units(template.template_id, units=4, making=MAKING)
    assert sum(row.left or 0 for row in templates.stock_of(template).values()) == 9
    assert (
        refused(Invalid, lambda: templates.add_units(template.template_id, units=-7, making=MAKING))["left"]
        == 6
    )
    unlimited = a_template(stock=None)
    refused(Invalid, lambda: templates.add_units(unlimited.template_id, units=1, making=MAKING))


# --- held, used, let go, brought back -----------------------------------------------------------------------


def test_an_orders_coupons_are_held_with_what_comes_off_each_line() -> None:
    alice = a_buyer()
    ten, freight = (
        claim(a_template(exclusive=False, **more), alice)
        for more in ({"value_fen": 1000}, {"kind": "free_shipping", "value_fen": None})
    )

    row = lock(ten, freight, basket=a_basket(3333, 3333, 3334, freight_fen=800))

    assert (row.per_line, row.freight_fen, row.discount_fen) == ([333, 333, 334], 800, 1800)
    assert row.per_coupon == [1000, 800]
    assert {again(one).state for one in (ten, freight)} == {"locked"}


def test_the_same_lock_again_answers_the_same_and_another_is_refused() -> None:
    alice = a_buyer()
    one, two = claim(a_template(), alice), claim(a_template(), alice)
    ask = wanted(one, order="M-1")

    assert using.lock(ask, now=NOW)[1] is True
    row, new = using.lock(ask, now=NOW + 5)
    assert (row.coupon_ids, new) == ([one.coupon_id], False)
    assert refused(OrderHasCoupons, lambda: lock(two, order="M-1"))["coupon_ids"] == [one.coupon_id]
    refused(OrderHasCoupons, lambda: lock(one, order="M-1", basket=a_basket(7000)))
    assert refused(CouponInUse, lambda: lock(one, order="M-2"))["state"] == "locked"


def test_all_of_them_are_held_or_none() -> None:
    alice = a_buyer()
    good, bad = (claim(a_template(exclusive=False, threshold_fen=fen), alice) for fen in (5000, 9000))

    assert refused(CouponNotApplicable, lambda: lock(good, bad))["why"] == "below_threshold"
    assert {again(one).state for one in (good, bad)} == {"unused"}
    refused(NotFound, lambda: lock(a_coupon(), good))


def test_what_may_not_be_used_together_is_not_held() -> None:
    alice = a_buyer()
    exclusive, other = claim(a_template(), alice), claim(a_template(exclusive=False), alice)
    same = [claim(a_template(exclusive=False, group="g"), alice) for _ in range(2)]

    refused(CouponsNotCombinable, lambda: lock(exclusive, other))
    refused(CouponsNotCombinable, lambda: lock(*same))


def test_a_redeemed_order_is_redeemed_once_and_returned_once(store: Store) -> None:
    template, alice = a_template(), a_buyer()
    coupon = claim(template, alice)
    lock(coupon, order="M-1")

    assert using.redeem("M-1", now=NOW).state == using.redeem("M-1", now=NOW + 1).state == "redeemed"
    assert again(coupon).state == "redeemed"
    assert refused(WrongLockState, lambda: using.release("M-1", now=NOW))["state"] == "redeemed"
    assert using.bring_back("M-1", now=NOW).state == using.bring_back("M-1", now=NOW).state == "returned"
    assert again(coupon).state == "unused"
    refused(WrongLockState, lambda: using.redeem("M-1", now=NOW))
    refused(OrderHasCoupons, lambda: lock(coupon, order="M-1"))
    assert broken(store, template, stock=10) == []


def test_a_redemption_that_nobody_can_react_to_is_undone_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(row: Any, now: int) -> list[table.Write]:
        raise ValueError("no luck")

    monkeypatch.setattr(facts, "_reactions", {})
    facts.reaction("coupon.redeemed", name="failing")(failing)
    coupon = a_coupon()
    lock(coupon, order="M-1"), using.redeem("M-1", now=NOW)

    assert using.bring_back("M-1", now=NOW).state == "returned"
    assert again(coupon).state == "unused"


def test_only_the_order_that_redeemed_a_coupon_returns_it() -> None:
    coupon = a_coupon()
    lock(coupon, order="M-1"), using.redeem("M-1", now=NOW), using.bring_back("M-1", now=NOW)
    lock(coupon, order="M-2"), using.redeem("M-2", now=NOW)

    using.bring_back("M-1", now=NOW)

    assert (again(coupon).state, again(coupon).order_ref) == ("redeemed", "M-2")
    refused(NotFound, lambda: using.bring_back("M-3", now=NOW))


@pytest.mark.parametrize(("now", "state"), [(LAST_DAY - 1, "unused"), (LAST_DAY, "expired")])
def test_what_comes_back_is_unused_or_expired_by_its_window(now: int, state: str) -> None:
    let_go, returned = a_coupon(), a_coupon()
    lock(let_go, order="M-1"), lock(returned, order="M-2")
    using.redeem("M-2", now=NOW)

    using.release("M-1", now=now), using.bring_back("M-2", now=now)

    assert (again(let_go).state, again(returned).state) == (state, state)
    assert again(let_go).order_ref is None


def test_a_coupon_held_in_time_is_redeemed_after_its_time_until_the_lock_is_let_go() -> None:
    in_time, too_late = a_coupon(), a_coupon()
    for coupon, order in ((in_time, "M-1"), (too_late, "M-2")):
        lock(coupon, order=order, now=LAST_DAY - 10, lock_s=600)

    assert using.redeem("M-1", now=LAST_DAY + 500).state == "redeemed"
    run_jobs(now=LAST_DAY + 600)

    assert (again(in_time).state, again(too_late).state) == ("redeemed", "expired")
    refused(WrongLockState, lambda: using.redeem("M-2", now=LAST_DAY + 601))


def test_a_lock_ends_by_itself_and_its_order_may_hold_again() -> None:
    alice = a_buyer()
    pair = [claim(a_template(exclusive=False), alice) for _ in range(2)]
    lock(*pair, order="M-1", lock_s=600)

    run_jobs(now=NOW + 599)
    assert {again(one).state for one in pair} == {"locked"}
    run_jobs(now=NOW + 600)
    assert {again(one).state for one in pair} == {"unused"}
    assert lock(*pair, order="M-1", now=NOW + 601).state == "locked"
    run_jobs(now=NOW + 602)
    assert {again(one).state for one in pair} == {"locked"}


def test_no_coupon_is_used_before_or_after_its_time() -> None:
    coupon = a_coupon(validity={"kind": "days", "days": 1, "from_next_day": True})

    assert refused(CouponNotApplicable, lambda: lock(coupon))["why"] == "not_valid_yet"
    assert refused(CouponNotApplicable, lambda: lock(coupon, now=coupon.ends_at))["why"] == "expired"
    assert lock(coupon, now=coupon.starts_at).state == "locked"


# --- in the shop, taken away --------------------------------------------------------------------------------


def test_the_shop_takes_a_coupon_by_a_code_that_changes_each_minute() -> None:
    coupon = a_coupon()
    code, changes_at = using.shop_code(coupon.member_id, coupon.coupon_id, now=NOW)
    later, _ = using.shop_code(coupon.member_id, coupon.coupon_id, now=changes_at)

    assert (code != later, changes_at) == (True, NOW + MINUTE)
    refused(ShopCodeInvalid, lambda: using.verify(code, by=OWNER, now=changes_at + MINUTE))
    assert using.verify(code, by=OWNER, now=changes_at + MINUTE - 1).state == "redeemed"
    assert using.verify(code, by=OWNER, now=changes_at).state == "redeemed"
    refused(CouponInUse, lambda: using.verify(later, by=OWNER, now=changes_at))
    refused(CouponInUse, lambda: using.shop_code(coupon.member_id, coupon.coupon_id, now=NOW))


@pytest.mark.parametrize("spoiled", ["x", "a.b.c", "{code}x", "..", "{other}.{coupon}.{mac}"])
def test_a_code_that_is_not_ours_is_refused(spoiled: str) -> None:
    coupon = a_coupon()
    code, _ = using.shop_code(coupon.member_id, coupon.coupon_id, now=NOW)
    told = spoiled.format(code=code, other=a_buyer(), coupon=coupon.coupon_id, mac=code.split(".")[2])

    refused(ShopCodeInvalid, lambda: using.verify(told, by=OWNER, now=NOW))


def test_an_operator_takes_an_unused_coupon_away(store: Store) -> None:
    coupon, held = a_coupon(), a_coupon()
    lock(held)

    for _ in range(2):
        gone = using.void(coupon.member_id, coupon.coupon_id, reason="fraud", by=OWNER, now=NOW)
        assert gone.state == "void"
    refused(CouponInUse, lambda: using.void(held.member_id, held.coupon_id, reason="x", by=OWNER, now=NOW))
    assert len(rows(store.client, "truth", kind="audit", action="coupon.voided")) == 1
    refused(CouponInUse, lambda: lock(coupon))


# --- what is due --------------------------------------------------------------------------------------------


def test_a_coupon_is_reminded_of_once_and_then_expires(store: Store) -> None:
    config.override(mall_webhook_url="http://127.0.0.1:1/hook")
    coupon = a_coupon(remind_before_s=DAY)

    run_jobs(now=LAST_DAY - DAY - 1)
    assert rows(store.client, "truth", kind="coupon_reminder") == []
    run_jobs(now=LAST_DAY - DAY)
    caught_up(now=LAST_DAY - DAY)
    [owed] = rows(store.client, "truth", kind="delivery", type="coupon.expiring")
    assert coupon.coupon_id in owed["body"]
    run_jobs(now=LAST_DAY)
    assert again(coupon).state == "expired"
    assert [
        row["due_shard"] for row in rows(store.client, "truth", kind="coupon") if "due_shard" in row
    ] == []


def test_nobody_is_reminded_of_a_coupon_that_is_used_or_that_was_reminded_of(store: Store) -> None:
    used, twice = a_coupon(remind_before_s=DAY), a_coupon(remind_before_s=DAY)
    lock(used, order="M-1"), using.redeem("M-1", now=NOW)
    run_jobs(now=LAST_DAY - DAY)
    lock(twice, order="M-2", now=LAST_DAY - DAY), using.release("M-2", now=LAST_DAY - DAY + 1)

    run_jobs()

    [row] = rows(store.client, "truth", kind="coupon_reminder")
    assert (row["coupon_id"], again(twice).state) == (twice.coupon_id, "expired")


def test_an_entry_that_is_out_of_date_does_nothing() -> None:
    coupon = a_coupon()
    [stale] = due._due(f"{service.JOB}#0", now=AFTERWARDS)
    lock(coupon, order="M-1"), using.redeem("M-1", now=NOW)

    due._handlers[service.JOB](stale, AFTERWARDS)

    assert again(coupon).state == "redeemed"


def test_every_coupon_that_can_be_used_is_due_for_something(store: Store) -> None:
    coupons = [a_coupon(), a_coupon(remind_before_s=DAY), a_coupon()]
    lock(coupons[2])

    refs = {row["sk"]: row.get("due_ref") for row in rows(store.client, "truth", kind="coupon")}

    assert [refs[one.coupon_id] for one in coupons] == ["expire", "remind", "unlock"]


def test_a_quote_says_what_each_saves_and_the_best_of_all() -> None:
    alice = a_buyer()
    exclusive = claim(a_template(value_fen=1500), alice)
    pair = [claim(a_template(value_fen=fen, exclusive=False), alice) for fen in (1000, 800)]
    held = claim(a_template(), alice)
    lock(held)
    later = claim(a_template(validity={"kind": "days", "days": 1, "from_next_day": True}), alice)

    weighed, best = quoting.quote(alice, a_basket(6000), now=NOW)

    assert {one.coupon_id for one in best} == {one.coupon_id for one in pair}
    saves = {one.coupon.coupon_id: one.option.saving.fen for one in weighed if one.option}
    assert saves == {exclusive.coupon_id: 1500, pair[0].coupon_id: 1000, pair[1].coupon_id: 800}
    why = {one.coupon.coupon_id: one.why_not.code for one in weighed if one.why_not}
    assert why == {held.coupon_id: "in_use", later.coupon_id: "not_valid_yet"}
    assert isinstance(again(held), Coupon)
