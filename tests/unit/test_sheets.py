"""Lists as CSV: a spreadsheet opens them as they are, and works nothing out of what members have typed."""

import csv
import io
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import sheets
from chalicelib.core.http import Items
from tests.factories import NOW

SHANGHAI = ZoneInfo("Asia/Shanghai")


class Line(msgspec.Struct, kw_only=True):
    """One line."""

    name: Any = ""
    paid_at: int | None = None
    since: int | None = None
    amount_fen: int = 0
    head: bool = False


def sheet(*lines: Line) -> list[list[str]]:
    """The cells, as a spreadsheet reads them."""
    text = sheets.csv_of(sheets.columns_of(Items[Line]), lines, zone=SHANGHAI)
    assert text.encode().startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def cell(value: Any) -> str:
    """What a text becomes."""
    return sheet(Line(name=value))[1][0]


def test_a_list_with_nothing_in_it_still_names_its_columns() -> None:
    assert sheet() == [["name", "paid_at", "since", "amount_fen", "head"]]


def test_times_are_told_where_the_brand_is_and_money_stays_in_fen() -> None:
    (_, line, empty) = sheet(Line(name="茶", paid_at=NOW, since=NOW, amount_fen=-5), Line())

    assert line == ["茶", "2026-01-01 10:00:00", "2026-01-01 10:00:00", "-5", "false"]
    assert empty == ["", "", "", "0", "false"]


def test_what_is_no_text_is_told_as_json() -> None:
    assert cell({"a": [1, "茶"]}) == '{"a":[1,"茶"]}'
    assert cell(["=1"]) == '["=1"]'


@pytest.mark.parametrize(
    "begins", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " =", "   @"]
)
def test_a_cell_never_begins_a_formula(begins: str) -> None:
    formula = f'{begins}HYPERLINK("http://x","y")'

    assert cell(formula) == f"'{formula}"


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")))
def test_every_text_comes_back_as_it_was_but_for_the_quote(text: str) -> None:
    found = cell(text)

    assert found in (text, f"'{text}")
    assert found.lstrip(" ")[:1] not in {*"=+-@\t\r\n＝＋－＠"}
