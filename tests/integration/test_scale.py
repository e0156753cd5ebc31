"""The simulation of a scale: its limits refuse as DynamoDB would, and what it says of the app is in the rows."""

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from bench.scale import claims, expiring, limits, storm, visits
from bench.scale.claims import Sale
from bench.scale.expiring import Minute
from bench.scale.jobs import Made, Portion
from bench.scale.limits import OF_FIVE_MS, SINGLE_MS, Latency
from bench.scale.running import Place, played, running
from bench.scale.storm import Crowd
from bench.scale.visits import Rush
from chalicelib.core import config, table
from chalicelib.coupons.models import Stock
from infra.local.clients import Store


@pytest.fixture(autouse=True)
def standing(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tests' own store in place of one of the bench's own, which would end it."""
    from contextlib import contextmanager

    @contextmanager
    def stood_up(*, shards: int) -> Iterator[Any]:
        config.override(due_shards=shards)
        yield store.client

    for scenario in (claims, expiring, storm, visits):
        monkeypatch.setattr(scenario, "stood_up", stood_up)
    yield
    table.reset()


def placed(client: Any, writes: list[tuple[float, list[str]]], *, warm_writes: int = 40_000) -> Place:
    """Transactions that each take one unit of these shards, at these moments."""

    def take(shards: list[str]) -> None:
        asked = [table.update(Stock, (one, "META"), Stock.issued.add(1), refuse=ValueError) for one in shards]
        table.transact(asked)

    def made() -> None:
        for k in range(3):
            stock = Stock(f"S{k}", "META", template_id="t", issued=0, on=True, claim_from=0, claim_until=1)
            table.apply(table.create(stock))

    with running(client, warm_writes=warm_writes, set_up=made) as (place, _):
        played(place, [(at, partial(take, shards)) for at, shards in writes], processes=1000)
        return place


def test_two_transactions_on_one_row_meet_and_both_are_done(store: Store) -> None:
    place = placed(store.client, [(1.0, ["S0", "S1"]), (1.005, ["S1", "S2"])])

    assert place.limits.seen.refused["conflict"] >= 1
    assert [
        int(row["issued"]["N"]) for row in sorted(place.store.items(), key=lambda row: row["pk"]["S"])
    ] == [
        1,
        2,
        1,
    ]


def test_those_that_are_far_enough_from_each_other_do_not_meet(store: Store) -> None:
    place = placed(store.client, [(1.0, ["S0"]), (2.0, ["S0"]), (3.0, ["S0"])])

    assert place.limits.seen.refused == {}
    assert place.limits.seen.units["write truth"] == 3 * 2


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition takes a hundred units a second, so that few calls are too many."""
    monkeypatch.setattr(limits, "PARTITION_WRITES", 100)


def test_a_partition_takes_so_many_units_a_second(store: Store, small: None) -> None:
    # Each takes two units of a key of its own; one partition, which has had a second to fill.
    with running(store.client, warm_writes=100) as (place, _):

        def put(n: int) -> None:
            stock = Stock(f"S{n}", "META", template_id="t", issued=0, on=True, claim_from=0, claim_until=1)
            table.transact([table.create(stock)])

        played(place, [(1.0, partial(put, n)) for n in range(70)], processes=1000)

    assert place.limits.seen.refused["throttle"] >= 20
    assert len(place.store.items()) == 70
    assert place.time.now > 1.4


def test_calls_take_as_long_as_was_measured() -> None:
    latency = Latency(random.Random(1))
    singles = sorted(latency.single() * 1000 for _ in range(4000))
    several = sorted(latency.transaction(5) * 1000 for _ in range(4000))

    assert abs(singles[2000] - SINGLE_MS[1]) < 0.2
    assert abs(several[2000] - OF_FIVE_MS[1]) < 0.5
    assert abs(several[3600] - OF_FIVE_MS[2]) < 1.5


def test_more_claims_on_a_shard_meet_more_often_and_take_longer() -> None:
    few = claims.held(Sale(rate=20, seconds=4, shards=4))
    many = claims.held(Sale(rate=160, seconds=1, shards=4))

    assert few.outcomes.ended == {"ok": few.outcomes.calls}
    assert many.conflicts / many.outcomes.calls > 2 * few.conflicts / few.outcomes.calls
    assert many.outcomes.took_ms(0.5) > few.outcomes.took_ms(0.5)
    assert few.table_units == 4


def test_one_partition_of_the_due_index_throttles_the_claims(small: None) -> None:
    asked: dict[str, Any] = {"rate": 300, "seconds": 0.2, "shards": 50}
    spread, together = claims.held(Sale(**asked)), claims.held(Sale(**asked, due_shards=1))

    assert spread.throttles == 0
    assert together.throttles > 0
    assert together.hottest == "write truth/due coupons"


def test_visitors_spread_over_the_next_level_when_a_row_is_full() -> None:
    rush = visits.held(Rush(rate=2000, seconds=0.15))

    assert rush.outcomes.ended == {"ok": rush.counted}
    assert rush.rows[0] == 1
    assert 30 < rush.rows[1] <= 64
    assert rush.full_refusals > 0


def test_a_process_turns_nobody_away_but_there_may_be_too_few() -> None:
    rush = visits.held(Rush(rate=2000, seconds=0.05, processes=3))

    assert rush.outcomes.ended["turned away"] > 0
    assert rush.outcomes.ended["ok"] == rush.counted


def test_a_crowd_gets_the_free_seats_and_no_more() -> None:
    came = storm.held(Crowd(people=30))

    assert came.outcomes.ended == {"ok": 4, "group_full": came.outcomes.calls - 4}
    assert came.full_after_s < 1


@pytest.mark.parametrize(("stock_shards", "meet"), [(1, True), (500, False)])
def test_workers_of_the_job_meet_on_few_stock_shards(stock_shards: int, meet: bool) -> None:
    portion = Portion((Made("Query", 3, 0.001), Made("TransactWriteItems", 5, 0.001)), 0.001)
    minute = Minute(due_shards=4, memory_mb=1769, stock_shards=stock_shards, groups=100)

    ended = expiring.held(minute, (portion, portion))

    assert ended.done == 100
    assert (ended.conflicts > 0) == meet


def test_less_memory_takes_more_minutes() -> None:
    portion = Portion((Made("Query", 3, 0.05), Made("TransactWriteItems", 5, 0.05)), 0.05)

    def minutes(memory_mb: int) -> int:
        minute = Minute(due_shards=4, memory_mb=memory_mb, stock_shards=500, groups=300)
        return expiring.held(minute, (portion, portion)).minutes

    assert (minutes(1769), minutes(512)) == (2, 5)
