"""Commissions at once: one for an order and a level, settled once, and what goes back meanwhile is taken back (M1).

`broken` holds every commission against its lines, and every promoter's money against what is settled.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from chalicelib.commissions import service, settling
from chalicelib.commissions.models import Commission
from chalicelib.core import due, ledger
from chalicelib.core.table import Write
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from tests.commissions import (
    LATER,
    a_friend_of,
    a_promoter,
    a_rate,
    alone,
    balance,
    bought,
    broken,
    commission,
    completed,
    earned,
    line,
    paid,
    partly_refunded,
    refunded,
    some_terms,
)
from tests.factories import OWNER, a_word
from tests.races.arena import ROUGH, STORM, TRUTH, Arena, careless, rounds

pytestmark = pytest.mark.engine


@pytest.fixture
def alice(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> str:
    """A promoter who earns a tenth."""
    alone(monkeypatch)
    some_terms()
    a_rate(bps=1000)
    return a_promoter()


def due_orders(promoter_id: str, count: int) -> list[Order]:
    """So many orders whose commissions are due."""
    friend = a_friend_of(promoter_id)
    lines = [line("1"), line("2", paid_fen=1000)]
    return [completed(paid(bought(friend, lines))) for _ in range(count)]


def settler() -> Callable[[], None]:
    """A worker who has found what is due, whoever has the lease."""
    entries = list(due._due(f"{settling.JOB}#0", now=LATER))

    def work() -> None:
        for promoter_id in sorted({entry.due_ref for entry in entries}):
            settling.settle([entry for entry in entries if entry.due_ref == promoter_id], LATER)

    return work


def following(order: Order, *, now: int = LATER) -> Callable[[], None]:
    """A fact of the order comes."""
    return lambda: service.follow(orders.show(order.order_id), cause="fact", now=now)


def unconditional(write: Write) -> Write:
    """Commissions and entries are written whatever is there."""
    return replace(write, when=None) if isinstance(write.row, Commission | ledger.Entry) else write


def test_the_harness_sees_a_promoter_paid_twice_when_no_condition_holds(
    arena: Arena, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_orders(alice, 1)
    work = settler()
    careless(monkeypatch, unconditional)

    arena.collide(work, work).expect(won=2)

    assert broken(arena.client, TRUTH) != []


@rounds(STORM)
def test_many_settlers_at_once_settle_each_commission_once(arena: Arena, alice: str) -> None:
    mine = due_orders(alice, 2)
    bob = a_promoter()
    due_orders(bob, 1)

    arena.race(*[settler() for _ in range(4)]).expect(won=4)

    assert (balance(alice), balance(bob)) == (2 * 1090, 1090)
    assert {earned(order)[0][1] for order in mine} == {"settled"}
    assert broken(arena.client, TRUTH) == []


@rounds(STORM)
def test_settling_against_refunds_and_facts_leaves_what_is_left_of_the_orders(
    arena: Arena, alice: str
) -> None:
    first, second, third = due_orders(alice, 3)
    settlers = [settler() for _ in range(2)]
    refunds = [
        lambda: partly_refunded(first, l2=1000, now=LATER, told=False),
        lambda: refunded(second, now=LATER, told=False),
        lambda: partly_refunded(third, l1=4950, now=LATER, told=False),
    ]

    arena.race(*settlers, *refunds, *[following(one) for one in (first, second, third)])
    for order in (first, second, third):
        following(order)()
    settler()()

    # Told "busy", the mall may have given a part back a second time: the orders say what is left.
    left = [one for order in (first, third) for one in orders.lines_of(orders.show(order.order_id))]
    assert balance(alice) == sum(one.net_fen // 10 for one in left)
    assert broken(arena.client, TRUTH) == []


@rounds(ROUGH)
def test_one_order_told_of_many_times_at_once_is_one_commission(arena: Arena, alice: str) -> None:
    order = paid(bought(a_friend_of(alice)), told=False)

    arena.race(*[following(order)] * 8).expect(won=8)

    assert earned(order) == [("L1", "pending", 990)]
    assert [change.what for change in service.changes_of(commission(order))] == ["made"]


@rounds(STORM)
def test_an_operator_s_hold_and_the_settler_agree(arena: Arena, alice: str) -> None:
    held = due_orders(alice, 2)

    def holding(order: Order) -> Callable[[], None]:
        def hold() -> None:
            with suppress(service.CommissionMoved):
                commission_id = service.id_of(order.order_id, "L1")
                service.hold(commission_id, reason=a_word(), by=OWNER, now=LATER)

        return hold

    arena.race(*[settler() for _ in range(3)], *map(holding, held))

    states = [earned(order)[0][1] for order in held]
    assert set(states) <= {"held", "settled"}
    assert balance(alice) == 1090 * states.count("settled")
    assert broken(arena.client, TRUTH) == []
