"""Who spends a coin? Asked of a node without a transaction index."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitcache_server.domain.errors import NodeRejected
from bitcache_server.rails.base import BlockRef
from bitcache_server.rails.onchain.chain import block_ref
from bitcache_server.rails.onchain.rpc import RPC_METHOD_NOT_FOUND, NodeClient

#: How far back a spend is looked for: a day. Every pruned node keeps at least 288 blocks.
SEARCH_BLOCKS = 144
_MAX_REMEMBERED = 1_000

#: A coin: the transaction's id and the number of its output.
Outpoint = tuple[str, int]


@dataclass(frozen=True)
class Spender:
    """The transaction that spends one of the coins."""

    txid: str
    block: BlockRef | None
    """None while it waits in the mempool."""


class SpenderSearch:
    """Looks in the mempool, then in the latest blocks. It remembers what it searched in vain."""

    def __init__(self, client: NodeClient, blocks: int | None = None) -> None:
        self._client = client
        self._blocks = blocks
        #: Up to which tip the chain was searched in vain, by the caller's key.
        self._searched: dict[str, str] = {}

    def find(self, key: str, coins: Sequence[Outpoint]) -> Spender | None:
        """Return who spends one of the coins. ``key`` names the question, for next time.

        Raises RailError.
        """
        return self._in_mempool(coins) or self._in_chain(key, coins)

    def _in_mempool(self, coins: Sequence[Outpoint]) -> Spender | None:
        outpoints = [{"txid": txid, "vout": vout} for txid, vout in coins]
        try:
            answers = self._client.call("gettxspendingprevout", outpoints)
        except NodeRejected as refusal:
            if refusal.rpc_code == RPC_METHOD_NOT_FOUND:  # Bitcoin Core before 24
                return None
            raise
        for answer in answers:
            if spender := answer.get("spendingtxid"):
                return Spender(spender, None)
        return None

    def _in_chain(self, key: str, coins: Sequence[Outpoint]) -> Spender | None:
        """Search the latest blocks; in vain, and they are not searched again."""
        needles = [_outpoint_hex(*coin) for coin in coins]
        tip = block_hash = str(self._client.call("getbestblockhash"))
        searched_to = self._searched.get(key)
        for _ in range(self._blocks or SEARCH_BLOCKS):
            if block_hash == searched_to:
                break
            raw = self._client.call("getblock", block_hash, 0)
            found = any(needle in raw for needle in needles)
            if found and (spender := self._in_block(block_hash, set(coins))):
                return spender
            header = self._client.call("getblockheader", block_hash)
            if header["height"] == 0:
                break
            block_hash = header["previousblockhash"]
        if len(self._searched) >= _MAX_REMEMBERED:
            self._searched.clear()
        self._searched[key] = tip
        return None

    def _in_block(self, block_hash: str, coins: set[Outpoint]) -> Spender | None:
        block = self._client.call("getblock", block_hash, 2)
        for tx in block["tx"]:
            if any((vin.get("txid"), vin.get("vout")) in coins for vin in tx["vin"]):
                return Spender(tx["txid"], block_ref(block))
        return None


def _outpoint_hex(txid: str, vout: int) -> str:
    """Return an outpoint as it stands in a raw transaction: bytes reversed, 32 bits."""
    return bytes.fromhex(txid)[::-1].hex() + vout.to_bytes(4, "little").hex()
