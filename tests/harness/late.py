"""Indexes that lag: what a write put or moved there is not found for a while, as on AWS.

    late = LateIndexes(client, delay_s=0.05)
    with late.watching("PutItem", params):  # round every write
        below("PutItem", params)
    answer, hidden = late.served("Query", params, below)  # for every read of an index

An entry is hidden while it does not stand where it stood ``delay_s`` ago. What a write took out of an index
vanishes at once, and an entry that did not move shows its new attributes at once: AWS would be late there too.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from tests.harness.wire import Call, Item, Key, Params, image, indexes, written


@dataclass
class _Write:
    """A row as it was before a write, and when the write was done: until then it is younger than any."""

    before: Item
    done_at: float = math.inf


@dataclass
class LateIndexes:
    """Index reads without what was written in the last ``delay_s`` seconds (infinity: since the beginning)."""

    client: Any
    _: KW_ONLY
    delay_s: float
    clock: Callable[[], float] = time.monotonic
    _history: defaultdict[Key, list[_Write]] = field(default_factory=lambda: defaultdict(list), repr=False)

    @contextmanager
    def watching(self, operation: str, params: Params) -> Iterator[None]:
        """Remember what the call writes over; costs nothing without a delay."""
        writes = []
        for key in written(operation, params) if self.delay_s else []:
            writes.append(_Write(image(self.client, key)))
            self._history[key].append(writes[-1])
        try:
            yield
        finally:
            for write in writes:
                write.done_at = self.clock()

    def served(self, operation: str, params: Params, below: Call) -> tuple[Params, int]:
        """The answer to a Query or Scan of an index without what is too young, and how much that was."""
        # A COUNT answers no items to judge; asked for them, it is the same page.
        asked = {name: value for name, value in params.items() if (name, value) != ("Select", "COUNT")}
        answer = below(operation, asked)
        keys = indexes(self.client, params["TableName"])[params["IndexName"]].keys
        old = [entry for entry in answer["Items"] if self._stood(params["TableName"], keys, entry)]
        hidden = len(answer["Items"]) - len(old)
        answer |= {"Items": old, "Count": len(old), "ScannedCount": answer["ScannedCount"] - hidden}
        if asked != params:
            del answer["Items"]
        return answer, hidden

    def _stood(self, table: str, keys: tuple[str, ...], entry: Item) -> bool:
        horizon = self.clock() - self.delay_s
        writes = self._history.get((table, entry["pk"]["S"], entry["sk"]["S"]), [])
        then = next((write.before for write in writes if write.done_at > horizon), entry)
        return all(then.get(name) == entry[name] for name in keys)
