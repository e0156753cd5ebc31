"""The ground that every race stands on."""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.core import config, table
from infra.local import tables
from infra.local.clients import Store
from tests.races.arena import ROUGH, Arena, Weather


@pytest.fixture
def weather() -> Weather:
    """The weather of a race that is run once; `arena.rounds` brings the others."""
    return ROUGH


@pytest.fixture(scope="session")
def warm_client(engine_store: Store) -> Any:
    """The app's client with its connections, which would take every round a fifth of a second to open."""
    config.override(dynamodb_endpoint=engine_store.endpoint)
    yield table._new_client()


@pytest.fixture
def arena(
    warm_client: Any, engine: Store, fresh: str, weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Arena]:
    """Tables of this round's own on DynamoDB Local, with the app looking at them."""
    names = {"truth": f"truth-{fresh}", "traffic": f"traffic-{fresh}"}
    tables.create(engine.client, **names)
    config.override(truth_table=names["truth"], traffic_table=names["traffic"])
    monkeypatch.setattr(table, "_client", warm_client)
    yield Arena(client=warm_client, weather=weather, **names)
