"""What a transaction must pay: asked of the node, with a fallback."""

from dataclasses import dataclass

from bitcache_server.domain.money import MSAT_PER_SAT, ceil_div
from bitcache_server.rails.onchain.chain import Json, btc_per_kvb_to_msat_per_vb
from bitcache_server.rails.onchain.rpc import NodeClient

#: "Soon" is within an hour.
TARGET_BLOCKS = 6


@dataclass(frozen=True)
class FeePolicy:
    """Settings: what to assume without an estimate, and what is fair on sight."""

    fallback_sat_per_vb: int
    min_sight_share_percent: int
    """The share of the estimate that an unconfirmed payment must pay to be trusted."""

    @property
    def fallback_msat_per_vb(self) -> int:
        """Return the assumed rate in msat."""
        return self.fallback_sat_per_vb * MSAT_PER_SAT


def current_rate_msat_per_vb(client: NodeClient, policy: FeePolicy) -> int:
    """Return the rate that confirms soon: the estimate, else what the mempool asks at least."""
    minimum = _mempool_minimum(client)
    return max(_estimate(client), minimum) or policy.fallback_msat_per_vb


def payout_rate_msat_per_vb(client: NodeClient, policy: FeePolicy) -> int:
    """Return the rate that our own transactions pay.

    Without an estimate it is the fallback, or the mempool's minimum if that is higher:
    the minimum alone can wait for weeks.
    """
    estimate = _estimate(client) or policy.fallback_msat_per_vb
    return max(estimate, _mempool_minimum(client))


def sight_minimum_msat_per_vb(client: NodeClient, policy: FeePolicy) -> int:
    """Return the rate from which an unconfirmed payment is fair, rounded up.

    Without an estimate the fallback stands in: the mempool's minimum alone would
    let payments pass that nobody will mine while blocks are full.
    """
    estimate = _estimate(client) or policy.fallback_msat_per_vb
    share = ceil_div(estimate * policy.min_sight_share_percent, 100)
    return max(share, _mempool_minimum(client))


def _estimate(client: NodeClient) -> int:
    """Return the node's estimate, or 0 while it has too little data."""
    answer: Json = client.call("estimatesmartfee", TARGET_BLOCKS)
    return btc_per_kvb_to_msat_per_vb(answer.get("feerate") or 0)


def _mempool_minimum(client: NodeClient) -> int:
    info: Json = client.call("getmempoolinfo")
    return btc_per_kvb_to_msat_per_vb(info.get("mempoolminfee") or 0)
