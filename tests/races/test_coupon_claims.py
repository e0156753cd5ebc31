"""Claims: never more than the stock, nor than a member may have (C1), whatever comes at the same moment.

What the naive versions do is what the app does, with every condition off and nobody writing before all have read.

Cases of the field, by their numbers in research/malls.md 3:
    11 litemall#581, count and then insert: test_litemall_581_a_stock_of_one_and_a_limit_of_one_give_one_coupon
    12 yudao, a limit that is read: test_many_taps_of_one_member_claim_as_many_as_the_limit_lets_them
       yudao, batches beyond the stock:
       test_a_batch_that_is_taken_up_by_four_at_once_gives_each_one_and_never_too_many
       yudao, what is off is claimed: test_nobody_claims_once_it_is_said_to_be_off
    13 CRMEB, what is left is written as it was read: test_many_members_for_a_smaller_stock_get_all_of_it
    14 lilishop, what was taken is written as it was read: test_all_ways_to_a_coupon_share_one_stock
       lilishop, one tap claims twice: test_the_same_call_twenty_times_is_one_claim_also_where_more_are_allowed
    15 newbee, only half can be claimed: test_many_members_for_a_smaller_stock_get_all_of_it
"""

from collections.abc import Callable

import pytest

from chalicelib.core import due, shards, table
from chalicelib.core.errors import AppError
from chalicelib.coupons import codes, grants, packs, service, templates
from chalicelib.coupons.models import Coupon, Template
from chalicelib.coupons.schemas import GrantPart, MakeCodes
from tests.coupons import MAKING, a_pack, a_plan, a_template, again, broken, claim, claiming, run_jobs, taking
from tests.factories import NOW, a_word
from tests.groupbuys import a_buyer, buyers, naively
from tests.races.arena import CROWD, ROUGH, STORM, Arena, rounds

pytestmark = pytest.mark.engine


# --- the stock ----------------------------------------------------------------------------------------------


def test_the_harness_sees_more_coupons_than_stock_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, crowd = a_template(stock=1), buyers(8)
    naively(monkeypatch)

    arena.collide(*[claiming(template, member_id) for member_id in crowd]).expect(won=8)

    assert "a shard has -7" in broken(arena, template, stock=1)


def test_litemall_581_a_stock_of_one_and_a_limit_of_one_give_one_coupon(arena: Arena) -> None:
    """64 parallel calls of one member gave nine rows there."""
    template, alice = a_template(stock=1, per_member=1), a_buyer()

    outcomes = arena.race(*[claiming(template, alice)] * CROWD)

    outcomes.expect(won=CROWD)
    assert len({one.coupon_id for one in outcomes.winners}) == 1
    assert broken(arena, template, stock=1) == []


@rounds(STORM)
def test_eventyay_1398_five_come_for_what_three_may_have(arena: Arena) -> None:
    template = a_template(stock=3)

    arena.race(*[claiming(template, one) for one in buyers(5)]).expect(won=3, coupon_sold_out=2)

    assert broken(arena, template, stock=3) == []


@rounds(STORM)
@pytest.mark.parametrize("stock_shards", [1, 8])
def test_many_members_for_a_smaller_stock_get_all_of_it(stock_shards: int, arena: Arena) -> None:
    stock = CROWD * 5 // 8
    template = a_template(stock=stock, stock_shards=stock_shards)

    outcomes = arena.race(*[claiming(template, member_id) for member_id in buyers(CROWD)])

    outcomes.expect(won=stock, coupon_sold_out=CROWD - stock)
    assert broken(arena, template, stock=stock) == []


@rounds(STORM)
def test_all_ways_to_a_coupon_share_one_stock(arena: Arena) -> None:
    template = a_template(stock=30, stock_shards=3)
    pack = a_pack(a_plan(template, pieces=5))
    given = MakeCodes(batch="b", count=10, ends_at=NOW + 99)
    printed = codes.letters(template.template_id, codes.make(template.template_id, given, MAKING), now=NOW)
    crowd = buyers(64)
    calls = [claiming(template, one) for one in crowd[:30]]
    calls += [taking(pack, one) for one in crowd[30:40]]
    calls += [using(code, one) for code, one in zip(printed, crowd[40:50], strict=True)]
    calls += [giving(template, one) for one in crowd[50:]]

    outcomes = arena.race(*calls)

    outcomes.expect(won=30, coupon_sold_out=29, pack_empty=5)
    assert broken(arena, template, stock=30) == []
    run_jobs()
    assert broken(arena, template, stock=30) == []


def using(code: str, member_id: str) -> Callable[[], Coupon]:
    """A member uses a code."""
    return lambda: codes.use(code, member_id, now=NOW).coupon


def giving(template: Template, member_id: str) -> Callable[[], Coupon]:
    """Another room gives a member a coupon."""
    return lambda: give(template, member_id)


def give(template: Template, member_id: str, cause: str = "cause") -> Coupon:
    """A coupon as another room gives it, which knows that a cause may have brought it before."""
    coupon_id = service.id_for_cause(template.template_id, member_id, cause)
    try:
        table.transact(service.granted(template.template_id, member_id, cause=cause, now=NOW))
    except (service.AlreadyGranted, templates.CouponSoldOut) as refused:
        if not service.has(member_id, coupon_id):  # or the last unit was this very one
            raise refused
    return service.own(member_id, coupon_id)


@rounds(STORM)
def test_one_cause_that_comes_many_times_gives_one_coupon(arena: Arena) -> None:
    template, alice = a_template(stock=5), a_buyer()

    arena.race(*[lambda: give(template, alice)] * 20).expect(won=20)

    assert len(service.all_of(alice)) == 1
    assert broken(arena, template, stock=5) == []


# --- the member's limit -------------------------------------------------------------------------------------


def test_the_harness_sees_more_claims_than_the_limit_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, alice = a_template(per_member=2), a_buyer()
    naively(monkeypatch)

    arena.collide(*[claiming(template, alice)] * 8).expect(won=8)

    assert any("were issued" in one for one in broken(arena, template, stock=10))


@rounds(STORM)
def test_many_taps_of_one_member_claim_as_many_as_the_limit_lets_them(arena: Arena) -> None:
    template, alice = a_template(stock=50, per_member=5), a_buyer()

    outcomes = arena.race(*[claiming(template, alice, key=a_word()) for _ in range(CROWD)])

    outcomes.expect(won=5, coupon_limit_reached=CROWD - 5)
    assert broken(arena, template, stock=50) == []


@rounds(STORM)
def test_the_same_call_twenty_times_is_one_claim_also_where_more_are_allowed(arena: Arena) -> None:
    template, alice = a_template(per_member=9), a_buyer()

    outcomes = arena.race(*[claiming(template, alice, key="one tap")] * 20)

    outcomes.expect(won=20)
    assert len({one.coupon_id for one in outcomes.winners}) == 1
    assert broken(arena, template, stock=10) == []


@rounds(ROUGH)
def test_two_a_day_are_two_a_day(arena: Arena) -> None:
    template, alice = a_template(per_member=9, per_member_daily=2), a_buyer()

    outcomes = arena.race(*[claiming(template, alice, key=a_word()) for _ in range(12)])

    outcomes.expect(won=2, coupon_limit_reached=10)


# --- the switch ---------------------------------------------------------------------------------------------


@rounds(ROUGH)
def test_nobody_claims_once_it_is_said_to_be_off(arena: Arena) -> None:
    template, crowd = a_template(stock=99, stock_shards=4), buyers(CROWD)

    outcomes = arena.race(
        *[claiming(template, one) for one in crowd[1:32]],
        lambda: templates.switch(template.template_id, to="off", making=MAKING),
        *[claiming(template, one) for one in crowd[32:]],
    )

    outcomes.expect_won_or("coupon_off")
    # A process that remembers the template as it was is refused by every shard.
    templates._templates.put(template.template_id, template, now=NOW)
    template.state = "on"
    late = arena.race(*[claiming(template, one) for one in buyers(8)])
    late.expect(coupon_off=8)
    assert broken(arena, template, stock=99) == []


# --- packs, codes, batches ----------------------------------------------------------------------------------


def test_the_harness_sees_more_pieces_than_a_pack_has_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = a_pack(a_plan(a_template(), pieces=1))
    crowd = buyers(8)
    naively(monkeypatch)

    arena.collide(*[taking(pack, one) for one in crowd]).expect(won=8)

    assert len(packs.show(pack.pack_id)[1]) == 8


@rounds(STORM)
def test_many_friends_for_6_pieces_take_them_in_order_and_unlock_once(arena: Arena) -> None:
    friends, own = a_template(), a_template()
    amounts = [600, 500, 400, 300, 200, 100]
    pack = a_pack(a_plan(friends, own=own, after_new=3, pieces=6, amounts=amounts))

    outcomes = arena.race(*[taking(pack, one) for one in buyers(CROWD)])

    outcomes.expect(won=6, pack_empty=CROWD - 6)
    _, pieces = packs.show(pack.pack_id)
    assert [(one.n, one.value_fen) for one in pieces] == list(enumerate(amounts, start=1))
    assert service.own(pack.sharer_id, pack.sharer_coupon_id or "").rev == 2
    assert broken(arena, friends, stock=10) == broken(arena, own, stock=10) == []


@rounds(STORM)
def test_one_friend_takes_one_piece_and_one_member_opens_one_pack(arena: Arena) -> None:
    template, alice, bob = a_template(), a_buyer(), a_buyer()
    plan = a_plan(template)

    opened = arena.race(*[lambda: a_pack(plan, alice)] * 20)
    opened.expect(won=20)
    pack = opened.winners[0]
    arena.race(*[taking(pack, bob)] * 20).expect(won=20)

    assert packs.show(pack.pack_id)[0].left == 2
    assert broken(arena, template, stock=10) == []


@rounds(ROUGH)
def test_pieces_that_are_taken_while_the_pack_ends_are_taken_or_go_back(arena: Arena) -> None:
    template = a_template()
    pack = a_pack(a_plan(template, own=template, after_new=2, pieces=4))
    [entry] = due._due(f"{packs.JOB}#0", now=pack.ends_at)
    last = pack.ends_at - 1
    crowd = buyers(10)

    outcomes = arena.race(
        *[taking(pack, one, now=last) for one in crowd[:5]],
        *[lambda: packs.end_pack(entry, pack.ends_at)] * 2,
        *[taking(pack, one, now=last) for one in crowd[5:]],
    )

    outcomes.expect_won_or("pack_empty", "pack_over")
    assert packs.show(pack.pack_id)[0].state in ("over", "empty")
    assert broken(arena, template, stock=10) == []


def a_code(template: Template) -> str:
    """The only one of a batch."""
    row = codes.make(template.template_id, MakeCodes(batch="b", count=1, ends_at=NOW + 99), MAKING)
    [code] = codes.letters(template.template_id, row, now=NOW)
    return code


def test_the_harness_sees_one_code_used_by_eight_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, crowd = a_code(a_template()), buyers(8)
    naively(monkeypatch)

    arena.collide(*[lambda one=one: codes.use(code, one, now=NOW) for one in crowd]).expect(won=8)

    assert len(arena.rows("coupon")) == 8


@rounds(STORM)
def test_one_code_in_many_hands_is_good_for_one(arena: Arena) -> None:
    template = a_template()
    code = a_code(template)

    outcomes = arena.race(*[lambda one=one: codes.use(code, one, now=NOW) for one in buyers(CROWD)])

    outcomes.expect(won=1, coupon_code_used=CROWD - 1)
    assert broken(arena, template, stock=10) == []


def test_the_harness_sees_a_part_of_a_batch_granted_eight_times_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = a_template(stock=100)
    grants.begin(template.template_id, GrantPart(batch="b", member_ids=buyers(3)), MAKING)
    [entry] = due._due(f"{grants.JOB}#0", now=NOW)
    naively(monkeypatch)

    arena.collide(*[lambda: grants.grant(entry, NOW)] * 8).expect(won=8)

    assert broken(arena, template, stock=100) != []


@rounds(ROUGH)
def test_a_batch_that_is_taken_up_by_four_at_once_gives_each_one_and_never_too_many(arena: Arena) -> None:
    template, crowd = a_template(stock=12), buyers(16)
    grants.begin(template.template_id, GrantPart(batch="b", member_ids=crowd), MAKING)
    entries = list(due._due(f"{grants.JOB}#0", now=NOW))

    arena.race(*[lambda one=one: grants.grant(one, NOW) for one in entries for _ in range(4)]).expect(
        won=4 * len(entries)
    )

    chunks = grants.progress(template.template_id, "b")
    assert sum(row.given or 0 for row in chunks) == sum(len(service.all_of(one)) for one in crowd) == 12
    assert broken(arena, template, stock=12) == []


def test_a_claim_that_is_refused_by_its_shard_looks_once_and_takes_what_is_there(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = a_template(stock=3, stock_shards=3)
    monkeypatch.setattr(shards, "shard_for", lambda key, count: 0)

    coupons = [claim(template, one) for one in buyers(3)]

    assert sorted(again(one).shard for one in coupons) == [0, 1, 2]
    with pytest.raises(AppError, match="coupon_sold_out"):
        claim(template, a_buyer())
