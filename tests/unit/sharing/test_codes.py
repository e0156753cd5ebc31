"""QR codes: the SVG and the PNG show one and the same code, and the code is what the standard says it is."""

import re
import subprocess
import sys
from io import BytesIO
from xml.etree import ElementTree

import png
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.sharing.codes import PIXELS_A_MODULE, QUIET_ZONE, qr_png, qr_svg

LINK = "https://abcdefghij.execute-api.cn-northwest-1.amazonaws.com.cn/api/s/7KQ2MXW9ND"
SVG = "{http://www.w3.org/2000/svg}"
FINDER = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]


def svg_modules(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    size = int(root.attrib["viewBox"].split()[2])
    rows = [["0"] * size for _ in range(size)]
    x = y = 0
    for command, dx, dy, width in re.findall(r"([Mm])(\d+) ([\d.]+)h(\d+)", root[1].attrib["d"]):
        x, y = (int(dx), int(float(dy))) if command == "M" else (x + int(dx), y)
        rows[y][x : x + int(width)] = "1" * int(width)
        x += int(width)
    return ["".join(row) for row in rows]


def png_modules(data: bytes) -> list[str]:
    _, _, pixels, _ = png.Reader(bytes=data).read()
    middle = PIXELS_A_MODULE // 2
    rows = list(pixels)[middle::PIXELS_A_MODULE]
    return ["".join("0" if pixel else "1" for pixel in row[middle::PIXELS_A_MODULE]) for row in rows]


@pytest.mark.parametrize("text", [LINK, "HELLO", "https://例子.中国/s/分享", "x" * 600])
def test_svg_and_png_show_the_same_modules(text: str) -> None:
    assert svg_modules(qr_svg(text)) == png_modules(qr_png(text))


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=120, alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_text_gives_a_code_of_a_legal_size(text: str) -> None:
    modules = svg_modules(qr_svg(text))

    assert (len(modules) - 2 * QUIET_ZONE - 17) % 4 == 0
    assert {len(row) for row in modules} == {len(modules)}


def test_code_has_three_finders_a_quiet_zone_and_level_m() -> None:
    rows = svg_modules(qr_svg(LINK))
    code = [row[QUIET_ZONE:-QUIET_ZONE] for row in rows[QUIET_ZONE:-QUIET_ZONE]]

    assert [row[:7] for row in code[:7]] == FINDER
    assert [row[-7:] for row in code[:7]] == FINDER
    assert [row[:7] for row in code[-7:]] == FINDER
    assert set("".join(rows[:QUIET_ZONE] + rows[-QUIET_ZONE:])) == {"0"}
    assert {row[:QUIET_ZONE] + row[-QUIET_ZONE:] for row in rows} == {"0" * 2 * QUIET_ZONE}
    assert int(code[8][:2], 2) ^ 0b10 == 0b00  # the format's first two bits, unmasked: 00 is level M


def test_svg_is_one_path_on_white_and_small() -> None:
    svg = qr_svg(LINK)

    root = ElementTree.fromstring(svg)
    ground, path = root

    assert root.tag == f"{SVG}svg" and set(root.attrib) == {"viewBox", "shape-rendering"}
    assert ground.tag == f"{SVG}rect" and ground.attrib["fill"] == "#fff"
    assert path.tag == f"{SVG}path" and path.attrib["stroke"] == "#000"
    assert len(svg) < 4096


def test_png_is_a_square_black_and_white_png() -> None:
    data = qr_png(LINK)

    width, height, _, info = png.Reader(BytesIO(data)).read()

    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert width == height == len(svg_modules(qr_svg(LINK))) * PIXELS_A_MODULE
    assert info["greyscale"] and info["bitdepth"] == 1
    assert len(data) < 4096


def test_importing_the_module_does_not_import_qrcode() -> None:
    script = "import sys, chalicelib.sharing.codes; sys.exit('qrcode' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
