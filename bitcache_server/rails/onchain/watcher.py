"""Walk blocks and the mempool, from a cursor to now.

The cost is that of the block: every output script of a block goes into one
question to the caller, however many invoices are open.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from bitcache_server.domain.errors import NodeChainUnknown, NodeSyncing
from bitcache_server.rails.base import (
    BlockConnected,
    BlockDisconnected,
    BlockRef,
    Cursor,
    Matcher,
    MempoolSeen,
    Observation,
    Step,
)
from bitcache_server.rails.onchain.chain import (
    ChainState,
    Json,
    block_ref,
    btc_to_msat,
    read_state,
)
from bitcache_server.rails.onchain.fees import FeePolicy, sight_minimum_msat_per_vb
from bitcache_server.rails.onchain.networks import Network
from bitcache_server.rails.onchain.rpc import NodeClient
from bitcache_server.rails.onchain.sight import SightJudge

RAIL_NAME = "onchain"
#: Consensus: the outputs of a coinbase can be spent 100 blocks later.
COINBASE_MATURITY = 100
#: Mempool transactions fetched in one round trip; bounds the memory that it takes.
MEMPOOL_BATCH = 200

_MATURE = 0


class Watcher:
    """Reads one node. Its only memory is which mempool transactions it looked at."""

    def __init__(self, client: NodeClient, network: Network, fees: FeePolicy) -> None:
        self._client = client
        self._network = network
        self._fees = fees
        self._looked_at: set[str] = set()

    def forget_mempool(self) -> None:
        """Look at every mempool transaction anew next time."""
        self._looked_at = set()

    def steps(self, cursor: Cursor | None, match: Matcher, with_mempool: bool) -> Iterator[Step]:
        """Yield what ``Rail.watch`` promises."""
        state = read_state(self._client, self._network)
        yield from self._chain_steps(cursor, match, state)
        if with_mempool:
            yield from self._mempool_steps(match)

    def _chain_steps(
        self, cursor: Cursor | None, match: Matcher, state: ChainState
    ) -> Iterator[BlockConnected | BlockDisconnected]:
        if cursor is None:
            connected = self._connected(self._block(state.hash), match)
            yield connected
            cursor = Cursor(connected.block.height, connected.block.hash)
        while True:
            # Asked again for each block, so a reorganisation during the walk is seen too.
            header = self._header(cursor, state)
            previous, following = header.get("previousblockhash"), header.get("nextblockhash")
            if header["confirmations"] < 0:
                # Its payments may be back in the mempool, which then is news.
                self.forget_mempool()
                yield BlockDisconnected(header["height"], header["hash"], str(previous))
                cursor = Cursor(header["height"] - 1, str(previous))
            elif following:
                block = self._block(following)
                if block["confirmations"] < 0:
                    return  # gone between the two questions; the next watch sorts it out
                yield self._connected(block, match)
                cursor = Cursor(block["height"], block["hash"])
            else:
                return

    def _header(self, cursor: Cursor, state: ChainState) -> Json:
        header: Json | None = self._client.find("getblockheader", cursor.hash)
        if header is not None:
            return header
        if state.height < cursor.height:
            raise NodeSyncing(
                f"The node's chain ends at block {state.height}, but the watch was at block"
                f" {cursor.height}. It is still catching up, or it is on another chain."
            )
        raise NodeChainUnknown(
            f"The node does not know block {cursor.hash} at height {cursor.height}."
            " Was it replaced, or its data folder? The watch must start again from a block"
            " that both know."
        )

    def _block(self, block_hash: str) -> Json:
        block: Json = self._client.call("getblock", block_hash, 2)
        return block

    def _connected(self, block: Json, match: Matcher) -> BlockConnected:
        ref = block_ref(block)
        wanted = _matching(block["tx"], match)
        observations = [
            observation for tx in block["tx"] for observation in _observations(tx, wanted, ref, "")
        ]
        return BlockConnected(ref, block.get("previousblockhash") or "", tuple(observations))

    def _mempool_steps(self, match: Matcher) -> Iterator[MempoolSeen]:
        looked_at = self._looked_at
        txids: list[str] = self._client.call("getrawmempool")
        looked_at.intersection_update(txids)
        for batch in _batches((txid for txid in txids if txid not in looked_at), MEMPOOL_BATCH):
            found = self._client.find_many("getrawtransaction", [(txid, True) for txid in batch])
            # A transaction may vanish or be mined between the two calls.
            txs = [tx for tx in found if tx is not None and not tx.get("blockhash")]
            if observations := self._unconfirmed(txs, match):
                yield MempoolSeen(observations)
            # Only now: if the caller failed to store them, they must come again.
            looked_at.update(tx["txid"] for tx in txs)

    def _unconfirmed(self, txs: Sequence[Json], match: Matcher) -> tuple[Observation, ...]:
        wanted = _matching(txs, match)
        if not wanted:
            return ()
        judge = SightJudge(
            self._client,
            read_state(self._client, self._network),
            sight_minimum_msat_per_vb(self._client, self._fees),
        )
        observations: list[Observation] = []
        for tx in txs:
            if any(_script(output) in wanted for output in tx["vout"]):
                observations += _observations(tx, wanted, None, judge.objection(tx))
        return tuple(observations)


def _matching(txs: Iterable[Json], match: Matcher) -> frozenset[str]:
    scripts = list(dict.fromkeys(_script(output) for tx in txs for output in tx["vout"]))
    return frozenset(match(scripts)) if scripts else frozenset()


def _observations(
    tx: Json, wanted: frozenset[str], block: BlockRef | None, objection: str
) -> Iterator[Observation]:
    """Yield one observation for each output to a wanted script."""
    is_coinbase = bool(tx["vin"][0].get("coinbase"))
    spendable_at = block.height + COINBASE_MATURITY if block and is_coinbase else _MATURE
    for output in tx["vout"]:
        amount_msat = btc_to_msat(output["value"])
        if _script(output) not in wanted or amount_msat == 0:
            continue
        yield Observation(
            rail=RAIL_NAME,
            reference=f"{tx['txid']}:{output['n']}",
            target=_script(output),
            amount_msat=amount_msat,
            block=block,
            sight_ok=not objection,
            sight_reason=objection,
            spendable_at_height=spendable_at,
            raw=tx.get("hex") or "",
        )


def _script(output: Json) -> str:
    return str(output["scriptPubKey"]["hex"])


def _batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
