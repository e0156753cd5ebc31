"""What races did, as a table: `make races` has each process note it, and this makes `docs/proof-races.md` of it.

RACE_REPORT=folder pytest tests/races       notes a line for every race, and one for every test that failed
python -m tests.races.report folder         makes the table
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests import proof

PAGE = proof.DOCS / "proof-races.md"
_HEAD = """# Races

Made by `make races` on DynamoDB Local, which is not DynamoDB: it serves one request after the other, and refuses
what meets a transaction under way. Every row is a case of `tests/races`: how often it was played, each time with
other dice; how many calls were made at once in all, how they ended, and how many rounds broke an invariant of the
table. A case whose name begins with "the harness sees" is a version without the rule, which must break it.

| case | rounds | calls | ended | violations |
|---|---|---|---|---|
"""


def note(**told: Any) -> None:
    """Keep what happened, if somebody wants a report."""
    proof.note("RACE_REPORT", **told)


def written(lines: Iterable[Mapping[str, Any]]) -> str:
    """The page."""
    by_case: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by_case[_case(line["test"])].append(line)
    return _HEAD + "".join(_row(case, some) for case, some in sorted(by_case.items()))


def _case(test: str) -> str:
    path, _, name = test.partition("::")
    return f"{Path(path).stem.removeprefix('test_')}: {name.partition('[')[0].removeprefix('test_')}"


def _row(case: str, lines: list[Mapping[str, Any]]) -> str:
    races = [line for line in lines if "ended" in line]
    ended = sum((Counter(line["ended"]) for line in races), Counter[str]())
    told = ", ".join(f"{count} {name}" for name, count in ended.most_common())
    rounds = len({line["test"] for line in races})
    failed = sum("failed" in line for line in lines)
    return f"| {case.replace('_', ' ')} | {rounds} | {ended.total()} | {told} | {failed} |\n"


def main(folder: Path) -> None:
    """Make the page of what was noted in a folder."""
    PAGE.write_text(written(proof.noted(folder)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
