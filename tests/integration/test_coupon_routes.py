"""Coupons as their callers see them: statuses, repeats, pages of lists, words, and the whole way of a coupon."""

from typing import Any

import msgspec
import pytest

from chalicelib.core import cursors, doors
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Invalid
from chalicelib.core.http import Call, Reply
from chalicelib.coupons import admin, mall, routes, service
from chalicelib.coupons.models import Coupon
from chalicelib.coupons.schemas import (
    AddUnits,
    ClaimMany,
    EditInvite,
    EditPlan,
    EditTemplate,
    GrantPart,
    LineBody,
    MakeCodes,
    MakeTemplate,
    MallLock,
    MallOpenPack,
    MallOrderRef,
    MallQuote,
    MyCouponsQuery,
    OffersQuery,
    OpenPack,
    Quote,
    UseCode,
    Verify,
    Void,
)
from chalicelib.members import admin as members_admin
from chalicelib.members import service as members
from chalicelib.members.schemas import EditTags, MemberRef
from chalicelib.sharing import service as sharing
from infra.local.clients import Store
from tests.coupons import a_plan, a_template, claim, told
from tests.factories import NOW, OWNER, PROGRAM, a_call, a_member
from tests.groupbuys import a_buyer
from tests.harness.rows import rows

pytestmark = pytest.mark.usefixtures("direct")
LINES = [LineBody(product_id="tea", price_fen=6000)]


def as_member(member_id: str, *, now: int = NOW, lang: str = "en") -> Call:
    """A request of a signed-in member."""
    session = doors.Session(member_id=member_id, program_id=PROGRAM, visitor="v")
    return a_call(session=session, now=now, lang=lang)


def as_operator() -> Call:
    """A request of the owner."""
    return a_call(operator=OWNER)


def made(**changes: Any) -> str:
    """The id of a template that an operator has made."""
    given = msgspec.convert(told(**changes), MakeTemplate)
    return admin.make(as_operator(), given).body.template_id


def status(reply: Reply[Any]) -> int:
    """What a reply is sent with."""
    return reply.status


def test_a_claim_is_201_the_first_time_and_200_with_the_same_coupon_after_a_lost_reply() -> None:
    template_id, me = made(), as_member(a_buyer())

    first, second = routes.claim(me, template_id), routes.claim(me, template_id)

    assert (status(first), status(second)) == (201, 200)
    assert first.body.coupon.coupon_id == second.body.coupon.coupon_id
    assert (first.body.coupon.title, first.body.coupon.value_fen, first.body.coupon.usable) == (
        "Ten off",
        1000,
        True,
    )


def test_a_refusal_is_in_the_language_of_the_caller_and_has_its_code() -> None:
    gone = made(stock=1)
    routes.claim(as_member(a_buyer()), gone)

    [outcome] = routes.claim_many(as_member(a_buyer(), lang="zh"), ClaimMany(template_ids=[gone])).items

    assert outcome.error and (outcome.error.code, outcome.error.message) == (
        "coupon_sold_out",
        "优惠券已被领完。",
    )


def test_a_list_has_counts_and_goes_on_from_its_cursor_newest_first() -> None:
    alice = a_buyer()
    for at in range(5):
        claim(a_template(), alice, now=NOW + at)
    expired = claim(a_template(validity={"kind": "days", "days": 1}), alice)
    me = as_member(alice, now=NOW + DAY)

    first = routes.list_mine(me, MyCouponsQuery(limit=3, status="unused"))
    second = routes.list_mine(me, MyCouponsQuery(limit=3, status="unused", after=first.next))

    assert first.counts == {"unused": 5, "expired": 1}
    assert [one.claimed_at - NOW for one in first.items + second.items] == [4, 3, 2, 1, 0]
    assert (second.next, expired.coupon_id in [one.coupon_id for one in first.items]) == (None, False)
    with pytest.raises(cursors.CursorInvalid):
        routes.list_mine(as_member(a_buyer()), MyCouponsQuery(after=first.next, status="unused"))


def test_offers_are_for_anybody_and_say_more_to_members() -> None:
    template_id, alice = made(), a_buyer()
    routes.claim(as_member(alice), template_id)

    [strange] = routes.list_offers(a_call(), OffersQuery(product_id="tea", category_id="drinks")).items
    [mine] = routes.list_offers(as_member(alice), OffersQuery()).items

    assert (strange.status, mine.status, mine.claimed) == ("claimable", "claimed", 1)
    assert (mine.value_fen, mine.threshold_fen) == (1000, 5000)


def test_a_quote_says_why_in_words_and_what_comes_off_each_line() -> None:
    alice = a_buyer()
    best = claim(a_template(value_fen=1500), alice)
    claim(a_template(), alice), claim(a_template(threshold_fen=9000), alice)
    lines = [
        LineBody(product_id="tea", price_fen=2000, quantity=2),
        LineBody(product_id="cup", price_fen=2000),
    ]

    answer = routes.quote(as_member(alice), Quote(lines=lines))

    assert (answer.best.coupon_ids, answer.best.per_line) == ([best.coupon_id], [1000, 500])
    whys = [one.why_not.code if one.why_not else None for one in answer.items]
    assert whys == [None, "not_best", "below_threshold"]
    assert answer.items[2].why_not and answer.items[2].why_not.details == {"missing_fen": 3000}


def test_the_whole_way_of_an_order_beside_a_mall(store: Store) -> None:
    ref = MemberRef(external_id="m-1")
    alice = members.referred(ref, now=NOW).member_id
    coupon = claim(a_template(), alice)
    call, order = a_call(), MallOrderRef(mall_order_id="M-1")
    ask = MallLock(member=ref, mall_order_id="M-1", coupon_ids=[coupon.coupon_id], lines=LINES)

    assert mall.quote(call, MallQuote(member=ref, lines=LINES)).best.discount_fen == 1000
    locked = mall.lock(call, ask)
    assert (status(locked), status(mall.lock(call, ask))) == (201, 200)
    assert (locked.body.per_line, locked.body.locked_until) == ([1000], NOW + 1800)
    assert mall.redeem(call, order).state == "redeemed"
    assert mall.bring_back(call, order).state == "returned"
    assert service.own(alice, coupon.coupon_id).state == "unused"
    with pytest.raises(Invalid):
        mall.lock(call, msgspec.structs.replace(ask, coupon_ids=[coupon.coupon_id] * 2))
    other = msgspec.structs.replace(ask, mall_order_id="M-2")
    mall.lock(call, other)
    assert mall.release(call, MallOrderRef(mall_order_id="M-2")).state == "released"


def test_the_shops_counter_and_the_operators_view_of_a_member() -> None:
    alice = a_buyer()
    coupon, other = claim(a_template(), alice), claim(a_template(), alice)
    shown = routes.show_code(as_member(alice), coupon.coupon_id)

    taken = admin.verify(as_operator(), Verify(code=shown.code))
    gone = admin.void(as_operator(), alice, other.coupon_id, Void(reason="fraud"))

    assert (taken.coupon.state, gone.state) == ("redeemed", "void")
    listed = admin.list_coupons(as_operator(), alice).items
    assert {one.coupon_id: one.state for one in listed} == {
        coupon.coupon_id: "redeemed",
        other.coupon_id: "void",
    }


def test_an_operator_sees_what_is_left_and_changes_it(store: Store) -> None:
    template_id = made(stock=3, stock_shards=2)
    routes.claim(as_member(a_buyer()), template_id)

    more = admin.add_stock(as_operator(), template_id, AddUnits(units=2))
    off = admin.switch_off(as_operator(), template_id)
    edit = {name: value for name, value in told(title="Nine off", value_fen=900).items() if name != "stock"}
    new = admin.edit(as_operator(), template_id, msgspec.convert(edit, EditTemplate))
    on = admin.switch_on(as_operator(), template_id)

    assert (more.left, more.issued, off.state, new.version, on.state) == (4, 1, "off", 2, "on")
    [shown] = admin.list_templates(as_operator()).items
    assert (shown.title, shown.value_fen, shown.audience["kind"]) == ("Nine off", 900, "all")
    actions = [row["action"] for row in rows(store.client, "truth", kind="audit")]
    assert sorted(actions) == ["coupon.edited", "coupon.made", "coupon.off", "coupon.on", "coupon.stock"]


def test_a_gift_is_read_before_it_is_taken_and_its_giver_is_masked() -> None:
    alice, bob = a_member(), a_buyer()
    members.edit(member_id=alice, nickname="Alice")
    coupon = claim(a_template(giftable=True), alice)

    first = routes.give(as_member(alice), coupon.coupon_id)
    again = routes.give(as_member(alice), coupon.coupon_id)
    seen = routes.show_gift(a_call(), first.body.code)
    taken = [routes.accept(as_member(bob), first.body.code) for _ in range(2)]

    assert (status(first), status(again), first.body.code) == (201, 200, again.body.code)
    assert (seen.giver, seen.coupon.value_fen, seen.state) == ("A**", 1000, "open")
    assert [status(one) for one in taken] == [201, 200]
    other = claim(a_template(giftable=True), alice)
    routes.give(as_member(alice), other.coupon_id)
    assert routes.take_back(as_member(alice), other.coupon_id).state == "unused"


def test_a_packs_page_says_terms_counts_and_outcomes() -> None:
    alice, bob = a_buyer(), a_buyer()
    friends, own = a_template(stock=20), a_template()
    plan = {
        "title": "Share",
        "after": "campaign",
        "template_id": friends.template_id,
        "pieces": 2,
        "amounts": [700, 300],
        "sharer": {"template_id": own.template_id, "after_new": 1},
        "starts_at": NOW - 1,
        "ends_at": NOW + DAY,
    }
    plan_id = admin.make_plan(as_operator(), msgspec.convert(plan, EditPlan)).body.plan_id

    [terms] = routes.list_plans(a_call()).items
    opened = routes.open_pack(as_member(alice), OpenPack(plan_id=plan_id))
    pack_id = opened.body.pack_id
    before = routes.show_pack(a_call(), pack_id)
    taken = [routes.take_piece(as_member(bob), pack_id) for _ in range(2)]
    after = routes.show_pack(as_member(bob), pack_id)

    assert (terms.amounts, terms.sharer_after_new, terms.friends.threshold_fen) == ([700, 300], 1, 5000)
    assert (status(opened), opened.body.mine, opened.body.why_not and opened.body.why_not.code) == (
        201,
        True,
        "pack_is_own",
    )
    assert (before.can_take, before.left, before.new_missing) == (True, 2, 1)
    assert ([status(one) for one in taken], taken[0].body.coupon.value_fen) == ([201, 200], 700)
    assert (after.can_take, after.left, after.new_missing, len(after.taken)) == (False, 1, 0, 1)
    assert after.why_not and after.why_not.code == "already_taken"
    assert admin.switch_plan_off(as_operator(), plan_id).state == "off"
    assert admin.switch_plan_on(as_operator(), plan_id).state == "on"
    assert [one.plan_id for one in admin.list_plans(as_operator()).items] == [plan_id]


def test_the_mall_opens_a_pack_for_an_order_of_its_own() -> None:
    plan = a_plan(a_template(), after="order")
    ask = MallOpenPack(member=MemberRef(external_id="m-1"), plan_id=plan.plan_id, mall_order_id="M-1")

    first, second = mall.open_pack(a_call(), ask), mall.open_pack(a_call(), ask)

    assert (status(first), status(second), first.body.pack_id) == (201, 200, second.body.pack_id)


def test_inviting_shows_its_terms_and_how_far_one_is() -> None:
    assert routes.list_invites(a_call()).items == []
    template = a_template()
    plan = {
        "title": "Invite",
        "every": 3,
        "sharer_template_id": template.template_id,
        "friend_template_id": template.template_id,
        "starts_at": NOW - 1,
        "ends_at": NOW + DAY,
    }
    made_plan = admin.make_invite(as_operator(), msgspec.convert(plan, EditInvite)).body

    [shown] = routes.list_invites(as_member(a_buyer())).items

    assert (shown.plan_id, shown.missing, shown.brought) == (made_plan.plan_id, 3, 0)
    assert shown.friend and shown.friend.value_fen == 1000
    newer = admin.make_invite(as_operator(), msgspec.convert({**plan, "title": "Newer"}, EditInvite)).body
    listed = admin.list_invites(as_operator()).items
    assert {one.title: (one.state, one.counts) for one in listed} == {
        "Newer": ("on", newer.counts),
        "Invite": ("on", not newer.counts),
    }
    for one in (made_plan, newer):
        assert admin.switch_invite_off(as_operator(), one.plan_id).state == "off"
    assert [(one.state, one.counts) for one in admin.list_invites(as_operator()).items] == [
        ("off", False)
    ] * 2
    assert routes.list_invites(a_call()).items == []


def test_batches_and_codes_are_made_and_looked_at() -> None:
    template_id, alice = made(), a_buyer()
    part = GrantPart(batch="spring", member_ids=[alice, "mbr_x"])

    begun = admin.grant(as_operator(), template_id, part)
    printed = admin.make_codes(as_operator(), template_id, MakeCodes(batch="b", count=2, ends_at=NOW + DAY))
    used = [routes.use_code(as_member(alice), UseCode(code=printed.body.codes[0])) for _ in range(2)]

    assert (begun.body.members, begun.body.waiting, begun.body.given) == (2, 2, 0)
    assert admin.show_codes(as_operator(), template_id, "b").codes == printed.body.codes
    lines = admin.print_codes(as_operator(), template_id, "b").items
    assert [line.code for line in lines] == printed.body.codes
    assert [status(one) for one in used] == [201, 200]


def test_tags_are_said_anew_with_one_line_in_the_trail(store: Store) -> None:
    alice = a_buyer()

    for _ in range(2):
        answer = members_admin.tag_member(as_operator(), alice, EditTags(tags=["vip", "tea"]))
    assert answer.tags == ["tea", "vip"]
    assert members_admin.tag_member(as_operator(), alice, EditTags(tags=[])).tags == []

    trail = rows(store.client, "truth", kind="audit", action="member.tagged")
    assert len(trail) == 2


def test_coupons_gifts_and_packs_describe_themselves_when_they_are_shared() -> None:
    coupon = claim(a_template(giftable=True), a_buyer())
    code = routes.give(as_member(coupon.member_id), coupon.coupon_id).body.code
    pack = routes.open_pack(as_member(a_buyer()), OpenPack(plan_id=a_plan(a_template()).plan_id)).body

    for kind, target in (("coupon", coupon.template_id), ("gift", code)):
        about = sharing.describe(kind, target, now=NOW)
        assert (about.title, (about.variables or {})["value"]) == ("Ten off", "¥10.00")
    assert (sharing.describe("pack", pack.pack_id, now=NOW).variables or {})["left"] == "3"
    assert isinstance(coupon, Coupon)
