"""Waiting for settlements of nodes and wallets that tell of none by themselves."""

import time
from collections.abc import Callable

from bitcache_server.rails.lightning.backend import SettledPage


def look_until(look: Callable[[], SettledPage], wait_s: float, every_s: float) -> SettledPage:
    """Look again and again, until something was settled or the time is over; once at least."""
    ends_at = time.monotonic() + wait_s
    while True:
        page = look()
        left_s = ends_at - time.monotonic()
        if page.settled or left_s <= 0:
            return page
        time.sleep(min(every_s, left_s))
