"""How the programs write their logs: lines for people, or one JSON object a line.

Nothing here is meant to hold a secret; what gets there all the same is blotted out: whatever
looks like a secret of ours or of a node, and each secret of the settings by its value.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO
from urllib.parse import quote

from pydantic import SecretStr

from bitcache_server.settings import Settings, load_settings

#: The id of the request that is answered now; empty elsewhere.
request_id: ContextVar[str] = ContextVar("bitcache.request_id", default="")

#: The logger with a line for each request.
REQUESTS = "bitcache_server.requests"
BLOT = "***"
#: A shorter text would blot out words that are none of it.
MIN_SECRET_CHARS = 8
TEXT_FORMAT = "%(asctime)s %(levelname)s %(message)s"
#: Fields that a record may have for the JSON line, in their order.
_FIELDS = ("method", "route", "status", "duration_ms")

_LOOKS_SECRET = re.compile(
    r"""
      (?P<head>\b(?:bcsk|bcak|bcgk|bcop|whsec)_)[A-Za-z0-9+/=_-]+
    | (?P<scheme>://)[^\s/@:]*:[^\s/@]+(?=@)
    | (?P<auth>\b(?:bearer|basic)\s)[A-Za-z0-9+/=._~-]{8,}
    | (?P<macaroon>\b0201)[0-9a-f]{40,}
    | (?P<nwc>nostr\+walletconnect://)\S+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PASSWORD = re.compile(r"://[^\s/@:]*:([^@\s]+)@")


class Blotter:
    """Takes secrets out of a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for text in secrets for form in (text, quote(text, safe=""))}
        long = sorted((form for form in forms if len(form) >= MIN_SECRET_CHARS), key=len)
        # The longest first: one secret may be a part of another.
        self._known = re.compile("|".join(map(re.escape, reversed(long)))) if long else None

    def blot(self, text: str) -> str:
        """Return the text without what is, or looks like, a secret."""
        if self._known is not None:
            text = self._known.sub(BLOT, text)
        return _LOOKS_SECRET.sub(lambda found: (found[found.lastgroup or 0]) + BLOT, text)


class TextFormatter(logging.Formatter):
    """A line for people, and the traceback below it."""

    def __init__(self, blotter: Blotter) -> None:
        super().__init__(TEXT_FORMAT)
        self._blotter = blotter

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without secrets."""
        return self._blotter.blot(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object in one line; ``ts`` is UTC (RFC 3339)."""

    def __init__(self, blotter: Blotter) -> None:
        super().__init__()
        self._blotter = blotter

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without secrets."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": self._blotter.blot(record.getMessage()),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self._blotter.blot(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def secrets_of(settings: Settings) -> set[str]:
    """Return what of the settings nobody may read: each value, and the passwords in addresses."""
    values = {
        value.get_secret_value()
        for value in vars(settings).values()
        if isinstance(value, SecretStr)
    }
    addresses = {*values, settings.database_url, settings.rate_limit_storage}
    passwords = {found[1] for text in addresses for found in _PASSWORD.finditer(text)}
    # A Lightning secret may be ``user:password``.
    passwords |= {value.partition(":")[2] for value in values if "://" not in value}
    return values | passwords


def formatter() -> logging.Formatter:
    """Return what makes lines in the form that the settings name, also for Granian's own logs."""
    return _formatter(load_settings())


def _formatter(settings: Settings) -> logging.Formatter:
    make = JsonFormatter if settings.log_format == "json" else TextFormatter
    return make(Blotter(secrets_of(settings)))


class _ToStandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self.stream = sys.stderr
        super().emit(record)


def configure_logs(settings: Settings) -> None:
    """Send what this process logs to standard error, in the form that the settings name."""
    handler = _ToStandardError()
    handler.setFormatter(_formatter(settings))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _ToStandardError):
            root.removeHandler(old)
    root.addHandler(handler)
    # One line for each request is for programs: people would not find the others among them.
    level = logging.INFO if settings.log_format == "json" else logging.WARNING
    logging.getLogger(REQUESTS).setLevel(level)
