"""CSV files as lines of plain values, and what is wrong with them, by line."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

L = TypeVar("L", bound=msgspec.Struct)


class Unreadable(Exception):
    """The file as a whole cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Line(Generic[L]):
    """One line of a file, by its number in it: its values, or what is wrong with it."""

    number: int
    values: L | None
    wrong: str | None = None


def read(path: Path, kind: type[L]) -> list[Line[L]]:
    """The lines of a file; its header names the columns, empty cells are as if the column were not there.

    Raises:
        Unreadable: there is no such file, it is no text, or its header has a column too many or too few.
    """
    rows = csv.reader(io.StringIO(_text(path), newline=""))
    header = [name.strip() for name in next(rows, [])]
    fields = msgspec.structs.fields(kind)
    known = {field.name for field in fields}
    needed = {field.name for field in fields if field.required}
    if set(header) - known or needed - set(header) or len(set(header)) < len(header):
        raise Unreadable(f"the header must name {_told(needed)}, and may name {_told(known - needed)}")
    return [_line(rows.line_num, header, cells, kind) for cells in rows if any(map(str.strip, cells))]


def digest(path: Path) -> str:
    """What tells a file from every other, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _told(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing else"


def _text(path: Path) -> str:
    """The text of a file; what spreadsheets save in China is GB 18030 unless said otherwise."""
    try:
        content = path.read_bytes()
    except OSError as missing:
        raise Unreadable(f"{path} cannot be read: {missing.strerror}") from missing
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        return content.decode("gb18030")
    except UnicodeDecodeError as broken:
        line = content.count(b"\n", 0, broken.start) + 1
        raise Unreadable(f"{path} is neither UTF-8 nor GB 18030: see line {line}") from broken


def _line(number: int, header: Sequence[str], cells: Sequence[str], kind: type[L]) -> Line[L]:
    if len(cells) > len(header):
        return Line(number=number, values=None, wrong=f"{len(cells)} cells under {len(header)} columns")
    given: dict[str, Any] = {
        name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()
    }
    try:
        return Line(number=number, values=msgspec.convert(given, kind, strict=False))
    except msgspec.ValidationError as wrong:
        return Line(number=number, values=None, wrong=str(wrong).replace("`$.", "`"))
