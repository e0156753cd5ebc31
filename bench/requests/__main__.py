"""`python -m bench.requests`: what requests cost, into two sections of docs/performance.md."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from statistics import median

import tests.conftest  # noqa: F401 - the environment that the app wants
from bench import page
from bench.requests import counted, cpu, memory, shop
from bench.requests.hot import Hot
from bench.requests.paired import CALLS, ROUNDS, Cost
from bench.requests.shop import Made

_CALLS = """One request of each hot operation, as Lambda is given it, by a process that has served one like it: what
is cached is warm, the rows are as the first found them. Units by AWS's published rule, from the rows before and
after (`tests/harness/counter.py`): a unit of writing is 1 KB, two in a transaction; of reading 4 KB, half where it
may be a moment old. All {routes} routes have budgets in `bench/requests/budgets.json`, which `make test` holds them
to.

"""
_CPU = """{machine}. CPU time of the whole process for one request, in turn {rounds} times {calls} of each way,
the median; the network is not there: recorded answers lie below botocore. *Bare* reads the event, makes the
same calls with a botocore client as it comes, and writes the answer: no session, no input, no expression.
Liebian's client validates no parameters and has a user agent of its own, which botocore composes anew twice for
every call otherwise; the last column is the bare handler with that client. Half of all operations cost at most
{middle:.2f} times what bare botocore does (the budget: {median}), the dearest {most:.2f} times (the budget:
{at_most}). The design had 1.3 for each: that is out of reach where there is one call alone, as what a request
costs besides (its session, its route, its input, its expressions, its line of the log) is the same for one call
and for five.

"""
_STACKS = """
Three of them as most would write them, with the same calls of DynamoDB (`bench/requests/stacks`). They check a
session with PyJWT, and do less than Liebian: no refusals that say which condition failed, no limits of calls, no
facts.

"""


def main(argv: Sequence[str]) -> int:
    """Measure, and write both sections."""
    given = _given(argv)
    with shop.opened() as there:
        everything, hot = counted.everything(there), counted.hot(there)
        if given.keep:
            counted.keep(everything)
        page.tell("Calls and units", _CALLS.format(routes=len(everything)) + counted.table(hot))
        if not given.counts:
            page.tell("CPU", told(cpu.everything(there), hot))
    return 0


def told(found: Mapping[Hot, Mapping[str, Cost]], made: Mapping[Hot, Made]) -> str:
    """The section of CPU."""
    ratios = [costs[cpu.APP].ratio for costs in found.values()]
    head = _CPU.format(
        machine=page.machine(
            "botocore", "pynamodb", "aws_lambda_powertools", "fastapi", "mangum", "pydantic"
        ),
        rounds=ROUNDS,
        calls=CALLS,
        middle=median(ratios),
        most=max(ratios),
        median=cpu.MEDIAN,
        at_most=cpu.MOST,
    )
    return head + cpu.table_of(found, made) + _STACKS + cpu.stacks_of(found) + memory.told(found, made)


def _given(argv: Sequence[str]) -> argparse.Namespace:
    asked = argparse.ArgumentParser(prog="bench.requests", description=__doc__)
    asked.add_argument("--keep", action="store_true", help="what routes cost now is what they may cost")
    asked.add_argument("--counts", action="store_true", help="count alone, measure nothing")
    return asked.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
