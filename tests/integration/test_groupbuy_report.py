"""The report of a campaign: every figure of every day, each fact once, and money that was never taken in none."""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.core import config, due, table
from chalicelib.core.clock import DAY, HOUR, MINUTE
from chalicelib.groupbuys import admin, answers, campaigns, closing, ending, reporting
from chalicelib.groupbuys.models import Campaign
from chalicelib.operators import stuck
from chalicelib.orders import service as orders
from chalicelib.orders.service import Back, Order
from chalicelib.sharing import visits
from chalicelib.sharing.models import Link
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_call, a_link, a_member, a_share, a_word, books, only, reacted
from tests.groupbuys import (
    a_buyer,
    a_campaign,
    broken,
    buying,
    open_paid_group,
    opened,
    orders_of,
    pay,
    take,
)
from tests.harness.counter import counting
from tests.harness.meetings import before_write
from tests.harness.rows import rows

pytestmark = pytest.mark.usefixtures("direct")

PRICE = 8900
LADDER = {2: 8900, 3: 8500}
TODAY, TOMORROW = "2026-01-01", "2026-01-02"


@pytest.fixture(autouse=True)
def the_books(store: Store) -> Iterator[None]:
    """Whatever a test does, no rule is broken at its end."""
    config.override(payment_gateway="sandbox")
    yield
    for row in rows(store.client, "truth", kind="groupbuy"):
        assert broken(store, row["campaign_id"]) == []


def told(store: Store, campaign: Campaign, *, now: int = NOW, jobs: bool = True) -> dict[str, dict[str, int]]:
    """What the report says of each day, without what is nothing, when everything was reacted to."""
    for job in ("refund",) if jobs else ():
        due.run(job=job, worker=a_word("w"), now=now, seconds=30)
    reacted(store.client, now=now)
    reacted(store.client, now=now)
    shown = admin.show_report(a_call(operator=OWNER, now=now), campaign.campaign_id)
    days = {one.day: {name: getattr(one, name) for name in reporting.COUNTS} for one in shown.items}
    return {day: {name: n for name, n in counts.items() if n} for day, counts in days.items()}


def back(order: Order, *, now: int = NOW) -> None:
    orders.refund(order.order_id, back=Back(reason="operator"), now=now)


# --- money --------------------------------------------------------------------------------------------------


def test_a_ladder_s_differences_are_refunds_of_turnover(store: Store) -> None:
    campaign = a_campaign(sizes=LADDER, mode="ladder")
    open_paid_group(campaign, payers=3)
    reacted(store.client, now=NOW)

    day = told(store, campaign)[TODAY]

    assert (day["turnover_fen"], day["refunded_fen"]) == (3 * 8900, 3 * 400)


def test_parts_that_the_mall_gives_back_count_each_once_and_the_rest_with_the_whole(store: Store) -> None:
    campaign = a_campaign(sizes={2: PRICE})
    head, _ = orders_of(open_paid_group(campaign, payers=2))
    for cause in ("a", "a", "b"):
        orders.told_partly_refunded(orders.show(head.order_id), amount_fen=1000, cause=cause, now=NOW)
    assert told(store, campaign)[TODAY]["refunded_fen"] == 2000

    back(head)

    assert told(store, campaign)[TODAY]["refunded_fen"] == PRICE


def test_turnover_is_what_came_where_a_person_accepted_another_amount(store: Store) -> None:
    campaign = a_campaign(sizes={2: PRICE})
    order = pay(take(open_paid_group(campaign)), "pay_wrong", amount_fen=PRICE - 900)
    (wrong,) = orders.money_of(order.order_id)[0]
    stuck_id = stuck.id_of("mismatch", wrong)
    stuck.settle(stuck_id=stuck_id, how="accepted", reason="by phone", by=OWNER, now=NOW)

    assert told(store, campaign)[TODAY]["turnover_fen"] == 2 * PRICE - 900
    back(orders.show(order.order_id))
    assert told(store, campaign)[TODAY]["refunded_fen"] == PRICE - 900


def test_a_second_payment_is_neither_turnover_nor_a_refund(store: Store) -> None:
    campaign = a_campaign(sizes={2: PRICE})
    head, _ = orders_of(open_paid_group(campaign, payers=2))
    pay(head, "pay_twice")

    day = told(store, campaign)[TODAY]

    assert orders.show(head.order_id).refunded_fen == PRICE
    assert (day["paid"], day["turnover_fen"], day.get("refunded_fen")) == (2, 2 * PRICE, None)


def test_a_late_payment_that_finds_no_place_is_neither(store: Store) -> None:
    campaign = a_campaign(late_payment="refund")
    late = take(open_paid_group(campaign))
    orders.cancel(late, now=NOW)
    assert pay(late).state == "refunding"

    day = told(store, campaign)[TODAY]

    assert orders.show(late.order_id).state == "refunded"
    assert (day["paid"], day["turnover_fen"], day.get("refunded_fen")) == (1, PRICE, None)


def test_a_refund_after_the_mall_completed_the_order_counts_by_whom_it_was_given(store: Store) -> None:
    campaign = a_campaign(sizes={2: PRICE})
    head, bob = orders_of(open_paid_group(campaign, payers=2))
    for order in (head, bob):
        orders.complete(order.order_id, now=NOW)
    back(head)
    orders.refund(bob.order_id, back=Back(reason="mall", done=True), now=NOW)

    day = told(store, campaign)[TODAY]

    assert (day["turnover_fen"], day["refunded_fen"]) == (2 * PRICE, 2 * PRICE)


def test_money_counts_on_the_day_on_which_it_came_and_on_which_it_went(store: Store) -> None:
    campaign = a_campaign(ends_at=NOW + 9 * DAY)
    group = open_paid_group(campaign, payers=2)
    ending.end(group.group_id, back=ending.EXPIRED, now=NOW + DAY)

    days = told(store, campaign, now=NOW + DAY)

    assert days[TODAY]["turnover_fen"] == days[TOMORROW]["refunded_fen"] == 2 * PRICE
    assert (days[TODAY]["opened"], days[TOMORROW]["failed"]) == (1, 1)


# --- people and groups --------------------------------------------------------------------------------------


def test_a_new_member_became_one_since_the_campaign_began_and_counts_once(store: Store) -> None:
    campaign = a_campaign(sizes={2: PRICE})
    old, new = a_buyer(now=campaign.starts_at - 1), a_buyer(now=campaign.starts_at)
    open_paid_group(campaign, buying(old))
    for _ in range(2):
        open_paid_group(campaign, buying(new))

    day = told(store, campaign)[TODAY]

    assert (day["paid"], day["new_members"]) == (3, 1)
    assert only(store.client, "groupbuy_new_member")["sk"] == f"NEW#{new}"


def test_a_head_whose_late_payment_sits_in_another_s_group_never_joined_one(store: Store) -> None:
    campaign = a_campaign()
    late = opened(campaign).order
    orders.cancel(late, now=NOW)
    open_paid_group(campaign)
    assert pay(late).state == "paid"

    day = told(store, campaign)[TODAY]

    assert (day["opened"], day.get("joined"), day["paid"]) == (1, None, 2)


def test_a_group_counts_as_opened_on_the_day_on_which_its_head_paid_also_when_it_was_cut_short(
    store: Store,
) -> None:
    campaign = a_campaign(ends_at=NOW + 9 * DAY)
    open_paid_group(campaign)
    by = campaigns.Making(by=OWNER, now=NOW + DAY - 60, idempotency_key=None)
    closing.close(campaign.campaign_id, open_groups="refund", reason="recall", making=by)
    for job in ("close", "expire"):
        due.run(job=job, worker="w", now=NOW + DAY - 30, seconds=30)

    days = told(store, campaign, now=NOW + DAY - 30)

    assert (days[TODAY]["opened"], days[TOMORROW]["failed"]) == (1, 1)


# --- visitors -----------------------------------------------------------------------------------------------


def a_group_link(campaign: Campaign) -> Link:
    wanted = a_share(kind="group", target=open_paid_group(campaign).group_id)
    return a_link(sharer_id=a_member(), wanted=wanted)


def visit(link: Link, visitor: str, *, now: int = NOW) -> None:
    visits.record(link=link, visitor=visitor, wx_scene=1007, now=now)


def visitors(store: Store, campaign: Campaign, *, now: int) -> dict[str, int]:
    shown = admin.show_report(a_call(operator=OWNER, now=now), campaign.campaign_id)
    return {one.day: one.visitors for one in shown.items if one.visitors}


def test_visitors_open_links_to_any_group_of_the_campaign_each_once_an_hour(store: Store) -> None:
    campaign, other = a_campaign(), a_campaign()
    first, second, foreign = (a_group_link(one) for one in (campaign, campaign, other))
    product = a_link(sharer_id=a_member())
    for link in (first, first, second, foreign, product):
        visit(link, "ann")
    visit(second, "ben")
    visit(first, "ann", now=NOW + HOUR)

    assert visitors(store, campaign, now=NOW + HOUR) == {TODAY: 3}
    assert visitors(store, other, now=NOW + HOUR) == {TODAY: 1}


def test_what_somebody_opened_is_counted_for_the_link_as_it_was_before(store: Store) -> None:
    link = a_group_link(a_campaign())
    for who in ("ann", "ann", "ben"):
        visit(link, who)

    (day,) = visits.funnel(code=link.code, sharer_id=link.sharer_id, days=1, now=NOW)

    assert (day.opened, day.opened_by) == (2, {"chat": 2})


def test_a_day_that_is_over_is_added_up_once_and_later_visits_are_of_later_days(store: Store) -> None:
    campaign = a_campaign(ends_at=NOW + 9 * DAY)
    link = a_group_link(campaign)
    visit(link, "ann")
    later = NOW + 2 * DAY
    visit(link, "ann", now=later)

    first = visitors(store, campaign, now=later)
    kept = {row["sk"]: row.get("visitors") for row in books(store.client).of("groupbuy_day")}
    with counting(table.client()) as spent:
        again = visitors(store, campaign, now=later)

    assert first == again == {TODAY: 1, "2026-01-03": 1}
    assert kept == {f"DAY#{TODAY}": 1, f"DAY#{TOMORROW}": 0}, "the last closed day is kept, whatever it had"
    assert spent.table_units == 0, "nothing is added up twice"


def test_a_day_that_is_added_up_by_two_at_once_stays_what_was_told_first(store: Store) -> None:
    campaign = a_campaign(ends_at=NOW + 9 * DAY)
    link, later = a_group_link(campaign), NOW + DAY
    visit(link, "ann")

    def comes_late_and_is_told() -> None:
        visit(link, "ben")
        assert visitors(store, campaign, now=later) == {TODAY: 2}

    with before_write(1, comes_late_and_is_told):
        visitors(store, campaign, now=later)

    assert visitors(store, campaign, now=later) == {TODAY: 2}


def test_a_day_stays_open_for_an_hour_after_midnight(store: Store) -> None:
    campaign = a_campaign(ends_at=NOW + 9 * DAY)
    visit(a_group_link(campaign), "ann")
    midnight = NOW + 14 * HOUR

    visitors(store, campaign, now=midnight + HOUR - MINUTE)
    assert books(store.client)["groupbuy_day"] == 0
    visitors(store, campaign, now=midnight + HOUR + MINUTE)

    assert only(store.client, "groupbuy_day")["visitors"] == 1


def test_a_visit_of_a_group_s_link_is_two_writes_and_of_others_one(store: Store) -> None:
    group, product = a_group_link(a_campaign()), a_link(sharer_id=a_member())
    visit(group, "somebody")

    spent = {}
    for name, link in (("group", group), ("product", product)):
        with counting(table.client()) as one:
            visit(link, "ann")
        spent[name] = dict(one.operations)

    assert spent == {"group": {"UpdateItem": 2}, "product": {"UpdateItem": 1}}


def test_a_link_to_a_group_that_is_not_there_counts_for_nothing_else(store: Store) -> None:
    link: Any = a_link(sharer_id=a_member(), wanted=a_share(kind="group", target="grp_none"))
    visit(link, "ann")

    assert answers.part_of("grp_none", NOW) is None
    assert visits.funnel(code=link.code, sharer_id=link.sharer_id, days=1, now=NOW)[0].opened == 1
