"""Plots: what is drawn stands where its numbers say, and is well-formed."""

import xml.etree.ElementTree as ET
from pathlib import Path

from bench import plot
from bench.plot import Line, Scale

SVG = "{http://www.w3.org/2000/svg}"


def test_a_line_goes_through_its_points_and_its_name_is_told() -> None:
    drawn = plot.lines("T", x="shards", y="%", drawn=[Line("a & b", [(0, 0), (10, 50), (20, 100)])])

    root = ET.fromstring(drawn)

    [way] = root.iter(f"{SVG}polyline")
    places = [tuple(map(float, place.split(","))) for place in way.attrib["points"].split()]
    assert places == sorted(places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)
    assert places[1] == ((places[0][0] + places[2][0]) / 2, (places[0][1] + places[2][1]) / 2)
    assert "a & b" in {text.text for text in root.iter(f"{SVG}text")}


def test_a_bar_is_as_high_as_its_value() -> None:
    root = ET.fromstring(plot.bars("T", y="minutes", drawn=[("one", 10), ("two", 20)]))

    one, two = [float(bar.attrib["height"]) for bar in root.iter(f"{SVG}rect")][1:]

    assert abs(two - 2 * one) < 0.2


def test_powers_of_ten_are_as_far_from_each_other() -> None:
    scale = Scale(1, 1000, 0, 300, log=True)

    assert [scale.at(value) for value in (0, 1, 10, 100, 1000)] == [0, 0, 100, 200, 300]
    assert scale.ticks() == [1, 10, 100, 1000]


def test_ticks_are_round_and_within() -> None:
    assert Scale(0, 73, 0, 1).ticks() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert [plot.short(value) for value in (0.5, 1500, 25_000, 2_000_000)] == ["0.5", "1,500", "25k", "2M"]


def test_a_picture_is_kept_beside_the_page(tmp_path: Path) -> None:
    shown = plot.save("claims", "<svg/>", told="Claims", folder=tmp_path / "performance")

    assert shown == "![Claims](performance/claims.svg)"
    assert (tmp_path / "performance" / "claims.svg").read_text(encoding="utf-8") == "<svg/>"
