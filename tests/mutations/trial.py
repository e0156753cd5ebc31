"""One trial: the app without some terms, and who notices it; the model first, for it is quick, then the tests.

The model runs in a forked child, so that a mutant that never ends or spoils the process is a mutant noticed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

from tests.mutations.terms import Term, without

EXAMPLES = 80
ENDS_WITHIN_S = 400
Asked = Mapping[str, Sequence[str]]
"""Which tests ask for a term."""


@contextmanager
def ground() -> Iterator[None]:
    """The embedded store, for the model."""
    import tests.conftest  # noqa: F401 - the environment that the app wants
    from infra.local import embedded, tables
    from infra.local.clients import Store

    embedded.start()
    tables.create(Store().client)
    yield
    embedded.stop()


def noticed_by_the_model(off: Set[Term], *, examples: int = EXAMPLES) -> str | None:
    """What the model says of the app without these terms; None: nothing is wrong with it."""

    def play() -> None:
        from hypothesis import Phase

        from tests.model.test_groupbuys import at_first_hand, played

        with without(off), at_first_hand():
            played(examples=examples, dice=1, phases=[Phase.generate])

    return _in_a_child(play)


def _in_a_child(play: Callable[[], None]) -> str | None:
    """What stopped it, in a word; None when it came to its end."""
    with tempfile.NamedTemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            os._exit(_played(play, Path(said.name)))
        _, status = os.waitpid(child, 0)
        words = Path(said.name).read_text().strip()
        return None if status == 0 else words or "it was killed"


def _played(play: Callable[[], None], said: Path) -> int:
    import logging
    import signal

    signal.alarm(ENDS_WITHIN_S)
    logging.disable()
    try:
        play()
    except BaseException as error:  # whatever it is, it was noticed
        said.write_text(_in_a_word(error))
        return 1
    return 0


def _in_a_word(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if lines[0] != "not as the model says:" else "not as the model says"


def noticed_by_tests(off: Set[Term], asked: Asked, *, under: Collection[str]) -> str | None:
    """The first of the tests below these folders that fails without these terms; only those that ask for them."""
    first, *others = (set(asked.get(str(term), ())) for term in off)
    tests = sorted(first.union(*others))
    chosen = [one for one in tests if one.startswith(tuple(under)) and "harness_sees" not in one]
    if not chosen:
        return None
    told = json.dumps([[term.site, term.kind, term.text] for term in sorted(off)])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "tests.mutations.plugin", "--tb=no", *chosen],
        env={**os.environ, "PROOF_OFF": told},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert failed or run.returncode == 0, run.stdout + run.stderr
    return failed[0].split(" - ")[0].split("::")[-1] if failed else None
