"""A recorded Core Lightning with its REST plugin."""

import time
from typing import Any

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import PayOrder
from bitcache_server.rails.lightning.decoding import decode, description_hash_of
from bitcache_server.rails.lightning.invoice_making import Wording
from tests.contract.lightning_worlds.base import NETWORK
from tests.contract.lightning_worlds.recorded import Answer, Call, Kept, RecordedNode
from tests.contract.lightning_worlds.recorded_world import RecordedWorld

_PAYOUT_METHODS = ("xpay", "listpays")


class RecordedCln(RecordedNode):
    """Answers as clnrest does."""

    backend = "cln"
    pay_path = "/v1/xpay"
    invoice_secret = "aW52b2ljZXMgYW5kIG5vdGhpbmcgZWxzZSwgcmVhbGx5PTEmbWV0aG9kPWludm9pY2U="
    payout_secret = "cGF5bWVudHMgYW5kIG5vdGhpbmcgZWxzZSwgcmVhbGx5PTImbWV0aG9kPXhwYXk="
    narrow_secret = "bm90aGluZyB0aGF0IGlzIG5lZWRlZCBoZXJlLCByZWFsbHk9MyZtZXRob2Q9aGVscA=="
    unknown_secret = "YSBydW5lIG9mIGFub3RoZXIgbm9kZSwgd2hpY2ggaXMgb2Ygbm8gdXNlIGhlcmU9PQ=="

    def answer(self, call: Call) -> Answer:
        method = call.path.removeprefix("/v1/")
        refusal = self._refusal(call, method)
        if refusal is not None:
            return refusal
        parameters = call.json()
        if "doctor" in parameters:
            known = method if method in ("invoice", "xpay") else "invoice"
            return self.recording(known).answer("parameters")
        match method:
            case "invoice":
                return self._invoice(parameters)
            case "listinvoices":
                return self._list_invoices(parameters.get("payment_hash"))
            case "waitanyinvoice":
                return self._wait(parameters["lastpay_index"], parameters["timeout"])
            case "xpay":
                return self._xpay(parameters)
            case "listpays":
                return self._list_pays(parameters["payment_hash"])
            case "listpeerchannels":
                return self._channels()
        return self.recording("getinfo").answer("ok", network=NETWORK)

    def _refusal(self, call: Call, method: str) -> Answer | None:
        runes = self.recording("runes")
        given = call.headers.get("Rune", "")
        if not given:
            return runes.answer("none")
        if given not in (self.invoice_secret, self.payout_secret, self.narrow_secret):
            return runes.answer("unknown")
        allowed = self.payout_secret if method in _PAYOUT_METHODS else self.invoice_secret
        return None if given == allowed else runes.answer("denied")

    def _invoice(self, parameters: Any) -> Answer:
        recording = self.recording("invoice")
        if any(kept.label == parameters["label"] for kept in self.invoices.values()):
            return recording.answer("label_taken")
        description = parameters["description"]
        hashed = description_hash_of(description) if parameters["deschashonly"] else ""
        wording = Wording(parameters["amount_msat"], description, hashed, parameters["expiry"])
        kept = self.add_invoice(wording, parameters["label"])
        return recording.answer(
            "ok",
            payment_hash=kept.payment_hash,
            expires_at=kept.created_at + wording.expires_in_s,
            bolt11=kept.bolt11,
            payment_secret="33" * 32,
            created_index=kept.index,
        )

    def _entry(self, kept: Kept) -> Any:
        status = self.node.lookup_invoice(kept.payment_hash)
        values: dict[str, Any] = {
            "label": kept.label,
            "bolt11": kept.bolt11,
            "payment_hash": kept.payment_hash,
            "amount_msat": kept.wording.amount_msat,
            "description": kept.wording.memo,
            "expires_at": kept.created_at + kept.wording.expires_in_s,
            "created_index": kept.index,
        }
        recording = self.recording("listinvoices")
        if status.outcome is not Outcome.SETTLED:
            words = "expired" if status.outcome is Outcome.FAILED else "unpaid"
            return recording.answer("unpaid", status=words, **values).body
        hashes = [one.payment_hash for one in self.settled()]
        return recording.answer(
            "paid",
            status="paid",
            pay_index=hashes.index(kept.payment_hash) + 1,
            received_msat=status.amount_msat,
            paid_at=status.settled_at,
            preimage=status.preimage,
            **values,
        ).body

    def _list_invoices(self, payment_hash: str | None) -> Answer:
        chosen = [
            kept
            for kept in self.invoices.values()
            if payment_hash is None or kept.payment_hash == payment_hash
        ]
        entries = [self._entry(kept) for kept in chosen]
        return self.recording("listinvoices").answer("ok", invoices=entries)

    def _wait(self, index: int, timeout_s: int) -> Answer:
        """Wait in short steps, so that the end of the server ends the wait, too."""
        for _ in range(timeout_s * 50 + 1):
            page = self.node.settlements(str(index), 0.02 if timeout_s else 0)
            if page.settled:
                kept = self.invoices[page.settled[0].payment_hash]
                return Answer(201, self._entry(kept))
            if self._stopped.is_set():
                break
        return self.recording("waitanyinvoice").answer("timeout")

    def _xpay(self, parameters: Any) -> Answer:
        recording = self.recording("xpay")
        decoded = decode(parameters["invstring"], NETWORK)
        if (decoded.amount_msat is None) != ("amount_msat" in parameters):
            return recording.answer("parameters")
        known = self.lookup_payment(decoded.payment_hash)
        if known is not None and known.outcome is not Outcome.FAILED:
            settled = known.outcome is Outcome.SETTLED
            return recording.answer("already_paid" if settled else "in_progress")
        amount_msat = decoded.amount_msat or parameters["amount_msat"]
        order = PayOrder(
            decoded.bolt11, decoded.payment_hash, amount_msat, parameters["maxfee"], 1.0
        )
        sent = self.pay(order)
        if sent.outcome is Outcome.PENDING:
            found = self.wait_for_end(order.payment_hash)
            if found is None:
                return recording.answer("in_progress")
            sent = found
        if sent.outcome is Outcome.FAILED:
            return recording.answer("too_dear" if "fee" in sent.detail else "no_route")
        return recording.answer(
            "ok",
            preimage=sent.preimage,
            amount_msat=amount_msat,
            sent_msat=amount_msat + sent.fee_msat,
        )

    def _list_pays(self, payment_hash: str) -> Answer:
        recording = self.recording("listpays")
        sent = self.lookup_payment(payment_hash)
        if sent is None:
            return recording.answer("ok", pays=[])
        order = self.node.order_of(payment_hash)
        status = {Outcome.SETTLED: "complete", Outcome.PENDING: "pending"}.get(
            sent.outcome, "failed"
        )
        entry = recording.answer(
            status,
            bolt11=order.bolt11,
            payment_hash=payment_hash,
            status=status,
            # Long enough ago that no attempt can follow.
            created_at=int(time.time()) - 3_600,
            preimage=sent.preimage,
            amount_msat=order.amount_msat,
            sent_msat=order.amount_msat + sent.fee_msat,
        ).body
        return recording.answer("ok", pays=[entry])

    def _channels(self) -> Answer:
        funds = self.node.funds()
        receivable_msat = funds.receivable_msat or 0
        return self.recording("listpeerchannels").answer(
            "ok",
            total_msat=funds.spendable_msat + receivable_msat,
            to_us_msat=funds.spendable_msat,
            spendable_msat=funds.spendable_msat,
            receivable_msat=receivable_msat,
            opening_msat=funds.held_msat - funds.spendable_msat,
        )


class ClnWorld(RecordedWorld):
    """Core Lightning, recorded."""

    node_class = RecordedCln
