"""Logos: what somebody sends is read as a picture and drawn anew; nothing else of it stays."""

import io
import struct
import zlib

from PIL import Image, ImageOps

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.i18n import mark as _

MAX_BYTES = 200_000
#: More than any logo needs; a small file can unfold to gigabytes.
MAX_PIXELS = 8_000_000
SIDE_PX = 256
FORMATS = ("PNG", "JPEG", "WEBP")
#: What Pillow raises for a broken file.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)


def redraw(data: bytes) -> bytes:
    """Return a picture as a PNG of at most 256 pixels a side; raise InvalidRequest.

    Neither metadata nor a second meaning of the file survives.
    """
    if len(data) > MAX_BYTES:
        raise InvalidRequest(_("A logo has at most %(number)s kB."), number=MAX_BYTES // 1000)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise _TooLarge
            upright = ImageOps.exif_transpose(picture)
            drawn = upright.convert("RGBA")
        drawn.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
        # From the bare pixels: what else came with them is left behind.
        bare = Image.frombytes("RGBA", drawn.size, drawn.tobytes())
        out = io.BytesIO()
        bare.save(out, "PNG", optimize=True)
    except (_TooLarge, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InvalidRequest(_("This picture has too many pixels; make it smaller.")) from None
    except _BROKEN:
        raise InvalidRequest(_("This file is no PNG, JPEG or WebP picture.")) from None
    return out.getvalue()


class _TooLarge(Exception):
    """The picture would take too much memory."""
