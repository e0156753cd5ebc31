"""Very many groups that end at once, as bench/expiry has them, with few: the counts are the same rules."""

from collections.abc import Iterator

import pytest

from bench import expiry
from bench.expiry import Latency
from chalicelib.core import config, table
from infra.local.clients import Store

SLOWLY = Latency(read_s=0.5, write_s=1.0)
GROUPS = 50


@pytest.fixture(autouse=True)
def the_client(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the bench puts in the client's place is gone afterwards."""
    monkeypatch.setattr(table, "_client", None)
    yield


@pytest.mark.parametrize(("shards", "minutes"), [(1, 3), (2, 2), (8, 1)])
def test_the_more_shards_the_fewer_minutes_and_nothing_is_done_twice(
    store: Store, shards: int, minutes: int
) -> None:
    config.override(due_shards=shards)

    found = expiry.measured(store.client, groups=GROUPS, takes=SLOWLY)

    assert (expiry.wrong(found), found["minutes"]) == ([], minutes)


def test_two_runs_at_once_share_the_shards(store: Store) -> None:
    config.override(due_shards=4)

    found = expiry.measured(store.client, groups=GROUPS, at_once=2)

    assert (expiry.wrong(found), found["ended"], found["minutes"]) == ([], GROUPS, 1)


def test_a_figure_that_differs_is_named() -> None:
    assert expiry.wrong({"ended": 1, "ended expected": 2, "reads": 5}) == ["ended"]
