"""Two who meet over one coupon, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chalicelib.core import config, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.coupons import expiring, merging, packs, service, templates, using
from chalicelib.coupons.models import Coupon, Lock, Template
from chalicelib.coupons.schemas import MakeTemplate
from chalicelib.coupons.service import CouponLimitReached
from chalicelib.coupons.templates import CouponOff
from chalicelib.coupons.using import OrderHasCoupons
from tests.coupons import (
    LAST_DAY,
    MAKING,
    a_coupon,
    a_pack,
    a_plan,
    a_template,
    again,
    claim,
    edited,
    entry_of,
    lock,
    run_jobs,
    taking,
    told,
)
from tests.factories import NOW, caught_up
from tests.groupbuys import a_buyer, buyers
from tests.harness import books
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.harness.rows import rows

pytestmark = pytest.mark.alone("coupons")


@pytest.fixture(autouse=True)
def books_add_up(direct: Direct) -> Iterator[None]:
    """Whoever meets, every coupon is one that was issued, and is held by the order that says so."""
    yield
    assert [*books.wrong(rows(direct, "truth")), *books.drifts(now=NOW)] == []


def edit(template: Template, **changes: Any) -> Template:
    """An operator tells a template anew."""
    return templates.edit(template.template_id, edited(**changes), MAKING)


# --- templates ----------------------------------------------------------------------------------------------


def test_a_template_is_made_by_two_at_once_and_claimed_by_then() -> None:
    keyed = replace(MAKING, idempotency_key="made")

    def made() -> Template:
        return templates.make(msgspec.convert(told(stock=5), MakeTemplate), keyed)

    with before_write(3, lambda: claim(made(), a_buyer())):
        template = made()

    assert [row.left for row in templates.stock_of(template).values()] == [4]


def test_of_two_edits_at_once_one_is_made_and_what_was_claimed_by_it_keeps_its_terms() -> None:
    template, alice = a_template(), a_buyer()

    with before_write(1, lambda: claim(edit(template, value_fen=2000), alice)), pytest.raises(Busy):
        edit(template, value_fen=100)

    assert templates.find(template.template_id, now=NOW).terms["value_fen"] == 2000
    [(_, worth)] = service.terms_for(service.all_of(alice), now=NOW).values()
    assert worth.value_fen == 2000


def test_what_is_switched_off_before_it_is_given_is_not_given() -> None:
    template, alice = a_template(), a_buyer()
    writes = service.granted(template.template_id, alice, cause="a rule", now=NOW)
    templates.switch(template.template_id, to="off", making=MAKING)

    with pytest.raises(CouponOff):
        table.transact(writes)

    assert service.all_of(alice) == []


# --- held, used, let go, brought back -----------------------------------------------------------------------


def two_of_a_member() -> list[Coupon]:
    """Two coupons that an order may hold together."""
    alice = a_buyer()
    return [claim(a_template(exclusive=False), alice) for _ in range(2)]


@pytest.mark.parametrize("held_before", [False, True])
def test_of_two_baskets_of_one_order_one_holds_its_coupon(held_before: bool) -> None:
    one, other = two_of_a_member()
    if held_before:
        lock(one, order="M-1"), using.release("M-1", now=NOW)

    with before_write(1, lambda: lock(one, order="M-1")), pytest.raises(OrderHasCoupons):
        lock(other, order="M-1")

    assert [again(row).state for row in (one, other)] == ["locked", "unused"]


@pytest.mark.parametrize(("step", "state"), [(using.redeem, "redeemed"), (using.release, "unused")])
def test_an_order_that_holds_more_by_then_goes_on_with_all_of_them(
    step: Callable[..., Lock], state: str
) -> None:
    one, other = two_of_a_member()
    lock(one, order="M-1")

    def held_anew() -> None:
        using.release("M-1", now=NOW)
        lock(one, other, order="M-1")

    with before_write(1, held_anew):
        step("M-1", now=NOW)

    assert [again(row).state for row in (one, other)] == [state, state]


def test_what_another_order_has_used_by_then_is_not_brought_back() -> None:
    coupon = a_coupon()
    lock(coupon, order="M-1"), using.redeem("M-1", now=NOW)

    def used_again() -> None:
        using.bring_back("M-1", now=NOW)
        lock(coupon, order="M-2"), using.redeem("M-2", now=NOW)

    with before_write(1, used_again):
        using.bring_back("M-1", now=NOW)

    assert (again(coupon).state, again(coupon).order_ref) == ("redeemed", "M-2")


# --- what is due --------------------------------------------------------------------------------------------


def test_an_entry_that_comes_too_early_ends_no_coupon() -> None:
    coupon = a_coupon()

    expiring.do_due(entry_of(coupon), LAST_DAY - 1)

    assert again(coupon).state == "unused"


def test_what_an_order_holds_while_it_is_reminded_of_is_let_go_in_time() -> None:
    coupon, soon = a_coupon(remind_before_s=DAY), LAST_DAY - DAY

    with before_write(1, lambda: lock(coupon, order="M-1", now=soon, lock_s=600)):
        expiring.do_due(entry_of(coupon), soon)
    run_jobs(now=soon + 600)

    assert again(coupon).state == "unused"


def test_what_comes_back_by_a_clock_that_is_behind_is_told_of_once() -> None:
    config.override(mall_webhook_url="http://127.0.0.1:1/hook")
    coupon, soon = a_coupon(remind_before_s=DAY), LAST_DAY - DAY
    run_jobs(now=soon)
    caught_up(now=soon)
    lock(coupon, order="M-1", now=soon - 2), using.release("M-1", now=soon - 1)

    run_jobs(now=soon)

    [noticed] = rows(table.client(), "truth", kind="coupon_reminder")
    assert (again(coupon).due_ref, noticed.get("owed_rev")) == ("expire", None)


# --- whose they are -----------------------------------------------------------------------------------------


def given(member_id: str) -> Coupon:
    """A coupon that was given for a cause, and counts towards no limit."""
    template = a_template()
    table.transact(service.granted(template.template_id, member_id, cause="a rule", now=NOW))
    [coupon] = service.all_of(member_id)
    return coupon


@pytest.mark.parametrize("limit", [1, 3], ids=["not counted before", "counted before"])
def test_who_claims_while_a_claim_comes_over_claims_no_more_for_it(limit: int) -> None:
    (one, other), template = buyers(2), a_template(per_member=limit)
    claim(template, one), claim(template, other)
    template = edit(template, per_member=3)

    with before_write(1, lambda: claim(template, other)), pytest.raises(Busy):
        merging.hand_over(one, other, NOW)
    merging.hand_over(one, other, NOW)

    assert len(service.all_of(other)) == 3
    with pytest.raises(CouponLimitReached):
        claim(template, other)


def test_who_claims_while_the_only_claim_comes_over_keeps_both() -> None:
    (one, other), template = buyers(2), a_template()
    claim(template, one)

    with before_write(1, lambda: claim(template, other)), pytest.raises(Busy):
        merging.hand_over(one, other, NOW)
    merging.hand_over(one, other, NOW)

    assert len(service.all_of(other)) == 2


def test_what_an_order_holds_while_it_goes_over_is_held_there() -> None:
    one, other = buyers(2)
    coupon = given(one)

    with before_write(1, lambda: lock(coupon, order="M-1")), pytest.raises(Busy):
        merging.hand_over(one, other, NOW)
    merging.hand_over(one, other, NOW)

    assert (again(coupon).member_id, again(coupon).state) == (other, "locked")


def test_what_went_over_at_another_look_stays_what_became_of_it_there() -> None:
    one, other = buyers(2)
    coupon = given(one)

    def gone_over() -> None:
        merging.hand_over(one, other, NOW)
        lock(again(coupon), order="M-1")

    with before_write(1, gone_over), pytest.raises(Busy):
        merging.hand_over(one, other, NOW)

    assert (again(coupon).member_id, again(coupon).state) == (other, "locked")


def test_what_an_order_used_goes_over_while_it_is_brought_back() -> None:
    one, other = buyers(2)
    coupon = given(one)
    lock(coupon, order="M-1"), using.redeem("M-1", now=NOW)

    with before_write(1, lambda: merging.hand_over(one, other, NOW)):
        using.bring_back("M-1", now=NOW)

    assert (again(coupon).member_id, again(coupon).state) == (other, "unused")


def test_a_sharers_own_coupon_is_unlocked_while_it_goes_over() -> None:
    one, other = buyers(2)
    pack = a_pack(a_plan(a_template(), own=a_template(), after_new=1), one)
    assert pack.sharer_coupon_id

    with before_write(1, taking(pack, a_buyer())), pytest.raises(Busy):
        merging.hand_over(one, other, NOW)
    merging.hand_over(one, other, NOW)

    own = service.own(one, pack.sharer_coupon_id)
    assert (own.member_id, own.state) == (other, "unused")


def test_a_pack_that_has_gone_on_to_a_third_stays_theirs() -> None:
    one, other, third = buyers(3)
    pack = a_pack(a_plan(a_template()), one)

    def gone_on() -> None:
        merging.hand_over(one, other, NOW), merging.hand_over(other, third, NOW)

    with before_write(1, gone_on), pytest.raises(Busy):
        merging.hand_over(one, other, NOW)

    assert packs.show(pack.pack_id)[0].sharer_id == third
    assert packs.mine(other, limit=1, after=None).rows == []
