"""What support opens first: finding a member or an order by any of its names, and all that happened to somebody."""

from contextlib import suppress
from typing import Any

import pytest

from chalicelib.checkins import teams
from chalicelib.core import config, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Items, Listing
from chalicelib.coupons import gifts, using
from chalicelib.groupbuys import ending
from chalicelib.members import admin as members_admin
from chalicelib.members import rules as member_rules
from chalicelib.members import service as members
from chalicelib.members.schemas import FindMember
from chalicelib.operators import stuck
from chalicelib.orders import admin, mall
from chalicelib.orders import service as orders
from chalicelib.orders.models import MallName
from chalicelib.orders.schemas import FindOrders, FoundOrder, MallEvent, MallLine, Reconcile
from chalicelib.orders.service import MallOrderTaken, Order, OrderNamed
from chalicelib.points import badges
from chalicelib.sharing import attribution
from chalicelib.sharing.refusals import BoundToAnother
from chalicelib.support import service as support
from chalicelib.support.admin import show_timeline
from chalicelib.support.schemas import Happened
from infra.local.clients import Store
from tests.checkins import a_challenge, a_checkin, coming
from tests.coupons import a_coupon, a_pack, a_plan, a_template, claim, lock, taking
from tests.factories import NOW, OWNER, PROGRAM, a_call, a_link, a_member, a_visit, books, reacted
from tests.groupbuys import (
    a_buyer,
    a_campaign,
    buying,
    open_paid_group,
    opened,
    orders_of,
    pay,
    run_jobs,
    take,
)
from tests.harness.rows import rows
from tests.rewards import a_rule

pytestmark = pytest.mark.usefixtures("direct")
PRICE = 8900
CALL = a_call(operator=OWNER, now=NOW + DAY)


# --- looking members up -------------------------------------------------------------------------------------


def test_a_member_is_found_by_every_name() -> None:
    proofs = [
        member_rules.external_proof("m-1"),
        member_rules.openid_proof(program_id=PROGRAM, openid="o-1"),
        member_rules.unionid_proof("u-1"),
    ]
    member_id = members.find_or_register(proofs=proofs, program_id=PROGRAM, now=NOW)[0].member_id

    for given in (
        {"external_id": "m-1"},
        {"openid": "o-1", "program_id": PROGRAM},
        {"unionid": "u-1"},
        {"member_id": member_id},
    ):
        assert members_admin.find_member(CALL, FindMember(**given)).member_id == member_id
    with pytest.raises(NotFound):
        members_admin.find_member(CALL, FindMember(member_id="mbr_0"))
    with pytest.raises(Invalid):
        members_admin.find_member(CALL, FindMember(openid="o-1"))


# --- looking orders up --------------------------------------------------------------------------------------


def found(**asked: Any) -> Items[FoundOrder]:
    """What a look-up finds."""
    return admin.find(CALL, FindOrders(**asked))


def told(event_type: str, **more: Any) -> None:
    """The mall says something."""
    mall.take_event(CALL, MallEvent(id="evt", type=event_type, **more))  # type: ignore[arg-type]


def test_an_order_is_found_by_its_id_and_by_the_malls_number_whoever_named_it_first() -> None:
    campaign = a_campaign()
    first = opened(campaign, buying(mall_order_id="M-1")).order
    second = opened(campaign).order
    for _ in range(2):
        told("order.created", order_id=second.order_id, mall_order_id="M-2")

    for asked, order in (
        ({"order_id": first.order_id}, first),
        ({"mall_order_id": "M-1"}, first),
        ({"mall_order_id": "M-2"}, second),
    ):
        (line,) = found(**asked).items
        assert (line.order_id, line.state, line.amount_fen) == (order.order_id, "pending", PRICE)
        assert (line.refundable_fen, line.refunded_fen, line.paid_at) == (0, 0, None)
    for unknown in ({"order_id": "ord_0"}, {"mall_order_id": "M-3"}):
        with pytest.raises(NotFound):
            found(**unknown)


def test_the_malls_events_and_books_know_an_order_by_the_number_it_was_named_later() -> None:
    order = opened(a_campaign(gateway="mall")).order
    told("order.created", order_id=order.order_id, mall_order_id="M-2")

    told("order.paid", mall_order_id="M-2", payment_id="pay_1", goods_fen=PRICE)
    line = MallLine(mall_order_id="M-2", paid_fen=PRICE)
    compared = mall.reconcile(CALL, Reconcile(day="2026-01-01", orders=[line]))

    assert (orders.show(order.order_id).state, compared.differences) == ("paid", [])


def test_a_number_of_the_mall_names_one_order(store: Store) -> None:
    campaign = a_campaign()
    mine, other = opened(campaign).order, opened(campaign).order
    seated = opened(campaign, buying(mall_order_id="M-1")).order
    told("order.created", order_id=mine.order_id, mall_order_id="M-2")

    for number, holder in (("M-1", seated), ("M-2", mine)):
        with pytest.raises(MallOrderTaken) as taken:
            told("order.created", order_id=other.order_id, mall_order_id=number)
        assert taken.value.details == {"order_id": holder.order_id}
    told("order.created", order_id=seated.order_id, mall_order_id="M-1")
    with pytest.raises(OrderNamed) as named:
        told("order.created", order_id=mine.order_id, mall_order_id="M-9")

    assert named.value.details == {"mall_order_id": "M-2"}
    assert orders.show(other.order_id).mall_order_id is None
    assert orders.show(mine.order_id).mall_order_id == "M-2"
    assert books(store.client)["mall_order"] == 1
    assert table.get(MallName, MallName.key("M-9")) is None


@pytest.mark.parametrize("asked", [{}, {"order_id": "ord_1", "member_id": "mbr_1"}])
def test_orders_are_looked_up_by_exactly_one_name(asked: dict[str, str]) -> None:
    with pytest.raises(Invalid) as wrong:
        found(**asked)

    by = ["order_id", "mall_order_id", "member_id", "campaign_id", "external_id", "unionid", "openid"]
    assert wrong.value.details["known"] == by


def listed(*, limit: int, **asked: str) -> list[str]:
    """All pages of a list of orders."""
    ids, after = [], None
    while True:
        page = found(limit=limit, after=after, **asked)
        ids += [line.order_id for line in page.items]
        after = page.next
        if after is None:
            return ids


def test_a_members_orders_are_all_listed_also_those_let_go_unpaid() -> None:
    bob = a_buyer()
    held = [opened(a_campaign(), buying(bob), now=NOW + n).order for n in range(3)]
    orders.cancel(held[1], now=NOW + 3)
    ending.release(held[0], NOW + 4)

    assert listed(limit=2, member_id=bob) == [order.order_id for order in reversed(held)]
    assert [line.state for line in found(member_id=bob).items] == ["pending", "cancelled", "cancelled"]
    assert found(member_id="mbr_0").items == []


@pytest.mark.parametrize("shards", [1, 3])
def test_of_a_campaign_those_orders_are_listed_that_money_came_for(shards: int) -> None:
    campaign = a_campaign(stock=90, late_payment="refund")
    config.override(due_shards=shards)
    paid = {order.order_id for _ in range(3) for order in orders_of(open_paid_group(campaign, payers=2))}
    late = take(open_paid_group(campaign))
    orders.cancel(late, now=NOW)
    assert pay(late).state == "refunding"
    open_paid_group(a_campaign())

    ids = listed(limit=2, campaign_id=campaign.campaign_id)

    assert len(ids) == len(set(ids)) == 6 + 2
    assert set(ids) > {*paid, late.order_id}


# --- the story ----------------------------------------------------------------------------------------------


def story(member_id: str, *, limit: int = 100) -> list[Happened]:
    """All pages of it."""
    items, after = [], None
    while True:
        page = show_timeline(CALL, member_id, Listing(limit=limit, after=after))
        items += page.items
        after = page.next
        if after is None:
            return items


def whats(member_id: str) -> list[str]:
    return [one.what for one in story(member_id)]


def test_a_member_who_did_nothing_registered() -> None:
    member_id = a_member()

    (one,) = story(member_id)

    assert (one.what, one.at, one.subject) == ("registered", NOW, member_id)
    with pytest.raises(NotFound):
        story("mbr_0")


def test_an_order_that_was_let_go_unpaid_is_told() -> None:
    bob = a_buyer()
    orders.cancel(opened(a_campaign(), buying(bob), now=NOW + 1).order, now=NOW + 2)

    (ordered,) = [one for one in story(bob) if one.what == "ordered"]

    assert (ordered.at, ordered.details["state"]) == (NOW + 1, "cancelled")


def test_a_head_s_order_is_told_with_its_group_its_payments_and_its_refund(store: Store) -> None:
    bob = a_buyer()
    campaign = a_campaign()
    head = opened(campaign, buying(bob), now=NOW + 1)
    pay(head.order, "pay_1", now=NOW + 2)
    pay(head.order, "pay_wrong", amount_fen=5, now=NOW + 3)
    run_jobs(store)

    told = story(bob)

    assert [one.what for one in told] == [
        "refund_done",
        "group_expired",
        "payment_mismatch",
        "payment_taken",
        *["ordered", "opened_group"],
        "registered",
    ]
    assert {one.subject for one in told[1:2]} == {head.group.group_id}
    assert told[0].details["reason"] == "group_expired"


def test_shipping_and_completing_and_a_filled_group_are_told() -> None:
    group = open_paid_group(a_campaign(sizes={2: PRICE}), payers=2)
    (order, other) = orders_of(group)
    orders.shipped(order.order_id, now=NOW + DAY)
    orders.complete(order.order_id, now=NOW + 2 * DAY)

    assert whats(order.member_id) == [
        "completed",
        "shipped",
        "group_filled",
        "payment_taken",
        "ordered",
        "opened_group",
        "registered",
    ]
    assert "opened_group" not in whats(other.member_id)


def test_blocks_moves_refunds_and_decisions_of_operators_are_told_with_their_reasons() -> None:
    (order,) = orders_of(open_paid_group(a_campaign()))
    bob = order.member_id
    members.block(member_id=bob, reason="spam", by=OWNER, now=NOW + 1)
    members.unblock(member_id=bob, reason="a mistake", by=OWNER, now=NOW + 2)
    pay(order, "pay_wrong", amount_fen=5, now=NOW + 3)
    (waiting,) = stuck.listed(limit=9)[0]
    stuck.settle(stuck_id=waiting.id, how="refund", reason="by phone", by=OWNER, now=NOW + 4)
    orders.refund_for(order.order_id, reason="a complaint", by=OWNER, now=NOW + 5)

    changes = [one for one in story(bob) if "by" in one.details]

    assert [(one.what, one.at) for one in changes] == [
        ("order.refunded", NOW + 5),
        ("stuck.settled", NOW + 4),
        ("member.unblocked", NOW + 2),
        ("member.blocked", NOW + 1),
    ]
    assert changes[3].details["after"] == '{"reason": "spam"}'


def test_links_and_what_the_mall_was_told_are_told() -> None:
    config.override(mall_webhook_url="http://mall.example/hooks")
    bob = a_member()
    link = a_link(sharer_id=bob, now=NOW + 1)
    for write in members.tell_mall(members.show(bob), NOW + 2):
        table.apply(write)

    message, minted, _ = story(bob)

    assert (minted.what, minted.subject, minted.details["state"]) == ("link_minted", link.code, "on")
    assert (message.what, message.details["type"], message.details["state"]) == (
        "mall_told",
        "member.registered",
        "due",
    )


def test_a_story_in_pages_is_the_story_with_nothing_twice_and_nothing_missing() -> None:
    bob = a_member(now=NOW)
    for n in range(9):
        a_link(sharer_id=bob, now=NOW + n // 2 * HOUR)
        if n % 2:
            members.block(member_id=bob, reason=str(n), by=OWNER, now=NOW + n // 2 * HOUR)
            members.unblock(member_id=bob, reason=str(n), by=OWNER, now=NOW + n // 2 * HOUR)
    orders.cancel(opened(a_campaign(), buying(bob), now=NOW + 2 * HOUR).order, now=NOW + 2 * HOUR)
    whole = story(bob)
    assert len(whole) == 9 + 8 + 2 + 1

    for limit in (1, 2, 3, 7):
        paged = story(bob, limit=limit)
        assert sorted(map(str, paged)) == sorted(map(str, whole))
        assert [one.at for one in paged] == sorted((one.at for one in whole), reverse=True)


def test_coupons_points_check_ins_and_rewards_are_told_in_pages_too(store: Store) -> None:
    a_rule(on="checkin.done", to="actor")
    coupon = a_coupon(now=NOW + 1)
    bob, campaign = coupon.member_id, a_checkin(makeups=None)
    lock(coupon, order="M-1", now=NOW + 2)
    using.redeem("M-1", now=NOW + 3)
    coming(campaign, bob, 1, 2)
    reacted(store.client, now=NOW + 2 * DAY)

    told = story(bob)

    assert [(one.what, one.at) for one in told if one.at < NOW + DAY] == [
        ("coupon_used", NOW + 3),
        ("coupon_got", NOW + 1),
        ("registered", NOW),
    ]
    (month,) = [one for one in told if one.what == "checked_in"]
    assert (month.subject, month.details["days"]) == (campaign.campaign_id, "2, 3")
    rewards = [one for one in told if one.what == "reward"]
    assert {one.details["fact"] for one in rewards} == {"checkin.done"}
    amounts = [str(one.details["amount"]) for one in told if one.what == "points_posted"]
    assert sorted(amounts) == [*["10" for _ in rewards], "5", "5"]
    for limit in (1, 2, 3):
        assert sorted(map(str, story(bob, limit=limit))) == sorted(map(str, told))


def test_packs_pieces_gifts_badges_and_teams_are_told_in_pages_too() -> None:
    campaign = a_challenge(team_size=3)
    pack = a_pack(a_plan(a_template()), a_buyer(), now=NOW + 1)
    bob, friend = pack.sharer_id, a_buyer()
    coupon = claim(a_template(giftable=True), bob, now=NOW + 2)
    gifts.give(bob, coupon.coupon_id, now=NOW + 3)
    gifts.take_back(bob, coupon.coupon_id, now=NOW + 4)
    gifts.accept(gifts.give(bob, coupon.coupon_id, now=NOW + 5)[0].code, friend, now=NOW + 6)
    taking(pack, friend, now=NOW + 7)()
    team, _ = teams.found(campaign, bob, title="Larks", now=NOW + 8)
    teams.join(campaign, team.team_id, friend, now=NOW + 9)
    table.apply(badges.awarded(bob, "host", now=NOW + 10))

    told = [(one.at - NOW, one.what, one.subject) for one in story(bob)]

    assert told == [
        (10, "badge_awarded", "host"),
        (8, "team_joined", team.team_id),
        (6, "gift_taken", coupon.coupon_id),
        (5, "gift_given", coupon.coupon_id),
        (4, "gift_back", coupon.coupon_id),
        (3, "gift_given", coupon.coupon_id),
        (2, "coupon_got", coupon.coupon_id),
        (1, "pack_opened", pack.pack_id),
        (0, "registered", bob),
    ]
    assert whats(friend) == ["team_joined", "piece_taken", "gift_accepted", "registered"]
    assert not any(code in str(story(bob)) for code in codes_of_gifts())
    for limit in (1, 2, 3):
        assert sorted(map(str, story(bob, limit=limit))) == sorted(map(str, story(bob)))


def codes_of_gifts() -> list[str]:
    """The codes by which friends take gifts, which are nobody else's to see."""
    found = [row["code"] for row in rows(table.client(), "truth", kind="coupon_gift")]
    assert len(found) == 2
    return found


def test_why_an_invitation_earned_nothing_is_told_to_both_who_came_and_who_invited() -> None:
    bob, alice, carol = (a_member() for _ in range(3))
    link = a_link(sharer_id=carol)
    attribution.bind(bob, visit=a_visit(link=a_link(sharer_id=alice)), now=NOW + 1)
    for at in (2, DAY):
        with suppress(BoundToAnother):
            attribution.bind(bob, visit=a_visit(link=link, now=NOW + at), now=NOW + at)

    (his,) = [one for one in story(bob) if one.what == "visit_not_bound"]
    (hers,) = [one for one in story(carol) if one.what == "invitee_not_bound"]

    assert (his.subject, his.at, hers.subject, hers.at) == (carol, NOW + DAY, bob, NOW + 2)
    same = {"reason": "bound_to_another", "link": link.code, "first_at": NOW + 2, "last_at": NOW + DAY}
    assert his.details == hers.details == same
    assert "invitee_not_bound" not in whats(alice)


def test_one_page_costs_a_look_at_each_list_and_at_each_order() -> None:
    from tests.harness.counter import counting

    bob = a_buyer()
    for n in range(3):
        orders.cancel(opened(a_campaign(), buying(bob), now=NOW + n).order, now=NOW + n)

    with counting(table.client()) as spent:
        support.timeline(bob, limit=50, before=None, now=NOW)

    # The lists; bindings with visits, coupons, packs, badges, rewards, the campaigns of check-ins; each order's
    # money. The rows and their groups; the member.
    assert spent.operations == {"Query": 13 + 6 + 3, "BatchGetItem": 2, "GetItem": 1}
    assert spent.writes == {}


def test_a_story_is_of_one_member() -> None:
    group = open_paid_group(a_campaign(), payers=2)
    mine, theirs = orders_of(group)
    subjects = {one.subject for one in story(mine.member_id)}

    assert mine.order_id in subjects and theirs.order_id not in subjects
    assert isinstance(mine, Order)
