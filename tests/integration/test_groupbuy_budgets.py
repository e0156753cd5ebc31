"""What group-buys cost in calls and write units (design 9): the campaign is remembered, a limit row adds 2 units.

Where a figure differs from design 9 it is asserted as it is, and the test says what design 9 has.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from chalicelib.core import due, facts, table
from chalicelib.core.facts import Fact
from chalicelib.groupbuys import campaigns, ending, reading, rules
from chalicelib.groupbuys.models import Campaign, Group
from chalicelib.groupbuys.refusals import GroupFull, OnlyJoining
from chalicelib.orders import service as orders
from chalicelib.orders.service import Back, Order
from infra.local.clients import Store
from tests.factories import NOW, caught_up
from tests.groupbuys import (
    a_campaign,
    buyers,
    buying,
    open_paid_group,
    opened,
    orders_of,
    shown_of,
    take,
)
from tests.harness.counter import Spent, counting, item_size, of_the_design
from tests.harness.wire import plain

READ_AND_WRITE = Counter(GetItem=1, TransactWriteItems=1)
WRITE = Counter(TransactWriteItems=1)
PRICE = 8900


def costs(do: Callable[[], object]) -> Spent:
    """What ``do`` asked of the store."""
    with counting(table.client()) as spent:
        do()
    return spent


def units(truth: int, *, due: int = 0, owner: int = 0, rank: int = 0) -> Counter[str]:
    """Write units by table and index."""
    told = {"truth": truth, "truth/due": due, "truth/owner": owner, "truth/rank": rank}
    return Counter({name: count for name, count in told.items() if count})


def paid(order: Order, payment_id: str) -> Callable[[], None]:
    """A payment, without the look at the order that the factory takes afterwards."""
    money = orders.Paid(payment_id=payment_id, amount_fen=order.amount_fen)
    return lambda: orders.pay(order.order_id, money, now=NOW)


def entry_of(job: str, group: Group, member_id: str = "") -> due.Entry:
    """What the job's index says of a group, or of a seat in it."""
    found = due._due(f"{job}#0", now=NOW + 9_999_999)
    return next(one for one in found if one.pk == f"GROUP#{group.group_id}" and member_id in one.sk)


@pytest.fixture
def campaign(store: Store) -> Iterator[Campaign]:
    """A campaign for groups of four that this process remembers; no row in it costs more than the rule says."""
    made = a_campaign(sizes={4: PRICE})
    yield campaigns.find(made.campaign_id, now=NOW)
    large = {
        item["kind"]["S"]: item_size(item)
        for item in plain(store.client, "Scan", {"TableName": "truth"})["Items"]
        if item_size(item) > 1024
    }
    assert large == {}


# --- opening and joining ------------------------------------------------------------------------------------


def test_opening_a_group_is_one_call(campaign: Campaign) -> None:
    wants = buying()

    spent = costs(lambda: opened(campaign, wants))
    of_the_design(spent)

    # Group, seat, order, stock; and the limits. The seat and the order are in the member's lists: design 9 has 2.
    assert (spent.operations, spent.writes) == (WRITE, units(8 + 2, due=1, owner=2))


def test_opening_again_is_refused_by_the_limits_row_and_reads_the_order_and_its_group(
    campaign: Campaign,
) -> None:
    wants = buying()
    opened(campaign, wants)

    spent = costs(lambda: opened(campaign, wants))

    assert (spent.operations, spent.writes) == (WRITE + Counter(GetItem=2), units(8 + 2))


def test_opening_when_only_joining_is_left_adds_a_look_at_the_stock_and_at_the_groups(store: Store) -> None:
    campaign = a_campaign(stock=3)
    open_paid_group(campaign)
    wants = buying()

    def refused() -> None:
        with pytest.raises(OnlyJoining):
            opened(campaign, wants)

    spent = costs(refused)

    assert spent.operations == WRITE + Counter(BatchGetItem=2, Query=1)
    assert spent.writes == units(8 + 2)


def test_opening_when_too_little_was_left_a_moment_ago_looks_at_no_shards(store: Store) -> None:
    campaign = a_campaign(stock=3)
    open_paid_group(campaign)

    wants = buying()

    def refused(now: int) -> None:
        with pytest.raises(OnlyJoining):
            opened(campaign, wants, now=now)

    refused(NOW)
    spent, later = (costs(partial(refused, NOW + passed)) for passed in (1, 2))

    # The groups that can be joined, as they are now; two seconds later the shards are looked at again.
    assert spent.operations == WRITE + Counter(BatchGetItem=1, Query=1)
    assert later.operations == WRITE + Counter(BatchGetItem=2, Query=1)


def test_opening_from_another_shard_adds_a_look_at_all_of_them_and_a_second_try(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "shard_for", lambda key, shards: 0)
    campaign = a_campaign(sizes={2: PRICE}, stock=4, shards=2)
    opened(campaign)
    wants = buying()

    spent = costs(lambda: opened(campaign, wants))

    assert spent.operations == Counter(TransactWriteItems=2, BatchGetItem=1)
    assert spent.writes == units(2 * (8 + 2), due=1, owner=2)


def test_joining_is_two_calls(campaign: Campaign) -> None:
    group, wants = open_paid_group(campaign), buying()

    spent = costs(lambda: take(group, wants))
    of_the_design(spent)

    # Seat, order, group; and the limits. The seat and the order are in the member's lists: design 9 has 2.
    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(6 + 2, due=1, owner=2))


def test_joining_as_the_page_showed_it_is_one_call(campaign: Campaign) -> None:
    group, wants = open_paid_group(campaign), buying()

    spent = costs(lambda: take(group, wants, shown=shown_of(group)))
    of_the_design(spent)

    assert (spent.operations, spent.writes) == (WRITE, units(6 + 2, due=1, owner=2))


def test_joining_where_every_seat_has_its_own_units_adds_the_stock(store: Store) -> None:
    campaign = a_campaign(reserve="seat")
    group, wants = open_paid_group(campaign), buying()

    spent = costs(lambda: take(group, wants))

    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(6 + 2 + 2, due=1, owner=2))


def test_joining_again_writes_nothing_and_reads_the_seat_and_its_order(campaign: Campaign) -> None:
    group, wants = open_paid_group(campaign), buying()
    take(group, wants)

    spent = costs(lambda: take(group, wants))

    assert (spent.operations, spent.writes) == (WRITE + Counter(GetItem=3), units(6 + 2))


def test_a_group_that_is_full_costs_no_write_unit_where_the_read_shows_it(campaign: Campaign) -> None:
    group, wants = open_paid_group(campaign, payers=4), buying()

    def refused() -> None:
        with pytest.raises(GroupFull):
            take(group, wants)

    spent = costs(refused)
    of_the_design(spent)

    # The group and the member's own seat, and what else there is; design 9: 6 + 0.
    assert (spent.operations, spent.writes) == (Counter(GetItem=2, Query=1), units(0))


# --- paying -------------------------------------------------------------------------------------------------


def test_the_head_s_payment_is_two_calls(campaign: Campaign) -> None:
    order = opened(campaign).order

    spent = costs(paid(order, "pay_1"))
    of_the_design(spent)

    # Order, seat, group; and the payment. The group's due entry moves, and it is found from now on. Every payment
    # that is taken adds two to design 9: it is looked at again some days later, and its campaign lists the order.
    # It is owed, too: one more, and a write when all who react have.
    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(6 + 2, due=2 + 1 + 1, rank=1 + 1))


def test_another_s_payment_is_two_calls(campaign: Campaign) -> None:
    order = take(open_paid_group(campaign))

    spent = costs(paid(order, "pay_1"))
    of_the_design(spent)

    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(6 + 2, due=1 + 1 + 1, rank=2 + 1))


def test_the_last_payment_is_three_calls_as_the_first_guess_is_not_the_last(campaign: Campaign) -> None:
    order = take(open_paid_group(campaign, payers=3))

    spent = costs(paid(order, "pay_1"))
    of_the_design(spent)

    assert spent.operations == Counter(GetItem=1, TransactWriteItems=2)
    # The seat's due entry goes, the group's moves to what its fact owes, its place in the board goes: 4, and in
    # design 9: 3, as if nothing were owed.
    assert spent.writes == units(2 * (6 + 2), due=3 + 1 + 1, rank=1 + 1)


def test_the_last_payment_of_a_group_of_two_is_two_calls(store: Store) -> None:
    order = take(open_paid_group(a_campaign(sizes={2: PRICE})))

    spent = costs(paid(order, "pay_1"))

    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(6 + 2, due=3 + 1 + 1, rank=1 + 1))


def test_a_payment_that_is_reported_again_is_one_read(campaign: Campaign) -> None:
    order = opened(campaign).order
    paid(order, "pay_1")()

    spent = costs(paid(order, "pay_1"))

    assert (spent.operations, spent.writes) == (Counter(GetItem=1), units(0))


def test_a_second_payment_is_two_calls(campaign: Campaign) -> None:
    order = opened(campaign).order
    paid(order, "pay_1")()

    spent = costs(paid(order, "pay_2"))

    # The payment and its refund, which is due at once.
    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(4, due=1))


# --- giving back --------------------------------------------------------------------------------------------


def test_leaving_costs_what_joining_does(campaign: Campaign) -> None:
    group = open_paid_group(campaign)
    member_id = take(group).member_id

    spent = costs(lambda: ending.leave(group_id=group.group_id, member_id=member_id, now=NOW))
    of_the_design(spent)

    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(6 + 2, due=1, owner=1))


def test_a_hold_that_runs_out_is_one_call_as_its_due_entry_says_it_all(campaign: Campaign) -> None:
    group = open_paid_group(campaign)
    entry = entry_of("release", group, take(group).member_id)

    spent = costs(lambda: ending.release_hold(entry, NOW + 900))
    of_the_design(spent)

    assert (spent.operations, spent.writes) == (WRITE, units(6 + 2, due=1, owner=1))


def test_an_unpaid_head_s_group_goes_in_one_call(campaign: Campaign) -> None:
    seat = opened(campaign)
    entry = entry_of("release", seat.group)

    spent = costs(lambda: ending.release_hold(entry, NOW + 900))

    assert (spent.operations, spent.writes) == (WRITE, units(8 + 2, due=1, owner=1))


@pytest.mark.parametrize("payers", [1, 2, 3])
def test_the_end_of_a_group_is_two_calls(campaign: Campaign, payers: int) -> None:
    group = open_paid_group(campaign, payers=payers)
    caught_up(now=NOW)
    entry = entry_of("expire", group)

    spent = costs(lambda: ending.expire_group(entry, NOW + 86400))
    of_the_design(spent)

    # Group and stock; order and refund of each, and their limits. The group's due entry moves to what its fact
    # owes, and its place in the board goes; every order owes its own: 3 + 2n, and in design 9: 2 + n.
    assert spent.operations == Counter(Query=1, TransactWriteItems=1)
    assert spent.writes == units(4 + 4 * payers + 2 * payers, due=2 + 2 * payers, rank=1)


def test_a_group_that_ends_before_its_payments_are_told_lets_them_be_told_first(campaign: Campaign) -> None:
    group = open_paid_group(campaign, payers=2)

    spent = costs(lambda: ending.end(group.group_id, back=ending.EXPIRED, now=NOW))

    # It is refused once, reads the orders, and what they owe happens; then they are the same two calls.
    assert spent.operations["BatchGetItem"] == 1 and spent.operations["Query"] >= 2
    assert {order.state for order in orders_of(group)} == {"refunding"}


def test_a_job_adds_a_look_a_lease_and_two_pages(campaign: Campaign) -> None:
    open_paid_group(campaign)
    caught_up(now=NOW)

    spent = costs(lambda: due.run(job="expire", worker="w", now=NOW + 86400, seconds=30))

    # Is anything due, what, the group, what still; taking the lease and giving it back.
    assert spent.operations == Counter(Query=4, TransactWriteItems=1, UpdateItem=2)


def test_a_minute_in_which_nothing_is_due_is_one_read_a_job(campaign: Campaign) -> None:
    open_paid_group(campaign, payers=2)

    for job in ("release", "expire", "refund"):
        spent = costs(lambda job=job: due.run(job=job, worker="w", now=NOW, seconds=30))  # type: ignore[misc]
        assert (spent.operations, spent.writes) == (Counter(Query=1), units(0))


def test_a_refund_that_the_gateway_gives_at_once_is_three_calls(campaign: Campaign) -> None:
    group = open_paid_group(campaign)
    ending.end(group.group_id, back=ending.EXPIRED, now=NOW)
    caught_up(now=NOW)
    (entry,) = due._due("refund#0", now=NOW)

    spent = costs(lambda: orders.send_refund(entry, NOW))

    # Refund and order read, and the order again after the gateway was asked; both written, the end is owed, and the
    # day's bill finds the refund in its list.
    assert (spent.operations, spent.writes) == (WRITE + Counter(GetItem=3), units(4, due=1 + 1, owner=1))


def test_a_member_s_refund_in_an_open_group_is_one_transaction(campaign: Campaign) -> None:
    group = open_paid_group(campaign)
    order = take(group)
    paid(order, "pay_1")()
    caught_up(now=NOW)

    spent = costs(lambda: orders.refund(order.order_id, back=Back(reason="operator"), now=NOW))

    # The order is read by the caller, and anew as often as it is tried; then the group. Written: order, refund,
    # seat, group, limits.
    assert spent.operations == WRITE + Counter(GetItem=2, Query=1)
    assert spent.writes == units(8 + 2, due=1 + 1, owner=1, rank=2)


# --- late, and facts ----------------------------------------------------------------------------------------


def test_a_late_payment_that_finds_its_seat_again_is_six_calls(campaign: Campaign) -> None:
    group = open_paid_group(campaign)
    order = take(group)
    ending.leave(group_id=group.group_id, member_id=order.member_id, now=NOW)

    spent = costs(paid(order, "pay_1"))

    # Order, group, the member's newest order (gone), joinable groups; then order, payment, seat, group, limits.
    assert spent.operations == WRITE + Counter(GetItem=3, Query=1, BatchGetItem=1)
    assert spent.writes == units(8 + 2, due=1 + 1, owner=1, rank=2 + 1)


def test_a_group_that_is_filled_owes_one_reaction_and_is_settled(campaign: Campaign) -> None:
    group = open_paid_group(campaign, payers=4)
    row = reading.find(group.group_id)
    assert row.owed_rev == row.rev

    fact = Fact(name="group.filled", pk=row.pk, sk=row.sk, rev=row.rev, owed=True)
    spent = costs(lambda: facts.dispatch(fact, now=NOW))

    # The report: marker, check, and the day. No ladder, so no differences. Who brought each of four payers, and a
    # line in the inbox of each; then it is owed no more.
    assert spent.operations["TransactWriteItems"] == 1
    assert spent.writes["truth"] == 6 + 4 + 4 + 1 and spent.writes["truth/due"] == 1


def test_what_a_crowd_costs_grows_with_the_crowd_alone(store: Store) -> None:
    campaign = a_campaign(sizes={20: PRICE})
    group = open_paid_group(campaign)
    first, *others = buyers(12)

    def joined(member_id: str) -> Spent:
        return costs(lambda: take(group, buying(member_id)))

    alone = joined(first)
    crowd = [joined(member_id) for member_id in others]

    assert {(one.calls, one.table_units, one.index_units) for one in crowd} == {
        (alone.calls, alone.table_units, alone.index_units)
    }
    assert len(orders_of(group)) == 13
