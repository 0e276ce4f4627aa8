"""A chart of days, drawn by the server: bars in SVG, words beside it in HTML.

The picture is stretched to the page's width, so nothing in it is text: on a phone that would
become too small to read. It is mirrored by the style sheet where people read from the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bitcache_server.domain.money import MSAT_PER_SAT

#: In units of the picture.
HEIGHT = 100
STEP = 10
_GAP = 2
#: A day on which little was sold is not one on which nothing was.
_LEAST = 1


@dataclass(frozen=True)
class Bar:
    """One day's rectangle."""

    x: int
    y: int
    width: int
    height: int
    label: str


@dataclass(frozen=True)
class Chart:
    """A picture of ``width`` by ``HEIGHT``, and what its axis says."""

    width: int
    height: int
    zero_y: int
    top_msat: int
    bottom_msat: int
    """Below 0 where more was given back than sold."""
    bars: Sequence[Bar]


def draw(values_msat: Sequence[int], labels: Sequence[str]) -> Chart:
    """Return the chart of days in msat."""
    top = _round_up(max(0, *values_msat))
    bottom = -_round_up(max(0, -min(values_msat))) if min(values_msat) < 0 else 0
    span = top - bottom
    zero_y = HEIGHT * top // span
    bars = []
    for number, (msat, label) in enumerate(zip(values_msat, labels, strict=True)):
        height = HEIGHT * abs(msat) // span
        if msat:
            height = max(_LEAST, height)
        y = zero_y - height if msat > 0 else zero_y
        bars.append(Bar(number * STEP + _GAP // 2, y, STEP - _GAP, height, label))
    return Chart(len(values_msat) * STEP, HEIGHT, zero_y, top, bottom, bars)


def _round_up(msat: int) -> int:
    """Return the next amount that is 1, 2 or 5 and zeros, at least one sat."""
    unit = MSAT_PER_SAT
    while True:
        for factor in (1, 2, 5):
            if msat <= factor * unit:
                return factor * unit
        unit *= 10
