"""The page of performance: a section is told in its place, on a new page too."""

import platform
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from bench import budgets, page


def test_a_page_begins_with_its_first_section(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"

    page.tell("Cost", "Pennies.", page=path)
    page.tell("Scale", "Far.", page=path)

    assert path.read_text() == f"{page.HEAD}\n## Scale\n\nFar.\n\n## Cost\n\nPennies.\n"


def test_what_is_no_section_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Rumours"):
        page.tell("Rumours", "…", page=tmp_path / "performance.md")


def test_a_section_says_where_it_is_made() -> None:
    assert page.machine().endswith(f"Python {platform.python_version()}")
    assert page.machine("botocore").endswith(f"botocore {version('botocore')}")


def test_every_line_of_the_designs_budgets_is_counted_by_a_test_and_the_other_way_round() -> None:
    """A test that was renamed would be missed when the page is made again only."""
    texts = [file.read_text(encoding="utf-8") for file in budgets.TESTS.glob("test_*budgets.py")]
    tests = re.findall(r"^def (test_\w+)\((?:.(?!\ndef ))*?of_the_design\(", "\n".join(texts), re.M | re.S)

    assert {name.partition("[")[0] for name in budgets.ROWS} == set(tests)
