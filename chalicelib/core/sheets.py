"""A list as CSV that spreadsheets open as it is: UTF-8 with a byte order mark, times as people read them, and no
cell that begins a formula, whatever members have typed into it.
"""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

_STARTS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_BOM = "\ufeff"


def columns_of(items: type[Any]) -> list[str]:
    """The columns of a list whose answer is this struct: the fields of one of its ``items``."""
    (kind,) = (field.type for field in msgspec.structs.fields(items) if field.name == "items")
    return [field.name for field in msgspec.structs.fields(kind.__args__[0])]


def csv_of(columns: Sequence[str], rows: Sequence[Any], *, zone: ZoneInfo) -> str:
    """The rows as text, under a line that names the columns; ``zone`` is where times are told."""
    text = io.StringIO()
    text.write(_BOM)
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(name, getattr(row, name), zone) for name in columns] for row in rows)
    return text.getvalue()


def _cell(column: str, value: Any, zone: ZoneInfo) -> str | int:
    if value is None:
        return ""
    if type(value) is int:
        return _time(value, zone) if _is_time(column) and value else value
    return _harmless(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _is_time(column: str) -> bool:
    return column in ("at", "since") or column.endswith("_at")


def _time(at: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S}"


def _harmless(text: str) -> str:
    # OWASP: a quote in front makes a spreadsheet show the text and not work it out; spaces before do not help.
    return f"'{text}" if text.lstrip(" ").startswith(_STARTS_A_FORMULA) else text
