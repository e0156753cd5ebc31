"""Rewards: what the rules say is granted, once, and what they do not say is not."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.core import cache, doors, due, facts, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.http import Listing
from chalicelib.coupons import service as coupons
from chalicelib.coupons import templates, using
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.points import badges, levels
from chalicelib.points.schemas import AddBadge
from chalicelib.rewards import granting, lists, routes, service, trying
from chalicelib.rewards.models import First
from chalicelib.rewards.service import BudgetSpent
from chalicelib.sharing import attribution
from infra.local.clients import Store
from tests import groupbuys as buying
from tests import orders as ordinary
from tests.checkins import a_checkin, come, noon
from tests.coupons import a_template, claim, lock
from tests.factories import (
    NOW,
    OWNER,
    PROGRAM,
    a_call,
    a_link,
    a_member,
    a_share,
    alone,
    an_opening,
    books,
    caught_up,
)
from tests.harness.counter import counting
from tests.harness.rows import stream_records
from tests.harness.streams import deliveries, event
from tests.rewards import (
    POINTS,
    VOUCHER,
    Reader,
    a_few_vouchers,
    a_rule,
    an_order,
    broken,
    comes,
    got,
    making,
    missed,
    points,
    refunded,
    terms,
)

pytestmark = pytest.mark.usefixtures("direct")

LATER = NOW + DAY


@pytest.fixture
def alice(store: Store) -> str:
    """Somebody who shares."""
    return a_member(now=NOW - 90 * DAY)


@pytest.fixture
def settle(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """The stream brings what is new; when the test is over, all that was promised holds."""
    alone(monkeypatch, "rewards")
    yield Reader(store.client)
    assert broken(store.client) == []


# --- what earns ---------------------------------------------------------------------------------------------


def test_a_friend_who_registers_by_a_link_earns_its_sharer_points(alice: str, settle: Reader) -> None:
    rule = a_rule()

    friend = comes(a_link(sharer_id=alice))
    settle()

    assert (got(alice), got(friend)) == ([("given", 10)], [])
    assert points(alice) == 10
    [listed] = lists.mine(alice, limit=9, after=None).rows
    assert (listed.rule_id, listed.occurrence, listed.role) == (rule.rule_id, f"member#{friend}", "sharer")


def test_both_sides_earn_when_the_rule_says_so(alice: str, settle: Reader) -> None:
    a_rule(to="both")

    friend = comes(a_link(sharer_id=alice))
    settle()

    assert (points(alice), points(friend)) == (10, 10)


def test_who_comes_without_a_link_earns_nobody_but_themselves(alice: str, settle: Reader) -> None:
    a_rule(to="both")

    somebody = a_member()
    settle()

    assert (points(alice), points(somebody)) == (0, 10)


def test_a_visit_alone_earns_nothing_not_even_one_that_binds(
    alice: str, store: Store, settle: Reader
) -> None:
    """A1: only what the friend does earns, and to be bound by a visit is nothing that they did."""
    for on in ("member.registered", "binding.made"):
        a_rule(on=on)
    link, old_friend = a_link(sharer_id=alice), a_member(now=NOW - DAY)

    visit = an_opening(link=link)
    held = attribution.bind(old_friend, visit=visit, now=NOW)
    settle()

    assert held.promoter_id == alice and got(alice) == []
    comes(link)
    settle()
    assert got(alice) == [("given", 10), ("given", 10)]


def test_what_an_operator_moves_earns_nothing(alice: str, settle: Reader) -> None:
    a_rule(on="binding.made")

    attribution.move(a_member(), promoter_id=alice, reason="asked", by=OWNER, now=NOW)
    settle()

    assert got(alice) == []


def test_an_order_earns_by_its_link_else_by_who_brought_its_buyer(alice: str, settle: Reader) -> None:
    a_rule(on="order.paid", to="both")
    bob = a_member()
    friend = comes(a_link(sharer_id=alice))

    an_order(friend)
    an_order(friend, link=a_link(sharer_id=bob).code)
    own = an_order(bob, link=a_link(sharer_id=bob).code)
    settle()

    assert (points(alice), points(friend)) == (10, 20)
    assert points(bob) == 20, "once as the sharer, once as the buyer of their own, never as their own sharer"
    assert own.member_id == bob


def test_a_second_level_earns_from_orders_alone(alice: str, settle: Reader) -> None:
    a_rule(on="order.completed", level=2)
    bob = comes(a_link(sharer_id=alice))
    carol = comes(a_link(sharer_id=bob))

    order = an_order(carol)
    orders.complete(order.order_id, now=NOW)
    settle()

    assert (points(alice), points(bob), points(carol)) == (10, 0, 0)


def test_orders_of_a_group_earn_when_it_is_filled_and_not_before(store: Store, settle: Reader) -> None:
    """G7; and by rules on orders that were paid as well as by rules on groups that were filled."""
    campaign = buying.a_campaign(sizes={2: 8900})
    a_rule(on="order.paid", to="actor")
    a_rule(on="group.filled", to="actor", where={"head": True}, give=[{"kind": "points", "amount": 7}])
    group = buying.open_paid_group(campaign)
    settle()
    [head] = [order.member_id for order in buying.orders_of(group)]
    assert got(head) == []

    buying.pay(buying.take(group))
    settle()

    _, joiner = (order.member_id for order in buying.orders_of(group))
    assert (points(head), points(joiner)) == (17, 10)


def test_an_order_of_a_group_that_is_given_back_takes_both_rewards_along(
    store: Store, settle: Reader
) -> None:
    campaign = buying.a_campaign(sizes={2: 8900})
    a_rule(on="order.paid", to="actor")
    a_rule(on="group.filled", to="actor")
    group = buying.open_paid_group(campaign, payers=2)
    settle()
    head, joiner = buying.orders_of(group)
    assert points(head.member_id) == 20

    orders.refund(head.order_id, back=orders.Back(reason="mall", done=True), now=NOW)
    settle()

    assert (points(head.member_id), points(joiner.member_id)) == (0, 20)
    assert [state for state, _ in got(head.member_id)] == ["taken_back", "taken_back"]


# --- conditions ---------------------------------------------------------------------------------------------


def test_an_amount_a_campaign_and_a_channel_are_asked_for(alice: str, settle: Reader) -> None:
    a_rule(on="order.paid", where={"min_amount_fen": 5000}, give=[{"kind": "points", "amount": 1}])
    a_rule(on="order.paid", where={"channels": ["moments"]}, give=[{"kind": "points", "amount": 100}])
    a_rule(on="order.paid", where={"campaigns": ["cmp_other"]}, give=[{"kind": "points", "amount": 10_000}])
    chat, moments = (
        a_link(sharer_id=alice, wanted=a_share(channel=channel)).code for channel in ("wechat", "moments")
    )

    an_order(a_member(), link=chat, fen=4999)
    an_order(a_member(), link=chat, fen=5000)
    an_order(a_member(), link=moments, fen=4999)
    settle()

    assert points(alice) == 101


def test_new_members_of_a_program_are_asked_for(alice: str, settle: Reader) -> None:
    old, new = a_member(now=NOW - DAY), a_member(now=NOW)
    a_rule(on="order.paid", to="actor", where={"new_member": True, "programs": [PROGRAM]})

    an_order(old)
    an_order(new)
    settle()

    assert (points(old), points(new)) == (0, 10)


def test_the_first_order_is_the_first_and_no_other(alice: str, settle: Reader) -> None:
    a_rule(on="order.paid", to="actor", where={"first_order": True})
    bob = a_member()

    first = an_order(bob)
    settle()
    an_order(bob)
    settle()
    refunded(first)
    an_order(bob)
    settle()

    noted = table.get(First, First.key(bob))
    assert noted is not None and noted.order_id == first.order_id
    assert [state for state, _ in got(bob)] == ["taken_back"]


def test_an_order_of_before_the_rule_is_the_first_when_the_house_knows_of_it(
    store: Store, settle: Any
) -> None:
    campaign = buying.a_campaign(sizes={2: 8900}, per_member_units=9, per_member_groups=9)
    group = buying.open_paid_group(campaign, payers=2, now=NOW - 60)
    buyer = buying.orders_of(group)[0].member_id
    settle()
    a_rule(on="order.paid", to="actor", where={"first_order": True})

    an_order(buyer)
    settle()

    assert got(buyer) == []


# --- the mall's ordinary orders -----------------------------------------------------------------------------


def test_an_ordinary_order_is_asked_for_its_products_and_categories_and_taken_back(
    alice: str, settle: Reader
) -> None:
    gives = {name: 10**n for n, name in enumerate(("cup", "coffee", "drinks", "food"))}
    for name in ("cup", "coffee"):
        give = [{"kind": "points", "amount": gives[name]}]
        a_rule(on="order.paid", to="actor", where={"products": [name, "x"]}, give=give)
    for name in ("drinks", "food"):
        give = [{"kind": "points", "amount": gives[name]}]
        a_rule(on="order.completed", to="actor", where={"categories": [name]}, give=give)

    order = ordinary.paid()
    settle()
    assert points(order.member_id) == gives["cup"]
    ordinary.tell("order.completed", order.mall_order_id or "")
    settle()
    assert points(order.member_id) == gives["cup"] + gives["drinks"]

    ordinary.back(order)
    settle()
    assert points(order.member_id) == 0


def test_a_part_that_goes_back_shrinks_what_goes_by_the_yuan_once_and_nothing_else(
    alice: str, settle: Reader, store: Store
) -> None:
    by_yuan = [{"kind": "points", "per_yuan": 2}, {"kind": "growth", "per_yuan": 1, "at_most": 50}]
    a_rule(on="order.paid", to="both", give=[*by_yuan, {"kind": "makeup_card", "amount": 3}])
    order = ordinary.paid(link=a_link(sharer_id=alice).code)
    settle()
    books_of = ("points", "growth", "makeup_card")

    def have(member_id: str) -> list[int]:
        return [ledger.balance(owner=member_id, book=book) for book in books_of]

    assert have(order.member_id) == have(alice) == [178, 50, 3]

    ordinary.back(order, "R1", lines=[{"line_id": "1", "amount_fen": 3900}])
    for _ in range(2):
        caught_up(now=NOW)
    assert have(order.member_id) == have(alice) == [100, 50, 3]
    ordinary.back(order, "R2", amount_fen=1000)
    ordinary.back(order, "R2", amount_fen=1000)
    caught_up(now=NOW)
    assert have(order.member_id) == have(alice) == [80, 40, 3]
    assert broken(store.client) == []

    ordinary.back(order, "R3")
    caught_up(now=NOW)
    assert have(order.member_id) == have(alice) == [0, 0, 0]
    assert broken(store.client) == []


def test_what_a_level_added_shrinks_with_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    a_rule(on="order.paid", to="actor", give=[{"kind": "points", "per_yuan": 1}])
    monkeypatch.setattr(levels, "points_bps", lambda member_id, now: 15_000)
    order = ordinary.paid({**ordinary.TEA, "paid_fen": 10_000})
    caught_up(now=NOW)
    assert points(order.member_id) == 150

    ordinary.back(order, amount_fen=2500)
    caught_up(now=NOW)

    # A quarter of 150, and what is not whole goes back too.
    assert points(order.member_id) == 112


def test_a_rule_by_the_yuan_that_comes_after_a_part_gives_for_what_is_left(
    alice: str, settle: Reader
) -> None:
    a_rule(on="order.completed", to="actor", give=[{"kind": "points", "per_yuan": 1}])
    order = ordinary.paid()

    ordinary.back(order, amount_fen=900)
    ordinary.tell("order.completed", order.mall_order_id or "")
    settle()
    caught_up(now=NOW)

    assert points(order.member_id) == 80


# --- gifts of other rooms -----------------------------------------------------------------------------------


def test_growth_cards_coupons_and_badges_are_given_by_their_rooms(alice: str, settle: Reader) -> None:
    template = a_template(stock=1)
    badges.add(
        AddBadge(badge_id="host", title="Host", fact="group.opened", threshold=1, on=True), by=OWNER, now=NOW
    )
    coupon = {"kind": "coupon", "id": template.template_id}
    growth = [{"kind": "growth", "amount": 3}, {"kind": "makeup_card", "amount": 2}, *POINTS]
    a_rule(on="order.paid", to="actor", give=[*growth, coupon, {"kind": "badge", "id": "host"}])
    order = an_order(alice)
    an_order(bob := a_member())
    settle()

    books_of = {book: ledger.balance(owner=alice, book=book) for book in ("points", "growth", "makeup_card")}
    assert books_of == {"points": 10, "growth": 3, "makeup_card": 2}
    held = [len(coupons.all_of(who)) for who in (alice, bob)]
    assert sorted(held) == [0, 1], "there was one"
    assert "host" in badges.of(alice)[1] and "host" in badges.of(bob)[1]
    [without] = [
        row.short for who in (alice, bob) for row in lists.mine(who, limit=9, after=None).rows if row.short
    ]
    assert without == {f"coupon#{template.template_id}": "coupon_sold_out"}

    refunded(order)
    settle()

    assert {ledger.balance(owner=alice, book=book) for book in books_of} == {0}
    assert all(row.state == "void" for row in coupons.all_of(alice))
    assert sum(row.left or 0 for row in templates.stock_of(template).values()) == held[0]
    [listed] = lists.mine(alice, limit=9, after=None).rows
    assert listed.short == {"badge#host": "gift_stays"}


def test_a_coupon_or_badge_that_is_not_there_is_named(store: Store) -> None:
    for kind in ("coupon", "badge"):
        with pytest.raises(Invalid) as refused:
            a_rule(give=[*POINTS, {"kind": kind, "id": "none"}])
        assert refused.value.details["field"] == "give[1].id"


def test_a_day_of_check_in_earns_once_and_a_day_before_the_rule_nothing(alice: str, settle: Reader) -> None:
    campaign = a_checkin(rewards=[])
    come(campaign, alice, day=4)
    a_rule(on="checkin.done", to="actor", where={"campaigns": [campaign.campaign_id]}, now=noon(5) - 9)

    for day in (5, 5, 6):
        come(campaign, alice, day=day)
        settle(now=noon(day))

    assert [state for state, _ in got(alice)] == ["given", "given"]
    assert points(alice) == 20


def test_a_day_whose_reaction_kept_failing_is_given_though_others_went_past_it(
    alice: str, settle: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_checkin(rewards=[])
    a_rule(on="checkin.done", to="actor", now=noon(4))

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as broke:
        broke.setattr(granting, "reward", fails)
        for day in (5, 6, 7, 8, 10):
            come(campaign, alice, day=day)
            settle(now=noon(day))
        assert got(alice) == []
    facts_owed = due.run(job=facts.JOB, worker="w", now=noon(10) + 3600, seconds=30)

    assert not facts_owed.failed
    assert points(alice) == 50
    assert len({row.occurrence for row in lists.mine(alice, limit=9, after=None).rows}) == 5


def test_a_return_of_coupons_is_told_though_the_stream_never_says_it(alice: str, settle: Reader) -> None:
    a_rule(on="coupon.redeemed", to="actor")
    pair = [claim(a_template(exclusive=False), alice) for _ in range(2)]
    held = lock(*pair)
    using.redeem(held.order_ref, now=NOW)
    caught_up(now=NOW)
    assert points(alice) == 20

    for _ in range(2):
        using.bring_back(held.order_ref, now=NOW)
        caught_up(now=NOW)

    assert points(alice) == 0


def test_a_check_in_counts_at_its_own_moment_and_not_at_the_end_of_its_day(
    alice: str, settle: Reader
) -> None:
    campaign = a_checkin(rewards=[])
    a_rule(on="checkin.done", to="actor", now=noon(5) + 1)

    come(campaign, alice, day=5)
    settle(now=noon(5) + 60)

    assert got(alice) == []


def test_a_coupon_that_is_used_earns_and_one_that_is_returned_takes_it_back(
    alice: str, settle: Reader
) -> None:
    a_rule(on="coupon.redeemed", to="actor")
    held = claim(a_template(), alice)
    locked = lock(held)
    using.redeem(locked.order_ref, now=NOW)
    settle()
    assert points(alice) == 10

    using.bring_back(locked.order_ref, now=NOW)
    settle()

    assert points(alice) == 0


# --- over HTTP ----------------------------------------------------------------------------------------------


def test_people_are_told_what_can_be_earned_and_how_far_they_are(alice: str, settle: Reader) -> None:
    a_rule(title="c", limits={"per_member": 3, "per_day": 1})
    a_rule(title="b", tiers=TIERS)
    a_rule(title="a", limits={"total": 1})
    link = a_link(sharer_id=alice)
    comes(link)
    settle()
    cache.clear_all()
    call = a_call(session=doors.Session(member_id=alice, program_id=PROGRAM, visitor="v"), lang="zh")

    spent, tiered, limited = sorted(routes.list_rewards(call).items, key=lambda one: one.title)
    assert (spent.available, spent.why_not, spent.progress) == (False, "budget", None)
    assert tiered.progress is not None
    assert ([one.reached for one in tiered.progress.tiers], tiered.progress.to_next_tier) == (
        [True, False],
        2,
    )
    assert limited.progress is not None
    assert (limited.available, limited.why_not, limited.progress.left, limited.progress.left_today) == (
        False,
        "limit",
        2,
        0,
    )
    assert limited.text == "你邀请的好友注册成为会员，你得10积分。每人最多3次，每人每天最多1次。"
    assert [one.progress for one in routes.list_rewards(a_call()).items] == [None, None, None]

    mine = routes.list_my_rewards(call, Listing(limit=2))
    rest = routes.list_my_rewards(call, Listing(after=mine.next))
    assert (len(mine.items), len(rest.items), rest.next) == (2, 1, None)
    assert {one.gifts[0].text for one in [*mine.items, *rest.items]} == {"10积分", "1积分"}


def test_what_was_just_granted_is_in_the_list_which_asks_no_index(alice: str, settle: Reader) -> None:
    a_rule()
    comes(a_link(sharer_id=alice))
    settle()

    with counting(table.client()) as spent:
        assert got(alice) == [("given", 10)]

    assert set(spent.reads) == {"truth"}, "an index lags, and so would the list"


# --- limits -------------------------------------------------------------------------------------------------


def test_a_limit_of_one_rule_holds_up_no_other_and_is_told(alice: str, settle: Reader) -> None:
    a_rule(limits={"per_member": 2})
    a_rule(limits={"per_day": 1}, give=[{"kind": "points", "amount": 100}])
    a_rule(limits={"total": 1}, give=[{"kind": "points", "amount": 1000}])
    a_rule(give=[{"kind": "points", "amount": 10_000}])
    link = a_link(sharer_id=alice)

    for _ in range(3):
        comes(link)
    settle()

    assert points(alice) == 20 + 100 + 1000 + 30_000
    assert sorted(missed(alice)) == ["budget", "budget", "per_day", "per_day", "per_member"]


def test_the_next_day_begins_anew(alice: str, settle: Reader) -> None:
    a_rule(limits={"per_day": 1})
    link = a_link(sharer_id=alice)

    for at in (NOW, NOW, LATER):
        comes(link, now=at)
    settle(now=LATER)

    assert points(alice) == 20


def test_a_missed_reward_is_not_tried_again(alice: str, store: Store, settle: Reader) -> None:
    rule = a_rule(limits={"total": 1})
    link = a_link(sharer_id=alice)
    comes(link), comes(link)
    settle()
    service.edit(rule.rule_id, terms(limits={"total": 5}), making=making())

    settle()

    assert sorted(got(alice)) == [("given", 10), ("missed", 0)]
    comes(link)
    settle()
    assert points(alice) == 20


def test_a_gift_that_is_refused_leaves_the_others(alice: str, settle: Reader) -> None:
    a_few_vouchers(1)
    a_rule(give=[*POINTS, *VOUCHER])
    a_rule(give=VOUCHER)
    link = a_link(sharer_id=alice)

    comes(link), comes(link)
    settle()

    assert points(alice) == 20
    assert missed(alice).count("no_vouchers") == len(missed(alice)) >= 1
    shorts = [row.short for row in lists.mine(alice, limit=9, after=None).rows if row.short]
    assert all(short == {"voucher#v1": "no_vouchers"} for short in shorts) and len(shorts) == 3


def test_a_blocked_sharer_earns_nothing_and_is_told(alice: str, settle: Reader) -> None:
    a_rule(to="both")
    link = a_link(sharer_id=alice)
    friend = comes(link)
    members.block(member_id=alice, reason="spam", by=OWNER, now=NOW)
    cache.clear_all()

    settle()

    assert (missed(alice), points(friend)) == (["blocked"], 10)


def test_a_sharded_purse_gives_to_its_last_unit(alice: str, settle: Reader) -> None:
    rule = a_rule(limits={"total": 7, "shards": 4})
    link = a_link(sharer_id=alice)

    for _ in range(9):
        comes(link)
    settle()

    assert points(alice) == 70
    assert [row.left for row in service.purse(rule.rule_id, shards=4)] == [0, 0, 0, 0]


# --- tiers --------------------------------------------------------------------------------------------------

TIERS: list[dict[str, Any]] = [
    {"at": 1, "give": [{"kind": "points", "amount": 1}]},
    {"at": 3, "give": [{"kind": "points", "amount": 100}]},
]


def test_tiers_are_given_as_they_are_reached(alice: str, settle: Reader) -> None:
    a_rule(tiers=TIERS)
    link = a_link(sharer_id=alice)
    seen = []

    for _ in range(4):
        comes(link)
        settle()
        seen.append(points(alice))

    assert seen == [1, 1, 101, 101]


def test_a_tier_falls_with_an_order_it_stood_on_and_can_be_reached_again(alice: str, settle: Reader) -> None:
    a_rule(on="order.paid", tiers=TIERS)
    link = a_link(sharer_id=alice).code
    first, *_ = [an_order(a_member(), link=link) for _ in range(3)]
    settle()
    assert points(alice) == 101

    refunded(first)
    settle()
    assert points(alice) == 1, "two are left: the first tier stands, the second does not"
    an_order(a_member(), link=link)
    settle()

    assert points(alice) == 101
    assert [state for state, _ in got(alice)].count("taken_back") == 1


def test_a_tier_whose_purse_is_empty_is_missed_and_still_counts(alice: str, settle: Reader) -> None:
    a_rule(tiers=TIERS, limits={"total": 1})
    link = a_link(sharer_id=alice)

    for _ in range(3):
        comes(link)
    settle()

    assert (points(alice), missed(alice)) == (1, ["budget"])


# --- taken back ---------------------------------------------------------------------------------------------


def test_a_refund_takes_rewards_back_and_gives_limits_back(alice: str, settle: Reader) -> None:
    rule = a_rule(on="order.paid", to="both", limits={"per_member": 1, "per_day": 1, "total": 2})
    link = a_link(sharer_id=alice).code
    bob, carol = a_member(), a_member()
    order = an_order(bob, link=link)
    settle()
    assert (points(alice), points(bob)) == (10, 10)

    refunded(order)
    settle()
    assert (points(alice), points(bob)) == (0, 0)
    assert sum(row.left for row in service.purse(rule.rule_id, shards=1)) == 2

    an_order(carol, link=link)
    settle()
    assert (points(alice), points(carol)) == (10, 10)


def test_an_order_that_was_completed_is_taken_back_as_well(alice: str, settle: Reader) -> None:
    a_rule(on="order.completed", to="actor")
    order = an_order(alice)
    orders.complete(order.order_id, now=NOW)
    settle()
    assert points(alice) == 10

    refunded(order)
    settle()

    assert points(alice) == 0


def test_what_cannot_be_taken_back_is_said_and_holds_nothing_up(alice: str, settle: Reader) -> None:
    a_few_vouchers(5)
    a_rule(on="order.paid", to="actor", give=[*POINTS, *VOUCHER])
    order = an_order(alice)
    settle()

    refunded(order)
    settle()

    [listed] = lists.mine(alice, limit=9, after=None).rows
    assert (listed.state, listed.short) == ("taken_back", {"voucher#v1": "voucher_used"})
    assert points(alice) == 0


def test_an_order_refunded_before_its_reward_earns_nothing(alice: str, store: Store, settle: Reader) -> None:
    a_rule(on="order.paid", to="actor")
    refunded(an_order(alice))

    settle()

    assert (got(alice), points(alice)) == ([], 0)


# --- versions -----------------------------------------------------------------------------------------------


def test_a_rule_is_in_force_once_every_process_knows_it(alice: str, settle: Reader) -> None:
    service.make(terms(), state="on", making=making(now=NOW))
    link = a_link(sharer_id=alice)

    for at in (NOW, NOW + service.BEGINS_AFTER_S - 1, NOW + service.BEGINS_AFTER_S):
        comes(link, now=at)
    settle(now=NOW + DAY)

    assert got(alice) == [("given", 10)]


def test_what_happened_is_judged_by_the_version_of_its_time(alice: str, settle: Reader) -> None:
    rule = a_rule(now=NOW)
    link = a_link(sharer_id=alice)
    comes(link, now=NOW + 10)
    service.edit(
        rule.rule_id,
        terms(give=[{"kind": "points", "amount": 100}]),
        making=making(now=NOW + 20 - service.BEGINS_AFTER_S),
    )
    comes(link, now=NOW + 30)
    service.switch(rule.rule_id, to="off", making=making(now=NOW + 40 - service.BEGINS_AFTER_S))
    comes(link, now=NOW + 50)
    service.switch(rule.rule_id, to="on", making=making(now=NOW + 60 - service.BEGINS_AFTER_S))

    settle(now=NOW + 70)

    assert sorted(got(alice)) == [("given", 10), ("given", 100)]
    assert [(one.n, one.on) for one in service.versions(rule.rule_id)] == [
        (4, True),
        (3, False),
        (2, True),
        (1, True),
    ]


def test_a_rule_gives_for_nothing_that_happened_before_it_or_outside_its_time(
    alice: str, settle: Any
) -> None:
    link = a_link(sharer_id=alice, now=NOW - DAY)
    comes(link, now=NOW - 1)
    a_rule(starts_at=NOW + 100, ends_at=NOW + 200)
    for at in (NOW + 99, NOW + 100, NOW + 199, NOW + 200):
        comes(link, now=at)

    settle(now=NOW + 300)

    assert len(got(alice)) == 2


def test_the_same_key_and_body_make_one_rule(store: Store) -> None:
    first = service.make(terms(), state="on", making=making(key="k"))
    again = service.make(terms(), state="on", making=making(key="k", now=NOW + 5))

    assert again.rule_id == first.rule_id and len(service.everything()) == 1
    with pytest.raises(IdempotencyMismatch):
        service.make(terms(title="Other"), state="on", making=making(key="k"))


def test_a_total_is_changed_by_the_difference_and_never_below_what_was_given(
    alice: str, settle: Reader
) -> None:
    rule = a_rule(limits={"total": 10, "shards": 3})
    link = a_link(sharer_id=alice)
    for _ in range(4):
        comes(link)
    settle()

    for total in (5, 20, 4):
        service.edit(
            rule.rule_id, terms(limits={"total": total, "shards": 3}), making=making(now=NOW + total)
        )
        settle()
        assert sum(row.left for row in service.purse(rule.rule_id, shards=3)) == total - 4

    with pytest.raises(BudgetSpent) as refused:
        service.edit(rule.rule_id, terms(limits={"total": 3, "shards": 3}), making=making(now=NOW + 60))
    assert refused.value.details == {"given": 4, "left": 0}


def test_the_same_terms_make_no_new_version_and_some_things_stay(store: Store) -> None:
    rule = a_rule()

    assert service.edit(rule.rule_id, terms(), making=making(now=NOW + 9)).n == 1
    assert service.switch(rule.rule_id, to="on", making=making(now=NOW + 9)).n == 1
    for told in ({"on": "order.paid"}, {"tiers": TIERS}, {"limits": {"shards": 2}}):
        with pytest.raises(Invalid):
            service.edit(rule.rule_id, terms(**told), making=making())
    with pytest.raises(NotFound):
        service.edit("rwd_none", terms(), making=making())


# --- an unkind stream ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_of_facts_repeated_reordered_and_late_gives_what_a_kind_one_gives(
    seed: int, alice: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone(monkeypatch, "rewards")
    dice = random.Random(seed)
    a_rule(limits={"per_member": 4})
    a_rule(tiers=TIERS)
    a_rule(on="order.paid", to="both", limits={"total": 6, "shards": 2})
    a_rule(on="order.completed", to="actor", give=[{"kind": "points", "per_yuan": 1, "at_most": 50}])
    link = a_link(sharer_id=alice)
    friends = [comes(link, now=NOW + n) for n in range(5)]
    made = [an_order(friend, now=NOW + 10 + n) for n, friend in enumerate(friends)]
    for order in made[:3]:
        orders.complete(order.order_id, now=NOW)
    refunded(made[0])

    records = stream_records(store.client, "truth")
    for batch in deliveries(records, dice=dice, ordered=False):
        assert facts.handle_stream(event(batch), now=NOW + DAY) == {"batchItemFailures": []}
    late = deliveries(records, dice=dice, repeats=0.0)
    for batch in late:
        facts.handle_stream(event(batch), now=NOW + 3 * DAY)

    assert broken(store.client) == []
    states = books(store.client)
    assert len(states.of("reward_grant", state="counted")) == 5
    assert points(friends[0]) == 0
    assert 40 + 101 <= points(alice) <= 40 + 101 + 60


# --- dry runs -----------------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_a_rule_that_is_off_would_have_given(alice: str, settle: Reader) -> None:
    told: dict[str, Any] = {
        "on": "order.paid",
        "to": "both",
        "limits": {"per_member": 2, "per_day": 1, "total": 5},
    }
    draft = a_rule(state="off", **told)
    link = a_link(sharer_id=alice).code
    for day in range(3):
        for buyer in (a_member(), a_member()):
            an_order(buyer, link=link, now=NOW + day * DAY)
    settle(now=NOW + 2 * DAY)
    assert got(alice) == []

    tried = trying.dry_run(draft.rule_id, days=7, now=NOW + 2 * DAY)

    assert tried.complete
    tally = tried.tally
    assert (tally.looked_at, tally.matched, tally.granted) == (6, 6, 5)
    assert tally.given == {"points": 50}
    assert sum(tally.missed.values()) == 7
    assert trying.dry_run(draft.rule_id, days=1, now=NOW + 2 * DAY).tally.looked_at == 2


def test_a_dry_run_says_what_it_cannot_decide(alice: str, settle: Reader) -> None:
    a_rule(on="order.paid", to="actor")
    an_order(a_member())
    settle()
    draft = a_rule(state="off", on="order.paid", to="actor", where={"new_member": True})

    tally = trying.dry_run(draft.rule_id, days=1, now=NOW).tally

    assert (tally.looked_at, tally.undecided, tally.granted) == (1, 1, 0)


def test_a_dry_run_tells_what_was_granted_when_all_came_in_order(alice: str, settle: Reader) -> None:
    told: dict[str, Any] = {
        "on": "order.paid",
        "to": "both",
        "tiers": [],
        "give": POINTS,
        "limits": {"per_member": 3},
    }
    rule = a_rule(**told)
    link, buyers = a_link(sharer_id=alice).code, [a_member() for _ in range(4)]
    for n in range(6):
        an_order(buyers[n % 3], link=link, now=NOW + n)
    settle(now=NOW + 6)

    tally = trying.dry_run(rule.rule_id, days=1, now=NOW + 9).tally

    shards = service.purse(rule.rule_id, shards=1)
    assert tally.granted == sum(row.given for row in shards)
    assert sum(tally.missed.values()) == sum(row.missed for row in shards)


# --- without a rule -----------------------------------------------------------------------------------------


def test_nothing_is_written_when_no_rule_asks(alice: str, store: Store, settle: Reader) -> None:
    friend = comes(a_link(sharer_id=alice))
    an_order(friend)
    settle()

    kinds = {kind for table_name in ("truth", "traffic") for kind in books(store.client, table_name)}
    assert not [kind for kind in kinds if kind.startswith("reward")]


def test_a_chance_comes_out_the_same_however_often_it_is_asked(alice: str, settle: Reader) -> None:
    odds = [{"amount": 1, "bps": 9000}, {"amount": 100, "bps": 1000}]
    a_rule(on="order.paid", to="actor", give=[{"kind": "points", "odds": odds}])
    order = an_order(alice)
    settle()
    had = points(alice)

    settle()

    assert points(alice) == had in (1, 100)
    assert granting.chance("r", order.order_id, alice, now=NOW) in range(10_000)
