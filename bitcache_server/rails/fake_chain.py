"""The fake rail's chain and mempool, in memory: what happens is what a test says."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bitcache_server.domain.errors import ConfigurationError, RailError
from bitcache_server.rails.base import BlockRef

_GENESIS_TIME = 1_700_000_000
_BLOCK_INTERVAL_S = 600


@dataclass(frozen=True)
class FakeTx:
    """A transaction: of readers who pay, or of the wallet that pays out."""

    txid: str
    outputs: tuple[tuple[str, int], ...]
    """Pairs of target and amount in msat."""
    sight_reason: str = ""
    is_coinbase: bool = False
    coin: str = ""
    """What it spends, of all transactions with the same coin only one can be mined."""
    wallet_msat: int = 0
    """What it takes out of the wallet, the fee included."""


@dataclass(frozen=True)
class FakeBlock:
    """A block of the chain."""

    ref: BlockRef
    previous_hash: str
    txs: tuple[FakeTx, ...]


class FakeChain:
    """A chain and a mempool in memory. ``allow`` must be True, or it refuses to exist."""

    def __init__(self, allow: bool = False) -> None:
        if not allow:
            raise ConfigurationError("The fake rail gives content away; it is for tests only.")
        self._count = 0
        self._chain: list[FakeBlock] = []
        self._stale: dict[str, FakeBlock] = {}
        self._mempool: dict[str, FakeTx] = {}
        self._failure: RailError | None = None
        self.confirm()

    def confirm(self, blocks: int = 1, coinbase: tuple[str, int] | None = None) -> None:
        """Add blocks; the first takes the whole mempool. ``coinbase`` pays its miner."""
        for _ in range(blocks):
            txs = tuple(self._mempool.values())
            if coinbase is not None:
                txs = (FakeTx(self._next_hash("tx"), (coinbase,), is_coinbase=True), *txs)
                coinbase = None
            self._mempool.clear()
            self._append(txs)

    def disconnect(self, blocks: int = 1) -> None:
        """Take blocks off the tip; their payments wait in the mempool again."""
        for _ in range(blocks):
            block = self._chain.pop()
            self._stale[block.ref.hash] = block
            self._mempool |= {tx.txid: tx for tx in block.txs if not tx.is_coinbase}

    def reorg(self, blocks: int = 1) -> None:
        """Let a chain that is one block longer, and empty, take the place of ``blocks``."""
        self.disconnect(blocks)
        for _ in range(blocks + 1):
            self._append(())

    def lose(self, reference: str) -> None:
        """Let the node forget an unconfirmed transaction, as after a restart."""
        del self._mempool[txid_of(reference)]

    def break_with(self, failure: RailError | None) -> None:
        """Fail every question with this error from now on; None repairs the rail."""
        self._failure = failure

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _next_hash(self, kind: str) -> str:
        self._count += 1
        return digest(kind, str(self._count))

    def _append(self, txs: tuple[FakeTx, ...]) -> None:
        height = len(self._chain)
        time = _GENESIS_TIME + height * _BLOCK_INTERVAL_S
        ref = BlockRef(height, self._next_hash("block"), time)
        previous_hash = self._chain[-1].ref.hash if self._chain else ""
        self._chain.append(FakeBlock(ref, previous_hash, txs))

    def _block_of(self, txid: str) -> FakeBlock | None:
        for block in self._chain:
            if any(tx.txid == txid for tx in block.txs):
                return block
        return None

    def _confirmations(self, txid: str) -> int:
        block = self._block_of(txid)
        return 0 if block is None else len(self._chain) - block.ref.height

    def _all_txs(self) -> Sequence[FakeTx]:
        """Return all transactions that count: in the chain or in the mempool."""
        mined = [tx for block in self._chain for tx in block.txs]
        return [*mined, *self._mempool.values()]


def txid_of(reference: str) -> str:
    """Return the transaction's id of an outpoint, or of itself."""
    return reference.partition(":")[0]


def digest(kind: str, text: str) -> str:
    """Return a made-up hash; the same for the same."""
    return hashlib.sha256(f"{kind} {text}".encode()).hexdigest()
