"""How many HTTP threads of a process may wait for servers that strangers have chosen.

A reader's wallet, its relay, and the address of a withdrawal answer when they like. Together
with the calls to our own node (``rails/lightning/gate.py``) those that wait must leave threads
to everybody else: a server process has ``app.THREADS``.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MOST_WAITING = 6
_places = threading.BoundedSemaphore(MOST_WAITING)


@contextmanager
def place_to_wait() -> Iterator[bool]:
    """Take one of the places, at once; give False where all are taken, and then do not wait."""
    has_place = _places.acquire(blocking=False)
    try:
        yield has_place
    finally:
        if has_place:
            _places.release()
