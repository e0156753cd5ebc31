"""Cold start and package: from a new process to its first answer, and what is unpacked for it.

python -m bench.cold            the section of docs/performance.md; some minutes, and it fetches wheels of two kinds
packages.py                     the packages of this working tree, as `make package` makes them, and their sizes
runtime.py                      Lambda's Runtime API, of which the real runtime client asks its one event
store.py                        what answers for DynamoDB and Parameter Store
bare.py                         the floor: a handler of botocore alone
functions.py                    the functions that are deployed, each with an event and its variables
starting.py                     one cold start, measured
rounds.py                       all of them in turn, several times over
imports.py                      where the time of importing goes, and what is imported later than that
telling.py                      the section
"""

import tempfile
from pathlib import Path


def section() -> str:
    """Measure everything, and tell it as Markdown."""
    from bench.cold import imports, packages, rounds, telling

    with tempfile.TemporaryDirectory() as folder:
        made = packages.make(Path(folder))
        starts = rounds.play(made)
        return telling.section(made, starts, imports.measure(made.lean.task))
