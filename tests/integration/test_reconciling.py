"""Proving the books: what adds up is not spoken of, what does not is told with both numbers, nothing is mended."""

import math
import random
from collections import Counter
from typing import Any

import pytest

from chalicelib.commissions import books as commissions
from chalicelib.commissions import months, promoters, settling
from chalicelib.commissions.models import Counted, Earned, Promoter
from chalicelib.core import books as proofs
from chalicelib.core import cache, config, due, ledger, table
from chalicelib.core.books import Unsure
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.http import Listing
from chalicelib.core.ledger import Account
from chalicelib.coupons import packs, using
from chalicelib.coupons import service as coupons
from chalicelib.coupons.models import Stock as CouponStock
from chalicelib.groupbuys import ending
from chalicelib.groupbuys import holding as group_holds
from chalicelib.groupbuys.models import Group, Stock
from chalicelib.points import exchanges
from chalicelib.points.models import ExchangeStock
from chalicelib.reconciling import admin, service
from chalicelib.reconciling.schemas import DriftAnswer, PassAnswer
from chalicelib.rewards.models import Purse
from infra.local.clients import Store
from tests.commissions import (
    LATER,
    a_friend_of,
    a_promoter,
    a_rate,
    bought,
    commission,
    completed,
    happens,
    line,
    paid,
    partly_refunded,
    refunded,
    settled,
    some_terms,
)
from tests.coupons import a_pack, a_plan, a_template, claim
from tests.factories import NOW, OWNER, a_call, caught_up, dying_at, reacted
from tests.groupbuys import a_buyer, a_campaign, buying, open_paid_group, opened, take
from tests.harness.counter import counting
from tests.harness.hostile import Hostile
from tests.harness.rows import rows
from tests.points import ALICE, an_exchange, earn, freeze
from tests.rewards import a_rule

pytestmark = pytest.mark.usefixtures("direct")
CALL = a_call(operator=OWNER, now=NOW + DAY)


def night(*, now: int = NOW + HOUR, worker: str = "w") -> None:
    """The passes that are due are made to their ends."""
    cache.clear_all()
    service.plan(now=now)
    for _ in range(300):
        if not due.run(job=service.JOB, worker=worker, now=now, seconds=60).handled:
            return
    raise AssertionError("the pass does not come to its end")


def drifts() -> dict[str, tuple[dict[str, int], dict[str, int]]]:
    """What operators are told does not add up, by book and subject: what it says and what it should."""
    items: list[DriftAnswer] = admin.list_drifts(CALL, Listing(limit=100)).items
    return {f"{one.book} {one.subject}": (one.says, one.adds_up) for one in items}


def passes() -> list[PassAnswer]:
    return admin.list_passes(CALL, Listing(limit=100)).items


def bent(kind: type[table.Row], key: table.Key, *actions: Any) -> None:
    """A row is changed as no code changes it."""
    table.apply(table.update(kind, key, *actions, refuse=KeyError))


def a_shop() -> dict[str, Any]:
    """A little of everything that is counted, in every state that counts otherwise."""
    for campaign in (a_campaign(stock=50, shards=2), a_campaign(reserve="seat", stock=9, shards=2)):
        open_paid_group(campaign, payers=3)
        held = open_paid_group(campaign, payers=1)
        take(held)
        ending.let_go(group_holds.held_by(opened(campaign, buying(a_buyer())).order), now=NOW)
        opened(campaign, buying(a_buyer()))
    template, own = a_template(stock=20, stock_shards=2), a_template(stock=None)
    coupon = claim(template, a_buyer())
    packs.take(a_pack(a_plan(template, own=own)).pack_id, a_buyer(), now=NOW + 1)
    over = a_pack(a_plan(template, own=own))
    due.run(job=packs.JOB, worker="w", now=over.ends_at, seconds=9)
    table.transact(coupons.granted(template.template_id, coupon.member_id, cause="g", now=NOW))
    table.transact(using.taken_back(template.template_id, coupon.member_id, cause="g", now=NOW))
    using.void(coupon.member_id, coupon.coupon_id, reason="x", by=OWNER, now=NOW)
    rule = a_rule(on="member.registered", to="actor")
    buyer = a_buyer()
    reacted(table.client(), now=NOW)
    exchange = an_exchange(stock_shards=2)
    earn(900)
    exchanges.exchange(exchange.exchange_id, member_id=ALICE, idempotency_key=None, now=NOW)
    freeze(5)
    return {"group": held, "template": template, "rule": rule, "exchange": exchange, "buyer": buyer}


def everything_bent(shop: dict[str, Any], store: Store) -> set[str]:
    """One number of every book is changed; what is to be told."""
    campaign_id, template = shop["group"].campaign_id, shop["template"]
    bent(Account, Account.key(ALICE, "points"), Account.balance.add(7))
    bent(Group, Group.key(shop["group"].group_id), Group.free.add(-1))
    sku = next(row["sku_id"] for row in rows(store.client, "truth", kind="groupbuy_stock"))
    bent(Stock, Stock.key(campaign_id, sku, 0), Stock.left.add(1))
    bent(CouponStock, CouponStock.key(template.template_id, 0), CouponStock.issued.add(2))
    bent(Purse, Purse.key(shop["rule"].rule_id, 0), Purse.given.add(1))
    bent(ExchangeStock, ExchangeStock.key(shop["exchange"].exchange_id, 1), ExchangeStock.left.add(-3))
    return {
        f"accounts {ALICE}#points",
        f"groups {shop['group'].group_id}",
        f"groupbuy_stock {campaign_id}#{sku}#0",
        f"coupon_stock {template.template_id}",
        f"reward_purses {shop['rule'].rule_id}#0",
        f"exchange_stock {shop['exchange'].exchange_id}",
    }


def test_what_is_right_is_not_spoken_of_and_what_is_bent_is_told_and_stays_as_it_is(store: Store) -> None:
    shop = a_shop()

    night()

    assert drifts() == {}
    day, month = passes()
    assert (day.name, month.name) == ("2026-01-01#day", "2026-01#month")
    assert (day.state, month.state, day.drifts, month.drifts) == ("done", "done", 0, 0)
    # Eight shards of stock, a shard for each of two templates or exchanges, the rule's purse.
    assert month.proved > day.proved > 0 and month.unjudged == 0
    assert month.looked >= len(rows(store.client, "truth")) - 9

    wrong = everything_bent(shop, store)
    before = ledger.drift(owner=ALICE, book="points")

    for now in (NOW + 32 * DAY, NOW + 32 * DAY + HOUR):
        night(now=now)

    told = drifts()
    assert set(told) == wrong
    says, adds_up = told[f"accounts {ALICE}#points"]
    assert (says["balance"] - adds_up["balance"], says["frozen"], adds_up["frozen"]) == (7, 5, 5)
    says, adds_up = told[f"coupon_stock {shop['template'].template_id}"]
    assert (says["issued"] - adds_up["issued"], says["taken"]) == (2, adds_up["taken"])
    assert told[f"exchange_stock {shop['exchange'].exchange_id}"] == ({"taken": 4}, {"taken": 1})
    assert ledger.drift(owner=ALICE, book="points") == before, "nothing is mended"
    assert [one.drifts for one in passes()] == [2, 6, 0, 0], (
        "that of the day looks again at the two in a partition"
    )


def test_the_next_day_proves_what_moved_since_and_says_when_it_was_seen_again() -> None:
    earn(10)
    bent(Account, Account.key(ALICE, "points"), Account.balance.add(1))
    night()
    earn(5, now=NOW + DAY, owner="mbr_other")
    night(now=NOW + DAY + HOUR)
    earn(5, now=NOW + 2 * DAY)
    night(now=NOW + 2 * DAY + HOUR)

    (one,) = admin.list_drifts(CALL, Listing()).items
    assert (one.seen_in, one.first_seen_at, one.seen_at) == (
        "2026-01-03#day",
        NOW + HOUR,
        NOW + 2 * DAY + HOUR,
    )
    assert [done.proved for done in passes()] == [2, 2, 1, 1], "who moved since half past two the day before"
    assert one.times == 4


def open_and_gone() -> dict[str, int | None]:
    """Since when each that did not add up is gone; None: it is open."""
    return {
        f"{one.book} {one.subject}": one.gone_at for one in admin.list_drifts(CALL, Listing(limit=100)).items
    }


def test_what_adds_up_again_at_the_next_pass_is_marked_gone_and_what_breaks_again_is_open_again() -> None:
    earn(10)
    bent(Account, Account.key(ALICE, "points"), Account.balance.add(1))
    template = a_template(stock=9)
    bent(CouponStock, CouponStock.key(template.template_id, 0), CouponStock.issued.add(2))
    night()
    account, stock = f"accounts {ALICE}#points", f"coupon_stock {template.template_id}"
    assert open_and_gone() == {account: None, stock: None}

    bent(Account, Account.key(ALICE, "points"), Account.balance.add(-1))
    bent(CouponStock, CouponStock.key(template.template_id, 0), CouponStock.issued.add(-2))
    night(now=NOW + 3 * DAY)  # nothing has moved for days: it is looked at because it is open
    assert open_and_gone() == {account: NOW + 3 * DAY, stock: None}, "a stock is proved by the month's pass"
    night(now=NOW + 32 * DAY)
    assert open_and_gone() == {account: NOW + 3 * DAY, stock: NOW + 32 * DAY}

    bent(Account, Account.key(ALICE, "points"), Account.balance.add(1))
    night(now=NOW + 33 * DAY)
    assert open_and_gone()[account] == NOW + 3 * DAY, "no pass has met it"
    earn(5, now=NOW + 34 * DAY)
    night(now=NOW + 34 * DAY + HOUR)
    (again, _) = admin.list_drifts(CALL, Listing()).items
    assert (again.subject, again.gone_at, again.gone_in) == (f"{ALICE}#points", None, None)
    assert (again.first_seen_at, again.times) == (NOW + HOUR, 3)


def test_an_account_that_keeps_moving_is_neither_wrong_nor_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    earn(10)
    bent(Account, Account.key(ALICE, "points"), Account.balance.add(1))
    night()

    def moving(**_: str) -> ledger.Drift:
        raise Unsure

    monkeypatch.setattr(ledger, "drift", moving)
    night(now=NOW + DAY)

    assert list(open_and_gone().values()) == [None]
    (day, *_) = passes()
    assert (day.name, day.proved, day.drifts, day.unjudged) == ("2026-01-02#day", 0, 0, 1)


# --- slices and their ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [{"PROOFS": 1}, {"SLICE_S": 0.0}, {"PROOFS": 2, "OPEN_A_PAGE": 1}])
def test_a_slice_ends_within_a_page_and_each_number_is_counted_once_in_a_pass(
    bound: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bound.items():
        monkeypatch.setattr(service, name, value)
    people = [f"mbr_{n}" for n in range(5)]
    for who in people:
        earn(10, owner=who)
    wrong = people[1:4]
    for who in wrong:
        bent(Account, Account.key(who, "points"), Account.balance.add(1))
    night()
    assert [(one.looked >= 5, one.proved, one.drifts) for one in passes()] == [(True, 5, 3)] * 2
    assert min(row["slices"] for row in rows(table.client(), "truth", kind="reconciling_pass")) > 3

    bent(Account, Account.key(wrong[0], "points"), Account.balance.add(-1))
    for who in people:
        earn(1, owner=who, now=NOW + DAY)
    night(now=NOW + DAY + HOUR)

    day = passes()[0]
    assert (day.proved, day.drifts) == (5, 2), "what was open is looked at again first, and then no more"
    gone = [one.subject for one in admin.list_drifts(CALL, Listing()).items if one.gone_at is not None]
    assert gone == [f"{wrong[0]}#points"]


def test_an_account_that_is_too_large_is_said_to_be_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proofs, "ROWS_AT_MOST", 4)
    for n in range(4):
        earn(1, now=NOW + n)
    earn(5, owner="mbr_other")
    bent(Account, Account.key(ALICE, "points"), Account.balance.add(1))
    bent(Account, Account.key("mbr_other", "points"), Account.balance.add(1))

    night()

    assert list(drifts()) == ["accounts mbr_other#points"]
    assert {(one.state, one.proved, one.too_large, one.unjudged) for one in passes()} == {("done", 1, 1, 0)}


def test_a_promoter_with_too_many_commissions_is_said_to_be_too_large(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_promoter_s_month(store)
    assert len(commissions._commissions(alice)) == 3
    monkeypatch.setattr(commissions, "PAGE", 1)
    monkeypatch.setattr(proofs, "ROWS_AT_MOST", 1)

    with counting(table.client()) as spent, pytest.raises(proofs.TooLarge):
        commissions._commissions(alice)
    with pytest.raises(proofs.TooLarge):
        commissions.prove_counts(Promoter.key(alice)[0], LATER + DAY)

    assert spent.operations["Query"] == 2, "not more than says that there are more"


def test_a_pass_that_is_killed_in_every_slice_lets_the_others_come_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    earn(10)
    cache.clear_all()
    service.plan(now=NOW + HOUR)
    real = service._work

    def killed(row: Any, *, now: int) -> None:
        if row.full:
            raise KeyboardInterrupt
        real(row, now=now)

    monkeypatch.setattr(service, "_work", killed)
    for minute in range(service.TRIES + 1):
        with pytest.raises(KeyboardInterrupt):
            due.run(job=service.JOB, worker="w", now=NOW + HOUR + minute * 60, seconds=60)

    assert {one.name: one.state for one in passes()} == {
        "2026-01-01#day": "done",
        "2026-01#month": "looking_again",
    }
    monkeypatch.setattr(service, "_work", real)
    night(now=NOW + 2 * HOUR)
    assert [one.state for one in passes()] == ["done", "done"]


# --- promoters ----------------------------------------------------------------------------------------------


def a_promoter_s_month(store: Store) -> str:
    """Friends, orders that were settled and one that was taken back in part, and what the promoter bought."""
    some_terms(earned_by_spend_fen=10**6, steps=[{"from_fen": 100, "bonus_bps": 100}])
    a_rate(bps=1000)
    alice = a_promoter()
    friends = [a_friend_of(alice) for _ in range(2)]
    lines = [line("1"), line("2", paid_fen=1000)]
    made = [completed(paid(bought(friend, lines))) for friend in (*friends, alice)]
    made.append(completed(paid(bought(friends[0]))))
    settled()
    partly_refunded(made[0], l2=500, now=LATER)
    refunded(made[-1], now=LATER)
    reacted(store.client, now=LATER)
    assert promoters.counts_of(alice) == {
        "invitees": 2,
        "orders": 2,
        "settled_fen": 1040 + 1090,
        "spend_fen": 10_900,
    }
    return alice


def test_what_is_counted_for_promoters_and_their_months_is_proved(store: Store) -> None:
    alice = a_promoter_s_month(store)

    night(now=LATER + HOUR)
    assert (drifts(), {one.drifts for one in passes()}, {one.unjudged for one in passes()}) == ({}, {0}, {0})

    counted = rows(store.client, "truth", kind="promoter_counts", pk=Promoter.key(alice)[0])[0]
    bent(Counted, (counted["pk"], counted["sk"]), Counted.invitees.add(1), Counted.spend_fen.add(-5))
    bent(Earned, Earned.key(alice, "2026-01"), Earned.score.add(7), Earned.base_fen.add(90))
    due.run(job=months.JOB, worker="w", now=LATER + 31 * DAY, seconds=30)
    bent(Earned, Earned.key(alice, "2026-01"), Earned.bonus_fen.add(1))
    night(now=LATER + 32 * DAY)

    told = drifts()
    says, adds_up = told[f"promoter_counts {alice}"]
    assert {name: fen - adds_up[name] for name, fen in says.items() if fen != adds_up[name]} == {
        "invitees": 1,
        "spend_fen": -5,
        "base_fen": 90,
    }
    says, adds_up = told[f"promoter_months {alice}#money"]
    assert (says["settled_fen"] - adds_up["settled_fen"], says["orders"]) == (7, adds_up["orders"])
    assert says["bonus_fen"] - 1 == adds_up["bonus_fen"] == (10_400 + 10_900 + 90) // 100
    assert len(told) == 2


def test_what_is_settled_and_not_counted_yet_is_not_judged(store: Store) -> None:
    some_terms()
    a_rate(bps=1000)
    friend = a_friend_of(a_promoter())
    completed(paid(bought(friend)))
    settled()
    completed(paid(bought(friend, now=LATER), now=LATER), now=LATER)
    now = LATER + 8 * DAY
    due.run(job=settling.JOB, worker="w", now=now, seconds=30)

    night(now=now + HOUR)
    assert drifts() == {}
    assert [one.unjudged for one in passes()] == [1, 2], "the months; by the month's pass the counts too"

    caught_up(now=now)
    night(now=now + 32 * DAY)
    assert (drifts(), passes()[1].unjudged) == ({}, 0)


def test_a_commission_that_the_index_does_not_know_yet_is_no_drift() -> None:
    some_terms()
    a_rate(bps=1000)
    alice = a_promoter()
    order = bought(a_friend_of(alice))
    pk, now = Promoter.key(alice)[0], LATER

    with Hostile(table.client(), dice=random.Random(1), index_delay=math.inf):
        completed(paid(order))
        row = commission(order)
        due_now = {name: getattr(row, name) for name in due.Entry.__annotations__}
        settling.settle([due.Entry(**due_now)], now)
        entry = ledger.find(owner=alice, book="money", cause=str(commission(order).settled_cause))
        assert entry is not None
        happens("settlement.posted", entry, now=now)
        assert promoters.counts_of(alice)["orders"] == 1

        with pytest.raises(Unsure):
            commissions.prove_counts(pk, now + HOUR - 1)
        differs = commissions.prove_counts(pk, now + HOUR)
        assert differs is not None and differs.adds_up["orders"] == 0, (
            "an index that lags for an hour is broken"
        )

    assert commissions.prove_counts(pk, now) is None


def test_counters_that_move_while_a_pass_goes_on_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "PAGE", 1)
    monkeypatch.setattr(service, "PAGES", 1)
    template, other = a_template(stock=9), a_template(stock=9)
    claim(other, a_buyer())
    cache.clear_all()
    service.plan(now=NOW + HOUR)
    month = next(row for row in rows(table.client(), "truth", kind="reconciling_pass") if row["full"])
    entry = due.Entry(**{name: month.get(name, "") for name in due.Entry.__annotations__})

    service.go_on(entry, NOW + HOUR)
    claim(template, a_buyer())
    night()

    assert drifts() == {}
    assert [one.unjudged for one in passes() if one.name.endswith("month")] == [1]


@pytest.mark.parametrize("call", (2, 4, 5, 7, 9, 12))
def test_a_pass_that_dies_goes_on_where_it_was_and_counts_nothing_twice(
    call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAGE", 5)
    monkeypatch.setattr(service, "PAGES", 2)
    template = a_template(stock=9)
    for _ in range(3):
        claim(template, a_buyer())
    bent(CouponStock, CouponStock.key(template.template_id, 0), CouponStock.issued.add(2))
    cache.clear_all()
    service.plan(now=NOW + HOUR)

    for _ in range(2):
        with dying_at(call), pytest.raises(KeyboardInterrupt):
            due.run(job=service.JOB, worker="w", now=NOW + HOUR, seconds=60)
    night()

    (both,) = drifts().values()
    assert both == ({"issued": 5, "taken": 3}, {"issued": 3, "taken": 3})
    assert [one.drifts for one in passes()] == [0, 1]


def test_two_workers_of_one_slice_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "PAGE", 3)
    template = a_template(stock=9)
    for _ in range(4):
        claim(template, a_buyer())
    cache.clear_all()
    service.plan(now=NOW + HOUR)
    month = next(row for row in rows(table.client(), "truth", kind="reconciling_pass") if row["full"])
    entry = due.Entry(**{name: month.get(name, "") for name in due.Entry.__annotations__})
    real = service._walk

    def overtaken(it: Any) -> None:
        monkeypatch.setattr(service, "_walk", real)
        service.go_on(entry, NOW + HOUR)
        real(it)

    monkeypatch.setattr(service, "_walk", overtaken)
    service.go_on(entry, NOW + HOUR)
    night()

    assert (drifts(), [one.drifts for one in passes()]) == ({}, [0, 0])


def test_a_night_costs_a_read_of_the_table_and_a_few_writes_and_plans_once() -> None:
    earn(10)
    cache.clear_all()
    service.plan(now=NOW + HOUR)

    with counting(table.client()) as again:
        service.plan(now=NOW + HOUR)
    with counting(table.client()) as spent:
        due.run(job=service.JOB, worker="w", now=NOW + HOUR, seconds=60)

    assert again.operations == {}
    # The index and the table, a proof in each pass, the tallies' own lists before and after.
    assert spent.operations["Scan"] == 2
    assert spent.operations["TransactWriteItems"] == 2
    assert config.settings().due_shards and Counter(spent.operations)["PutItem"] == 0
