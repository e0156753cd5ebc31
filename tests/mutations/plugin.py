"""What a run of the tests is told by its environment: which terms to forget, and where to note which are asked.

PROOF_OFF='[["<site>", "<kind>", "<text>"]]' pytest -p tests.mutations.plugin tests/races
PROOF_NOTES=notes.json pytest -p tests.mutations.plugin tests        # {term: [the tests that ask for it]}
"""

import json
import os
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest

_worn = ExitStack()
_asked: defaultdict[str, list[str]] = defaultdict(list)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Everything is imported: from here on."""
    from tests.mutations import terms

    off = {
        terms.Term(site=site, kind=kind, text=text)
        for site, kind, text in json.loads(os.environ.get("PROOF_OFF", "[]"))
    }
    if off:
        _worn.enter_context(terms.without(off))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> object:
    """Note what the test asks for."""
    from tests.mutations import terms

    if "PROOF_NOTES" not in os.environ:
        return (yield)
    with terms.recording() as seen:
        try:
            return (yield)
        finally:
            for term in seen:
                _asked[str(term)].append(item.nodeid)


def pytest_unconfigure() -> None:
    """Write it down."""
    _worn.close()
    if "PROOF_NOTES" in os.environ:
        Path(os.environ["PROOF_NOTES"]).write_text(json.dumps(_asked, ensure_ascii=False, indent=1))
