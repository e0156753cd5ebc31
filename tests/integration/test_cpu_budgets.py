"""What requests cost in CPU, as ratios of one run: half at most 1.4 times a bare handler, none above 2."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import pytest

from bench.requests import cpu, shop
from bench.requests.hot import HOT, Hot
from bench.requests.paired import Cost
from bench.requests.shop import Shop
from infra.local.clients import Store
from infra.local.wechat import Simulator
from tests.world import world_wechat

__all__ = ["world_wechat"]
ROUNDS, CALLS = 3, 5
ROOM = 1.25
"""Two runs of a busy machine differ by as much."""

Found = dict[Hot, dict[str, Cost]]


@pytest.fixture(scope="module")
def there(embedded_store: Store, world_wechat: Simulator) -> Iterator[Shop]:
    with shop.opened_in(embedded_store, world_wechat) as opened:
        yield opened


@pytest.fixture(scope="module")
def found(there: Shop) -> Found:
    return cpu.everything(there, stacks=False, every=3, rounds=ROUNDS, calls=CALLS)


def test_no_operation_costs_more_cpu_than_the_budget(found: Found) -> None:
    assert cpu.over(found, room=ROOM) == []


def test_one_that_costs_more_is_named(found: Found) -> None:
    hot = next(iter(found))
    dear = {name: replace(cost, ratio=cost.ratio * 3) for name, cost in found[hot].items()}

    [told] = cpu.over({**found, hot: dear}, room=ROOM)

    assert told.startswith(f"{hot.name}: ") and told.endswith("2.0 is the most")


def test_a_client_as_it_comes_costs_more_than_ours(found: Found) -> None:
    assert median(costs[cpu.TUNED].ratio for costs in found.values()) < 0.8


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize("hot", [hot for hot in HOT if hot.stacks], ids=lambda hot: str(hot.name))
def test_the_stacks_that_others_take_answer_the_same_request(there: Shop, hot: Hot) -> None:
    costs = cpu.of(there.made(hot.route, by=hot.by), stacks=True, rounds=2, calls=2)

    assert {*costs} == {cpu.FLOOR, cpu.TUNED, cpu.APP, cpu.RESOLVER, cpu.FAST}
