"""On-chain payments as a rail: put together from the parts in this package."""

from collections.abc import Iterator, Sequence

from bitcache_server.domain.errors import RailError
from bitcache_server.domain.money import MSAT_PER_SAT, msat_to_sat_ceil
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import (
    Cursor,
    Lookup,
    Matcher,
    Observation,
    PaymentOrder,
    PaymentRequest,
    PayoutLookup,
    PayoutOrder,
    PreparedPayout,
    RailHealth,
    Step,
)
from bitcache_server.rails.onchain.addresses import normal_address
from bitcache_server.rails.onchain.chain import read_state
from bitcache_server.rails.onchain.descriptors import derive, normalise
from bitcache_server.rails.onchain.fees import FeePolicy, current_rate_msat_per_vb
from bitcache_server.rails.onchain.lookup import Finder
from bitcache_server.rails.onchain.networks import network_by_name
from bitcache_server.rails.onchain.payout_lookup import PayoutFinder
from bitcache_server.rails.onchain.payouts import Payouts
from bitcache_server.rails.onchain.rpc import NodeClient
from bitcache_server.rails.onchain.wallet import PayoutWallet
from bitcache_server.rails.onchain.watcher import RAIL_NAME, Watcher

DEFAULT_TIMEOUT_S = 10.0
DEFAULT_FALLBACK_FEE_SAT_PER_VB = 2
DEFAULT_MIN_SIGHT_FEE_SHARE_PERCENT = 50
DEFAULT_CONFLICT_CONFIRMATIONS = 6


class OnchainRail:
    """Payments to addresses derived from public descriptors, seen by a full node.

    Payouts leave a wallet of that node, ``payout_wallet``; the server has no key.

    Constructing it makes no connection. It may be used from several threads, but
    only one at a time should watch.
    """

    def __init__(
        self,
        rpc_url: str,
        network: str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        fallback_fee_sat_per_vb: int = DEFAULT_FALLBACK_FEE_SAT_PER_VB,
        min_sight_fee_share_percent: int = DEFAULT_MIN_SIGHT_FEE_SHARE_PERCENT,
        payout_wallet: str = "",
        conflict_confirmations: int = DEFAULT_CONFLICT_CONFIRMATIONS,
    ) -> None:
        self._network = network_by_name(network)
        self._client = NodeClient(rpc_url, timeout_s)
        self._fees = FeePolicy(fallback_fee_sat_per_vb, min_sight_fee_share_percent)
        self._watcher = Watcher(self._client, self._network, self._fees)
        self._finder = Finder(self._client)
        wallet = PayoutWallet(rpc_url, payout_wallet, timeout_s)
        self._payouts = Payouts(self._client, wallet, self._network, self._fees)
        self._payout_finder = PayoutFinder(
            self._client, wallet, self._network, self._payouts, conflict_confirmations
        )

    @property
    def name(self) -> str:
        """Return ``onchain``."""
        return RAIL_NAME

    def check_account(self, account: str) -> str:
        """Return the descriptor in normal form; see ``descriptors.normalise``."""
        return normalise(account, self._network.name)

    def create_request(self, order: PaymentOrder) -> PaymentRequest:
        """Return the address at the order's index; whole sats, rounded up. Asks no node."""
        address, script_hex = derive(order.account, order.index, self._network.name)
        return PaymentRequest(
            rail=RAIL_NAME,
            destination=address,
            target=script_hex,
            amount_msat=msat_to_sat_ceil(order.amount_msat) * MSAT_PER_SAT,
        )

    def watch(
        self, cursor: Cursor | None, match: Matcher, with_mempool: bool = True
    ) -> Iterator[Step]:
        """Yield all steps from the cursor to now; see ``Rail.watch``."""
        return self._watcher.steps(cursor, match, with_mempool)

    def forget_mempool(self) -> None:
        """Report every unconfirmed payment anew at the next watch."""
        self._watcher.forget_mempool()

    def lookup(self, observation: Observation) -> Lookup:
        """Ask the node about a payment; send it again where the node lost it."""
        return self._finder.lookup(observation)

    def health(self) -> RailHealth:
        """Return whether the node answers and is on the right, synced chain."""
        try:
            state = read_state(self._client, self._network)
            rate = current_rate_msat_per_vb(self._client, self._fees)
        except RailError as error:
            return RailHealth(False, error.code, error.detail, 0, self._fees.fallback_msat_per_vb)
        return RailHealth(True, "ok", f"at block {state.height}", state.height, rate)

    def check_destination(self, destination: str) -> str:
        """Return the address in normal form; see ``addresses.normal_address``."""
        return normal_address(destination, self._network)

    @property
    def payouts_together(self) -> int | None:
        """Return None: one transaction pays as many as there are."""
        return None

    def payout_fee_msat(self, destination: str, amount_msat: int) -> int:
        """Return what a transaction with this payee alone costs now; see ``Payouts.fee_msat``."""
        return self._payouts.fee_msat(destination)

    def prepare_payout(self, orders: Sequence[PayoutOrder]) -> PreparedPayout:
        """Return a signed transaction of the node's wallet; see ``Rail.prepare_payout``."""
        return self._payouts.prepare(orders)

    def send_payout(self, prepared: PreparedPayout) -> Outcome:
        """Send a prepared payout, or send it again; see ``Rail.send_payout``."""
        return self._payouts.send(prepared)

    def lookup_payout(self, prepared: PreparedPayout) -> PayoutLookup:
        """Ask the node what became of a payout; send it where the node does not have it."""
        return self._payout_finder.lookup(prepared)

    def held_msat(self, references: Sequence[str]) -> int:
        """Return what the node's wallet and these coins hold now; see ``Rail.held_msat``."""
        return self._payouts.held_msat(references)
