"""What came of the calls that nobody meant: `make fuzz` has every test note it, and this tells it in docs/proof.md.

FUZZ_REPORT=folder pytest tests/fuzz        notes a line for every operation and kind of caller
python -m tests.fuzz.report folder          writes the section
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests import proof

SECTION = "Calls that nobody meant"
_PHASES = ("examples", "coverage", "fuzzing")
_HEAD = """Made by `make fuzz`. schemathesis made calls of every operation of the contract: the one that is its
example, every field at its bounds, beyond them, missing and of another type (coverage), and drawn ones (fuzzing,
{seed}). They went to the application as API Gateway hands them over, from every kind of caller, in a world
that was put back whenever one changed it. Looked for: an answer of 5xx; a status, media type, header or body that
the contract does not tell of; what is as the contract says and was not read; what is not and was taken.

{operations} operations, {calls} calls: {failures} answers of 5xx, {wrong} kinds of mismatch.

| caller | examples | coverage | fuzzing | answers by status |
|---|---|---|---|---|
"""


def written(lines: Iterable[Mapping[str, Any]], *, seed: str) -> str:
    """The section."""
    by_caller: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by_caller[line["caller"]].append(line)
    everything = [line for some in by_caller.values() for line in some]
    statuses = _sum(everything, "statuses")
    head = _HEAD.format(
        seed=seed,
        operations=len({line["route"] for line in everything}),
        calls=statuses.total(),
        failures=sum(count for status, count in statuses.items() if status >= "500"),
        wrong=sum(line["wrong"] for line in everything),
    )
    return head + "".join(_row(caller, some) for caller, some in by_caller.items())


def _sum(lines: Iterable[Mapping[str, Any]], name: str) -> Counter[str]:
    return sum((Counter(line[name]) for line in lines), Counter[str]())


def _row(caller: str, lines: list[Mapping[str, Any]]) -> str:
    phases, statuses = _sum(lines, "phases"), _sum(lines, "statuses")
    counts = " | ".join(str(phases[phase]) for phase in _PHASES)
    told = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    return f"| {caller} | {counts} | {told} |\n"


def main(folder: Path, seed: str) -> None:
    """Write the section of what was noted in a folder."""
    proof.tell(SECTION, written(proof.noted(folder), seed=seed))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
