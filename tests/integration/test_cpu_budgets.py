"""What requests cost in CPU, as ratios of one run: half at most 1.3 times a bare handler, none twice that."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench.requests import cpu, shop
from bench.requests.hot import Hot
from bench.requests.paired import Cost
from infra.local.clients import Store
from infra.local.wechat import Simulator
from tests.world import world_wechat

__all__ = ["world_wechat"]
ROUNDS = 3
ROOM = 1.25
"""Two runs of a busy machine differ by as much."""

Found = dict[Hot, dict[str, Cost]]


@pytest.fixture(scope="module")
def found(embedded_store: Store, world_wechat: Simulator) -> Iterator[Found]:
    with shop.opened_in(embedded_store, world_wechat) as there:
        yield cpu.everything(there, stacks=False, rounds=ROUNDS)


def test_no_operation_costs_more_cpu_than_the_budget(found: Found) -> None:
    assert cpu.over(found, room=ROOM) == []


def test_one_that_costs_more_is_named(found: Found) -> None:
    hot = next(iter(found))
    dear = {name: replace(cost, ratio=cost.ratio * 3) for name, cost in found[hot].items()}

    [told] = cpu.over({**found, hot: dear}, room=ROOM)

    assert told.startswith(f"{hot.name}: ") and told.endswith("2.0 is the most")


def test_a_client_as_it_comes_costs_more_than_ours(found: Found) -> None:
    assert all(costs[cpu.TUNED].ratio < 0.9 for costs in found.values())
