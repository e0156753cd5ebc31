"""Posters (海报): what a mini-program paints on its canvas, and the same as one SVG, painted by us.

Pure functions: the measures of a poster of 750 × 1334 px, as wide as a phone's screen is to a mini-program (rpx),
and how a text is broken into lines. Chinese has no spaces, so a line may end behind any character, but a mark that
ends a sentence begins none.
"""

import html
import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

WIDTH, HEIGHT = 750, 1334


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """Where something stands, in px of the poster; of a text, its letters' height and how many lines it has."""

    x: int
    y: int
    width: int
    height: int
    radius: int = 0
    font_size: int = 0
    line_height: int = 0
    lines: int = 0


BOXES: Mapping[str, Box] = {
    "avatar": Box(x=48, y=48, width=96, height=96, radius=48),
    "nickname": Box(x=168, y=52, width=534, height=44, font_size=34, line_height=44, lines=1),
    "invitation": Box(x=168, y=104, width=534, height=36, font_size=26, line_height=36, lines=1),
    "card": Box(x=32, y=184, width=686, height=1118, radius=28),
    "image": Box(x=60, y=212, width=630, height=630, radius=16),
    "title": Box(x=60, y=868, width=630, height=108, font_size=38, line_height=54, lines=2),
    "price": Box(x=60, y=1000, width=630, height=64, font_size=60, line_height=64, lines=1),
    "scan": Box(x=60, y=1156, width=420, height=44, font_size=32, line_height=44, lines=1),
    "hint": Box(x=60, y=1206, width=420, height=36, font_size=24, line_height=36, lines=1),
    "qr": Box(x=514, y=1106, width=176, height=176),
}

_WORDS = {
    "zh": {"invitation": "推荐给你", "scan": "长按或扫码查看", "hint": "微信扫一扫，立即打开"},
    "en": {"invitation": "found this for you", "scan": "Scan to open", "hint": "With WeChat's Scan"},
}
_TOKENS = re.compile(r"\s+|[A-Za-z0-9][A-Za-z0-9.,'%+/&-]*|.", re.DOTALL)
_ENDING = "，。！？、；：）》」』”’…,.!?;:)%"
_UNPRINTABLE = "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
_NARROW, _WIDE = "iljtfrI1.,:;'!|()[] ", "mwMW@%"
_FONTS = "'PingFang SC','Noto Sans CJK SC','Noto Sans SC','Microsoft YaHei',sans-serif"


class Poster(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on it. Pictures are addresses; `render` shows none that is not https or a picture itself."""

    nickname: str
    title: str
    qr: str
    avatar: str | None = None
    image: str | None = None
    price_fen: int | None = None
    list_price_fen: int | None = None
    lang: str = "zh"


def words(lang: str) -> Mapping[str, str]:
    """What a poster says besides."""
    return _WORDS["zh" if lang == "zh" else "en"]


def wrapped(text: str, box: Box) -> list[str]:
    """The text in the lines that the box has; what does not fit ends in an ellipsis."""
    room, lines = box.width / box.font_size, [""]
    for token in _TOKENS.findall(_clean(text)):
        for piece in _pieces(token, room):
            fits = _ems(lines[-1] + piece) <= room
            hangs = piece in _ENDING and _ems(lines[-1]) <= room
            if fits or hangs:
                lines[-1] += piece
            else:
                lines[-1] = lines[-1].rstrip()
                lines.append(piece.lstrip())
    if len(lines) <= box.lines:
        return [line.strip() for line in lines]
    return [*lines[: box.lines - 1], _shortened(lines[box.lines - 1] + "…", room)]


def _pieces(token: str, room: float) -> list[str]:
    # A word longer than a line is broken anywhere.
    return [token] if _ems(token) <= room else list(token)


def _shortened(text: str, room: float) -> str:
    while _ems(text) > room and len(text) > 1:
        text = text[:-2].rstrip() + "…"
    return text


def _ems(text: str) -> float:
    return sum(map(_em, text))


def _em(letter: str) -> float:
    """How wide a letter is, in letters' heights: measured of the usual fonts, a little generously."""
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WFA":
        return 1.0
    if letter in _NARROW:
        return 0.34
    return 0.9 if letter in _WIDE else 0.68 if letter.isupper() else 0.58


def render(poster: Poster) -> str:
    """The poster as an SVG. Pictures from elsewhere are named, so that only who loads them shows them: a browser
    does in a page, and not where the SVG stands in an ``<img>``.
    """
    told = words(poster.lang)
    parts = [
        _ground(),
        _avatar(poster),
        _text(poster.nickname, "nickname", fill="#fff", weight=600),
        _text(told["invitation"], "invitation", fill="#ffffffd9"),
        _rect("card", fill="#fff"),
        _product(poster),
        _text(poster.title, "title", fill="#1f1d1b", weight=600),
        _price(poster),
        '<path d="M60 1082h630" stroke="#e6e1da" stroke-width="2" stroke-dasharray="8 8"/>',
        _text(told["scan"], "scan", fill="#1f1d1b", weight=600),
        _text(told["hint"], "hint", fill="#8c867e"),
        _picture(poster.qr, "qr"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="{_FONTS}">{"".join(parts)}</svg>'
    )


def _ground() -> str:
    clips = "".join(
        f'<clipPath id="{name}-clip">{_rect(name, fill="#000")}</clipPath>' for name in ("avatar", "image")
    )
    return (
        '<defs><linearGradient id="ground" x1="0" y1="0" x2="1" y2="1"><stop stop-color="#e8412c"/>'
        f'<stop offset="1" stop-color="#f58a3c"/></linearGradient>{clips}</defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#ground)"/>'
        '<circle cx="690" cy="40" r="180" fill="#fff" opacity=".08"/>'
    )


def _avatar(poster: Poster) -> str:
    at = BOXES["avatar"]
    ring = f'<circle cx="{at.x + 48}" cy="{at.y + 48}" r="51" fill="#ffffff66"/>'
    return ring + (_picture(poster.avatar, "avatar") or _initial(poster.nickname, "avatar", size=44))


def _product(poster: Poster) -> str:
    return _picture(poster.image, "image") or _initial(poster.title, "image", size=240)


def _initial(text: str, name: str, *, size: int) -> str:
    """In place of a picture, the first letter of what would be seen."""
    at = BOXES[name]
    x, y = at.x + at.width // 2, at.y + at.height // 2 + size * 36 // 100
    letter = html.escape(_clean(text)[:1])
    return (
        f'{_rect(name, fill="#fdeee6")}<text x="{x}" y="{y}" font-size="{size}" font-weight="600" '
        f'fill="#e8412c" text-anchor="middle">{letter}</text>'
    )


def _rect(name: str, *, fill: str) -> str:
    at = BOXES[name]
    return f'<rect x="{at.x}" y="{at.y}" width="{at.width}" height="{at.height}" rx="{at.radius}" fill="{fill}"/>'


def _picture(address: str | None, name: str) -> str:
    at, href = BOXES[name], _address(address)
    if not href:
        return ""
    clip = f' clip-path="url(#{name}-clip)"' if at.radius else ""
    return (
        f'<image x="{at.x}" y="{at.y}" width="{at.width}" height="{at.height}" href="{href}" '
        f'preserveAspectRatio="xMidYMid slice"{clip}/>'
    )


def _text(text: str, name: str, *, fill: str, weight: int = 400) -> str:
    at = BOXES[name]
    baseline = at.y + (at.line_height + at.font_size * 7 // 10) // 2
    spans = "".join(
        f'<tspan x="{at.x}" y="{baseline + n * at.line_height}">{html.escape(line)}</tspan>'
        for n, line in enumerate(wrapped(text, at))
    )
    return f'<text font-size="{at.font_size}" font-weight="{weight}" fill="{fill}">{spans}</text>'


def _price(poster: Poster) -> str:
    if poster.price_fen is None:
        return ""
    at = BOXES["price"]
    y, (whole, part) = at.y + 52, divmod(poster.price_fen, 100)
    cents = f'<tspan font-size="36">.{part:02d}</tspan>' if part else ""
    listed = ""
    if poster.list_price_fen is not None and poster.list_price_fen > poster.price_fen:
        listed = (
            '<tspan dx="16" font-size="28" font-weight="400" fill="#a39d95" text-decoration="line-through">'
            f"¥{yuan(poster.list_price_fen)}</tspan>"
        )
    return (
        f'<text x="{at.x}" y="{y}" font-size="{at.font_size}" font-weight="700" fill="#e8412c">'
        f'<tspan font-size="36">¥</tspan>{whole}{cents}{listed}</text>'
    )


def yuan(amount_fen: int) -> str:
    """``8900`` as ``89``, ``8950`` as ``89.50``: round prices are shown round."""
    whole, part = divmod(amount_fen, 100)
    return f"{whole}.{part:02d}" if part else str(whole)


def _clean(text: str) -> str:
    return re.sub(_UNPRINTABLE, " ", text).strip()


def _address(value: str | None) -> str:
    """The address, safe in quotes, or nothing when it is neither https nor a picture itself."""
    address = (value or "").strip()
    if address.startswith("data:image/"):
        return html.escape(address)
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return html.escape(re.sub(_UNPRINTABLE, " ", address)) if parts.scheme == "https" and parts.netloc else ""
