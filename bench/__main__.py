"""`make bench`: every part, one after the other, each a process of its own, into docs/performance.md."""

import subprocess
import sys

PARTS = (["bench.budgets"], ["bench.requests"], ["bench.cold"], ["bench.scale"], ["bench.cost", "--tell"])


def main() -> int:
    """The first part that fails says so, and ends it."""
    for part in PARTS:
        print(f"python -m {' '.join(part)}", flush=True)
        subprocess.run([sys.executable, "-m", *part], check=True)  # noqa: S603 - ours
    return 0


if __name__ == "__main__":
    sys.exit(main())
