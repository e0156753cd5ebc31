"""A visit when any of its calls fails: the visitor is counted once, whichever row they fall into."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from chalicelib.core import cache, clock, config, table
from chalicelib.core.clock import DAY
from chalicelib.sharing import service as sharing
from chalicelib.sharing import visits
from chalicelib.sharing.models import ROW_HOLDS, Hour, Link
from chalicelib.sharing.schemas import FunnelDay
from infra.local.clients import Store
from tests.factories import NOW, TODAY, a_link, a_member, an_opening, books, emptied, only
from tests.harness.faults import each_fault
from tests.harness.hostile import Hostile
from tests.harness.rows import rows

pytestmark = pytest.mark.usefixtures("direct")


@dataclass
class World:
    """A link about to be opened."""

    link: Link
    visit_ids: set[str] = field(default_factory=set)
    funnels: list[list[FunnelDay]] = field(default_factory=list)


def a_shared_link() -> World:
    emptied()
    world = World(link=a_link(sharer_id=a_member()))
    cache.clear_all()
    return world


def a_hot_link() -> World:
    """The hour's first row is full of others."""
    world = a_shared_link()
    hour = clock.local_hour(NOW, zone=config.settings().zone)
    key = Hour.key(world.link.code, hour=hour, level=0, visitor=b"")
    seen = {number.to_bytes(8, "big") for number in range(ROW_HOLDS)}
    table.apply(table.create(Hour(*key, n=ROW_HOLDS, chat=ROW_HOLDS, seen=seen)))
    return world


def a_link_of_yesterday() -> World:
    world = a_shared_link()
    an_opening(link=world.link, visitor="key:one", now=NOW)
    an_opening(link=world.link, visitor="key:two", now=NOW + 60)
    cache.clear_all()
    return world


def visit(world: World) -> None:
    link = sharing.find_open(world.link.code, now=NOW)
    seen = visits.record(link=link, visitor="key:a-phone", wx_scene=1008, now=NOW)
    world.visit_ids.add(seen.visit_id)


def read_funnel(world: World) -> None:
    sharer_id = world.link.sharer_id
    found = visits.funnel(code=world.link.code, sharer_id=sharer_id, days=2, now=NOW + DAY)
    world.funnels.append(found)


def test_an_opening_is_counted_once(store: Store) -> None:
    def check(world: World) -> None:
        hour = only(store.client, "visit_hour", table="traffic")
        assert (hour["n"], len(hour["seen"]), hour["group"]) == (1, 1, 1)
        assert len(world.visit_ids) == 1
        assert books(store.client) == Counter(member=1, identity=1, link=1)

    each_fault(visit, client=table.client(), setup=a_shared_link, check=check)


def test_an_opening_beyond_a_full_row_is_counted_once(store: Store) -> None:
    def check(world: World) -> None:
        hours = sorted(rows(store.client, "traffic", kind="visit_hour"), key=lambda row: row["n"])
        assert [(row["n"], len(row["seen"])) for row in hours] == [(1, 1), (ROW_HOLDS, ROW_HOLDS)]
        assert len(world.visit_ids) == 1

    each_fault(visit, client=table.client(), setup=a_hot_link, check=check)


def test_closing_a_day_happens_once_and_every_answer_is_the_same(store: Store) -> None:
    def check(world: World) -> None:
        for (answer,) in world.funnels:
            assert (answer.day, answer.opened, answer.opened_by) == (TODAY, 2, {"other": 2})
        day = only(store.client, "link_day")
        assert (day["sk"], day["opened"], day["rev"]) == (f"DAY#{TODAY}", 2, 1)

    each_fault(read_funnel, client=table.client(), setup=a_link_of_yesterday, check=check)


@pytest.mark.parametrize(("setup", "counted"), [(a_shared_link, [1]), (a_hot_link, [1, ROW_HOLDS])])
def test_a_reply_that_botocore_lost_and_sent_for_again_counts_nobody_twice(
    store: Store, setup: Callable[[], World], counted: list[int]
) -> None:
    world = setup()

    with Hostile(table.client(), dice=random.Random(1), lost_reply=1.0):
        visit(world)

    assert sorted(row["n"] for row in rows(store.client, "traffic", kind="visit_hour")) == counted
