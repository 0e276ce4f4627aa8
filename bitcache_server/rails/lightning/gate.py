"""Lets few callers at once wait for the node, and none while it is known to hang.

A web server has few threads. When readers' calls wait for a node that does not answer, no
other page is served any more; so some threads always stay free of it.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from bitcache_server.domain.errors import LightningUnreachable

R = TypeVar("R")

#: Half of the threads of a server process (``app.THREADS``).
MOST_INSIDE = 8
#: How long nothing may move before those who wait for a place are sent away.
STALL_S = 1.0
#: Failures that took less time than that block nobody, so the next caller may try at once.
SLOW_S = 1.0
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 30.0


class NodeGate:
    """One for each node and process. ``now`` is a clock that only goes forward, in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._inside = 0
        self._moved_at = now()
        self._pause_s = 0.0
        self._closed_until = 0.0

    def run(self, call: Callable[[], R]) -> R:
        """Return what ``call`` returns, and raise what it raises.

        Raises LightningUnreachable without calling when too many wait for the node already,
        or when it hung a moment ago. After a pause, which grows, one caller tries again.
        """
        self._enter()
        began = self._now()
        try:
            answer = call()
        except LightningUnreachable:
            self._leave(hung=self._now() - began > SLOW_S)
            raise
        except BaseException:
            self._leave(hung=False)
            raise
        self._leave(hung=False)
        return answer

    def _enter(self) -> None:
        with self._changed:
            patience_s = max(0.0, STALL_S - (self._now() - self._moved_at))
            if not self._changed.wait_for(lambda: self._inside < MOST_INSIDE, patience_s):
                raise LightningUnreachable("Too many wait for its answer already.")
            now = self._now()
            if now < self._closed_until:
                raise LightningUnreachable("It did not answer a moment ago.")
            # While this one tries, the others are still sent away.
            self._closed_until = now + self._pause_s
            self._inside += 1
            self._moved_at = now

    def _leave(self, *, hung: bool) -> None:
        with self._changed:
            self._inside -= 1
            self._moved_at = self._now()
            doubled_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._pause_s = max(doubled_s, FIRST_PAUSE_S) if hung else 0.0
            self._closed_until = self._moved_at + self._pause_s
            self._changed.notify()
