"""Campaigns while they run: what an edit changes and what it leaves, copies, and the end with all that is owed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from chalicelib.core import cache, config, due, table
from chalicelib.core.clock import DAY, HOUR, MINUTE
from chalicelib.core.errors import Busy, IdempotencyMismatch, Invalid, NotFound
from chalicelib.groupbuys import campaigns, closing, editing, reading, refusals
from chalicelib.groupbuys.campaigns import CampaignOver
from chalicelib.groupbuys.models import Campaign, Stock
from chalicelib.groupbuys.schemas import CopyCampaign, EditCampaign
from chalicelib.orders import service as orders
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_word, books, dying_at
from tests.groupbuys import (
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
from tests.harness.rows import rows
from tests.harness.wire import Call, Params, wrapped

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

PRICE = 8900
HOOK = "https://mall.example/hooks"


@pytest.fixture(autouse=True)
def the_books(store: Store) -> Iterator[None]:
    """Whatever a test does, no rule is broken at its end."""
    config.override(payment_gateway="sandbox")
    yield
    for row in rows(store.client, "truth", kind="groupbuy"):
        assert broken(store, row["campaign_id"]) == []


def making(*, key: str | None = None, now: int = NOW) -> campaigns.Making:
    return campaigns.Making(by=OWNER, now=now, idempotency_key=key)


def edited(campaign: Campaign, *, now: int = NOW, **changes: Any) -> Campaign:
    """The campaign after an edit of these terms."""
    given = msgspec.structs.replace(editing.terms(campaign), **changes)
    return editing.edit(campaign.campaign_id, given, making(now=now))


def sku_with(campaign: Campaign, **changes: Any) -> Any:
    """Its product, with the first variant changed."""
    product = editing.terms(campaign).product
    first, *others = product.skus
    return msgspec.structs.replace(product, skus=[msgspec.structs.replace(first, **changes), *others])


def shards(campaign: Campaign) -> list[Stock]:
    """All shards as they are now."""
    return [table.get(Stock, key) for key in keys_of(campaign)]  # type: ignore[misc]


def keys_of(campaign: Campaign) -> list[table.Key]:
    skus = [sku["sku_id"] for sku in campaign.product["skus"]]
    return [Stock.key(campaign.campaign_id, one, k) for one in skus for k in range(campaign.stock_shards)]


def works(job: str, *, now: int) -> int:
    """What a run of a job has handled; nothing may fail."""
    ran = due.run(job=job, worker=a_word("w"), now=now, seconds=30)
    assert not ran.failed
    return ran.handled


# --- editing ------------------------------------------------------------------------------------------------


def test_a_new_price_is_for_groups_that_open_after_it_and_no_promise_is_broken() -> None:
    campaign = a_campaign()
    before = open_paid_group(campaign)
    price = msgspec.structs.replace(editing.terms(campaign).product.skus[0].prices[0], price_fen=7000)

    edited(campaign, product=sku_with(campaign, prices=[price], title="A new tin"))

    assert take(before).amount_fen == PRICE
    after = opened(campaign)
    assert (after.order.amount_fen, after.order.title) == (7000, "Tea A new tin")


def test_every_term_that_may_be_changed_is_changed_and_noted_with_what_it_was(store: Store) -> None:
    campaign = a_campaign(fill_at_expiry_from=2)
    changes: dict[str, Any] = {
        "title": "Spring",
        "per_member_units": 7,
        "per_member_groups": 2,
        "visible_from": NOW - 2 * DAY,
        "ends_at": NOW + 2 * DAY,
        "group_lifetime_s": HOUR,
        "hold_s": 60,
        "open_hold_s": 120,
        "late_payment": "refund",
        "fill_at_expiry_from": None,
    }
    was = editing.terms(campaign)

    row = edited(campaign, **changes)

    assert editing.terms(row) == msgspec.structs.replace(was, **changes)
    assert editing.terms(campaigns.find(campaign.campaign_id, now=NOW)) == editing.terms(row)
    (audit,) = books(store.client).of("audit", action="groupbuy.edited")
    before, after = (json.loads(audit[name]) for name in ("before", "after"))
    assert before == {name: getattr(was, name) for name in changes}
    assert after == changes


@pytest.mark.parametrize("changes", [{"id": "coffee"}, {"category_ids": ["drinks"]}])
def test_what_its_orders_earn_by_is_what_it_began_with(changes: dict[str, Any]) -> None:
    campaign = a_campaign(starts_at=NOW)
    product = msgspec.structs.replace(editing.terms(campaign).product, **changes)

    edited(campaign, product=product, now=NOW - 1)
    edited(campaign, product=product)
    with pytest.raises(Invalid) as refused:
        edited(campaign, product=editing.terms(campaign).product)

    assert refused.value.details["field"] == f"product.{next(iter(changes))}"
    assert editing.terms(campaigns.as_it_is(campaign.campaign_id)).product == product


def test_groups_that_are_open_go_on_by_what_they_were_opened_with() -> None:
    campaign = a_campaign(group_lifetime_s=2 * HOUR, fill_at_expiry_from=2)
    unpaid, group = opened(campaign), open_paid_group(campaign, payers=2)

    edited(campaign, group_lifetime_s=5 * HOUR, fill_at_expiry_from=None, late_payment="refund")
    pay(unpaid.order)
    works("expire", now=NOW + 2 * HOUR)

    assert reading.find(unpaid.group.group_id).expires_at == NOW + 2 * HOUR
    assert reading.find(group.group_id).state == "filled"


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("mode", {"mode": "ladder"}),
        ("reserve", {"reserve": "seat"}),
        ("new_members_only", {"new_members_only": True}),
        ("stock_shards", {"stock_shards": 2}),
        ("starts_at", {"starts_at": NOW - 2 * DAY}),
        ("ends_at", {"ends_at": NOW - DAY}),
        ("product.skus", {"sku_id": "another"}),
        ("product.skus.stock", {"stock": 101}),
        ("product.skus.prices", {"prices": "sizes"}),
    ],
)
def test_what_groups_and_units_are_counted_by_stays_and_the_refusal_names_it(
    field: str, changes: dict[str, Any], store: Store
) -> None:
    campaign = a_campaign(sizes={3: PRICE, 5: 7900})
    before = sorted(map(str, rows(store.client, "truth")))
    if field == "mode":
        changes = changes | {"fill_at_expiry_from": None}
    if field.startswith("product"):
        prices = editing.terms(campaign).product.skus[0].prices[:1]
        told = {name: prices if value == "sizes" else value for name, value in changes.items()}
        changes = {"product": sku_with(campaign, **told)}

    with pytest.raises(Invalid) as refused:
        edited(campaign, **changes)

    assert refused.value.details["field"] == field
    assert sorted(map(str, rows(store.client, "truth"))) == before


def test_a_campaign_that_has_not_begun_may_begin_at_another_time() -> None:
    campaign = a_campaign(starts_at=NOW + HOUR, shards=3)

    edited(campaign, starts_at=NOW, now=NOW)

    assert {row.starts_at for row in shards(campaign)} == {NOW}
    assert opened(campaign).new


def test_an_edit_is_refused_for_the_first_reason_in_one_order() -> None:
    campaign = a_campaign()
    wrong = msgspec.structs.replace(editing.terms(campaign), ends_at=campaign.starts_at, mode="ladder")

    with pytest.raises(NotFound):
        editing.edit("cmp_none", wrong, making())
    with pytest.raises(Invalid) as invalid:
        editing.edit(campaign.campaign_id, wrong, making())
    assert invalid.value.details["field"] == "ends_at"
    campaigns.switch(campaign.campaign_id, to="closed", making=making())
    with pytest.raises(CampaignOver):
        editing.edit(campaign.campaign_id, wrong, making())


def test_an_edit_said_again_answers_the_same_and_is_noted_once(store: Store) -> None:
    campaign = a_campaign()

    first, again = (edited(campaign, title="Spring", ends_at=NOW + 5) for _ in range(2))

    assert (again.rev, again.title) == (first.rev, "Spring")
    assert len(books(store.client).of("audit", action="groupbuy.edited")) == 1


@pytest.mark.parametrize("call", range(1, 9))
def test_a_new_window_reaches_every_shard_however_it_broke_off(call: int, store: Store) -> None:
    campaign = a_campaign(skus=["red", "blue"], reserve="seat", shards=2)

    with dying_at(call), pytest.raises(KeyboardInterrupt):
        edited(campaign, ends_at=NOW + 5)
    cache.clear_all()
    row = edited(campaign, ends_at=NOW + 5)

    assert {(one.ends_at, one.edition) for one in shards(campaign)} == {(NOW + 5, row.edition)}
    assert len(books(store.client).of("audit", action="groupbuy.edited")) == 1


def test_of_two_windows_the_later_edition_stands_in_every_shard_whoever_writes_last() -> None:
    campaign = a_campaign(shards=3)
    stock: list[str] = []

    def overtaken(below: Call, asked: str, params: Params) -> Params:
        if asked == "UpdateItem" and "STOCK" in params["Key"]["pk"]["S"]:
            stock.append(params["Key"]["pk"]["S"])
            if len(stock) == 2:
                edited(campaigns.as_it_is(campaign.campaign_id), ends_at=NOW + 9)
        return below(asked, params)

    with wrapped(table.client(), overtaken):
        edited(campaign, ends_at=NOW + 5)

    assert {one.ends_at for one in shards(campaign)} == {NOW + 9}
    assert campaigns.as_it_is(campaign.campaign_id).ends_at == NOW + 9


def test_a_pause_and_a_resume_at_once_leave_the_shards_as_the_campaign_is() -> None:
    campaign = a_campaign(shards=3)
    campaigns.switch(campaign.campaign_id, to="paused", making=making())
    turned: list[str] = []

    def overtaken(below: Call, asked: str, params: Params) -> Params:
        if asked == "UpdateItem" and "STOCK" in params["Key"]["pk"]["S"]:
            turned.append(asked)
            if len(turned) == 2:
                closing.close(campaign.campaign_id, open_groups="go_on", reason="over", making=making())
        return below(asked, params)

    with wrapped(table.client(), overtaken), pytest.raises(Busy):
        campaigns.switch(campaign.campaign_id, to="running", making=making())

    assert campaigns.as_it_is(campaign.campaign_id).state == "closed"
    assert {one.on for one in shards(campaign)} == {False}


def test_an_edit_that_another_overtook_is_busy_and_changes_nothing_of_the_other_s() -> None:
    campaign = a_campaign()
    done: list[bool] = []

    def overtaken(below: Call, asked: str, params: Params) -> Params:
        if asked == "TransactWriteItems" and not done:
            done.append(True)
            edited(campaign, title="Theirs")
        return below(asked, params)

    with wrapped(table.client(), overtaken), pytest.raises(Busy):
        edited(campaign, title="Mine")

    assert campaigns.as_it_is(campaign.campaign_id).title == "Theirs"


# --- copies -------------------------------------------------------------------------------------------------


def copied(campaign: Campaign, *, key: str | None = None, **asked: Any) -> Campaign:
    told = {"starts_at": NOW + DAY, "ends_at": NOW + 2 * DAY, **asked}
    return editing.copy(campaign.campaign_id, CopyCampaign(**told), making(key=key))


def test_a_copy_is_like_the_first_at_another_time_with_stock_of_its_own() -> None:
    campaign = a_campaign(skus=["red", "blue"], reserve="seat", shards=2, hold_s=77)
    open_paid_group(campaign, buying(sku_id="red"))

    row = copied(campaign, stock={"blue": 5})

    wanted = msgspec.structs.replace(
        editing.terms(campaign),
        visible_from=NOW + DAY,
        starts_at=NOW + DAY,
        ends_at=NOW + 2 * DAY,
        product=editing.terms(row).product,
    )
    assert (editing.terms(row), row.copied_from) == (wanted, campaign.campaign_id)
    left = {one: sum(campaigns.stock_left(row, one).values()) for one in ("red", "blue")}
    assert left == {"red": 100, "blue": 5}


def test_a_copy_asked_for_again_with_its_key_is_the_first_even_when_the_first_was_edited_since() -> None:
    campaign = a_campaign()
    first = copied(campaign, key="k1")
    edited(campaign, title="Changed since")

    again = copied(campaign, key="k1")

    assert (again.campaign_id, again.title) == (first.campaign_id, first.title)
    with pytest.raises(IdempotencyMismatch):
        copied(campaign, key="k1", title="Another")
    with pytest.raises(IdempotencyMismatch):
        copied(a_campaign(), key="k1")
    assert copied(campaign, key="k2").campaign_id != first.campaign_id


def a_body(campaign: Campaign, *, stock: int) -> EditCampaign:
    """The terms of a campaign, for another one with this stock in three shards."""
    product = sku_with(campaign, stock=stock)
    return msgspec.structs.replace(editing.terms(campaign), product=product, stock_shards=3)


def left_of(campaign: Campaign) -> list[int]:
    return [row.left for row in shards(campaign)]


@pytest.mark.parametrize("call", [3, 4, 5, 6])
def test_a_making_that_broke_off_is_made_whole_by_its_own_body_and_by_no_other(call: int) -> None:
    like = a_campaign()
    first, other = a_body(like, stock=8), a_body(like, stock=2)
    with pytest.raises(KeyboardInterrupt), dying_at(call):
        campaigns.make(first, making(key="k1"))

    for _ in range(2):
        with pytest.raises(IdempotencyMismatch):
            campaigns.make(other, making(key="k1"))
        assert left_of(campaigns.make(first, making(key="k1"))) == [3, 3, 2]


def test_a_copy_is_refused_for_what_is_wrong_with_it() -> None:
    campaign = a_campaign()
    cases: list[tuple[str, Callable[[], Any]]] = [
        ("stock", lambda: copied(campaign, stock={"another": 5})),
        ("ends_at", lambda: copied(campaign, ends_at=NOW)),
    ]

    for field, ask in cases:
        with pytest.raises(Invalid) as refused:
            ask()
        assert refused.value.details["field"] == field
    with pytest.raises(NotFound):
        editing.copy("cmp_none", CopyCampaign(starts_at=NOW, ends_at=NOW + 1), making())


# --- the end ------------------------------------------------------------------------------------------------


def close(campaign: Campaign, *, open_groups: str = "refund", now: int = NOW) -> Campaign:
    return closing.close(
        campaign.campaign_id, open_groups=open_groups, reason="recall", making=making(now=now)
    )


def looks(*, now: int, since: int = NOW, every: int = 10 * MINUTE) -> None:
    """The jobs run until ``now``."""
    for at in range(since, now + 1, every):
        for job in ("close", "expire", "release"):
            works(job, now=at)


def owed(store: Store, kind: str) -> list[dict[str, Any]]:
    """What the mall is told under this type."""
    return [json.loads(row["body"])["data"] for row in books(store.client).of("delivery", type=kind)]


def test_every_open_group_of_a_closed_campaign_is_ended_however_many_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MOVED_A_LOOK", 4)
    monkeypatch.setattr(closing, "PAGE", 3)
    config.override(due_shards=3)
    campaign = a_campaign(sizes={2: PRICE})
    groups = [open_paid_group(campaign) for _ in range(11)]

    close(campaign)
    turns = works("close", now=NOW + 60)
    shared = {row["due_shard"] for row in books(store.client).of("group")}
    works("expire", now=NOW + 60)

    assert turns == 3, "four, four, and three with nothing left"
    assert len(shared) > 1, "the end of the groups is shared out over the shards"
    assert {reading.find(group.group_id).state for group in groups} == {"expired"}
    reasons = {row["reason"] for row in books(store.client).of("refund")}
    assert (reasons, len(books(store.client).of("refund"))) == ({"campaign_closed"}, 11)


def test_a_group_that_is_being_ended_takes_nobody_in_and_is_offered_to_nobody() -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign)
    held = take(group)
    close(campaign)
    works("close", now=NOW + 1)

    with pytest.raises(refusals.GroupExpired) as refused:
        take(group, now=NOW + 1)
    assert refused.value.details["joinable"] == []
    assert pay(held).state == "paid", "who pays before the end comes is in it"
    works("expire", now=NOW + 1)

    assert {order.state for order in orders_of(group)} == {"refunding"}


def test_a_group_with_enough_payers_is_refunded_all_the_same_when_its_campaign_is() -> None:
    campaign = a_campaign(fill_at_expiry_from=2)
    closed, over = open_paid_group(campaign, payers=2, now=NOW + 2), open_paid_group(campaign, payers=2)
    close(campaign, now=NOW + DAY)

    works("close", now=NOW + DAY + 1)
    works("expire", now=NOW + DAY + 1)

    assert reading.find(closed.group_id).state == "expired"
    assert reading.find(over.group_id).state == "filled", "its time was over before the close came to it"


def test_a_head_who_pays_after_the_close_is_refunded_too(store: Store) -> None:
    campaign = a_campaign()
    late = opened(campaign)
    close(campaign)
    works("close", now=NOW)
    pay(late.order, now=NOW + 5 * MINUTE)

    looks(now=NOW + HOUR)

    assert orders.show(late.order.order_id).state == "refunding"
    run_jobs(store)


def test_open_groups_go_on_unless_said_and_may_be_ended_after_all(store: Store) -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign)
    first, again = (close(campaign, open_groups="go_on") for _ in range(2))
    works("close", now=NOW)
    assert (first.rev, reading.find(group.group_id).state) == (again.rev, "open")

    assert [close(campaign).open_groups for _ in range(2)] == ["refund", "refund"]
    works("close", now=NOW)
    works("expire", now=NOW)

    assert reading.find(group.group_id).state == "expired"
    actions = [row["action"] for row in books(store.client).of("audit", subject=campaign.campaign_id)]
    assert sorted(actions) == ["groupbuy.closed", "groupbuy.made", "groupbuy.open_groups_refunded"]


def test_the_mall_is_told_once_what_is_unused_when_nothing_is_open_any_more(store: Store) -> None:
    config.override(mall_webhook_url=HOOK)
    campaign = a_campaign(stock=10)
    open_paid_group(campaign, payers=3)
    failing = open_paid_group(campaign)
    close(campaign, open_groups="go_on")

    looks(now=NOW + 12 * HOUR, every=HOUR)
    assert owed(store, "campaign.closed") == [], "a group is open still, and may give its units back"
    looks(since=NOW + DAY, now=NOW + DAY + HOUR)

    assert reading.find(failing.group_id).state == "expired"
    told = {"campaign_id": campaign.campaign_id, "product_id": campaign.product["id"]}
    assert owed(store, "campaign.closed") == [{**told, "unused": {"sku": 7}}]
    close(campaign)
    looks(since=NOW + 2 * DAY, now=NOW + 2 * DAY + HOUR)
    assert len(owed(store, "campaign.closed")) == 1
    (row,) = books(store.client).of("groupbuy")
    assert "due_at" not in row


def test_a_window_that_simply_ends_is_told_once_when_its_last_group_is_over(store: Store) -> None:
    config.override(mall_webhook_url=HOOK)
    campaign = a_campaign(stock=10, ends_at=NOW + HOUR)
    open_paid_group(campaign, payers=3)
    failing = open_paid_group(campaign, now=NOW + HOUR - 1)

    looks(now=NOW + 24 * HOUR, every=HOUR)
    assert owed(store, "campaign.closed") == [], "a group is open still, and may give its units back"
    looks(since=NOW + 25 * HOUR, now=NOW + 26 * HOUR)
    looks(since=NOW + 3 * DAY, now=NOW + 3 * DAY + HOUR)

    assert reading.find(failing.group_id).state == "expired"
    told = {"campaign_id": campaign.campaign_id, "product_id": campaign.product["id"]}
    assert owed(store, "campaign.closed") == [{**told, "unused": {"sku": 7}}]
    close(campaign)
    looks(since=NOW + 4 * DAY, now=NOW + 4 * DAY + HOUR)
    assert len(owed(store, "campaign.closed")) == 1


def test_a_window_that_is_moved_ends_when_it_then_does_and_stays_once_the_mall_was_told(store: Store) -> None:
    config.override(mall_webhook_url=HOOK)
    campaign = a_campaign(ends_at=NOW + HOUR)
    edited(campaign, ends_at=NOW + DAY)

    looks(since=NOW + HOUR, now=NOW + 3 * HOUR)
    assert owed(store, "campaign.closed") == []
    edited(campaign, ends_at=NOW + 2 * HOUR, now=NOW + 3 * HOUR)
    looks(since=NOW + 3 * HOUR, now=NOW + 4 * HOUR)

    assert len(owed(store, "campaign.closed")) == 1
    with pytest.raises(Invalid) as refused:
        edited(campaign, ends_at=NOW + 2 * DAY, now=NOW + 4 * HOUR)
    assert refused.value.details["field"] == "ends_at"
    assert edited(campaign, title="Was tea", ends_at=NOW + 2 * HOUR, now=NOW + 4 * HOUR).title == "Was tea"


def test_with_no_mall_a_window_that_ended_may_be_opened_again(store: Store) -> None:
    campaign = a_campaign(ends_at=NOW + HOUR)
    looks(since=NOW + HOUR, now=NOW + 3 * HOUR)

    edited(campaign, ends_at=NOW + DAY, now=NOW + 4 * HOUR)

    assert opened(campaign, now=NOW + 5 * HOUR).new
    (row,) = books(store.client).of("groupbuy")
    assert row["due_at"] == NOW + DAY


@pytest.mark.parametrize("call", range(1, 7))
def test_a_look_that_broke_off_is_looked_again(call: int, store: Store) -> None:
    campaign = a_campaign()
    groups = [open_paid_group(campaign) for _ in range(2)]
    close(campaign)
    (row,) = books(store.client).of("groupbuy")
    entry = due.Entry(**{name: row.get(name, "") for name in due.Entry.__annotations__})

    with dying_at(call), pytest.raises(KeyboardInterrupt):
        closing.look(entry, NOW)
    works("close", now=NOW)
    works("expire", now=NOW)

    assert {reading.find(group.group_id).state for group in groups} == {"expired"}


def test_groups_that_end_in_the_same_minute_are_each_ended_once_by_the_workers_of_all_shards(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.override(due_shards=4)
    campaign = a_campaign(sizes={2: PRICE})
    groups = [open_paid_group(campaign, now=NOW + second) for second in range(16)]
    ended: dict[str, list[str]] = {}
    end = due._handlers["expire"]

    def watched(entry: due.Entry, now: int) -> None:
        ended.setdefault(entry.due_shard, []).append(entry.pk)
        end(entry, now)

    monkeypatch.setitem(due._handlers, "expire", watched)
    shared = {due.shard_of("expire", f"GROUP#{group.group_id}") for group in groups}

    assert works("expire", now=NOW + DAY + MINUTE) == 16

    assert set(ended) == shared
    assert sorted(pk for some in ended.values() for pk in some) == sorted(
        f"GROUP#{group.group_id}" for group in groups
    )
    assert {reading.find(group.group_id).state for group in groups} == {"expired"}
    assert len(books(store.client).of("refund")) == 16
