"""Rate limits on everything public.

With ``memory://`` each process counts for itself; with ``redis://…`` and the like the
``limits`` library counts for all processes. The library's own memory storage is not
used: it starts threads to forget, which took a quarter of a grant check's time.
"""

import math
import time
from functools import cache
from typing import Protocol

from flask import Flask, current_app, has_request_context, request
from limits import RateLimitItem, parse_many
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from bitcache_server.domain.errors import RateLimited
from bitcache_server.http.context import client_block, deps

EXTENSION = "bitcache.limits"
MEMORY = "memory://"

READS = "reads"
INVOICES = "invoices"
SITE_INVOICES = "site_invoices"
UNLOCKS = "unlocks"
RECOVERIES = "recoveries"

#: Names, in a request's environment, of what was counted before Flask got it.
COUNTED = "bitcache.counted"


class Counter(Protocol):
    """Counts calls in fixed windows."""

    def hit(self, limit: RateLimitItem, name: str, who: str) -> float:
        """Count one call; return 0, or the seconds until the next window when it was too many."""


class LocalCounter:
    """Counts in this process. A window that is over is forgotten as a whole."""

    def __init__(self) -> None:
        self._windows: dict[tuple[RateLimitItem, str], tuple[int, dict[str, int]]] = {}

    def hit(self, limit: RateLimitItem, name: str, who: str) -> float:
        """Count one call."""
        length_s = limit.get_expiry()
        now = time.time()
        window = int(now // length_s)
        current, counts = self._windows.get((limit, name), (-1, {}))
        if current != window:
            counts = {}
            self._windows[limit, name] = (window, counts)
        counts[who] = counts.get(who, 0) + 1
        return 0.0 if counts[who] <= limit.amount else (window + 1) * length_s - now


class SharedCounter:
    """Counts in a storage that several processes share."""

    def __init__(self, storage_uri: str) -> None:
        self._limiter = FixedWindowRateLimiter(storage_from_string(storage_uri))

    def hit(self, limit: RateLimitItem, name: str, who: str) -> float:
        """Count one call."""
        if self._limiter.hit(limit, name, who):
            return 0.0
        return self._limiter.get_window_stats(limit, name, who).reset_time - time.time()


@cache
def _parsed(text: str) -> tuple[RateLimitItem, ...]:
    return tuple(parse_many(text))


def init_app(app: Flask, storage_uri: str) -> None:
    """Attach a counter to an app."""
    app.extensions[EXTENSION] = (
        LocalCounter() if storage_uri == MEMORY else SharedCounter(storage_uri)
    )


def check_limit(name: str, who: str | None = None) -> None:
    """Count one call; raise RateLimited when there were too many.

    ``who`` is counted, by default the caller's address block.
    """
    # Who waits for events asks outside of Flask's requests.
    if has_request_context() and name in request.environ.get(COUNTED, ()):
        return
    settings = deps().settings
    limits = {
        READS: settings.limit_reads_per_address,
        INVOICES: settings.limit_invoices_per_address,
        SITE_INVOICES: settings.limit_invoices_per_site,
        UNLOCKS: settings.limit_unlocks_per_address,
        RECOVERIES: settings.limit_recoveries_per_address,
    }
    wait_s = hit_all(current_app, limits[name], name, who or client_block())
    if wait_s:
        raise RateLimited(f"Try again in {wait_s} seconds.", retry_after_s=wait_s)


def hit_all(app: Flask, limits: str, name: str, who: str) -> int:
    """Count against ``10/minute;100/hour``; return 0 or the seconds to wait, rounded up."""
    counter: Counter = app.extensions[EXTENSION]
    waits = [counter.hit(limit, name, who) for limit in _parsed(limits)]
    return math.ceil(max(waits))
