"""Two who meet between one's look and one's write: races whose course is known.

with before_write(1, lambda: pay(order)):           # somebody else pays while it is refunded
    refund(order)
with each_call_meeting_itself():                    # two who claim at once, two workers of one job
    claim(template)
"""

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest.mock import patch

from chalicelib.core import due, facts, table
from chalicelib.core.errors import AppError
from tests.harness.wire import WRITES, Call, Params, wrapped

ROOMS, CORE = "chalicelib.", "chalicelib.core."


@contextmanager
def before_write(number: int, do: Callable[[], object]) -> Iterator[None]:
    """Just before the app's write of this number, somebody else does something; there must be such a write."""
    made: list[str] = []

    def layer(below: Call, operation: str, params: Params) -> Params:
        if operation in WRITES and len(made) < number:
            made.append(operation)
            if len(made) == number:
                do()
        return below(operation, params)

    with wrapped(table.client(), layer):
        yield
    assert len(made) == number, "there was no such write"


class _Doubled:
    """Calls of which each is made once more, from beginning to end, just before its own first write.

    Who is refused because the other was first is told what that one was told, as if they had asked again.
    """

    def __init__(self) -> None:
        self.here = threading.local()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(*args: Any, **how: Any) -> Any:
            if getattr(self.here, "under_way", False):
                return function(*args, **how)
            self.here.under_way, self.here.again = True, functools.partial(function, *args, **how)
            self.here.told = []
            try:
                return function(*args, **how)
            except AppError:
                if not self.here.told:
                    raise
                return self.here.told[0]
            finally:
                self.here.under_way, self.here.again = False, None

        return called

    def layer(self, below: Call, operation: str, params: Params) -> Params:
        """Round every call of the store."""
        again = getattr(self.here, "again", None)
        if operation in WRITES and again is not None:
            self.here.again = None
            with suppress(AppError):
                self.here.told = [again()]
        return below(operation, params)


@contextmanager
def each_call_meeting_itself() -> Iterator[None]:
    """Each call of a function of a room, each piece of a job's work and each reaction is made by two at once."""
    doubled = _Doubled()
    handlers = {job: doubled(handler) for job, handler in due._handlers.items()}
    together = {job: (doubled(handler), most) for job, (handler, most) in due._together.items()}
    with ExitStack() as worn:
        worn.enter_context(patch.dict(due._handlers, handlers))
        worn.enter_context(patch.dict(due._together, together))
        worn.enter_context(patch.object(facts, "_react", doubled(facts._react)))
        for module, name, function in _functions():
            worn.enter_context(patch.object(module, name, doubled(function)))
        worn.enter_context(wrapped(table.client(), doubled.layer))
        yield


def _functions() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What anybody may call of a room, where it is at home."""
    modules = [
        module for name, module in sys.modules.items() if name.startswith(ROOMS) and not name.startswith(CORE)
    ]
    for module in modules:
        for name, one in list(vars(module).items()):
            at_home = inspect.isfunction(one) and one.__module__ == module.__name__
            if at_home and name[0] != "_" and not inspect.isgeneratorfunction(inspect.unwrap(one)):
                yield module, name, one
