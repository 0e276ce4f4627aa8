"""Lengths of time as people write them: 45s, 30m, 24h, 14d, or 0."""

import re

import click

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(0)|([1-9][0-9]{0,8})([smhd])", re.ASCII)


def duration_s(text: str) -> int:
    """Return the seconds; a text that cannot be read is a wrong call."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not like 45s, 30m, 24h, 14d or 0.")
    return 0 if match[1] else int(match[2]) * _SECONDS[match[3]]


def duration_text(seconds: int) -> str:
    """Return seconds in the largest unit that divides them, for people."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
