"""The ground that every race stands on."""

import os
from collections.abc import Generator
from typing import Any

import pytest

from chalicelib.core import config, structs, table
from infra.local import tables
from infra.local.clients import Store
from tests import proof
from tests.harness.races import REPORT
from tests.races.arena import ROUGH, TRAFFIC, TRUTH, Arena, Stream, Weather, emptied
from tests.races.report import SIGHT


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A sight is looked for in as many rounds as its rule is raced in."""
    times = int(os.environ.get("RACE_ROUNDS", "1"))
    named = [str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize")]
    if times > 1 and SIGHT.search(metafunc.definition.name) and not any("weather" in name for name in named):
        metafunc.fixturenames.append("again")
        metafunc.parametrize("again", range(times))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whether each case held, for the report of `make races`."""
    told = yield
    if told.failed or told.when == "call":
        proof.note(REPORT, came=told.outcome)
    return told


@pytest.fixture
def weather() -> Weather:
    """The weather of a race that is run once; `arena.rounds` brings the others."""
    return ROUGH


@pytest.fixture(scope="session")
def race_tables(engine_store: Store) -> None:
    """One pair of tables for all races: beside 150 others that stream, DynamoDB Local takes ten times as long."""
    tables.create(engine_store.client, truth=TRUTH, traffic=TRAFFIC)


@pytest.fixture(scope="session")
def warm_client(engine_store: Store) -> Any:
    """The app's client with its connections, which would take every round a fifth of a second to open."""
    config.override(dynamodb_endpoint=engine_store.endpoint)
    structs.make_known()
    return table._new_client()


@pytest.fixture
def arena(
    race_tables: None, warm_client: Any, engine: Store, weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> Arena:
    """Empty tables on DynamoDB Local, with the app looking at them."""
    config.override(truth_table=TRUTH, traffic_table=TRAFFIC)
    monkeypatch.setattr(table, "_client", warm_client)
    emptied(engine)
    return Arena(client=warm_client, stream=Stream(engine), weather=weather)
