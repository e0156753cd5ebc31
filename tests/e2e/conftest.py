"""A running stack for end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Running, started


@pytest.fixture
def running() -> Iterator[Running]:
    """A fresh stack on the embedded store."""
    with started() as stack:
        yield stack


@pytest.fixture(scope="package")
def beside_a_mall() -> Iterator[Running]:
    """One stack for the tests that leave nothing in each other's way."""
    with started() as stack:
        yield stack
