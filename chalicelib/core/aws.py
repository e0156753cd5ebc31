"""Clients of AWS, all by one session of botocore: what it has read for one of them it does not read again."""

import threading
from typing import Any

import botocore.session
from botocore.config import Config

_session: Any = None
_lock = threading.Lock()


def create_client(service: str, *, region: str, endpoint: str = "", **how: Any) -> Any:
    """A client that tries three times, a second each to connect and three to be answered; ``how``: botocore's own
    settings besides, or others."""
    global _session  # noqa: PLW0603
    patience = {
        "connect_timeout": 1,
        "read_timeout": 3,
        "retries": {"mode": "standard", "total_max_attempts": 3},
    }
    with _lock:  # botocore makes clients one at a time
        _session = _session or botocore.session.get_session()
        return _session.create_client(
            service, region_name=region, endpoint_url=endpoint or None, config=Config(**{**patience, **how})
        )
