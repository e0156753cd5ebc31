"""One trial: the app without some terms, and who notices it; the model first, for it is quick, then the tests.

The model runs in a forked child, so that a mutant that never ends or spoils the process is a mutant noticed.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.mutations.terms import Term, without

EXAMPLES = 60
ENDS_WITHIN_S = 400
KNOWN = ("tests/integration/test_groupbuys.py",)
RACES = ("tests/races", "-k", "groupbuys and not harness_sees and not storm")
Noticed = Callable[[Set[Term]], str | None]


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


def noticed_by_tests(off: Set[Term]) -> str | None:
    """The first test that fails without these terms: those whose course is known, then the races."""
    return _in_a_child(lambda: _tested(off, KNOWN)) or _in_a_child(lambda: _tested(off, RACES))


def _tested(off: Set[Term], what: Sequence[str]) -> None:
    import pytest

    first = FirstFailure()
    with without(off):
        pytest.main(["-x", "-q", "--tb=no", "-p", "no:cacheprovider", *what], plugins=[first])
    if first.name:
        raise AssertionError(first.name)


class FirstFailure:
    """Remembers the name of the test that failed."""

    name = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One of its parts is over."""
        if report.failed and not self.name:
            self.name = report.nodeid.split("::")[-1]
