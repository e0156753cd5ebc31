"""The pages made from the code are as the code has them now."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra import docs

ROOT = Path(__file__).parents[2]


def test_the_pages_are_as_the_code_has_them() -> None:
    # In a process of its own: here other tests have added rows and errors.
    done = subprocess.run(
        [sys.executable, "-m", "infra.docs", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write to, and two pages."""
    folder = tmp_path / "docs"
    folder.mkdir()
    monkeypatch.setattr(docs, "DOCS", folder)
    monkeypatch.setattr(docs, "pages", lambda: {"one.md": "一\n", "two.json": "{}\n"})
    return folder


def test_pages_are_written_and_then_the_same(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main([]) == 0
    assert (elsewhere / "one.md").read_text(encoding="utf-8") == "一\n"
    assert capsys.readouterr().out.splitlines() == ["docs/one.md written", "docs/two.json written"]

    assert docs.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("found", [None, "old\n"])
def test_a_page_that_differs_is_named_and_left_alone(
    found: str | None, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs.main([])
    capsys.readouterr()
    page = elsewhere / "two.json"
    page.unlink() if found is None else page.write_text(found)

    assert docs.main(["--check"]) == 1
    said = capsys.readouterr()
    assert said.out == "docs/two.json is not as the code has it\n" and "make docs" in said.err
    assert (page.read_text() if page.exists() else None) == found


def test_errors_are_sorted_by_status_and_code_and_complete() -> None:
    page = docs.pages()["errors.md"]
    statuses = [int(status) for status in re.findall(r"^## (\d+)$", page, re.MULTILINE)]
    rows = re.findall(r"^\| `(\w+)` \|.*\|$", page, re.MULTILINE)

    assert statuses == sorted(set(statuses))
    assert rows == [kind.code for kind in docs.errors()]
    assert "Retry-After: 60" in next(line for line in page.splitlines() if "`login_too_often`" in line)


@pytest.mark.parametrize(
    "text",
    [
        "Rows.\n\n    entity  pk\n    A       a\n\n    * a note\n\nMore.",
        "Rows.\n\n    entity  pk\n    A       a\n\n    * a note",
    ],
)
def test_a_table_stays_as_it_stands(text: str) -> None:
    before, table, after = re.split(r"```(?:text)?\n?", docs._fenced(text))

    assert before == "Rows.\n\n"
    assert table == "entity  pk\nA       a\n\n* a note\n"
    assert after.strip() in ("", "More.")


def test_a_docstring_without_a_table_stays_as_it_is() -> None:
    assert docs._fenced("Nothing here is\nan entity of ours.") == "Nothing here is\nan entity of ours."
