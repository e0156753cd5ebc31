"""Logs and metrics through powertools; the logger is Chalice's own, so that every line has one shape.

Every request ends in one line, and what is said during it, or during a piece of work of a job or of the stream,
carries what it is about (`about`). Never logged: bodies, tokens, secrets, and what identifies a person other than
the member id. The metrics that the alarms and the dashboard watch have their names here.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics

SERVICE = "liebian"
NAMESPACE = "Liebian"
REFUSALS = "Refusals"
"""By ``code``."""
OLDEST_DUE = "OldestDueSeconds"
"""By ``job``, while the oldest work that is due waits longer than a job should let it."""
STUCK_ROWS = "StuckRows"
STUCK_MONEY = "StuckMoney"
STUCK_FEN = "StuckMoneyFen"
DEAD_LETTERS = "DeadLetters"
DRIFTS = "Drifts"

# At DEBUG these two would log addresses and headers, and with them secrets.
for library in ("urllib3", "botocore"):
    logging.getLogger(library).setLevel(logging.INFO)

logger = Logger(service=SERVICE)
# Stages may share an account; the settings are not read yet when this is imported.
OURS = {"service": SERVICE, "stage": os.environ.get("STAGE", "none")}


def count(name: str) -> None:
    """Add one to a counter metric, such as ``Drifts``."""
    measure(name, 1)


def measure(name: str, value: float, *, unit: str = "Count", **by: str) -> None:
    """Tell a metric at once; with ``by`` the whole, and the part of this value, which is billed as a metric too."""
    one = EphemeralMetrics(namespace=NAMESPACE, default_dimensions=OURS)
    one.add_metric(name=name, unit=unit, value=value)
    if by:
        one.add_dimensions(**by)
    one.flush_metrics()


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """Whatever is said inside carries these ids; those of a thread are its own."""
    before = logger.thread_safe_get_current_keys()
    logger.thread_safe_append_keys(**ids)
    try:
        yield
    finally:
        logger.thread_safe_clear_keys()
        logger.thread_safe_append_keys(**before)


def of_the_run(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Middleware: whatever is said during a run carries the id under which Lambda's own lines have it."""
    context = getattr(event, "lambda_context", None) or event.context
    with about(function_request_id=context.aws_request_id):
        return get_response(event)


def note(**ids: str) -> None:
    """Whatever is said from now on, to the end of the innermost `about`, carries these ids too."""
    logger.thread_safe_append_keys(**ids)


def room_of(function: Callable[..., Any]) -> str:
    """The room that a handler or a reaction is of."""
    return function.__module__.rpartition(".")[0].rpartition(".")[2]
