"""`python -m infra.migrate`: rows of the shape before are written in their kind's own, while all else goes on.

    python -m infra.migrate                          only count them
    python -m infra.migrate --apply [--a-second 200]

Each row is rewritten as it was read, or left to who wrote it since, and looked at again; no revision moves, so
nobody takes it for a fact. Whatever breaks it off, it is said again. TRUTH_TABLE, TRAFFIC_TABLE, AWS_REGION and
STAGE say where, as `make deploy` prints them, and DYNAMODB_ENDPOINT for a store on this machine; docs/deploying.md
has when.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chalicelib.core import table
from chalicelib.core.config import ConfigError
from chalicelib.core.errors import AppError
from chalicelib.core.table import Raw

PAGE = 100
A_SECOND = 200


@dataclass(kw_only=True)
class Walked:
    """What one walk through the table saw."""

    looked: int = 0
    before: int = 0
    rewritten: int = 0


def walk(*, apply: bool, pause: Callable[[int], None]) -> Walked:
    """Every row once; ``pause`` is told after each page how many were rewritten in it."""
    walked = Walked()
    for page in _pages():
        before = [item for item in page if table.is_of_before(item)]
        done = sum(table.rewrite(item) for item in before) if apply else 0
        walked.looked += len(page)
        walked.before += len(before)
        walked.rewritten += done
        pause(done)
    return walked


def _pages() -> Iterator[list[Raw]]:
    after = None
    while True:
        items, after = table.scan(limit=PAGE, after=after)
        yield items
        if after is None:
            return


def at_most(a_second: int) -> Callable[[int], None]:
    """The pause that keeps to so many rows a second."""

    def pause(rewritten: int) -> None:
        time.sleep(rewritten / a_second)

    return pause


def main(arguments: list[str]) -> int:
    """Walk until a walk finds nothing; 0 when it does."""
    import app  # noqa: F401, PLC0415 - every room's kinds are known, with their shapes

    parser = argparse.ArgumentParser(prog="python -m infra.migrate", description=__doc__.splitlines()[0])
    parser.add_argument("--apply", action="store_true", help="write")
    parser.add_argument("--a-second", type=int, default=A_SECOND, help="how many rows at most")
    given = parser.parse_args(arguments)
    try:
        while True:
            found = walk(apply=given.apply, pause=at_most(given.a_second))
            print(f"{found.looked} rows, {found.before} of the shape before, {found.rewritten} rewritten.")
            if not given.apply or not found.before:
                return int(bool(found.before))
    except (ConfigError, AppError) as refused:
        print(f"Not done: {refused}; say it again to go on.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
