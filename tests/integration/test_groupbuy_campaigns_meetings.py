"""Operators, the mall and the jobs who meet over a campaign, or what waits for a person: between look and write.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest

from chalicelib.core import config, due, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.table import Row
from chalicelib.groupbuys import campaigns, closing, editing, ending, reading, shelving
from chalicelib.groupbuys.campaigns import CampaignOver, Making
from chalicelib.groupbuys.models import Campaign, Group, Stock
from chalicelib.groupbuys.schemas import CopyCampaign
from chalicelib.operators import stuck
from chalicelib.orders import byhand
from chalicelib.orders import service as orders
from chalicelib.orders.models import Payment
from chalicelib.orders.schemas import MallEvent
from chalicelib.orders.service import Back, Order
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_word
from tests.groupbuys import a_campaign, broken, open_paid_group, opened, orders_of, pay, run_jobs, take
from tests.harness.rows import rows
from tests.integration.test_groupbuys_meetings import before_write
from tests.integration.test_stuck import LATER, cancel, settle
from tests.model.test_groupbuys import at_first_hand

Do = Callable[[Campaign], object]


@pytest.fixture(autouse=True)
def the_books(store: Store) -> Iterator[None]:
    """Whatever meets, no rule is broken at its end."""
    with at_first_hand():
        yield
        there = rows(table.client(), "truth", kind="groupbuy")
        assert [line for row in there for line in broken(table.client(), row["campaign_id"])] == []


def making(*, key: str | None = None, now: int = NOW) -> Making:
    return Making(by=OWNER, now=now, idempotency_key=key)


def as_it_is(campaign: Campaign) -> Campaign:
    return campaigns.as_it_is(campaign.campaign_id)


def shards(campaign: Campaign) -> list[Stock]:
    """Of its one SKU."""
    keys = [Stock.key(campaign.campaign_id, "sku", k) for k in range(campaign.stock_shards)]
    return [row for row in table.get_all([(Stock, key) for key in keys]) if row is not None]


def noted(action: str) -> int:
    """How often the trail has it."""
    return len(rows(table.client(), "truth", kind="audit", action=action))


# --- what an operator, or the mall, does to a campaign --------------------------------------------------------


def pause(campaign: Campaign) -> Campaign:
    return campaigns.switch(campaign.campaign_id, to="paused", making=making())


def resume(campaign: Campaign) -> Campaign:
    return campaigns.switch(campaign.campaign_id, to="running", making=making())


def shut(campaign: Campaign) -> Campaign:
    return campaigns.switch(campaign.campaign_id, to="closed", making=making())


def close(campaign: Campaign, *, open_groups: str = "go_on", now: int = NOW) -> Campaign:
    return closing.close(campaign.campaign_id, open_groups=open_groups, reason="over", making=making(now=now))


def take_off_the_shelf(campaign: Campaign) -> object:
    event = {"id": a_word("evt_"), "type": shelving.OFF_SHELF, "product_id": campaign.product["id"]}
    return shelving.off_shelf(msgspec.convert(event, MallEvent), NOW)


def edit(campaign: Campaign, *, ends_at: int = NOW + HOUR, now: int = NOW) -> Campaign:
    terms = msgspec.structs.replace(editing.terms(as_it_is(campaign)), ends_at=ends_at)
    return editing.edit(campaign.campaign_id, terms, making(now=now))


# --- making ---------------------------------------------------------------------------------------------------


def made(like: Campaign) -> Campaign:
    return campaigns.make(editing.terms(like), making(key="k1"))


def copied(like: Campaign) -> Campaign:
    asked = CopyCampaign(starts_at=NOW, ends_at=NOW + DAY)
    return editing.copy(like.campaign_id, asked, making(key="k1"))


@pytest.mark.parametrize("make", [made, copied])
def test_a_campaign_is_made_by_two_at_once_and_closed_by_then(make: Callable[[Campaign], Campaign]) -> None:
    like = a_campaign()

    with before_write(3, lambda: close(make(like))):
        again = make(like)

    assert (again.state, as_it_is(again).state, noted("groupbuy.made")) == ("closed", "closed", 2)


def test_a_campaign_is_made_by_two_at_once_and_sold_from_by_then() -> None:
    like = a_campaign()

    with before_write(2, lambda: opened(made(like))):
        again = made(like)

    assert campaigns.stock_left(again, "sku") == {0: 97}


# --- switching ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [pause, close, take_off_the_shelf])
def test_what_stops_a_campaign_meets_a_resume(stops: Do) -> None:
    campaign = a_campaign()

    with before_write(3, lambda: resume(campaign)), pytest.raises(Busy):
        stops(campaign)

    assert (as_it_is(campaign).state, [row.on for row in shards(campaign)]) == ("running", [True])
    stops(campaign)
    assert [row.on for row in shards(campaign)] == [False]


@pytest.mark.parametrize("switch", [pause, resume, shut, close, take_off_the_shelf])
def test_the_same_is_said_by_two_at_once_and_happens_once(switch: Do) -> None:
    campaign = a_campaign()
    if switch is resume:
        pause(campaign)
    there = len(rows(table.client(), "truth", kind="audit"))

    with before_write(1, lambda: switch(campaign)):
        switch(campaign)

    assert len(rows(table.client(), "truth", kind="audit")) == there + 1
    assert as_it_is(campaign).on is (switch is resume)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("switch", [pause, take_off_the_shelf])
def test_a_pause_meets_the_close_and_the_campaign_stays_closed(switch: Do, number: int) -> None:
    campaign = a_campaign()

    with before_write(number, lambda: close(campaign)), pytest.raises(Busy):
        switch(campaign)

    assert (as_it_is(campaign).state, noted("groupbuy.paused")) == ("closed", 0)
    with suppress(CampaignOver):
        switch(campaign)
    assert as_it_is(campaign).state == "closed"


def test_a_resume_meets_the_close_and_the_campaign_stays_closed() -> None:
    campaign = a_campaign()
    pause(campaign)

    with before_write(1, lambda: close(campaign)), pytest.raises(Busy):
        resume(campaign)

    row = as_it_is(campaign)
    assert (row.state, row.on, noted("groupbuy.running")) == ("closed", False, 0)
    assert [(one.on, one.edition) for one in shards(campaign)] == [(False, row.edition)]


def test_a_close_takes_a_pause_that_is_under_way_for_its_own_and_the_pause_finds_it_closed() -> None:
    campaign = a_campaign()

    def close_as_it_was() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(campaigns, "as_it_is", lambda _: campaign)
            close(campaign)

    with before_write(3, close_as_it_was), pytest.raises(Busy):
        pause(campaign)

    assert (as_it_is(campaign).state, noted("groupbuy.paused")) == ("closed", 0)


@pytest.mark.parametrize("switch", [pause, close, take_off_the_shelf])
def test_what_stops_a_campaign_meets_an_edit_and_stops_every_shard_when_it_is_said_again(switch: Do) -> None:
    campaign = a_campaign()

    with before_write(1, lambda: edit(campaign)), pytest.raises(Busy):
        switch(campaign)

    assert (as_it_is(campaign).state, [row.on for row in shards(campaign)]) == ("running", [True])
    switch(campaign)
    assert (as_it_is(campaign).on, [row.on for row in shards(campaign)]) == (False, [False])


def test_an_edit_meets_the_close() -> None:
    campaign = a_campaign()

    with before_write(1, lambda: close(campaign)), pytest.raises(Busy):
        edit(campaign)

    assert (as_it_is(campaign).ends_at, noted("groupbuy.edited")) == (campaign.ends_at, 0)


# --- stock ----------------------------------------------------------------------------------------------------


def test_units_are_taken_out_while_a_group_takes_them() -> None:
    campaign = a_campaign(stock=4)

    def take_out() -> dict[int, int]:
        return campaigns.add_stock(campaign.campaign_id, sku_id="sku", units=-4, making=making())

    with before_write(1, lambda: opened(campaign)), pytest.raises(Invalid):
        take_out()

    assert campaigns.stock_left(campaign, "sku") == {0: 1}


# --- the end of a campaign ------------------------------------------------------------------------------------


def look(campaign: Campaign, *, now: int = NOW) -> None:
    """The job comes to the campaign, as its entry is now."""
    row = as_it_is(campaign)
    told: dict[str, Any] = {
        name: getattr(row, name) or "" for name in due.Entry.__annotations__ if name != "kind"
    }
    closing.look(due.Entry(kind="groupbuy", **told), now)


def test_it_is_said_by_two_at_once_that_open_groups_are_ended_after_all() -> None:
    campaign = close(a_campaign())

    with before_write(1, lambda: close(campaign, open_groups="refund")):
        close(campaign, open_groups="refund")

    assert noted("groupbuy.open_groups_refunded") == 1


def test_the_look_meets_the_payment_that_fills_a_group() -> None:
    campaign = a_campaign(sizes={2: 8900})
    group = open_paid_group(campaign)
    last = take(group)
    close(campaign, open_groups="refund")

    with before_write(1, lambda: pay(last)):
        look(campaign)

    now = reading.find(group.group_id)
    assert (now.state, now.due_ref) == ("filled", "group.filled")
    assert now.board is None


def test_two_look_at_once_and_each_group_is_moved_to_its_end_once() -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign)
    close(campaign, open_groups="refund")

    with before_write(1, lambda: look(campaign)):
        look(campaign, now=NOW + 1)

    now = reading.find(group.group_id)
    assert (now.expires_at, now.due_at) == (NOW, NOW)


def test_the_look_at_a_window_that_has_ended_meets_the_close_with_refunds() -> None:
    campaign = a_campaign(ends_at=NOW + HOUR)
    open_paid_group(campaign)

    with before_write(1, lambda: close(campaign, open_groups="refund", now=NOW + HOUR + 1)):
        look(campaign, now=NOW + HOUR + 1)

    assert as_it_is(campaign).due_at == NOW + HOUR + 1, (
        "its groups are ended at once, and not after the next look"
    )


def over(campaign: Campaign) -> int:
    """When all of it is over and only to be told; its looks have found nothing till then."""
    now = campaign.ends_at + DAY
    look(campaign, now=now)
    return now + HOUR


def test_the_last_look_meets_an_edit_that_opens_the_window_again() -> None:
    campaign = a_campaign(ends_at=NOW + HOUR)
    now = over(campaign)

    with before_write(1, lambda: edit(campaign, ends_at=NOW + 9 * DAY, now=now)):
        look(campaign, now=now)

    assert as_it_is(campaign).due_at == NOW + 9 * DAY


@contextmanager
def a_mall() -> Iterator[None]:
    """There is one to be told."""
    config.override(mall_webhook_url="https://mall.example/hooks")
    try:
        yield
    finally:
        config.override(mall_webhook_url="")


def test_an_edit_of_the_window_meets_the_mall_s_being_told_what_is_unused() -> None:
    with a_mall():
        campaign = a_campaign(ends_at=NOW + HOUR)
        now = over(campaign)

        with before_write(1, lambda: look(campaign, now=now)), pytest.raises(Busy):
            edit(campaign, ends_at=NOW + 9 * DAY, now=now)

        assert (as_it_is(campaign).ends_at, as_it_is(campaign).told_at) == (NOW + HOUR, now)


# --- a ladder's differences -------------------------------------------------------------------------------------


def a_full_ladder() -> tuple[Group, Order]:
    """Filled at its highest step, with one who is owed a difference of 1,000."""
    group = open_paid_group(a_campaign(sizes={2: 8900, 3: 7900}, mode="ladder"), payers=2)
    pay(take(group))
    return reading.find(group.group_id), orders_of(group)[1]


def test_a_difference_goes_back_while_the_mall_gives_back_all_but_less_than_that() -> None:
    group, order = a_full_ladder()
    writes = ending.give_differences_back(group, NOW)

    orders.told_partly_refunded(order, amount_fen=8500, cause="mall#1", now=NOW)
    with pytest.raises(Busy):
        table.transact(writes)

    assert orders.show(order.order_id).refundable_fen == 400


def test_a_difference_goes_back_while_the_whole_order_does() -> None:
    group, order = a_full_ladder()
    writes = ending.give_differences_back(group, NOW)

    orders.refund(order.order_id, back=Back(reason="shop"), now=NOW)
    with pytest.raises(Busy):
        table.transact(writes)
    run_jobs(table.client())

    assert orders.show(order.order_id).refunded_fen == 8900


# --- what waits for a person ------------------------------------------------------------------------------------


def decisions() -> int:
    """How many the trail has."""
    return noted("stuck.settled") + noted("stuck.cancelled")


def a_second_payment() -> str:
    """The id of the refund of an order's second payment, which nobody took."""
    order = pay(take(open_paid_group(a_campaign(sizes={4: 8900}))))
    pay(order, "pay-2")
    (refund,) = orders.money_of(order.order_id)[1]
    gives_up = Row.due_shard.set(due.stuck_shard(orders.REFUND_JOB))
    table.apply(table.update(Row, (refund.pk, refund.sk), gives_up, refuse=NotFound))
    return stuck.id_of(orders.REFUND_JOB, refund)


def the_refund() -> orders.Refund:
    (row,) = rows(table.client(), "truth", kind="refund")
    (refund,) = orders.money_of(row["order_id"])[1]
    return refund


def test_a_refund_is_settled_by_hand_while_it_is_confirmed() -> None:
    stuck_id = a_second_payment()

    with before_write(1, lambda: orders.confirm_refund(the_refund(), now=NOW)), pytest.raises(NotFound):
        settle(stuck_id, "paid")

    assert (orders.show(the_refund().order_id).refunded_fen, decisions()) == (8900, 0)


def retry(stuck_id: str) -> None:
    stuck.retry(stuck_id=stuck_id, by=OWNER, now=NOW)


def test_a_refund_is_settled_by_hand_while_another_person_has_it_tried_again() -> None:
    stuck_id = a_second_payment()

    with before_write(1, lambda: retry(stuck_id)), pytest.raises(NotFound):
        settle(stuck_id, "paid")

    assert (the_refund().state, decisions()) == ("due", 0)


def test_a_refund_is_tried_again_while_another_person_settles_it() -> None:
    stuck_id = a_second_payment()

    with before_write(1, lambda: settle(stuck_id, "paid")), pytest.raises(NotFound):
        retry(stuck_id)

    assert the_refund().due_shard is None
    assert noted("stuck.retried") == 0


def paid_otherwise() -> Order:
    order = take(open_paid_group(a_campaign(sizes={4: 8900})))
    pay(order, "pay-wrong", amount_fen=8000)
    return pay(order, "pay-right")


def let_go() -> Order:
    order = take(open_paid_group(a_campaign(sizes={4: 8900}, late_payment="refund")))
    pay(order, "pay-wrong", amount_fen=8000)
    return orders.cancel(order, now=NOW)


@pytest.mark.parametrize("where", [paid_otherwise, let_go])
def test_a_wrong_amount_for_which_there_is_no_use_is_accepted_by_two_at_once(
    where: Callable[[], Order],
) -> None:
    order = where()
    stuck_id = stuck.id_of(orders.MISMATCH_JOB, Row(*Payment.key(order.order_id, "pay-wrong")))

    with before_write(1, lambda: settle(stuck_id, "accepted")):
        settle(stuck_id, "accepted")

    refunds = orders.money_of(order.order_id)[1]
    assert ([row.amount_fen for row in refunds], decisions()) == ([8000], 1)


def an_unfinished_order() -> tuple[Order, str]:
    """An order that was paid a month ago, and the id of what is to be decided about it."""
    (order,) = orders_of(open_paid_group(a_campaign()))
    ((payment,), _) = orders.money_of(order.order_id)
    byhand.look_at(entry_of(order), LATER)
    return order, stuck.id_of(orders.UNFINISHED_JOB, payment)


def entry_of(order: Order) -> due.Entry:
    """What the index says of the look at it."""
    ((row,), _) = orders.money_of(order.order_id)
    told = {name: getattr(row, name) for name in due.Entry.__annotations__ if name != "kind"}
    return due.Entry(kind="payment", **told)


def test_two_persons_say_at_once_that_an_order_may_stay_as_it_is() -> None:
    _, stuck_id = an_unfinished_order()

    with before_write(1, lambda: cancel(stuck_id)):
        cancel(stuck_id)

    assert decisions() == 1


def test_an_order_is_completed_by_hand_while_it_is_refunded() -> None:
    order, stuck_id = an_unfinished_order()

    def refunds() -> None:
        orders.refund(order.order_id, back=Back(reason="shop"), now=LATER)

    with before_write(1, refunds), pytest.raises(NotFound):
        settle(stuck_id, "completed", now=LATER)

    assert (orders.show(order.order_id).state, decisions()) == ("refunding", 0)


def test_the_mall_completes_an_order_while_it_is_refunded() -> None:
    (order,) = orders_of(open_paid_group(a_campaign()))

    with before_write(1, lambda: orders.refund(order.order_id, back=Back(reason="shop"), now=NOW)):
        orders.complete(order.order_id, now=NOW)

    assert orders.show(order.order_id).state == "refunding"


def test_the_job_looks_at_an_order_while_another_looks_and_a_person_lets_it_be() -> None:
    (order,) = orders_of(open_paid_group(a_campaign()))
    entry = entry_of(order)

    def looks_and_decides() -> None:
        byhand.look_at(entry, LATER)
        cancel(stuck.id_of(orders.UNFINISHED_JOB, orders.money_of(order.order_id)[0][0]))

    with before_write(1, looks_and_decides):
        byhand.look_at(entry, LATER)

    assert orders.money_of(order.order_id)[0][0].due_shard is None
