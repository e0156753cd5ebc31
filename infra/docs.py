"""The pages that are made from the code: `python -m infra.docs` writes them, `--check` says whether they differ.

docs/errors.md            from the error classes: when, what the page should do, the words for people
docs/openapi.json         the contract, as `/v1/openapi.json` answers it
docs/access-patterns.md   from the docstrings of the modules that keep rows
"""

import argparse
import inspect
import itertools
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from chalicelib.core import contract
from chalicelib.core.errors import AppError
from chalicelib.core.table import Row

T = TypeVar("T")
DOCS = Path(__file__).parents[1] / "docs"
_MADE = "Made by `make docs` from the code; changes here are lost."
_ERRORS = f"""# Errors

{_MADE}

Every refusal has the same shape, and its `code` never changes:

```json
{{"error": {{"code": "not_found", "message": "This does not exist.", "details": {{}}, "request_id": "…"}}}}
```

`message` is for people, in Chinese when `Accept-Language` begins with `zh`, else in English. Programs go by
`code`, and by the status for codes they do not know.
"""
_PATTERNS = f"""# Access patterns

{_MADE}

Which rows there are, under which keys, who writes and who reads them. A room's rows are written and read by its
own service only. Design: two tables, `truth` and `traffic`, and three indexes on the first, `due`, `owner`, `rank`.
"""


def pages() -> dict[str, str]:
    """Every page by its name in docs/."""
    import app  # noqa: F401, PLC0415 - registers the routes, and with them everything that can be refused

    return {
        "errors.md": errors_page(),
        "openapi.json": json.dumps(contract.document(), indent=2, ensure_ascii=False) + "\n",
        "access-patterns.md": access_patterns_page(),
    }


def errors() -> list[type[AppError]]:
    """Every error that has a code of its own, by status and code.

    The others are families, which are never answered, and signals inside a module, which never leave it.
    """
    # The root is never answered itself: what it says is what InternalError says.
    own = [kind for kind in _below(AppError) if "code" in vars(kind) or AppError in kind.__bases__]
    ours = {kind for kind in own if kind.__module__.startswith("chalicelib.")}
    return sorted(ours, key=lambda kind: (kind.status, kind.code))


def errors_page() -> str:
    """What each code means and what to do about it."""
    parts = [_ERRORS]
    for status, kinds in itertools.groupby(errors(), key=lambda kind: kind.status):
        head = "| code | when | what the page should do | zh | en |\n|---|---|---|---|---|"
        parts.append("\n".join([f"## {status}\n", head, *map(_row, kinds), ""]))
    return "\n".join(parts)


def access_patterns_page() -> str:
    """The docstring of every module that keeps rows, with its table as it stands."""
    names = {kind.__module__ for kind in _below(Row) if kind.__module__.startswith("chalicelib.")}
    sections = [
        f"## {_place(name)}\n\n{_fenced(inspect.getdoc(sys.modules[name]) or '')}\n" for name in names
    ]
    return "\n".join([_PATTERNS, *sorted(sections)])


def _row(kind: type[AppError]) -> str:
    again = "" if kind.retry_after_s is None else f" `Retry-After: {kind.retry_after_s}`"
    cells = (f"`{kind.code}`", _one_line(kind.__doc__), kind.advice + again, kind.zh, kind.en)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _place(module: str) -> str:
    return module.removeprefix("chalicelib.").removesuffix(".models").replace(".", "/")


def _fenced(text: str) -> str:
    """The text with its table as it stands, from the line of headings to the next text that is not set in."""
    lines = text.splitlines()
    first = next((at for at, line in enumerate(lines) if line.lstrip().startswith("entity ")), None)
    if first is None:
        return text
    last = _empty(lines, first)
    while last + 1 < len(lines) and lines[last + 1].startswith("    "):
        last = _empty(lines, last + 1)
    table = textwrap.dedent("\n".join(lines[first:last]))
    return "\n".join([*lines[:first], "```text", table, "```", *lines[last:]])


def _empty(lines: Sequence[str], start: int) -> int:
    return next((at for at in range(start, len(lines)) if not lines[at].strip()), len(lines))


def _below(kind: type[T]) -> Iterator[type[T]]:
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` name those that differ; 1 when one does."""
    parser = argparse.ArgumentParser(prog="python -m infra.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail when a page differs")
    given = parser.parse_args(arguments)
    wanted = {DOCS / name: text for name, text in pages().items()}
    differing = [path for path, text in wanted.items() if _read(path) != text]
    for path in differing:
        print(f"{path.relative_to(DOCS.parent)} {'is not as the code has it' if given.check else 'written'}")
        if not given.check:
            path.write_text(wanted[path], encoding="utf-8")
    if differing and given.check:
        print("Run `make docs` and commit what it writes.", file=sys.stderr)
    return int(given.check and bool(differing))


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
