"""The page of proof: a section is told anew in its own place, and the others stay as they are."""

from pathlib import Path

import pytest

from tests import proof


def a_page(folder: Path, text: str) -> Path:
    page = folder / "proof.md"
    page.write_text(text)
    return page


def test_a_section_is_told_in_its_place(tmp_path: Path) -> None:
    page = a_page(tmp_path, "# Proof\n\nIn short.\n\n## Races\n\nA few.\n\n## A day under load\n\nIt bent.\n")

    proof.tell("Faults", "None broke.\n", page=page)

    assert page.read_text() == (
        "# Proof\n\nIn short.\n\n## Races\n\nA few.\n\n"
        "## Faults\n\nNone broke.\n\n## A day under load\n\nIt bent.\n"
    )


def test_a_section_is_told_anew(tmp_path: Path) -> None:
    page = a_page(tmp_path, "# Proof\n\n## Races\n\nA few.\n\n## Faults\n\nOld.\n")

    proof.tell("Races", "Many.", page=page)

    assert page.read_text() == "# Proof\n\n## Races\n\nMany.\n\n## Faults\n\nOld.\n"


def test_what_is_no_section_is_not_told(tmp_path: Path) -> None:
    page = a_page(tmp_path, "# Proof\n")

    with pytest.raises(ValueError, match="Rumours"):
        proof.tell("Rumours", "…", page=page)

    assert page.read_text() == "# Proof\n"


def test_lines_of_all_processes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_REPORT", str(tmp_path))
    (tmp_path / "1.jsonl").write_text('{"test": "one", "cases": 2}\n')

    proof.note("A_REPORT", cases=3)
    proof.note("ANOTHER_REPORT", cases=4)

    assert sorted(line["cases"] for line in proof.noted(tmp_path)) == [2, 3]
