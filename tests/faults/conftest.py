"""Some faults need a store that outlives the process: the arena of the races."""

from collections.abc import Generator

import pytest

from tests.harness.faults import note
from tests.races.conftest import arena, race_tables, warm_client, weather

__all__ = ["arena", "race_tables", "warm_client", "weather"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a failed case is called, for the report of `make faults`."""
    told = yield
    if told.failed:
        note(failed=told.when)
    return told
