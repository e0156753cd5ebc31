"""Structs are made known to msgspec before threads begin.

Where two threads meet a struct that it has not seen yet, msgspec 0.22 may end the process with a segmentation
fault: what it learns of the struct is there for the second thread before the first has finished.
"""

import functools
from collections.abc import Iterator
from contextlib import suppress

import msgspec


@functools.cache
def make_known() -> None:
    """Whoever begins threads calls this before; of a process, the first call does the work, some 50 ms of it."""
    for kind in _all(msgspec.Struct):
        # What it cannot read, such as a struct with a function in it, nobody has it read.
        with suppress(TypeError, NameError):
            msgspec.json.Decoder(kind)


def _all(of: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for kind in of.__subclasses__():
        yield kind
        yield from _all(kind)
