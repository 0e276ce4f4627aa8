"""LND over REST. https://lightning.engineering/api-docs/api/lnd/

``secret`` is a macaroon in hex for invoices alone; the narrowest is baked with
``lncli bakemacaroon`` and the permissions in ``INVOICE_PERMISSIONS``. ``payout_secret`` may
pay, and nothing else: ``PAYOUT_PERMISSIONS``. LND's own ``invoice.macaroon`` is too narrow
(no balance) and ``admin.macaroon`` far too wide.
"""

import itertools
import time
from typing import Any

from bitcache_server.domain.errors import (
    LightningPermission,
    LightningUnreachable,
    LightningWrongNetwork,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.answers import (
    after_trouble,
    may_not_pay,
    network_words,
    no_such_payment,
    not_paid,
    paid,
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
from bitcache_server.rails.lightning.decoding import description_hash_of, has_amount
from bitcache_server.rails.lightning.lnd_answers import (
    INVOICE_OUTCOMES,
    base64_of,
    hex_of,
    judge,
    kept_for_fees_sat,
    limbo_sat,
    macaroon_header,
    receivable_sat,
    result_of,
    sent_of,
    settled_invoice,
    settled_of,
)
from bitcache_server.rails.lightning.rest import (
    MissingAnswer,
    Refusal,
    RestClient,
    naming_payout_secret,
    no_json,
    two_secrets,
    well_formed,
)

BACKEND_NAME = "lnd"
INVOICE_PERMISSIONS = tuple(
    f"uri:/lnrpc.Lightning/{method}"
    for method in (
        "AddInvoice",
        "LookupInvoice",
        "ListInvoices",
        "SubscribeInvoices",
        "ListChannels",
        "PendingChannels",
        "ChannelBalance",
        "GetInfo",
    )
)
PAYOUT_PERMISSIONS = ("uri:/routerrpc.Router/SendPaymentV2", "uri:/routerrpc.Router/TrackPaymentV2")

_PAGE = 1_000
#: How often the list is read again while nothing was ever settled.
_LOOK_EVERY_S = 2.0
_NOWHERE = "00" * 32


class LndBackend:
    """One LND node."""

    def __init__(self, settings: BackendSettings) -> None:
        self._timeout_s = settings.timeout_s
        self._rest = RestClient(BACKEND_NAME, settings, schemes=("https",), judge=judge)
        self._invoices, self._payouts = two_secrets(settings, macaroon_header)

    @property
    def name(self) -> str:
        """Return ``lnd``."""
        return BACKEND_NAME

    @property
    def abilities(self) -> Abilities:
        """Return that LND can do everything, given a macaroon that may pay."""
        return Abilities(
            exact_msat=True,
            description_hash=True,
            pays=self._payouts is not None,
            fee_limit=True,
            pushes=True,
        )

    def create_invoice(self, order: InvoiceOrder) -> IssuedInvoice:
        """POST /v1/invoices (AddInvoice)."""
        body = {
            "memo": order.memo,
            "value_msat": str(order.amount_msat),
            "expiry": str(order.expires_in_s),
            # Unannounced channels are how a small node is reached.
            "private": True,
        }
        if order.description:
            body["description_hash"] = base64_of(description_hash_of(order.description))
        answer = self._rest.ask("POST", "/v1/invoices", self._invoices, body=body)
        with well_formed():
            return IssuedInvoice(answer["payment_request"], hex_of(answer["r_hash"]))

    def lookup_invoice(self, payment_hash: str) -> InvoiceStatus:
        """GET /v1/invoice/{r_hash_str} (LookupInvoice)."""
        try:
            answer = self._rest.ask("GET", f"/v1/invoice/{payment_hash}", self._invoices)
        except MissingAnswer:
            return not_paid(Outcome.UNKNOWN)
        with well_formed():
            outcome = INVOICE_OUTCOMES[answer["state"]]
            settled = outcome is Outcome.SETTLED
            return paid(settled_invoice(answer)) if settled else not_paid(outcome)

    def settlements(self, cursor: str | None, wait_s: float) -> SettledPage:
        """GET /v1/invoices/subscribe (SubscribeInvoices), from a settle index on.

        For LND a settle index of 0 means none given, and what was settled before is then
        not sent: up to the first settlement the list is read, and the stream only wakes.
        """
        if cursor is None:
            return SettledPage((), _top(self._settled_so_far(), 0))
        index = int(cursor)
        news = self._subscribe(index, wait_s) if index else self._first_ever(wait_s)
        return SettledPage(tuple(one for _, one in sorted(news)), _top(news, index))

    def _first_ever(self, wait_s: float) -> list[tuple[int, Settled]]:
        """Wait for the first settlement; the next look finds one between look and stream."""
        ends_at = time.monotonic() + wait_s
        while True:
            found = self._settled_so_far()
            left_s = ends_at - time.monotonic()
            if found or left_s <= 0:
                return found
            self._subscribe(0, min(left_s, _LOOK_EVERY_S))

    def pay(self, order: PayOrder) -> Sent:
        """POST /v2/router/send (SendPaymentV2), which pays a payment hash once only."""
        if self._payouts is None:
            return may_not_pay()
        body = {
            "payment_request": order.bolt11,
            "fee_limit_msat": str(order.max_fee_msat),
            "timeout_seconds": max(1, int(order.wait_s)),
            "no_inflight_updates": True,
        }
        if not has_amount(order.bolt11):
            body["amt_msat"] = str(order.amount_msat)
        try:
            return self._send(self._payouts, body, order)
        except RailError as error:
            found = self.lookup_payment(order.payment_hash)
            return after_trouble(found, error, refused=isinstance(error, Refusal))

    def lookup_payment(self, payment_hash: str) -> Sent:
        """GET /v2/router/track/{payment_hash} (TrackPaymentV2)."""
        if self._payouts is None:
            return may_not_pay()
        try:
            return self._track(self._payouts, payment_hash)
        except MissingAnswer:
            return no_such_payment()
        except RailError as error:
            return unclear(error)

    def funds(self) -> Funds:
        """GET /v1/balance/channels, /v1/channels and /v1/channels/pending.

        A payment may come in parts. Channels that are being closed are in the last answer
        alone, until their money is in the node's on-chain wallet.
        """
        balance = self._rest.ask("GET", "/v1/balance/channels", self._invoices)
        answer = self._rest.ask("GET", "/v1/channels", self._invoices)
        closing_sat = self._closing_sat() or 0
        with well_formed():
            channels = answer["channels"]
            spendable_msat = int(balance["local_balance"]["msat"])
            opening_msat = int(balance["pending_open_local_balance"]["msat"])
            room_sat = sum(receivable_sat(channel) for channel in channels if channel["active"])
            fees_sat = sum(kept_for_fees_sat(channel) for channel in channels)
        held_msat = spendable_msat + opening_msat + (fees_sat + closing_sat) * 1000
        return Funds(spendable_msat, room_sat * 1000, held_msat)

    def _closing_sat(self) -> int | None:
        """Return what of ours is in channels that are being closed; None if we may not ask.

        Macaroons that were baked before this was asked still sell.
        """
        try:
            answer = self._rest.ask("GET", "/v1/channels/pending", self._invoices)
        except LightningPermission:
            return None
        return limbo_sat(answer)

    def check(self, network: str) -> str:
        """GET /v1/getinfo, then each permission with a call that cannot do anything."""
        info = self._rest.ask("GET", "/v1/getinfo", self._invoices)
        with well_formed():
            chain = str(info["chains"][0]["network"])
            found = f"LND {info['version']!s:.40} ({info['alias']!s:.40}) on {chain}"
        if self._closing_sat() is None:
            found += " (its macaroon may not see channels that close: PendingChannels)"
        if chain != network:
            raise LightningWrongNetwork(network_words(chain, network))
        self.lookup_invoice(_NOWHERE)
        self.funds()
        # A negative amount is refused, after the permission was looked at.
        self._rest.probe("/v1/invoices", self._invoices, body={"value_msat": "-1"})
        if self._payouts is None:
            return f"{found}; it is not asked to pay."
        try:
            with naming_payout_secret():
                body = {"payment_request": "none"}
                self._rest.probe("/v2/router/send", self._payouts, body=body)
                self._track(self._payouts, _NOWHERE)
        except MissingAnswer:
            return f"{found}; it may receive and pay."
        raise no_json()

    def close(self) -> None:
        """End the connections."""
        self._rest.close()

    def _track(self, macaroon: dict[str, str], payment_hash: str) -> Sent:
        """Return the state of a payment: the first line that LND sends about it."""
        path = f"/v2/router/track/{base64_of(payment_hash, urlsafe=True)}"
        with self._rest.stream("GET", path, macaroon, wait_s=self._timeout_s) as batches:
            for line in itertools.chain.from_iterable(batches):
                return sent_of(result_of(line), payment_hash)
        raise LightningUnreachable("The node did not answer in time.")

    def _send(self, macaroon: dict[str, str], body: dict[str, Any], order: PayOrder) -> Sent:
        """Return the final state that the payment reaches in time."""
        path, wait_s = "/v2/router/send", order.wait_s
        deadline = time.monotonic() + wait_s
        with self._rest.stream("POST", path, macaroon, wait_s=wait_s, body=body) as batches:
            for batch in batches:
                for line in batch:
                    sent = sent_of(result_of(line), order.payment_hash)
                    if sent.outcome is not Outcome.PENDING:
                        return sent
                if time.monotonic() >= deadline:
                    break
        raise LightningUnreachable("The payment did not end in time.")

    def _subscribe(self, index: int, wait_s: float) -> list[tuple[int, Settled]]:
        deadline = time.monotonic() + wait_s
        with self._rest.stream(
            "GET",
            "/v1/invoices/subscribe",
            self._invoices,
            params={"settle_index": str(index)},
            wait_s=wait_s,
        ) as batches:
            for batch in batches:
                found = settled_of(result_of(line) for line in batch)
                if found or time.monotonic() >= deadline:
                    return found
        return []

    def _settled_so_far(self) -> list[tuple[int, Settled]]:
        found: list[tuple[int, Settled]] = []
        offset = 0
        while True:
            params = {"num_max_invoices": str(_PAGE), "index_offset": str(offset)}
            answer = self._rest.ask("GET", "/v1/invoices", self._invoices, params=params)
            with well_formed():
                invoices = answer["invoices"]
                found += settled_of(invoices)
                offset = int(answer["last_index_offset"])
            if len(invoices) < _PAGE:
                return found


def _top(news: list[tuple[int, Settled]], index: int) -> str:
    return str(max((one for one, _ in news), default=index))
