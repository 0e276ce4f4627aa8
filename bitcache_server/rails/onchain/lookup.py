"""What became of one payment? FAILED only if a conflicting transaction is there to show."""

from bitcache_server.domain.errors import NodeRejected, RailError
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import BlockRef, Lookup, Observation
from bitcache_server.rails.onchain.chain import Json, block_ref
from bitcache_server.rails.onchain.rpc import NodeClient
from bitcache_server.rails.onchain.spenders import SpenderSearch


class Finder:
    """Looks payments up. It works without a transaction index."""

    def __init__(self, client: NodeClient) -> None:
        self._client = client
        self._spenders = SpenderSearch(client)

    def lookup(self, observation: Observation) -> Lookup:
        """Return the outcome; a node that cannot tell makes it UNKNOWN."""
        try:
            return self._lookup(observation)
        except RailError as error:
            return Lookup(Outcome.UNKNOWN, None, error.detail)

    def _lookup(self, observation: Observation) -> Lookup:
        txid, _, vout = observation.reference.partition(":")
        if block := self._block_of(observation, txid, int(vout)):
            return Lookup(Outcome.SETTLED, block, "The payment is in the chain.")
        if self._client.find("getmempoolentry", txid) is not None:
            return Lookup(Outcome.PENDING, None, "The payment waits in the mempool.")
        if not observation.raw:
            return Lookup(Outcome.UNKNOWN, None, "The node does not know the transaction now.")
        try:
            self._client.call("sendrawtransaction", observation.raw)
        except NodeRejected as refusal:
            return self._explain(txid, observation.raw, refusal)
        return Lookup(Outcome.PENDING, None, "The node had lost the payment; it was sent again.")

    def _block_of(self, observation: Observation, txid: str, vout: int) -> BlockRef | None:
        """Return the block of the best chain that has the transaction, if that can be told."""
        if observation.block is not None:
            header = self._client.find("getblockheader", observation.block.hash)
            if header is not None and header["confirmations"] > 0:
                return observation.block
        coin = self._client.call("gettxout", txid, vout, False)
        if coin is not None and coin["confirmations"] > 0:
            tip = self._client.call("getblockheader", coin["bestblock"])
            return self._block_at(tip["height"] - coin["confirmations"] + 1)
        # A coin that was spent since is known only to a node with a transaction index.
        tx = self._client.find("getrawtransaction", txid, True)
        if tx is not None and tx.get("blockhash") and tx.get("confirmations", 0) > 0:
            return block_ref(self._client.call("getblockheader", tx["blockhash"]))
        return None

    def _block_at(self, height: int) -> BlockRef:
        block_hash = self._client.call("getblockhash", height)
        return block_ref(self._client.call("getblockheader", block_hash))

    def _explain(self, txid: str, raw: str, refusal: NodeRejected) -> Lookup:
        """Find out why the node refuses the payment: a conflict, or something to wait for."""
        decoded: Json = self._client.call("decoderawtransaction", raw)
        inputs = [(vin["txid"], int(vin["vout"])) for vin in decoded["vin"] if "txid" in vin]
        spender = self._spenders.find(txid, inputs)
        if spender is None:
            return Lookup(Outcome.UNKNOWN, None, f"The node refuses the payment: {refusal.detail}")
        if spender.txid == txid:
            outcome = Outcome.SETTLED if spender.block else Outcome.PENDING
            return Lookup(outcome, spender.block, "The payment was there after all.")
        place = f"in block {spender.block.height}" if spender.block else "in the mempool"
        return Lookup(
            Outcome.FAILED, None, f"Transaction {spender.txid} {place} took the payment's coins."
        )
