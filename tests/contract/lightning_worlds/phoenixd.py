"""A recorded phoenixd."""

import base64
from collections.abc import Callable
from typing import Any

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import PayOrder
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.invoice_making import Wording
from tests.contract.lightning_worlds.base import NETWORK, Fault
from tests.contract.lightning_worlds.recorded import Answer, Call, Kept, RecordedNode
from tests.contract.lightning_worlds.recorded_world import RecordedWorld

_TAKES_THE_FULL_PASSWORD = ("/payinvoice",)


class RecordedPhoenixd(RecordedNode):
    """Answers as phoenixd does."""

    backend = "phoenixd"
    tls = False
    pay_path = "/payinvoice"
    invoice_secret = "limited-4f1c2d3e"
    payout_secret = "full-9a8b7c6d"
    narrow_secret = "phoenixd-has-no-third-password"
    unknown_secret = "password-of-another-node"

    def answer(self, call: Call) -> Answer:
        if not self._may(call):
            return self.recording("passwords").answer("unknown")
        match call.method, call.path.split("/")[1:]:
            case "GET", ["payments", "incoming", payment_hash]:
                return self._incoming(payment_hash)
            case "GET", ["payments", "outgoingbyhash", payment_hash]:
                return self._outgoing(payment_hash)
        funds = self.node.funds()
        fixed: dict[str, Callable[[], Answer]] = {
            "/createinvoice": lambda: self._create(call.form()),
            "/payments/incoming": lambda: self._list(call.query),
            "/payinvoice": lambda: self._pay(call.form()),
            "/getbalance": lambda: self.recording("getbalance").answer(
                "ok", balance_sat=funds.spendable_msat // 1000
            ),
            "/getinfo": lambda: self.recording("getinfo").answer(
                "ok",
                network=NETWORK,
                balance_sat=funds.spendable_msat // 1000,
                inbound_sat=(funds.receivable_msat or 0) // 1000,
                capacity_sat=(funds.spendable_msat + (funds.receivable_msat or 0)) // 1000,
            ),
        }
        return fixed[call.path]()

    def _may(self, call: Call) -> bool:
        encoded = call.headers.get("Authorization", "").removeprefix("Basic ")
        password = base64.b64decode(encoded).decode().removeprefix(":")
        if call.path in _TAKES_THE_FULL_PASSWORD:
            return password == self.payout_secret
        return password in (self.invoice_secret, self.payout_secret)

    def _create(self, form: dict[str, str]) -> Answer:
        recording = self.recording("createinvoice")
        if ("description" in form) == ("descriptionHash" in form):
            return recording.answer("no_description")
        wording = Wording(
            int(form["amountSat"]) * 1000,
            form.get("description", ""),
            form.get("descriptionHash", ""),
            int(form["expirySeconds"]),
        )
        kept = self.add_invoice(wording, form["externalId"])
        return recording.answer(
            "ok",
            amount_sat=wording.amount_msat // 1000,
            payment_hash=kept.payment_hash,
            bolt11=kept.bolt11,
        )

    def _entry(self, kept: Kept) -> Any:
        status = self.node.lookup_invoice(kept.payment_hash)
        is_paid = status.outcome is Outcome.SETTLED
        # Some of what arrives is taken for room in the channel.
        fees_msat = 1_000 if is_paid else 0
        return (
            self.recording("incoming")
            .answer(
                "paid" if is_paid else "open",
                payment_hash=kept.payment_hash,
                preimage=status.preimage or "00" * 32,
                external_id=kept.label,
                description=kept.wording.memo,
                bolt11=kept.bolt11,
                is_paid=is_paid,
                is_expired=status.outcome is Outcome.FAILED,
                requested_sat=kept.wording.amount_msat // 1000,
                received_sat=(status.amount_msat - fees_msat) // 1000,
                fees_msat=fees_msat,
                expires_ms=(kept.created_at + kept.wording.expires_in_s) * 1000,
                created_ms=kept.created_at * 1000,
                completed_ms=status.settled_at * 1000,
            )
            .body
        )

    def _incoming(self, payment_hash: str) -> Answer:
        kept = self.invoices.get(payment_hash)
        if kept is None:
            return self.recording("incoming").answer("missing")
        return Answer(200, self._entry(kept))

    def _list(self, query: Any) -> Answer:
        """Newest first, and something that came on-chain among them."""
        recording = self.recording("incoming-list")
        entries = [self._entry(self.invoices[one.payment_hash]) for one in self.settled()]
        entries += [recording.answer("onchain", completed_ms=self.clock() * 1000).body]
        entries.sort(key=lambda entry: int(entry["completedAt"]), reverse=True)
        chosen = [entry for entry in entries if entry["completedAt"] >= int(query["from"])]
        offset = int(query["offset"])
        return recording.answer("ok", payments=chosen[offset : offset + int(query["limit"])])

    def _pay(self, form: dict[str, str]) -> Answer:
        recording = self.recording("payinvoice")
        if "invoice" not in form:
            return recording.answer("no_invoice")
        decoded = decode(form["invoice"], NETWORK)
        amount_msat = decoded.amount_msat or int(form["amountSat"]) * 1000
        sent = self.pay(
            PayOrder(decoded.bolt11, decoded.payment_hash, amount_msat, 10**12, wait_s=1.0)
        )
        if sent.outcome is Outcome.PENDING:
            sent = self.wait_for_end(decoded.payment_hash) or sent
        if sent.outcome is not Outcome.SETTLED:
            reason = "no route to the recipient"
            return recording.answer("failed", payment_hash=decoded.payment_hash, reason=reason)
        return recording.answer(
            "ok",
            amount_sat=amount_msat // 1000,
            fee_sat=sent.fee_msat // 1000,
            payment_hash=decoded.payment_hash,
            preimage=sent.preimage,
        )

    def _outgoing(self, payment_hash: str) -> Answer:
        recording = self.recording("outgoing")
        sent = self.lookup_payment(payment_hash)
        if sent is None:
            return recording.answer("missing")
        order = self.node.order_of(payment_hash)
        name = {Outcome.SETTLED: "paid", Outcome.PENDING: "under_way"}.get(sent.outcome, "failed")
        return recording.answer(
            name,
            payment_hash=payment_hash,
            is_paid=sent.outcome is Outcome.SETTLED,
            amount_sat=order.amount_msat // 1000,
            fees_msat=sent.fee_msat,
            bolt11=order.bolt11,
            created_ms=self.clock() * 1000,
            preimage=sent.preimage,
        )


class PhoenixdWorld(RecordedWorld):
    """phoenixd, recorded. It has two passwords, and leaves TLS to others."""

    faults = frozenset(Fault) - {Fault.NARROW_SECRET, Fault.WRONG_CERTIFICATE, Fault.KEPT_BACK}
    node_class = RecordedPhoenixd
