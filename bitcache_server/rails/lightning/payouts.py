"""The paying half of the Lightning rail: one invoice of somebody else's at a time.

A payout is named by its payment hash, which a node pays once at most. A Lightning address
is asked for an invoice when the payout is prepared; from then on that invoice is the payout.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bitcache_server.domain.clock import Clock
from bitcache_server.domain.errors import (
    AddressInvalid,
    LightningAddressInvalid,
    LnurlForbidden,
    LnurlRefused,
    LnurlUnreachable,
    PayoutLimit,
    PayoutsUnavailable,
)
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat, msat_to_sat_ceil
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import FINAL, PayoutLookup, PayoutOrder, PreparedPayout
from bitcache_server.rails.lightning.backend import LightningBackend, PayOrder
from bitcache_server.rails.lightning.decoding import (
    Decoded,
    decode,
    looks_like_invoice,
    preimage_fits,
)
from bitcache_server.rails.lightning.lnurl_client import (
    LnurlClient,
    is_lightning_address,
    normal_address,
)
from bitcache_server.rails.lightning.safe_http import NamesBusy

PARTS_PER_MILLION = 1_000_000
#: A payment needs some time: less than this is as good as expired.
LEAST_LIFETIME_S = 30
#: So long after an invoice expired, a node that never heard of it will not pay it any more:
#: whatever call of ours was on its way is over, and clocks differ by less.
LOST_AFTER_S = 600
#: Nodes lock no money for longer than 2,016 blocks (BOLT 4, ``max_htlc_cltv``), which take two
#: weeks; blocks may be slow.
LONGEST_LOCK_S = 21 * 86_400
#: As many refusals are remembered; without one it only takes longer to be sure.
REMEMBERED = 1_000

#: A code to scan (LUD-01), or a link to one (LUD-17); which of them pay it does not say.
_LNURL = re.compile(r"(?:lightning:)?(?:lnurl1|lnurl[pwc]?:)")
_ADDRESS_ERRORS = (LightningAddressInvalid, LnurlForbidden, LnurlRefused, LnurlUnreachable)


@dataclass(frozen=True)
class LightningPayouts:
    """Pays invoices and Lightning addresses through a backend; holds no state that counts."""

    backend: LightningBackend | None
    """None where only others' nodes receive: then nothing is paid out."""
    lnurl: LnurlClient
    network: str
    fee_ppm: int
    """The reserve for routing in parts per million of the amount."""
    fee_min_msat: int
    """The reserve is never less."""
    pay_wait_s: float
    """How long ``send_payout`` waits for the end of a payment."""
    clock: Clock
    refused: dict[str, str] = field(default_factory=dict)
    """Payments that the node refused in so many words, and why. Many nodes write nothing down
    of what they never tried, so that asking later would only say: no such payment."""

    @property
    def payouts_together(self) -> int | None:
        """Return 1, for each payment is one of its own; 0 where nothing can be paid."""
        return 1 if self.backend is not None and self.backend.abilities.pays else 0

    def check_destination(self, destination: str) -> str:
        """Return an invoice or a Lightning address in lower case, without ``lightning:``.

        Asks nobody. Raises AddressInvalid, which says whether the text was meant to be one.
        """
        if _LNURL.match(destination.strip().lower()):
            words = "That is an LNURL code. Enter an invoice, or an address such as name@host."
            raise AddressInvalid(words, is_meant=True)
        if not is_lightning_address(destination) and not looks_like_invoice(destination):
            raise AddressInvalid(
                "That is no Lightning invoice and no Lightning address.", is_meant=False
            )
        if self.payouts_together == 0:
            words = "This server does not pay over Lightning; give another address."
            raise AddressInvalid(words, is_meant=True)
        try:
            if is_lightning_address(destination):
                self.lnurl.refuse_own(destination)
                return normal_address(destination)
            return self._payable(destination).bolt11
        except (AddressInvalid, LightningAddressInvalid) as error:
            raise AddressInvalid(error.detail, is_meant=True) from error

    def try_destination(self, address: str, amount_msat: int) -> None:
        """Ask a Lightning address whether it takes an amount now (LUD-06); pays nothing.

        Raises AddressInvalid, which says why it cannot be paid. Returns, too, where nobody
        can be asked at this moment.
        """
        try:
            terms = self.lnurl.pay_terms(address)
        except NamesBusy:
            return  # for others' sake; ``prepare_payout`` will see
        except _ADDRESS_ERRORS as error:
            why = error.detail.rstrip(".")
            raise AddressInvalid(
                f"{address} cannot be paid. {why}. Is there a typing error in the address?"
            ) from error
        if not terms.min_msat <= amount_msat <= terms.max_msat:
            raise AddressInvalid(
                f"{address} takes {msat_to_sat_ceil(terms.min_msat):,} to"
                f" {terms.max_msat // MSAT_PER_SAT:,} sats at a time."
            )

    def payout_fee_msat(self, destination: str, amount_msat: int) -> int:
        """Return the reserve for routing, rounded up; it is the same for all destinations."""
        share_msat = -(-amount_msat * self.fee_ppm // PARTS_PER_MILLION)
        return max(self.fee_min_msat, share_msat)

    def prepare_payout(self, orders: Sequence[PayoutOrder]) -> PreparedPayout:
        """Return the invoice that is to be paid for the one order; see ``Rail``.

        A Lightning address is asked for it. Raises AddressInvalid for an invoice that cannot
        be paid any more and for an address that gives none; PayoutsUnavailable, PayoutLimit,
        RailError.
        """
        if len(orders) != 1:
            raise PayoutLimit("Over Lightning each payout is a payment of its own.")
        order = orders[0]
        backend = self._paying_backend()
        invoice = self._invoice_for(order)
        max_fee_msat = order.max_fee_msat
        if max_fee_msat is None:
            max_fee_msat = self.payout_fee_msat(order.destination, order.amount_msat)
        spendable_msat = backend.funds().spendable_msat
        if spendable_msat < order.amount_msat + max_fee_msat:
            raise PayoutsUnavailable(
                f"The Lightning node can send {format_sat(spendable_msat)}; the payout needs"
                f" {format_sat(order.amount_msat + max_fee_msat)}."
            )
        return PreparedPayout(invoice.payment_hash, invoice.bolt11, order.amount_msat, max_fee_msat)

    def send_payout(self, prepared: PreparedPayout) -> Outcome:
        """Pay the invoice, unless it expired; see ``Rail``. Only ``lookup_payout`` ends it."""
        if self.backend is None or self._expired_for_s(prepared) >= 0:
            return Outcome.UNKNOWN
        order = PayOrder(
            bolt11=prepared.raw,
            payment_hash=prepared.reference,
            amount_msat=prepared.amount_msat,
            max_fee_msat=prepared.fee_msat,
            wait_s=self.pay_wait_s,
        )
        self.refused.pop(prepared.reference, None)
        sent = self.backend.pay(order)
        if sent.outcome is Outcome.FAILED and not sent.missing:
            self._remember(prepared.reference, sent.detail)
        if sent.outcome is Outcome.FAILED or _lies(sent.preimage, prepared.reference):
            return Outcome.UNKNOWN
        return sent.outcome

    def lookup_payout(self, prepared: PreparedPayout) -> PayoutLookup:
        """Ask the node what became of a payment; sends nothing.

        SETTLED carries the fee that was really taken. FAILED is for good: the node says so,
        it refused our call and knows of no payment, or it never heard of an invoice that has
        expired some time ago.
        """
        if self.backend is None:
            return PayoutLookup(Outcome.UNKNOWN, prepared, 0, "No Lightning node is set up.")
        sent = self.backend.lookup_payment(prepared.reference)
        if _lies(sent.preimage, prepared.reference):
            detail = "The node shows a preimage that does not belong to the payment."
            return PayoutLookup(Outcome.UNKNOWN, prepared, 0, detail)
        if sent.outcome is Outcome.SETTLED:
            carrier = replace(prepared, fee_msat=sent.fee_msat)
            return PayoutLookup(Outcome.SETTLED, carrier, FINAL, sent.detail)
        if sent.outcome is Outcome.FAILED:
            return PayoutLookup(Outcome.FAILED, prepared, FINAL, sent.detail)
        refusal = self.refused.get(prepared.reference)
        if sent.missing and refusal is not None:
            return PayoutLookup(Outcome.FAILED, prepared, FINAL, refusal, True, refused=True)
        lost_after_s = LOST_AFTER_S if self.backend.abilities.lists_pending else LONGEST_LOCK_S
        if sent.missing and self._expired_for_s(prepared) >= lost_after_s:
            detail = "The invoice expired before the node was told to pay it."
            return PayoutLookup(Outcome.FAILED, prepared, FINAL, detail, missing=True)
        return PayoutLookup(sent.outcome, prepared, 0, sent.detail, sent.missing)

    def _remember(self, reference: str, why: str) -> None:
        if len(self.refused) >= REMEMBERED:
            self.refused.clear()
        self.refused[reference] = why

    def _paying_backend(self) -> LightningBackend:
        if self.backend is None or self.payouts_together == 0:
            raise PayoutsUnavailable("No Lightning node that may pay is set up.")
        return self.backend

    def _invoice_for(self, order: PayoutOrder) -> Decoded:
        text = order.destination
        if is_lightning_address(text):
            try:
                text = self.lnurl.request_invoice(text, order.amount_msat, self.network).bolt11
            except _ADDRESS_ERRORS as error:
                raise AddressInvalid(error.detail) from error
        invoice = self._payable(text)
        asked_msat = invoice.amount_msat
        if asked_msat != order.amount_msat and (asked_msat or text != order.destination):
            # Only an invoice that somebody typed may leave the amount to us.
            raise AddressInvalid("The invoice asks for another amount than the payout.")
        return invoice

    def _payable(self, text: str) -> Decoded:
        """Decode an invoice that can still be paid; raise AddressInvalid."""
        invoice = decode(text, self.network)
        if invoice.expires_at - self.clock() < LEAST_LIFETIME_S:
            raise AddressInvalid("The invoice has expired, or is about to. Make a new one.")
        return invoice

    def _expired_for_s(self, prepared: PreparedPayout) -> int:
        """Return for how long the invoice cannot be paid any more; negative while it can."""
        return self.clock() - decode(prepared.raw, self.network).expires_at


def _lies(preimage: str, payment_hash: str) -> bool:
    """Return whether a preimage is told that does not belong to the payment (BOLT 11)."""
    return preimage != "" and not preimage_fits(preimage, payment_hash)
