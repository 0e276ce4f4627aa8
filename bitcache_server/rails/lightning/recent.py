"""A cursor for wallets that list what was settled, but name no place to go on from.

All that they give is a time, in whole seconds, and what they write down may appear a moment
later than it says. So each look goes back a little further than the last, and the cursor
carries what was reported of that overlap.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from bitcache_server.rails.lightning.backend import Settled, SettledPage

#: How much later than its time a settlement may appear in the list.
OVERLAP_S = 60
#: 64 bits of a payment hash, which the wallet drew at random, name it well enough.
_NAME_CHARS = 16


@dataclass(frozen=True)
class Recent:
    """Up to where settlements were reported."""

    at: int
    """When the newest one was settled, by the wallet's clock; 0 before the first."""
    reported: frozenset[str]
    """Those of the overlap."""

    @classmethod
    def read(cls, cursor: str | None) -> Self | None:
        """Return what a cursor says; None for none, or for another backend's."""
        try:
            found = json.loads(cursor or "null")
            return cls(int(found["at"]), frozenset(map(str, found["reported"])))
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def cursor(self) -> str:
        """Return what ``read`` takes."""
        return json.dumps({"at": self.at, "reported": sorted(self.reported)})

    @property
    def since(self) -> int:
        """Return from when on the wallet must list."""
        return max(0, self.at - OVERLAP_S)

    def news(self, listed: Iterable[Settled]) -> tuple[Settled, ...]:
        """Return what was not reported yet, oldest first."""
        found = {
            one.payment_hash: one
            for one in listed
            if one.settled_at >= self.since and _name(one) not in self.reported
        }
        return tuple(sorted(found.values(), key=lambda one: one.settled_at))

    def after(self, listed: Sequence[Settled]) -> Self:
        """Return where to go on, when ``listed`` was all that was settled since ``since``."""
        at = max((one.settled_at for one in listed), default=self.at)
        next_since = type(self)(max(at, self.at), frozenset()).since
        overlap = frozenset(_name(one) for one in listed if one.settled_at >= next_since)
        return type(self)(max(at, self.at), overlap)

    def page(self, listed: Sequence[Settled]) -> SettledPage:
        """Return what is new in the list, with the cursor behind it."""
        return SettledPage(self.news(listed), self.after(listed).cursor)

    def with_one(self, settled: Settled) -> Self:
        """Return the same place with one more that was reported out of turn.

        The time stays: a list may hold what is older, and was not reported.
        """
        return type(self)(self.at, self.reported | {_name(settled)})


#: Everything that is listed is news.
BEGINNING = Recent(0, frozenset())


def _name(settled: Settled) -> str:
    return settled.payment_hash[:_NAME_CHARS]
