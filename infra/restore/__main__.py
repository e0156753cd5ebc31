"""Work with a truth table of an earlier time, step by step; docs/restore.md has the drill.

    python -m infra.restore off --why "..."          nothing is paid out from here on
    python -m infra.restore table --at 2026-01-31T09:30:00+08:00 --as NAME     the table as it was, under a name
    python -m infra.restore bills                    take in what came and went since, by WeChat Pay's bills
    python -m infra.restore payouts FILE.csv         take in what people or the mall paid
    python -m infra.restore reconcile                prove the books, and say what is left
    python -m infra.restore on                       pay again, once all of this is done

TRUTH_TABLE, TRAFFIC_TABLE, AWS_REGION, STAGE and SECRETS say where, as `make deploy` prints them, and
DYNAMODB_ENDPOINT for a store on this machine; other settings are those of .chalice/config.json. Each step may be
said again: what it did before it does not do twice. Exit code 1 when something is not done yet.
"""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from chalicelib.core import clock, config
from chalicelib.core.config import ConfigError
from chalicelib.core.doors import Operator
from chalicelib.core.errors import AppError
from infra import doctor
from infra.imports import sheets
from infra.restore import payouts, steps, tables
from infra.restore.steps import NotYet, Step


def main(arguments: list[str]) -> int:
    """Take one step; 0 when nothing of it is left."""
    import app  # noqa: F401, PLC0415 - every room is there, with its jobs and what it does about a fact

    given = _parser().parse_args(arguments)
    _as_the_functions()
    step = Step(by=Operator(key_id="restore", name=given.by, role="owner"), now=clock.now())
    steps_: dict[str, Callable[[], bool]] = {
        "off": lambda: steps.off(given.why, step),
        "table": lambda: tables.restore(name=given.name, at=int(given.at.timestamp()), step=step),
        "bills": lambda: steps.bills(step),
        "payouts": lambda: payouts.take_in(given.file, step),
        "reconcile": lambda: steps.reconcile(step),
        "on": lambda: steps.on(step, although=given.although),
    }
    try:
        return 0 if steps_[given.step]() else 1
    except (ConfigError, AppError, NotYet, sheets.Unreadable) as refused:
        print(f"Not done: {refused}", file=sys.stderr)
        return 1


def _as_the_functions() -> None:
    """The settings that the functions of the stage have, where the shell does not say otherwise.

    Without them WeChat Pay would seem to have no part in it, and its bills not to be needed.
    """
    for name, value in doctor.environment(os.environ.get("STAGE", "")).items():
        os.environ.setdefault(name, value)
    config.reset()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.restore",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--by", default="restore", help="who does it, as the audit trail shows it")
    step = parser.add_subparsers(dest="step", required=True)
    step.add_parser("off").add_argument("--why", required=True)
    table = step.add_parser("table")
    table.add_argument("--at", required=True, type=_time, help="the time, with its zone")
    table.add_argument("--as", required=True, dest="name", help="the new table's name")
    step.add_parser("bills")
    step.add_parser("payouts").add_argument("file", type=Path)
    step.add_parser("reconcile")
    on = step.add_parser("on")
    on.add_argument("--although", default="", help="why what is left to people is no reason to wait")
    return parser


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError("say the zone, as in 2026-01-31T09:30:00+08:00")
    return at


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
