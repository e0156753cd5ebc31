"""Gifts, share packs, invitations, batches and codes, by their services on the embedded store."""

from typing import Any

import msgspec
import pytest

from chalicelib.core import cache, ids
from chalicelib.core.clock import DAY
from chalicelib.core.errors import AppError, Invalid, NotFound
from chalicelib.core.http import Listing
from chalicelib.coupons import (
    answers,
    codes,
    gifts,
    grants,
    invites,
    packs,
    plans,
    routes,
    service,
    templates,
)
from chalicelib.coupons.codes import CodeOff, CodeOver, CodeUsed
from chalicelib.coupons.gifts import GiftOver, GiftTaken, NotGiftable, OwnGift
from chalicelib.coupons.models import Coupon, Template
from chalicelib.coupons.packs import OwnPack, PackEmpty, PackNeedsOrder, PackOver
from chalicelib.coupons.plans import PlanNotOpen
from chalicelib.coupons.schemas import EditPlan, GrantPart, MakeCodes
from chalicelib.coupons.service import NotEligible
from chalicelib.coupons.templates import CouponSoldOut, Making, RequestDiffers
from chalicelib.orders import service as orders
from chalicelib.sharing import attribution
from infra.local.clients import Store
from tests.coupons import (
    LAST_DAY,
    LASTING,
    MAKING,
    a_coupon,
    a_pack,
    a_plan,
    a_template,
    again,
    an_invite,
    broken,
    claim,
    lock,
    registers,
    run_jobs,
    taking,
)
from tests.factories import (
    NOW,
    OWNER,
    a_call,
    a_link,
    a_member,
    a_visit,
    a_word,
    called,
    caught_up,
)
from tests.groupbuys import a_buyer, a_campaign, buyers, opened, pay
from tests.harness.rows import rows

pytestmark = pytest.mark.usefixtures("direct")


def refused(kind: type[AppError], call: Any) -> dict[str, Any]:
    """The details of a refusal."""
    with pytest.raises(kind) as said:
        call()
    return said.value.details


# --- gifts --------------------------------------------------------------------------------------------------


def giftable(**changes: Any) -> Coupon:
    """A coupon that may be given away."""
    return a_coupon(giftable=True, **changes)


def given(coupon: Coupon, *, now: int = NOW) -> str:
    """The code of a gift."""
    return gifts.give(coupon.member_id, coupon.coupon_id, now=now)[0].code


def test_a_gift_moves_a_coupon_with_its_terms_and_time_to_one_friend(store: Store) -> None:
    coupon, bob, carol = giftable(stock=5), a_buyer(), a_buyer()
    code = given(coupon)

    taken = gifts.accept(code, bob, now=NOW + 5)

    assert given(giftable()) != code
    assert (taken.new, gifts.accept(code, bob, now=NOW + 6).new) == (True, False)
    refused(GiftTaken, lambda: gifts.accept(code, carol, now=NOW))
    mine = again(taken.coupon)
    assert (mine.state, mine.ends_at, mine.giftable, mine.source) == ("unused", coupon.ends_at, False, "gift")
    assert again(coupon).state == "gifted"
    template = templates.find(coupon.template_id, now=NOW)
    assert broken(store, template, stock=5) == []
    run_jobs(now=LAST_DAY)
    assert (again(mine).state, again(coupon).state) == ("expired", "gifted")


def test_a_coupon_on_its_way_is_of_no_use_to_its_giver() -> None:
    coupon = giftable()
    code = given(coupon)

    assert given(coupon, now=NOW + 1) == code
    with pytest.raises(AppError, match="coupon_in_use"):
        lock(again(coupon))
    refused(OwnGift, lambda: gifts.accept(code, coupon.member_id, now=NOW))
    refused(NotFound, lambda: gifts.accept("x", a_buyer(), now=NOW))


@pytest.mark.parametrize(
    ("ends_in", "state"), [(30 * DAY, "unused"), (DAY, "expired")], ids=["in time", "its own time was over"]
)
def test_a_gift_that_nobody_takes_comes_back(ends_in: int, state: str) -> None:
    coupon = giftable(validity={**LASTING, "ends_at": NOW + ends_in})
    code = given(coupon)

    run_jobs(now=min(NOW + gifts.OPEN_FOR_S, coupon.ends_at) - 1)
    assert again(coupon).state == "gifting"
    over = min(NOW + gifts.OPEN_FOR_S, coupon.ends_at)
    refused(GiftOver, lambda: gifts.accept(code, a_buyer(), now=over))
    run_jobs(now=over)

    assert again(coupon).state == state
    refused(GiftOver, lambda: gifts.accept(code, a_buyer(), now=over))


def test_a_giver_may_keep_it_after_all_and_give_it_again_under_another_code() -> None:
    coupon = giftable()
    code = given(coupon)

    assert gifts.take_back(coupon.member_id, coupon.coupon_id, now=NOW).state == "unused"
    assert gifts.take_back(coupon.member_id, coupon.coupon_id, now=NOW).state == "unused"
    second = given(coupon)

    assert second != code
    refused(GiftOver, lambda: gifts.accept(code, a_buyer(), now=NOW))
    assert gifts.accept(second, a_buyer(), now=NOW).new
    refused(GiftTaken, lambda: gifts.take_back(coupon.member_id, coupon.coupon_id, now=NOW))


def test_an_old_code_says_nothing_of_what_became_of_the_coupon() -> None:
    coupon = giftable()
    old = given(coupon)
    gifts.take_back(coupon.member_id, coupon.coupon_id, now=NOW)
    new = given(coupon)

    shown = [answers.gift_answer(gifts.find(code), a_call()) for code in (old, new)]

    assert [one.coupon.gift_code for one in shown] == [None, None]
    assert [(one.state, one.coupon.state) for one in shown] == [("back", "gone"), ("open", "gifting")]
    assert new not in msgspec.json.encode(shown[0]).decode()
    gifts.take_back(coupon.member_id, coupon.coupon_id, now=NOW)
    lock(coupon, order="M-77")
    assert "M-77" not in msgspec.json.encode(answers.gift_answer(gifts.find(old), a_call())).decode()


def test_what_is_not_giftable_or_not_unused_is_not_given() -> None:
    coupon = giftable()
    lock(coupon)

    assert refused(NotGiftable, lambda: given(a_coupon())) == {"state": "unused", "giftable": False}
    assert refused(NotGiftable, lambda: given(coupon))["state"] == "locked"
    assert refused(NotGiftable, lambda: given(giftable(), now=LAST_DAY))["state"] == "expired"


# --- packs --------------------------------------------------------------------------------------------------


def new_friends(count: int) -> list[str]:
    """People who registered after the pack was opened."""
    return buyers(count, now=NOW + 1)


def test_friends_take_pieces_in_the_published_order_one_each() -> None:
    plan = a_plan(a_template(stock=9), amounts=[500, 300, 900])
    pack = a_pack(plan)
    friends = buyers(4)

    worth = [packs.take(pack.pack_id, one, now=NOW).coupon.value_fen for one in friends[:3]]

    assert worth == [500, 300, 900]
    assert packs.take(pack.pack_id, friends[0], now=NOW + 2 * DAY).new is False
    refused(PackEmpty, lambda: packs.take(pack.pack_id, friends[3], now=NOW))
    [(_, terms)] = service.terms_for([service.all_of(friends[2])[0]], now=NOW).values()
    assert terms.value_fen == 900


def test_a_sharers_own_coupon_unlocks_by_new_friends_and_not_by_old_ones(store: Store) -> None:
    friends, own = a_template(stock=9), a_template(stock=9, validity={"kind": "days", "days": 3})
    pack = a_pack(a_plan(friends, own=own, after_new=2))
    old, (one, two) = a_buyer(now=NOW - DAY), new_friends(2)
    assert pack.sharer_coupon_id

    states = []
    for friend in (old, one, two):
        packs.take(pack.pack_id, friend, now=NOW + 9)
        states.append(service.own(pack.sharer_id, pack.sharer_coupon_id).state)

    assert states == ["waiting", "waiting", "unused"]
    mine = service.own(pack.sharer_id, pack.sharer_coupon_id)
    assert (mine.starts_at, mine.ends_at, mine.due_ref) == (NOW + 9, NOW + 9 + 3 * DAY, "expire")
    assert broken(store, friends, stock=9) == broken(store, own, stock=9) == []
    run_jobs()
    assert broken(store, friends, stock=9) == broken(store, own, stock=9) == []


def test_a_pack_that_ends_gives_back_what_nobody_took(store: Store) -> None:
    friends, own = a_template(stock=9, stock_shards=3), a_template(stock=9)
    pack = a_pack(a_plan(friends, own=own))
    packs.take(pack.pack_id, new_friends(1)[0], now=NOW + 2)

    run_jobs(now=pack.ends_at - 1)
    assert packs.show(pack.pack_id)[0].state == "open"
    run_jobs(now=pack.ends_at)

    over, pieces = packs.show(pack.pack_id)
    assert (over.state, len(pieces)) == ("over", 1)
    assert service.own(pack.sharer_id, pack.sharer_coupon_id or "").state == "lapsed"
    assert sum(row.left or 0 for row in templates.stock_of(friends).values()) == 8
    assert sum(row.left or 0 for row in templates.stock_of(own).values()) == 9
    refused(PackOver, lambda: packs.take(pack.pack_id, a_buyer(), now=NOW))
    assert broken(store, friends, stock=9) == broken(store, own, stock=9) == []


def test_one_template_for_both_sides_is_taken_from_and_given_back_to_once(store: Store) -> None:
    both = a_template(stock=8, stock_shards=2)
    a_pack(a_plan(both, own=both))
    pack = a_pack(a_plan(both, own=both))

    refused(CouponSoldOut, lambda: a_pack(a_plan(both, own=both)))
    assert broken(store, both, stock=8) == []
    run_jobs(now=pack.ends_at)
    assert broken(store, both, stock=8) == []
    assert sum(row.left or 0 for row in templates.stock_of(both).values()) == 8


def test_a_pack_that_was_emptied_before_its_sharers_coupon_unlocked_still_ends(store: Store) -> None:
    friends, own = a_template(), a_template()
    pack = a_pack(a_plan(friends, own=own, pieces=2, after_new=2))
    for friend in (new_friends(1)[0], a_buyer(now=NOW - DAY)):
        packs.take(pack.pack_id, friend, now=NOW + 2)

    run_jobs(now=pack.ends_at)

    assert packs.show(pack.pack_id)[0].state == "over"
    assert broken(store, friends, stock=10) == broken(store, own, stock=10) == []


def test_a_pack_is_one_for_a_member_and_plan_and_holds_its_units_from_the_first_moment() -> None:
    template = a_template(stock=4)
    plan, alice = a_plan(template), a_buyer()

    first = packs.open_pack(plan.plan_id, alice, order_id=None, now=NOW)
    second = packs.open_pack(plan.plan_id, alice, order_id=None, now=NOW + 5)

    assert (first.new, second.new, second.pack.pack_id) == (True, False, first.pack.pack_id)
    refused(CouponSoldOut, lambda: a_pack(plan))
    claim(template, a_buyer())
    refused(CouponSoldOut, lambda: claim(template, a_buyer()))
    refused(OwnPack, lambda: packs.take(first.pack.pack_id, alice, now=NOW))


def test_my_packs_are_listed_newest_first_with_what_is_left_of_them() -> None:
    alice, plan, other = a_buyer(), a_plan(a_template()), a_plan(a_template())
    mine = [a_pack(plan, alice), a_pack(other, alice, now=NOW + 1)]
    a_pack(plan)
    taking(mine[0], a_buyer())()

    first = routes.list_packs(called(alice), Listing(limit=1))
    rest = routes.list_packs(called(alice), Listing(limit=1, after=first.next))

    assert [one.pack_id for one in (*first.items, *rest.items)] == [mine[1].pack_id, mine[0].pack_id]
    assert (rest.items[0].left, rest.items[0].pieces, rest.items[0].state) == (2, 3, "open")
    assert routes.list_packs(called(a_buyer()), Listing()).items == []


def test_a_pack_for_new_friends_is_for_new_friends() -> None:
    pack = a_pack(a_plan(a_template(), new_friends_only=True))

    assert refused(NotEligible, taking(pack, a_buyer(now=NOW - 1))) == {"why": "new_members_only"}
    assert taking(pack, a_buyer())().state == "unused"
    refused(NotFound, lambda: packs.take("cpk_x", a_buyer(), now=NOW))


def test_a_pack_after_an_order_is_for_who_has_paid_it() -> None:
    campaign, plan = a_campaign(), a_plan(a_template(stock=99), after="order")
    order = opened(campaign).order

    def asked(member_id: str, order_id: str | None) -> packs.Opened:
        return packs.open_pack(plan.plan_id, member_id, order_id=order_id, now=NOW)

    for member_id, order_id in ((order.member_id, order.order_id), (a_buyer(), None), (a_buyer(), "ord_x")):
        refused(PackNeedsOrder, lambda who=member_id, what=order_id: asked(who, what))
    pay(order)
    refused(PackNeedsOrder, lambda: asked(a_buyer(), order.order_id))
    assert asked(order.member_id, order.order_id).new
    assert orders.show(order.order_id).state == "paid"
    assert packs.open_pack(plan.plan_id, order.member_id, order_id="M-1", vouched=True, now=NOW).new


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ends_at": NOW - DAY}, "ends_at"),
        ({"amounts": [1]}, "amounts"),
        ({"template_id": "ctp_x"}, "template_id"),
        ({"ends_at": LAST_DAY}, "template_id"),
        ({"sharer": {"template_id": "ctp_x", "after_new": 1}}, "sharer.template_id"),
        ({"pieces": 3, "sharer": {"template_id": "ctp_x", "after_new": 4}}, "sharer.after_new"),
    ],
)
def test_a_plan_that_could_not_be_kept_is_invalid(changes: dict[str, Any], field: str) -> None:
    template = a_template()

    assert refused(Invalid, lambda: a_plan(template, **changes))["field"] == field


def test_listed_amounts_need_a_coupon_that_is_an_amount() -> None:
    percent = a_template(kind="percent_off", percent_bps=1000)

    assert refused(Invalid, lambda: a_plan(percent, amounts=[1, 2, 3]))["field"] == "amounts"


def test_a_plan_is_switched_and_its_open_packs_go_on() -> None:
    plan = a_plan(a_template())
    pack = a_pack(plan)

    for _ in range(2):
        assert plans.switch(plan.plan_id, to="off", making=MAKING).state == "off"
    refused(PlanNotOpen, lambda: a_pack(plan))
    assert plans.running(now=NOW) == []
    assert taking(pack, a_buyer())().state == "unused"
    plans.switch(plan.plan_id, to="on", making=MAKING)
    assert [row.plan_id for row in plans.running(now=NOW)] == [plan.plan_id]


def test_the_same_key_makes_one_plan() -> None:
    template = a_template()
    keyed = Making(by=OWNER, now=NOW, idempotency_key=a_word())
    given = msgspec.convert(
        {
            "title": "Share",
            "after": "campaign",
            "template_id": template.template_id,
            "pieces": 2,
            "starts_at": NOW,
            "ends_at": NOW + DAY,
        },
        EditPlan,
    )

    assert plans.make(given, keyed).plan_id == plans.make(given, keyed).plan_id
    other = msgspec.structs.replace(given, pieces=3)
    refused(RequestDiffers, lambda: plans.make(other, keyed))


# --- invitations --------------------------------------------------------------------------------------------


def test_every_kth_new_member_brings_the_sharer_a_coupon_and_each_of_them_one(store: Store) -> None:
    sharers, newcomers = a_template(), a_template()
    plan, alice = an_invite(sharers, newcomers), a_member()

    friends = [registers(alice) for _ in range(5)]
    caught_up(now=NOW)

    assert [one.source for one in service.all_of(alice)] == ["invite", "invite"]
    assert [len(service.all_of(one)) for one in friends] == [1] * 5
    row = invites.brought(plan.plan_id, alice)
    assert (row.n, row.won, row.missed) == (5, 2, 0)
    assert broken(store, sharers, stock=10) == broken(store, newcomers, stock=10) == []


def test_a_visit_or_an_old_member_brings_nothing(store: Store) -> None:
    sharers, alice, bob = a_template(), a_member(), a_member()
    an_invite(sharers, sharers, every=1)
    attribution.bind(bob, visit=a_visit(link=a_link(sharer_id=alice)), now=NOW)

    caught_up(now=NOW)

    assert service.all_of(alice) == service.all_of(bob) == []


def test_who_is_one_too_many_for_the_stock_is_counted_as_missed(store: Store) -> None:
    sharers = a_template(stock=1)
    plan, alice = an_invite(sharers, every=1, times=9), a_member()

    for _ in range(3):
        registers(alice)
        caught_up(now=NOW)
        cache.clear_all()

    row = invites.brought(plan.plan_id, alice)
    assert (row.n, row.won + row.missed, len(service.all_of(alice))) == (3, 3, 1)


def test_a_plan_that_is_off_counts_nobody(store: Store) -> None:
    plan, alice = an_invite(a_template(), every=1), a_member()
    for _ in range(2):
        assert invites.switch_off(plan.plan_id, MAKING).state == "off"
    registers(alice)

    caught_up(now=NOW)

    assert service.all_of(alice) == []
    refused(NotFound, lambda: invites.switch_off("cvp_x", MAKING))
    template = a_template()
    assert refused(Invalid, lambda: an_invite(template, ends_at=NOW - DAY))["field"] == "ends_at"
    template.template_id = "ctp_x"
    assert refused(Invalid, lambda: an_invite(template))["field"] == "sharer_template_id"


# --- batches ------------------------------------------------------------------------------------------------


def in_batch(template: Template, *member_ids: str, batch: str = "spring", part: int = 1) -> None:
    """A part of a batch."""
    grants.begin(template.template_id, GrantPart(batch=batch, part=part, member_ids=list(member_ids)), MAKING)


def test_a_batch_gives_each_member_one_and_says_who_got_none(store: Store) -> None:
    template, crowd = a_template(stock=22), buyers(26)

    in_batch(template, *crowd[:15], "mbr_nobody", crowd[0])
    in_batch(template, *crowd[15:], part=2)
    in_batch(template, *crowd[15:], part=2)
    run_jobs(now=NOW)

    chunks = grants.progress(template.template_id, "spring")
    refusals = [code for row in chunks for _, code in row.refused or ()]
    assert {row.state for row in chunks} == {"done"}
    assert sum(row.given or 0 for row in chunks) == 22
    assert sorted(refusals) == ["coupon_sold_out"] * 4 + ["not_found"]
    assert broken(store, template, stock=22) == []


def test_a_part_that_names_others_is_refused_and_a_batch_gives_nobody_two(store: Store) -> None:
    template, (one, two) = a_template(), buyers(2)
    in_batch(template, one)

    refused(RequestDiffers, lambda: in_batch(template, two))
    in_batch(template, one, two, part=2)
    run_jobs(now=NOW)

    assert [len(service.all_of(who)) for who in (one, two)] == [1, 1]
    refused(NotFound, lambda: grants.progress(template.template_id, "other"))
    refused(NotFound, lambda: grants.begin("ctp_x", GrantPart(batch="b", member_ids=[one]), MAKING))


def test_a_batch_of_what_is_off_is_refused_for_everybody() -> None:
    template, one = a_template(), a_buyer()
    in_batch(template, one)
    templates.switch(template.template_id, to="off", making=MAKING)

    run_jobs(now=NOW)

    [row] = grants.progress(template.template_id, "spring")
    assert row.refused == [[one, "coupon_off"]]


# --- codes --------------------------------------------------------------------------------------------------


def printed(template: Template, *, count: int = 1, uses: int = 1, batch: str = "flyer") -> list[str]:
    """Codes in print."""
    given = MakeCodes(batch=batch, count=count, uses=uses, ends_at=NOW + DAY)
    row = codes.make(template.template_id, given, MAKING)
    return codes.letters(template.template_id, row, now=NOW)


def test_a_code_is_good_once_and_the_same_member_gets_the_same_answer(store: Store) -> None:
    template, alice = a_template(audience={"kind": "none"}), a_buyer()
    [code] = printed(template)

    first = codes.use(f" {code[:4].lower()}-{code[4:8]} {code[8:]}", alice, now=NOW)

    assert (first.new, codes.use(code, alice, now=NOW + 2 * DAY).new) == (True, False)
    assert first.coupon.source == "code"
    refused(CodeUsed, lambda: codes.use(code, a_buyer(), now=NOW))
    assert broken(store, template, stock=10) == []


def test_one_code_for_many_has_its_own_limit_and_that_of_the_stock() -> None:
    template = a_template(stock=3)
    [code] = printed(template, uses=2)
    for member_id in buyers(2):
        codes.use(code, member_id, now=NOW)

    refused(CodeUsed, lambda: codes.use(code, a_buyer(), now=NOW))
    [other] = printed(template, batch="b", uses=9)
    codes.use(other, a_buyer(), now=NOW)
    refused(CouponSoldOut, lambda: codes.use(other, a_buyer(), now=NOW))


def test_a_code_that_is_over_or_nobodys_or_mistyped_says_so() -> None:
    template = a_template()
    [code] = printed(template)

    assert refused(CodeOver, lambda: codes.use(code, a_buyer(), now=NOW + DAY)) == {"ended_at": NOW + DAY}
    body = "23456789ABC"
    refused(NotFound, lambda: codes.use(body + codes.check_letter(body), a_buyer(), now=NOW))
    for wrong in ("x", code[:-1], code[1] + code[0] + code[2:], "O" + code[1:]):
        if wrong != code:
            assert refused(Invalid, lambda text=wrong: codes.use(text, a_buyer(), now=NOW))["field"] == "code"


def test_a_batch_of_codes_is_made_once_and_again_answers_the_same(store: Store) -> None:
    template = a_template()
    first = printed(template, count=120)

    assert printed(template, count=120) == first
    assert len(set(first)) == len(rows(store.client, "truth", kind="coupon_code")) == 120
    refused(RequestDiffers, lambda: printed(template, count=9))
    refused(NotFound, lambda: codes.find(template.template_id, "other"))
    past = MakeCodes(batch="late", count=1, ends_at=NOW)
    refused(Invalid, lambda: codes.make(template.template_id, past, MAKING))


def test_a_batch_of_codes_is_switched_off_within_half_a_minute_and_on_again(store: Store) -> None:
    template, alice = a_template(), a_buyer()
    code, other = printed(template, count=2)
    [elsewhere] = printed(template, batch="b")
    codes.use(code, alice, now=NOW)

    def turned(to: str) -> Any:
        for _ in range(2):
            state = codes.switch(template.template_id, "flyer", to=to, making=MAKING).state
        return state

    assert turned("off") == "off"
    refused(CodeOff, lambda: codes.use(other, a_buyer(), now=NOW + 1))
    assert not codes.use(code, alice, now=NOW + 1).new, "what it brought stays"
    assert codes.use(elsewhere, a_buyer(), now=NOW + 1).new
    codes._off.put((template.template_id, "flyer"), False, now=NOW)  # as another process remembers it
    refused(CodeOff, lambda: codes.use(other, a_buyer(), now=NOW + 30))

    assert turned("on") == "on"
    assert codes.use(other, a_buyer(), now=NOW + 31).new
    told = [row["action"] for row in rows(store.client, "truth", kind="audit")]
    assert [told.count(f"coupon.codes_{to}") for to in ("off", "on")] == [1, 1]


def test_any_one_wrong_letter_and_any_swap_of_neighbours_is_seen() -> None:
    body = "K7M2P9RXTBZ"
    good = codes.check_letter(body)

    for at, letter in enumerate(body):
        for other in ids.READABLE:
            if other != letter:
                assert codes.check_letter(body[:at] + other + body[at + 1 :]) != good
        swapped = body[:at] + body[at + 1 : at + 2] + letter + body[at + 2 :]
        assert swapped == body or codes.check_letter(swapped) != good
