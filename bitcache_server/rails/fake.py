"""A rail without a network, for tests: money moves only when a test says so.

It passes the same contract suite as the real rails. Whoever can reach it can
"pay" with nothing, so it must be allowed explicitly, which production never does.
"""

from collections.abc import Iterator, Sequence

from bitcache_server.domain.errors import DescriptorInvalid, NodeChainUnknown, PrivateKeyRefused
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import (
    BlockConnected,
    BlockDisconnected,
    BlockRef,
    Cursor,
    Lookup,
    Matcher,
    MempoolSeen,
    Observation,
    PaymentOrder,
    PaymentRequest,
    RailHealth,
    Step,
)
from bitcache_server.rails.fake_chain import FakeBlock, FakeTx, digest, txid_of
from bitcache_server.rails.fake_payouts import (
    DEFAULT_CONFLICT_CONFIRMATIONS,
    FEE_RATE_MSAT_PER_VB,
    FakePayouts,
)
from bitcache_server.rails.onchain.private_keys import looks_private

RAIL_NAME = "fake"
COINBASE_MATURITY = 100


class FakeRail(FakePayouts):
    """Payments that a test makes. ``allow`` must be True, or it refuses to exist."""

    def __init__(
        self,
        allow: bool = False,
        conflict_confirmations: int = DEFAULT_CONFLICT_CONFIRMATIONS,
    ) -> None:
        super().__init__(allow, conflict_confirmations)
        self._replaced: set[str] = set()
        self._looked_at: set[str] = set()

    # What a test tells it.

    def pay(self, target: str, amount_msat: int, sight_reason: str = "") -> str:
        """Put a payment into the mempool and return its reference.

        With a ``sight_reason`` it may not be trusted unconfirmed, for that reason.
        """
        return self.pay_many([(target, amount_msat)], sight_reason)[0]

    def pay_many(self, outputs: Sequence[tuple[str, int]], sight_reason: str = "") -> list[str]:
        """Pay several targets, or one several times, in one transaction."""
        tx = FakeTx(self._next_hash("tx"), tuple(outputs), sight_reason)
        self._mempool[tx.txid] = tx
        return [f"{tx.txid}:{index}" for index in range(len(outputs))]

    def double_spend(self, reference: str) -> None:
        """Let another transaction take the place of an unconfirmed payment, for good."""
        txid = txid_of(reference)
        del self._mempool[txid]
        self._replaced.add(txid)

    # The rail.

    @property
    def name(self) -> str:
        """Return ``fake``."""
        return RAIL_NAME

    def check_account(self, account: str) -> str:
        """Return the account without outer blanks; anything but a private key will do."""
        if looks_private(account):
            raise PrivateKeyRefused
        if not account.strip():
            raise DescriptorInvalid("Enter an account.")
        return account.strip()

    def create_request(self, order: PaymentOrder) -> PaymentRequest:
        """Return a made-up destination; it takes fractions of a sat."""
        target = digest("target", f"{order.account} {order.index}")
        return PaymentRequest(RAIL_NAME, f"fake:{target[:40]}", target, order.amount_msat)

    def watch(
        self, cursor: Cursor | None, match: Matcher, with_mempool: bool = True
    ) -> Iterator[Step]:
        """Yield all steps from the cursor to now; see ``Rail.watch``."""
        self._check()
        if cursor is None:
            yield self._connected(self._chain[-1], match)
            cursor = self._cursor(self._chain[-1])
        while cursor.hash in self._stale:
            block = self._stale[cursor.hash]
            self.forget_mempool()
            yield BlockDisconnected(block.ref.height, block.ref.hash, block.previous_hash)
            cursor = Cursor(block.ref.height - 1, block.previous_hash)
        if cursor.hash not in {block.ref.hash for block in self._chain}:
            raise NodeChainUnknown
        for block in self._chain[cursor.height + 1 :]:
            yield self._connected(block, match)
        if with_mempool:
            yield from self._mempool_step(match)

    def forget_mempool(self) -> None:
        """Report every unconfirmed payment anew at the next watch."""
        self._looked_at = set()

    def lookup(self, observation: Observation) -> Lookup:
        """Answer from memory; a lost payment that carries its ``raw`` is sent again."""
        if self._failure is not None:
            return Lookup(Outcome.UNKNOWN, None, self._failure.detail)
        txid = txid_of(observation.reference)
        if block := self._block_of(txid):
            return Lookup(Outcome.SETTLED, block.ref, "in the chain")
        if txid in self._mempool:
            return Lookup(Outcome.PENDING, None, "in the mempool")
        if txid in self._replaced:
            return Lookup(Outcome.FAILED, None, "another transaction took its place")
        if not observation.raw:
            return Lookup(Outcome.UNKNOWN, None, "not known now")
        outputs = [tuple(pair.split("=")) for pair in observation.raw.split(",")]
        self._mempool[txid] = FakeTx(txid, tuple((target, int(msat)) for target, msat in outputs))
        return Lookup(Outcome.PENDING, None, "sent again")

    def health(self) -> RailHealth:
        """Return that all is well, or the failure that was set."""
        height = self._chain[-1].ref.height
        if self._failure is not None:
            failure = self._failure
            return RailHealth(False, failure.code, failure.detail, 0, FEE_RATE_MSAT_PER_VB)
        return RailHealth(True, "ok", f"at block {height}", height, FEE_RATE_MSAT_PER_VB)

    def _cursor(self, block: FakeBlock) -> Cursor:
        return Cursor(block.ref.height, block.ref.hash)

    def _connected(self, block: FakeBlock, match: Matcher) -> BlockConnected:
        observations = _observations(block.txs, match, block.ref)
        return BlockConnected(block.ref, block.previous_hash, observations)

    def _mempool_step(self, match: Matcher) -> Iterator[MempoolSeen]:
        looked_at = self._looked_at
        looked_at.intersection_update(self._mempool)
        txs = [tx for tx in list(self._mempool.values()) if tx.txid not in looked_at]
        if observations := _observations(txs, match, None):
            yield MempoolSeen(observations)
        looked_at.update(tx.txid for tx in txs)


def _observations(
    txs: Sequence[FakeTx], match: Matcher, block: BlockRef | None
) -> tuple[Observation, ...]:
    targets = list(dict.fromkeys(target for tx in txs for target, _ in tx.outputs))
    wanted = match(targets) if targets else frozenset[str]()
    return tuple(
        Observation(
            rail=RAIL_NAME,
            reference=f"{tx.txid}:{index}",
            target=target,
            amount_msat=amount_msat,
            block=block,
            sight_ok=not tx.sight_reason or block is not None,
            sight_reason="" if block is not None else tx.sight_reason,
            spendable_at_height=block.height + COINBASE_MATURITY if block and tx.is_coinbase else 0,
            raw=",".join(f"{target}={msat}" for target, msat in tx.outputs),
        )
        for tx in txs
        for index, (target, amount_msat) in enumerate(tx.outputs)
        if target in wanted
    )
