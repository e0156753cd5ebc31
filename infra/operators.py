"""Operator keys from the command line: `python -m infra.operators add --name Wang --role owner`.

The key is printed once and stored hashed. TRUTH_TABLE, TRAFFIC_TABLE, AWS_REGION and STAGE say where, as
`make deploy` prints them.
"""

import argparse
import secrets
import sys
from typing import get_args

from chalicelib.core import clock
from chalicelib.core.config import ConfigError
from chalicelib.core.doors import Role
from chalicelib.core.errors import AppError
from chalicelib.operators import service


def main(arguments: list[str]) -> int:
    """Run one command; 0 when it was done."""
    parser = argparse.ArgumentParser(prog="python -m infra.operators", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="make a key and print it once")
    add.add_argument("--name", required=True, help="whose key it is, as the audit trail shows it")
    add.add_argument("--role", required=True, choices=get_args(Role))
    off = commands.add_parser("off", help="switch a key off; it stops working within 30 seconds")
    off.add_argument("key", help="the key itself")
    given = parser.parse_args(arguments)
    try:
        return _add(given.name, given.role) if given.command == "add" else _off(given.key)
    except (ConfigError, AppError) as refused:
        print(f"Not done: {refused}", file=sys.stderr)
        return 1


def _add(name: str, role: Role) -> int:
    secret = f"lbn_{secrets.token_urlsafe(32)}"
    operator = service.add(name=name, role=role, secret=secret, now=clock.now())
    print(
        f"{operator.name} ({operator.role}, {operator.key_id}) has this key; it is shown only now:\n{secret}"
    )
    return 0


def _off(secret: str) -> int:
    service.switch_off(secret=secret)
    print("The key is off.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
