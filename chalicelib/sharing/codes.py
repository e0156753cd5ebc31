"""QR codes of share links, drawn without an imaging library.

Error correction M (about 15 % of the code may be hidden) and the four light modules of quiet zone that
ISO/IEC 18004 asks for. ``qrcode`` is imported where it is used: only few requests draw a code, and every
cold start would pay for it.
"""

from functools import lru_cache
from io import BytesIO
from itertools import groupby
from typing import Any

from chalicelib.core import pictures

QUIET_ZONE = 4
PIXELS_A_MODULE = 10


# A link that goes round is opened by thousands, its code never changes, and drawing one takes milliseconds.
@lru_cache(maxsize=256)
def qr_svg(text: str) -> str:
    """An SVG of the code, without a size of its own: one dark stroke for each run of modules, on white."""
    matrix: list[list[bool]] = _code(text).get_matrix()
    size = len(matrix)
    strokes = "".join(_strokes(row=row, y=y) for y, row in enumerate(matrix))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" shape-rendering="crispEdges">'
        f'<rect width="{size}" height="{size}" fill="#fff"/><path stroke="#000" d="{strokes}"/></svg>'
    )


@lru_cache(maxsize=64)
def qr_png(text: str) -> bytes:
    """A black and white PNG of the code, ten pixels a module: sharp on a phone and on a printed poster."""
    from qrcode.image.pure import PyPNGImage

    out = BytesIO()
    _code(text).make_image(image_factory=PyPNGImage).save(out)
    return out.getvalue()


def framed_svg(picture: bytes) -> str:
    """An SVG that shows a square picture, which it holds itself."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
        f'<image width="100" height="100" href="{pictures.data_uri(picture)}"/></svg>'
    )


def _code(text: str) -> Any:
    from qrcode.constants import ERROR_CORRECT_M
    from qrcode.main import QRCode

    code = QRCode(error_correction=ERROR_CORRECT_M, box_size=PIXELS_A_MODULE, border=QUIET_ZONE)
    code.add_data(text)
    code.make(fit=True)
    return code


def _strokes(*, row: list[bool], y: int) -> str:
    """One row as horizontal strokes through the middle of its modules; relative moves keep them short."""
    drawn, x, pen = "", 0, None
    for dark, modules in groupby(row):
        width = len(list(modules))
        if dark:
            drawn += f"M{x} {y}.5h{width}" if pen is None else f"m{x - pen} 0h{width}"
            pen = x + width
        x += width
    return drawn
