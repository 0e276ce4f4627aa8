"""Cursor pagination, newest first: no page shifts while rows are added."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bitcache_server.domain.errors import InvalidRequest

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows and the cursor of the next ones; None at the end."""

    rows: Sequence[T]
    next_cursor: str | None


def page_of(rows: Sequence[T], limit: int, key: Callable[[T], tuple[int, str]]) -> Page[T]:
    """Cut a list that was read with one row more than ``limit``."""
    if len(rows) <= limit:
        return Page(rows, None)
    kept = rows[:limit]
    created_at, row_id = key(kept[-1])
    cursor = base64.urlsafe_b64encode(f"{created_at}:{row_id}".encode()).decode().rstrip("=")
    return Page(kept, cursor)


def decode_cursor(cursor: str) -> tuple[int, str]:
    """Return (created_at, id) of the last row of the page before; raise InvalidRequest."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        created_at, row_id = base64.urlsafe_b64decode(padded.encode("ascii")).decode().split(":")
        number = int(created_at)
    except (ValueError, binascii.Error):
        raise InvalidRequest("The cursor is not one that this server gave out.") from None
    if not 0 <= number < 2**62 or "\x00" in row_id:
        raise InvalidRequest("The cursor is not one that this server gave out.")
    return number, row_id
