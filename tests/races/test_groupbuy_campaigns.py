"""Campaigns that are changed while people buy: one window in every shard, closed for good, nothing open after an
end with refunds, and no seat let go that a phone may still pay.

What the careless versions do is what the app does, without the one condition that the rule hangs on.
"""

import functools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest

from chalicelib.core import due
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.groupbuys import campaigns, closing, editing, ending, holding, refusals
from chalicelib.groupbuys.campaigns import CampaignOver, CampaignPaused
from chalicelib.groupbuys.models import Campaign, Stock
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order, OrderOver
from tests.factories import NOW, OWNER
from tests.groupbuys import (
    AFTERWARDS,
    PHONE,
    a_campaign,
    broken,
    buyers,
    buying,
    check,
    open_paid_group,
    opened,
    pay,
    proposed,
    run_jobs,
    take,
)
from tests.harness.races import race
from tests.integration.test_groupbuys_meetings import before_write
from tests.races.arena import STORM, Arena, careless, rounds

pytestmark = [pytest.mark.engine, pytest.mark.alone("groupbuys", "orders")]

# --- one window in every shard ------------------------------------------------------------------------------


def editing_to(campaign: Campaign, ends_at: int) -> Callable[[], Campaign]:
    """Somebody moves the end of the campaign."""

    def edit() -> Campaign:
        terms = editing.terms(campaigns.as_it_is(campaign.campaign_id))
        return editing.edit(campaign.campaign_id, msgspec.structs.replace(terms, ends_at=ends_at), _making())

    return edit


def _making() -> campaigns.Making:
    return campaigns.Making(by=OWNER, now=NOW, idempotency_key=None)


def windows(arena: Arena) -> set[int]:
    """The ends that the campaign and its shards have."""
    return {row["ends_at"] for row in [*arena.rows("groupbuy"), *arena.rows("groupbuy_stock")]}


def test_the_harness_sees_shards_of_two_windows_when_no_edition_is_asked_for(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign(shards=4)

    def whatever_edition(write: Write) -> Write:
        stock = isinstance(write.row, Stock) and write.operation == "Update"
        return replace(write, when=Stock.pk.exists()) if stock else write

    careless(monkeypatch, whatever_edition)
    # The campaign's row, its first shard; and then another edit, from end to end.
    with before_write(3, editing_to(campaign, NOW + 11)), suppress(Busy):
        editing_to(campaign, NOW + 10)()

    assert len(windows(arena)) == 2


@rounds(STORM)
def test_of_many_edits_at_once_one_stands_in_every_shard(arena: Arena) -> None:
    campaign = a_campaign(shards=4)

    outcomes = arena.race(*[editing_to(campaign, NOW + 10 + n % 2) for n in range(12)])

    outcomes.expect(won=12)
    assert len(windows(arena)) == 1
    assert len({row["edition"] for row in arena.rows("groupbuy_stock")}) == 1


# --- what is closed stays closed ----------------------------------------------------------------------------


def switching(campaign: Campaign, to: str) -> Callable[[], object]:
    """Somebody pauses, resumes or closes the campaign, or finds that it is over."""

    def switch() -> None:
        with suppress(CampaignOver):
            campaigns.switch(campaign.campaign_id, to=to, making=_making())

    return switch


@rounds(STORM)
def test_a_campaign_is_paused_resumed_edited_and_closed_at_once_and_is_closed_then(arena: Arena) -> None:
    campaign = a_campaign(shards=4)
    edits = [editing_to(campaign, NOW + 10 + n) for n in range(2)]
    switches = [switching(campaign, to) for to in ("paused", "running", "closed") * 3]

    def edit(change: Callable[[], Campaign]) -> None:
        with suppress(CampaignOver):
            change()

    outcomes = arena.race(*switches, *[functools.partial(edit, one) for one in edits])

    # Who meets too many others gives up, as an operator would, and says it again.
    outcomes.expect_won_or("busy")
    switching(campaign, "closed")()
    states = [row["state"] for change in arena.images("groupbuy") if (row := change.new)]
    assert set(states[states.index("closed") :]) == {"closed"}
    (row,) = arena.rows("groupbuy")
    assert (row["state"], row["on"]) == ("closed", False)
    assert {one["on"] for one in arena.rows("groupbuy_stock")} == {False}
    assert len(arena.rows("audit", action="groupbuy.closed")) == 1


# --- nothing is open after an end with refunds --------------------------------------------------------------


@rounds(STORM)
def test_a_campaign_is_closed_with_refunds_while_people_open_join_and_pay(arena: Arena) -> None:
    campaign = a_campaign(sizes={3: 8900}, shards=2)
    groups = [open_paid_group(campaign) for _ in range(4)]
    people = buyers(24)

    def joins(n: int) -> Callable[[], object]:
        def join() -> None:
            with suppress(refusals.GroupExpired):
                pay(take(groups[n % 4], buying(people[n])))

        return join

    def opens(n: int) -> Callable[[], object]:
        def open_one() -> None:
            with suppress(CampaignOver, CampaignPaused):
                pay(opened(campaign, buying(people[n])).order)

        return open_one

    def close() -> None:
        closing.close(campaign.campaign_id, open_groups="refund", reason="recall", making=_making())
        due.run(job=closing.CLOSE_JOB, worker="closer", now=NOW + 1, seconds=30)

    calls = [opens(n) if n % 3 == 0 else joins(n) for n in range(4, 24)]
    arena.race(*calls[:8], close, *calls[8:])

    for minutes in (0, 20, 40):
        run_jobs(arena, now=NOW + 1 + minutes * 60)
    assert {row["state"] for row in arena.rows("group")} <= {"filled", "expired", "lapsed"}
    check(arena, campaign)


# --- no seat is let go that a phone may still pay -----------------------------------------------------------


def beginning(order: Order, n: int) -> Callable[[], object]:
    """A phone begins to pay."""

    def begin() -> None:
        with suppress(OrderOver):
            there = orders.show(order.order_id)
            orders.begin_payment(there, phone=PHONE, now=NOW, entropy=n.to_bytes(10, "big"))

    return begin


def releasing(arena: Arena) -> list[Callable[[], object]]:
    """The job finds every hold run out."""
    entries = proposed(arena, holding.RELEASE_JOB)
    return [functools.partial(ending.release_hold, one, AFTERWARDS) for one in entries]


def unclosed(arena: Arena) -> list[str]:
    """Orders that were let go though a phone may still pay them."""
    gone = arena.rows("order", state="cancelled")
    return [row["order_id"] for row in gone if "prepay_id" in row and "prepay_closed" not in row]


def test_the_harness_sees_a_seat_let_go_that_can_be_paid_when_nobody_asks(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign(sizes={9: 8900})
    group = open_paid_group(campaign)
    held = [take(group) for _ in range(4)]

    def whatever_was_begun(write: Write) -> Write:
        lets_go = isinstance(write.row, Order) and "cancelled" in str(write.actions)
        return replace(write, when=Order.state == "pending") if lets_go else write

    careless(monkeypatch, whatever_was_begun)
    for n, order in enumerate(held):
        beginning(order, n)()

    race(*releasing(arena), threads=4)

    assert len(unclosed(arena)) == 4


@rounds(STORM)
def test_payments_begin_while_their_holds_run_out(arena: Arena) -> None:
    campaign = a_campaign(sizes={9: 8900})
    groups = [open_paid_group(campaign) for _ in range(2)]
    held = [take(group) for group in groups for _ in range(8)]
    begins = [beginning(order, n) for n, order in enumerate(held * 3)]

    arena.race(*releasing(arena), *begins)

    assert unclosed(arena) == []
    assert {orders.show(order.order_id).state for order in held} == {"cancelled"}
    assert broken(arena, campaign.campaign_id) == []
