"""What became of a payout? FAILED only when another spend of its coins is deep enough."""

from collections.abc import Sequence
from dataclasses import replace

from bitcache_server.domain.errors import NodeRejected, RailError
from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import PayoutLookup, PreparedPayout
from bitcache_server.rails.onchain.chain import read_state
from bitcache_server.rails.onchain.networks import Network
from bitcache_server.rails.onchain.payouts import Payouts
from bitcache_server.rails.onchain.rpc import NodeClient
from bitcache_server.rails.onchain.spenders import SEARCH_BLOCKS, SpenderSearch
from bitcache_server.rails.onchain.transactions import RawTx, read_raw, totals
from bitcache_server.rails.onchain.wallet import PayoutWallet, WalletTx


class PayoutFinder:
    """Asks the wallet first, which needs no transaction index, then the chain."""

    def __init__(
        self,
        client: NodeClient,
        wallet: PayoutWallet,
        network: Network,
        payouts: Payouts,
        conflict_confirmations: int,
    ) -> None:
        self._client = client
        self._wallet = wallet
        self._network = network
        self._payouts = payouts
        self._conflict_confirmations = conflict_confirmations
        self._spenders = SpenderSearch(client, SEARCH_BLOCKS + conflict_confirmations)

    def lookup(self, prepared: PreparedPayout) -> PayoutLookup:
        """Return the outcome; a node that cannot tell makes it UNKNOWN."""
        try:
            read_state(self._client, self._network)
            return self._lookup(prepared)
        except RailError as error:
            return PayoutLookup(Outcome.UNKNOWN, prepared, 0, error.detail)

    def _lookup(self, prepared: PreparedPayout) -> PayoutLookup:
        tx = read_raw(prepared.raw)
        known = self._wallet.find(tx.txid)
        prepared = _as_prepared(prepared, tx, known)
        if confirmations := self._confirmations(tx, known):
            detail = "The payout is in the chain."
            return PayoutLookup(Outcome.SETTLED, prepared, confirmations, detail)
        if self._is_waiting(tx.txid):
            return PayoutLookup(Outcome.PENDING, prepared, 0, "The payout waits in the mempool.")
        if known is not None and (answer := self._conflict_of(prepared, tx, known)):
            return answer
        try:
            outcome = self._payouts.broadcast(prepared)
        except NodeRejected:
            if known is None and (answer := self._conflict_in_chain(prepared, tx)):
                return answer
            raise
        return PayoutLookup(outcome, prepared, 0, "The node did not have the payout; it was sent.")

    def _confirmations(self, tx: RawTx, known: WalletTx | None) -> int:
        """Return how deep the payout is, 0 if it is in no block."""
        if known is not None:
            return max(known.confirmations, 0)
        # The wallet was replaced, or is behind. A coin that was spent since is not found here.
        outputs = [(tx.txid, vout, False) for vout in range(len(tx.outputs))]
        coins = self._client.find_many("gettxout", outputs)
        return max((int(coin["confirmations"]) for coin in coins if coin is not None), default=0)

    def _is_waiting(self, txid: str) -> bool:
        return self._client.find("getmempoolentry", txid) is not None

    def _conflict_of(
        self, prepared: PreparedPayout, tx: RawTx, known: WalletTx
    ) -> PayoutLookup | None:
        """Judge by what the wallet has seen: all that spend its coins are its own."""
        if rivals := self._alive(known.conflicts):
            return self._judge(prepared, tx, rivals)
        return self._judge_parents(prepared, tx, [known])

    def _conflict_in_chain(self, prepared: PreparedPayout, tx: RawTx) -> PayoutLookup | None:
        """Judge a payout that the node refused whenever it was sent, so the wallet lacks it."""
        spender = self._spenders.find(tx.txid, tx.inputs)
        if spender is not None and (rivals := self._alive([spender.txid])):
            return self._judge(prepared, tx, rivals)
        parents = [self._wallet.find(txid) for txid in {txid for txid, _ in tx.inputs}]
        return self._judge_parents(prepared, tx, [p for p in parents if p is not None])

    def _alive(self, txids: Sequence[str]) -> list[WalletTx]:
        """Return those that are in the chain, the deepest first, then those in the mempool."""
        found = [rival for txid in txids if (rival := self._wallet.find(txid)) is not None]
        mined = [rival for rival in found if rival.confirmations > 0]
        waiting = [r for r in found if r.confirmations == 0 and self._is_waiting(r.txid)]
        return sorted(mined, key=lambda rival: -rival.confirmations) + waiting

    def _judge_parents(
        self, prepared: PreparedPayout, tx: RawTx, relatives: Sequence[WalletTx]
    ) -> PayoutLookup | None:
        """Say how deep the conflict is that made a coin of the payout void, if one did."""
        depth = max((-relative.confirmations for relative in relatives), default=0)
        if depth <= 0:
            return None
        return self._conflicted(prepared, tx, depth, "a chain of transactions without it")

    def _judge(
        self, prepared: PreparedPayout, tx: RawTx, rivals: Sequence[WalletTx]
    ) -> PayoutLookup:
        for rival in rivals:
            if _pays_the_same(prepared, tx, rival):
                outcome = Outcome.SETTLED if rival.confirmations else Outcome.PENDING
                carrier = replace(prepared, reference=rival.txid, fee_msat=rival.fee_msat)
                detail = f"Transaction {rival.txid} pays the same in its place."
                return PayoutLookup(outcome, carrier, rival.confirmations, detail)
        first = rivals[0]
        return self._conflicted(prepared, tx, first.confirmations, f"transaction {first.txid}")

    def _conflicted(
        self, prepared: PreparedPayout, tx: RawTx, depth: int, what: str
    ) -> PayoutLookup:
        detail = f"Its coins went to {what}, {depth} blocks deep."
        if depth < self._conflict_confirmations:
            return PayoutLookup(Outcome.UNKNOWN, prepared, depth, detail)
        self._wallet.unlock(tx.inputs)
        return PayoutLookup(Outcome.FAILED, prepared, depth, detail)


def _as_prepared(prepared: PreparedPayout, tx: RawTx, known: WalletTx | None) -> PreparedPayout:
    """Return the payout as it was first made: the caller may ask with what took its place."""
    if prepared.reference == tx.txid:
        return prepared
    fee_msat = prepared.fee_msat if known is None else known.fee_msat
    return replace(prepared, reference=tx.txid, fee_msat=fee_msat)


def _pays_the_same(prepared: PreparedPayout, tx: RawTx, rival: WalletTx) -> bool:
    """Return whether each payee gets no less by the other transaction."""
    paid = totals(read_raw(rival.raw).outputs)
    return all(paid[script] >= sat for script, sat in _payees(prepared, tx).items())


def _payees(prepared: PreparedPayout, tx: RawTx) -> dict[str, int]:
    """Return sats by script without the change, which is the last output if there is one."""
    outputs = tx.outputs
    if sum(sat for _, sat in outputs) * MSAT_PER_SAT > prepared.amount_msat:
        outputs = outputs[:-1]
    return totals(outputs)
