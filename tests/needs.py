"""What a machine may lack: its tests are skipped aloud there, and fail where they must not be left out.

CI sets REQUIRE_ENGINE=1, and installs what is missing first.
"""

import os
from typing import NoReturn

import pytest


def go_without(why: str) -> NoReturn:
    """The test cannot run here; with REQUIRE_ENGINE=1 that is a failure."""
    if os.environ.get("REQUIRE_ENGINE") == "1":
        pytest.fail(f"REQUIRE_ENGINE=1, but {why}", pytrace=False)
    pytest.skip(why)
