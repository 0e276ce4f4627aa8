"""What commands print: one JSON document, or text for people.

Answers go to standard output, everything else to standard error, so that a
script can read the one without the other.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_AS_JSON = "bitcache.json"
_WIDE = ("W", "F")
_GAP = "  "


def _remember(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    # ``meta`` is shared by a command and the groups above it.
    context.meta[_AS_JSON] = context.meta.get(_AS_JSON, False) or value


def json_option(command: F) -> F:
    """Give a command the option ``--json``."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_remember,
        help="Print one JSON document instead of text.",
    )(command)


def wants_json() -> bool:
    """Return whether the command that runs now was given ``--json``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_AS_JSON, False))


def emit(document: dict[str, Any], lines: Iterable[str]) -> None:
    """Print the answer: the document with ``--json``, else the lines."""
    if wants_json():
        click.echo(json.dumps(document, indent=2))
        return
    for line in lines:
        say(line)


def say(line: str, *, to_stderr: bool = False) -> None:
    """Print one line for people. Colours stay on a terminal, and NO_COLOR is obeyed."""
    click.echo(line, err=to_stderr, color=False if os.environ.get("NO_COLOR") else None)


def note(line: str) -> None:
    """Print what is not part of the answer; nothing with ``--json``."""
    if not wants_json():
        say(line, to_stderr=True)


def fail(code: str, detail: str, as_json: bool) -> None:
    """Print an error on standard error."""
    if as_json:
        click.echo(json.dumps({"code": code, "detail": detail}), err=True)
        return
    label = click.style("Error:", fg="red", bold=True)
    say(f"{label} {shown(detail)} ({code})", to_stderr=True)


def shown(text: str) -> str:
    """Return a text from outside so that it cannot command the terminal.

    Escape sequences, line ends and marks that turn the writing direction become
    visible; letters of every script stay.
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return lines with aligned columns, or one that says that there is nothing."""
    cells = [[shown(cell) for cell in row] for row in rows]
    if not cells:
        return ["(none)"]
    widths = [max(map(_width, column)) for column in zip(headers, *cells, strict=True)]
    head = click.style(_line(headers, widths), bold=True)
    return [head, *(_line(row, widths) for row in cells)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)
    )
    return _GAP.join(padded).rstrip()


def _width(text: str) -> int:
    """Return the columns that a text takes: wide letters two, combining marks none."""
    return sum(
        0
        if unicodedata.combining(char)
        else 2
        if unicodedata.east_asian_width(char) in _WIDE
        else 1
        for char in text
    )


def fields(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return ``name  value`` lines with aligned values."""
    width = max(len(name) for name, _ in pairs)
    return [f"{name:<{width}}{_GAP}{shown(value)}" for name, value in pairs]


def moment(at: int | None) -> str:
    """Return Unix seconds as UTC for people."""
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def is_terminal() -> bool:
    """Return whether a person sits at both ends, so that questions make sense."""
    return sys.stdin.isatty() and sys.stdout.isatty()
