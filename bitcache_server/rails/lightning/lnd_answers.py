"""What LND answers over REST, read: protobuf's JSON form, with bytes in base64."""

import base64
import re
from collections.abc import Iterable
from typing import Any

from bitcache_server.domain.errors import (
    ConfigurationError,
    LightningPermission,
    LightningRejected,
    LightningUnauthorized,
    LightningUnreachable,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.answers import failed, settled, under_way
from bitcache_server.rails.lightning.backend import Sent, Settled
from bitcache_server.rails.lightning.rest import (
    MissingAnswer,
    Refusal,
    judge_by_status,
    no_json,
    said,
    well_formed,
)

#: https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
_GRPC_NOT_FOUND = 5
_GRPC_UNAVAILABLE = 14
#: Cancelled, deadline exceeded: the call was cut short, and what it began may go on.
_GRPC_CUT_SHORT = (1, 4)
#: What LND says with the code "unknown", by version.
_MISSING = ("unable to locate invoice", "there are no existing invoices", "isn't initiated")
#: What the REST proxy says, with the code "not found", of an address that it does not serve.
_NO_SUCH_CALL = "not found"
_NOT_READY = ("wallet locked", "wallet not created", "in the process of starting up")
#: PaymentFailureReason of lnrpc/lightning.proto, in words.
_REASONS = {
    "TIMEOUT": "No route worked in time.",
    "NO_ROUTE": "There is no route within the fee limit.",
    "ERROR": "The node gave up.",
    "INCORRECT_PAYMENT_DETAILS": "The payee does not accept the payment.",
    "INSUFFICIENT_BALANCE": "Too little money in the channels.",
    "CANCELED": "The payment was cancelled.",
}
INVOICE_OUTCOMES = {
    "OPEN": Outcome.PENDING,
    "ACCEPTED": Outcome.PENDING,
    "SETTLED": Outcome.SETTLED,
    "CANCELED": Outcome.FAILED,
}


def judge(status: int, body: Any) -> RailError:
    """Return the error for what LND answers: gRPC code and message, whatever the status.

    Most errors have the code 2 (unknown), so the words tell.
    """
    error = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(error, dict) or "message" not in error:
        found = judge_by_status(status, body)
        # Whoever stands in front of the node cannot say what it does not have.
        return no_json() if isinstance(found, MissingAnswer) else found
    message, code = str(error["message"]).lower(), error.get("code")
    if "permission denied" in message:
        return LightningPermission("The macaroon does not have the permission for this.")
    if "macaroon" in message or "verification failed" in message:
        return LightningUnauthorized("The node does not know the macaroon.")
    if code == _GRPC_UNAVAILABLE or any(words in message for words in _NOT_READY):
        return LightningUnreachable("The node is locked or still starting.")
    if message == _NO_SUCH_CALL or code in _GRPC_CUT_SHORT:
        return LightningRejected(said(body))
    if code == _GRPC_NOT_FOUND or any(words in message for words in _MISSING):
        return MissingAnswer(said(body))
    return Refusal(said(body))


def result_of(line: Any) -> Any:
    """Return what a line of a stream carries; raise the error that it may carry instead."""
    with well_formed():
        if "error" in line:
            raise judge(500, line)
        return line["result"]


def settled_of(invoices: Iterable[Any]) -> list[tuple[int, Settled]]:
    """Return those that are settled, each with its settle index."""
    with well_formed():
        return [
            (int(invoice["settle_index"]), settled_invoice(invoice))
            for invoice in invoices
            if invoice["state"] == "SETTLED"
        ]


def settled_invoice(invoice: Any) -> Settled:
    """Return the settlement that an invoice (lnrpc.Invoice) tells of."""
    return Settled(
        payment_hash=hex_of(invoice["r_hash"]),
        amount_msat=int(invoice["amt_paid_msat"]),
        settled_at=int(invoice["settle_date"]),
        preimage=hex_of(invoice["r_preimage"]),
    )


def sent_of(payment: Any, payment_hash: str) -> Sent:
    """Return what a payment (lnrpc.Payment) tells; every other state is under way."""
    with well_formed():
        match payment["status"]:
            case "SUCCEEDED":
                fee_msat = int(payment["fee_msat"])
                return settled(payment_hash, str(payment["payment_preimage"]), fee_msat)
            case "FAILED":
                reason = str(payment["failure_reason"]).removeprefix("FAILURE_REASON_")
                return failed(_REASONS.get(reason, f"The payment failed ({reason:.40})."))
            case _:
                return under_way()


def receivable_sat(channel: Any) -> int:
    """Return what the other side can still send: its balance less what it must keep (BOLT 2)."""
    reserve_sat = int(channel["remote_constraints"]["chan_reserve_sat"])
    return max(0, int(channel["remote_balance"]) - reserve_sat)


def kept_for_fees_sat(channel: Any) -> int:
    """Return what of ours the fee of the closing transaction keeps back.

    Whoever opened the channel bears it (BOLT 3). It moves with the fee rate, and so does the
    balance that LND tells, which is without it.
    """
    return int(channel["commit_fee"]) if channel["initiator"] else 0


def limbo_sat(answer: Any) -> int:
    """Return what of ours is still locked in channels that are being closed.

    Those whose closing transaction waits for its first block, and those closed by one side,
    until the delay of the protocol is over (BOLT 5). What came out of them already
    (``recovered_balance``) is in the on-chain wallet and no longer in a channel.
    """
    with well_formed():
        waiting = answer["waiting_close_channels"]
        forced = answer["pending_force_closing_channels"]
        return sum(int(channel["limbo_balance"]) for channel in (*waiting, *forced))


def macaroon_header(secret: str, setting: str) -> dict[str, str]:
    """Return the header; raise ConfigurationError, without the secret, if it is no macaroon."""
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", secret):
        raise ConfigurationError(
            f"{setting} must be a macaroon in hex: xxd -ps -u -c 10000 NAME.macaroon"
        )
    return {"Grpc-Metadata-macaroon": secret}


def base64_of(digits: str, *, urlsafe: bool = False) -> str:
    """Return hexadecimal digits as LND wants bytes in JSON, or in a path."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return encode(bytes.fromhex(digits)).decode()


def hex_of(text: str) -> str:
    """Return bytes that LND gave as hexadecimal digits."""
    return base64.b64decode(text, validate=True).hex()
