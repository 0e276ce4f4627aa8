"""Colours that merchants choose, and whether people can read what is written in them.

Contrast as WCAG 2.2 defines it: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
"""

import re

from bitcache_server.domain.errors import InvalidRequest

#: Success criterion 1.4.3, level AA.
READABLE = 4.5
WHITE = "#ffffff"
BLACK = "#000000"
_COLOUR = re.compile(r"#?([0-9a-f]{6})")
_STEPS = 50


def read_colour(text: str) -> str:
    """Return a colour as ``#rrggbb``, or an empty text as it is; raise InvalidRequest."""
    text = text.strip().lower()
    match = _COLOUR.fullmatch(text)
    if text and match is None:
        raise InvalidRequest("Write a colour as # and six digits, such as #0a5c36.")
    return f"#{match[1]}" if match else ""


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours: from 1, the same, to 21, black on white."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(colour: str) -> str:
    """Return the better of white and black to write on a colour: always readable."""
    return max(WHITE, BLACK, key=lambda text: contrast(text, colour))


def lightened(colour: str, background: str) -> str:
    """Return the colour mixed with as little white as makes it readable on a dark background."""
    for step in range(_STEPS + 1):
        mixed = _mix(colour, step / _STEPS)
        if contrast(mixed, background) >= READABLE:
            return mixed
    return WHITE


def _channels(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _luminance(colour: str) -> float:
    """Return the relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = (channel / 255 for channel in _channels(colour))
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _mix(colour: str, white: float) -> str:
    mixed = (round(channel + (255 - channel) * white) for channel in _channels(colour))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
