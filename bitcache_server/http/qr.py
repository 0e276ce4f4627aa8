"""QR codes that phones read at once, drawn here and never by a third party.

The code is as small as it can be: error correction L decides the size, because
a screen has no dirt or tears and a dense code is what cameras fail at. The
strongest correction that fits into that size comes on top, for free. Texts in
capitals (bech32) take 5.5 bits a character instead of 8; the rest of the text
may be in any case, because each part is stored in the form that suits it.
Always black on white with a white margin, also where the page is dark.
"""

import io
from functools import lru_cache
from itertools import groupby
from typing import Any

from PIL import Image
from qrcode.constants import ERROR_CORRECT_H, ERROR_CORRECT_L, ERROR_CORRECT_M, ERROR_CORRECT_Q
from qrcode.exceptions import DataOverflowError
from qrcode.main import QRCode

#: White modules on each side; ISO/IEC 18004 asks for four.
QUIET_ZONE = 4
PIXELS_PER_MODULE = 8
#: A change of form costs about 13 bits and another to change back; shorter runs do not pay.
_SHORTEST_RUN = 11

_STRONGEST_FIRST = (ERROR_CORRECT_H, ERROR_CORRECT_Q, ERROR_CORRECT_M, ERROR_CORRECT_L)

Modules = tuple[tuple[bool, ...], ...]


def qr_svg(text: str) -> bytes:
    """Return an SVG that takes any size; raise ValueError for a text that fits no code."""
    modules = qr_modules(text)
    size = len(modules)
    path = "".join(_row(y, row) for y, row in enumerate(modules))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}"'
        ' shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{size}v{size}h-{size}z"/><path d="{path}"/></svg>'
    ).encode("ascii")


def qr_png(text: str) -> bytes:
    """Return a PNG of one bit a pixel; raise ValueError for a text that fits no code."""
    modules = qr_modules(text)
    size = len(modules)
    image = Image.new("1", (size, size), 1)
    image.putdata([0 if dark else 255 for row in modules for dark in row])
    pixels = size * PIXELS_PER_MODULE
    file = io.BytesIO()
    image.resize((pixels, pixels), Image.Resampling.NEAREST).save(file, "PNG", optimize=True)
    return file.getvalue()


@lru_cache(maxsize=256)
def qr_modules(text: str) -> Modules:
    """Return rows of modules, True for dark, with the quiet zone around them."""
    smallest = _version(text, ERROR_CORRECT_L)
    if smallest is None:
        raise ValueError(f"A text of {len(text)} characters fits no QR code.")
    free = (level for level in _STRONGEST_FIRST if _version(text, level) == smallest)
    code = _code(text, next(free))
    code.make()
    return tuple(tuple(map(bool, row)) for row in code.get_matrix())


def _version(text: str, correction: int) -> int | None:
    """Return the size (1 to 40) that the text needs, or None where none is enough."""
    try:
        return _code(text, correction).best_fit() if text else None
    except (DataOverflowError, ValueError):
        return None


def _code(text: str, correction: int) -> QRCode[Any]:
    code: QRCode[Any] = QRCode(error_correction=correction, border=QUIET_ZONE)
    code.add_data(text, optimize=_SHORTEST_RUN)
    return code


def _row(y: int, row: tuple[bool, ...]) -> str:
    """Return the dark runs of a row as rectangles of an SVG path."""
    path, x = "", 0
    for dark, run in groupby(row):
        width = len(list(run))
        path += f"M{x} {y}h{width}v1h-{width}z" if dark else ""
        x += width
    return path
