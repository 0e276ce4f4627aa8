"""What a process has counted since it last wrote it down. In memory: a count costs no query.

An item, a day and a number, and nothing of who looked: no cookie, no address, no browser.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

#: More than this many items and days at once are not counted until they were written:
#: a database that is full for days must not fill the memory.
MOST_KEPT = 50_000

#: Item and day, since 1970 in UTC.
Key = tuple[str, int]


@dataclass
class Counted:
    """How often since the last writing."""

    seen: int = 0
    started: int = 0


class VisitCounts:
    """One for each process; its threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Key, Counted] = {}

    def add(self, item_id: str, day: int, *, seen: int = 0, started: int = 0) -> None:
        """Count; what there is no room for is forgotten."""
        with self._lock:
            counted = self._kept.get((item_id, day))
            if counted is None:
                if len(self._kept) >= MOST_KEPT:
                    return
                counted = self._kept[item_id, day] = Counted()
            counted.seen += seen
            counted.started += started

    def take(self) -> Mapping[Key, Counted]:
        """Return what was counted, and begin anew."""
        with self._lock:
            taken, self._kept = self._kept, {}
        return taken

    def give_back(self, taken: Mapping[Key, Counted]) -> None:
        """Count once more what could not be written."""
        for (item_id, day), counted in taken.items():
            self.add(item_id, day, seen=counted.seen, started=counted.started)
