"""Joining from what a page showed: one call if it is so, and never another price, campaign or size."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chalicelib.groupbuys import campaigns, editing, ending
from chalicelib.groupbuys.models import Campaign, Group
from chalicelib.groupbuys.refusals import (
    GroupExpired,
    GroupFull,
    GroupNotOpen,
    LimitReached,
    NotNewMember,
    OrderInTheWay,
    PriceNotAsShown,
)
from chalicelib.sharing import service as sharing
from infra.local.clients import Store
from tests.factories import NOW, OWNER
from tests.groupbuys import (
    AFTERWARDS,
    a_buyer,
    a_campaign,
    broken,
    buying,
    open_paid_group,
    opened,
    pay,
    shown_of,
    take,
)
from tests.harness.rows import rows

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

PRICE = 8900


@pytest.fixture(autouse=True)
def the_books(store: Store) -> Iterator[None]:
    """Whatever a test does, no rule is broken at its end."""
    yield
    for row in rows(store.client, "truth", kind="groupbuy"):
        assert broken(store, row["campaign_id"]) == []


def priced_anew(campaign: Campaign, price_fen: int) -> None:
    """From now on its groups are opened at this price."""
    given = editing.terms(campaign)
    skus = [
        msgspec.structs.replace(
            sku, prices=[msgspec.structs.replace(one, price_fen=price_fen) for one in sku.prices]
        )
        for sku in given.product.skus
    ]
    product = msgspec.structs.replace(given.product, skus=skus)
    making = campaigns.Making(by=OWNER, now=NOW, idempotency_key=None)
    editing.edit(campaign.campaign_id, msgspec.structs.replace(given, product=product), making)


def test_a_seat_is_taken_at_the_price_that_was_shown_and_once() -> None:
    group, wants = open_paid_group(a_campaign(sizes={3: PRICE})), buying()

    first, again = (take(group, wants, shown=shown_of(group)) for _ in range(2))

    assert (first.amount_fen, first.size, first.state) == (PRICE, 3, "pending")
    assert again.order_id == first.order_id
    pay(first)
    assert take(group, wants, shown=shown_of(group)).order_id == first.order_id


def test_a_groups_poster_shows_its_price_beside_the_list_price() -> None:
    campaign = a_campaign(sizes={3: PRICE})
    about = sharing.describe("group", open_paid_group(campaign).group_id, now=NOW)

    assert about.price == "¥89.00" and about.price_fen == PRICE
    assert about.list_price_fen == editing.terms(campaign).product.skus[0].list_price_fen > PRICE


def test_who_was_seated_by_a_late_payment_has_that_seat() -> None:
    group, wants = open_paid_group(a_campaign(sizes={4: PRICE})), buying()
    late = take(group, wants)
    ending.leave(group_id=group.group_id, member_id=wants.member_id, now=NOW)
    pay(late)

    assert take(group, wants, shown=shown_of(group)).order_id == late.order_id


def test_an_order_of_the_mall_is_not_seated_for_two() -> None:
    group = open_paid_group(a_campaign(gateway="mall"))
    take(group, buying(mall_order_id="M1"), shown=shown_of(group))

    with pytest.raises(OrderInTheWay):
        take(group, buying(mall_order_id="M1"), shown=shown_of(group))


def test_who_has_bought_before_joins_another_group_as_shown() -> None:
    campaign = a_campaign()
    wants = buying()
    pay(take(open_paid_group(campaign), wants))
    group = open_paid_group(campaign)

    assert take(group, wants, shown=shown_of(group)).group_id == group.group_id


def test_a_group_keeps_its_promise_whatever_its_campaign_asks_by_now() -> None:
    campaign = a_campaign(sizes={3: PRICE})
    group = open_paid_group(campaign)
    priced_anew(campaign, PRICE + 1000)
    today = replace(shown_of(group), price_fen=PRICE + 1000)

    assert take(group, shown=shown_of(group)).amount_fen == PRICE
    with pytest.raises(PriceNotAsShown) as refused:
        take(group, shown=today)

    assert refused.value.details["price_fen"] == PRICE


def test_a_seat_that_one_has_is_answered_whatever_price_is_shown_now() -> None:
    group, wants = open_paid_group(a_campaign()), buying()
    first = take(group, wants)

    shown = replace(shown_of(group), price_fen=1)

    assert take(group, wants, shown=shown).order_id == first.order_id


@pytest.mark.parametrize("size", [5, 7])
def test_another_size_than_the_group_has_is_set_right_by_the_group(size: int) -> None:
    group = open_paid_group(a_campaign(sizes={3: PRICE, 5: PRICE}), size=3)

    order = take(group, shown=replace(shown_of(group), size=size))

    assert (order.size, order.group_id) == (3, group.group_id)


@pytest.mark.parametrize("exists", [True, False])
def test_another_campaign_than_the_group_s_is_set_right_by_the_group(exists: bool) -> None:
    group = open_paid_group(a_campaign())
    other = a_campaign().campaign_id if exists else "cmp_none"

    order = take(group, shown=replace(shown_of(group), campaign_id=other))

    assert order.campaign_id == group.campaign_id


def test_an_order_that_waits_in_the_campaign_that_was_shown_by_mistake_is_no_answer() -> None:
    group, other = open_paid_group(a_campaign()), a_campaign()
    wants = buying()
    waiting = opened(other, wants).order

    order = take(group, wants, shown=replace(shown_of(group), campaign_id=other.campaign_id))

    assert (order.group_id, order.order_id == waiting.order_id) == (group.group_id, False)


def a_full_group() -> Group:
    return open_paid_group(a_campaign(sizes={2: PRICE}), payers=2)


def a_group_of_holds() -> Group:
    group = open_paid_group(a_campaign(sizes={2: PRICE}))
    take(group)
    return group


def an_unpaid_group() -> Group:
    return opened(a_campaign()).group


def an_ended_group() -> Group:
    group = open_paid_group(a_campaign())
    ending.end(group.group_id, back=ending.EXPIRED, now=AFTERWARDS)
    return group


def a_group_for_newcomers() -> Group:
    return open_paid_group(a_campaign(starts_at=NOW, new_members_only=True))


REFUSED: dict[Any, type[Exception]] = {
    a_full_group: GroupFull,
    a_group_of_holds: GroupFull,
    an_unpaid_group: GroupNotOpen,
    an_ended_group: GroupExpired,
    a_group_for_newcomers: NotNewMember,
}


@pytest.mark.parametrize("there", REFUSED)
def test_who_cannot_join_is_refused_as_without_it(there: Any) -> None:
    group, wants = there(), buying(a_buyer(now=NOW - 9))

    for shown in (None, shown_of(group)):
        with pytest.raises(REFUSED[there]):
            take(group, wants, shown=shown)


def test_a_group_whose_time_is_over_is_not_joined_though_nobody_ended_it_yet() -> None:
    group = open_paid_group(a_campaign())

    with pytest.raises(GroupExpired):
        take(group, shown=shown_of(group), now=group.expires_at or 0)


def test_a_newcomer_joins_as_shown() -> None:
    group = a_group_for_newcomers()

    assert take(group, shown=shown_of(group)).amount_fen == PRICE


def test_limits_hold() -> None:
    campaign = a_campaign(per_member_units=1)
    wants = buying()
    pay(take(open_paid_group(campaign), wants))
    group = open_paid_group(campaign)

    with pytest.raises(LimitReached):
        take(group, wants, shown=shown_of(group))


def test_units_come_from_another_shard_when_the_first_is_empty() -> None:
    campaign = a_campaign(reserve="seat", stock=4, shards=4)
    group = open_paid_group(campaign)

    orders = [take(group, shown=shown_of(group)) for _ in range(2)]

    assert {order.taken[0][2] for order in orders} == {1}
