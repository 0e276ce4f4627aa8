"""Days, weeks and months as a merchant has them: where daylight saving begins or ends, a
day is 23 or 25 hours long. Weeks begin on Monday (ISO 8601)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True)
class Period:
    """From one moment to before another, in Unix seconds."""

    begin: int
    end: int


def zone_of(name: str) -> ZoneInfo | None:
    """Return a time zone by its IANA name; None for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def today_in(zone_name: str, now: int) -> date:
    """Return the day that it is there."""
    return datetime.fromtimestamp(now, zone_of(zone_name) or UTC).date()


def begin_of(zone_name: str, day: date) -> int:
    """Return the first second of a day there; where midnight is left out, what follows it."""
    zone = zone_of(zone_name) or UTC
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def period(zone_name: str, first: date, until: date) -> Period:
    """Return the days from ``first`` to before ``until``."""
    return Period(begin_of(zone_name, first), begin_of(zone_name, until))


def days_before(last: date, number: int) -> Sequence[date]:
    """Return that many days, the oldest first, ``last`` included."""
    return [last - timedelta(days=back) for back in range(number - 1, -1, -1)]


def monday_of(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - timedelta(days=day.weekday())


def month_of(day: date) -> date:
    """Return the first day of a day's month."""
    return day.replace(day=1)


def month_before(day: date) -> date:
    """Return the first day of the month before a day's."""
    return month_of(month_of(day) - timedelta(days=1))
