"""phoenixd over HTTP. https://phoenix.acinq.co/server/api

``secret`` is the limited password (``http-password-limited-access`` in phoenix.conf), which
may do everything but pay; ``payout_secret`` is the full one (``http-password``). It takes
whole sats, knows no fee limit, and tells of settlements only when it is asked. What it
takes for room in its channel (liquidity) is the operator's cost, not the reader's.
"""

import base64
import itertools
from typing import Any

from bitcache_server.domain.errors import (
    ConfigurationError,
    LightningPermission,
    LightningUnauthorized,
    LightningWrongNetwork,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.answers import (
    after_trouble,
    failed,
    is_free,
    may_not_pay,
    network_words,
    no_such_payment,
    not_paid,
    paid,
    settled,
    unclear,
    under_way,
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
from bitcache_server.rails.lightning.polling import look_until
from bitcache_server.rails.lightning.recent import Recent
from bitcache_server.rails.lightning.rest import (
    MissingAnswer,
    Refusal,
    RestClient,
    judge_by_status,
    naming_payout_secret,
    no_json,
    two_secrets,
    well_formed,
)

BACKEND_NAME = "phoenixd"
_MEMO_LENGTH = 128
_PAGE = 100
_NOWHERE = "00" * 32
_NETWORKS = {"testnet3": "testnet", "testnet4": "testnet"}
#: Its own words for what it does not have; a proxy in front of it has others.
_SAYS_MISSING = "check api doc"
#: How long between two looks for settlements.
_LOOK_EVERY_S = 0.5
#: Of a call that is to do nothing.
_NOTHING = {"doctor": "check"}


class PhoenixdBackend:
    """One phoenixd."""

    def __init__(self, settings: BackendSettings) -> None:
        self._rest = RestClient(
            BACKEND_NAME, settings, schemes=("http", "https"), judge=judge_by_status
        )
        self._invoices, self._payouts = two_secrets(settings, _password)

    @property
    def name(self) -> str:
        """Return ``phoenixd``."""
        return BACKEND_NAME

    @property
    def abilities(self) -> Abilities:
        """Return what it lacks: fractions of a sat, a fee limit, settlements by themselves."""
        return Abilities(
            exact_msat=False,
            description_hash=True,
            pays=self._payouts is not None,
            fee_limit=False,
            pushes=False,
        )

    def create_invoice(self, order: InvoiceOrder) -> IssuedInvoice:
        """POST /createinvoice; the amount is rounded up to the sat."""
        form = {
            "amountSat": str(-(-order.amount_msat // 1000)),
            "expirySeconds": str(order.expires_in_s),
            "externalId": order.label,
        }
        if order.description:
            form["descriptionHash"] = description_hash_of(order.description)
        else:
            form["description"] = order.memo[:_MEMO_LENGTH]
        answer = self._rest.ask("POST", "/createinvoice", self._invoices, form=form)
        with well_formed():
            return IssuedInvoice(str(answer["serialized"]), str(answer["paymentHash"]))

    def lookup_invoice(self, payment_hash: str) -> InvoiceStatus:
        """GET /payments/incoming/{paymentHash}."""
        try:
            answer = self._rest.ask("GET", f"/payments/incoming/{payment_hash}", self._invoices)
        except MissingAnswer:
            return not_paid(Outcome.UNKNOWN)
        with well_formed():
            if answer["isPaid"]:
                return paid(_settled(answer))
            return not_paid(Outcome.FAILED if answer.get("isExpired") else Outcome.PENDING)

    def settlements(self, cursor: str | None, wait_s: float) -> SettledPage:
        """GET /payments/incoming?from=…, again and again until something is there."""
        recent = Recent.read(cursor)
        if recent is not None:
            return look_until(lambda: recent.page(self._since(recent.since)), wait_s, _LOOK_EVERY_S)
        newest = self._received(0, 1)
        with well_formed():
            top_ms = max((int(one["completedAt"]) for one in newest), default=0)
        begun = Recent(top_ms // 1000, frozenset())
        return SettledPage((), begun.after(self._since(begun.since)).cursor)

    def pay(self, order: PayOrder) -> Sent:
        """POST /payinvoice, unless the node has such a payment: settled, or on its way."""
        known = self.lookup_payment(order.payment_hash)
        if self._payouts is None or not is_free(known):
            return known
        form = {"invoice": order.bolt11}
        if not has_amount(order.bolt11):
            if order.amount_msat % 1000:
                return failed("phoenixd pays whole sats only.")
            form["amountSat"] = str(order.amount_msat // 1000)
        try:
            answer = self._rest.ask(
                "POST", "/payinvoice", self._payouts, read_s=order.wait_s, form=form
            )
            with well_formed():
                if "reason" in answer:
                    raise Refusal(f"The payment failed: {answer['reason']!s:.200}")
                fee_msat = int(answer["routingFeeSat"]) * 1000
                return settled(order.payment_hash, str(answer["paymentPreimage"]), fee_msat)
        except RailError as error:
            found = self.lookup_payment(order.payment_hash)
            return after_trouble(found, error, refused=isinstance(error, Refusal))

    def lookup_payment(self, payment_hash: str) -> Sent:
        """GET /payments/outgoingbyhash/{paymentHash}."""
        if self._payouts is None:
            return may_not_pay()
        path = f"/payments/outgoingbyhash/{payment_hash}"
        try:
            answer = self._rest.ask("GET", path, self._payouts)
            with well_formed():
                return _sent(answer, payment_hash)
        except MissingAnswer as error:
            return no_such_payment() if _SAYS_MISSING in error.detail else unclear(error)
        except RailError as error:
            return unclear(error)

    def funds(self) -> Funds:
        """GET /getbalance. Room is bought when a payment needs it, so there is no bound."""
        answer = self._rest.ask("GET", "/getbalance", self._invoices)
        with well_formed():
            balance_msat = int(answer["balanceSat"]) * 1000
        return Funds(balance_msat, None, balance_msat)

    def check(self, network: str) -> str:
        """GET /getinfo, then each call that we need in a way that cannot do anything."""
        info = self._rest.ask("GET", "/getinfo", self._invoices)
        with well_formed():
            chain = _NETWORKS.get(info["chain"], str(info["chain"]))
            found = f"phoenixd {info['version']!s:.40} on {chain}"
        if chain != network:
            raise LightningWrongNetwork(network_words(chain, network))
        self.lookup_invoice(_NOWHERE)
        self.funds()
        self._rest.probe("/createinvoice", self._invoices, form=_NOTHING)
        if self._payouts is None:
            return f"{found}; it is not asked to pay."
        self._check_payouts(self._payouts)
        return f"{found}; it may receive and pay."

    def close(self) -> None:
        """End the connections."""
        self._rest.close()

    def _check_payouts(self, password: dict[str, str]) -> None:
        with naming_payout_secret():
            self._rest.ask("GET", "/getinfo", password)
        try:
            self._rest.probe("/payinvoice", password, form=_NOTHING)
        except (LightningUnauthorized, LightningPermission):
            raise LightningPermission(
                "lightning_payout_secret: this is the limited password; it may not pay."
            ) from None

    def _since(self, since: int) -> list[Settled]:
        """Return what was received since then, by the node's clock."""
        found: list[Settled] = []
        for offset in itertools.count(0, _PAGE):
            page = self._received(since * 1000, _PAGE, offset)
            with well_formed():
                # What came on-chain has no payment hash.
                found += [_settled(one) for one in page if one.get("paymentHash") and one["isPaid"]]
            if len(page) < _PAGE:
                break
        return found

    def _received(self, from_ms: int, limit: int, offset: int = 0) -> list[Any]:
        params = {"from": str(from_ms), "limit": str(limit), "offset": str(offset)}
        answer = self._rest.ask("GET", "/payments/incoming", self._invoices, params=params)
        if not isinstance(answer, list):
            raise no_json()
        return answer


def _settled(payment: Any) -> Settled:
    # What the payer sent: fees were taken out of it on its way into the channel.
    return Settled(
        payment_hash=str(payment["paymentHash"]),
        amount_msat=int(payment["receivedSat"]) * 1000 + int(payment["fees"]),
        settled_at=int(payment["completedAt"]) // 1000,
        preimage=str(payment["preimage"]),
    )


def _sent(payment: Any, payment_hash: str) -> Sent:
    """Return what became of a payment; up to 0.4 a failed one is called paid, too."""
    preimage = payment.get("preimage")
    if payment["isPaid"] and preimage:
        return settled(payment_hash, str(preimage), int(payment["fees"]))
    if payment.get("completedAt"):
        return failed("The payment failed.")
    return under_way()


def _password(secret: str, setting: str) -> dict[str, str]:
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ConfigurationError(f"{setting} must be a password from phoenix.conf.")
    credentials = base64.b64encode(f":{secret}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}
