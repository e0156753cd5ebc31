"""One trial: the app without some terms, and who notices: tests of a known course, the model, the races.

Each runs in a forked child, so that a mutant that never ends or spoils the process is a mutant noticed.
"""

import functools
import importlib
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mutations.terms import Term, recording, without

REPORT = Path(__file__).parents[2] / "docs" / "proof-groupbuys.md"
EXAMPLES = 60
CPU_S = 200.0
MEETINGS = ("test_groupbuys_meetings", "test_groupbuys_as_shown", "test_groupbuy_campaigns_meetings")
MODULES = (*MEETINGS, "test_groupbuys", "test_groupbuy_payments")
"""Tests that want next to nothing, and are played without pytest."""
FIXTURED = ("test_groupbuy_campaigns", "test_stuck", "test_due", "test_facts")
"""Tests with fixtures of their own, which pytest plays."""
_RACED = "groupbuy or test_stuck or due_work or facts_once"
RACES = ("tests/races", "-k", f"({_RACED}) and not harness_sees and not storm")
Noticed = Callable[[Set[Term], Set[str]], str | None]


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


def noticed_by_the_model(off: Set[Term], but: Set[str]) -> str | None:
    """What the model says of the app without these terms; None: nothing is wrong with it."""

    def play() -> None:
        from hypothesis import Phase

        from tests.model.test_groupbuys import at_first_hand, played

        with without(off), at_first_hand():
            played(examples=EXAMPLES, dice=1, phases=[Phase.generate])

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

    signal.setitimer(signal.ITIMER_PROF, CPU_S)
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


def noticed_by_a_meeting(off: Set[Term], but: Set[str]) -> str | None:
    """The first of the meetings of a known course that ends otherwise without these terms.

    ``but``: tests that do not count, as they notice one of several alone.
    """
    return _noticed_in(MEETINGS, off, but)


def noticed_by_a_course(off: Set[Term], but: Set[str]) -> str | None:
    """The same of all other tests of the rules, those with fixtures last."""
    plain = [one for one in MODULES if one not in MEETINGS]
    return _noticed_in(plain, off, but) or _noticed_by_pytest(off, but)


def _noticed_in(modules: Sequence[str], off: Set[Term], but: Set[str]) -> str | None:
    return next(filter(None, (_in_a_child(lambda: _coursed(off, one, but)) for one in modules)), None)  # noqa: B023


def _coursed(off: Set[Term], module: str, but: Set[str]) -> None:
    """Raises AssertionError: which of the tests that ask for these terms failed."""
    from tests.model.test_groupbuys import at_first_hand

    with without(off), at_first_hand():
        for (name, test), asked in asked_by(module):
            try:
                if off <= asked and name not in but:
                    _kept_to(test)
            except (Exception, pytest.fail.Exception) as failure:
                raise AssertionError(name) from failure


def _kept_to(test: Callable[[], None]) -> None:
    from chalicelib.core import table
    from tests.factories import emptied
    from tests.groupbuys import broken
    from tests.harness.rows import rows

    emptied()
    test()
    for row in rows(table.client(), "truth", kind="groupbuy"):
        assert not broken(table.client(), row["campaign_id"])


Course = tuple[str, Callable[[], None]]


@functools.cache
def asked_by(module: str) -> list[tuple[Course, Set[Term]]]:
    """The tests of a module, each with the terms that it asks for when nothing is switched off."""
    from tests.model.test_groupbuys import at_first_hand

    found: list[tuple[Course, Set[Term]]] = []
    for course in courses(module):
        with recording() as asked, at_first_hand():
            _kept_to(course[1])
        found.append((course, asked))
    return found


def every_term() -> set[Term]:
    """The terms that any of these tests ask for."""
    plain = (asked for module in MODULES for _, asked in asked_by(module))
    return set().union(*plain, *asked_by_pytest().values())


def courses(module: str) -> Iterator[Course]:
    """The tests of a module, but for those that want more than nothing or a patch."""

    def patched(test: Callable[..., None]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            test(patch)

    for name, test in vars(importlib.import_module(f"tests.integration.{module}")).items():
        wants = list(inspect.signature(test).parameters) if name.startswith("test_") else ["-"]
        if not wants:
            yield name, test
        elif wants == ["monkeypatch"]:
            yield name, functools.partial(patched, test)
        elif len(wants) == 1 and _marked(test):
            yield from ((name, functools.partial(test, one)) for one in _marked(test))


def _marked(test: Any) -> list[Any]:
    """What a test is run with, one after the other."""
    marks = getattr(test, "pytestmark", ())
    return [one for mark in marks if mark.name == "parametrize" for one in mark.args[1]]


def _noticed_by_pytest(off: Set[Term], but: Set[str]) -> str | None:
    """The first of the tests with fixtures that fails without these terms."""
    asking = [one for one, asked in asked_by_pytest().items() if off <= asked and _name_of(one) not in but]
    return _in_a_child(lambda: _failed(off, *asking)) if asking else None


@functools.cache
def asked_by_pytest() -> dict[str, Set[Term]]:
    """The tests with fixtures, each with the terms that it asks for when nothing is switched off."""
    with tempfile.NamedTemporaryFile("w+") as noted:
        failed = _in_a_child(lambda: _note(Path(noted.name)))
        assert failed is None, failed
        told = json.loads(Path(noted.name).read_text())
    return {test: set(map(Term.parsed, terms)) for test, terms in told.items()}


def _note(where: Path) -> None:
    asking = Asking()
    played = _pytest(asking, *(f"tests/integration/{module}.py" for module in FIXTURED))
    assert played == 0, "the tests fail with every term in its place"
    where.write_text(json.dumps({test: sorted(map(str, terms)) for test, terms in asking.asked.items()}))


class Asking:
    """Remembers which terms each test asked for."""

    def __init__(self) -> None:
        self.asked: dict[str, Set[Term]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """One of them is played."""
        with recording() as asked:
            yield
        self.asked[item.nodeid] = asked


def noticed_by_a_race(off: Set[Term], but: Set[str]) -> str | None:
    """The first race that is lost without these terms."""
    return _in_a_child(lambda: _failed(off, *RACES))


def _failed(off: Set[Term], *tests: str) -> None:
    """Raises AssertionError: which of the tests failed first."""
    first = FirstFailure()
    with without(off):
        _pytest(first, "-x", *tests)
    if first.name:
        raise AssertionError(first.name)


def _pytest(plugin: object, *asked: str) -> int:
    return int(pytest.main(["-q", "--tb=no", "-p", "no:cacheprovider", *asked], plugins=[plugin]))


def _name_of(test: str) -> str:
    return test.rpartition("::")[2].partition("[")[0]


class FirstFailure:
    """Remembers the name of the test that failed."""

    name = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One of its parts is over."""
        if report.failed and not self.name:
            self.name = _name_of(report.nodeid)
