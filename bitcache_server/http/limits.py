"""Rate limits on everything public, with the ``limits`` library.

The library is used without Flask-Limiter, which left an empty route 37 % of its
throughput when it was measured; this is the part of it that we need.
"""

import time
from functools import cache

from flask import Flask, current_app
from limits import RateLimitItem, parse_many
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter, RateLimiter

from bitcache_server.domain.errors import RateLimited
from bitcache_server.http.context import client_block, deps

EXTENSION = "bitcache.limits"

READS = "reads"
INVOICES = "invoices"
SITE_INVOICES = "site_invoices"


@cache
def _parsed(text: str) -> tuple[RateLimitItem, ...]:
    return tuple(parse_many(text))


def init_app(app: Flask, storage_uri: str) -> None:
    """Attach a limiter; ``memory://`` counts per process, ``redis://…`` for all."""
    app.extensions[EXTENSION] = FixedWindowRateLimiter(storage_from_string(storage_uri))


def check_limit(name: str, key: str | None = None) -> None:
    """Count one call; raise RateLimited when there were too many.

    ``key`` is who is counted, by default the caller's address block.
    """
    settings = deps().settings
    text = {
        READS: settings.limit_reads_per_address,
        INVOICES: settings.limit_invoices_per_address,
        SITE_INVOICES: settings.limit_invoices_per_site,
    }[name]
    limiter: RateLimiter = current_app.extensions[EXTENSION]
    who = key or client_block()
    for limit in _parsed(text):
        if not limiter.hit(limit, name, who):
            reset_at = limiter.get_window_stats(limit, name, who).reset_time
            wait_s = max(1, int(reset_at - time.time()) + 1)
            raise RateLimited(f"Try again in {wait_s} seconds.", retry_after_s=wait_s)
