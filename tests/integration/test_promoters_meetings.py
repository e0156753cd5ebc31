"""Two who meet over one promoter, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable

import pytest

from chalicelib.commissions import books, merging, promoters
from chalicelib.core import table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.orders import service as orders
from chalicelib.sharing import attribution
from chalicelib.sharing import orders as attributions
from chalicelib.sharing.attribution import Binding
from tests.commissions import (
    a_friend_of,
    a_promoter,
    a_rate,
    balance,
    bought,
    commission,
    completed,
    happens,
    paid,
    partly_refunded,
    refunded,
    settled,
    some_terms,
)
from tests.factories import NOW, OWNER, a_member
from tests.harness.meetings import before_write

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.alone("commissions", "sharing")]

UNREACHED_FEN = 10**9


def assigned(member_id: str, *, tier: int = 1) -> None:
    """An operator makes them a promoter of this tier."""
    promoters.assign(member_id, by=OWNER, now=NOW)
    promoters.set_tier(member_id, tier=tier, reason="r", by=OWNER, now=NOW)


def moved(member_id: str, *steps: str) -> None:
    """An operator approves, refuses, suspends or resumes them."""
    for step in steps:
        promoters.move(member_id, step=step, reason="r", by=OWNER, now=NOW)


def applied() -> str:
    """Somebody who waits to be one."""
    member_id = a_member()
    promoters.apply(member_id, version=1, now=NOW)
    return member_id


def given(friend: str, promoter_id: str | None) -> Binding:
    """A friend is a promoter's, or nobody's, of which nobody has heard yet."""
    attribution.move(friend, promoter_id=promoter_id, reason="test", by=OWNER, now=NOW)
    held, _ = attribution.history(friend)
    assert held is not None
    return held


def befriended(friend: str, promoter_id: str) -> None:
    """The promoter has brought a friend, who counts."""
    happens("binding.made", given(friend, promoter_id))


def handed(one: str, other: str) -> None:
    """What one has becomes the other's."""
    while merging.hand_over(one, other, NOW):
        pass


def counts(name: str, *members: str) -> list[int]:
    """What is counted for each, which is what there is."""
    for one in members:
        assert books.prove_counts(f"PROMOTER#{one}", NOW + DAY) is None
    return [promoters.counts_of(one)[name] for one in members]


# --- becoming one -------------------------------------------------------------------------------------------


def test_who_is_made_a_promoter_while_they_apply_stays_as_they_were_made() -> None:
    some_terms()
    member_id = a_member()

    with before_write(1, lambda: assigned(member_id, tier=3)):
        row, new = promoters.apply(member_id, version=1, now=NOW)

    assert (new, row.made_by, row.tier, row.agreed_at) == (False, "assigned", 3, NOW)


def test_who_is_approved_while_they_apply_again_is_a_promoter() -> None:
    some_terms(auto_approval=False)
    member_id = applied()
    moved(member_id, "refuse")

    with before_write(1, lambda: moved(member_id, "approve")):
        row, new = promoters.apply(member_id, version=1, now=NOW)

    assert (new, row.state) == (False, "active")


@pytest.mark.parametrize(
    ("begun", "meanwhile"),
    [
        (a_member, assigned),
        (applied, lambda member_id: moved(member_id, "approve")),
    ],
    ids=["new", "applied"],
)
def test_who_is_suspended_while_another_makes_them_a_promoter_stays_suspended(
    begun: Callable[[], str], meanwhile: Callable[[str], None]
) -> None:
    some_terms(auto_approval=False)
    member_id = begun()

    def suspended() -> None:
        meanwhile(member_id)
        moved(member_id, "suspend")

    with before_write(1, suspended), pytest.raises(promoters.PromoterMoved):
        promoters.assign(member_id, by=OWNER, now=NOW)

    assert promoters.show(member_id).state == "suspended"


def test_who_is_made_a_promoter_while_they_have_bought_enough_stays_as_they_were_made() -> None:
    some_terms(earned_by_spend_fen=1)
    order = completed(paid(bought(a_member())), told=False)

    with before_write(2, lambda: assigned(order.member_id, tier=3)):
        happens("order.completed", order)

    row = promoters.show(order.member_id)
    assert (row.made_by, row.tier) == ("assigned", 3)


# --- what operators and counts make of them -----------------------------------------------------------------


def test_who_is_approved_while_another_refuses_them_is_not_refused() -> None:
    some_terms(auto_approval=False)
    member_id = applied()

    with before_write(1, lambda: moved(member_id, "approve")), pytest.raises(promoters.PromoterMoved):
        moved(member_id, "refuse")

    assert promoters.show(member_id).state == "active"


def test_of_two_tiers_that_are_said_at_once_each_is_remembered() -> None:
    some_terms()
    member_id = a_promoter()

    with before_write(1, lambda: assigned(member_id, tier=2)):
        assigned(member_id, tier=3)

    row = promoters.show(member_id)
    assert (row.tier, row.tiers) == (3, [[NOW, 1], [NOW, 2]])


def test_who_is_put_higher_while_they_rise_stays_there() -> None:
    some_terms()
    member_id = a_promoter()
    befriended(a_member(), member_id)
    some_terms(tiers=[{"name": "a"}, {"name": "b", "invitees": 1}])

    with before_write(1, lambda: assigned(member_id, tier=3)):
        promoters.promote(member_id, now=NOW)

    assert promoters.show(member_id).tier == 3


def test_a_friend_who_went_and_came_back_counts_once_though_both_are_told_at_once() -> None:
    some_terms()
    alice, friend = a_promoter(), a_member()
    bound = [given(friend, to) for to in (alice, None, alice)]

    with before_write(1, lambda: happens("binding.made", bound[2])), pytest.raises(Busy):
        happens("binding.made", bound[0])

    assert counts("invitees", alice) == [1]


def test_an_order_that_is_told_by_two_at_once_counts_once() -> None:
    some_terms(earned_by_spend_fen=UNREACHED_FEN)
    order = completed(paid(bought(a_member())), told=False)
    orders.aftersale(order.order_id, is_open=True, at=NOW)
    later = orders.show(order.order_id)

    with before_write(1, lambda: happens("order.completed", later)), pytest.raises(Busy):
        happens("order.completed", order)

    assert counts("spend_fen", order.member_id) == [9_900]


@pytest.mark.parametrize("first", ["order.completed", "order.reduced"])
def test_of_two_facts_of_one_order_that_meet_each_counts_what_is_left(first: str) -> None:
    some_terms(earned_by_spend_fen=UNREACHED_FEN)
    order = completed(paid(bought(a_member())))
    order = partly_refunded(order, l1=900, told=False)
    (refund,) = orders.money_of(order.order_id)[1]
    facts = {"order.completed": order, "order.reduced": refund}
    then = facts.pop(first)
    ((other, row),) = facts.items()

    with before_write(1, lambda: happens(other, row)), pytest.raises(Busy):
        happens(first, then)
    happens(first, then)

    assert counts("spend_fen", order.member_id) == [9_000]


# --- who becomes another ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("both", "whose"), [(False, 1), (True, 1), (True, 0)], ids=["becomes one", "the other's", "their own"]
)
def test_a_tier_that_changes_while_a_promoter_becomes_another_stays(both: bool, whose: int) -> None:
    some_terms()
    two = a_promoter(), (a_promoter() if both else a_member())

    with before_write(1, lambda: assigned(two[whose], tier=3)), pytest.raises(Busy):
        handed(*two)
    handed(*two)

    assert promoters.show(two[1]).tier == 3


def test_a_commission_that_is_settled_while_it_goes_over_stays_where_it_was_settled() -> None:
    some_terms()
    a_rate(bps=1000)
    one, other = a_promoter(), a_member()
    order = completed(paid(bought(a_friend_of(one))))

    with before_write(2, settled), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    row = commission(order)
    assert (row.state, row.promoter_id) == ("settled", one)
    assert (balance(one), balance(other)) == (0, 990)


def test_a_commission_that_goes_over_to_a_third_meanwhile_is_the_third_s() -> None:
    some_terms()
    a_rate(bps=1000)
    one, other, third = a_promoter(), a_member(), a_member()
    order = completed(paid(bought(a_friend_of(one))))

    with before_write(2, lambda: handed(one, third)), pytest.raises(Busy):
        handed(one, other)

    assert commission(order).promoter_id == third
    assert attributions.show(order.order_id, promoter_id=third).promoter_id == third


def test_a_friend_who_comes_to_the_other_while_they_go_over_counts_once() -> None:
    some_terms()
    one, other, friend = a_promoter(), a_promoter(), a_member()
    befriended(friend, one)

    with before_write(2, lambda: befriended(friend, other)), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    assert counts("invitees", one, other) == [0, 1]


def test_a_friend_of_both_who_goes_over_twice_at_once_is_taken_down_once() -> None:
    some_terms()
    one, other, friend = a_promoter(), a_promoter(), a_member()
    for promoter_id in (one, other):
        befriended(friend, promoter_id)

    with before_write(2, lambda: handed(one, other)), pytest.raises(Busy):
        handed(one, other)

    assert counts("invitees", one, other) == [0, 1]


def test_what_goes_back_while_its_count_goes_over_is_taken_down_once() -> None:
    some_terms(earned_by_spend_fen=UNREACHED_FEN)
    order, other = completed(paid(bought(a_member()))), a_member()
    back = refunded(order, told=False)

    with before_write(1, lambda: happens("order.refunded", back)), pytest.raises(Busy):
        handed(order.member_id, other)
    handed(order.member_id, other)

    assert counts("spend_fen", order.member_id, other) == [0, 0]


def test_an_order_that_is_counted_for_the_other_while_its_count_goes_over_counts_once() -> None:
    some_terms(earned_by_spend_fen=UNREACHED_FEN)
    order, other = completed(paid(bought(a_member()))), a_member()
    table.apply(orders.handed_over(orders.show(order.order_id), other))
    theirs = orders.show(order.order_id)

    with before_write(1, lambda: happens("order.completed", theirs)), pytest.raises(Busy):
        handed(order.member_id, other)
    handed(order.member_id, other)

    assert counts("spend_fen", order.member_id, other) == [0, 9_900]
