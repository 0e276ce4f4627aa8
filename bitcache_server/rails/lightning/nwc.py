"""Nostr Wallet Connect: a wallet somewhere behind a Nostr relay (NIP-47).

https://github.com/nostr-protocol/nips/blob/master/47.md. The connection text in
``lightning_url`` needs ``make_invoice``, ``lookup_invoice`` and ``list_transactions`` only;
a second one of the same wallet in ``lightning_payout_secret`` pays, and needs
``get_balance`` too. While neither may ask for the balance, nobody can compare it with the
books. NIP-47 knows no fee
limit, and wallets are free to ignore fractions of a sat and a description's hash, so none
of these is promised.

A wallet may push what it received. What was pushed while nobody listened is found in its
list of transactions, which is read every few seconds too.
"""

import queue
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bitcache_server.domain.errors import (
    ConfigurationError,
    ConnectionInvalid,
    LightningPermission,
    LightningRejected,
    LightningWrongNetwork,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.answers import (
    after_trouble,
    failed,
    may_not_pay,
    network_words,
    no_such_payment,
    not_paid,
    paid,
    proven,
    settled,
    unclear,
)
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
from bitcache_server.rails.lightning.decoding import has_amount
from bitcache_server.rails.lightning.nwc_client import NwcClient, WalletRefused
from bitcache_server.rails.lightning.recent import Recent
from bitcache_server.rails.lightning.rest import naming_payout_secret

BACKEND_NAME = "nwc"
#: How often the list is read, when the wallet pushes and when it does not.
_LIST_EVERY_S, _LIST_OFTEN_S = 10.0, 2.0
#: Answers are small (NIP-44 allows 64 KiB), so the list comes in pages of this many.
_PAGE = 20
#: Wallets list by when an invoice was made; ours live a day at most, and there are clocks.
_LIFETIME_S = 86_400 + 3_600
_RECEIVES = {"make_invoice", "lookup_invoice", "list_transactions"}
_BALANCE = "get_balance"
_PAYS = {"pay_invoice", "lookup_invoice", _BALANCE}
#: With these nothing has left the wallet.
_NOT_SENT = {"InsufficientBalance", "QuotaExceeded"}
_HASH = re.compile(r"[0-9a-f]{64}")


class NwcBackend:
    """One wallet, through one connection for receiving and one for paying."""

    def __init__(self, settings: BackendSettings) -> None:
        if not settings.url:
            raise ConfigurationError(
                "lightning_url is missing: the connection text of the wallet, which begins "
                "with nostr+walletconnect://."
            )
        self._receiver = _client(settings.url, settings.timeout_s, "lightning_url")
        self._payer = (
            _client(settings.payout_secret, settings.timeout_s, "lightning_payout_secret")
            if settings.payout_secret
            else None
        )
        self._pushed: queue.SimpleQueue[Settled] = queue.SimpleQueue()
        self._pushes = False
        self._last_page = ""
        self._listed_at = 0.0

    @property
    def name(self) -> str:
        """Return ``nwc``."""
        return BACKEND_NAME

    @property
    def abilities(self) -> Abilities:
        """Return what every wallet can do that keeps to NIP-47."""
        return Abilities(
            exact_msat=False,
            description_hash=False,
            pays=self._payer is not None,
            fee_limit=False,
            pushes=True,
            # NIP-47 asks for invoices by that call; not every wallet has payments there.
            lists_pending=False,
        )

    def create_invoice(self, order: InvoiceOrder) -> IssuedInvoice:
        """Make an invoice with a memo; see ``LightningBackend.create_invoice``."""
        made = self._receiver.make_invoice(order.amount_msat, order.memo, order.expires_in_s)
        payment_hash = str(made.payment_hash or "").lower()
        if not _HASH.fullmatch(payment_hash):
            raise LightningRejected("The wallet gave an invoice without its payment hash.")
        return IssuedInvoice(str(made.invoice), payment_hash)

    def lookup_invoice(self, payment_hash: str) -> InvoiceStatus:
        """Ask about an invoice of ours; see ``LightningBackend.lookup_invoice``."""
        found = self._receiver.lookup(payment_hash)
        if found is None:
            return not_paid(Outcome.UNKNOWN)
        outcome = _outcome(found)
        return paid(_settled(found)) if outcome is Outcome.SETTLED else not_paid(outcome)

    def settlements(self, cursor: str | None, wait_s: float) -> SettledPage:
        """Wait for what the wallet pushes or lists; see ``LightningBackend.settlements``."""
        ends_at = time.monotonic() + wait_s
        self._listen()
        recent = Recent.read(cursor)
        if recent is None:
            listed = self._received_since(int(time.time()))
            # Nothing older than the list can come up later.
            started = Recent(int(time.time()) - _LIFETIME_S, frozenset()).after(listed)
            return self._page((), started)
        if cursor != self._last_page:
            # Its last answer was not stored, or came from another process.
            self._listed_at = 0.0
        while True:
            if time.monotonic() >= self._listed_at + self._list_every_s:
                listed = self._received_since(recent.since)
                self._listed_at = time.monotonic()
                news, recent = recent.news(listed), recent.after(listed)
            else:
                news = self._next_pushed(recent, ends_at)
                for one in news:
                    recent = recent.with_one(one)
            if news or time.monotonic() >= ends_at:
                return self._page(news, recent)

    def pay(self, order: PayOrder) -> Sent:
        """Pay, unless the wallet has a payment to that hash; see ``LightningBackend.pay``."""
        known = self.lookup_payment(order.payment_hash)
        if not known.missing or self._payer is None:
            return known
        amount_msat = None if has_amount(order.bolt11) else order.amount_msat
        try:
            done = self._payer.pay(order.bolt11, amount_msat, order.wait_s)
        except WalletRefused as error:
            return self._after_refusal(order, error)
        except RailError as error:
            return unclear(error)
        return settled(order.payment_hash, str(done.preimage or ""), int(done.fees_paid or 0))

    def lookup_payment(self, payment_hash: str) -> Sent:
        """Ask about a payment of ours; see ``LightningBackend.lookup_payment``."""
        if self._payer is None:
            return may_not_pay()
        try:
            found = self._payer.lookup(payment_hash)
        except RailError as error:
            return unclear(error)
        # An invoice of its own has the same hash as a payment to it.
        if found is None or _is_incoming(found):
            return no_such_payment()
        if found.state is not None and found.state.name == "EXPIRED":
            # That is the invoice; a payment to it may still be under way.
            return Sent(Outcome.UNKNOWN, 0, "", "The wallet says that the invoice has expired.")
        outcome = _outcome(found)
        if outcome is Outcome.SETTLED:
            return settled(payment_hash, str(found.preimage or ""), int(found.fees_paid or 0))
        return Sent(outcome, 0, "", f"The wallet says that the payment is {outcome}.")

    def funds(self) -> Funds:
        """Return the balance. NIP-47 does not tell the inbound room.

        Raises LightningPermission where the connection may not ask for it.
        """
        balance_msat = (self._payer or self._receiver).balance_msat()
        return Funds(balance_msat, None, balance_msat)

    def check(self, network: str) -> str:
        """Return the wallet's name; see ``LightningBackend.check``."""
        info = self._receiver.info()
        _require(info.methods, _RECEIVES, "lightning_url")
        if self._payer is not None:
            with naming_payout_secret():
                methods = self._payer.info().methods
            _require(methods, _PAYS, "lightning_payout_secret")
        if info.network and info.network != network:
            raise LightningWrongNetwork(network_words(info.network, network))
        found = f"Nostr Wallet Connect, wallet {info.alias!r}"
        if self._payer is None and _BALANCE not in info.methods:
            return f"{found}; it sells, but may not ask for the balance ({_BALANCE})."
        return found

    def close(self) -> None:
        """End both connections."""
        self._pushes = False
        self._receiver.close()
        if self._payer is not None:
            self._payer.close()

    def _after_refusal(self, order: PayOrder, error: WalletRefused) -> Sent:
        """Return what became of a payment that the wallet calls failed.

        NIP-47: PAYMENT_FAILED may be due to a time-out, so it alone frees nothing.
        """
        if error.wallet_code in _NOT_SENT:
            return failed(error.detail)
        found = self.lookup_payment(order.payment_hash)
        if found.missing and error.wallet_code == "PaymentFailed":
            return replace(failed(error.detail), missing=True)
        return after_trouble(found, error, refused=not found.missing)

    @property
    def _list_every_s(self) -> float:
        return _LIST_EVERY_S if self._pushes else _LIST_OFTEN_S

    def _listen(self) -> None:
        """Take what the wallet pushes from now on; without it there is the list."""
        if not self._pushes:
            self._pushes = self._receiver.listen(self._heard)

    def _heard(self, told: Mapping[str, Any]) -> None:
        """Take a notification (NIP-47, ``payment_received``) from the library's thread."""
        found = told.get("notification")
        if told.get("notification_type") != "payment_received" or not isinstance(found, dict):
            return
        try:
            payment_hash = str(found["payment_hash"]).lower()
            preimage = str(found.get("preimage") or "")
            pushed = Settled(
                payment_hash,
                int(found["amount"]),
                int(found.get("settled_at") or time.time()),
                proven(preimage, payment_hash),
            )
        except (KeyError, TypeError, ValueError):
            return
        self._pushed.put(pushed)

    def _next_pushed(self, recent: Recent, ends_at: float) -> tuple[Settled, ...]:
        """Return what was pushed, or nothing when it is time to stop or to list again."""
        until = min(ends_at, self._listed_at + self._list_every_s)
        try:
            told = self._pushed.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return ()
        return recent.news([told])

    def _received_since(self, since: int) -> list[Settled]:
        """Return all invoices that may have been settled since then."""
        found: list[Settled] = []
        offset = 0
        while True:
            page = self._receiver.received(max(0, since - _LIFETIME_S), offset, _PAGE)
            found += [_settled(one) for one in page if _outcome(one) is Outcome.SETTLED]
            offset += len(page)
            if len(page) < _PAGE:
                return found

    def _page(self, news: tuple[Settled, ...], recent: Recent) -> SettledPage:
        self._last_page = recent.cursor
        return SettledPage(news, self._last_page)


def _client(connection: str, timeout_s: float, setting: str) -> NwcClient:
    try:
        return NwcClient(connection, timeout_s)
    except ConnectionInvalid as error:
        raise ConfigurationError(f"{setting}: {error.detail}") from None


def _outcome(found: Any) -> Outcome:
    known = {
        "PENDING": Outcome.PENDING,
        "ACCEPTED": Outcome.PENDING,
        "SETTLED": Outcome.SETTLED,
        "EXPIRED": Outcome.FAILED,
        "FAILED": Outcome.FAILED,
    }
    if found.state is not None:
        return known.get(found.state.name, Outcome.UNKNOWN)
    # Older wallets say it by the time alone.
    return Outcome.SETTLED if found.settled_at is not None else Outcome.PENDING


def _is_incoming(found: Any) -> bool:
    return found.transaction_type is not None and found.transaction_type.name == "INCOMING"


def _settled(found: Any) -> Settled:
    payment_hash, preimage = str(found.payment_hash).lower(), str(found.preimage or "")
    settled_at = None if found.settled_at is None else int(found.settled_at.as_secs())
    return Settled(
        payment_hash=payment_hash,
        amount_msat=int(found.amount),
        # A time that is missing must not make it look old.
        settled_at=settled_at or int(time.time()),
        preimage=proven(preimage, payment_hash),
    )


def _require(methods: frozenset[str], needed: set[str], setting: str) -> None:
    missing = sorted(needed - methods)
    if missing:
        raise LightningPermission(f"The connection in {setting} may not: {', '.join(missing)}.")
