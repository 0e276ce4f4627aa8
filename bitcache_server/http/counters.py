"""What a process counts for Prometheus; ``http/metrics.py`` hands it out."""

import bisect
import threading
import time

from prometheus_client import Counter

from bitcache_server.domain.errors import BitcacheError

#: Names the folder where all processes of a server put their counters; empty for one alone.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
#: How often what was counted is put where the other processes can read it.
PUT_EVERY_S = 1.0

REQUESTS = Counter(
    "bitcache_http_requests", "Requests by route and class of status.", ("route", "status")
)
WITHIN = Counter(
    "bitcache_http_within_seconds",
    "Requests whose answer began within so many seconds: the buckets of a histogram.",
    ("route", "le"),
)
SECONDS = Counter(
    "bitcache_http_seconds", "Time until answers began, all together, by route.", ("route",)
)
ERRORS = Counter("bitcache_errors", "Problem documents by code.", ("code",))

_LIMITS_S = (0.005, 0.025, 0.1, 0.25, 1.0, 5.0, float("inf"))


def count_error(error: BitcacheError) -> None:
    """Count an error that is told to a client."""
    ERRORS.labels(error.code).inc()


class Tally:
    """Counts requests in memory, because the counters that processes share cost 15 µs a request.

    A quick grant check takes but a few times that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], list[float]] = {}

    def add(self, route: str, status: str, seconds: float) -> None:
        """Count a request by its route and the first digit of its status."""
        with self._lock:
            row = self._rows.get((route, status))
            if row is None:
                row = self._rows[route, status] = [0.0] * (len(_LIMITS_S) + 1)
            row[bisect.bisect_left(_LIMITS_S, seconds)] += 1
            row[-1] += seconds

    def put(self) -> None:
        """Add what was counted to the counters."""
        with self._lock:
            rows, self._rows = self._rows, {}
        for (route, status), (*numbers, seconds) in rows.items():
            REQUESTS.labels(route, f"{status}xx").inc(sum(numbers))
            SECONDS.labels(route).inc(seconds)
            so_far = 0.0
            for limit_s, number in zip(_LIMITS_S, numbers, strict=True):
                so_far += number
                WITHIN.labels(route, "+Inf" if limit_s == _LIMITS_S[-1] else f"{limit_s:g}").inc(
                    so_far
                )

    def put_from_now_on(self) -> None:
        """Do it again and again in a thread of its own, until the process ends."""

        def loop() -> None:
            while True:
                time.sleep(PUT_EVERY_S)
                self.put()

        threading.Thread(target=loop, name="counters", daemon=True).start()


#: Of this process.
TALLY = Tally()
