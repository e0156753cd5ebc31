"""Where rewards come from: facts whose rows become occurrences. Rooms add theirs by `granting.source`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.core.table import Row
from chalicelib.rewards.rules import FactSpec

Lookup = Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """One thing that happened; ``key`` is its natural key, and ``at`` never changes.

    ``known`` holds what the row tells, and a function for what has to be looked up, called once, if a rule asks.
    ``depends_on``: a row that must be as it was read when the reward is given, as an order that may be refunded.
    """

    key: str
    actor: str
    at: int
    known: Mapping[str, Any | Lookup]
    depends_on: Row | None = None
    _found: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def get(self, name: str) -> Any:
        """What is known under this name; None: nothing."""
        if name not in self._found:
            value = self.known.get(name)
            self._found[name] = value() if callable(value) else value
        return self._found[name]

    def told(self, names: set[str]) -> dict[str, Any]:
        """What is known without a look, and what is known of ``names``."""
        plain = {name for name, value in self.known.items() if not callable(value)}
        return {name: self.get(name) for name in sorted(plain | names | set(self._found))}


Occurrences = Callable[[Any, int], Sequence[Occurrence]]
_facts: dict[str, FactSpec] = {}
_sources: dict[str, list[tuple[str, Occurrences]]] = {}


def describe(on: str, spec: FactSpec) -> None:
    """What rules may know of a fact."""
    _facts[on] = spec


def add(fact: str, on: str, occurrences: Occurrences) -> bool:
    """Rows of ``fact`` bring occurrences for rules ``on``; whether it is the fact's first source."""
    there = _sources.setdefault(fact, [])
    there.append((on, occurrences))
    return len(there) == 1


def of(fact: str) -> Sequence[tuple[str, Occurrences]]:
    """The sources of a fact: rules on what, and the occurrences."""
    return _sources.get(fact, ())


def specs() -> Mapping[str, FactSpec]:
    """What rules may be on."""
    return _facts
