"""Coupons of who became another: the other has them, in whatever state, and claims no more for having been two."""

import pytest

from chalicelib.core import cache, due, table
from chalicelib.coupons import codes, gifts, packs, service, templates, using
from chalicelib.coupons.models import Template
from chalicelib.coupons.schemas import MakeCodes
from chalicelib.coupons.service import CouponLimitReached
from infra.local.clients import Store
from tests.coupons import LAST_DAY, MAKING, a_basket, a_plan, a_template, claim, lock
from tests.factories import NOW, a_member, reacted
from tests.harness.rows import rows
from tests.merging import become_one, looked, two_members

pytestmark = pytest.mark.usefixtures("direct")


def ids_of(member_id: str) -> set[str]:
    return {row.coupon_id for row in service.all_of(member_id)}


def check_stock(store: Store, template: Template) -> None:
    """What was issued is what there is."""
    found = [row for row in rows(store.client, "truth") if row["kind"] == "coupon"]
    live = [row for row in found if row["template_id"] == template.template_id and row["state"] != "moved"]
    issued = sum(row.issued for row in templates.stock_of(template).values())
    assert issued == len([row for row in live if row["source"] not in ("pack", "gift")])


def test_a_coupon_is_the_others_under_its_id_and_was_claimed_once(store: Store) -> None:
    two, template = two_members(), a_template(per_member=1)
    coupon = claim(template, two.one)

    become_one(two)
    reacted(store.client, now=NOW + 60)

    assert (ids_of(two.one), ids_of(two.other)) == (set(), {coupon.coupon_id})
    again = service.claim(template_id=template.template_id, member_id=two.other, now=NOW)
    assert (again.coupon.coupon_id, again.new) == (coupon.coupon_id, False)
    assert service.own(two.one, coupon.coupon_id).member_id == two.other
    [offer] = service.offers(member_id=two.other, product=None, now=NOW)
    assert (offer.status, offer.claimed) == ("claimed", 1)
    check_stock(store, template)


def test_the_claims_of_both_add_up_against_the_limit(store: Store) -> None:
    two, template = two_members(), a_template(per_member=4)
    for member_id, key in ((two.one, "a"), (two.one, "b"), (two.other, "a")):
        claim(template, member_id, key=key)

    become_one(two)

    assert len(ids_of(two.other)) == 3
    claim(template, two.other, key="c")
    with pytest.raises(CouponLimitReached):
        claim(template, two.other, key="d")
    assert len(ids_of(two.other)) == 4
    check_stock(store, template)


def test_both_had_claimed_where_one_is_the_limit_and_neither_claims_more_when_it_is_two(store: Store) -> None:
    two, template = two_members(), a_template(per_member=1)
    claim(template, two.one), claim(template, two.other)
    become_one(two)
    assert len(ids_of(two.other)) == 2

    template.per_member = 2
    cache.clear_all()
    with pytest.raises(CouponLimitReached):
        service._claim(template, two.other, mark=None, now=NOW)


@pytest.mark.parametrize("before", [True, False], ids=["held before", "used before"])
def test_an_order_keeps_the_coupon_that_it_holds_or_used(before: bool, store: Store) -> None:
    two, template = two_members(), a_template()
    coupon = claim(template, two.one)
    lock(coupon, order="M-1")
    if not before:
        using.redeem("M-1", now=NOW)

    become_one(two)
    using.redeem("M-1", now=NOW)
    assert service.own(two.other, coupon.coupon_id).state == "redeemed"
    using.bring_back("M-1", now=NOW)

    there = service.own(two.other, coupon.coupon_id)
    assert (there.state, there.member_id) == ("unused", two.other)
    lock(there, order="M-2", basket=a_basket())


def test_a_lock_that_is_over_lets_the_coupon_go_to_the_other(store: Store) -> None:
    two, template = two_members(), a_template()
    coupon = claim(template, two.one)
    lock(coupon, order="M-1", lock_s=600)
    become_one(two)

    assert not due.run(job=service.JOB, worker="w", now=NOW + 700, seconds=30).failed

    assert service.own(two.other, coupon.coupon_id).state == "unused"


def test_a_coupon_expires_in_the_others_list(store: Store) -> None:
    two, template = two_members(), a_template()
    coupon = claim(template, two.one)
    become_one(two)

    assert not due.run(job=service.JOB, worker="w", now=LAST_DAY + 1, seconds=30).failed

    assert service.own(two.other, coupon.coupon_id).state == "expired"


def test_a_gift_on_its_way_arrives_and_cannot_be_taken_by_its_giver(store: Store) -> None:
    two, template, friend = two_members(), a_template(giftable=True), a_member()
    coupon = claim(template, two.one)
    gift, _ = gifts.give(two.one, coupon.coupon_id, now=NOW)
    become_one(two)

    with pytest.raises(gifts.OwnGift):
        gifts.accept(gift.code, two.other, now=NOW)
    gifts.accept(gift.code, friend, now=NOW)

    assert service.own(two.other, coupon.coupon_id).state == "gifted"
    assert len(ids_of(friend)) == 1


def test_a_gift_that_nobody_takes_goes_back_to_the_other(store: Store) -> None:
    two, template = two_members(), a_template(giftable=True)
    coupon = claim(template, two.one)
    gift, _ = gifts.give(two.one, coupon.coupon_id, now=NOW)
    become_one(two)

    assert not due.run(job=gifts.JOB, worker="w", now=gift.ends_at, seconds=30).failed

    assert service.own(two.other, coupon.coupon_id).state == "unused"


def test_a_pack_and_what_waits_for_it_are_the_others(store: Store) -> None:
    two, template, own = two_members(), a_template(stock=10), a_template(stock=10)
    plan = a_plan(template, own=own, after_new=1)
    opened = packs.open_pack(plan.plan_id, two.one, order_id=None, now=NOW).pack
    become_one(two)

    assert [pack.sharer_id for pack in packs.mine(two.other, limit=9, after=None).rows] == [two.other]
    assert not packs.mine(two.one, limit=9, after=None).rows
    with pytest.raises(packs.OwnPack):
        packs.take(opened.pack_id, two.other, now=NOW)
    packs.take(opened.pack_id, a_member(now=NOW + 1), now=NOW + 1)

    assert opened.sharer_coupon_id is not None
    assert service.own(two.other, opened.sharer_coupon_id).state == "unused"


def test_what_a_cause_gave_is_given_no_second_time_and_can_be_taken_back(store: Store) -> None:
    two, template = two_members(), a_template()
    table.transact(service.granted(template.template_id, two.one, cause="c", now=NOW))
    become_one(two)

    with pytest.raises(service.AlreadyGranted):
        table.transact(service.granted(template.template_id, two.one, cause="c", now=NOW))
    table.transact(using.taken_back(template.template_id, two.one, cause="c", now=NOW))

    assert [row.state for row in service.all_of(two.other)] == ["void"]


def test_a_coupon_that_still_comes_goes_over_at_a_later_look(store: Store) -> None:
    two, template = two_members(), a_template()
    become_one(two)
    late = claim(template, two.one, now=NOW + 60)

    looked(now=NOW + 3600)

    assert ids_of(two.other) == {late.coupon_id}


def test_a_pack_or_a_code_that_gave_one_of_them_something_gives_the_other_the_same() -> None:
    two, template = two_members(), a_template(stock=10, per_member=1)
    pack = packs.open_pack(a_plan(template).plan_id, a_member(), order_id=None, now=NOW).pack
    piece = packs.take(pack.pack_id, two.one, now=NOW).coupon
    printed = codes.make(
        template.template_id, MakeCodes(batch="b", count=1, uses=5, ends_at=LAST_DAY), MAKING
    )
    [text] = codes.letters(template.template_id, printed, now=NOW)
    used = codes.use(text, two.one, now=NOW).coupon
    become_one(two)

    for again in (packs.take(pack.pack_id, two.other, now=NOW), codes.use(text, two.other, now=NOW)):
        assert (again.new, again.coupon.member_id) == (False, two.other)
    assert ids_of(two.other) == {piece.coupon_id, used.coupon_id}
