"""A store for each test of the harness."""

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

import moto
import pytest

from tests.harness.wire import Call, Params, wrapped

from .store import Store, new_client, new_store

the_client = functools.cache(new_client)


@pytest.fixture
def store() -> Iterator[Store]:
    """A table of its own, one call at a time: moto's calls are not atomic under threads."""
    lock = threading.RLock()

    def one_at_a_time(below: Call, operation: str, params: Params) -> dict[str, Any]:
        with lock:
            return below(operation, params)

    with contextlib.ExitStack() as stack:
        if not os.environ.get("DYNAMODB_ENDPOINT"):
            stack.enter_context(moto.mock_aws())
        store = new_store(the_client())
        stack.callback(store.client.delete_table, TableName=store.table)
        stack.enter_context(wrapped(store.client, one_at_a_time))
        yield store
