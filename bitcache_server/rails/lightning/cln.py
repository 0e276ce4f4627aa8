"""Core Lightning over its REST plugin, clnrest. https://docs.corelightning.org/reference

``secret`` is a rune for invoices alone, ``payout_secret`` one that may pay and nothing else;
``INVOICE_METHODS`` and ``PAYOUT_METHODS`` are what each must allow. A rune is narrowed when
it is made, with ``lightning-cli createrune``. Payments need ``xpay``, Core Lightning 24.11.
"""

import math
import secrets
import time
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
from bitcache_server.rails.lightning.decoding import has_amount
from bitcache_server.rails.lightning.rest import (
    Refusal,
    RestClient,
    judge_by_status,
    naming_payout_secret,
    said,
    two_secrets,
    well_formed,
)

BACKEND_NAME = "cln"
INVOICE_METHODS = ("invoice", "listinvoices", "waitanyinvoice", "listpeerchannels", "getinfo")
PAYOUT_METHODS = ("xpay", "listpays")

#: How many settlements one page carries at most.
_PAGE = 100
_NOWHERE = "00" * 32
#: lightning-listpeerchannels(7): the peers still speak about the transaction that opens it.
_NOT_FUNDED = {
    "OPENINGD",
    "DUALOPEND_OPEN_INIT",
    "DUALOPEND_OPEN_COMMIT_READY",
    "DUALOPEND_OPEN_COMMITTED",
}
_NETWORKS = {"bitcoin": "mainnet", "testnet4": "testnet"}
#: lightning-checkrune(7).
_RUNE_NOT_PERMITTED = 1502
_RUNE_ERRORS = (1501, 1503)
#: lightning-waitanyinvoice(7).
_WAIT_TIMED_OUT = 904
#: lightning-xpay(7) and lightning-pay(7): refused by the payee, no route, too expensive,
#: expired, given up. With others it is not sure that nothing is under way.
_PAY_FAILED = (203, 205, 206, 207, 210)
#: ``xpay`` begins attempts for a minute at most (``retry_for``), and between two of them
#: ``listpays`` says failed; the other minute is for clocks that differ.
_TRYING_S = 120
#: As many payments are remembered as surely over; to forget one only takes time.
_REMEMBERED = 1_000


class _CallFailed(LightningRejected):
    """Core Lightning's own error, with its number."""

    def __init__(self, number: int, detail: str) -> None:
        super().__init__(detail)
        self.number = number


class _PayFailed(_CallFailed, Refusal):
    """A payment that is over, by its number."""


class ClnBackend:
    """One Core Lightning node."""

    def __init__(self, settings: BackendSettings) -> None:
        self._rest = RestClient(BACKEND_NAME, settings, schemes=("https",), judge=judge)
        self._timeout_s = settings.timeout_s
        self._ended: set[str] = set()
        self._invoices, self._payouts = two_secrets(settings, _rune)

    @property
    def name(self) -> str:
        """Return ``cln``."""
        return BACKEND_NAME

    @property
    def abilities(self) -> Abilities:
        """Return that Core Lightning can do everything, given a rune that may pay."""
        return Abilities(
            exact_msat=True,
            description_hash=True,
            pays=self._payouts is not None,
            fee_limit=True,
            pushes=True,
        )

    def create_invoice(self, order: InvoiceOrder) -> IssuedInvoice:
        """Call ``invoice``; a label may stand once only, so ours gets a random end."""
        answer = self._ask(
            "invoice",
            self._invoices,
            amount_msat=order.amount_msat,
            label=f"{order.label}-{secrets.token_hex(8)}",
            description=order.description or order.memo,
            deschashonly=bool(order.description),
            expiry=order.expires_in_s,
        )
        with well_formed():
            return IssuedInvoice(str(answer["bolt11"]), str(answer["payment_hash"]))

    def lookup_invoice(self, payment_hash: str) -> InvoiceStatus:
        """Call ``listinvoices`` for one payment hash."""
        answer = self._ask("listinvoices", self._invoices, payment_hash=payment_hash)
        with well_formed():
            if not answer["invoices"]:
                return not_paid(Outcome.UNKNOWN)
            [invoice] = answer["invoices"]
            match invoice["status"]:
                case "paid":
                    return paid(_settled(invoice))
                case "expired":
                    return not_paid(Outcome.FAILED)
                case _:
                    return not_paid(Outcome.PENDING)

    def settlements(self, cursor: str | None, wait_s: float) -> SettledPage:
        """Call ``waitanyinvoice`` from a pay index on: the first may be waited for."""
        if cursor is None:
            answer = self._ask("listinvoices", self._invoices)
            with well_formed():
                indexes = [int(one.get("pay_index", 0)) for one in answer["invoices"]]
            return SettledPage((), str(max(indexes, default=0)))
        index = int(cursor)
        found: list[Settled] = []
        # It waits for whole seconds, so that a shorter wait is rounded up.
        timeout_s = math.ceil(wait_s)
        while len(found) < _PAGE:
            answer = self._next_paid(index, 0 if found else timeout_s)
            if answer is None:
                break
            with well_formed():
                index = int(answer["pay_index"])
                found.append(_settled(answer))
        return SettledPage(tuple(found), str(index))

    def pay(self, order: PayOrder) -> Sent:
        """Call ``xpay``, unless the node has such a payment: settled, or on its way."""
        known = self.lookup_payment(order.payment_hash)
        if self._payouts is None or not is_free(known):
            return known
        parameters: dict[str, Any] = {
            "invstring": order.bolt11,
            "maxfee": order.max_fee_msat,
            "retry_for": max(1, int(order.wait_s)),
        }
        if not has_amount(order.bolt11):
            parameters["amount_msat"] = order.amount_msat
        self._ended.discard(order.payment_hash)
        try:
            answer = self._ask("xpay", self._payouts, read_s=order.wait_s, **parameters)
            with well_formed():
                fee_msat = int(answer["amount_sent_msat"]) - int(answer["amount_msat"])
                return settled(order.payment_hash, str(answer["payment_preimage"]), fee_msat)
        except RailError as error:
            if isinstance(error, Refusal):
                self._remember_end(order.payment_hash)
            found = self.lookup_payment(order.payment_hash)
            return after_trouble(found, error, refused=isinstance(error, Refusal))

    def lookup_payment(self, payment_hash: str) -> Sent:
        """Call ``listpays``: there is one entry for each attempt with that hash.

        One that failed a moment ago may have another attempt coming: it is still PENDING.
        """
        if self._payouts is None:
            return may_not_pay()
        try:
            answer = self._ask("listpays", self._payouts, payment_hash=payment_hash)
            with well_formed():
                sent = sent_of(answer["pays"], payment_hash)
                if sent.outcome is Outcome.FAILED and payment_hash not in self._ended:
                    began_at = max(int(one["created_at"]) for one in answer["pays"])
                    return sent if time.time() >= began_at + _TRYING_S else under_way()
                return sent
        except RailError as error:
            return unclear(error)

    def funds(self) -> Funds:
        """Call ``listpeerchannels``; a payment may come in parts.

        A channel stands there until the chain has given all of it back.
        """
        answer = self._ask("listpeerchannels", self._invoices)
        with well_formed():
            funded = [one for one in answer["channels"] if one["state"] not in _NOT_FUNDED]
            ready = [
                one for one in funded if one["state"] == "CHANNELD_NORMAL" and one["peer_connected"]
            ]
            return Funds(
                spendable_msat=sum(int(one["spendable_msat"]) for one in ready),
                receivable_msat=sum(int(one["receivable_msat"]) for one in ready),
                held_msat=sum(int(one["to_us_msat"]) for one in funded),
            )

    def check(self, network: str) -> str:
        """Call ``getinfo``, then each method in a way that cannot do anything."""
        info = self._ask("getinfo", self._invoices)
        with well_formed():
            chain = _NETWORKS.get(info["network"], str(info["network"]))
            alias, version = str(info["alias"]), str(info["version"])
        found = f"Core Lightning {version:.40} ({alias:.40}) on {chain}"
        if chain != network:
            raise LightningWrongNetwork(network_words(chain, network))
        self.lookup_invoice(_NOWHERE)
        self.funds()
        self._probe("invoice", self._invoices)
        self._probe("waitanyinvoice", self._invoices)
        if self._payouts is None:
            return f"{found}; it is not asked to pay."
        with naming_payout_secret():
            self._probe("xpay", self._payouts)
            self._ask("listpays", self._payouts, payment_hash=_NOWHERE)
        return f"{found}; it may receive and pay."

    def close(self) -> None:
        """End the connections."""
        self._rest.close()

    def _ask(
        self, method: str, rune: dict[str, str], *, read_s: float | None = None, **parameters: Any
    ) -> Any:
        return self._rest.ask("POST", f"/v1/{method}", rune, read_s=read_s, body=parameters)

    def _next_paid(self, index: int, timeout_s: int) -> Any:
        try:
            return self._ask(
                "waitanyinvoice",
                self._invoices,
                read_s=timeout_s + self._timeout_s,
                lastpay_index=index,
                timeout=timeout_s,
            )
        except _CallFailed as error:
            if error.number == _WAIT_TIMED_OUT:
                return None
            raise

    def _remember_end(self, payment_hash: str) -> None:
        """Note that ``xpay`` has ended in vain: no other attempt follows."""
        if len(self._ended) >= _REMEMBERED:
            self._ended.clear()
        self._ended.add(payment_hash)

    def _probe(self, method: str, rune: dict[str, str]) -> None:
        """Call a method with a parameter that it does not have."""
        self._rest.probe(f"/v1/{method}", rune, body={"doctor": "check"})


def judge(status: int, body: Any) -> RailError:
    """Return the error for what clnrest answers: the RPC's number and message."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    number = error.get("code") if isinstance(error, dict) else None
    if not isinstance(number, int):
        return judge_by_status(status, body)
    if number == _RUNE_NOT_PERMITTED:
        return LightningPermission("The rune does not allow this call.")
    if number in _RUNE_ERRORS or status in (401, 403):
        return LightningUnauthorized("The node does not know the rune, or it was revoked.")
    kind = _PayFailed if number in _PAY_FAILED else _CallFailed
    return kind(number, said(body))


def _settled(invoice: Any) -> Settled:
    return Settled(
        payment_hash=str(invoice["payment_hash"]),
        amount_msat=int(invoice["amount_received_msat"]),
        settled_at=int(invoice["paid_at"]),
        preimage=str(invoice["payment_preimage"]),
    )


def sent_of(pays: list[Any], payment_hash: str) -> Sent:
    """Return what became of a payment, given all attempts: one that is complete is enough."""
    by_status = {str(one["status"]): one for one in pays}
    if done := by_status.get("complete"):
        fee_msat = int(done["amount_sent_msat"]) - int(done["amount_msat"])
        return settled(payment_hash, str(done["preimage"]), fee_msat)
    if "pending" in by_status:
        return under_way()
    if "failed" in by_status:
        return failed("The payment failed.")
    return no_such_payment()


def _rune(secret: str, setting: str) -> dict[str, str]:
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigurationError(f"{setting} must be a rune: lightning-cli createrune")
    return {"Rune": secret}
