"""The node's chain in the code's own words: state, blocks, amounts."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from bitcache_server.domain.errors import NodeSyncing, NodeUnreachable, NodeWrongNetwork
from bitcache_server.domain.money import MSAT_PER_BTC
from bitcache_server.rails.base import BlockRef
from bitcache_server.rails.onchain.networks import Network
from bitcache_server.rails.onchain.rpc import NodeClient

#: What the node answers, decoded from JSON; fractions are Decimal.
Json = dict[str, Any]

#: A node that knows of so many more headers than blocks is catching up.
MAX_BLOCKS_BEHIND = 6
#: BIP 141 and Bitcoin Core: fees are quoted for a thousand virtual bytes.
_VBYTES_PER_KVB = 1_000


@dataclass(frozen=True)
class ChainState:
    """The tip of the best chain."""

    height: int
    hash: str
    median_time: int
    """The median of the last eleven blocks' times (BIP 113)."""


def read_state(client: NodeClient, network: Network) -> ChainState:
    """Return the tip; raise NodeWrongNetwork, NodeSyncing or another RailError."""
    info = client.call("getblockchaininfo")
    try:
        state = ChainState(info["blocks"], info["bestblockhash"], info["mediantime"])
        chain, headers = info["chain"], info["headers"]
    except (KeyError, TypeError):
        raise NodeUnreachable("The answer is not that of a Bitcoin node.") from None
    if chain not in network.chains:
        raise NodeWrongNetwork(
            f"The node is on {str(chain)[:20]!r}, but this server is set to {network.name}."
        )
    # On regtest blocks come when someone wants them; an old tip means nothing there.
    downloading = info.get("initialblockdownload") and network.name != "regtest"
    if downloading or headers - state.height > MAX_BLOCKS_BEHIND:
        raise NodeSyncing(f"The node has {state.height} of {headers} blocks.")
    return state


def block_ref(block: Json) -> BlockRef:
    """Return the reference of a block or header that the node described."""
    return BlockRef(height=block["height"], hash=block["hash"], time=block["time"])


def btc_to_msat(amount_btc: Decimal | int) -> int:
    """Return an amount of the node's in msat; it has eight decimals, so this is exact."""
    return int(Decimal(amount_btc) * MSAT_PER_BTC)


def btc_per_kvb_to_msat_per_vb(rate: Decimal | int) -> int:
    """Return a fee rate in msat for one virtual byte, rounded up."""
    exact = Decimal(rate) * MSAT_PER_BTC / _VBYTES_PER_KVB
    return int(exact.to_integral_value(ROUND_CEILING))
