"""A backend without a network, for tests and benchmarks: it settles when it is told to.

Its invoices are real BOLT 11 texts for regtest, signed with a key of its own. The preimage
is the hash of the invoice's payment secret, so that one of these can pay another's invoice
and show the proof; whoever reads an invoice could. So it must be allowed, which production
never does.
"""

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bitcache_server.domain.clock import Clock, system_clock
from bitcache_server.domain.errors import ConfigurationError, LightningWrongNetwork, RailError
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.answers import network_words
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
from bitcache_server.rails.lightning.decoding import (
    decode,
    description_hash_of,
    looks_like_invoice,
    preimage_fits,
)
from bitcache_server.rails.lightning.invoice_making import Wording, scripted_preimage, sign_invoice

BACKEND_NAME = "scripted"
_NETWORK = "regtest"
_DEFAULT_FUNDS_MSAT = 100_000_000_000


@dataclass
class _Invoice:
    """An invoice of ours. ``paid`` is None until it was."""

    amount_msat: int
    expires_at: int
    preimage: str
    paid: Settled | None = None
    held: bool = False
    cancelled: bool = False


@dataclass(frozen=True)
class _Plan:
    """What becomes of the next payment."""

    outcome: Outcome
    fee_msat: int
    detail: str


class ScriptedBackend:
    """A node of which a test is the network. Settings must have ``allow_fake``."""

    def __init__(self, settings: BackendSettings, clock: Clock = system_clock) -> None:
        if not settings.allow_fake:
            raise ConfigurationError(
                "The Lightning backend 'scripted' is for tests; anybody could pay with nothing."
            )
        self.clock = clock
        self.exact_msat = True
        self.description_hash = True
        self._key = secrets.token_hex(32)
        self._changed = threading.Condition()
        self._invoices: dict[str, _Invoice] = {}
        self._stream: list[Settled] = []
        self._sent: dict[str, Sent] = {}
        self._orders: dict[str, PayOrder] = {}
        self._plans: list[_Plan] = []
        self._delivered: dict[str, list[int]] = {}
        self._lost_answers = 0
        self._failure: RailError | None = None
        self._funds = Funds(_DEFAULT_FUNDS_MSAT, _DEFAULT_FUNDS_MSAT, _DEFAULT_FUNDS_MSAT)

    # What a test tells it.

    def pay(
        self,
        what: PayOrder | str,
        amount_msat: int | None = None,
        settled_at: int | None = None,
    ) -> Sent:
        """Pay an order (the contract's call), or let somebody pay an invoice of ours.

        The invoice is named by its text or its payment hash. An expired one is paid, too: a
        payment may be on its way at that moment.
        """
        if isinstance(what, PayOrder):
            return self._pay(what)
        payment_hash = decode(what, _NETWORK).payment_hash if looks_like_invoice(what) else what
        with self._changed:
            settled = self._settle(payment_hash, amount_msat, settled_at)
        return Sent(Outcome.SETTLED, 0, settled.preimage, "paid by the test")

    def repeat(self, payment_hash: str) -> None:
        """Report a settlement once more."""
        with self._changed:
            paid = self._invoices[payment_hash].paid
            if paid is None:
                raise ValueError("That invoice was not paid.")
            self._stream.append(paid)
            self._changed.notify_all()

    def hold(self, payment_hash: str) -> None:
        """Let the payer's money arrive without being ours yet; ``pay`` ends that."""
        with self._changed:
            self._invoices[payment_hash].held = True

    def cancel(self, payment_hash: str) -> None:
        """Give an open invoice up at the node."""
        with self._changed:
            self._invoices[payment_hash].cancelled = True

    def forget(self, payment_hash: str) -> None:
        """Let the node know nothing of an invoice or a payment any more."""
        with self._changed:
            self._invoices.pop(payment_hash, None)
            self._sent.pop(payment_hash, None)
            self._orders.pop(payment_hash, None)

    def fail_with(self, error: RailError | None) -> None:
        """Answer every call with an error until told otherwise; payments are UNKNOWN then."""
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def foreign_invoice(
        self, amount_msat: int | None, expires_in_s: int = 3600, memo: str = ""
    ) -> str:
        """Return an invoice of a node that nobody else knows and that can be paid."""
        wording = Wording(amount_msat or 0, memo, "", expires_in_s)
        return sign_invoice(wording, self.clock(), secrets.token_hex(32)).bolt11

    def add_invoice(self, wording: Wording) -> IssuedInvoice:
        """Make an invoice of ours that says just that."""
        now = self.clock()
        signed = sign_invoice(wording, now, self._key)
        with self._changed:
            self._invoices[signed.payment_hash] = _Invoice(
                wording.amount_msat, now + wording.expires_in_s, signed.preimage
            )
        return IssuedInvoice(signed.bolt11, signed.payment_hash)

    def plan_payment(self, outcome: Outcome, fee_msat: int = 0, detail: str = "") -> None:
        """Say what becomes of the next payment; without a plan it settles without a fee.

        PENDING hangs until ``finish``. UNKNOWN is an answer that got lost: the payment is
        under way, until ``finish``.
        """
        with self._changed:
            self._plans.append(_Plan(outcome, fee_msat, detail))

    def lose_next_answer(self) -> None:
        """Carry the next payment out, and answer UNKNOWN."""
        with self._changed:
            self._lost_answers += 1

    def order_of(self, payment_hash: str) -> PayOrder:
        """Return what was asked for in a payment of ours."""
        with self._changed:
            return self._orders[payment_hash]

    def delivered_msat(self, payment_hash: str) -> Sequence[int]:
        """Return every amount that was paid for that hash; one at most is right."""
        with self._changed:
            return tuple(self._delivered.get(payment_hash, ()))

    def finish(self, payment_hash: str, outcome: Outcome, fee_msat: int = 0) -> None:
        """End a payment that is under way."""
        with self._changed:
            self._carry_out(self._orders[payment_hash], _Plan(outcome, fee_msat, ""))

    def set_funds(
        self, spendable_msat: int, receivable_msat: int | None, held_msat: int | None = None
    ) -> None:
        """Set balance and inbound room; payments change neither.

        All of the balance can be spent unless ``held_msat`` says that there is more.
        """
        with self._changed:
            held_msat = spendable_msat if held_msat is None else held_msat
            self._funds = Funds(spendable_msat, receivable_msat, held_msat)

    # The backend.

    @property
    def name(self) -> str:
        """Return ``scripted``."""
        return BACKEND_NAME

    @property
    def abilities(self) -> Abilities:
        """Return that it can do everything, but for the two switches."""
        return Abilities(
            exact_msat=self.exact_msat,
            description_hash=self.description_hash,
            pays=True,
            fee_limit=True,
            pushes=True,
        )

    def create_invoice(self, order: InvoiceOrder) -> IssuedInvoice:
        """Make a real invoice for regtest; see ``LightningBackend.create_invoice``."""
        self._check()
        amount_msat = order.amount_msat
        if not self.exact_msat:
            amount_msat = -(-amount_msat // 1000) * 1000
        commits = self.description_hash and bool(order.description)
        description_hash = description_hash_of(order.description) if commits else ""
        return self.add_invoice(
            Wording(amount_msat, order.memo, description_hash, order.expires_in_s)
        )

    def lookup_invoice(self, payment_hash: str) -> InvoiceStatus:
        """Answer from memory; see ``LightningBackend.lookup_invoice``."""
        self._check()
        with self._changed:
            invoice = self._invoices.get(payment_hash)
            if invoice is None:
                return InvoiceStatus(Outcome.UNKNOWN, 0, 0, "")
            if invoice.paid is not None:
                paid = invoice.paid
                return InvoiceStatus(
                    Outcome.SETTLED, paid.amount_msat, paid.settled_at, paid.preimage
                )
            over = not invoice.held and self.clock() >= invoice.expires_at
            outcome = Outcome.FAILED if over or invoice.cancelled else Outcome.PENDING
            return InvoiceStatus(outcome, 0, 0, "")

    def settlements(self, cursor: str | None, wait_s: float) -> SettledPage:
        """Return what was paid after the cursor; see ``LightningBackend.settlements``."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            start = len(self._stream) if cursor is None else int(cursor)
            if cursor is not None:
                self._changed.wait_for(
                    lambda: self._failure is not None or len(self._stream) > start,
                    max(0.0, deadline - time.monotonic()),
                )
            self._check()
            return SettledPage(tuple(self._stream[start:]), str(len(self._stream)))

    def lookup_payment(self, payment_hash: str) -> Sent:
        """Answer from memory; see ``LightningBackend.lookup_payment``."""
        with self._changed:
            if self._failure is not None:
                return Sent(Outcome.UNKNOWN, 0, "", self._failure.detail)
            return self._sent.get(
                payment_hash,
                Sent(Outcome.UNKNOWN, 0, "", "The node has no such payment.", missing=True),
            )

    def funds(self) -> Funds:
        """Return what ``set_funds`` said, 1 BTC each without it."""
        self._check()
        return self._funds

    def check(self, network: str) -> str:
        """Return a line for the doctor."""
        self._check()
        if network != _NETWORK:
            raise LightningWrongNetwork(network_words(_NETWORK, network))
        return "A scripted node for tests; no money moves."

    def close(self) -> None:
        """Do nothing: there is nothing to end."""

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _settle(self, payment_hash: str, amount_msat: int | None, at: int | None) -> Settled:
        invoice = self._invoices[payment_hash]
        if invoice.paid is not None:
            raise ValueError("A node takes the money of an invoice once.")
        invoice.paid = Settled(
            payment_hash,
            invoice.amount_msat if amount_msat is None else amount_msat,
            self.clock() if at is None else at,
            invoice.preimage,
        )
        self._stream.append(invoice.paid)
        self._changed.notify_all()
        return invoice.paid

    def _pay(self, order: PayOrder) -> Sent:
        with self._changed:
            if self._failure is not None:
                return Sent(Outcome.UNKNOWN, 0, "", self._failure.detail)
            known = self._sent.get(order.payment_hash)
            if known is not None and known.outcome is not Outcome.FAILED:
                return known
            plan = self._plans.pop(0) if self._plans else _Plan(Outcome.SETTLED, 0, "")
            self._orders[order.payment_hash] = order
            sent = self._carry_out(order, plan)
            if self._lost_answers:
                self._lost_answers -= 1
                return Sent(Outcome.UNKNOWN, 0, "", "The answer got lost.")
            return sent

    def _carry_out(self, order: PayOrder, plan: _Plan) -> Sent:
        """Do what the plan says, keep it for later questions, and return the answer."""
        sent = self._result(order, plan)
        under_way = sent.outcome in (Outcome.PENDING, Outcome.UNKNOWN)
        self._sent[order.payment_hash] = (
            replace(sent, outcome=Outcome.PENDING) if under_way else sent
        )
        if sent.outcome is Outcome.SETTLED:
            self._delivered.setdefault(order.payment_hash, []).append(order.amount_msat)
            own = self._invoices.get(order.payment_hash)
            if own is not None and own.paid is None:
                self._settle(order.payment_hash, order.amount_msat, None)
        return sent

    def _result(self, order: PayOrder, plan: _Plan) -> Sent:
        """Return what a plan makes of an order: a fee above the limit, or no money, fails."""
        if plan.outcome is not Outcome.SETTLED:
            return Sent(plan.outcome, 0, "", plan.detail or f"The test says {plan.outcome}.")
        if plan.fee_msat > order.max_fee_msat:
            return Sent(Outcome.FAILED, 0, "", "No route within the fee limit.")
        if order.amount_msat + plan.fee_msat > self._funds.spendable_msat:
            return Sent(Outcome.FAILED, 0, "", "Too little money in the channels.")
        preimage = scripted_preimage(order.bolt11)
        if not preimage_fits(preimage, order.payment_hash):
            return Sent(Outcome.FAILED, 0, "", "There is no route to that node.")
        own = self._invoices.get(order.payment_hash)
        if own is not None and own.paid is not None:
            return Sent(Outcome.FAILED, 0, "", "The invoice is already paid.")
        return Sent(Outcome.SETTLED, plan.fee_msat, preimage, plan.detail)
