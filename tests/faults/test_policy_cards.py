"""Policies, card templates and targets when any call fails: one version, one template, one audit row a change."""

from collections import Counter
from dataclasses import dataclass

from chalicelib.core import cache, table
from chalicelib.core.errors import NotFound
from chalicelib.sharing import policies
from chalicelib.sharing import service as sharing
from chalicelib.sharing.schemas import EditCard, EditPolicy, EditTarget
from infra.local.clients import Store
from tests.factories import NOW, OWNER, books, emptied, only
from tests.harness.faults import each_fault
from tests.harness.rows import rows

CARD = EditCard(target_kind="product", title="{nickname} found {title}", tag="b")
TARGET = EditTarget(kind="product", id="tea", title="Jasmine tea", price_fen=8900)


@dataclass
class World:
    """Nothing to remember."""


def nothing() -> World:
    emptied()
    return World()


def with_another_of_each() -> World:
    emptied()
    sharing.save_card(EditCard(target_kind="product", title="Look", tag="a"), by=OWNER, now=NOW)
    sharing.save_target(EditTarget(kind="product", id="tea", title="Tea"), by=OWNER, now=NOW)
    policies.make(EditPolicy(mode="first"), by=OWNER, now=NOW)
    cache.clear_all()
    return World()


def make_policy(world: World) -> None:
    policies.make(EditPolicy(mode="new_members", depth=2), by=OWNER, now=NOW + 1)


def save_card(world: World) -> None:
    sharing.save_card(CARD, by=OWNER, now=NOW + 1)


def save_target(world: World) -> None:
    sharing.save_target(TARGET, by=OWNER, now=NOW + 1)


def remove_card(world: World) -> None:
    sharing.remove_card(("product", "*", "*"), by=OWNER, now=NOW + 1)


def changes(store: Store, action: str) -> int:
    """Audit rows of the change itself, not of the setup and not of a repeat that changed nothing."""
    found = rows(store.client, "truth", kind="audit", action=action, at=NOW + 1)
    return len([row for row in found if row.get("before") != row.get("after")])


def test_the_policy_in_force_is_the_one_that_was_made_whatever_failed(store: Store) -> None:
    def check(world: World) -> None:
        held = policies.current(now=NOW + 2)
        assert (held.mode, held.depth) == ("new_members", 2)
        made = policies.newest(limit=10)
        assert [row.n for row in made] == list(range(len(made), 0, -1))
        assert books(store.client)["audit"] == len(made) + 2

    each_fault(make_policy, client=table.client(), setup=with_another_of_each, check=check)


def test_a_policy_is_made_once(store: Store) -> None:
    def check(world: World) -> None:
        assert books(store.client) == Counter(policy=1, audit=1)

    each_fault(make_policy, client=table.client(), setup=nothing, check=check)


def test_saving_a_template_replaces_it_and_the_trail_shows_one_change(store: Store) -> None:
    def check(world: World) -> None:
        assert (only(store.client, "card")["tag"], changes(store, "card.saved")) == ("b", 1)
        assert [card.tag for card in sharing.cards(now=NOW + 2).values()] == ["b"]

    each_fault(save_card, client=table.client(), setup=with_another_of_each, check=check)


def test_saving_a_target_replaces_it_and_the_trail_shows_one_change(store: Store) -> None:
    def check(world: World) -> None:
        assert (only(store.client, "target")["price_fen"], changes(store, "target.saved")) == (8900, 1)
        assert sharing.describe("product", "tea", now=NOW + 2).price == "¥89.00"

    each_fault(save_target, client=table.client(), setup=with_another_of_each, check=check)


def test_saving_a_template_again_the_same_way_leaves_one_audit_row(store: Store) -> None:
    def check(world: World) -> None:
        assert books(store.client) == Counter(card=1, audit=1)

    each_fault(save_card, client=table.client(), setup=nothing, check=check)


def test_a_template_is_removed_once_with_one_audit_row(store: Store) -> None:
    def check(world: World) -> None:
        assert books(store.client) == Counter(target=1, policy=1, audit=4)
        assert sharing.cards(now=NOW + 2) == {}

    each_fault(
        remove_card, client=table.client(), setup=with_another_of_each, check=check, may_refuse=(NotFound,)
    )
