"""Links, customers, bindings and commissions of who became another: the other has them, and earns by them once."""

import pytest

from chalicelib.commissions import books, promoters, settling
from chalicelib.commissions.models import Invited, Spent
from chalicelib.core import due, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.members import merging
from chalicelib.orders import service as orders
from chalicelib.sharing import attribution, invites, policies
from chalicelib.sharing import orders as attributions
from chalicelib.sharing import service as sharing
from chalicelib.sharing.schemas import EditPolicy
from infra.local.clients import Store
from tests.commissions import (
    LATER,
    LONG_AGO,
    a_friend_of,
    a_promoter,
    a_rate,
    balance,
    bought,
    commission,
    completed,
    earned,
    happens,
    paid,
    refunded,
    settled,
    some_terms,
)
from tests.factories import NOW, OWNER, a_link, a_member, a_visit
from tests.merging import HOME, UNION, Two, become_one, looked, sign_in, two_members

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.alone("commissions", "sharing")]


def bind(member_id: str, promoter_id: str | None, *, now: int = LONG_AGO) -> None:
    attribution.move(member_id, promoter_id=promoter_id, reason="test", by=OWNER, now=now)


def promoter_of(member_id: str) -> str | None:
    held, _ = attribution.history(member_id)
    return held.promoter_id if held is not None and held.state == "bound" else None


def customers_of(member_id: str) -> set[str]:
    return {row.member_id for row in table.owned(f"{member_id}#customers", limit=50).rows}


def two_promoters(*, both: bool = False) -> Two:
    some_terms()
    a_rate(bps=1000)
    two = two_members(now=LONG_AGO)
    for member_id in (two.one, two.other) if both else (two.one,):
        promoters.assign(member_id, by=OWNER, now=LONG_AGO)
    return two


def test_links_and_codes_bring_people_to_the_other() -> None:
    two = two_members()
    link, code = a_link(sharer_id=two.one), invites.code_of(two.one, now=NOW)
    become_one(two)

    assert sharing.find(link.code, now=NOW + 60).sharer_id == two.other
    assert invites.whose(code) == two.other
    friend = a_member(now=NOW + 60)
    attribution.bind(friend, visit=a_visit(link=sharing.find(link.code, now=NOW + 60)), now=NOW + 60)
    assert promoter_of(friend) == two.other
    assert invites.code_of(two.other, now=NOW + 60) != code


def test_customers_are_the_others_and_nobody_brings_themselves_or_goes_in_a_circle() -> None:
    two = two_members()
    friend, chief = a_member(), a_member()
    bind(friend, two.one)
    bind(chief, two.one)
    bind(two.other, chief)
    become_one(two)

    assert promoter_of(friend) == two.other
    assert (promoter_of(chief), promoter_of(two.other)) == (None, chief)
    assert (customers_of(two.one), customers_of(two.other)) == (set(), {friend})


@pytest.mark.parametrize(
    ("one", "other", "then"),
    [
        ("p", None, "p"),
        ("p", "q", "q"),
        (None, "q", "q"),
        ("p", "one", "p"),
        ("other", "q", "q"),
        ("other", None, None),
    ],
)
def test_of_two_bindings_the_others_own_stays_if_it_holds(
    one: str | None, other: str | None, then: str | None
) -> None:
    two = two_members()
    named = {"p": a_member(), "q": a_member(), "one": two.one, "other": two.other, None: None}
    for member_id, whose in ((two.one, one), (two.other, other)):
        if whose is not None:
            bind(member_id, named[whose])
    become_one(two)

    assert promoter_of(two.one) is None
    assert promoter_of(two.other) == named[then]
    if then is not None:
        assert customers_of(str(named[then])) == {two.other}


def test_what_is_to_come_is_settled_to_the_other_once(store: Store) -> None:
    two = two_promoters()
    order = completed(paid(bought(a_friend_of(two.one))))
    late = paid(bought(a_friend_of(two.one)))
    become_one(two)

    assert {commission(one).promoter_id for one in (order, late)} == {two.other}
    assert attributions.show(order.order_id, promoter_id=two.other).promoter_id == two.other
    completed(late)
    settled()
    assert (balance(two.one), balance(two.other)) == (0, 990 * 2)
    settled(now=LATER + DAY)
    assert balance(two.other) == 990 * 2


def test_a_settling_that_began_before_does_not_settle_to_the_old_name(store: Store) -> None:
    two = two_promoters()
    order = completed(paid(bought(a_friend_of(two.one))))
    row = commission(order)
    names = {name: getattr(row, name) for name in due.Entry.__annotations__}
    become_one(two)

    settling.settle([due.Entry(**{**names, "kind": "commission"})], LATER)

    assert (commission(order).state, balance(two.one)) == ("due", 0)


def test_an_order_attributed_before_and_paid_after_earns_the_other(store: Store) -> None:
    two = two_promoters()
    order = bought(a_friend_of(two.one))
    happens("order.created", order)
    become_one(two)

    paid(order, now=NOW + 60)

    assert commission(order).promoter_id == two.other


def test_nobody_earns_by_what_they_buy_as_another(store: Store) -> None:
    two = two_promoters()
    bind(two.other, two.one)
    order = bought(two.other)
    happens("order.created", order)
    become_one(two)

    assert earned(paid(order, now=NOW + 60)) == []


def test_money_goes_over_and_a_clawback_follows_it(store: Store) -> None:
    two = two_promoters()
    order = completed(paid(bought(a_friend_of(two.one))))
    settled()
    become_one(two, now=LATER)
    assert (balance(two.one), balance(two.other)) == (0, 990)

    refunded(order, now=LATER + 60)
    assert balance(two.one) == -990
    looked(now=LATER + DAY)

    assert (balance(two.one), balance(two.other)) == (0, 0)
    for owner in (two.one, two.other):
        assert books.prove_months(ledger.Account.key(owner, "money")[0], LATER + 2 * DAY) is None
        assert books.prove_counts(f"PROMOTER#{owner}", LATER + 2 * DAY) is None


@pytest.mark.parametrize(("one", "other", "then"), [(2, 1, 2), (1, 3, 3), (2, None, 2)])
def test_the_tier_of_both_is_the_higher_and_friends_of_both_count_once(
    one: int, other: int | None, then: int
) -> None:
    two = two_promoters(both=other is not None)
    promoters.set_tier(two.one, tier=one, reason="r", by=OWNER, now=NOW)
    if other is not None:
        promoters.set_tier(two.other, tier=other, reason="r", by=OWNER, now=NOW)
    become_one(two)

    there = promoters.show(two.other)
    assert (there.tier, there.state, there.active_at) == (then, "active", LONG_AGO)
    assert [row.member_id for row in promoters.listed("active", limit=9, after=None).rows] == [two.other]


def test_who_was_suspended_stays_so() -> None:
    two = two_promoters(both=True)
    promoters.move(two.one, step="suspend", reason="fraud", by=OWNER, now=NOW)
    become_one(two)

    there = promoters.show(two.other)
    assert (there.state, there.reason, there.member_id) == ("suspended", "fraud", two.other)


def test_friends_and_purchases_count_for_the_other_once(store: Store) -> None:
    two = two_promoters(both=True)
    friend = a_member()
    for member_id in (two.one, two.other):
        key = Invited.key(member_id, friend)
        came = [table.create(Invited(*key)), promoters.counted(member_id, cause=friend, invitees=1)]
        spent = [
            table.create(Spent(*Spent.key(member_id, f"ord_{member_id}"), fen=100)),
            promoters.counted(member_id, cause=f"ord_{member_id}", spend_fen=100),
        ]
        # Two transactions: both may be counted in the same one of the promoter's parts.
        table.transact(came)
        table.transact(spent)
    become_one(two)

    counts = promoters.counts_of(two.other)
    assert (counts["invitees"], counts["spend_fen"]) == (1, 200)
    for owner in (two.one, two.other):
        assert books.prove_counts(f"PROMOTER#{owner}", NOW + DAY) is None


def test_what_went_back_of_a_purchase_before_its_count_went_over_counts_no_more(store: Store) -> None:
    some_terms(earned_by_spend_fen=10**9)
    two = two_members()
    order = completed(paid(bought(two.one)))
    assert promoters.counts_of(two.one)["spend_fen"] > 0
    assert sign_in(HOME, UNION).member_id == two.other
    table.apply(orders.handed_over(orders.show(order.order_id), two.other))
    refunded(orders.show(order.order_id))
    looked(now=NOW + merging.LOOKS_S[0])

    assert [promoters.counts_of(who)["spend_fen"] for who in (two.one, two.other)] == [0, 0]
    assert books.prove_counts(f"PROMOTER#{two.other}", NOW + DAY) is None


def test_an_order_of_the_time_of_a_binding_that_another_takes_the_place_of_is_still_its_promoter_s() -> None:
    policies.make(EditPolicy(mode="last", window_days=10), by=OWNER, now=LONG_AGO - DAY)
    two, theirs, earlier = two_members(now=LONG_AGO), a_member(now=LONG_AGO), a_member(now=LONG_AGO)
    attribution.move(two.other, promoter_id=earlier, reason="t", by=OWNER, now=NOW - 20 * DAY)
    attribution.move(two.one, promoter_id=theirs, reason="t", by=OWNER, now=NOW - 2 * DAY)
    order = bought(two.other, now=NOW - 15 * DAY)
    become_one(two)

    found = attributions.as_if(order, now=NOW)
    assert found is not None and found.promoter_id == earlier
    now_held = attribution.binding(two.other, now=NOW + DAY)
    assert now_held is not None and now_held.promoter_id == theirs


def test_a_promoter_becomes_one_who_was_none() -> None:
    two = two_promoters()
    become_one(two)

    assert promoters.active(two.other, at=LONG_AGO + 1) is not None
    assert a_promoter() != two.other
