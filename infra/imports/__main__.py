"""Bring data over from another system: `python -m infra.imports members people.csv`, and again with `--apply`.

Without `--apply` it only looks, and says by line what is wrong, what is there already, what would be written. With
it, nothing is written while any line is wrong; each line is written once, so what broke off is done by saying it
again. TRUTH_TABLE, TRAFFIC_TABLE, AWS_REGION and STAGE say where, as `make deploy` prints them, and
DYNAMODB_ENDPOINT for a store on this machine.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from chalicelib.core import clock, table
from chalicelib.core.config import ConfigError
from chalicelib.core.doors import Operator
from chalicelib.core.errors import AppError
from chalicelib.operators import service as operators
from infra.imports import kinds, sheets
from infra.imports.kinds import KINDS, Asked, Found

AT_ONCE = 16
ERRORS_SHOWN = 100


def main(arguments: list[str]) -> int:
    """Look at a file, or write it; 0 when nothing is wrong with it."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.imports",
        description=f"{__doc__}\n{kinds.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--apply", action="store_true", help="write what is not there yet")
    parser.add_argument("--by", default="import", help="who imports, as the audit trail shows it")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except (ConfigError, AppError, sheets.Unreadable) as refused:
        print(f"Not done: {refused}", file=sys.stderr)
        return 1


def _run(given: argparse.Namespace) -> int:
    asked = Asked(by=Operator(key_id="import", name=given.by, role="owner"), now=clock.now())
    found = look(given.kind, given.file, asked)
    wrong = _tell(given.kind, found)
    if not given.apply:
        print("Nothing was written: this was a look. Say --apply to write.")
    elif wrong:
        print("Nothing was written: put the lines right first.")
    else:
        wrong = write(given.kind, given.file, found, asked)
    return 1 if wrong else 0


def look(name: str, path: Path, asked: Asked) -> list[Found]:
    """What is found of each line of a file, in its order.

    Raises:
        sheets.Unreadable: the file as a whole cannot be used.
    """
    kind: kinds.Kind[Any] = KINDS[name]
    lines = sheets.read(path, kind.line)
    unread = [Found(number=line.number, wrong=line.wrong) for line in lines if line.values is None]
    return sorted([*unread, *kind.look(lines, asked)], key=lambda one: one.number)


def write(name: str, path: Path, found: Sequence[Found], asked: Asked) -> int:
    """Write the lines that are not there yet; how many could not be written.

    The trail has it before the first line is written, so whatever breaks it off, and then how it ended.
    """
    fresh = [one for one in found if one.write is not None]
    if not fresh:
        print("0 lines were written, 0 refused.")
        return 0
    told = {"file": path.name, "sha256": sheets.digest(path), "lines": len(found)}
    _note(f"importing.{name}", name, {**told, "to_write": len(fresh)}, asked)
    with ThreadPoolExecutor(AT_ONCE) as hands:
        refused = [one for one in hands.map(_written, fresh) if one is not None]
    _show(refused)
    done = len(fresh) - len(refused)
    _note(f"imported.{name}", name, {**told, "written": done, "refused": len(refused)}, asked)
    print(f"{done} lines were written, {len(refused)} refused.")
    return len(refused)


def _note(action: str, name: str, told: dict[str, Any], asked: Asked) -> None:
    audit = operators.recorded(
        by=asked.by, action=action, subject=name, before=None, after=told, now=asked.now
    )
    table.apply(audit)


def _written(one: Found) -> Found | None:
    """Nothing, or why the line could not be written."""
    assert one.write is not None
    try:
        one.write()
    except AppError as refused:
        details = f" {dict(refused.details)}" if refused.details else ""
        return Found(number=one.number, wrong=f"{refused.code}: {refused.en}{details}")
    except table.Taken:
        return None  # another run, at the same moment, was first
    return None


def _tell(name: str, found: Sequence[Found]) -> int:
    wrong = [one for one in found if one.wrong is not None]
    there = sum(one.there for one in found)
    _show(wrong)
    fresh = len(found) - len(wrong) - there
    print(f"{name}: {len(found)} lines, {fresh} new, {there} there already, {len(wrong)} wrong.")
    return len(wrong)


def _show(wrong: Sequence[Found]) -> None:
    for one in wrong[:ERRORS_SHOWN]:
        print(f"line {one.number}: {one.wrong}", file=sys.stderr)
    if len(wrong) > ERRORS_SHOWN:
        print(f"… and {len(wrong) - ERRORS_SHOWN} more", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
