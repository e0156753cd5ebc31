"""What faults did, as tables: `make faults` has each process note its cases, and this makes pages of them.

FAULTS=all FAULT_REPORT=folder pytest tests/faults    notes a line for every case, and for every test that failed
python -m tests.faults.report folder                  makes docs/proof-faults.md, and the section of docs/proof.md
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import proof
from tests.harness.faults import PROCESS, Fault

PAGE = proof.DOCS / "proof-faults.md"
FAULTS = (*Fault, PROCESS)
SUITES = {
    "every_route": "every route that changes something",
    "killed_jobs": "jobs and readers of the stream, on the embedded store",
    "killed_gateways": "jobs that talk to WeChat Pay, before and after each write",
    "killed_workers": "jobs on DynamoDB Local, also between calls of the mall",
}
"""Tests that are counted by themselves; all others are of what rooms do."""
_ROOMS = "what rooms do, with WeChat and the mall"
_COLUMNS = ("calls", *FAULTS, "came through", "told, and called again", "violations")
_HEAD = """# Faults

Made by `make faults`. Every row is an operation: to how many of its storage calls it happened, how often which
fault did, how often the operation came through by itself all the same, how often its caller was told that it
failed, or nothing, and called again, and how many tests found a rule broken afterwards. *unreachable*: no
connection; *before*: a time-out without an effect; *after*: a time-out after the effect; *conflict*: refused by a
transaction under way; *throttle*: refused for want of throughput; *crash*: the effect is there and the process
gone, played in one process; *killed process*: a child process killed by SIGKILL after the write.

"""
_SECTION = """`make faults` makes each storage call of an operation fail in each way, then has its caller call
again as callers do, the stream's readers and the jobs run, and looks at what there is: of a route or a job the
whole table, in which nothing may be missing or there twice, every rule of every room holds, and the reconciler
proves every number; of the other operations what they are about. Each operation by itself is in
[proof-faults.md](proof-faults.md), which says what the faults are.

"""
Line = Mapping[str, Any]


def written(lines: Iterable[Line]) -> str:
    """The page, an operation a row."""
    return _HEAD + _table("operation", _by(lines, _operation))


def section(lines: Iterable[Line]) -> str:
    """The totals."""
    by_suite = _by(lines, lambda test: SUITES.get(_file(test), _ROOMS))
    return _SECTION + _table(
        "what", {**by_suite, "all": [line for some in by_suite.values() for line in some]}
    )


def _by(lines: Iterable[Line], name: Any) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        found[name(line["test"])].append(line)
    return dict(sorted(found.items()))


def _file(test: str) -> str:
    return Path(test.partition("::")[0]).stem.removeprefix("test_")


def _operation(test: str) -> str:
    name, _, which = test.partition("::")[2].removesuffix("]").partition("[")
    said = which if _file(test) in SUITES and which else name.removeprefix("test_").replace("_", " ")
    return f"{_file(test).replace('_', ' ')}: {said}"


def _table(first: str, rows: Mapping[str, Sequence[Line]]) -> str:
    head = [proof.line(first, "operations", *_COLUMNS), "|---" * (len(_COLUMNS) + 2) + "|\n"]
    return "".join([*head, *(_row(name, lines) for name, lines in rows.items())])


def _row(name: str, lines: Sequence[Line]) -> str:
    cases = [line for line in lines if "fault" in line]
    faults = Counter(line["fault"] for line in cases)
    told = [
        len({line["test"] for line in cases}),
        len({(line["test"], line["call"]) for line in cases}),
        *(faults[fault] for fault in FAULTS),
        sum(line["came_through"] for line in cases),
        sum(not line["came_through"] for line in cases),
        sum("failed" in line for line in lines),
    ]
    return proof.line(name, *told)


def main(folder: Path) -> None:
    """Make both of what was noted in a folder."""
    lines = list(proof.noted(folder))
    PAGE.write_text(written(lines), encoding="utf-8")
    proof.tell("Faults", section(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
