"""The doctor's look at the Bitcoin node."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import RailError
from bitcache_server.domain.words import count
from bitcache_server.models.operations import ChainBlock
from bitcache_server.rails.onchain.chain import btc_per_kvb_to_msat_per_vb
from bitcache_server.rails.onchain.fees import TARGET_BLOCKS
from bitcache_server.rails.onchain.rpc import NodeClient
from bitcache_server.services.deps import Deps
from bitcache_server.services.findings import Finding, fine, problem, warning

_RAIL = "onchain"
_TIMEOUT_S = 10.0
#: The watch is half a second behind; two blocks are never found in that time for long.
_MAX_BEHIND = 3
#: Clocks differ by seconds; the median of eleven blocks' times always lies in the past.
CLOCK_TOLERANCE_S = 60

#: How to mend what ``RailHealth.code`` says.
_MENDS = {
    "node_unreachable": "Start bitcoind and compare host and port in node_url. bitcoind needs "
    "server=1 and, for another machine, rpcbind and rpcallowip.",
    "node_unauthorized": "Compare user and password in node_url with rpcauth, or rpcuser and "
    "rpcpassword, in bitcoin.conf.",
    "node_wrong_network": "Set `network` to the node's, or point node_url to another node.",
    "node_syncing": "Wait until it has all blocks; payments are found late until then.",
    "node_pruned": "Let the node download the blocks again (bitcoind -reindex).",
}


def check_node(deps: Deps, session: Session | None) -> Iterator[Finding]:
    """Look whether the node answers, is on our chain, and has the blocks that we need."""
    node_url = deps.settings.node_url
    if _RAIL not in deps.rails or node_url is None:
        return
    health = deps.rail(_RAIL).health()
    if not health.ok:
        mend = _MENDS.get(health.code, "Look at the node's log.")
        yield problem("node", health.code, health.detail, mend)
        return
    client = NodeClient(node_url.get_secret_value(), _TIMEOUT_S)
    try:
        info = client.call("getblockchaininfo")
        yield fine("node", f"On {info['chain']!r}, {health.detail}. No txindex is needed.")
        yield from _check_fees(deps, client)
        yield from _check_clock(deps, info)
        if session is not None:
            yield from _check_cursor(session, client, info)
    except RailError as error:
        yield problem("node", error.code, error.detail, _MENDS.get(error.code, "Try again."))


def _check_fees(deps: Deps, client: NodeClient) -> Iterator[Finding]:
    answer: dict[str, Any] = client.call("estimatesmartfee", TARGET_BLOCKS)
    rate = answer.get("feerate")
    if rate:
        per_vb = btc_per_kvb_to_msat_per_vb(rate) / 1000
        yield fine("fees", f"The node estimates {per_vb:.1f} sat per byte.")
        return
    yield warning(
        "fees",
        "no_fee_estimate",
        f"The node has no estimate; {deps.settings.fallback_fee_sat_per_vb} sat per byte "
        "(fallback_fee_sat_per_vb) is assumed.",
        "A node estimates after some hours of uptime. On a test network this stays so.",
    )


def _check_clock(deps: Deps, info: dict[str, Any]) -> Iterator[Finding]:
    """BIP 113: the median time is in the past by rule, so a clock before it is slow."""
    slow_s = int(info.get("mediantime", 0)) - deps.clock()
    if slow_s > CLOCK_TOLERANCE_S:
        yield problem(
            "clock",
            "clock_slow",
            f"This machine's clock is at least {slow_s} s behind the Bitcoin chain.",
            "Set it and keep it right with NTP: timedatectl set-ntp true",
        )


def _check_cursor(session: Session, client: NodeClient, info: dict[str, Any]) -> Iterator[Finding]:
    """Look whether the watch can go on where it left off."""
    query = select(ChainBlock).where(ChainBlock.rail == _RAIL)
    cursor = session.scalar(query.order_by(ChainBlock.height.desc()).limit(1))
    if cursor is None:
        session.rollback()
        yield warning(
            "watch", "never_watched", "No block has been looked at yet.", "Start `bitcache jobs`."
        )
        return
    height, block_hash = cursor.height, cursor.hash
    session.rollback()
    if info.get("pruned") and int(info.get("pruneheight", 0)) > height + 1:
        yield problem(
            "watch",
            "node_pruned",
            f"The watch is at block {height}; the node has deleted all before "
            f"{info['pruneheight']}.",
            _MENDS["node_pruned"],
        )
        return
    if client.find("getblockheader", block_hash) is None:
        yield problem(
            "watch",
            "node_chain_unknown",
            f"The node does not know block {block_hash} at height {height}, where the watch is.",
            "Wait if the node is catching up; otherwise it is another chain: check node_url and "
            "network.",
        )
        return
    behind = int(info["blocks"]) - height
    if behind > _MAX_BEHIND:
        found = f"The watch is {count(behind, 'block')} behind the node."
        yield warning("watch", "watch_behind", found, "Start `bitcache jobs`, or let it catch up.")
    else:
        yield fine("watch", f"At block {height}.")
