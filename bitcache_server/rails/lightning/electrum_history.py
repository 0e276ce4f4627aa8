"""What Electrum's history says of payments, and a cursor in it that misses nothing.

Electrum lists settled payments by the time at which they *arrived*. A payment may arrive,
wait (for its other parts, for a daemon that was killed) and settle later than others that
came after it. So the cursor carries how many lines stand before its place: when that number
has changed, the lines before are reported again, which costs little and happens rarely.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from bitcache_server.rails.lightning.backend import Settled

#: How far before the newest line the cursor stands; what came after it is named.
OVERLAP_S = 60
#: 64 bits of a payment hash, which the wallet drew at random, name it well enough.
_NAME_CHARS = 16


@dataclass(frozen=True)
class Place:
    """Up to where settlements were reported."""

    until: int
    """Lines up to this time are counted, later ones are named."""
    count: int
    named: frozenset[str]

    @classmethod
    def read(cls, cursor: str | None) -> Self | None:
        """Return what a cursor says; None for none, or for another backend's."""
        try:
            found = json.loads(cursor or "null")
            return cls(int(found["until"]), int(found["count"]), frozenset(found["named"]))
        except (ValueError, KeyError, TypeError):
            return None

    @classmethod
    def after(cls, listed: Sequence[Settled]) -> Self:
        """Return the place behind all that is listed."""
        until = max((one.settled_at for one in listed), default=OVERLAP_S) - OVERLAP_S
        counted = sum(one.settled_at <= until for one in listed)
        return cls(until, counted, frozenset(_name(o) for o in listed if o.settled_at > until))

    @property
    def cursor(self) -> str:
        """Return what ``read`` takes."""
        content = {"until": self.until, "count": self.count, "named": sorted(self.named)}
        return json.dumps(content)

    def news(self, listed: Sequence[Settled]) -> tuple[Settled, ...]:
        """Return what was not reported yet, oldest first, and maybe some that was."""
        before = [one for one in listed if one.settled_at <= self.until]
        later = [one for one in listed if one.settled_at > self.until]
        new = [one for one in later if _name(one) not in self.named]
        if len(before) != self.count:
            new = before + new
        return tuple(sorted(new, key=lambda one: one.settled_at))


@dataclass(frozen=True)
class SentLine:
    """A payment of ours whose preimage is known."""

    preimage: str
    total_msat: int
    """With the fee; less while some of its parts are still open."""


def received(history: Iterable[Mapping[str, Any]]) -> list[Settled]:
    """Return the payments that arrived, from the answer of ``lightning_history``."""
    return [
        Settled(
            payment_hash=str(line["payment_hash"]),
            amount_msat=int(line["amount_msat"]),
            settled_at=int(line["timestamp"]),
            preimage=str(line["preimage"]),
        )
        for line in history
        # Opened and closed channels stand there as well.
        if line.get("payment_hash") and int(line["amount_msat"]) > 0
    ]


def sent(history: Iterable[Mapping[str, Any]], payment_hash: str) -> SentLine | None:
    """Return our payment with that hash; None where it did not settle."""
    for line in history:
        if line.get("payment_hash") == payment_hash and int(line["amount_msat"]) < 0:
            return SentLine(str(line["preimage"]), -int(line["amount_msat"]))
    return None


def _name(settled: Settled) -> str:
    return settled.payment_hash[:_NAME_CHARS]
