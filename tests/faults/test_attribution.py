"""Taking, renewing and attributing when any call fails: one binding, its past, one snapshot that says the same."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib.core import cache, table
from chalicelib.core.clock import DAY
from chalicelib.orders.service import Order
from chalicelib.sharing import attribution, orders, policies, windows
from chalicelib.sharing.models import Binding
from chalicelib.sharing.schemas import EditPolicy
from chalicelib.sharing.visits import Visit
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_link, a_member, a_visit, books, caught_up, emptied
from tests.harness.faults import each_fault
from tests.integration.test_attribution import an_order

pytestmark = pytest.mark.usefixtures("direct")

LATER = NOW + DAY


@dataclass
class World:
    """Bob is Alice's, and has opened a link of Carol's."""

    bob: str
    alice: str
    carol: str
    visit: Visit
    order: Order
    answers: list[Any] = field(default_factory=list)


def bound_under(given: EditPolicy) -> Callable[[], World]:
    """Bob was bound to Alice under this policy, and bought something an hour later; made once, laid down every
    time."""
    kept: list[tuple[World, dict[str, Any]]] = []

    def plant() -> World:
        emptied()
        policies.make(given, by=OWNER, now=NOW - 1)
        bob, alice, carol = (a_member() for _ in range(3))
        attribution.bind(bob, visit=a_visit(link=a_link(sharer_id=alice)), now=NOW)
        caught_up(now=NOW)
        order = an_order(bob, at=NOW + 3600, paid_at=NOW + 3600, state="paid")
        return World(
            bob=bob, alice=alice, carol=carol, visit=a_visit(link=a_link(sharer_id=carol)), order=order
        )

    def setup() -> World:
        if not kept:
            kept.append((plant(), {one.name: copy.deepcopy(one.items) for one in _tables()}))
        world, items = kept[0]
        emptied()
        cache.clear_all()
        for one in _tables():
            one.items.update(copy.deepcopy(items[one.name]))
        world.answers.clear()
        return world

    return setup


def _tables() -> list[Any]:
    return [
        table for by in dynamodb_backends.values() for one in by.values() for table in one.tables.values()
    ]


def test_taking_a_binding_happens_once_and_keeps_what_was(store: Store) -> None:
    def operation(world: World) -> None:
        world.answers.append(attribution.bind(world.bob, visit=world.visit, now=LATER).promoter_id)

    def check(world: World) -> None:
        there = books(store.client)
        assert set(world.answers) == {world.carol}
        assert (there["binding"], there["past_binding"], there["visit_use"]) == (1, 1, 2)
        held, past = attribution.history(world.bob)
        assert held is not None and held.promoter_id == world.carol
        assert [(row.was["promoter_id"], row.cause) for row in past] == [(world.alice, "taken")]
        (lost,) = there.of("binding_touch", promoter_id=world.alice)
        assert (lost["reason"], lost["owner"]) == ("taken", f"{world.alice}#missed")

    each_fault(operation, client=table.client(), setup=bound_under(EditPolicy(mode="last")), check=check)


def test_a_purchase_renews_a_window_once(store: Store) -> None:
    def check(world: World) -> None:
        held = table.get(Binding, Binding.key(world.bob))
        assert held is not None and held.expires_at == NOW + 3600 + 7 * DAY
        assert held.promoter_id == world.alice

    terms = EditPolicy(mode="first_window", window_days=7, renew_by_purchase=True)
    each_fault(
        lambda world: windows.renew(world.order, LATER),
        client=table.client(),
        setup=bound_under(terms),
        check=check,
    )


def test_an_order_is_attributed_once_and_says_the_same(store: Store) -> None:
    def operation(world: World) -> None:
        row = orders.of_order(world.order, now=LATER)
        world.answers.append((row.promoter_id, row.bound_at, str(row.candidates)))

    def check(world: World) -> None:
        assert len(set(world.answers)) == 1 and world.answers[0][:2] == (world.alice, NOW)
        there = books(store.client).only("attribution")
        assert there["promoter_id"] == world.alice

    each_fault(
        operation, client=table.client(), setup=bound_under(EditPolicy(mode="first", depth=2)), check=check
    )
