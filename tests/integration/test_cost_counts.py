"""The table that the cost is reckoned from is what operations ask for, played as the bench plays them."""

from collections.abc import Iterator

import pytest

from bench.cost import operations, playing
from bench.cost.stage import Stage
from infra.local.wechat import Simulator
from tests.harness.direct import Direct

PLAYED = (
    "a visit of a link",
    "a first login, by a visit",
    "a later login",
    "a link is made",
    "a check-in",
    "a coupon is claimed",
    "a coupon is used",
    "a group is opened",
)


@pytest.fixture
def stage(direct: Direct, weixin: Simulator) -> Iterator[Stage]:
    """The demo shop, on which nobody has played."""
    with Stage(direct, wechat_url=weixin.url) as there:
        yield there


def test_operations_ask_for_what_the_table_has(stage: Stage) -> None:
    counted = playing.played(stage, PLAYED)

    differs = operations.differences(operations.read().operations, counted)
    assert differs == [], "if that is meant: python -m bench.cost --recount"
    assert all(one.sizes.logged > 200 and one.sizes.answered > 300 for one in counted.values())


def test_jobs_ask_for_what_the_table_has_while_nothing_is_due(stage: Stage) -> None:
    assert playing.ten_idle_minutes(stage) == operations.read().idle
