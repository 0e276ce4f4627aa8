"""phoenixd over HTTP. https://phoenix.acinq.co/server/api

``secret`` is the limited password (``http-password-limited-access`` in phoenix.conf), which
may do everything but pay; ``payout_secret`` is the full one (``http-password``). It takes
whole sats, knows no fee limit, and tells of settlements only when it is asked. What it
takes for room in its channel (liquidity) is the operator's cost, not the reader's.
"""

import base64
import time
from collections.abc import Iterable
from typing import Any

from bitcache_server.domain.errors import (
    ConfigurationError,
    LightningPermission,
    LightningRejected,
    LightningUnauthorized,
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
from bitcache_server.rails.lightning.rest import (
    MissingAnswer,
    Refusal,
    RestClient,
    judge_by_status,
    no_json,
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
#: A look goes back by this, so that a clock that was set back hides nothing.
_LOOK_BACK_MS = 10_000
#: As much of a payment hash as the cursor needs to know it again.
_PREFIX = 16


class PhoenixdBackend:
    """One phoenixd."""

    def __init__(self, settings: BackendSettings) -> None:
        self._rest = RestClient(settings, schemes=("http", "https"), judge=judge_by_status)
        self._invoices = _password(settings.secret, "lightning_secret")
        self._payouts = (
            _password(settings.payout_secret, "lightning_payout_secret")
            if settings.payout_secret
            else None
        )

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
            return InvoiceStatus(Outcome.UNKNOWN, 0, 0, "")
        with well_formed():
            if answer["isPaid"]:
                paid = _settled(answer)
                return InvoiceStatus(
                    Outcome.SETTLED, paid.amount_msat, paid.settled_at, paid.preimage
                )
            outcome = Outcome.FAILED if answer.get("isExpired") else Outcome.PENDING
            return InvoiceStatus(outcome, 0, 0, "")

    def settlements(self, cursor: str | None, wait_s: float) -> SettledPage:
        """GET /payments/incoming?from=…, again and again until something is there.

        The cursor has the time of the last settlement (ms, the node's clock) and the hashes
        of those that were reported around it.
        """
        deadline = time.monotonic() + wait_s
        if cursor is None:
            newest = self._received(0, 1)
            with well_formed():
                top_ms = max((int(one["completedAt"]) for one in newest), default=0)
            return SettledPage((), self._look(top_ms, frozenset())[1])
        head, _, tail = cursor.partition(":")
        while True:
            found, after = self._look(int(head), frozenset(tail.split(",")))
            left_s = deadline - time.monotonic()
            if found or left_s <= 0:
                return SettledPage(tuple(found), after)
            time.sleep(min(_LOOK_EVERY_S, left_s))

    def pay(self, order: PayOrder) -> Sent:
        """POST /payinvoice, unless the node has such a payment: settled, or on its way."""
        if self._payouts is None:
            return may_not_pay()
        known = self.lookup_payment(order.payment_hash)
        if known.outcome is not Outcome.FAILED and known != no_such_payment():
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
        self._probe("/createinvoice", self._invoices)
        if self._payouts is None:
            return f"{found}; it is not asked to pay."
        self._check_payouts(self._payouts)
        return f"{found}; it may receive and pay."

    def close(self) -> None:
        """End the connections."""
        self._rest.close()

    def _check_payouts(self, password: dict[str, str]) -> None:
        try:
            self._rest.ask("GET", "/getinfo", password)
        except LightningUnauthorized as error:
            raise LightningUnauthorized(f"lightning_payout_secret: {error.detail}") from None
        try:
            self._probe("/payinvoice", password)
        except (LightningUnauthorized, LightningPermission):
            raise LightningPermission(
                "lightning_payout_secret: this is the limited password; it may not pay."
            ) from None

    def _probe(self, path: str, password: dict[str, str]) -> None:
        """Make a call without what it needs; the password is looked at first."""
        try:
            self._rest.ask("POST", path, password, form={"doctor": "check"})
        except LightningRejected:
            return

    def _look(self, top_ms: int, reported: frozenset[str]) -> tuple[list[Settled], str]:
        """Return what was received around and after that time, and the cursor to go on from."""
        with well_formed():
            received = list(self._received_since(max(0, top_ms - _LOOK_BACK_MS)))
            received.sort(key=lambda one: int(one["completedAt"]))
            top_ms = max([top_ms, *(int(one["completedAt"]) for one in received)])
            news = [one for one in received if one["paymentHash"][:_PREFIX] not in reported]
            recent = [
                str(one["paymentHash"])[:_PREFIX]
                for one in received
                if int(one["completedAt"]) >= top_ms - _LOOK_BACK_MS
            ]
            return [_settled(one) for one in news], f"{top_ms}:{','.join(recent)}"

    def _received_since(self, from_ms: int) -> Iterable[Any]:
        offset = 0
        while True:
            page = self._received(from_ms, _PAGE, offset)
            # What came on-chain has no payment hash.
            yield from (one for one in page if one.get("paymentHash") and one["isPaid"])
            if len(page) < _PAGE:
                return
            offset += _PAGE

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
