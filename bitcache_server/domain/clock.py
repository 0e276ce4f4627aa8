"""Time as the whole code base knows it: integer Unix seconds, UTC."""

import time
from collections.abc import Callable

SECONDS_PER_DAY = 86_400

Clock = Callable[[], int]


def system_clock() -> int:
    """Return the current Unix time in whole seconds, rounded down."""
    return int(time.time())
