"""The world of `tests.world` while the clock stands and chance is counted: the same, id for id, in every run.

So what was recorded of it as the examples of the contract is there when it is called.
"""

import itertools
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from chalicelib.core import clock, ids, limits, table
from chalicelib.rewards import gifts
from tests.harness.direct import Direct
from tests.world import Beginning

NOON = int(datetime(2026, 11, 26, 12, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())


@pytest.fixture(scope="module")
def stopped() -> Iterator[None]:
    """Noon, and ids that count; nobody is held to so many calls in a minute that never ends.

    The voucher that `tests.rewards` adds to what rules may give, where it is in the same process, is not there.
    """
    with pytest.MonkeyPatch.context() as patch:
        made = itertools.count(1)
        patch.setattr(clock, "now", lambda: NOON)
        patch.setattr(ids, "entropy", lambda *, now: next(made).to_bytes(10, "big"))
        patch.setattr(limits, "admit", lambda *_, **__: None)
        ours = {name: one for name, one in gifts._kinds.items() if name != "voucher"}
        patch.setattr(gifts, "_kinds", ours)
        patch.setenv("BASE_URL", "https://api.example.com")
        yield


@pytest.fixture(scope="module")
def beginning(stopped: None, beginning: Beginning) -> Beginning:
    """What is planted once, without HTTP between it and the store."""
    table._client = Direct(table.client())
    return beginning
