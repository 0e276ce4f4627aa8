"""May an unconfirmed payment be trusted? Judged for matched transactions only."""

from bitcache_server.domain.money import ceil_div
from bitcache_server.rails.onchain.chain import ChainState, Json, btc_to_msat
from bitcache_server.rails.onchain.rpc import NodeClient

#: BIP 125: an input with a lower sequence number signals that it may be replaced.
_FIRST_FINAL_SEQUENCE = 0xFFFFFFFE
_SEQUENCE_IGNORES_LOCK = 0xFFFFFFFF
#: Lock times below this are heights, above it Unix times (BIP 65 names the number).
_LOCK_TIME_THRESHOLD = 500_000_000


class SightJudge:
    """Judges the payments of one look at the mempool."""

    def __init__(self, client: NodeClient, state: ChainState, minimum_msat_per_vb: int) -> None:
        self._client = client
        self._state = state
        self._minimum_msat_per_vb = minimum_msat_per_vb

    def objection(self, tx: Json) -> str:
        """Return why the transaction cannot be trusted yet; empty if it can."""
        if not _is_final(tx, self._state):
            return "the transaction is locked until later"
        if _signals_replacement(tx):
            return "the transaction says that it may be replaced"
        return self._objection_of_mempool(tx["txid"])

    def _objection_of_mempool(self, txid: str) -> str:
        entry = self._client.find("getmempoolentry", txid)
        ancestors = self._client.find("getmempoolancestors", txid)
        if entry is None or ancestors is None:
            return "the transaction left the mempool"
        rate = _rate_msat_per_vb(entry)
        if rate < self._minimum_msat_per_vb:
            return (
                f"the fee is {rate / 1000:.1f} sat per byte;"
                f" {self._minimum_msat_per_vb / 1000:.1f} would be fair"
            )
        found = self._client.find_many("getrawtransaction", [(a, True) for a in ancestors])
        # An ancestor that is gone was mined or replaced since; only mining leaves this one.
        if any(_signals_replacement(parent) for parent in found if parent is not None):
            return "it spends an unconfirmed transaction that may be replaced"
        return ""


def _is_final(tx: Json, state: ChainState) -> bool:
    """Return whether the next block may contain it (BIP 113), as the mempool demands too."""
    lock_time = tx["locktime"]
    if all(vin["sequence"] == _SEQUENCE_IGNORES_LOCK for vin in tx["vin"]):
        return True
    if lock_time < _LOCK_TIME_THRESHOLD:
        return bool(lock_time <= state.height)
    return bool(lock_time < state.median_time)


def _signals_replacement(tx: Json) -> bool:
    return any(vin["sequence"] < _FIRST_FINAL_SEQUENCE for vin in tx["vin"])


def _rate_msat_per_vb(entry: Json) -> int:
    """Return the lower of its own rate and that of it with its unconfirmed ancestors.

    Miners take ancestors along, so a cheap parent holds a payment back.
    """
    fees, vsize = entry["fees"], int(entry["vsize"])
    own = _rate(btc_to_msat(fees["base"]), vsize)
    package_fee = fees.get("ancestor", fees["base"])
    package = _rate(btc_to_msat(package_fee), int(entry.get("ancestorsize", vsize)))
    return min(own, package)


def _rate(fee_msat: int, vsize: int) -> int:
    return ceil_div(fee_msat, vsize)
