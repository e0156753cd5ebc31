"""The section of docs/proof.md about towns, of what each of them noted: `python -m tests.soak.report FOLDER`."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.proof import noted, tell

SECTION = "Months of a shop"
INTRODUCTION = """\
A town is a simulated shop with all its rooms at once: members, operators, a mall with an order system of its own,
and the simulated WeChat. It takes random steps while its clock goes on and jumps, no two callers' clocks agree,
everything that is told comes twice, late and in another order, and store, WeChat and mall fail at random. Then
nothing new happens until all that is due is done. What must hold in the end: the reconciler never found a number
that does not add up; every rule of every room holds, by reading every row; nothing is under way; what WeChat, the
mall and the operators' bank have, in and out, is what the books say, order by order and withdrawal by withdrawal;
each member has what they earned, less what they withdrew; and nothing is stuck but what the run explains.

`make soak` ends with such towns, under a seed that it tells, to play them again.
"""


def section(towns: Sequence[Mapping[str, Any]]) -> str:
    """The words and tables of these towns."""
    return "\n".join([INTRODUCTION, *_in_all(towns), *_by_kind(towns)])


def _in_all(towns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    sums = {
        "Towns": len(towns),
        "Seeds": ", ".join(str(town["seed"]) for town in towns),
        "Simulated days": sum(town["days"] for town in towns),
        "Steps": sum(sum(town["steps"].values()) for town in towns),
        "Rows in the end": sum(town["rows"] for town in towns),
        "Passes of the reconciler": sum(town["passes"] for town in towns),
        "Numbers that did not add up": sum(town["drifts"] for town in towns),
        "Rules that were broken": sum(len(town["wrong"]) for town in towns),
        **{f"Stuck, and explained: {name}": n for name, n in _added(towns, "stuck").items()},
        **{f"Paid, yuan: {name}": f"{fen / 100:.2f}" for name, fen in _added(towns, "fen").items()},
    }
    yield from ("| | |", "|---|---|")
    yield from (f"| {name} | {told} |" for name, told in sums.items())


def _by_kind(towns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("", "| what went wrong on purpose, or came in disorder | times |", "|---|---|")
    mixed = Counter(_added(towns, "faults")) + Counter(_added(towns, "disorder"))
    yield from (f"| {name} | {n} |" for name, n in sorted(mixed.items()))
    done = _added(towns, "done")
    yield from ("", "| step | taken | of which not refused |", "|---|---|---|")
    yield from (
        f"| {name} | {n} | {done.get(name, 0)} |" for name, n in sorted(_added(towns, "steps").items())
    )


def _added(towns: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    added: Counter[str] = Counter()
    for town in towns:
        added.update(town[name])
    return dict(added)


if __name__ == "__main__":
    tell(SECTION, section([*noted(Path(sys.argv[1]))]))
