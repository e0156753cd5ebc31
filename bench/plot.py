"""Plots as SVG text, for docs/performance.md: lines over a scale, and bars; nothing but this file draws them.

    svg = plot.lines("Claims refused", x="stock shards", y="refused, %", drawn=[Line("10,000 a second", points)])
    picture = plot.save("claims", svg, told="Claims refused by the number of stock shards")

`save` puts the picture beside the page, and answers with the line of Markdown that shows it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "performance"
COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#5c3c00", "#c2255c")
WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 76, 20, 60, 56
LETTER = 6.6
"""Pixels of one, near enough for the names above a plot."""
TICKS = 5
"""At least so many marks are on a scale, unless its values are few."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """What is drawn in one colour, and its name in the legend."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Scale:
    """From values to pixels, straight or by powers of ten, where a value of nothing stands at the low end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        low, high, here = (self._even(one) for one in (self.low, self.high, value))
        return self.start + (here - low) / ((high - low) or 1) * (self.end - self.start)

    def _even(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.log else value

    def ticks(self) -> list[float]:
        """Round values on the scale."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [10.0**n for n in powers if self.low <= 10.0**n <= self.high * 1.0001]
        step = _round_step(self.high - self.low)
        first, last = math.ceil(self.low / step), math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]


def _round_step(span: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that gives enough ticks."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    return max(k * power for k in (1, 2, 5) if k * power <= span / TICKS)


def lines(
    title: str, *, x: str, y: str, drawn: Sequence[Line], log_x: bool = False, log_y: bool = False
) -> str:
    """Lines through points; a scale by powers of ten where it is asked for."""
    across = _scale([p[0] for one in drawn for p in one.points], LEFT, WIDTH - RIGHT, log=log_x)
    up = _scale([p[1] for one in drawn for p in one.points], HEIGHT - BOTTOM, TOP, log=log_y)
    shown = [*_grid_up(up), *_grid_across(across), *_legend([line.name for line in drawn])]
    for number, line in enumerate(drawn):
        shown += _curve(line, across, up, COLOURS[number % len(COLOURS)])
    return _drawing(title, x, y, shown)


def bars(title: str, *, y: str, drawn: Sequence[tuple[str, float]]) -> str:
    """A bar for each name, from nothing up."""
    up = _scale([0.0, *(value for _, value in drawn)], HEIGHT - BOTTOM, TOP)
    room = (WIDTH - LEFT - RIGHT) / len(drawn)
    shown = _grid_up(up)
    for number, (name, value) in enumerate(drawn):
        left, top = LEFT + room * (number + 0.15), up.at(value)
        size = f'width="{room * 0.7:.1f}" height="{HEIGHT - BOTTOM - top:.1f}"'
        shown.append(f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{COLOURS[0]}"/>')
        middle = left + room * 0.35
        shown.append(_text(middle, top - 4, short(value), anchor="middle"))
        shown.append(_text(middle, HEIGHT - BOTTOM + 16, name, anchor="middle"))
    return _drawing(title, "", y, shown)


def save(name: str, svg: str, *, told: str, folder: Path = FOLDER) -> str:
    """Write the picture, and say in Markdown where it is; ``told`` is for who does not see it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    return f"![{told}]({folder.name}/{name}.svg)"


def short(value: float) -> str:
    """A number as a tick has it, three figures of it: 0.01, 25, 1,500, 40k, 2M."""
    for size, unit, letter in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= size:
            return f"{value / unit:.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _scale(values: Sequence[float], start: float, end: float, *, log: bool = False) -> Scale:
    if log:
        some = [value for value in values if value > 0] or [1.0, 10.0]
        low, high = (10.0 ** round_(math.log10(edge(some))) for round_, edge in _DECADE)
        return Scale(low, high if high > low else low * 10, start, end, log=True)
    high = max([*values, 0.0])
    step = _round_step(high)
    return Scale(min([*values, 0.0]), math.ceil(high / step) * step if high else 1.0, start, end)


_DECADE = ((math.floor, min), (math.ceil, max))


def _grid_up(up: Scale) -> list[str]:
    shown = []
    for value in up.ticks():
        y = f"{up.at(value):.1f}"
        shown.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#d0d7de"/>')
        shown.append(_text(LEFT - 6, up.at(value) + 4, short(value), anchor="end"))
    return shown


def _grid_across(across: Scale) -> list[str]:
    shown = []
    for value in across.ticks():
        x = f"{across.at(value):.1f}"
        shown.append(f'<path d="M{x} {HEIGHT - BOTTOM}v5" stroke="#57606a"/>')
        shown.append(_text(across.at(value), HEIGHT - BOTTOM + 18, short(value), anchor="middle"))
    return shown


def _curve(line: Line, across: Scale, up: Scale, colour: str) -> list[str]:
    places = [(across.at(x), up.at(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    # Of very many points only the way is shown.
    few = dots if len(dots) <= 40 else []
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *few]


def _legend(names: Sequence[str]) -> list[str]:
    """The names in a row above the plot, each beside its colour."""
    shown, x = list[str](), float(LEFT)
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        shown.append(f'<rect x="{x:.1f}" y="{TOP - 23}" width="10" height="10" fill="{colour}"/>')
        shown.append(_text(x + 16, TOP - 14, name))
        x += 40 + LETTER * len(name)
    return shown


def _text(x: float, y: float, text: str, *, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _drawing(title: str, x: str, y: str, shown: Sequence[str]) -> str:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    frame = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 22, title, more=' font-size="15" font-weight="bold"'),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x, anchor="middle"),
        _text(16, middle, y, anchor="middle", more=f' transform="rotate(-90 16 {middle:.0f})"'),
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#57606a"/>',
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
    head += 'font-family="sans-serif" font-size="12" fill="#24292f">'
    return "\n".join([head, *frame, *shown, "</svg>", ""])
