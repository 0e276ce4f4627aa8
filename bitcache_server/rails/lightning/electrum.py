"""Electrum: the Lightning wallet of its daemon receives and pays, through its JSON-RPC.

Written after Electrum 4.3.4 (see ``electrum_api``). What it cannot do:

* Its one password may do everything; there is none for invoices alone. So the daemon
  listens on loopback or behind something that guards it.
* Whole sats only, and no description hash: its invoices carry the memo.
* It pays no invoice without an amount, and takes no fee limit. It refuses routes above
  5 sat or 1 % by itself, whichever is more, and so orders with a lower limit are refused.
* It keeps accepting a payment after its invoice expired.
* It tells of nothing by itself. Its channels, which change with every payment, are looked
  at ten times a second, and its history, which grows, only after they did.
"""

import time
from decimal import Decimal

from bitcache_server.domain.errors import (
    LightningRejected,
    LightningWrongNetwork,
    NoInboundRoom,
)
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.answers import network_words, not_paid, paid
from bitcache_server.rails.lightning.backend import (
    Abilities,
    BackendSettings,
    Funds,
    InvoiceOrder,
    InvoiceStatus,
    IssuedInvoice,
    PayOrder,
    Sent,
    Settled,
    SettledPage,
)
from bitcache_server.rails.lightning.electrum_api import ElectrumApi
from bitcache_server.rails.lightning.electrum_channels import Channel, funds_of
from bitcache_server.rails.lightning.electrum_history import Place, received
from bitcache_server.rails.lightning.electrum_payments import ElectrumPayments
from bitcache_server.rails.lightning.polling import look_until
from bitcache_server.rails.lightning.rest import MissingAnswer, well_formed

BACKEND_NAME = "electrum"
POLL_S = 0.1
#: The history is read this often even if the channels seem unchanged.
HISTORY_EVERY_S = 60.0
#: BOLT 11 has room for 639 bytes.
_MEMO_BYTES = 600


class ElectrumBackend:
    """The wallet that an Electrum daemon opens by default. Threads may share it."""

    def __init__(self, settings: BackendSettings) -> None:
        self._api = ElectrumApi(settings)
        self._invoices_are_safe = False
        self._latest: tuple[tuple[Channel, ...], float, list[Settled]] | None = None
        self._payments = ElectrumPayments(self._api)

    @property
    def name(self) -> str:
        """Return ``electrum``."""
        return BACKEND_NAME

    @property
    def abilities(self) -> Abilities:
        """Return what it can do. The fee limit is Electrum's own, or the order is refused."""
        return Abilities(
            exact_msat=False, description_hash=False, pays=True, fee_limit=True, pushes=False
        )

    def create_invoice(self, order: InvoiceOrder) -> IssuedInvoice:
        """Make an invoice with the memo; see ``LightningBackend.create_invoice``.

        Raises NoInboundRoom, and leaves no invoice behind, when the amount cannot arrive.
        """
        if order.amount_msat % MSAT_PER_SAT:
            raise LightningRejected("Electrum takes whole sats only.")
        self._require_safe_invoices()
        made = self._api.call(
            "add_request",
            amount=f"{Decimal(order.amount_msat).scaleb(-11):f}",
            memo=order.memo.encode()[:_MEMO_BYTES].decode(errors="ignore"),
            expiration=order.expires_in_s,
            # Without it there are 20 open invoices at most.
            force=True,
        )
        with well_formed():
            issued = IssuedInvoice(str(made["lightning_invoice"]), str(made["rhash"]))
            has_room = bool(made["can_receive"])
        if not has_room:
            self._api.call("delete_request", request_id=issued.payment_hash)
            raise NoInboundRoom(
                f"The node cannot receive {format_sat(order.amount_msat)} at once now."
            )
        return issued

    def lookup_invoice(self, payment_hash: str) -> InvoiceStatus:
        """Ask about an invoice of ours; see ``LightningBackend.lookup_invoice``.

        Never FAILED: Electrum takes a payment that comes after the expiry.
        """
        try:
            self._api.call("get_request", request_id=payment_hash)
        except MissingAnswer:
            return not_paid(Outcome.UNKNOWN)
        for one in self._received():
            if one.payment_hash == payment_hash and self._is_whole(one):
                return paid(one)
        return not_paid(Outcome.PENDING)

    def settlements(self, cursor: str | None, wait_s: float) -> SettledPage:
        """Look until something is new; see ``LightningBackend.settlements``."""
        place = Place.read(cursor)
        if place is None:
            return SettledPage((), Place.after(self._received()).cursor)
        return look_until(lambda: self._look(place), wait_s, POLL_S)

    def pay(self, order: PayOrder) -> Sent:
        """Pay what was never paid before; see ``LightningBackend.pay``."""
        return self._payments.pay(order)

    def lookup_payment(self, payment_hash: str) -> Sent:
        """Ask about a payment of ours; takes two seconds to be sure that one has failed."""
        return self._payments.lookup(payment_hash)

    def funds(self) -> Funds:
        """Return what could move through the channels now; see ``funds_of``."""
        return funds_of(self._api.channels())

    def check(self, network: str) -> str:
        """Return version and channels; see ``LightningBackend.check``."""
        info = self._api.call("getinfo")
        with well_formed():
            chain, version = str(info["network"]), str(info["version"])
        if chain != network:
            raise LightningWrongNetwork(network_words(chain, network))
        channels = self._api.channels()
        self._require_safe_invoices()
        working = sum(channel.works for channel in channels)
        return f"Electrum {version}, {working} of {len(channels)} channels work"

    def close(self) -> None:
        """End the connections."""
        self._api.close()

    def _require_safe_invoices(self) -> None:
        if self._invoices_are_safe:
            return
        if self._api.call("getconfig", key="bolt11_fallback") is not False:
            raise LightningRejected(
                "Electrum writes an on-chain address into its invoices, and what comes there "
                "is not seen here. Switch it off: electrum setconfig bolt11_fallback false"
            )
        self._invoices_are_safe = True

    def _look(self, place: Place) -> SettledPage:
        listed = self._received()
        parts = {one.payment_hash for one in place.news(listed) if not self._is_whole(one)}
        listed = [one for one in listed if one.payment_hash not in parts]
        return SettledPage(place.news(listed), Place.after(listed).cursor)

    def _is_whole(self, one: Settled) -> bool:
        """Return whether all parts of a payment are there; their sum only grows."""
        try:
            request = self._api.call("get_request", request_id=one.payment_hash)
        except MissingAnswer:
            return True  # not made by us
        with well_formed():
            return one.amount_msat >= int(request["amount_msat"] or 0)

    def _received(self) -> list[Settled]:
        """Return what was settled, from what was read last while no channel has changed."""
        # In this order: what changes in between is read again the next time.
        channels, known = self._api.channels(), self._latest
        now = time.monotonic()
        if known and known[0] == channels and now - known[1] < HISTORY_EVERY_S:
            return known[2]
        history = self._api.history()
        with well_formed():
            listed = received(history)
        self._latest = (channels, now, listed)
        return listed
