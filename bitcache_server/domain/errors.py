"""Every error that leaves the server, each with a stable string code.

A code is API: it never changes its meaning and is never used twice. The HTTP
status of a code stands in ``http/errors.py``; the domain does not know HTTP.
"""

from typing import ClassVar


class BitcacheError(Exception):
    """An error with a stable ``code``, a ``title`` and a sentence for a person.

    ``detail`` says what was wrong with this very request and, where it helps,
    what to do. It is shown to callers: it never carries a secret.
    """

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title


class InvalidRequest(BitcacheError):
    code = "invalid_request"
    title = "The request is not valid"


class MalformedJson(BitcacheError):
    code = "malformed_json"
    title = "The body is not valid JSON"


class PayloadTooLarge(BitcacheError):
    code = "payload_too_large"
    title = "The body is too large"


class UnsupportedMediaType(BitcacheError):
    code = "unsupported_media_type"
    title = "Send application/json"


class NotFound(BitcacheError):
    code = "not_found"
    title = "There is nothing at this address"


class MethodNotAllowed(BitcacheError):
    code = "method_not_allowed"
    title = "This address does not answer that method"


class RateLimited(BitcacheError):
    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, detail: str = "", retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class UnknownItem(BitcacheError):
    code = "unknown_item"
    title = "There is no such item"


class UnknownSite(BitcacheError):
    code = "unknown_site"
    title = "There is no such site"


class UnknownMerchant(BitcacheError):
    code = "unknown_merchant"
    title = "There is no such merchant"


class UnknownInvoice(BitcacheError):
    code = "unknown_invoice"
    title = "There is no such invoice"


class MissingSecret(BitcacheError):
    code = "missing_secret"
    title = "This call needs the site's secret"


class BadSecret(BitcacheError):
    code = "bad_secret"
    title = "The site's secret is wrong"


class OriginNotAllowed(BitcacheError):
    code = "origin_not_allowed"
    title = "This page may not sell this item"


class InvalidOrigin(BitcacheError):
    code = "invalid_origin"
    title = "That is not an origin"


class InvalidPrice(BitcacheError):
    code = "invalid_price"
    title = "The price is not valid"


class UnknownCurrency(BitcacheError):
    code = "unknown_currency"
    title = "The currency is not known"


class RateUnavailable(BitcacheError):
    code = "rate_unavailable"
    title = "No exchange rate is known yet"


class AmountBelowFloor(BitcacheError):
    code = "amount_below_floor"
    title = "The price is too small for the ways to pay that are on offer"


class RailUnavailable(BitcacheError):
    code = "rail_unavailable"
    title = "This way to pay is not available now"


class AddressesExhausted(BitcacheError):
    code = "addresses_exhausted"
    title = "All on-chain addresses are in use"


class IdempotencyConflict(BitcacheError):
    code = "idempotency_conflict"
    title = "This idempotency key was used with another request"


class VerifierMismatch(BitcacheError):
    code = "verifier_mismatch"
    title = "The verifier does not belong to this invoice"


class InvoiceNotPaid(BitcacheError):
    code = "invoice_not_paid"
    title = "The invoice is not paid"


class InvoiceClosed(BitcacheError):
    code = "invoice_closed"
    title = "The invoice takes no more payments"


class NoCredit(BitcacheError):
    code = "no_credit"
    title = "The invoice has not enough credit"


class GrantMissing(BitcacheError):
    code = "grant_missing"
    title = "This content needs a grant"


class GrantInvalid(BitcacheError):
    code = "grant_invalid"
    title = "The grant is not valid here"


class GrantExpired(BitcacheError):
    code = "grant_expired"
    title = "The grant has expired"


class GrantRevoked(BitcacheError):
    code = "grant_revoked"
    title = "The grant was revoked"


class LinkInvalid(BitcacheError):
    code = "link_invalid"
    title = "The download link is not valid"


class LinkExpired(BitcacheError):
    code = "link_expired"
    title = "The download link has expired"


class WrongKind(BitcacheError):
    code = "wrong_kind"
    title = "The item is of another kind"


class FileMissing(BitcacheError):
    code = "file_missing"
    title = "The file is not there"


class FilePathRefused(BitcacheError):
    code = "file_path_refused"
    title = "The path leaves the folder"


class DescriptorInvalid(BitcacheError):
    code = "descriptor_invalid"
    title = "The descriptor or extended public key is not valid"


class PrivateKeyRefused(BitcacheError):
    code = "private_key_refused"
    title = "That is a private key; give the public one"


class InsufficientBalance(BitcacheError):
    code = "insufficient_balance"
    title = "The balance is too small"


class StorageBusy(BitcacheError):
    code = "storage_busy"
    title = "The database is busy"


class StorageFull(BitcacheError):
    code = "storage_full"
    title = "The database cannot be written"


class StorageUnavailable(BitcacheError):
    code = "storage_unavailable"
    title = "The database does not answer"


class ConfigurationError(BitcacheError):
    code = "configuration_error"
    title = "A setting is missing or wrong"


class RailError(BitcacheError):
    """A rail could not do its work; money keeps its state until it can."""

    code = "rail_error"
    title = "The payment network gave an error"


class NodeUnreachable(RailError):
    code = "node_unreachable"
    title = "The Bitcoin node does not answer"


class NodeUnauthorized(RailError):
    code = "node_unauthorized"
    title = "The Bitcoin node refuses the user name or password"


class NodeWrongNetwork(RailError):
    code = "node_wrong_network"
    title = "The Bitcoin node is on another network"


class NodeSyncing(RailError):
    code = "node_syncing"
    title = "The Bitcoin node is still syncing"


class NodePruned(RailError):
    code = "node_pruned"
    title = "The Bitcoin node no longer has a block that is needed"


class UnknownWallet(BitcacheError):
    code = "unknown_wallet"
    title = "There is no such wallet"


class CreditRestricted(BitcacheError):
    code = "credit_restricted"
    title = "This balance can be spent with one merchant only"


class UnknownTransfer(BitcacheError):
    code = "unknown_transfer"
    title = "There is no such transfer"


class AlreadyReversed(BitcacheError):
    code = "already_reversed"
    title = "The transfer was taken back before"


class ReceiptInvalid(BitcacheError):
    code = "receipt_invalid"
    title = "The receipt is not valid here"


class NodeRejected(RailError):
    """The node answered with an error of its own; ``rpc_code`` is Bitcoin Core's number."""

    code = "node_rejected"
    title = "The Bitcoin node refused the call"

    def __init__(self, detail: str = "", rpc_code: int = 0) -> None:
        super().__init__(detail)
        self.rpc_code = rpc_code


class NodeChainUnknown(RailError):
    """The node never saw the block that the cursor names; there is no way back from it."""

    code = "node_chain_unknown"
    title = "The Bitcoin node does not know the block where the watch left off"


class RangeNotSatisfiable(BitcacheError):
    code = "range_not_satisfiable"
    title = "The file has no such range"


class ListenerDied(BitcacheError):
    """One of the processes that ``bitcache serve`` looks after is gone."""

    code = "listener_died"
    title = "A listener has ended by itself"


class UnknownRail(RailUnavailable):
    code = "unknown_rail"
    title = "This server has no such way to pay"
