"""Lightning payments as a rail: an invoice of our node, or of a merchant's Lightning address.

Our node (or wallet) is behind ``backend``. Where a merchant receives at an address of their
own (LUD-16), the invoice comes from there and its settlement is asked about (LUD-21): then
the provider's word stands for the money, and nothing of it passes through our node.
"""

import time
from collections.abc import Sequence

from bitcache_server.domain.clock import Clock
from bitcache_server.domain.errors import (
    LightningPermission,
    RailError,
    RailUnavailable,
)
from bitcache_server.domain.money import MSAT_PER_SAT, msat_to_sat_ceil
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import (
    PaymentOrder,
    PaymentRequest,
    PayoutLookup,
    PayoutOrder,
    PreparedPayout,
    RailHealth,
    Settlement,
    SettlementPage,
)
from bitcache_server.rails.lightning.backend import InvoiceOrder, LightningBackend
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.gate import NodeGate
from bitcache_server.rails.lightning.lnurl_client import LnurlClient, normal_address
from bitcache_server.rails.lightning.payouts import LightningPayouts

RAIL_NAME = "lightning"


class LightningRail:
    """Payments to BOLT 11 invoices. Constructing it makes no connection.

    Without a backend only merchants with a Lightning address can be paid, and nothing can
    be paid out. It may be used from several threads.
    """

    def __init__(
        self,
        *,
        backend: LightningBackend | None,
        lnurl: LnurlClient,
        network: str,
        fee_ppm: int,
        fee_min_msat: int,
        pay_wait_s: float,
        clock: Clock,
        payee_lnurl: LnurlClient | None = None,
    ) -> None:
        """``payee_lnurl`` asks the addresses that we pay, which readers choose.

        Where it is left out ``lnurl`` does, and then their hosts can keep sales waiting.
        """
        self._backend = backend
        self._checked = False
        self._gate = NodeGate()
        self._lnurl = lnurl
        self._network = network
        self._clock = clock
        self._payouts = LightningPayouts(
            backend=backend,
            lnurl=payee_lnurl or lnurl,
            network=network,
            fee_ppm=fee_ppm,
            fee_min_msat=fee_min_msat,
            pay_wait_s=pay_wait_s,
            clock=clock,
        )

    @property
    def name(self) -> str:
        """Return ``lightning``."""
        return RAIL_NAME

    @property
    def backend(self) -> LightningBackend | None:
        """Return our node, for those who look after it; None without one."""
        return self._backend

    def check_account(self, account: str) -> str:
        """Return nothing for the operator's node, or a Lightning address in lower case.

        Raises LightningAddressInvalid.
        """
        return normal_address(account) if account.strip() else ""

    def try_account(self, account: str) -> str:
        """Return a Lightning address in its normal form once it was asked and can do all.

        Raises LightningAddressInvalid, which says what it cannot do.
        """
        return self._lnurl.require_sellable(account, self._network)

    def create_request(self, order: PaymentOrder) -> PaymentRequest:
        """Return an invoice; each call makes another one.

        Its amount is rounded up to the sat where the receiver takes no fractions. Raises
        RailError, RailUnavailable without a node, and what ``LnurlClient`` raises.
        """
        if order.account:
            return self._request_of_address(order)
        backend = self._node()
        exact = backend.abilities.exact_msat
        amount_msat = order.amount_msat if exact else _whole_sats(order.amount_msat)
        description = order.description if backend.abilities.description_hash else ""
        wanted = InvoiceOrder(
            label=order.invoice_id,
            amount_msat=amount_msat,
            memo=order.memo,
            description=description,
            expires_in_s=max(1, order.expires_at - self._clock()),
        )
        issued = self._gate.run(lambda: backend.create_invoice(wanted))
        return PaymentRequest(
            rail=RAIL_NAME,
            destination=issued.bolt11,
            target=issued.payment_hash,
            amount_msat=amount_msat,
            description=description,
        )

    def _request_of_address(self, order: PaymentOrder) -> PaymentRequest:
        # Many providers keep whole sats only, and none says so.
        amount_msat = _whole_sats(order.amount_msat)
        made = self._lnurl.request_sale(
            order.account, amount_msat, self._network, comment=order.memo
        )
        return PaymentRequest(
            rail=RAIL_NAME,
            destination=made.bolt11,
            target=made.payment_hash,
            amount_msat=amount_msat,
            description=made.description,
            check_url=made.check_url,
        )

    def settlements(self, cursor: str | None, wait_s: float) -> SettlementPage:
        """Return what our node settled after the cursor; see ``StreamRail.settlements``."""
        if self._backend is None:
            # Nothing will ever come, and the caller wants to be kept waiting.
            time.sleep(wait_s)
            return SettlementPage((), cursor or "")
        # Another backend's place means nothing to this one, or the wrong thing.
        mark = f"{self._backend.name}:"
        place = cursor.removeprefix(mark) if cursor and cursor.startswith(mark) else None
        page = self._backend.settlements(place, wait_s)
        settlements = tuple(
            Settlement(
                rail=RAIL_NAME,
                reference=one.payment_hash,
                target=one.payment_hash,
                amount_msat=one.amount_msat,
                settled_at=one.settled_at,
                proof=one.preimage,
            )
            for one in page.settled
        )
        return SettlementPage(settlements, f"{mark}{page.cursor}")

    def check_request(self, request: PaymentRequest) -> Settlement | None:
        """Ask whether a request was paid; see ``StreamRail.check_request``.

        Raises what ``LnurlClient`` raises for the invoice of an address.
        """
        if request.check_url:
            return self._check_address(request)
        status = self._node().lookup_invoice(request.target)
        if status.outcome is not Outcome.SETTLED:
            return None
        return Settlement(
            rail=RAIL_NAME,
            reference=request.target,
            target=request.target,
            amount_msat=status.amount_msat or request.amount_msat,
            settled_at=status.settled_at or self._clock(),
            proof=status.preimage,
        )

    def _check_address(self, request: PaymentRequest) -> Settlement | None:
        paid, preimage = self._lnurl.check_paid(request.check_url, request.target)
        if not paid:
            return None
        # Nobody says when it was paid; after its own end no invoice can be.
        ends_at = decode(request.destination, self._network).expires_at
        return Settlement(
            rail=RAIL_NAME,
            reference=request.target,
            target=request.target,
            amount_msat=request.amount_msat,
            settled_at=min(self._clock(), ends_at),
            proof=preimage,
        )

    def health(self) -> RailHealth:
        """Return whether our node answers on the right network, and what it can receive."""
        if self._backend is None:
            return RailHealth(True, "ok", "without a node of our own", 0, 0)
        try:
            if not self._checked:
                # Asked every few seconds, and a check is many calls.
                self._backend.check(self._network)
                self._checked = True
            room_msat = _room_msat(self._backend)
        except RailError as error:
            # Anybody may read it, and a node's own words may name what stands behind us.
            words = f"{error.title}. `bitcache doctor` says more."
            return RailHealth(False, error.code, words, 0, 0)
        return RailHealth(True, "ok", "it answers", 0, 0, room_msat)

    def held_msat(self, references: Sequence[str]) -> int:
        """Return what is ours in our node, movable now or not.

        Invoices of addresses are not our money, and count nothing. Raises
        LightningPermission where the secret may not ask for the balance.
        """
        return 0 if self._backend is None else self._backend.funds().held_msat

    def check_destination(self, destination: str) -> str:
        """Return an invoice or a Lightning address in its normal form."""
        return self._payouts.check_destination(destination)

    def try_destination(self, address: str, amount_msat: int) -> None:
        """Ask a Lightning address whether it takes an amount; raise AddressInvalid."""
        self._payouts.try_destination(address, amount_msat)

    @property
    def payouts_together(self) -> int | None:
        """Return 1: each payment goes its own way."""
        return self._payouts.payouts_together

    def payout_fee_msat(self, destination: str, amount_msat: int) -> int:
        """Return the reserve for routing; see ``Rail.payout_fee_msat``."""
        return self._payouts.payout_fee_msat(destination, amount_msat)

    def prepare_payout(self, orders: Sequence[PayoutOrder]) -> PreparedPayout:
        """Return the invoice that will be paid; see ``Rail.prepare_payout``."""
        return self._payouts.prepare_payout(orders)

    def send_payout(self, prepared: PreparedPayout) -> Outcome:
        """Pay; a payment hash is never paid twice. See ``Rail.send_payout``."""
        return self._payouts.send_payout(prepared)

    def lookup_payout(self, prepared: PreparedPayout) -> PayoutLookup:
        """Ask what became of a payment; see ``Rail.lookup_payout``."""
        return self._payouts.lookup_payout(prepared)

    def _node(self) -> LightningBackend:
        if self._backend is None:
            raise RailUnavailable("This server has no Lightning node of its own.")
        return self._backend


def _room_msat(backend: LightningBackend) -> int | None:
    try:
        return backend.funds().receivable_msat
    except LightningPermission:
        # It was checked that the secret may sell; only the balance is kept from us.
        return None


def _whole_sats(amount_msat: int) -> int:
    """Return the amount rounded up to whole sats."""
    return msat_to_sat_ceil(amount_msat) * MSAT_PER_SAT
