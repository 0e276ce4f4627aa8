"""Rate limits on everything public.

With ``memory://`` each process counts for itself; with ``redis://…`` and the like the
``limits`` library counts for all processes. The library's own memory storage is not
used: it starts threads to forget, which took a quarter of a grant check's time.
"""

import math
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Protocol

from flask import Flask, current_app, has_request_context, request
from limits import RateLimitItem, parse_many
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from bitcache_server.domain.errors import RateLimited
from bitcache_server.http.context import client_block
from bitcache_server.services.deps import deps_of
from bitcache_server.settings.model import Settings
from bitcache_server.tokens.secrets import hash_secret

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

EXTENSION = "bitcache.limits"
MEMORY = "memory://"

READS = "reads"
INVOICES = "invoices"
SITE_INVOICES = "site_invoices"
UNLOCKS = "unlocks"
RECOVERIES = "recoveries"
SIGN_INS = "sign_ins"
SIGN_IN_FAILURES = "sign_in_failures"
SIGN_UPS = "sign_ups"
REPLAYS = "replays"

_LIMITS: dict[str, Callable[[Settings], str]] = {
    READS: lambda settings: settings.limit_reads_per_address,
    INVOICES: lambda settings: settings.limit_invoices_per_address,
    SITE_INVOICES: lambda settings: settings.limit_invoices_per_site,
    UNLOCKS: lambda settings: settings.limit_unlocks_per_address,
    RECOVERIES: lambda settings: settings.limit_recoveries_per_address,
    SIGN_INS: lambda settings: settings.limit_sign_ins_per_address,
    SIGN_IN_FAILURES: lambda settings: settings.limit_sign_ins_per_account,
    SIGN_UPS: lambda settings: settings.limit_sign_ups_per_address,
    REPLAYS: lambda settings: settings.limit_replays_per_merchant,
}

#: Names, in a request's environment, of what was counted before Flask got it.
COUNTED = "bitcache.counted"


class Counter(Protocol):
    """Counts calls in fixed windows."""

    def hit(self, limit: RateLimitItem, name: str, who: str) -> float:
        """Count one call; return 0, or the seconds until the next window when it was too many."""

    def wait_s(self, limit: RateLimitItem, name: str, who: str) -> float:
        """Return what ``hit`` would, without counting."""


class LocalCounter:
    """Counts in this process. A window that is over is forgotten as a whole."""

    def __init__(self) -> None:
        self._windows: dict[tuple[RateLimitItem, str], tuple[int, dict[str, int]]] = {}

    def hit(self, limit: RateLimitItem, name: str, who: str) -> float:
        """Count one call."""
        return self._count(limit, name, who, 1)

    def wait_s(self, limit: RateLimitItem, name: str, who: str) -> float:
        """Look how long the next call would have to wait."""
        return self._count(limit, name, who, 0)

    def _count(self, limit: RateLimitItem, name: str, who: str, more: int) -> float:
        length_s = limit.get_expiry()
        now = time.time()
        window = int(now // length_s)
        current, counts = self._windows.get((limit, name), (-1, {}))
        if current != window:
            counts = {}
            self._windows[limit, name] = (window, counts)
        number = counts.get(who, 0) + 1
        if more:
            counts[who] = number
        return 0.0 if number <= limit.amount else (window + 1) * length_s - now


class SharedCounter:
    """Counts in a storage that several processes share."""

    def __init__(self, storage_uri: str) -> None:
        self._limiter = FixedWindowRateLimiter(storage_from_string(storage_uri))

    def hit(self, limit: RateLimitItem, name: str, who: str) -> float:
        """Count one call."""
        if self._limiter.hit(limit, name, who):
            return 0.0
        return self._rest_s(limit, name, who)

    def wait_s(self, limit: RateLimitItem, name: str, who: str) -> float:
        """Look how long the next call would have to wait."""
        return 0.0 if self._limiter.test(limit, name, who) else self._rest_s(limit, name, who)

    def _rest_s(self, limit: RateLimitItem, name: str, who: str) -> float:
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
    wait_s = hit_all(current_app, name, who or client_block())
    if wait_s:
        raise RateLimited(f"Try again in {wait_s} seconds.", retry_after_s=wait_s)


def check_mail(to: str, sender: str = "") -> None:
    """Count a mail to an address or a name, and what its ``sender`` lets us mail.

    Raises RateLimited: nobody fills a mailbox with our help, from wherever.
    """
    if sender:
        check_limit(SIGN_INS, f"mails of {sender}")
    check_limit(SIGN_UPS, f"mail {hash_secret(to.strip().casefold())}")


def require_room(name: str, who: str) -> None:
    """Raise RateLimited where the next call would be one too many; count nothing."""
    app = current_app
    counter: Counter = app.extensions[EXTENSION]
    limits = _parsed(_LIMITS[name](deps_of(app).settings))
    wait_s = math.ceil(max(counter.wait_s(limit, name, who) for limit in limits))
    if wait_s > 0:
        raise RateLimited(f"Try again in {wait_s} seconds.", retry_after_s=wait_s)


def count_ahead(app: Flask, environ: "WSGIEnvironment", name: str, who: str) -> bool:
    """Count a call that Flask may get yet, which then does not count it again.

    Returns False when it was one too many: that is for Flask's route to say.
    """
    if hit_all(app, name, who) > 0:
        return False
    environ[COUNTED] = (*environ.get(COUNTED, ()), name)
    return True


def hit_all(app: Flask, name: str, who: str) -> int:
    """Count against what the settings allow, such as ``10/minute;100/hour``.

    Returns 0, or the seconds to wait, rounded up.
    """
    counter: Counter = app.extensions[EXTENSION]
    limits = _LIMITS[name](deps_of(app).settings)
    waits = [counter.hit(limit, name, who) for limit in _parsed(limits)]
    return math.ceil(max(waits))
