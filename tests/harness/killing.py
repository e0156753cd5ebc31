"""A worker in a process of its own on the embedded store of this one, killed by SIGKILL after one of its writes.

    died = killed(store, lambda: due.run(...), after=3)      # False: it came to its end before
    died = killed(store, lambda: due.run(...), before=3)     # what it said to others by then, it said

The worker is a forked child whose store is here: each of its calls comes through a pipe and is answered by the
`Direct` of its parent, so that what it wrote outlives it. Killed after a read it is as if killed after the write
before. SIGKILL lets no ``finally`` run.
"""

import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.core import table
from tests.harness.direct import Direct
from tests.harness.wire import WRITES, Params


class Far(Direct):
    """The store of the parent, as the child has it."""

    def __init__(self, there: Direct, pipe: Connection) -> None:
        super().__init__(there.real)
        self._pipe, self._lock = pipe, threading.Lock()

    def _make_api_call(self, operation: str, params: Params) -> Params:
        with self._lock:
            self._pipe.send((operation, params))
            refused, answer = self._pipe.recv()
        if refused:
            raise ClientError(answer, operation)
        told: Params = answer
        return told


def killed(store: Direct, work: Callable[[], object], *, after: int = 0, before: int = 0) -> bool:
    """Whether the worker was killed at this write; if it made fewer, it did all of its work."""
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        ours.close()
        _works(Far(store, theirs), work)
    theirs.close()
    with ours:
        if died := _serves(store, ours, after=after, before=before):
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert died or os.waitstatus_to_exitcode(status) == 0, "the worker failed"
    return died


def _works(store: Far, work: Callable[[], object]) -> None:
    """The child's whole life."""
    ended = 1
    try:
        logging.disable()
        table._client = store
        work()
        ended = 0
    finally:
        os._exit(ended)


def _serves(store: Direct, pipe: Connection, *, after: int, before: int) -> bool:
    """Answer the child until it ends, or its time has come."""
    writes = itertools.count(1)
    while True:
        try:
            operation, params = pipe.recv()
        except EOFError:
            return False
        number = next(writes) if operation in WRITES else None
        if number == before:
            return True
        answer = _answered(store, operation, params)
        if number == after:
            return True
        pipe.send(answer)


def _answered(store: Direct, operation: str, params: Params) -> tuple[bool, Any]:
    """Whether it was refused, and what is said; an exception of botocore's own does not go through a pipe."""
    try:
        return False, store._make_api_call(operation, params)
    except ClientError as refused:
        return True, refused.response
