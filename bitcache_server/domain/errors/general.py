"""Requests, items, invoices, grants, storage."""

from bitcache_server.domain.errors.base import BitcacheError


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


class AddressesExhausted(BitcacheError):
    code = "addresses_exhausted"
    title = "All on-chain addresses are in use"


class IdempotencyConflict(BitcacheError):
    code = "idempotency_conflict"
    title = "This idempotency key was used with another request"


class VerifierMismatch(BitcacheError):
    code = "verifier_mismatch"
    title = "The verifier does not belong to this invoice or approval"


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


class ContentElsewhere(BitcacheError):
    code = "content_elsewhere"
    title = "The site holds this itself"


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


class ReceiptInvalid(BitcacheError):
    code = "receipt_invalid"
    title = "The receipt is not valid here"


class RangeNotSatisfiable(BitcacheError):
    code = "range_not_satisfiable"
    title = "The file has no such range"


class ListenerDied(BitcacheError):
    """One of the processes that ``bitcache serve`` looks after is gone."""

    code = "listener_died"
    title = "A listener has ended by itself"
