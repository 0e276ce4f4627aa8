"""Pay out: what it costs, one transaction for many payees, and sending it."""

from collections.abc import Sequence

from bitcache_server.domain.errors import NodeRejected, PayoutLimit, RailError
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat, msat_to_sat_ceil
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import PayoutOrder, PreparedPayout
from bitcache_server.rails.onchain.addresses import dust_sat, normal_address, output_vb, script_of
from bitcache_server.rails.onchain.chain import read_state
from bitcache_server.rails.onchain.fees import FeePolicy, payout_rate_msat_per_vb
from bitcache_server.rails.onchain.networks import Network
from bitcache_server.rails.onchain.rpc import NodeClient
from bitcache_server.rails.onchain.transactions import read_raw, totals
from bitcache_server.rails.onchain.wallet import PayoutWallet

#: A SegWit transaction without its payees, in virtual bytes: 11 of frame, an input
#: of 68 and change of 31 (P2WPKH, BIP 141).
FRAME_VB = 110
#: Bitcoin Core's RPC_VERIFY_ALREADY_IN_UTXO_SET, once called …_IN_CHAIN.
_RPC_ALREADY_IN_CHAIN = -27
#: Refusals of a transaction that is in the mempool already (src/validation.cpp).
_ALREADY_WAITING = ("txn-already-in-mempool", "txn-already-known", "txn-same-nonwitness")


class Payouts:
    """Prepares and sends; the node's wallet chooses coins and signs."""

    def __init__(
        self, client: NodeClient, wallet: PayoutWallet, network: Network, fees: FeePolicy
    ) -> None:
        self._client = client
        self._wallet = wallet
        self._network = network
        self._fees = fees

    def fee_msat(self, address: str) -> int:
        """Return rate * (110 + 9 + length of the script), rounded up to whole sats.

        That is a transaction of the payee's own: one coin in, the payee and change out.
        Payees who share one make it cheaper, more coins dearer; the operator has both.
        """
        script = script_of(normal_address(address, self._network))
        rate = payout_rate_msat_per_vb(self._client, self._fees)
        return msat_to_sat_ceil(rate * (FRAME_VB + output_vb(script))) * MSAT_PER_SAT

    def prepare(self, orders: Sequence[PayoutOrder]) -> PreparedPayout:
        """Return a signed transaction that pays all orders; see ``Rail.prepare_payout``."""
        read_state(self._client, self._network)  # a wallet behind the chain has wrong coins
        outputs = self._outputs(orders)
        rate = payout_rate_msat_per_vb(self._client, self._fees)
        unsigned = self._wallet.fund(outputs, rate)
        raw = self._wallet.sign(unsigned.raw)
        tx = read_raw(raw)
        wanted = tuple((script_of(to).data.hex(), sat) for to, sat in outputs.items())
        if tx.outputs[: len(wanted)] != wanted or len(tx.outputs) > len(wanted) + 1:
            raise NodeRejected("The node made another transaction than it was asked for.")
        amount_msat = sum(outputs.values()) * MSAT_PER_SAT
        return PreparedPayout(tx.txid, raw, amount_msat, unsigned.fee_msat)

    def send(self, prepared: PreparedPayout) -> Outcome:
        """Send or send again; see ``Rail.send_payout``."""
        try:
            return self.broadcast(prepared)
        except RailError:
            return Outcome.UNKNOWN

    def broadcast(self, prepared: PreparedPayout) -> Outcome:
        """Do as ``send``, and raise RailError for a refusal.

        From here on the coins belong to this payout, sent or not: they are locked, so
        that nothing else of the wallet takes them. Once it is out the node lifts that.
        """
        self._wallet.lock(read_raw(prepared.raw).inputs)
        try:
            self._client.call("sendrawtransaction", prepared.raw)
        except NodeRejected as refusal:
            if refusal.rpc_code == _RPC_ALREADY_IN_CHAIN:
                return Outcome.SETTLED
            if refusal.detail.startswith(_ALREADY_WAITING):
                return Outcome.PENDING
            raise
        return Outcome.PENDING

    def held_msat(self, references: Sequence[str]) -> int:
        """Return what wallet and references hold now; see ``Rail.held_msat``."""
        read_state(self._client, self._network)
        outpoints = [reference.partition(":") for reference in references]
        return self._wallet.held_msat([(txid, int(vout)) for txid, _, vout in outpoints])

    def _outputs(self, orders: Sequence[PayoutOrder]) -> dict[str, int]:
        """Return sats by address: who is owed twice gets one output, as the node demands."""
        for order in orders:
            if order.amount_msat % MSAT_PER_SAT:
                raise PayoutLimit("On-chain only whole sats can be sent.")
        outputs = totals(
            [
                (normal_address(order.destination, self._network), order.amount_msat // 1_000)
                for order in orders
            ]
        )
        for address, amount_sat in outputs.items():
            least_sat = dust_sat(script_of(address))
            if amount_sat < least_sat:
                raise PayoutLimit(
                    f"{format_sat(amount_sat * MSAT_PER_SAT)} is too little for the network;"
                    f" at least {format_sat(least_sat * MSAT_PER_SAT)} can be sent to {address}."
                )
        return outputs
