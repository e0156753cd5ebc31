"""Posters: text broken by width, nothing breaks out of it, and only pictures that may stand there do."""

import xml.etree.ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.sharing import posters
from chalicelib.sharing.posters import BOXES, Box, Poster

QR = "data:image/png;base64,AA=="
SVG = "{http://www.w3.org/2000/svg}"


def a_poster(**changes: object) -> Poster:
    return msgspec.structs.replace(Poster(nickname="阿丽", title="茉莉花茶", qr=QR), **changes)


def texts(poster: Poster) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(posters.render(poster)).iter(f"{SVG}text")]


def pictures(poster: Poster) -> list[str]:
    return [one.attrib["href"] for one in ET.fromstring(posters.render(poster)).iter(f"{SVG}image")]


@given(st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_whatever_is_said_stays_in_its_lines_and_in_the_poster(text: str) -> None:
    box = BOXES["title"]
    lines = posters.wrapped(text, box)

    assert len(lines) <= box.lines
    assert all(posters._ems(line) <= box.width / box.font_size + 1 for line in lines)
    ET.fromstring(posters.render(a_poster(nickname=text, title=text)))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("明前茶", ["明前茶"]),
        ("明前茉莉花茶礼盒", ["明前茉莉花", "茶礼盒"]),
        ("明前茉莉花，茶礼盒", ["明前茉莉花，", "茶礼盒"]),
        ("明前茉莉花茶礼盒装送礼自饮", ["明前茉莉花", "茶礼盒装…"]),
        ("Tea for you", ["Tea for", "you"]),
        ("茶 Jasmine", ["茶", "Jasmine"]),
        ("Supercalifragilistic", ["Supercalif", "ragilistic"]),
    ],
)
def test_a_text_is_broken_as_people_read_it(text: str, lines: list[str]) -> None:
    assert posters.wrapped(text, Box(x=0, y=0, width=100, height=40, font_size=20, lines=2)) == lines


def test_no_name_breaks_out() -> None:
    bad = '</text><script>alert("1")</script>\x00\ud800'

    assert "<script>" not in posters.render(a_poster(nickname=bad, title=bad))


@pytest.mark.parametrize(
    ("price", "listed", "shown"),
    [(6900, 8900, "¥69¥89"), (6950, None, "¥69.50"), (6900, 6900, "¥69"), (0, None, "¥0"), (None, 8900, "")],
)
def test_a_price_is_shown_round_and_beside_a_higher_one(
    price: int | None, listed: int | None, shown: str
) -> None:
    found = [text for text in texts(a_poster(price_fen=price, list_price_fen=listed)) if "¥" in text]

    assert "".join(found) == shown


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "http://a.example/a.png", "data:text/html,x", "//a", "https://", "", None],
)
def test_a_picture_from_where_none_may_come_is_a_letter(address: str | None) -> None:
    poster = a_poster(image=address, avatar=address)

    assert pictures(poster) == [QR]
    assert {"茉", "茶", "阿"} & set(texts(poster)) == {"茉", "阿"}


def test_pictures_stand_where_the_canvas_has_them() -> None:
    address = 'https://img.example/a.png?x=1&y="'

    assert pictures(a_poster(image=address, avatar=QR)) == [QR, address, QR]
