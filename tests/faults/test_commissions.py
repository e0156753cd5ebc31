"""Commissions when any storage call fails, or the process is killed after it: one of each, and no drift."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib.commissions import months, promoters, runs, service, settling
from chalicelib.core import cache, due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from tests.commissions import (
    LATER,
    LONG_AGO,
    a_friend_of,
    a_promoter,
    a_rate,
    alone,
    balance,
    bought,
    broken,
    completed,
    earned,
    line,
    paid,
    partly_refunded,
    settled,
    some_terms,
)
from tests.factories import NOW, OWNER, dying_at, emptied
from tests.harness.direct import Direct
from tests.harness.faults import each_fault


@pytest.fixture(autouse=True)
def client(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[Direct]:
    """What the app looks at; nothing of it is remembered."""
    alone(monkeypatch)
    yield direct
    cache.clear_all()


def planted_once(plant: Callable[[], Order]) -> Callable[[], Order]:
    """The world as ``plant`` makes it, made once and laid down anew for every case."""
    kept: list[tuple[Order, dict[str, Any]]] = []

    def setup() -> Order:
        if not kept:
            emptied()
            kept.append((plant(), {one.name: copy.deepcopy(one.items) for one in _tables()}))
        order, items = kept[0]
        emptied()
        for one in _tables():
            one.items.update(copy.deepcopy(items[one.name]))
        return order

    return setup


def _tables() -> list[Any]:
    return [
        table for by in dynamodb_backends.values() for one in by.values() for table in one.tables.values()
    ]


def an_order(*, of: Callable[[str], Order] | None = None) -> Order:
    """An order of Alice's friend, of two lines, that is paid and that nobody has followed yet."""
    some_terms(steps=[{"from_fen": 100, "bonus_bps": 100}], tiers=[{"name": "a"}, {"name": "b", "orders": 1}])
    a_rate(bps=1000)
    friend = a_friend_of(a_promoter())
    return of(friend) if of else paid(bought(friend, [line("1"), line("2", paid_fen=1000)]), told=False)


def a_due_one() -> Order:
    return completed(paid(an_order()))


def a_settled_one() -> Order:
    order = a_due_one()
    settled()
    return orders.show(order.order_id)


def promoter_of(order: Order) -> str:
    return str(service.of_order(order.order_id)[0].promoter_id)


def is_(state: str, fen: int, *, has: int = 0) -> Callable[[Order], None]:
    """It is this, once, and the promoter has so much."""

    def check(order: Order) -> None:
        assert earned(order) == [("L1", state, fen)]
        assert balance(promoter_of(order)) == has
        assert broken(table.client()) == []

    return check


def follow(order: Order) -> None:
    """A fact of the order comes."""
    service.follow(orders.show(order.order_id), cause="fact", now=LATER)


def a_reduced_one() -> Order:
    order = a_settled_one()
    return partly_refunded(order, l2=500, now=LATER, told=False)


def entries_due(job: str, now: int) -> list[due.Entry]:
    return list(due._due(f"{job}#0", now=now))


def settle(order: Order) -> None:
    """A worker has found it."""
    entries = entries_due(settling.JOB, LATER)
    if entries:
        settling.settle(entries, LATER)


@pytest.mark.parametrize(
    ("operation", "plant", "check"),
    [
        (follow, an_order, is_("pending", 1090)),
        (follow, lambda: completed(paid(an_order()), told=False), is_("due", 1090)),
        (settle, a_due_one, is_("settled", 1090, has=1090)),
        (follow, a_reduced_one, is_("settled", 1040, has=1040)),
    ],
    ids=["made", "completed", "settled", "clawed back"],
)
def test_each_step_happens_once(
    operation: Callable[[Order], None],
    plant: Callable[[], Order],
    check: Callable[[Order], None],
    client: Direct,
) -> None:
    each_fault(operation, client=client, setup=planted_once(plant), check=check)


def test_a_settlement_is_counted_once(client: Direct) -> None:
    def count(order: Order) -> None:
        for entry in entries_due(facts.JOB, LATER + DAY):
            if entry.due_ref == "settlement.posted":
                facts.run_owed(entry, LATER)

    def check(order: Order) -> None:
        who = promoter_of(order)
        counts, month = promoters.counts_of(who), months.find(who, "2026-01")
        assert (counts["orders"], counts["settled_fen"], promoters.show(who).tier) == (1, 1090, 2)
        assert month is not None
        assert (month.orders, month.base_fen, month.score) == (1, 10_900, 1090)
        assert runs.record(runs.day_of(LATER)).amount_fen == 1090

    def plant() -> Order:
        order = a_due_one()
        settle(order)
        return order

    each_fault(count, client=client, setup=planted_once(plant), check=check)


def test_a_month_s_bonus_is_paid_once(client: Direct) -> None:
    at = NOW + 40 * DAY

    def close(order: Order) -> None:
        for entry in entries_due(months.JOB, at):
            months.close(entry, at)

    each_fault(
        close,
        client=client,
        setup=planted_once(a_settled_one),
        check=is_("settled", 1090, has=1090 + 109),
    )


def test_a_decision_of_an_operator_is_made_once(client: Direct) -> None:
    def plant() -> Order:
        order = a_due_one()
        service.hold(service.of_order(order.order_id)[0].commission_id, reason="look", by=OWNER, now=NOW)
        return order

    def release(order: Order) -> None:
        service.release(service.id_of(order.order_id, "L1"), reason="fine", by=OWNER, now=LATER)

    def check(order: Order) -> None:
        is_("due", 1090)(order)
        assert [one.what for one in service.changes_of(service.of_order(order.order_id)[0])][-1] == "released"

    each_fault(release, client=client, setup=planted_once(plant), check=check)


def test_applying_makes_one_promoter(client: Direct) -> None:
    def apply(order: Order) -> None:
        promoters.apply(order.member_id, version=1, now=NOW)

    def check(order: Order) -> None:
        assert (promoters.show(order.member_id).state, promoters.show(order.member_id).agreed_at) == (
            "active",
            NOW,
        )

    each_fault(apply, client=client, setup=planted_once(an_order), check=check)


def test_a_settler_that_is_killed_after_any_call_is_followed_by_another(client: Direct) -> None:
    """Two promoters, three commissions: wherever the first dies, the next leaves each settled once."""
    friends: list[str] = []

    def plant() -> Order:
        some_terms()
        a_rate(bps=1000)
        friends[:] = [a_friend_of(a_promoter(now=LONG_AGO)) for _ in range(2)]
        return [completed(paid(bought(friend))) for friend in (*friends, friends[0])][-1]

    setup, at = planted_once(plant), 0
    while True:
        at += 1
        setup()
        try:
            with dying_at(at):
                due.run(job=settling.JOB, worker="first", now=LATER, seconds=30)
        except KeyboardInterrupt:
            due.run(job=settling.JOB, worker="second", now=LATER + due.LEASE_S, seconds=30)
        else:
            break
        owed = [promoter_of(order) for order in _orders_of(client)]
        assert sorted({who: balance(who) for who in owed}.values()) == [990, 1980], at
        assert broken(client) == []
    assert at > 2 * 3


def _orders_of(client: Direct) -> list[Order]:
    return [table.decode(item) for item in client.items() if item["kind"] == {"S": "order"}]
