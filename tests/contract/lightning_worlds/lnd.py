"""A recorded LND."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import PayOrder, Sent
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.invoice_making import Wording
from tests.contract.lightning_worlds.base import NETWORK
from tests.contract.lightning_worlds.recorded import Answer, Call, Kept, RecordedNode
from tests.contract.lightning_worlds.recorded_world import RecordedWorld

_STATUS = {Outcome.SETTLED: "SUCCEEDED", Outcome.FAILED: "FAILED", Outcome.PENDING: "IN_FLIGHT"}
_RESERVE_SAT = 10_000


class RecordedLnd(RecordedNode):
    """Answers as LND's REST gateway does."""

    backend = "lnd"
    pay_path = "/v2/router/send"
    invoice_secret = "0201036c6e64" + "a1" * 40
    payout_secret = "0201036c6e64" + "b2" * 40
    narrow_secret = "0201036c6e64" + "c3" * 40
    unknown_secret = "0201036c6e64" + "d4" * 40

    def answer(self, call: Call) -> Answer:
        refusal = self._refusal(call)
        if refusal is not None:
            return refusal
        match call.method, call.path.split("/")[1:]:
            case "GET", ["v1", "invoices", "subscribe"]:
                return Answer(200, lines=self._subscribe(int(call.query["settle_index"])))
            case "GET", ["v1", "invoice", payment_hash]:
                return self._lookup(payment_hash)
            case "GET", ["v2", "router", "track", encoded]:
                return self._track(base64.urlsafe_b64decode(encoded).hex())
        fixed: dict[tuple[str, str], Callable[[], Answer]] = {
            ("POST", "/v1/invoices"): lambda: self._add(call.json()),
            ("GET", "/v1/invoices"): lambda: self._list(call.query),
            ("POST", "/v2/router/send"): lambda: self._send(call.json()),
            ("GET", "/v1/channels"): self._channels,
            ("GET", "/v1/channels/pending"): self._pending_channels,
            ("GET", "/v1/balance/channels"): self._balance,
            ("GET", "/v1/getinfo"): lambda: self.recording("get-info").answer(
                "ok", network=NETWORK
            ),
        }
        return fixed[call.method, call.path]()

    def _refusal(self, call: Call) -> Answer | None:
        macaroons = self.recording("macaroons")
        given = call.headers.get("Grpc-Metadata-macaroon", "")
        router = call.path.startswith("/v2/router")
        if not given:
            return macaroons.answer("none")
        if given not in (self.invoice_secret, self.payout_secret, self.narrow_secret):
            return macaroons.answer("unknown")
        allowed = self.payout_secret if router else self.invoice_secret
        return None if given == allowed else macaroons.answer("denied")

    def _add(self, body: Any) -> Answer:
        recording = self.recording("add-invoice")
        if int(body["value_msat"]) < 0:
            return recording.answer("negative")
        given_hash = base64.b64decode(body.get("description_hash", "")).hex()
        wording = Wording(int(body["value_msat"]), body["memo"], given_hash, int(body["expiry"]))
        kept = self.add_invoice(wording)
        return recording.answer(
            "ok",
            hash_base64=_base64(kept.payment_hash),
            bolt11=kept.bolt11,
            add_index=str(kept.index),
            payment_addr_base64=_base64("33" * 32),
        )

    def _values(self, kept: Kept) -> dict[str, Any]:
        status = self.node.lookup_invoice(kept.payment_hash)
        hashes = [one.payment_hash for one in self.settled()]
        state = {Outcome.SETTLED: "SETTLED", Outcome.FAILED: "CANCELED"}.get(status.outcome, "OPEN")
        settle_index = hashes.index(kept.payment_hash) + 1 if state == "SETTLED" else 0
        return {
            "memo": kept.wording.memo,
            "preimage_base64": _base64(status.preimage),
            "hash_base64": _base64(kept.payment_hash),
            "value": str(kept.wording.amount_msat // 1000),
            "value_msat": str(kept.wording.amount_msat),
            "settled": state == "SETTLED",
            "created_at": str(kept.created_at),
            "settled_at": str(status.settled_at),
            "bolt11": kept.bolt11,
            "description_hash_base64": _base64(kept.wording.description_hash),
            "expiry": str(kept.wording.expires_in_s),
            "add_index": str(kept.index),
            "settle_index": str(settle_index),
            "paid_msat": str(status.amount_msat),
            "paid_sat": str(status.amount_msat // 1000),
            "state": state,
        }

    def _lookup(self, payment_hash: str) -> Answer:
        recording = self.recording("lookup-invoice")
        kept = self.invoices.get(payment_hash)
        if kept is None:
            return recording.answer("missing")
        return recording.answer("ok", **self._values(kept))

    def _list(self, query: Any) -> Answer:
        offset, count = int(query["index_offset"]), int(query["num_max_invoices"])
        chosen = [kept for kept in self.invoices.values() if kept.index > offset][:count]
        template = self.recording("lookup-invoice")
        return self.recording("list-invoices").answer(
            "ok",
            invoices=[template.answer("ok", **self._values(kept)).body for kept in chosen],
            first=str(chosen[0].index if chosen else 0),
            last=str(chosen[-1].index if chosen else 0),
        )

    def _subscribe(self, settle_index: int) -> Iterator[Any]:
        """As LND does: 0 is no index, and then nothing that was settled before comes."""
        recording = self.recording("subscribe-invoices")
        reported = settle_index or len(self.settled())
        added = len(self.invoices)
        while not self._stopped.is_set():
            for kept in list(self.invoices.values())[added:]:
                added += 1
                yield recording.answer("line", **self._values(kept)).body
            page = self.node.settlements(str(reported), 0.02)
            for one in page.settled:
                reported += 1
                yield recording.answer("line", **self._values(self.invoices[one.payment_hash])).body

    def _send(self, body: Any) -> Answer:
        recording = self.recording("send-payment-v2")
        invoice = body["payment_request"]
        if not invoice.startswith("lnbcrt1") and not invoice.startswith("lnbcrt2"):
            return recording.answer("undecodable")
        decoded = decode(invoice, NETWORK)
        known = self.lookup_payment(decoded.payment_hash)
        if known is not None and known.outcome is not Outcome.FAILED:
            settled = known.outcome is Outcome.SETTLED
            return recording.answer("already_paid" if settled else "in_transition")
        amount_msat = int(body["amt_msat"]) if "amt_msat" in body else decoded.amount_msat or 0
        order = PayOrder(
            invoice, decoded.payment_hash, amount_msat, int(body["fee_limit_msat"]), 1.0
        )
        sent = self.pay(order)
        return Answer(200, lines=self._until_its_end(order, sent))

    def _until_its_end(self, order: PayOrder, sent: Sent | None) -> Iterator[Any]:
        if sent is not None and sent.outcome is Outcome.PENDING:
            sent = self.wait_for_end(order.payment_hash)
        if sent is not None:
            yield self._line("send-payment-v2", order, sent)

    def _line(self, call: str, order: PayOrder, sent: Sent) -> Any:
        done = sent.outcome is Outcome.SETTLED
        reason = "FAILURE_REASON_NO_ROUTE" if sent.outcome is Outcome.FAILED else None
        return (
            self.recording(call)
            .answer(
                "line",
                payment_hash=order.payment_hash,
                value_sat=str(order.amount_msat // 1000),
                value_msat=str(order.amount_msat),
                created_at=str(self.clock()),
                created_ns=str(self.clock() * 10**9),
                fee_sat=str(sent.fee_msat // 1000),
                fee_msat=str(sent.fee_msat),
                preimage=sent.preimage if done else "00" * 32,
                bolt11=order.bolt11,
                status=_STATUS[sent.outcome],
                failure_reason=reason or "FAILURE_REASON_NONE",
            )
            .body
        )

    def _track(self, payment_hash: str) -> Answer:
        sent = self.lookup_payment(payment_hash)
        if sent is None:
            return self.recording("track-payment-v2").answer("missing")
        order = self.node.order_of(payment_hash)
        return Answer(200, lines=iter([self._line("track-payment-v2", order, sent)]))

    def _channels(self) -> Answer:
        funds = self.node.funds()
        local_sat = funds.spendable_msat // 1000
        remote_sat = (funds.receivable_msat or 0) // 1000 + _RESERVE_SAT
        return self.recording("list-channels").answer(
            "ok",
            capacity_sat=str(local_sat + remote_sat),
            local_sat=str(local_sat),
            remote_sat=str(remote_sat),
            reserve_sat=str(_RESERVE_SAT),
        )

    def _kept_back_sat(self) -> tuple[int, int, int]:
        """Return what stands in channels that open, that wait for their end, that were forced."""
        funds = self.node.funds()
        kept_sat = (funds.held_msat - funds.spendable_msat) // 1000
        return kept_sat - kept_sat // 2, kept_sat // 2 - kept_sat // 5, kept_sat // 5

    def _pending_channels(self) -> Answer:
        opening_sat, waiting_sat, forced_sat = self._kept_back_sat()
        return self.recording("pending-channels").answer(
            "ok",
            limbo_sat=str(waiting_sat + forced_sat),
            opening_sat=str(opening_sat),
            waiting_sat=str(waiting_sat),
            forced_sat=str(forced_sat),
        )

    def _balance(self) -> Answer:
        funds = self.node.funds()
        receivable_msat = funds.receivable_msat or 0
        opening_sat, _, _ = self._kept_back_sat()
        return self.recording("channel-balance").answer(
            "ok",
            local_sat=str(funds.spendable_msat // 1000),
            local_msat=str(funds.spendable_msat),
            remote_sat=str(receivable_msat // 1000),
            remote_msat=str(receivable_msat),
            opening_sat=str(opening_sat),
            opening_msat=str(opening_sat * 1000),
        )


class LndWorld(RecordedWorld):
    """LND, recorded."""

    node_class = RecordedLnd


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()
