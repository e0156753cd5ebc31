"""`python -m bench.scale`: the section on scale, with its plots, in some minutes; ``--quick`` only prints one."""

import argparse
import sys
from collections.abc import Sequence

from bench import page
from bench.scale import section


def main(argv: Sequence[str]) -> int:
    """Write the section into the page, or print it."""
    asked = argparse.ArgumentParser(prog="bench.scale", description=__doc__)
    asked.add_argument(
        "--quick", action="store_true", help="as little as shows that it runs; nothing is written"
    )
    if asked.parse_args(argv).quick:
        print(section(quick=True))
        return 0
    page.tell("Scale", section())
    print(f"the section is in {page.PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
