"""Paying with Electrum: once, and over only when nothing can be under way any more.

Electrum 4.3.4 refuses an invoice that it has paid, but two calls at the same moment both
pay, and over a restart it forgets what is still under way. So one call at a time is made
here, right after Electrum said that it was never told; between processes the caller must see
to that, as it does for every backend by announcing each sending in the database. And every
answer is drawn from what the wallet's file and the channels say.
"""

import threading
import time
from collections.abc import Iterable

from bitcache_server.domain.errors import RailError
from bitcache_server.domain.money import format_sat
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.answers import (
    failed,
    no_such_payment,
    settled,
    unclear,
    under_way,
)
from bitcache_server.rails.lightning.backend import PayOrder, Sent
from bitcache_server.rails.lightning.electrum_api import ElectrumApi
from bitcache_server.rails.lightning.electrum_channels import Channel
from bitcache_server.rails.lightning.electrum_history import sent
from bitcache_server.rails.lightning.rest import MissingAnswer, Refusal, well_formed

#: Electrum refuses routes that cost more than the larger of these two (lnrouter.py).
OWN_LIMIT_MSAT = 5_000
OWN_LIMIT_SHARE = 100
#: What a channel may still have on its way to its peer is there after this time.
SURE_AFTER_S = 2.0
#: How long a payment that never left is remembered; less than any sending is waited for.
REMEMBERED_S = 60.0
#: Electrum's codes for the state of an invoice (invoices.py).
_PAID, _IN_FLIGHT = 3, 4


#: What this process is paying now, through whichever object.
_paying: set[str] = set()
_lock = threading.Lock()


class ElectrumPayments:
    """Pays through one daemon. It may be used from several threads."""

    def __init__(self, api: ElectrumApi) -> None:
        self._api = api
        #: Payments that surely never left, why, and until when that is worth knowing: soon
        #: another process may try again. Forgetting them only takes time, for then the
        #: channels must be quiet to be sure.
        self._never_left: dict[str, tuple[str, float]] = {}

    def pay(self, order: PayOrder) -> Sent:
        """Pay, or say what became of it; see ``LightningBackend.pay``."""
        with _lock:
            if order.payment_hash in _paying:
                return under_way()
            _paying.add(order.payment_hash)
        try:
            refusal = self._refusal(order)
            # Asked last: a call that was given up may have got through meanwhile.
            known = self._lookup(order.payment_hash)
            if known is not None and known.outcome is not Outcome.FAILED:
                return known
            return self._never_leaves(order.payment_hash, refusal) if refusal else self._send(order)
        except RailError as error:
            return unclear(error)
        finally:
            with _lock:
                _paying.discard(order.payment_hash)

    def _refusal(self, order: PayOrder) -> str:
        """Return why this cannot be paid at all; empty when it can be tried."""
        own_limit_msat = max(OWN_LIMIT_MSAT, order.amount_msat // OWN_LIMIT_SHARE)
        if order.max_fee_msat < own_limit_msat:
            return (
                f"Electrum may spend up to {format_sat(own_limit_msat)} on the fee of this "
                f"payment; the limit is {format_sat(order.max_fee_msat)}."
            )
        try:
            invoice = self._api.call("decode_invoice", invoice=order.bolt11)
        except Refusal as error:
            return error.detail
        with well_formed():
            amount_msat, payment_hash = invoice["amount_msat"], str(invoice["rhash"])
        if payment_hash != order.payment_hash:
            return "The invoice has another payment hash."
        if not amount_msat:
            return "Electrum cannot pay an invoice without an amount."
        if int(amount_msat) != order.amount_msat:
            return "The invoice asks for another amount."
        if self._has_request(order.payment_hash):
            return "The invoice is our own."
        return ""

    def _send(self, order: PayOrder) -> Sent:
        self._never_left.pop(order.payment_hash, None)
        before = self._api.channels()
        if self._told(order.payment_hash)[1] is not None:
            return under_way()
        try:
            done = self._api.call("lnpay", within_s=order.wait_s, invoice=order.bolt11)
            with well_formed():
                success, attempts = bool(done["success"]), len(done["log"])
            detail = f"Tried in vain: {attempts}." if attempts else "There is no route."
        except Refusal as error:
            success, attempts, detail = False, 0, error.detail
        except RailError as error:
            # It may be under way, or not even have arrived yet.
            return self._told(order.payment_hash)[1] or unclear(error)
        # Somebody else may pay the same this moment: that is why Electrum refused.
        state = self._told(order.payment_hash)[1]
        if state is not None or success:
            return state or under_way()
        if not attempts and _numbers(self._api.channels()) == _numbers(before):
            # No channel was renewed, and so nothing has left.
            return self._never_leaves(order.payment_hash, detail)
        now = self._lookup(order.payment_hash)
        return failed(detail) if now is None or now.outcome is Outcome.FAILED else now

    def lookup(self, payment_hash: str) -> Sent:
        """Ask about a payment; see ``LightningBackend.lookup_payment``.

        It takes ``SURE_AFTER_S`` to be sure that one has failed.
        """
        try:
            found = self._lookup(payment_hash)
        except RailError as error:
            return unclear(error)
        return found or no_such_payment()

    def _lookup(self, payment_hash: str) -> Sent | None:
        """Return what became of a payment; None where the wallet was never told to pay."""
        was_told, state = self._told(payment_hash)
        if state is not None:
            return state
        if reason := self._never_left_because(payment_hash):
            return failed(reason)
        if not was_told:
            return None
        if not self._is_quiet():
            return under_way()
        # It may have settled before the channels became quiet.
        return self._told(payment_hash)[1] or failed("The payment failed.")

    def _told(self, payment_hash: str) -> tuple[bool, Sent | None]:
        """Return whether the wallet was told to pay, and SETTLED or PENDING if it says so.

        It writes down what it is told before anything leaves.
        """
        try:
            invoice = self._api.call("get_invoice", invoice_id=payment_hash)
        except MissingAnswer:
            return False, None
        with well_formed():
            status, amount_msat = int(invoice["status"]), int(invoice["amount_msat"] or 0)
        line = sent(self._api.history(), payment_hash)
        if line is None:
            return True, under_way() if status in (_PAID, _IN_FLIGHT) else None
        fee_msat = line.total_msat - amount_msat
        if fee_msat < 0:
            # Other parts of it are still to be claimed.
            return True, under_way()
        return True, settled(payment_hash, line.preimage, fee_msat)

    def _is_quiet(self) -> bool:
        """Return whether nothing of ours is under way, looking twice."""
        if not all(channel.is_quiet for channel in self._api.channels()):
            return False
        time.sleep(SURE_AFTER_S)
        return all(channel.is_quiet for channel in self._api.channels())

    def _has_request(self, payment_hash: str) -> bool:
        try:
            self._api.call("get_request", request_id=payment_hash)
        except MissingAnswer:
            return False
        return True

    def _never_leaves(self, payment_hash: str, reason: str) -> Sent:
        now = time.monotonic()
        with _lock:
            known = {key: one for key, one in self._never_left.items() if one[1] > now}
            known[payment_hash] = (reason, now + REMEMBERED_S)
            self._never_left = known
        return failed(reason)

    def _never_left_because(self, payment_hash: str) -> str:
        reason, ends_at = self._never_left.get(payment_hash, ("", 0.0))
        return reason if time.monotonic() < ends_at else ""


def _numbers(channels: Iterable[Channel]) -> dict[str, tuple[int, int]]:
    return {one.id: (one.local_number, one.remote_number) for one in channels}
