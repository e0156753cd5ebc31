"""Binding and moving when any call fails: one binding, one use of the visit, one line of history and of audit."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from chalicelib.core import cache, table
from chalicelib.sharing import attribution
from chalicelib.sharing.models import Binding
from chalicelib.sharing.visits import Visit
from infra.local.clients import Store
from tests.factories import (
    NOW,
    OWNER,
    TODAY,
    a_link,
    a_member,
    a_visit,
    books,
    caught_up,
    emptied,
    only,
)
from tests.harness.faults import each_fault
from tests.harness.hostile import Hostile

pytestmark = pytest.mark.usefixtures("direct")

LATER = NOW + 60


@dataclass
class World:
    """Bob, the promoters, and what was answered."""

    bob: str
    alice: str
    carol: str
    visit: Visit
    answers: list[Binding | None] = field(default_factory=list)

    @property
    def promoters(self) -> set[tuple[str, str | None]]:
        """Whose customer every answer said Bob is."""
        return {(held.promoter_id, held.state) for held in self.answers if held is not None}


def a_world() -> World:
    """Bob has opened Alice's link."""
    emptied()
    bob, alice, carol = (a_member() for _ in range(3))
    visit = a_visit(link=a_link(sharer_id=alice))
    return World(bob=bob, alice=alice, carol=carol, visit=visit)


def a_world_with_a_promoter_above() -> World:
    """Alice was brought by Carol, and Bob has opened Alice's link."""
    world = a_world()
    attribution.move(world.alice, promoter_id=world.carol, reason="from the old shop", by=OWNER, now=NOW)
    cache.clear_all()
    return world


def a_bound_world() -> World:
    world = a_world()
    attribution.bind(world.bob, visit=world.visit, now=NOW)
    cache.clear_all()
    return world


def an_unbound_world() -> World:
    world = a_bound_world()
    attribution.move(world.bob, promoter_id=None, reason="asked for it", by=OWNER, now=NOW + 30)
    cache.clear_all()
    return world


def bind(world: World) -> None:
    world.answers.append(attribution.bind(world.bob, visit=world.visit, now=LATER))


def move_to_carol(world: World) -> None:
    moved = attribution.move(world.bob, promoter_id=world.carol, reason="a mistake", by=OWNER, now=LATER)
    world.answers.append(moved)


def move_to_nobody(world: World) -> None:
    moved = attribution.move(world.bob, promoter_id=None, reason="a mistake", by=OWNER, now=LATER)
    world.answers.append(moved)


def test_binding_an_old_member_happens_once(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert world.promoters == {(world.alice, "bound")}
        (binding,) = there.of("binding", member_id=world.bob)
        assert binding["visit_id"] == there.only("visit_use")["pk"].removeprefix("VISIT#")
        assert binding["due_ref"] == "binding.made"

    each_fault(bind, client=table.client(), setup=a_world_with_a_promoter_above, check=check)
    caught_up(now=LATER)
    day = only(store.client, "link_day")
    assert (day["sk"].rpartition("#")[0], day["bound"]) == (f"DAY#{TODAY}", 1)


def test_a_reply_that_botocore_lost_and_sent_for_again_binds_and_counts_once(store: Store) -> None:
    world = a_world()

    with Hostile(table.client(), dice=random.Random(1), lost_reply=1.0):
        bind(world)
        move_to_carol(world)

    assert [held and held.promoter_id for held in world.answers] == [world.alice, world.carol]
    expected = Counter(member=3, identity=3, link=1, binding=1, visit_use=1, past_binding=1, audit=1)
    # What was owed of the binding was done before it was moved; the one who lost him has him in their list still.
    assert books(store.client) == expected + Counter(link_day=1, marker=1, binding_touch=1)


def test_binding_again_after_an_operator_undid_it_happens_once(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert world.promoters == {(world.alice, "bound")}
        binding = there.only("binding")
        assert (binding["state"], binding["cause"], binding["rev"]) == ("bound", "visit", 4)
        expected = Counter(member=3, identity=3, link=1, binding=1, visit_use=1, past_binding=1, audit=1)
        assert there == expected + Counter(link_day=1, marker=1, binding_touch=1)

    each_fault(bind, client=table.client(), setup=an_unbound_world, check=check)


def test_moving_a_customer_happens_once_with_one_line_of_history_and_of_audit(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert world.promoters == {(world.carol, "bound")}
        assert there.only("binding")["promoter_id"] == world.carol
        assert there.only("audit")["action"] == "binding.moved"
        held, past = attribution.history(world.bob)
        assert held is not None and [row.was["promoter_id"] for row in past] == [world.alice]

    each_fault(move_to_carol, client=table.client(), setup=a_bound_world, check=check)


def test_giving_a_customer_to_nobody_happens_once(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert {state for _, state in world.promoters} == {"unbound"}
        assert there["audit"] == there["past_binding"] == 1
        assert attribution.binding(world.bob, now=LATER) is None

    each_fault(move_to_nobody, client=table.client(), setup=a_bound_world, check=check)
