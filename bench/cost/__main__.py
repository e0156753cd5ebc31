"""What a shop costs in a month: `python -m bench.cost --members 20000 --visits 5000`.

What is not said is taken from the number of members, as the page has it. Of a region whose prices are not all known
the lines without a price are shown with how much is asked for; give what you read for it with `--price`.
"""

import argparse
import sys
from collections.abc import Sequence

from bench import cost, page
from bench.cost import monthly, operations, prices, telling
from bench.cost.monthly import Assumed


def main(argv: Sequence[str]) -> int:
    """Print what was asked for."""
    given = _asked(argv)
    if given.recount:
        operations.write(_counted())
    elif given.tell:
        page.tell("Cost", cost.section())
    else:
        print(cost.section() if given.table else _answer(given))
    return 0


def _counted() -> operations.Table:
    # What plays them takes longer to import than an answer may take.
    from bench.cost import playing, stage

    with stage.standing() as there:
        return playing.table(there)


def _asked(argv: Sequence[str]) -> argparse.Namespace:
    asked = argparse.ArgumentParser(prog="bench.cost", description=__doc__)
    asked.add_argument("--members", type=float, default=1000)
    for name in monthly.A_THOUSAND_DO:
        asked.add_argument(f"--{name}", type=float, help="a day")
    asked.add_argument("--region", choices=prices.regions(), default="us-east-1")
    asked.add_argument("--price", action="append", default=[], type=_own, metavar="THING=AMOUNT")
    asked.add_argument("--architecture", choices=("x86_64", "arm64"), default=Assumed.architecture)
    asked.add_argument("--call-ms", type=float, default=Assumed.call_ms, help="a call of DynamoDB")
    asked.add_argument("--run-ms", type=float, default=Assumed.run_ms, help="a run of a function besides")
    asked.add_argument("--table", action="store_true", help="print the section of docs/performance.md")
    asked.add_argument("--tell", action="store_true", help="put it into docs/performance.md")
    asked.add_argument("--recount", action="store_true", help="count the operations anew")
    return asked.parse_args(argv)


def _own(told: str) -> tuple[str, float]:
    """A price that the reader has.

    Raises:
        ArgumentTypeError, ValueError: it is of nothing that is asked for, or no number.
    """
    thing, _, amount = told.partition("=")
    if thing not in prices.things():
        raise argparse.ArgumentTypeError(f"{thing} is none of {', '.join(prices.things())}")
    return thing, float(amount)


def _answer(given: argparse.Namespace) -> str:
    assumed = Assumed(call_ms=given.call_ms, run_ms=given.run_ms, architecture=given.architecture)
    use = monthly.use_of(given.members, **{name: getattr(given, name) for name in monthly.A_THOUSAND_DO})
    asked = monthly.month(use, operations.read(), assumed)
    return telling.answer(use, asked, prices.region(given.region, given=dict(given.price)), assumed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
