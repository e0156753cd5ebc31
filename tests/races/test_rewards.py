"""Rewards at once: one grant for a rule, an occurrence and a member; no limit and no purse overrun.

`broken` counts grants, purses, limits, lists and the ledger against each other, past every layer.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core import facts, table
from chalicelib.core.facts import Fact
from chalicelib.core.table import Row, Write
from chalicelib.members import service as members
from chalicelib.members.models import Member
from chalicelib.orders.models import Order
from chalicelib.rewards import granting, service
from chalicelib.rewards.models import Day as DayRow
from chalicelib.rewards.models import Grant, Progress, Purse
from tests.factories import NOW, PROGRAM, a_link, a_member, a_word, alone
from tests.races.arena import CROWD, FAIR, ROUGH, STORM, TRUTH, Arena, careless, overtaken, rounds
from tests.rewards import a_rule, an_order, broken, got, missed, points, refunded

pytestmark = pytest.mark.engine
TIERS: list[dict[str, Any]] = [{"at": at, "give": [{"kind": "points", "amount": at}]} for at in (1, 3, 10)]


@pytest.fixture(autouse=True)
def only_rewards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls meet before they write, they meet at this room's writes."""
    alone(monkeypatch, "rewards")


def friends(sharer_id: str, count: int) -> list[Callable[[], None]]:
    """So many friends who have registered by one link, and the facts of it to be reacted to."""
    rows = registered(sharer_id, count)
    service.current(now=NOW)
    return [happening("member.registered", row) for row in rows]


def registered(sharer_id: str, count: int) -> list[Member]:
    """So many who have registered by one link."""
    link = a_link(sharer_id=sharer_id)
    members.profile(sharer_id, now=NOW)
    rows = [_member(link.code) for _ in range(count)]
    for at in range(0, count, 50):
        table.transact([table.create(row) for row in rows[at : at + 50]])
    return rows


def _member(link: str) -> Member:
    member_id = a_word("mbr_")
    told: dict[str, Any] = {
        "program_id": PROGRAM,
        "registered_at": NOW,
        "identities": {f"openid#{member_id}"},
    }
    return Member(*Member.key(member_id), state="active", member_id=member_id, came_link=link, **told)


def happening(name: str, row: Row) -> Callable[[], None]:
    """A reader who is brought this fact."""
    fact = Fact(name=name, pk=row.pk, sk=row.sk, rev=row.rev, owed=False)
    return lambda: facts.dispatch(fact, now=NOW)


def without(*kinds: type[Row], operation: str = "Update") -> Callable[[Write], Write]:
    """These rows are written whatever is there."""

    def change(write: Write) -> Write:
        mine = isinstance(write.row, kinds) and write.operation == operation
        return replace(write, when=None) if mine else write

    return change


# --- one grant ----------------------------------------------------------------------------------------------


@rounds(STORM)
def test_one_fact_brought_twenty_times_at_once_is_one_grant(arena: Arena) -> None:
    alice = a_member()
    a_rule(limits={"per_member": 9, "per_day": 9, "total": 9})
    [fact] = friends(alice, 1)

    arena.race(*[fact] * 20).expect(won=20)

    assert got(alice) == [("given", 10)]
    assert broken(arena.client, TRUTH) == []


def test_a_grant_without_its_condition_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = a_member()
    a_rule(limits={"per_member": 9})
    [fact] = friends(alice, 1)
    careless(monkeypatch, _granted_whatever_is_there)

    for _ in range(3):
        fact()

    assert broken(arena.client, TRUTH) != []


def _granted_whatever_is_there(write: Write) -> Write:
    """Neither the grant's key nor what hangs on it is asked for."""
    return replace(write, when=None) if write.operation == "Put" else write


# --- purses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 4])
@rounds(ROUGH)
def test_a_purse_gives_all_it_has_and_no_more(arena: Arena, shards: int) -> None:
    rule = a_rule(limits={"total": 20, "shards": shards})
    sharers = [a_member() for _ in range(8)]
    brought = [fact for sharer in sharers for fact in friends(sharer, CROWD // 8)]

    arena.race(*brought).expect(won=CROWD)

    outcomes = [state for sharer in sharers for state, _ in got(sharer)]
    assert (outcomes.count("given"), outcomes.count("missed")) == (20, CROWD - 20)
    assert {why for sharer in sharers for why in missed(sharer)} == {"budget"}
    assert [row.left for row in service.purse(rule.rule_id, shards=shards)] == [0] * shards
    assert broken(arena.client, TRUTH) == []


def test_a_purse_without_its_condition_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    a_rule(limits={"total": 2})
    brought = friends(a_member(), 8)
    careless(monkeypatch, without(Purse))

    arena.collide(*brought)

    assert any("left of 2" in line for line in broken(arena.client, TRUTH))


# --- limits of a member -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limits", "given"), [({"per_member": 5}, 5), ({"per_day": 3, "per_member": 5}, 3)])
@rounds(ROUGH)
def test_limits_of_a_member_are_kept_and_reached(arena: Arena, limits: dict[str, int], given: int) -> None:
    alice = a_member()
    a_rule(limits=limits)
    brought = friends(alice, 24)

    arena.race(*brought).expect(won=24)

    states = [state for state, _ in got(alice)]
    assert (states.count("given"), states.count("missed"), points(alice)) == (given, 24 - given, 10 * given)
    assert broken(arena.client, TRUTH) == []


@pytest.mark.parametrize("limit", ["per_member", "per_day"])
def test_a_limit_without_its_condition_is_noticed(
    arena: Arena, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_rule(limits={limit: 2})
    brought = friends(a_member(), 6)
    careless(monkeypatch, without(Progress, DayRow))

    arena.collide(*brought)

    assert any("2 allowed" in line for line in broken(arena.client, TRUTH))


# --- tiers --------------------------------------------------------------------------------------------------


@rounds(FAIR, STORM)
def test_each_tier_is_given_once_however_many_come_at_once(arena: Arena) -> None:
    alice = a_member()
    a_rule(tiers=TIERS)
    brought = friends(alice, 12)

    arena.race(*brought, *brought).expect(won=24)

    assert sorted(amount for _, amount in got(alice)) == [1, 3, 10]
    assert broken(arena.client, TRUTH) == []


def test_a_tier_counted_without_a_look_at_the_count_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_member()
    a_rule(tiers=TIERS)
    first, second, third = friends(alice, 3)
    first()
    careless(monkeypatch, without(Progress))

    with overtaken(arena.client, "TransactWriteItems", by=third):
        second()

    assert [amount for _, amount in got(alice)] == [1], "somebody saw that the third had come"


# --- refunds ------------------------------------------------------------------------------------------------


def _orders(count: int) -> list[Order]:
    link = a_link(sharer_id=a_member()).code
    return [an_order(a_member(), link=link) for _ in range(count)]


@rounds(STORM)
def test_what_an_order_earned_while_it_was_refunded_is_taken_back(arena: Arena) -> None:
    rule = a_rule(on="order.paid", to="both", limits={"total": 50, "per_member": 50})
    made = _orders(4)

    def given_back(order: Order) -> None:
        over = order if order.state == "refunded" else _refund_once(order)
        happening("order.refunded", over)()

    grants = [happening("order.paid", order) for order in made for _ in range(6)]
    refunds = [lambda order=order: given_back(order) for order in made for _ in range(4)]
    arena.race(*grants, *refunds).expect(won=40)

    assert all(row["state"] == "taken_back" for row in arena.rows("reward_grant"))
    assert sum(row.left for row in service.purse(rule.rule_id, shards=1)) == 50
    assert broken(arena.client, TRUTH) == []


def _refund_once(order: Order) -> Order:
    from chalicelib.orders import service as orders

    try:
        return refunded(order)
    except AssertionError:
        return orders.show(order.order_id)


def grant_overtaken_by_a_refund() -> Order:
    """Between a grant's read and its write the order is refunded, and that is reacted to."""
    a_rule(on="order.paid", to="actor")
    [order] = _orders(1)
    service.current(now=NOW)

    def meanwhile() -> None:
        happening("order.refunded", refunded(order))()

    with overtaken(table.client(), "TransactWriteItems", by=meanwhile), suppress(facts._Stale):
        granting._react("order.paid", order, NOW)
    return order


def test_a_grant_that_a_refund_overtook_is_not_given(arena: Arena) -> None:
    order = grant_overtaken_by_a_refund()

    assert got(order.member_id) == []


def test_a_grant_that_does_not_ask_whether_the_order_is_as_it_was_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        facts,
        "unchanged",
        lambda row: table.check(Order, (row.pk, row.sk), when=Order.pk.exists(), refuse=AssertionError),
    )

    order = grant_overtaken_by_a_refund()

    assert got(order.member_id) == [("given", 10)], "the reward of an order that is gone"


def test_a_take_back_without_its_condition_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    a_rule(on="order.paid", to="actor", give=[{"kind": "points", "amount": 10}])
    [order] = _orders(1)
    happening("order.paid", order)()
    over = refunded(order)
    careless(monkeypatch, _whatever_is_there)

    arena.collide(*[happening("order.refunded", over)] * 4)

    assert broken(arena.client, TRUTH) != []


def _whatever_is_there(write: Write) -> Write:
    mine = isinstance(write.row, Grant) or write.row.sk.startswith("ENTRY#")
    return replace(write, when=None) if mine else write
