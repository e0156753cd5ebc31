"""`docs/proof.md`: what each suite did when it was last run in full; every suite writes its own section.

A suite of several processes has each of them note lines in a folder, and one of them make the section of what all
have noted.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
SECTIONS = (
    "Races",
    "Attacks that were published",
    "Faults",
    "Conditions that are not there",
    "Months of a shop",
    "Calls that nobody meant",
    "A table of yesterday",
    "A day under load",
)
"""In this order."""
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


def note(asked: str, **told: Any) -> None:
    """Keep a line of what the test that runs did, if the environment names a folder for it as ``asked``."""
    folder = os.environ.get(asked)
    if folder:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        with (Path(folder) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"test": test, **told}) + "\n")


def noted(folder: Path) -> Iterator[dict[str, Any]]:
    """Every line that was kept in a folder."""
    for file in sorted(folder.glob("*.jsonl")):
        yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())


def tell(
    section: str, text: str, *, page: Path = DOCS / "proof.md", sections: Sequence[str] = SECTIONS
) -> None:
    """Put what a suite found in place of what its section of the page said before; ``sections``: in this order.

    Raises:
        ValueError: there is no such section.
    """
    if section not in sections:
        raise ValueError(f"no such section: {section}")
    head, told = _parts(page.read_text(encoding="utf-8"))
    page.write_text(_page(head, {**told, section: text}, sections), encoding="utf-8")


def line(*cells: object) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(str, cells))} |\n"


def _parts(page: str) -> tuple[str, dict[str, str]]:
    head, *rest = _HEADING.split(page)
    return head, dict(zip(rest[::2], rest[1::2], strict=True))


def _page(head: str, texts: Mapping[str, str], sections: Sequence[str]) -> str:
    told = [f"## {name}\n\n{texts[name].strip()}\n" for name in sections if name in texts]
    return "\n".join([f"{head.strip()}\n", *told])
