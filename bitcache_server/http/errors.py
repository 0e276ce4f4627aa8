"""The one place where errors become HTTP answers (RFC 9457, problem details)."""

import json
import logging

from flask import Flask, Response, request
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from bitcache_server.domain import errors
from bitcache_server.http.counters import count_error
from bitcache_server.models.session import storage_error

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:bitcache:error:"

STATUS: dict[type[errors.BitcacheError], int] = {
    errors.InvalidRequest: 422,
    errors.MalformedJson: 400,
    errors.PayloadTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.RateLimited: 429,
    errors.UnknownItem: 404,
    errors.UnknownSite: 404,
    errors.UnknownMerchant: 404,
    errors.UnknownInvoice: 404,
    errors.MissingSecret: 401,
    errors.BadSecret: 401,
    errors.OriginNotAllowed: 403,
    errors.InvalidOrigin: 422,
    errors.InvalidPrice: 422,
    errors.UnknownCurrency: 422,
    errors.RateUnavailable: 503,
    errors.AmountBelowFloor: 422,
    errors.RailUnavailable: 503,
    errors.UnknownRail: 422,
    errors.AddressesExhausted: 503,
    errors.IdempotencyConflict: 409,
    errors.VerifierMismatch: 403,
    errors.InvoiceNotPaid: 409,
    errors.InvoiceClosed: 409,
    errors.NoCredit: 409,
    errors.GrantMissing: 401,
    errors.GrantInvalid: 403,
    errors.GrantExpired: 403,
    errors.GrantRevoked: 403,
    errors.ReceiptInvalid: 403,
    errors.LinkInvalid: 403,
    errors.LinkExpired: 403,
    errors.WrongKind: 409,
    errors.ContentElsewhere: 409,
    errors.FileMissing: 404,
    errors.FilePathRefused: 422,
    errors.RangeNotSatisfiable: 416,
    errors.DescriptorInvalid: 422,
    errors.PrivateKeyRefused: 422,
    errors.InsufficientBalance: 409,
    errors.UnknownWallet: 404,
    errors.PurchaseEnded: 409,
    errors.UnknownAllowance: 403,
    errors.AllowanceMissing: 401,
    errors.AllowanceInvalid: 403,
    errors.AllowanceRevoked: 403,
    errors.AllowanceExpired: 403,
    errors.AllowanceExceeded: 409,
    errors.PriceChanged: 409,
    errors.ApprovalPending: 409,
    errors.SignInRequired: 401,
    errors.ConfirmationRequired: 403,
    errors.PasskeyInvalid: 403,
    errors.RecoveryCodeInvalid: 403,
    errors.GiftUnavailable: 409,
    errors.ProofOfWorkInvalid: 403,
    errors.AddressInvalid: 422,
    errors.PayoutLimit: 422,
    errors.TooManyPayouts: 422,
    errors.InvoiceUsed: 422,
    errors.PayoutFeeChanged: 409,
    errors.PayoutsUnavailable: 503,
    errors.UnknownPayout: 404,
    errors.PayoutNotWaiting: 409,
    errors.PayoutKnown: 409,
    errors.PayoutUnderWay: 409,
    errors.PayoutNodeSilent: 503,
    errors.PreimageWrong: 422,
    errors.ApprovalRefused: 403,
    errors.PayoutAddressMissing: 409,
    errors.MerchantBalanceTooLow: 409,
    errors.UnknownPurchase: 404,
    errors.AlreadyRefunded: 409,
    errors.RefundNotOffered: 409,
    errors.SplitInvalid: 422,
    errors.CreditNotMovable: 409,
    errors.WalletNotEmpty: 409,
    # A passing fault of the network behind us; the details stay with the operator.
    errors.RailError: 503,
    errors.LightningUnreachable: 503,
    errors.LightningUnauthorized: 503,
    errors.LightningPermission: 503,
    errors.LightningCertificate: 503,
    errors.LightningWrongNetwork: 503,
    errors.LightningRejected: 503,
    errors.NoInboundRoom: 503,
    errors.LnurlUnreachable: 503,
    errors.LnurlRefused: 422,
    errors.LnurlForbidden: 422,
    errors.LightningAddressInvalid: 422,
    errors.HandleTaken: 409,
    errors.LoginInvalid: 403,
    errors.UnknownLink: 404,
    errors.LinkClaimed: 409,
    errors.ConnectionInvalid: 422,
    errors.PaymentRequired: 402,
    errors.L402Invalid: 403,
    errors.AccountRequired: 401,
    errors.AccountConfirmationRequired: 403,
    errors.SignInFailed: 403,
    errors.SignUpClosed: 403,
    errors.LoginTaken: 409,
    errors.RoleMissing: 403,
    errors.UnknownAccount: 404,
    errors.InvitationInvalid: 403,
    errors.LastOwner: 409,
    errors.ItemArchived: 410,
    errors.MailUnreachable: 503,
    errors.MailRefused: 422,
    errors.ScopeMissing: 403,
    errors.UnknownKey: 404,
    errors.UnknownEndpoint: 404,
    errors.UnknownEvent: 404,
    errors.WebhookUrlRefused: 422,
    errors.UnknownSale: 404,
    errors.UnknownOrder: 404,
    errors.OrderClosed: 409,
    errors.ReturnUrlRefused: 422,
    errors.ConnectInvalid: 422,
    errors.StorageBusy: 503,
    errors.StorageFull: 503,
    errors.StorageUnavailable: 503,
}
#: What Flask and Werkzeug raise by themselves.
_BY_STATUS: dict[int | None, type[errors.BitcacheError]] = {
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.PayloadTooLarge,
    415: errors.UnsupportedMediaType,
    416: errors.RangeNotSatisfiable,
}
#: What an answer with status 405 or 416 must say (RFC 9110 §15.5.6, §15.5.17).
_KEPT_HEADERS = ("Allow", "Content-Range")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
#: How long a client should wait before it tries a passing fault again.
RETRY_AFTER_S = 2


def status_of(error: type[errors.BitcacheError]) -> int:
    """Return the HTTP status of an error class; 500 for one that should never get here.

    A special case that a module keeps for itself has the status of what it is a case of.
    """
    for kind in error.__mro__:
        if issubclass(kind, errors.BitcacheError) and kind in STATUS:
            return STATUS[kind]
    return 500


def problem(error: errors.BitcacheError) -> tuple[dict[str, str | int], int, dict[str, str]]:
    """Return the body, status and headers of an error."""
    count_error(error)
    status = status_of(type(error))
    body: dict[str, str | int] = {
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": status,
        "detail": _public_detail(error) if status != 500 else errors.BitcacheError.title,
        "code": error.code if status != 500 else errors.BitcacheError.code,
    }
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    if isinstance(error, errors.RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
    elif status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    elif status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return body, status, headers


def _public_detail(error: errors.BitcacheError) -> str:
    """Return the details, but not what a node behind us said of itself: that may name it."""
    if isinstance(error, errors.RailError):
        return f"{error.title}. Try again later, or pay in another way."
    return error.detail


def problem_response(error: errors.BitcacheError) -> Response:
    """Return the answer for an error."""
    body, status, headers = problem(error)
    return Response(json.dumps(body), status, headers)


def translate(error: Exception) -> errors.BitcacheError:
    """Return the error with a stable code that stands for any exception."""
    if isinstance(error, errors.BitcacheError):
        return error
    if isinstance(error, ValidationError):
        return validation_error(error)
    if isinstance(error, PoolTimeout):
        return errors.StorageBusy("All database connections are in use; try again.")
    if isinstance(error, DBAPIError):
        return storage_error(error) or errors.BitcacheError()
    if isinstance(error, HTTPException):
        return _http_error(error)
    return errors.BitcacheError()


def validation_error(error: ValidationError) -> errors.BitcacheError:
    """Return the error for a body that does not fit, without repeating its values."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    if any(p["type"] in ("json_invalid", "recursion_loop") for p in problems):
        return errors.MalformedJson(f"The body is not valid JSON: {problems[0]['msg']}")
    words = [f"{'.'.join(str(part) for part in p['loc'])}: {p['msg']}" for p in problems[:5]]
    return errors.InvalidRequest("; ".join(words))


def _http_error(error: HTTPException) -> errors.BitcacheError:
    known = _BY_STATUS.get(error.code)
    if known is not None:
        return known()
    if error.code is not None and 400 <= error.code < 500:
        return errors.InvalidRequest(error.description or "")
    return errors.BitcacheError()


def register(app: Flask) -> None:
    """Answer every exception of the app as a problem document."""

    @app.errorhandler(Exception)
    def _answer(error: Exception) -> Response:
        translated = translate(error)
        log_unexpected(translated)
        response = problem_response(translated)
        if isinstance(error, HTTPException):
            for name, value in error.get_headers(request.environ):
                if name in _KEPT_HEADERS:
                    response.headers[name] = value
        return response

    @app.before_request
    def _refuse_null_bytes() -> None:
        # No id or name has one, and PostgreSQL takes none in a query.
        if "\x00" in request.path:
            raise errors.NotFound()
        if b"%00" in request.query_string or _form_has_null_byte():
            raise errors.InvalidRequest("A null byte is no part of any text here.")


def _form_has_null_byte() -> bool:
    if request.mimetype not in _FORMS:
        return False
    return any("\x00" in name + value for name, value in request.form.items(multi=True))


def log_unexpected(translated: errors.BitcacheError, place: str | None = None) -> None:
    """Log the exception that is being handled, when the operator must know of it.

    ``place`` is where it happened, by default the endpoint that Flask is at.
    """
    place = place or f"{request.method} {request.endpoint}"
    if isinstance(translated, errors.RailError):
        log.warning("at %s: %s", place, translated.detail)
    elif status_of(type(translated)) == 500:
        log.exception("unexpected error at %s", place)
