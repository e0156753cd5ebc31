"""What each hot operation asks of AWS, in the demo shop of `infra.local.seed` with what it asks for remembered.

`counted.json` has the table, so that it can be reckoned with at once: `bench.cost.playing` plays every operation
on the embedded store, through the deployed handlers, and `python -m bench.cost --recount` writes down what it
counts; a test says when it counts otherwise. Units are AWS's published rule (`tests.harness.counter`); design 9 has
an operation by itself, and here all rooms react to it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

COUNTED = Path(__file__).with_name("counted.json")
KEPT_BESIDE = 100
"""Bytes that are kept with each row and entry; AWS's page says that there are some, and not how many."""
A_LITTLE, A_PART = 500, 0.1
"""Bytes, or a part of a size, that it may differ by: a counter's row that chance has not fallen on before."""


@dataclass(frozen=True, kw_only=True)
class _Added:
    """Numbers that are added up and subtracted, each with its own."""

    def __add__(self, other: Self) -> Self:
        return self._with(other, sign=1)

    def __sub__(self, other: Self) -> Self:
        return self._with(other, sign=-1)

    def _with(self, other: Self, *, sign: int) -> Self:
        names = [one.name for one in fields(self)]
        return replace(self, **{name: getattr(self, name) + sign * getattr(other, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class Work(_Added):
    """DynamoDB's ``calls``, units read, and units written of ``rows`` and of index ``entries``; ``runs`` of other
    functions than the API's."""

    calls: int = 0
    reads: float = 0.0
    rows: int = 0
    entries: int = 0
    runs: int = 0


@dataclass(frozen=True, kw_only=True)
class Sizes(_Added):
    """Bytes: of what the app says in its log, of its answers with their headers, and of what is kept a year later
    of rows and of index entries; ``temporary``: rows without backup, by the part of a year that they live."""

    logged: int = 0
    answered: int = 0
    rows: int = 0
    entries: int = 0
    temporary: int = 0


@dataclass(frozen=True, kw_only=True)
class Operation:
    """``requests`` of HTTP, and what they do (``at_once``); what readers of the stream and jobs do because of them
    (``after``)."""

    requests: int
    at_once: Work
    after: Work = field(default_factory=Work)
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True, kw_only=True)
class Table:
    """All operations by name, and what the jobs do in ten minutes in which nothing is due."""

    idle: Work
    operations: Mapping[str, Operation]


def read() -> Table:
    """The table as it was counted."""
    told = json.loads(COUNTED.read_text(encoding="utf-8"))
    operations = {name: _operation(one) for name, one in told["operations"].items()}
    return Table(idle=Work(**told["idle"]), operations=operations)


def write(table: Table) -> None:
    """Keep what was counted, an operation a line."""
    lines = [f"  {json.dumps(name)}: {json.dumps(asdict(one))}" for name, one in table.operations.items()]
    idle = json.dumps(asdict(table.idle))
    text = f'{{\n "idle": {idle},\n "operations": {{\n' + ",\n".join(lines) + "\n }\n}\n"
    COUNTED.write_text(text, encoding="utf-8")


def _operation(told: Mapping[str, Any]) -> Operation:
    return Operation(
        requests=told["requests"],
        at_once=Work(**told["at_once"]),
        after=Work(**told["after"]),
        sizes=Sizes(**told["sizes"]),
    )


def differences(table: Mapping[str, Operation], counted: Mapping[str, Operation]) -> list[str]:
    """What was counted otherwise than the table has it, in words; sizes may differ a little, as ids do."""
    return [
        f"{name}, {part}: the table has {getattr(table[name], part)}, counted was {getattr(one, part)}"
        for name, one in counted.items()
        for part in ("requests", "at_once", "after", "sizes")
        if not _alike(getattr(table[name], part), getattr(one, part))
    ]


def _alike(told: Any, counted: Any) -> bool:
    if not isinstance(told, Sizes):
        return bool(told == counted)
    pairs = [(getattr(told, one.name), getattr(counted, one.name)) for one in fields(told)]
    return all(abs(one - other) <= max(A_LITTLE, abs(one) * A_PART) for one, other in pairs)
