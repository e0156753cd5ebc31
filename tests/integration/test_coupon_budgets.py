"""What coupons cost in calls and write units (design 9): the template is remembered, the terms are for ever.

Where a figure differs from design 9 it is asserted as it is, and the test says what design 9 has.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from chalicelib.core import due, facts, shards, table
from chalicelib.coupons import expiring, gifts, packs, plans, quoting, service, templates, using
from chalicelib.coupons.models import Template
from chalicelib.coupons.templates import CouponSoldOut
from infra.local.clients import Store
from tests.coupons import (
    LAST_DAY,
    a_basket,
    a_coupon,
    a_pack,
    a_plan,
    a_template,
    claim,
    lock,
    wanted,
)
from tests.factories import NOW, OWNER, a_word
from tests.groupbuys import a_buyer, buyers
from tests.harness.counter import counting, item_size, of_the_design
from tests.harness.wire import plain
from tests.integration.test_groupbuy_budgets import READ_AND_WRITE, WRITE, costs, units


@pytest.fixture(autouse=True)
def nobody_reacts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room by itself: a redemption that another reacts to, as rewards does, is owed, one index unit more."""
    monkeypatch.setattr(facts, "_reactions", {})


@pytest.fixture
def template(store: Store) -> Iterator[Template]:
    """A template that this process remembers; no coupon and no shard costs more than the rule says."""
    made = a_template(giftable=True)
    yield templates.find(made.template_id, now=NOW)
    items = plain(store.client, "Scan", {"TableName": "truth"})["Items"]
    assert {item["kind"]["S"]: item_size(item) for item in items if item_size(item) > 1024} == {}


def test_a_claim_is_one_call(template: Template) -> None:
    alice = a_buyer()

    spent = costs(lambda: claim(template, alice))
    of_the_design(spent)

    # The coupon and its shard; the coupon's end is due. No owner entry: a member's coupons are a partition.
    assert (spent.operations, spent.writes) == (WRITE, units(4, due=1))


def test_a_repeated_claim_is_refused_by_the_coupon_itself(template: Template) -> None:
    alice = a_buyer()
    claim(template, alice)

    spent = costs(lambda: claim(template, alice))

    assert (spent.operations, spent.writes) == (WRITE, units(4))


def test_a_claim_where_several_are_allowed_adds_the_tally(store: Store) -> None:
    template, alice = a_template(per_member=3), a_buyer()
    templates.find(template.template_id, now=NOW)

    spent = costs(lambda: claim(template, alice))
    second = costs(lambda: claim(template, alice))

    assert (spent.operations, spent.writes) == (WRITE, units(4 + 2, due=1))
    # The first try learns from the refusal how many there are.
    assert (second.operations, second.writes) == (WRITE + WRITE, units(2 * (4 + 2), due=1))


def test_sold_out_is_looked_at_once_and_then_remembered(store: Store) -> None:
    template = a_template(stock=1)
    claim(template, a_buyer())
    bob, carol = buyers(2)

    def refused(who: str) -> None:
        with pytest.raises(CouponSoldOut):
            claim(template, who)

    first, second = costs(lambda: refused(bob)), costs(lambda: refused(carol))

    assert first.operations == WRITE + Counter(BatchGetItem=1, GetItem=1)
    assert (second.operations, second.writes) == (Counter(GetItem=1), Counter())


def test_a_claim_from_another_shard_adds_a_look_at_all_of_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "shard_for", lambda key, count: 0)
    template = a_template(stock=2, stock_shards=2)
    claim(template, a_buyer())
    bob = a_buyer()

    spent = costs(lambda: claim(template, bob))

    assert spent.operations == WRITE + WRITE + Counter(BatchGetItem=1)


def test_a_coupon_that_is_given_costs_what_a_claim_does_and_a_look(template: Template) -> None:
    alice = a_buyer()

    spent = costs(lambda: table.transact(service.granted(template.template_id, alice, cause="a", now=NOW)))

    assert (spent.operations, spent.writes) == (WRITE + Counter(BatchGetItem=1), units(4, due=1))


def test_an_orders_coupon_is_held_in_three_calls_and_used_in_two(template: Template) -> None:
    coupon = claim(template, a_buyer())
    quoting.weigh([coupon], a_basket(), now=NOW)  # the terms are remembered for ever

    held = costs(lambda: using.lock(wanted(coupon, order="M-1"), now=NOW))
    used = costs(lambda: using.redeem("M-1", now=NOW))
    of_the_design(used)

    # The order's row and the coupon, whose end of the lock is due instead of its own.
    assert (held.operations, held.writes) == (READ_AND_WRITE + Counter(BatchGetItem=1), units(4, due=2))
    # Design 9: 1 call, 4 + 1. Which coupons an order holds, its row says, so it is read first.
    assert (used.operations, used.writes) == (READ_AND_WRITE, units(4, due=1))


def test_what_comes_back_reads_the_coupons_too(template: Template) -> None:
    one, two = (claim(template, member_id) for member_id in buyers(2))
    lock(one, order="M-1"), lock(two, order="M-2")
    using.redeem("M-2", now=NOW)

    let_go = costs(lambda: using.release("M-1", now=NOW))
    returned = costs(lambda: using.bring_back("M-2", now=NOW))

    assert (let_go.operations, let_go.writes) == (READ_AND_WRITE + Counter(BatchGetItem=1), units(4, due=2))
    assert (returned.operations, returned.writes) == (
        READ_AND_WRITE + Counter(BatchGetItem=1),
        units(4, due=1),
    )


def test_the_shop_takes_a_coupon_in_one_write_and_one_read(template: Template) -> None:
    coupon = claim(template, a_buyer())
    code, _ = using.shop_code(coupon.member_id, coupon.coupon_id, now=NOW)

    spent = costs(lambda: using.verify(code, by=OWNER, now=NOW))
    of_the_design(spent)

    # Design 9: 1 + 1 alone; the trail, which every write of an operator leaves, is the row beside it.
    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(4, due=1))


def test_an_end_is_one_single_write(template: Template) -> None:
    claim(template, a_buyer())
    [entry] = due._due(f"{service.JOB}#0", now=LAST_DAY)

    spent = costs(lambda: expiring.do_due(entry, LAST_DAY))

    assert (spent.operations, spent.writes) == (Counter(UpdateItem=1), units(1, due=1))


def test_a_gift_is_put_on_its_way_and_taken(template: Template) -> None:
    coupon, bob = claim(template, a_buyer()), a_buyer()

    with counting(table.client()) as sent:
        gift, _ = gifts.give(coupon.member_id, coupon.coupon_id, now=NOW)
    taken = costs(lambda: gifts.accept(gift.code, bob, now=NOW))

    # The gift's end is due instead of the coupon's; then the friend's coupon's end instead of the gift's.
    assert (sent.operations, sent.writes) == (READ_AND_WRITE, units(4, due=2))
    assert (taken.operations, taken.writes) == (WRITE + Counter(GetItem=2), units(6, due=2))


def test_a_pack_holds_all_of_its_units_in_one_write_and_a_piece_needs_none(store: Store) -> None:
    template, alice, bob = a_template(), a_buyer(), a_buyer(now=NOW - 1)
    plan = a_plan(template)
    plans.everything(now=NOW), templates.find(template.template_id, now=NOW)

    with counting(table.client()) as opened:
        pack = a_pack(plan, alice)
    taken = costs(lambda: packs.take(pack.pack_id, bob, now=NOW))

    # The pack, its place in its sharer's list, a shard of the stock.
    assert (opened.operations, opened.writes) == (READ_AND_WRITE, units(6, due=1))
    # The pack, the piece, the friend's coupon.
    assert (taken.operations, taken.writes) == (WRITE + Counter(GetItem=2), units(6, due=1))


def test_a_list_is_one_query_and_its_terms_are_read_once(store: Store) -> None:
    alice = a_buyer()
    for _ in range(3):
        claim(a_template(), alice)

    def listed() -> None:
        service.terms_for(service.all_of(alice), now=NOW)

    first, second = costs(listed), costs(listed)

    assert first.operations == Counter(Query=1, BatchGetItem=1)
    assert (second.operations, second.read_units) == (Counter(Query=1), 1)


def test_a_quote_is_one_query(store: Store) -> None:
    coupon = a_coupon(title=a_word())
    quoting.quote(coupon.member_id, a_basket(), now=NOW)

    spent = costs(lambda: quoting.quote(coupon.member_id, a_basket(), now=NOW))

    assert spent.operations == Counter(Query=1)


def test_offers_are_one_look_at_all_templates_and_all_shards_and_then_ones_own(store: Store) -> None:
    for _ in range(3):
        a_template(stock_shards=2)
    alice = a_buyer()

    def looked() -> None:
        assert len(service.offers(member_id=alice, product=None, now=NOW)) == 3

    first, second = costs(looked), costs(looked)

    assert first.operations == Counter(Query=2, BatchGetItem=1)
    assert second.operations == Counter(Query=1)
