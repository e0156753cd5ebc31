"""Stock to its last unit, a pause, and the ends of groups: by their clock, by two, by a head who goes (G3-G6).

What the naive versions do is what the app does, with every condition off and nobody writing before all have read.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from chalicelib.core import due
from chalicelib.core.shards import SOLD_OUT_FOR_S
from chalicelib.groupbuys import campaigns, ending, holding, reading, refusals
from chalicelib.groupbuys.models import Campaign, Group
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from tests.factories import NOW, OWNER, a_word
from tests.groupbuys import (
    AFTERWARDS,
    a_campaign,
    broken,
    broken_images,
    buyers,
    buying,
    check,
    ending_it,
    joining,
    joining_to_pay,
    leaving,
    naively,
    open_paid_group,
    opened,
    orders_of,
    paying,
    refunding,
    take,
)
from tests.races.arena import BAND, CROWD, ROUGH, STORM, Arena, overtaken, rounds, rounds_of

pytestmark = [pytest.mark.engine, pytest.mark.alone("groupbuys", "orders")]


def left(campaign: Campaign) -> int:
    """Units that nobody holds."""
    return sum(campaigns.stock_left(campaign, "sku").values())


def opening(campaign: Campaign, member_id: str, *, quantity: int = 1) -> Callable[[], Order]:
    """Somebody opens a group."""
    return lambda: opened(campaign, buying(member_id, quantity=quantity)).order


# --- open against the last stock ----------------------------------------------------------------------------


def test_the_harness_sees_stock_oversold_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign(stock=3)
    crowd = [opening(campaign, member_id) for member_id in buyers(8)]
    naively(monkeypatch)

    arena.collide(*crowd).expect(won=8)

    assert "stock_adds_up" in str(broken(arena, campaign.campaign_id))
    assert "left = -3" in str(broken_images(arena, campaign.campaign_id))


@rounds_of("shards", (1, STORM), (8, ROUGH))
def test_many_openers_take_the_last_groups_of_the_stock_and_strand_none(arena: Arena, shards: int) -> None:
    campaign = a_campaign(stock=20, shards=shards)

    outcomes = arena.race(*[opening(campaign, member_id) for member_id in buyers(CROWD)])

    outcomes.expect(won=6, sku_sold_out=CROWD - 6)
    assert left(campaign) == 2
    check(arena, campaign)


@rounds_of("shards", (1, STORM), (3, ROUGH))
def test_openers_and_joiners_take_the_last_units_of_seats_that_have_their_own(
    arena: Arena, shards: int
) -> None:
    campaign = a_campaign(sizes={9: 8900}, stock=20, shards=shards, reserve="seat", max_units_per_seat=2)
    groups = [open_paid_group(campaign, buying(quantity=2)) for _ in range(4)]
    joins = [joining(groups[n % 4], buying(one, quantity=2)) for n, one in enumerate(buyers(BAND // 2))]
    opens = [opening(campaign, one, quantity=2) for one in buyers(BAND // 2)]

    outcomes = arena.race(*[call for pair in zip(joins, opens, strict=True) for call in pair])

    # An opener who finds nothing left is shown the groups that are open, a joiner is told that it is sold out.
    outcomes.expect_won_or("sku_sold_out", "only_joining", least=6, most=6)
    assert left(campaign) == 0
    check(arena, campaign)


@rounds(STORM)
def test_what_is_given_back_while_others_open_is_taken_to_the_last_unit(arena: Arena) -> None:
    campaign = a_campaign(stock=20, shards=4)
    first = [opened(campaign).order for _ in range(6)]
    opens = [opening(campaign, member_id) for member_id in buyers(CROWD - 6)]

    outcomes = arena.race(*opens[:30], *map(leaving, first), *opens[30:])

    outcomes.expect_won_or("sku_sold_out")
    # Who was told that it is sold out is told so for two seconds more; then nothing is stranded.
    later = NOW + SOLD_OUT_FOR_S
    with suppress(refusals.SkuSoldOut):
        for member_id in buyers(7):
            opened(campaign, buying(member_id), now=later)
    assert left(campaign) == 2
    check(arena, campaign)


# --- a pause ------------------------------------------------------------------------------------------------


def pausing(campaign: Campaign, *, to: str = "paused") -> Callable[[], Campaign]:
    """An operator pauses the campaign, or says otherwise."""
    making = campaigns.Making(by=OWNER, now=NOW, idempotency_key=None)
    return lambda: campaigns.switch(campaign.campaign_id, to=to, making=making)


def taken_while_off(arena: Arena) -> list[int]:
    """Units that left a shard although it was switched off."""
    stock = [(change.old, change.new) for change in arena.images("groupbuy_stock")]
    pairs = [(old, new) for old, new in stock if old and new and not old["on"]]
    return [old["left"] - new["left"] for old, new in pairs if new["left"] < old["left"]]


def test_the_harness_sees_a_group_opened_in_a_pause_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign()
    call = opening(campaign, buyers(1)[0])
    naively(monkeypatch)

    with overtaken(arena.client, "TransactWriteItems", pausing(campaign)):
        call()

    assert taken_while_off(arena) == [3]


@rounds_of("shards", (1, ROUGH), (8, STORM))
def test_a_pause_against_openers(arena: Arena, shards: int) -> None:
    campaign = a_campaign(shards=shards, stock=400)
    crowd = [opening(campaign, member_id) for member_id in buyers(BAND)]
    late = opening(campaign, buyers(1)[0])

    def pauses_and_tries() -> None:
        pausing(campaign)()
        with pytest.raises(campaigns.CampaignPaused):
            late()

    outcomes = arena.race(*crowd[:12], pauses_and_tries, *crowd[12:-1])

    outcomes.expect_won_or("campaign_paused")
    assert outcomes[12].won
    assert taken_while_off(arena) == []
    assert [row["on"] for row in arena.rows("groupbuy_stock")] == [False] * shards
    check(arena, campaign)


# --- two expirers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payers", [1, 2])
def test_the_harness_sees_a_group_ended_twice_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, payers: int
) -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign, payers=payers)
    naively(monkeypatch)

    arena.collide(*[ending_it(group)] * 2).expect(won=2)

    assert "stock_adds_up" in str(broken(arena, campaign.campaign_id))


def working(job: str) -> Callable[[], int]:
    """A worker does what is due, and passes over what another has; what a storm keeps from it is due later."""
    return lambda: due.run(job=job, worker=a_word("w"), now=AFTERWARDS, seconds=30).handled


@rounds_of("at_once, reserve", (30, "group", ROUGH), (2, "group", STORM), (2, "seat", ROUGH))
def test_many_expirers_of_every_group_end_it_once(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, at_once: int, reserve: str
) -> None:
    """``at_once``: with two, groups of three payers are ended piece by piece."""
    monkeypatch.setattr(ending, "PAYERS_AT_ONCE", at_once)
    monkeypatch.setattr(ending, "PAYERS_A_BATCH", at_once)
    campaign = a_campaign(sizes={5: 8900}, reserve=reserve, shards=2)
    groups = [open_paid_group(campaign, payers=1 + n % 3) for n in range(6)]
    take(groups[0])

    outcomes = arena.race(*map(ending_it, groups * 4), *[working(holding.EXPIRE_JOB)] * 8)

    outcomes.expect(won=BAND)
    assert {reading.find(group.group_id).state for group in groups} == {"expired"}
    assert len(arena.rows("refund")) == 12
    check(arena, campaign)


@rounds(ROUGH)
def test_two_expirers_of_a_ladder_agree_on_its_last_step(arena: Arena) -> None:
    campaign = a_campaign(sizes={2: 8900, 4: 7900}, mode="ladder")
    groups = [open_paid_group(campaign, payers=1 + n % 3) for n in range(6)]
    joins = [joining_to_pay(group, buying(one)) for group, one in zip(groups * 2, buyers(12), strict=True)]

    outcomes = arena.race(*joins, *map(ending_it, groups * 3))

    outcomes.expect_won_or("group_expired", "group_full")
    check(arena, campaign)


# --- a head who is refunded ---------------------------------------------------------------------------------


def paid_orders(group: Group) -> list[Order]:
    """The paid orders of a group, its head's first."""
    return [order for order in orders_of(group) if order.state == "paid"]


def test_the_harness_sees_a_head_refunded_twice_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_campaign(sizes={5: 8900})
    group = open_paid_group(campaign, payers=2)
    # Were it to tell first what it owes, that would be the write before which both have read.
    head = orders.caught_up(paid_orders(group)[0], now=NOW)
    naively(monkeypatch)

    arena.collide(refunding(head), refunding(head))

    assert "seats_add_up" in str(broken(arena, campaign.campaign_id))


@rounds_of("reserve", ("group", STORM), ("seat", ROUGH))
def test_refunds_of_heads_against_joiners(arena: Arena, reserve: str) -> None:
    campaign = a_campaign(sizes={3: 8900}, reserve=reserve)
    groups = [open_paid_group(campaign, payers=1 + n % 2) for n in range(4)]
    calls = list(_against_joiners(groups))

    outcomes = arena.race(*calls)

    assert len(calls) == BAND
    outcomes.expect_won_or("group_full", "group_expired")
    for group in groups:
        now = reading.find(group.group_id)
        assert now.state == "filled" or now.head_id != group.head_id or now.state == "expired"
    check(arena, campaign)


def _against_joiners(groups: list[Group]) -> Iterator[Callable[[], object]]:
    """The head of each group is refunded, twice told, while six want to join it, half of them to pay at once."""
    for group in groups:
        head = paid_orders(group)[0]
        a, b, *payers = buyers(6)
        yield refunding(head)
        yield from (joining_to_pay(group, buying(one)) for one in payers)
        yield refunding(head)
        yield from (joining(group, buying(one)) for one in (a, b))


@rounds(STORM)
def test_everybody_of_a_group_is_refunded_at_once_while_others_pay(arena: Arena) -> None:
    campaign = a_campaign(sizes={6: 8900})
    groups = [open_paid_group(campaign, payers=4) for _ in range(2)]
    refunds = [refunding(order) for group in groups for order in paid_orders(group)]
    held = [take(group) for group in groups for _ in range(2)]
    told, over = [paying(order) for order in held], [ending_it(group) for group in groups]

    outcomes = arena.race(*told, *refunds, *over * 2, *told, *refunds, *over * 2)

    assert len(outcomes) == BAND
    outcomes.expect(won=BAND)
    assert {reading.find(group.group_id).state for group in groups} <= {"expired", "filled"}
    check(arena, campaign)
