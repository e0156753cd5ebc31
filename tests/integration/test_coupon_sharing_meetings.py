"""Two who meet over a gift, a pack, a batch or a code, between one's look and one's write.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from chalicelib.core.errors import Busy
from chalicelib.coupons import codes, gifts, grants, invites, merging, packs, plans, service, templates
from chalicelib.coupons.codes import CodeUsed
from chalicelib.coupons.gifts import GiftTaken
from chalicelib.coupons.models import Codes, Coupon, Gift, Template
from chalicelib.coupons.schemas import GrantPart, MakeCodes
from tests.coupons import (
    LAST_DAY,
    MAKING,
    a_coupon,
    a_pack,
    a_plan,
    a_template,
    again,
    an_invite,
    bound,
    entry_of,
    registers,
    taking,
)
from tests.factories import NOW, a_member
from tests.groupbuys import a_buyer, buyers
from tests.harness import books
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.harness.rows import rows

pytestmark = pytest.mark.alone("coupons")


@pytest.fixture(autouse=True)
def books_add_up(direct: Direct) -> Iterator[None]:
    """Whoever meets, what was issued is what there is, and what packs hold."""
    yield
    assert [*books.wrong(rows(direct, "truth")), *books.drifts(now=NOW)] == []


# --- gifts --------------------------------------------------------------------------------------------------


def given(coupon: Coupon) -> Gift:
    """A coupon on its way."""
    return gifts.give(coupon.member_id, coupon.coupon_id, now=NOW)[0]


def kept(coupon: Coupon) -> None:
    """Its giver keeps it after all."""
    gifts.take_back(coupon.member_id, coupon.coupon_id, now=NOW)


def over(coupon: Coupon) -> None:
    """Nobody took it in time."""
    gift = gifts.find(again(coupon).gift_code or "")
    gifts.end_gift(entry_of(gift), gift.ends_at)


def test_of_two_friends_at_once_one_takes_a_gift() -> None:
    gift, bob = given(a_coupon(giftable=True)), a_buyer()

    with before_write(1, lambda: gifts.accept(gift.code, a_buyer(), now=NOW)), pytest.raises(GiftTaken):
        gifts.accept(gift.code, bob, now=NOW)

    assert service.all_of(bob) == []


@pytest.mark.parametrize("end", [kept, over])
def test_a_gift_that_is_taken_while_it_goes_back_is_its_takers(end: Callable[[Coupon], None]) -> None:
    coupon = a_coupon(giftable=True)
    gift = given(coupon)

    with before_write(1, lambda: gifts.accept(gift.code, a_buyer(), now=NOW)), suppress(GiftTaken):
        end(coupon)

    assert (again(coupon).state, gifts.find(gift.code).state) == ("gifted", "taken")


def test_a_gift_is_taken_while_its_giver_becomes_another() -> None:
    coupon, (other, friend) = a_coupon(giftable=True), buyers(2)
    gift = given(coupon)

    with before_write(1, lambda: merging.hand_over(coupon.member_id, other, NOW)):
        gifts.accept(gift.code, friend, now=NOW)

    assert (again(coupon).member_id, again(coupon).state) == (other, "gifted")


@pytest.mark.parametrize("end", [kept, over])
def test_a_gift_goes_back_while_its_giver_becomes_another(end: Callable[[Coupon], None]) -> None:
    coupon, other = a_coupon(giftable=True), a_buyer()
    given(coupon)

    with before_write(1, lambda: merging.hand_over(coupon.member_id, other, NOW)):
        end(coupon)

    assert (again(coupon).member_id, again(coupon).state) == (other, "unused")
    assert service.all_of(coupon.member_id) == []


def test_what_was_given_and_kept_meanwhile_is_given_under_another_code() -> None:
    coupon = a_coupon(giftable=True)
    first: list[Gift] = []

    def changed_their_mind() -> None:
        first.append(given(coupon))
        kept(coupon)

    with before_write(1, changed_their_mind):
        gift = given(coupon)

    assert (gift.code != first[0].code, gifts.find(first[0].code).state) == (True, "back")


# --- packs --------------------------------------------------------------------------------------------------


def test_of_two_friends_at_once_each_takes_a_piece_of_their_own() -> None:
    pack, (one, other) = a_pack(a_plan(a_template(), amounts=[500, 300, 900])), buyers(2)

    with before_write(1, taking(pack, one)):
        coupon = taking(pack, other)()

    _, pieces = packs.show(pack.pack_id)
    assert (coupon.value_fen, [piece.n for piece in pieces]) == (300, [1, 2])


def test_a_piece_that_is_taken_while_its_pack_ends_is_not_given_back() -> None:
    template = a_template(stock=10)
    pack = a_pack(a_plan(template))

    with before_write(1, taking(pack, a_buyer(), now=pack.ends_at - 1)):
        packs.end_pack(entry_of(pack), pack.ends_at)

    assert [row.left for row in templates.stock_of(template).values()] == [9]


# --- invitations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 1], ids=["the first ever", "not the first"])
def test_of_two_who_are_brought_at_once_each_counts(before: int) -> None:
    plan, alice = an_invite(a_template(), every=9), a_member()
    friends = [registers(alice) for _ in range(before + 2)]
    for friend in friends[2:]:
        bound(friend)

    with before_write(1, lambda: bound(friends[0])), pytest.raises(Busy):
        bound(friends[1])
    bound(friends[1])

    assert invites.brought(plan.plan_id, alice).n == before + 2


# --- batches ------------------------------------------------------------------------------------------------


def test_what_one_worker_of_a_chunk_could_give_is_not_told_away_by_the_other() -> None:
    template, crowd = a_template(stock=1), buyers(2)
    grants.begin(template.template_id, GrantPart(batch="b", part=1, member_ids=crowd), MAKING)
    [chunk] = grants.progress(template.template_id, "b")

    def given_to_both() -> None:
        templates.add_units(template.template_id, units=1, making=MAKING)
        grants.grant(entry_of(chunk), NOW)

    with before_write(2, given_to_both):
        grants.grant(entry_of(chunk), NOW)

    [chunk] = grants.progress(template.template_id, "b")
    assert (chunk.given, chunk.refused) == (2, [])


# --- codes --------------------------------------------------------------------------------------------------


def printed(template: Template) -> Codes:
    """A batch of one code that is good once."""
    given = MakeCodes(batch="flyer", count=1, uses=1, ends_at=LAST_DAY)
    return codes.make(template.template_id, given, MAKING)


def used(template: Template, member_id: str) -> None:
    """Somebody uses the code."""
    [code] = codes.letters(template.template_id, printed(template), now=NOW)
    codes.use(code, member_id, now=NOW)


@pytest.mark.parametrize("write", [1, 2])
def test_codes_that_are_made_by_two_at_once_are_what_became_of_them_by_then(write: int) -> None:
    template = a_template()

    def made_and_used() -> None:
        used(template, a_buyer())
        codes.switch(template.template_id, "flyer", to="off", making=MAKING)

    with before_write(write, made_and_used):
        row = printed(template)

    assert row.state == "off"
    with pytest.raises(CodeUsed):
        used(template, a_buyer())


def test_of_two_who_use_the_last_of_a_code_one_has_a_coupon() -> None:
    template, bob = a_template(), a_buyer()
    printed(template)

    with before_write(1, lambda: used(template, a_buyer())), pytest.raises(CodeUsed):
        used(template, bob)

    assert service.all_of(bob) == []


# --- switched by operators ----------------------------------------------------------------------------------


def a_batch_off() -> Callable[[], object]:
    """A batch of codes is switched off."""
    template = a_template()
    printed(template)
    return lambda: codes.switch(template.template_id, "flyer", to="off", making=MAKING)


def a_plan_off() -> Callable[[], object]:
    """Packs of a plan are given no more."""
    plan = a_plan(a_template())
    return lambda: plans.switch(plan.plan_id, to="off", making=MAKING)


def a_plan_on() -> Callable[[], object]:
    """Packs of a plan are given again."""
    plan = a_plan(a_template())
    plans.switch(plan.plan_id, to="off", making=MAKING)
    return lambda: plans.switch(plan.plan_id, to="on", making=MAKING)


def an_invite_off() -> Callable[[], object]:
    """A plan of inviting counts no more."""
    plan = an_invite(a_template())
    return lambda: invites.switch_off(plan.plan_id, MAKING)


@pytest.mark.parametrize("begun", [a_batch_off, a_plan_off, a_plan_on, an_invite_off])
def test_what_two_operators_switch_at_once_is_one_line_in_the_trail(
    begun: Callable[[], Callable[[], object]], direct: Direct
) -> None:
    switch = begun()
    before = len(rows(direct, "truth", kind="audit"))

    with before_write(1, switch), suppress(Busy):
        switch()

    assert len(rows(direct, "truth", kind="audit")) == before + 1
