"""`docs/performance.md`: each part of the bench writes its own section, and leaves the others as they are."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from tests import proof

PAGE = proof.DOCS / "performance.md"
SECTIONS = (
    "The design's budgets",
    "Before and after",
    "Calls and units",
    "CPU",
    "Cold start",
    "Scale",
    "Cost",
)
"""In this order; what was before cannot be measured again, so that the second is written by hand."""
HEAD = """# Performance

What an operation costs, in calls, units, CPU, waiting and money. `make bench` makes this page, and
`python -m bench.<part>` one section of it. Figures that hang on the machine are ratios within one run; each section
says where it was made.
"""


def tell(heading: str, text: str, *, page: Path = PAGE) -> None:
    """Put a section into its place, on a new page where there is none yet.

    Raises:
        ValueError: there is no such section.
    """
    if not page.exists():
        page.write_text(HEAD, encoding="utf-8")
    proof.tell(heading, text, page=page, sections=SECTIONS)


def machine(*packages: str) -> str:
    """Where a section is made: cores, kind of processor, Python, and the versions of these packages."""
    told = ", ".join(f"{package} {version(package)}" for package in packages)
    here = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    return f"{here}, {told}" if told else here
