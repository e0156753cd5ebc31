"""Rewards when any storage call fails or the reader is killed: each grant and each take-back happens once."""

from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.core import facts, table
from chalicelib.core.facts import Fact
from chalicelib.core.table import Row
from chalicelib.members import service as members
from chalicelib.members.models import Member
from chalicelib.rewards import service
from infra.local.clients import Store
from tests.factories import NOW, a_link, a_member, books, emptied
from tests.harness.faults import each_fault
from tests.rewards import (
    VOUCHER,
    a_few_vouchers,
    a_rule,
    an_order,
    broken,
    comes,
    making,
    missed,
    points,
    refunded,
    terms,
)

pytestmark = [pytest.mark.alone("rewards"), pytest.mark.usefixtures("direct")]

TIERS: list[dict[str, Any]] = [{"at": 1, "give": [{"kind": "points", "amount": 5}]}]


@dataclass
class World:
    """Who earns by what, and the fact of it."""

    alice: str
    fact: Fact
    rule_id: str = ""


def told(row: Row, name: str) -> Fact:
    return Fact(name=name, pk=row.pk, sk=row.sk, rev=row.rev, owed=False)


def a_friend_by(**rule: Any) -> World:
    """A friend of Alice's has registered, and a rule gives for it."""
    emptied()
    alice = a_member()
    made = a_rule(**rule)
    row = table.get(Member, Member.key(comes(a_link(sharer_id=alice))))
    assert row is not None
    members.profile(alice, now=NOW)
    return World(alice=alice, fact=told(row, "member.registered"), rule_id=made.rule_id)


def a_tier_that_falls() -> World:
    """The only order towards a tier, which counted towards every limit, was given back."""
    emptied()
    buyer = a_member()
    made = a_rule(on="order.paid", to="actor", tiers=TIERS, limits={"per_day": 2, "total": 2})
    order = an_order(buyer)
    facts.dispatch(told(order, "order.paid"), now=NOW)
    assert points(buyer) == 5
    return World(alice=buyer, fact=told(refunded(order), "order.refunded"), rule_id=made.rule_id)


def brought(world: World) -> None:
    facts.dispatch(world.fact, now=NOW)


def test_a_grant_happens_once_and_whole(store: Store) -> None:
    limits = {"per_member": 2, "per_day": 2, "total": 2}

    def check(world: World) -> None:
        assert points(world.alice) == 10
        assert broken(store.client) == []

    each_fault(brought, client=table.client(), setup=lambda: a_friend_by(limits=limits), check=check)


def test_a_take_back_happens_once_and_whole(store: Store) -> None:
    def check(world: World) -> None:
        assert points(world.alice) == 0
        assert not books(store.client).of("reward_grant", state="given")
        assert broken(store.client) == []

    each_fault(brought, client=table.client(), setup=a_tier_that_falls, check=check)


def test_what_is_missed_is_missed_once(store: Store) -> None:
    def setup() -> World:
        world = a_friend_by(give=VOUCHER)
        a_few_vouchers(0)
        return world

    def check(world: World) -> None:
        assert missed(world.alice) == ["no_vouchers"]
        assert broken(store.client) == []

    each_fault(brought, client=table.client(), setup=setup, check=check)


def test_a_rule_is_made_and_edited_whole(store: Store) -> None:
    limited = {"limits": {"total": 7, "shards": 2}}

    def setup() -> World:
        emptied()
        return World(alice="", fact=Fact(name="", pk="", sk="", rev=0, owed=False))

    def make_and_edit(world: World) -> None:
        rule = service.make(terms(**limited), state="on", making=making(key="k"))
        more = terms(limits={"total": 9, "shards": 2})
        service.edit(rule.rule_id, more, making=making(now=NOW + 1))

    def check(world: World) -> None:
        [rule] = service.everything()
        assert sum(row.left for row in service.purse(rule.rule_id, shards=2)) == 9
        assert [one.n for one in service.versions(rule.rule_id)] == [2, 1]

    each_fault(make_and_edit, client=table.client(), setup=setup, check=check)
