"""What Electrum's channels say: what can move, and whether anything may still be moving."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.rails.lightning.backend import Funds

#: Nothing was put into these yet, or the chain has given all of it back.
_EMPTY = frozenset({"PREOPENING", "REDEEMED"})
#: No payment was ever made in these, or all of them are settled on the chain.
_WITHOUT_PAYMENTS = frozenset({"PREOPENING", "OPENING", "FUNDED", "REDEEMED"})


@dataclass(frozen=True)
class Channel:
    """One line of ``list_channels``; amounts in sats, as Electrum rounds them down."""

    id: str
    state: str
    peer_state: str
    local: int
    local_reserve: int
    local_sent: int
    """What we sent and nobody has claimed or given back yet."""
    remote: int
    remote_reserve: int
    remote_sent: int
    local_number: int
    remote_number: int
    """How often each side's state was renewed: nothing moves without that."""

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> Self:
        """Return what a line of the answer says."""
        return cls(
            id=str(line["channel_id"]),
            state=str(line["state"]),
            peer_state=str(line["peer_state"]),
            local=int(line["local_balance"]),
            local_reserve=int(line["local_reserve"]),
            local_sent=int(line["local_unsettled_sent"]),
            remote=int(line["remote_balance"]),
            remote_reserve=int(line["remote_reserve"]),
            remote_sent=int(line["remote_unsettled_sent"]),
            local_number=int(line["local_ctn"]),
            remote_number=int(line["remote_ctn"]),
        )

    @property
    def works(self) -> bool:
        """Return whether payments can go through it now."""
        return self.state == "OPEN" and self.peer_state == "GOOD"

    @property
    def is_quiet(self) -> bool:
        """Return whether it says that nothing of ours is under way.

        Without its peer it cannot say so: what it sent last may not be counted yet.
        """
        if self.local_sent:
            return False
        return self.state in _WITHOUT_PAYMENTS or self.works


def channels_of(answer: Iterable[Mapping[str, Any]]) -> tuple[Channel, ...]:
    """Return the channels, without backups of channels elsewhere."""
    return tuple(Channel.read(line) for line in answer if line["type"] == "CHANNEL")


def funds_of(channels: Sequence[Channel]) -> Funds:
    """Return what could move, and what is ours.

    What the channel's own fees keep back is spendable on paper only. As in Electrum, one
    payment is received through one channel, or through several that together have twice the
    room. What we sent is ours until somebody claims it.
    """
    working = [channel for channel in channels if channel.works]
    spendable = sum(max(0, c.local - c.local_reserve - c.local_sent) for c in working)
    room = [max(0, c.remote - c.remote_reserve - c.remote_sent) for c in working]
    receivable = max([*room, sum(room) // 2], default=0)
    held = sum(channel.local for channel in channels if channel.state not in _EMPTY)
    return Funds(spendable * MSAT_PER_SAT, receivable * MSAT_PER_SAT, held * MSAT_PER_SAT)
