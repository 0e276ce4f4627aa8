"""What is in an order: its lines, their sum and the tax in it. Integers only.

Prices are what the customer pays, with the tax in them; an order in ``SAT`` counts in sats.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bitcache_server.domain.errors import InvalidPrice, InvalidRequest
from bitcache_server.domain.fees import PARTS_PER_MILLION
from bitcache_server.domain.fiat_value import tax_within_minor
from bitcache_server.domain.money import (
    MAX_FIAT_MAJOR,
    MSAT_PER_SAT,
    SAT,
    check_price_msat,
    exponent_of,
)
from bitcache_server.i18n import mark as _
from bitcache_server.services.texts import check_name

MAX_LINES = 100
MAX_LINE_TITLE_CHARS = 300
MAX_QUANTITY = 1_000_000
#: So that a sum of all lines fits a database's integer.
MAX_UNIT_MINOR = 10**12
#: So that all sums of an order are exact in every reader of JSON (RFC 8259, section 6).
MAX_LINE_MINOR = 10**13


@dataclass(frozen=True)
class Line:
    """One line. ``unit_minor`` may be negative: a discount is a line as well."""

    title: str
    quantity: int
    unit_minor: int
    tax_ppm: int | None = None
    """The rate of the tax in the price, in parts per million: 190000 is 19 %. None in an order
    that is made is the site's; in one that there is, no tax."""

    @property
    def sum_minor(self) -> int:
        """Return what the line costs."""
        return self.quantity * self.unit_minor


@dataclass(frozen=True)
class Tax:
    """The tax of one rate in an order."""

    tax_ppm: int
    gross_minor: int
    """What all lines of the rate cost, the tax included."""
    tax_minor: int
    """Of the sum, rounded half to even: once for each rate, not for each line."""


def check_lines(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return the lines with clean titles; raise InvalidRequest."""
    if not 0 < len(lines) <= MAX_LINES:
        raise InvalidRequest(f"An order has 1 to {MAX_LINES} lines.")
    return tuple(_checked(line) for line in lines)


def _checked(line: Line) -> Line:
    if not 0 < line.quantity <= MAX_QUANTITY:
        raise InvalidRequest(_("A quantity is 1 to %(number)s."), number=MAX_QUANTITY)
    if abs(line.unit_minor) > MAX_UNIT_MINOR:
        raise InvalidPrice(
            _("The price of one piece is at most %(number)s minor units."), number=MAX_UNIT_MINOR
        )
    if abs(line.sum_minor) > MAX_LINE_MINOR:
        raise InvalidPrice(_("A line is at most %(number)s minor units."), number=MAX_LINE_MINOR)
    if line.tax_ppm is not None and not 0 <= line.tax_ppm <= PARTS_PER_MILLION:
        raise InvalidRequest(_("A tax rate is between 0 and 100 per cent."))
    title = check_name(line.title, _("The title of a line"), MAX_LINE_TITLE_CHARS)
    return Line(title, line.quantity, line.unit_minor, line.tax_ppm)


def total_of(lines: Sequence[Line], currency: str) -> int:
    """Return the sum in minor units; raise InvalidPrice, UnknownCurrency."""
    total_minor = sum(line.sum_minor for line in lines)
    check_total(total_minor, currency)
    return total_minor


def check_total(total_minor: int, currency: str) -> None:
    """Raise InvalidPrice where no order can cost that much, and UnknownCurrency."""
    if currency == SAT:
        check_price_msat(total_minor * MSAT_PER_SAT)
        return
    exponent = exponent_of(currency)
    if total_minor <= 0:
        raise InvalidPrice(_("An order must cost more than 0."))
    if total_minor > MAX_FIAT_MAJOR * 10**exponent:
        raise InvalidPrice(
            _("An order costs at most %(amount)s."), amount=f"{MAX_FIAT_MAJOR} {currency}"
        )


def taxes_of(lines: Sequence[Line]) -> list[Tax]:
    """Return the taxes in the lines by rate, the highest first; none for lines without a rate."""
    gross_minor: dict[int, int] = {}
    for line in lines:
        if line.tax_ppm is not None:
            gross_minor[line.tax_ppm] = gross_minor.get(line.tax_ppm, 0) + line.sum_minor
    return [
        Tax(rate, gross, tax_within_minor(gross, rate))
        for rate, gross in sorted(gross_minor.items())[::-1]
    ]


def to_json(lines: Sequence[Line]) -> str:
    """Return the lines as they are stored."""
    return json.dumps([asdict(line) for line in lines], ensure_ascii=False)


def from_json(text: str) -> tuple[Line, ...]:
    """Return the lines of an order as they were stored."""
    return tuple(Line(**values) for values in json.loads(text))
