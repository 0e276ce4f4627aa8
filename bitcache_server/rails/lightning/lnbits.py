"""LNbits: one of its wallets receives and pays, through its REST API.

Written after LNbits 1.6.2 (its ``/docs``; https://github.com/lnbits/lnbits). The invoice key
of the wallet creates and reads invoices, its admin key pays. LNbits knows whole sats only,
and does not say on which network it is until there is an invoice.

Its web socket would push settlements, but it wants the key as a part of the address, where
every proxy writes it down. So the list of payments is asked for once a second.
"""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bitcache_server.domain.errors import (
    AddressInvalid,
    ConfigurationError,
    LightningPermission,
    LightningRejected,
    LightningUnauthorized,
    LightningWrongNetwork,
    RailError,
)
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.answers import (
    after_trouble,
    may_not_pay,
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
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.lnbits_api import LnbitsApi
from bitcache_server.rails.lightning.polling import look_until
from bitcache_server.rails.lightning.recent import BEGINNING, OVERLAP_S, Recent
from bitcache_server.rails.lightning.rest import (
    MissingAnswer,
    Refusal,
    naming_payout_secret,
    well_formed,
)

BACKEND_NAME = "lnbits"
POLL_S = 1.0
_PAGE = 100
#: The last change of a received payment is its settlement, or later.
_RECEIVED: Mapping[str, str | int] = {
    "sortby": "updated_at",
    "direction": "desc",
    "status": "success",
    "amount[gt]": 0,
}


class LnbitsBackend:
    """One wallet of an LNbits server. It may be used from several threads."""

    def __init__(self, settings: BackendSettings) -> None:
        if not settings.secret:
            raise ConfigurationError(
                "lightning_secret is missing: the invoice key of the LNbits wallet."
            )
        self._invoice_key = settings.secret
        self._admin_key = settings.payout_secret
        self._api = LnbitsApi(settings)

    @property
    def name(self) -> str:
        """Return ``lnbits``."""
        return BACKEND_NAME

    @property
    def abilities(self) -> Abilities:
        """Return what it can do. The fee limit is LNbits' own, which is asked for before."""
        return Abilities(
            exact_msat=False,
            description_hash=True,
            pays=bool(self._admin_key),
            fee_limit=True,
            pushes=False,
        )

    def create_invoice(self, order: InvoiceOrder) -> IssuedInvoice:
        """Make an invoice over whole sats; see ``LightningBackend.create_invoice``."""
        if order.amount_msat % MSAT_PER_SAT:
            raise LightningRejected("LNbits takes whole sats only.")
        body: dict[str, object] = {
            "out": False,
            "unit": "sat",
            "amount": order.amount_msat // MSAT_PER_SAT,
            "expiry": order.expires_in_s,
            "external_id": order.label,
        }
        if order.description:
            # LNbits hashes it; some of the nodes behind it must know the text.
            body["unhashed_description"] = order.description.encode().hex()
        else:
            body["memo"] = order.memo
        made = self._api.call("POST", "payments", self._invoice_key, body=body)
        with well_formed():
            return IssuedInvoice(str(made["bolt11"]), str(made["payment_hash"]))

    def lookup_invoice(self, payment_hash: str) -> InvoiceStatus:
        """Ask about an invoice of ours; see ``LightningBackend.lookup_invoice``."""
        with well_formed():
            found = self._find(payment_hash, self._invoice_key)
            if found is not None and found["amount"] < 0:
                # The wallet paid itself, and LNbits shows the outgoing half.
                mine = self._list({"payment_hash": payment_hash, "amount[gt]": 0})
                found = mine[0] if mine else None
            if found is None:
                return not_paid(Outcome.UNKNOWN)
            outcome = _outcome(found)
            return paid(_settled(found)) if outcome is Outcome.SETTLED else not_paid(outcome)

    def settlements(self, cursor: str | None, wait_s: float) -> SettledPage:
        """Ask once a second what is new; see ``LightningBackend.settlements``."""
        recent = Recent.read(cursor)
        if recent is None:
            return SettledPage((), BEGINNING.after(self._settled_since(None)).cursor)
        return look_until(lambda: recent.page(self._settled_since(recent.since)), wait_s, POLL_S)

    def pay(self, order: PayOrder) -> Sent:
        """Pay, unless this wallet has a payment to that hash; see ``LightningBackend.pay``."""
        known = self.lookup_payment(order.payment_hash)
        if not known.missing:
            return known
        try:
            self._check_fee(order)
            body = {"out": True, "bolt11": order.bolt11}
            done = self._api.call(
                "POST", "payments", self._admin_key, body=body, wait_s=order.wait_s
            )
            with well_formed():
                return _sent(done, order.payment_hash)
        except RailError as error:
            # LNbits refuses also when somebody else's call paid this moment.
            found = self.lookup_payment(order.payment_hash)
            return after_trouble(found, error, refused=isinstance(error, Refusal))

    def _check_fee(self, order: PayOrder) -> None:
        query = {"invoice": order.bolt11}
        answer = self._api.call("GET", "payments/fee-reserve", self._admin_key, params=query)
        with well_formed():
            reserve_msat = int(answer["fee_reserve"])
        if reserve_msat > order.max_fee_msat:
            raise Refusal(
                f"LNbits may spend {reserve_msat} msat on the fee; the limit is "
                f"{order.max_fee_msat} msat."
            )

    def lookup_payment(self, payment_hash: str) -> Sent:
        """Ask about a payment of ours; see ``LightningBackend.lookup_payment``."""
        if not self._admin_key:
            return may_not_pay()
        try:
            with well_formed():
                found = self._find(payment_hash, self._admin_key)
                if found is None or found["amount"] > 0:
                    return no_such_payment()
                return _sent(found, payment_hash)
        except RailError as error:
            return unclear(error)

    def funds(self) -> Funds:
        """Return the wallet's balance. LNbits does not tell the node's inbound room."""
        wallet = self._api.call("GET", "wallet", self._admin_key or self._invoice_key)
        with well_formed():
            balance_msat = int(wallet["balance"])
        return Funds(balance_msat, None, balance_msat)

    def check(self, network: str) -> str:
        """Return the wallet's name and balance; see ``LightningBackend.check``."""
        wallet = self._api.call("GET", "wallet", self._invoice_key)
        with well_formed():
            balance = format_sat(int(wallet["balance"]) // MSAT_PER_SAT * MSAT_PER_SAT)
            found = f"LNbits, wallet {str(wallet['name'])!r} with {balance}"
        if self._admin_key:
            # Only to its admin key does a wallet tell its id.
            with naming_payout_secret():
                payer = self._api.call("GET", "wallet", self._admin_key)
            if not isinstance(payer, dict) or "id" not in payer:
                raise LightningPermission(
                    "lightning_payout_secret is an invoice key; paying out needs the admin key."
                )
        with well_formed():
            last = [str(payment["bolt11"]) for payment in self._list({"limit": 1})]
        for invoice in last:
            _check_network(invoice, network)
        return found

    def close(self) -> None:
        """End the connections."""
        self._api.close()

    def _find(self, payment_hash: str, key: str) -> dict[str, Any] | None:
        """Return the wallet's payment; of one to itself, the outgoing half."""
        try:
            found = self._api.call("GET", f"payments/{payment_hash}", key)
        except MissingAnswer:
            # LNbits says so to anybody; only for a key that it knows is it an answer.
            self._api.call("GET", "wallet", key)
            return None
        if "details" not in found:
            # LNbits tells anybody whether a hash was paid, but the rest only its wallet.
            raise LightningUnauthorized("LNbits does not know the key.")
        return dict(found["details"])

    def _settled_since(self, since: int | None) -> list[Settled]:
        """Return what was received since then, the newest first; with None, the newest.

        A payment that changes while the pages are read moves to the front, so that another
        one may come twice, but none is left out.
        """
        found: list[Settled] = []
        for offset in itertools.count(0, _PAGE):
            with well_formed():
                page = self._list({**_RECEIVED, "limit": _PAGE, "offset": offset})
                listed = [_settled(one) for one in page]
            for payment in listed:
                if since is None:
                    since = payment.settled_at - OVERLAP_S
                if payment.settled_at < since:
                    return found
                found.append(payment)
            if len(page) < _PAGE:
                break
        return found

    def _list(self, query: Mapping[str, str | int]) -> list[dict[str, Any]]:
        answer = self._api.call("GET", "payments", self._invoice_key, params=query)
        return [dict(one) for one in answer]


def _outcome(payment: Mapping[str, Any]) -> Outcome:
    known = {
        "success": Outcome.SETTLED,
        "pending": Outcome.PENDING,
        "failed": Outcome.FAILED,
    }
    return known.get(str(payment["status"]), Outcome.UNKNOWN)


def _settled(payment: Mapping[str, Any]) -> Settled:
    payment_hash, preimage = str(payment["payment_hash"]), str(payment["preimage"] or "")
    when = datetime.fromisoformat(payment["updated_at"])
    return Settled(
        payment_hash=payment_hash,
        amount_msat=int(payment["amount"]),
        settled_at=int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()),
        preimage=proven(preimage, payment_hash),
    )


def _sent(payment: Mapping[str, Any], payment_hash: str) -> Sent:
    outcome = _outcome(payment)
    if outcome is not Outcome.SETTLED:
        return Sent(outcome, 0, "", f"LNbits says that the payment is {payment['status']!s:.20}.")
    # LNbits writes what left the wallet with a minus.
    return settled(payment_hash, str(payment["preimage"] or ""), abs(int(payment["fee"])))


def _check_network(bolt11: str, network: str) -> None:
    try:
        decode(bolt11, network)
    except AddressInvalid as error:
        raise LightningWrongNetwork(f"The wallet's last invoice: {error.detail}") from None
