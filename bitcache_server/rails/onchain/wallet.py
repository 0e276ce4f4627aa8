"""The wallet of the node that pays out: Bitcoin Core's wallet calls in the code's own words."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from bitcache_server.domain.errors import NodeRejected, PayoutsUnavailable
from bitcache_server.domain.money import MSAT_PER_SAT, format_btc
from bitcache_server.rails.onchain.chain import Json, btc_to_msat
from bitcache_server.rails.onchain.rpc import RPC_METHOD_NOT_FOUND, NodeClient
from bitcache_server.rails.onchain.spenders import Outpoint

#: Error numbers of Bitcoin Core (src/rpc/protocol.h).
_RPC_WALLET_ERROR = -4
_RPC_WALLET_INSUFFICIENT_FUNDS = -6
_RPC_WALLET_UNLOCK_NEEDED = -13
_RPC_WALLET_NOT_FOUND = -18
_RPC_WALLET_NOT_SPECIFIED = -19
#: Coins that are asked for in one round trip.
_BATCH = 500


@dataclass(frozen=True)
class Unsigned:
    """A transaction with coins and change chosen, not signed."""

    raw: str
    fee_msat: int


@dataclass(frozen=True)
class WalletTx:
    """A transaction that the wallet knows."""

    txid: str
    raw: str
    confirmations: int
    """Below 0: a conflict is that deep in the chain, its own or an ancestor's."""
    fee_msat: int
    conflicts: tuple[str, ...]
    """Ids of others that spend the same coins."""


class PayoutWallet:
    """One wallet of the node. Constructing it connects to nothing."""

    def __init__(self, rpc_url: str, name: str, timeout_s: float) -> None:
        self._client = NodeClient(_wallet_url(rpc_url, name), timeout_s)
        self._name = name

    def fund(self, outputs: Mapping[str, int], rate_msat_per_vb: int) -> Unsigned:
        """Return a transaction with these outputs (sat by address) first, then the change.

        Raises PayoutsUnavailable when the wallet cannot, RailError.
        """
        with self._trouble_in_words():
            amounts = [{address: format_btc(sat)} for address, sat in outputs.items()]
            bare = self._client.call("createrawtransaction", [], amounts)
            options = {
                "fee_rate": f"{rate_msat_per_vb // MSAT_PER_SAT}.{rate_msat_per_vb % 1000:03}",
                # A replacement is told from a conflict by its payees, so they come first.
                "changePosition": len(amounts),
                "replaceable": True,
            }
            funded: Json = self._client.call("fundrawtransaction", bare, options)
        return Unsigned(str(funded["hex"]), btc_to_msat(funded["fee"]))

    def sign(self, raw: str) -> str:
        """Return the signed transaction; raise PayoutsUnavailable when the wallet cannot."""
        with self._trouble_in_words():
            signed: Json = self._client.call("signrawtransactionwithwallet", raw)
        if not signed["complete"]:
            raise PayoutsUnavailable("The payout wallet does not have all the keys to its coins.")
        return str(signed["hex"])

    def find(self, txid: str) -> WalletTx | None:
        """Return a transaction that the wallet knows, or None. Raises RailError."""
        known: Json | None = self._client.find("gettransaction", txid)
        if known is None:
            return None
        return WalletTx(
            txid=txid,
            raw=str(known["hex"]),
            confirmations=int(known["confirmations"]),
            fee_msat=-btc_to_msat(known.get("fee") or 0),
            conflicts=tuple(known.get("walletconflicts") or ()),
        )

    def lock(self, coins: Sequence[Outpoint]) -> None:
        """Let nothing else of the wallet take the coins, as far as the node can do that."""
        self._lock_unspent(False, coins)

    def unlock(self, coins: Sequence[Outpoint]) -> None:
        """Give the coins free that are still there."""
        for coin in coins:
            self._lock_unspent(True, [coin])

    def held_msat(self, others: Sequence[Outpoint]) -> int:
        """Return the wallet's coins, its unconfirmed ones too, and of ``others`` the unspent.

        Raises RailError.
        """
        listed: list[Json] = self._client.call("listunspent", 0)
        mine = {(coin["txid"], int(coin["vout"])): btc_to_msat(coin["amount"]) for coin in listed}
        # The list leaves out what is locked.
        locked = [
            (coin["txid"], int(coin["vout"])) for coin in self._client.call("listlockunspent")
        ]
        rest = sorted({*others, *locked} - mine.keys())
        parts = [rest[start : start + _BATCH] for start in range(0, len(rest), _BATCH)]
        return sum(mine.values()) + sum(self._value_msat(part) for part in parts)

    def _value_msat(self, coins: Sequence[Outpoint]) -> int:
        found = self._client.find_many("gettxout", [(*coin, True) for coin in coins])
        return sum(btc_to_msat(coin["value"]) for coin in found if coin is not None)

    def _lock_unspent(self, unlock: bool, coins: Sequence[Outpoint]) -> None:
        outputs = [{"txid": txid, "vout": vout} for txid, vout in coins]
        # Refused where the coins are spent, or locked already: both are fine.
        with suppress(NodeRejected):
            self._client.call("lockunspent", unlock, outputs)

    @contextmanager
    def _trouble_in_words(self) -> Iterator[None]:
        try:
            yield
        except NodeRejected as refusal:
            words = self._words(refusal)
            raise PayoutsUnavailable(words) if words else refusal from None

    def _words(self, refusal: NodeRejected) -> str:
        """Return what an operator should know, or nothing if that is not the wallet's trouble."""
        match refusal.rpc_code:
            case code if code in (_RPC_WALLET_ERROR, _RPC_WALLET_INSUFFICIENT_FUNDS):
                return f"The payout wallet cannot pay that now: {refusal.detail}"
            case code if code == _RPC_WALLET_UNLOCK_NEEDED:
                return "The payout wallet is locked; open it with walletpassphrase."
            case code if code == _RPC_WALLET_NOT_FOUND:
                return f"The node has not loaded its wallet {self._name!r}."
            case code if code == _RPC_WALLET_NOT_SPECIFIED:
                return "The node has several wallets; say which one pays out (payout_wallet)."
            case code if code == RPC_METHOD_NOT_FOUND:
                return "The node runs without a wallet."
        return ""


def _wallet_url(rpc_url: str, name: str) -> str:
    """Return where Bitcoin Core answers for a wallet (doc/JSON-RPC-interface.md)."""
    if not name:
        return rpc_url
    return urlsplit(rpc_url)._replace(path=f"/wallet/{quote(name, safe='')}").geturl()
