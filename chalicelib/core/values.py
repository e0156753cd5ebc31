"""Dataclasses that are made when the first of their instances is.

The standard library writes and compiles some six methods for every dataclass as its module is imported; of the 140
here a request needs a few dozen, and a function that starts waited for all of them. To whoever uses their
instances, and to mypy, those that are declared here are the same. What is wrong with a declaration shows at its
first instance only, so that a test makes each of them. A class that is asked for its fields before it has an
instance, or has slots, keeps the standard library's own decorator.
"""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")
_lock = threading.RLock()


@dataclass_transform(field_specifiers=(dataclasses.field,))
def dataclass(*, frozen: bool = False, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """As `dataclasses.dataclass`."""

    def declare(kind: type[T]) -> type[T]:
        made = False
        create = kind.__new__

        def new(cls: type[T], *_: Any, **__: Any) -> T:
            nonlocal made
            one = create(cls)  # and with it, what it stands on is made
            if not made:
                # Nobody sees a class that is half made: no instance of it is out before.
                with _lock:
                    if not made:
                        dataclasses.dataclass(frozen=frozen, kw_only=kw_only)(kind)
                        made = True
            return one

        kind.__new__ = new  # type: ignore[method-assign, assignment]
        return kind

    return declare
