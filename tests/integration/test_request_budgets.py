"""No route costs more calls or units than was agreed."""

from collections.abc import Iterator

import pytest

from bench.requests import counted, shop
from bench.requests.shop import Made, Shop
from infra.local.clients import Store
from infra.local.wechat import Simulator
from tests.doors import DOORS
from tests.world import world_wechat

__all__ = ["world_wechat"]


@pytest.fixture(scope="module")
def there(embedded_store: Store, world_wechat: Simulator) -> Iterator[Shop]:
    with shop.opened_in(embedded_store, world_wechat) as opened:
        yield opened


@pytest.fixture(scope="module")
def made(there: Shop) -> dict[str, Made]:
    return counted.everything(there)


def test_no_route_costs_more_than_was_agreed(made: dict[str, Made]) -> None:
    assert counted.over(made, counted.agreed()) == []
    assert set(counted.agreed()) == set(made)


def test_nearly_every_route_is_counted(made: dict[str, Made]) -> None:
    assert len(made) > 0.95 * len(DOORS)


def test_who_asks_once_more_is_told_where(made: dict[str, Made]) -> None:
    budgets = counted.agreed()
    route = "POST /v1/coupons/{template_id}/claims"
    tight = {**budgets, route: [budgets[route][0] - 1, *budgets[route][1:]]}

    [told] = counted.over(made, tight)

    assert told.startswith(f"{route}: 1 calls, 0 agreed (TransactWriteItems")
