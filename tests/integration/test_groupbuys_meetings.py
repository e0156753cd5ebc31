"""Two who meet between one's look and one's write: what only the condition in the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chalicelib.core import due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.groupbuys import campaigns, ending, merging, reading, reporting, settling
from chalicelib.groupbuys.models import Campaign, Group, Part
from chalicelib.groupbuys.refusals import GroupFull, LimitReached, OrderInTheWay, SkuSoldOut
from chalicelib.groupbuys.service import Buying
from chalicelib.operators import stuck
from chalicelib.orders import gateways, giving
from chalicelib.orders import service as orders
from chalicelib.orders.giving import Given
from chalicelib.orders.service import Back, Order
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_member, a_word
from tests.groupbuys import (
    PHONE,
    a_buyer,
    a_campaign,
    broken,
    buying,
    open_paid_group,
    opened,
    orders_of,
    pay,
    run_jobs,
    take,
)
from tests.harness import meetings
from tests.harness.rows import rows
from tests.integration.test_stuck import only, settle
from tests.model.test_groupbuys import at_first_hand

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

LATER = NOW + DAY
SHOP = Back(reason="shop")


@pytest.fixture(autouse=True)
def the_books(store: Store) -> Iterator[None]:
    """Whatever meets, no rule is broken at its end."""
    with at_first_hand():
        yield
        there = rows(table.client(), "truth", kind="groupbuy")
        assert [line for row in there for line in broken(table.client(), row["campaign_id"])] == []


@contextmanager
def before_write(number: int, do: Callable[[], object]) -> Iterator[None]:
    """Just before the write of this number, somebody else does something; what orders owed before it was told."""
    for row in rows(table.client(), "truth", kind="order"):
        orders.caught_up(orders.show(row["order_id"]), now=NOW)
    with meetings.before_write(number, do):
        yield


def refund(order: Order) -> None:
    """The shop gives a paid order back."""
    orders.refund(order.order_id, back=SHOP, now=NOW)


def end(group: Group) -> None:
    """The group's time is over."""
    ending.end(group.group_id, back=ending.EXPIRED, now=LATER)


def state(group: Group) -> str | None:
    """Of the group, as it is now."""
    return reading.find(group.group_id).state


# --- a refund meets -----------------------------------------------------------------------------------------


def test_an_heir_is_refunded_while_the_head_is() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}), payers=3)
    head, heir, other = orders_of(group)

    with before_write(1, lambda: refund(head)):
        refund(heir)

    assert reading.find(group.group_id).head_id == other.member_id


def test_a_head_is_refunded_while_the_heir_is() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}), payers=3)
    head, heir, other = orders_of(group)

    with before_write(1, lambda: refund(heir)):
        refund(head)

    assert reading.find(group.group_id).head_id == other.member_id


def test_a_head_is_refunded_while_the_heir_has_gone_and_come_back() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}), payers=3)
    head, heir, other = orders_of(group)

    def gone_and_back() -> None:
        refund(heir)
        take(group, buying(heir.member_id))

    with before_write(1, gone_and_back):
        refund(head)

    assert reading.find(group.group_id).head_id == other.member_id


def test_a_payer_is_refunded_while_the_last_payment_fills_the_group() -> None:
    group = open_paid_group(a_campaign(), payers=2)
    payer, last = orders_of(group)[1], take(group)

    with before_write(1, lambda: pay(last)):
        refund(payer)

    now = reading.find(group.group_id)
    assert (now.state, now.missing, orders.show(payer.order_id).state) == ("filled", 0, "refunding")


def test_a_member_is_refunded_by_two_at_once() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}), payers=3)
    payer = orders_of(group)[1]

    with before_write(1, lambda: refund(payer)):
        refund(payer)

    assert reading.find(group.group_id).free == 2


def an_open_group() -> Group:
    return open_paid_group(a_campaign(sizes={4: 8900}), payers=2)


def a_group_of_one() -> Group:
    return open_paid_group(a_campaign(sizes={4: 8900}))


def a_full_group() -> Group:
    return open_paid_group(a_campaign(sizes={2: 8900}), payers=2)


@pytest.mark.parametrize("where", [an_open_group, a_full_group])
def test_a_part_goes_back_while_the_rest_does(where: Callable[[], Group]) -> None:
    payer = orders_of(where())[1]

    def part() -> None:
        orders.told_partly_refunded(payer, amount_fen=900, cause="mall#1", now=NOW)

    with before_write(1, part):
        refund(payer)

    assert sum(row.amount_fen for row in orders.money_of(payer.order_id)[1]) == payer.amount_fen


def hearing(patch: pytest.MonkeyPatch, *names: str) -> list[str | None]:
    """The states of orders in which their payment and their end, or what is named, was told."""
    found: list[str | None] = []
    for name in names or ("order.paid", "order.completed"):
        hears = facts._Reaction(
            name="test.hears",
            effect=lambda row, now: (),
            money=False,
            errand=lambda row, now: found.append(row.state),
        )
        patch.setitem(facts._reactions, name, [*facts._reactions.get(name, ()), hears])
    return found


def completed_meanwhile(payer: Order, patch: pytest.MonkeyPatch) -> list[str | None]:
    """In which state it was told that the order was completed, which met its refund."""
    heard = hearing(patch)
    with before_write(1, lambda: orders.complete(payer.order_id, now=NOW)):
        heard.clear()
        refund(payer)
    assert orders.show(payer.order_id).state == "refunding"
    return heard


def test_a_payer_is_refunded_while_the_order_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    payer = orders_of(an_open_group())[1]

    assert completed_meanwhile(payer, monkeypatch) == ["completed"]


def test_a_payer_of_a_full_group_is_refunded_while_the_order_is_completed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payer = orders_of(a_full_group())[1]

    assert completed_meanwhile(payer, monkeypatch) == ["completed"]


def failing(patch: pytest.MonkeyPatch) -> None:
    """Nobody can be told that an order was paid, so that it waits as a letter, and its row still owes it."""

    def fails(row: Any, now: int) -> None:
        raise RuntimeError("broken")

    broken = facts._Reaction(name="test.fails", effect=lambda row, now: (), money=False, errand=fails)
    patch.setitem(facts._reactions, "order.paid", [broken])


def refunded_in(group: Group) -> None:
    """A payer of the group is given back, who is not its head."""
    refund(orders_of(group)[-1])


@pytest.mark.parametrize(
    ("where", "do", "number"),
    [(a_full_group, refunded_in, 2), (a_group_of_one, end, 3)],
    ids=["refunded", "ended"],
)
def test_an_order_that_owes_a_letter_is_completed_while_it_goes_back(
    monkeypatch: pytest.MonkeyPatch, where: Callable[[], Group], do: Callable[[Group], None], number: int
) -> None:
    """``number``: of the write, behind those that find the letter there already."""
    failing(monkeypatch)
    heard = hearing(monkeypatch, "order.completed")
    group = where()
    payer = orders_of(group)[-1]

    with before_write(number, lambda: orders.complete(payer.order_id, now=NOW)):
        do(group)

    assert heard == ["completed"]


def test_a_group_is_ended_before_its_payments_are_told_and_they_are_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group, heard = an_open_group(), hearing(monkeypatch)

    end(group)

    assert heard == ["paid", "paid"]


# --- the end of a group meets -------------------------------------------------------------------------------


def test_a_group_is_ended_while_one_more_pays_who_does_not_fill_it() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}))
    joiner = take(group)

    with before_write(1, lambda: pay(joiner)):
        end(group)

    assert (state(group), orders.show(joiner.order_id).state) == ("expired", "refunding")


def test_a_group_is_filled_by_those_who_are_there_while_one_more_pays() -> None:
    campaign = a_campaign(sizes={5: 8900}, fill_at_expiry_from=2)
    group = open_paid_group(campaign, payers=2)
    joiner = take(group)

    with before_write(1, lambda: pay(joiner)):
        end(group)

    now = reading.find(group.group_id)
    assert (now.state, now.real_members) == ("filled", 3)


def test_a_group_is_filled_by_those_who_are_there_by_two_at_once() -> None:
    campaign = a_campaign(sizes={5: 8900}, fill_at_expiry_from=2)
    group = open_paid_group(campaign, payers=2)

    with before_write(1, lambda: end(group)):
        end(group)

    assert state(group) == "filled"
    assert campaigns.stock_left(campaign, "sku") == {0: 98}


def test_a_member_of_a_full_group_is_refunded_while_the_money_of_another_s_refund_goes_out() -> None:
    payer = orders_of(a_full_group())[1]

    def refunds_and_sends() -> None:
        refund(payer)
        assert due.run(job=orders.REFUND_JOB, worker="w", now=NOW, seconds=30).handled == 1

    with before_write(1, refunds_and_sends):
        refund(payer)

    assert orders.show(payer.order_id).state == "refunded"
    assert [row.state for row in orders.money_of(payer.order_id)[1]] == ["done"]


def test_a_part_goes_back_while_the_group_is_ended() -> None:
    group = an_open_group()
    payer = orders_of(group)[1]

    def part() -> None:
        orders.told_partly_refunded(payer, amount_fen=900, cause="mall#1", now=NOW)

    with before_write(1, part):
        end(group)

    assert sum(row.amount_fen for row in orders.money_of(payer.order_id)[1]) == payer.amount_fen


def test_a_group_is_ended_while_its_payer_becomes_another_member() -> None:
    campaign, other = a_campaign(sizes={4: 8900}), a_member()
    group = open_paid_group(campaign)

    with before_write(1, lambda: merging.hand_over(group.head_id, other, NOW)):
        end(group)

    parts = [table.get(Part, Part.key(campaign.campaign_id, one)) for one in (group.head_id, other)]
    assert [(row.units, row.groups) for row in parts if row] == [(0, 0), (0, 0)]
    assert [row.state for row in orders.all_of(other)] == ["refunding"]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_an_unpaid_seat_goes_over_while_the_other_takes_one(known: bool, same: bool) -> None:
    """``known``: the other has bought in this campaign before. ``same``: in the same group."""
    campaign, other = a_campaign(sizes={4: 8900}, per_member_units=5), a_member()
    group = open_paid_group(campaign)
    order = take(group)
    if known:
        pay(take(open_paid_group(campaign), buying(other)))
    there = group if same else open_paid_group(campaign)

    with before_write(1, lambda: take(there, buying(other))), pytest.raises(Busy):
        merging.hand_over(order.member_id, other, NOW)

    assert orders.show(order.order_id).member_id == order.member_id


def test_two_payments_of_one_new_member_are_counted_at_once_and_they_once() -> None:
    campaign = a_campaign(sizes={4: 8900}, per_member_units=5, per_member_groups=5)
    wants = buying(a_buyer(now=campaign.starts_at))
    one, other = (pay(opened(campaign, wants).order) for _ in range(2))

    with meetings.before_write(1, lambda: facts.catch_up(other, now=NOW)), pytest.raises(Busy):
        facts.catch_up(one, now=NOW)
    facts.catch_up(one, now=NOW)

    ((_, counts),) = reporting.report(campaign, now=NOW)
    assert (counts["paid"], counts["new_members"]) == (2, 1)


def test_a_group_is_ended_while_one_of_its_payers_is_refunded() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}, reserve="seat"), payers=2)
    payer = orders_of(group)[1]

    with before_write(1, lambda: refund(payer)):
        end(group)

    assert [len(orders.money_of(order.order_id)[1]) for order in (payer, *orders_of(group))] == [1, 1]


@contextmanager
def piece_by_piece() -> Iterator[None]:
    """A group of more payers than one is ended one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ending, "PAYERS_AT_ONCE", 1)
        patch.setattr(ending, "PAYERS_A_BATCH", 1)
        yield


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_group_that_is_ended_piece_by_piece_is_ended_by_another_meanwhile(number: int) -> None:
    """``number``: of the write: before it is begun, between two refunds, before it is over."""
    campaign = a_campaign(sizes={4: 8900}, reserve="seat")
    group = open_paid_group(campaign, payers=3)

    with piece_by_piece(), before_write(number, lambda: end(group)):
        end(group)

    assert state(group) == "expired"
    assert [len(orders.money_of(order.order_id)[1]) for order in orders_of(group)] == [1, 1, 1]
    run_jobs(table.client())
    assert broken(table.client(), campaign.campaign_id, at_rest=True) == []


# --- the limits of one member meet --------------------------------------------------------------------------


def a_late_payer(campaign: Campaign) -> Order:
    """Whose seat was given back before the payment came."""
    order = take(open_paid_group(campaign))
    return orders.cancel(order, now=NOW)


@pytest.mark.parametrize("joins", [True, False])
def test_a_buyer_meets_their_own_late_payment_at_the_limit_of_units(joins: bool) -> None:
    campaign = a_campaign(sizes={4: 8900}, per_member_units=2)
    late = a_late_payer(campaign)
    bought = pay(take(open_paid_group(campaign), buying(late.member_id)))
    third, wants = open_paid_group(campaign), buying(bought.member_id)

    with before_write(2, lambda: pay(late)), pytest.raises(LimitReached):
        take(third, wants) if joins else opened(campaign, wants)


def test_a_late_payment_meets_the_member_s_own_join_at_the_limit_of_units() -> None:
    campaign = a_campaign(sizes={4: 8900}, per_member_units=1)
    late = a_late_payer(campaign)
    other = open_paid_group(campaign)

    with before_write(1, lambda: pay(take(other, buying(late.member_id)))):
        pay(late)

    assert orders.show(late.order_id).state == "refunding"


def test_opening_meets_the_member_s_becoming_head_at_the_limit_of_groups() -> None:
    campaign = a_campaign(sizes={4: 8900}, per_member_groups=1)
    group = open_paid_group(campaign, payers=2)
    head, heir = orders_of(group)

    with before_write(2, lambda: refund(head)), pytest.raises(LimitReached):
        opened(campaign, buying(heir.member_id))


# --- the last seats and units, and the keys of one member, meet ---------------------------------------------


def test_a_joiner_meets_another_at_the_last_seat() -> None:
    group = open_paid_group(a_campaign(sizes={2: 8900}))

    with before_write(1, lambda: take(group)), pytest.raises(GroupFull):
        take(group)


def test_an_opener_meets_another_at_the_last_units() -> None:
    campaign = a_campaign(stock=4)

    with before_write(1, lambda: opened(campaign)), pytest.raises(SkuSoldOut):
        opened(campaign)


def test_a_joiner_meets_another_at_the_last_unit_of_seats_that_have_their_own() -> None:
    campaign = a_campaign(sizes={4: 8900}, stock=2, reserve="seat")
    group = open_paid_group(campaign)

    with before_write(1, lambda: take(group)), pytest.raises(SkuSoldOut):
        take(group)


def test_a_late_payment_meets_a_joiner_at_the_last_unit() -> None:
    campaign = a_campaign(sizes={4: 8900}, stock=2, reserve="seat")
    late = a_late_payer(campaign)

    with before_write(1, lambda: take(reading.find(late.group_id))):
        pay(late)

    assert orders.show(late.order_id).state == "refunding"


@pytest.mark.parametrize("number", [1, 2])
def test_a_member_joins_while_they_open_a_group_of_their_own(number: int) -> None:
    """``number``: of the write; before the second one an order that is over was seen."""
    campaign = a_campaign(sizes={4: 8900})
    group, wants = open_paid_group(campaign), buying()
    if number == 2:
        pay(take(open_paid_group(campaign), wants))

    with before_write(number, lambda: opened(campaign, wants)):
        order = take(group, wants)

    assert order.head


@pytest.mark.parametrize("number", [1, 2])
def test_a_member_opens_a_group_while_they_join_another(number: int) -> None:
    campaign = a_campaign(sizes={4: 8900})
    group, wants = open_paid_group(campaign), buying()
    if number == 2:
        pay(take(open_paid_group(campaign), wants))

    with before_write(number, lambda: take(group, wants)):
        order = opened(campaign, wants).order

    assert not order.head


def test_a_member_joins_while_their_late_payment_is_seated_in_the_same_group() -> None:
    campaign = a_campaign(sizes={4: 8900})
    late = a_late_payer(campaign)

    with before_write(1, lambda: pay(late)):
        order = take(reading.find(late.group_id), buying(late.member_id))

    assert order.order_id == late.order_id


@pytest.mark.parametrize("joins", [True, False])
def test_one_order_of_the_mall_is_brought_by_two_members_at_once(joins: bool) -> None:
    campaign = a_campaign(sizes={4: 8900})
    group = open_paid_group(campaign)
    one, other = (buying(mall_order_id="M1") for _ in range(2))

    def brings(wants: Buying) -> Order:
        return take(group, wants) if joins else opened(campaign, wants).order

    with before_write(1, lambda: brings(other)), pytest.raises(OrderInTheWay):
        brings(one)


def test_a_payment_whose_group_keeps_changing_keeps_its_seat_and_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}), payers=2)
    order, third = take(group), take(group)
    monkeypatch.setattr(settling, "ROUNDS", 1)

    # It is the last by the time it is sent, and was sent as another: there is no round left to send it as the last.
    with before_write(1, lambda: pay(third)), pytest.raises(Busy):
        pay(order, "pay-1")

    assert [
        seat.state for seat in reading.with_seats(group.group_id)[1] if seat.order_id == order.order_id
    ] == ["held"]
    monkeypatch.undo()
    assert (pay(order, "pay-1").state, state(group)) == ("paid", "filled")


# --- late payments meet -------------------------------------------------------------------------------------


def test_a_late_payment_meets_a_joiner_at_the_last_seat() -> None:
    campaign = a_campaign(sizes={2: 8900})
    late = a_late_payer(campaign)
    group = reading.find(late.group_id)

    with before_write(1, lambda: take(group)):
        pay(late)

    assert reading.find(group.group_id).free == 0
    assert orders.show(late.order_id).state == "refunding"


def test_a_late_payment_of_one_order_meets_another_of_it() -> None:
    campaign = a_campaign(sizes={4: 8900})
    late = a_late_payer(campaign)

    with before_write(1, lambda: pay(late, "pay-1")):
        pay(late, "pay-2")

    assert sorted(row.state or "" for row in orders.money_of(late.order_id)[0]) == ["returned", "taken"]


def test_a_late_payment_that_finds_its_group_full_meets_another_of_its_order() -> None:
    campaign = a_campaign(sizes={2: 8900})
    late = a_late_payer(campaign)
    open_paid_group(campaign)

    with before_write(1, lambda: pay(late, "pay-1")):
        pay(late, "pay-2")

    assert sorted(row.state or "" for row in orders.money_of(late.order_id)[0]) == ["returned", "taken"]


def test_a_late_payment_meets_the_end_of_the_group() -> None:
    late = a_late_payer(a_campaign(sizes={4: 8900}))

    with before_write(1, lambda: end(reading.find(late.group_id))):
        pay(late)

    assert orders.show(late.order_id).state == "refunding"


def test_a_late_payment_for_the_last_seat_meets_a_refund() -> None:
    campaign = a_campaign()
    late = a_late_payer(campaign)
    group = reading.find(late.group_id)
    payer = pay(take(group))

    with before_write(1, lambda: refund(payer)):
        pay(late)

    assert (state(group), orders.show(late.order_id).state) == ("open", "paid")


def test_a_late_payment_that_goes_back_meets_another_of_its_order() -> None:
    late = a_late_payer(a_campaign(late_payment="refund"))

    with before_write(1, lambda: pay(late, "pay-1")):
        pay(late, "pay-2")

    assert [row.state for row in orders.money_of(late.order_id)[0]] == ["returned"] * 2


def test_a_late_payment_meets_a_payment_that_makes_it_the_last() -> None:
    campaign = a_campaign()
    late = a_late_payer(campaign)
    joiner = take(reading.find(late.group_id))

    with before_write(1, lambda: pay(joiner)):
        pay(late)

    assert state(reading.find(late.group_id)) == "filled"


def a_newer_seat(campaign: Campaign, late: Order) -> Order:
    """Of the same member, in the same group, unpaid."""
    return take(reading.find(late.group_id), buying(late.member_id))


def test_a_late_payment_takes_over_a_seat_while_another_s_makes_it_the_last() -> None:
    campaign = a_campaign()
    late = a_late_payer(campaign)
    a_newer_seat(campaign, late)
    joiner = take(reading.find(late.group_id))

    with before_write(1, lambda: pay(joiner)):
        pay(late)

    assert state(reading.find(late.group_id)) == "filled"


def test_a_late_payment_takes_over_the_last_seat_while_a_refund_makes_it_not_the_last() -> None:
    campaign = a_campaign()
    late = a_late_payer(campaign)
    payer = pay(take(reading.find(late.group_id)))
    a_newer_seat(campaign, late)

    with before_write(2, lambda: refund(payer)):
        pay(late)

    assert state(reading.find(late.group_id)) == "open"


def test_a_late_payment_takes_over_a_seat_of_which_a_payment_is_begun_meanwhile() -> None:
    campaign = a_campaign(sizes={4: 8900})
    late = a_late_payer(campaign)
    newer = a_newer_seat(campaign, late)

    def begins() -> None:
        orders.begin_payment(newer, phone=PHONE, now=NOW, entropy=bytes(10))

    with before_write(1, begins):
        pay(late)

    row = orders.show(newer.order_id)
    assert row.state == "pending" or row.prepay_closed


def test_a_late_payment_takes_over_a_seat_while_its_group_ends() -> None:
    campaign = a_campaign(sizes={4: 8900})
    late = a_late_payer(campaign)
    a_newer_seat(campaign, late)

    with before_write(1, lambda: end(reading.find(late.group_id))):
        pay(late)

    assert orders.show(late.order_id).state == "refunding"


def test_two_late_payments_of_one_order_take_over_a_seat() -> None:
    campaign = a_campaign(sizes={4: 8900})
    late = a_late_payer(campaign)
    a_newer_seat(campaign, late)

    with before_write(1, lambda: pay(late, "pay-1")):
        pay(late, "pay-2")

    assert sorted(row.state or "" for row in orders.money_of(late.order_id)[0]) == ["returned", "taken"]


def test_a_late_payment_takes_over_an_own_group_while_it_lapses() -> None:
    campaign = a_campaign(sizes={4: 8900})
    late = a_late_payer(campaign)
    own = opened(campaign, buying(late.member_id))

    with before_write(1, lambda: ending.release(own.order, NOW)):
        pay(late)

    assert (state(own.group), orders.show(late.order_id).state) == ("lapsed", "paid")


def test_a_late_payment_takes_over_a_seat_while_its_own_payment_comes() -> None:
    campaign = a_campaign(sizes={4: 8900})
    late = a_late_payer(campaign)
    newer = take(reading.find(late.group_id), buying(late.member_id))

    with before_write(1, lambda: pay(newer)):
        pay(late)

    assert orders.show(newer.order_id).state == "paid"


def test_a_late_payment_takes_over_a_seat_while_it_is_let_go() -> None:
    campaign = a_campaign(sizes={4: 8900})
    late = a_late_payer(campaign)
    newer = take(reading.find(late.group_id), buying(late.member_id))

    with before_write(1, lambda: orders.cancel(newer, now=NOW)):
        pay(late)

    assert (orders.show(late.order_id).state, orders.show(newer.order_id).state) == ("paid", "cancelled")


# --- unpaid orders meet -------------------------------------------------------------------------------------


def test_leaving_meets_the_payment() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}))
    order = take(group)

    with before_write(1, lambda: pay(order)):
        ending.release(order, NOW)

    assert orders.show(order.order_id).state == "paid"


def test_a_payment_meets_leaving() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}))
    order = take(group)

    with before_write(1, lambda: ending.release(order, NOW)):
        paid = pay(order)

    assert (paid.state, reading.find(group.group_id).free) == ("paid", 2)


def test_a_payment_meets_the_end_of_its_group() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}))
    order = take(group)

    with before_write(1, lambda: end(group)):
        pay(order)

    assert (state(group), orders.show(order.order_id).state) == ("expired", "refunding")


def test_the_last_payment_meets_a_refund_that_makes_it_not_the_last() -> None:
    group = open_paid_group(a_campaign(), payers=2)
    payer, last = orders_of(group)[1], take(group)

    with before_write(2, lambda: refund(payer)):
        pay(last)

    assert state(group) == "open"


def test_a_payment_meets_itself() -> None:
    order = take(open_paid_group(a_campaign(sizes={4: 8900})))

    with before_write(1, lambda: pay(order, "pay-1")):
        pay(order, "pay-1")

    assert [row.state for row in orders.money_of(order.order_id)[0]] == ["taken"]


def test_a_head_s_payment_meets_the_end_of_the_hold() -> None:
    order = opened(a_campaign(late_payment="refund")).order

    with before_write(1, lambda: ending.release(order, NOW)):
        pay(order)

    assert orders.show(order.order_id).state == "refunding"


def test_a_second_payment_of_an_order_meets_itself() -> None:
    order = pay(take(open_paid_group(a_campaign(sizes={4: 8900}))))

    def pays_and_has_it_back() -> None:
        pay(order, "pay-2")
        assert due.run(job=orders.REFUND_JOB, worker="w", now=NOW, seconds=30).handled == 1

    with before_write(1, pays_and_has_it_back):
        pay(order, "pay-2")

    assert [row.state for row in orders.money_of(order.order_id)[1]] == ["done"]


def test_a_wrong_amount_is_told_again_while_a_person_gives_it_back() -> None:
    order = take(open_paid_group(a_campaign(sizes={4: 8900})))
    pay(order, "pay-1", amount_fen=1)

    with before_write(1, lambda: settle(only().id, "refund")):
        pay(order, "pay-1", amount_fen=1)

    assert [row.state for row in orders.money_of(order.order_id)[0]] == ["returned"]


def test_an_unpaid_head_goes_while_the_payment_comes() -> None:
    order = opened(a_campaign()).order

    with before_write(1, lambda: pay(order)):
        ending.release(order, NOW)

    assert orders.show(order.order_id).state == "paid"


def test_a_hold_is_released_by_two_at_once() -> None:
    group = open_paid_group(a_campaign(sizes={4: 8900}))
    order = take(group)

    with before_write(1, lambda: ending.release(order, NOW)):
        ending.release(order, NOW)

    assert reading.find(group.group_id).free == 3


def test_a_refund_is_confirmed_by_two_at_once() -> None:
    group = open_paid_group(a_campaign())
    (order,) = orders_of(group)
    refund(order)
    (owed,) = orders.money_of(order.order_id)[1]

    with before_write(1, lambda: orders.confirm_refund(owed, now=NOW)):
        orders.confirm_refund(owed, now=NOW)

    assert orders.show(order.order_id).refunded_fen == order.amount_fen


def test_a_second_payment_s_refund_is_confirmed_by_two_at_once() -> None:
    order = pay(take(open_paid_group(a_campaign(sizes={4: 8900}))))
    pay(order, "pay-2")
    (owed,) = orders.money_of(order.order_id)[1]

    with before_write(1, lambda: orders.confirm_refund(owed, now=NOW)):
        orders.confirm_refund(owed, now=NOW)

    assert orders.show(order.order_id).refunded_fen == order.amount_fen


def test_a_part_is_told_back_by_two_at_once() -> None:
    order = orders_of(a_full_group())[1]

    def told() -> None:
        orders.told_partly_refunded(order, amount_fen=900, cause="mall#1", now=NOW)

    with before_write(1, told):
        told()

    assert orders.show(order.order_id).refundable_fen == order.amount_fen - 900


def test_a_part_is_told_back_while_the_whole_is() -> None:
    order = orders_of(a_full_group())[1]

    with before_write(1, lambda: refund(order)), pytest.raises(Invalid):
        orders.told_partly_refunded(order, amount_fen=900, cause="mall#1", now=NOW)


def test_a_refund_is_confirmed_before_the_gateway_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hasty(gateways.Sandbox):
        def refund(self, order: Order, refund: Any, *, now: int) -> bool:
            orders.confirm_refund(refund, now=now)
            return False

    order = orders_of(a_full_group())[1]
    refund(order)
    monkeypatch.setitem(gateways._GATEWAYS, "sandbox", Hasty())

    ran = due.run(job=orders.REFUND_JOB, worker="w", now=NOW, seconds=30)

    assert (ran.failed, orders.show(order.order_id).state) == (0, "refunded")


# --- what the mall gives back by itself meets ----------------------------------------------------------------


def gives(order: Order, number: str = "R9", payment_id: str | None = None) -> None:
    """The mall gave a payment back by itself, and says so."""
    given = Given(number=number, amount_fen=None, payment_id=payment_id)
    giving.follow(orders.show(order.order_id), given, now=NOW)


def asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job asks the mall for what is owed, and the mall takes it on."""
    monkeypatch.setattr("chalicelib.core.deliveries.post", lambda body, **_: None)
    assert due.run(job=orders.REFUND_JOB, worker=a_word("w"), now=NOW, seconds=30).failed == 0


def seen_twice(order: Order) -> bool:
    """Whether a person is to look whether it went back twice."""
    shard = due.stuck_shard(orders.TWICE_JOB)
    return any(row.due_shard == shard for row in orders.money_of(order.order_id)[1])


def owed_by_the_mall() -> Order:
    order = orders_of(open_paid_group(a_campaign(sizes={2: 8900}, gateway="mall"), payers=2))[1]
    refund(order)
    return order


def a_wrong_amount() -> Order:
    return pay(take(open_paid_group(a_campaign(gateway="mall"))), "pay-wrong", amount_fen=8000)


def test_what_the_mall_gives_is_asked_of_it_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    order = owed_by_the_mall()

    with before_write(1, lambda: asks(monkeypatch)), pytest.raises(Busy):
        gives(order)
    assert orders.show(order.order_id).state == "refunding"
    gives(order)

    assert (orders.show(order.order_id).refunded_fen, seen_twice(order)) == (8900, True)


@pytest.mark.parametrize("sent", [False, True])
def test_what_the_mall_gives_is_told_by_two_at_once(monkeypatch: pytest.MonkeyPatch, sent: bool) -> None:
    order = owed_by_the_mall()
    if sent:
        asks(monkeypatch)

    with before_write(1, lambda: gives(order)), pytest.raises(Busy):
        gives(order)
    gives(order)

    assert (orders.show(order.order_id).refunded_fen, seen_twice(order)) == (8900, sent)


def test_a_wrong_amount_is_given_back_by_the_mall_while_a_person_decides() -> None:
    order = a_wrong_amount()
    (wrong,) = orders.money_of(order.order_id)[0]
    decide: dict[str, Any] = {
        "stuck_id": stuck.id_of("mismatch", wrong),
        "reason": "by phone",
        "by": OWNER,
        "now": NOW,
    }

    with before_write(1, lambda: stuck.settle(how="refund", **decide)), pytest.raises(Busy):
        gives(order, payment_id="pay-wrong")
    gives(order, payment_id="pay-wrong")

    assert (orders.show(order.order_id).refunded_fen, seen_twice(order)) == (8000, False)
    assert [row.state for row in orders.money_of(order.order_id)[1]] == ["done"]


def test_a_wrong_amount_is_accepted_while_the_mall_gives_it_back() -> None:
    order = a_wrong_amount()
    (wrong,) = orders.money_of(order.order_id)[0]
    decide: dict[str, Any] = {
        "stuck_id": stuck.id_of("mismatch", wrong),
        "reason": "by phone",
        "by": OWNER,
        "now": NOW,
    }

    with before_write(1, lambda: stuck.settle(how="accepted", **decide)), pytest.raises(Busy):
        gives(order, payment_id="pay-wrong")
    assert orders.show(order.order_id).state == "paid"
    gives(order, payment_id="pay-wrong")

    assert (orders.show(order.order_id).state, orders.show(order.order_id).refunded_fen) == ("refunded", 8000)


def test_an_order_is_named_by_two_numbers_at_once() -> None:
    order = opened(a_campaign()).order

    def name(number: str) -> None:
        orders.named(order.order_id, mall_order_id=number)

    with before_write(1, lambda: name("M1")), pytest.raises(orders.OrderNamed):
        name("M2")

    assert orders.show(order.order_id).mall_order_id == "M1"
    assert orders.find_for_mall("M2") is None


def test_a_payment_is_begun_elsewhere_while_the_mall_names_the_order() -> None:
    order = opened(a_campaign()).order

    with before_write(1, lambda: orders.begin_payment(order, phone=PHONE, now=NOW, entropy=bytes(10))):
        orders.named(order.order_id, mall_order_id="M1")

    row = orders.show(order.order_id)
    assert (row.mall_order_id, row.gateway) == ("M1", "sandbox")


def test_a_second_payment_s_refund_is_confirmed_while_the_mall_says_that_it_gave_it_by_itself() -> None:
    order = pay(take(open_paid_group(a_campaign(sizes={4: 8900}))))
    pay(order, "pay-2")
    (owed,) = orders.money_of(order.order_id)[1]

    with before_write(1, lambda: orders.confirm_refund(owed, now=NOW)), pytest.raises(Busy):
        orders.seen_twice(owed, number="R1", now=NOW)

    assert orders.show(order.order_id).refunded_fen == order.amount_fen


def test_a_wrong_amount_is_accepted_while_another_person_gives_it_back() -> None:
    order = take(open_paid_group(a_campaign(sizes={4: 8900})))
    pay(order, "pay-1", amount_fen=8800)
    found = only().id

    with before_write(1, lambda: settle(found, "refund")), pytest.raises(NotFound):
        settle(found, "accepted")

    assert [row.state for row in orders.money_of(order.order_id)[0]] == ["returned"]
    assert orders.show(order.order_id).state == "pending"
