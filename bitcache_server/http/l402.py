"""L402: HTTP 402 with an invoice, and what opens with its preimage.

https://github.com/lightninglabs/L402/blob/master/protocol-specification.md and bLIP-26.
A challenge costs the node an invoice, so it is for machines that ask for one thing: browsers
and pages of sites are told ``grant_missing`` as before, since a person pays in the wall or on
the hosted page, and since scripts cannot read the header across origins anyway.
"""

import json
import re
from collections.abc import Callable

from flask import Flask, Response, request

from bitcache_server.domain import errors
from bitcache_server.domain.errors import BitcacheError, L402Invalid, PaymentRequired
from bitcache_server.http.auth import bearer_token
from bitcache_server.http.context import client_block, deps, page_origin, session
from bitcache_server.http.errors import log_unexpected, problem, problem_response, translate
from bitcache_server.http.limits import INVOICES, READS, SITE_INVOICES, check_limit
from bitcache_server.models.catalog import Item
from bitcache_server.services.create_invoice import check_origin
from bitcache_server.services.deliver import elsewhere, open_item
from bitcache_server.services.items import check_on_sale, get_item
from bitcache_server.services.l402 import (
    Bill,
    count_use,
    is_sold_by_l402,
    new_bill,
    open_bill,
    open_with_l402,
)

_HTML = ("text/html", "application/xhtml+xml")
_SCHEME = re.compile(r"\s*(?:L402|LSAT)\s", re.IGNORECASE)
#: ``L402 <token>:<preimage>``; clients of the reference server send it once in each spelling.
_CREDENTIAL = re.compile(
    r"(?:L402|LSAT)\s+([A-Za-z0-9+/_=-]+):([0-9A-Fa-f]*)(?=\s*(?:,|$))", re.IGNORECASE
)
_TOKEN = re.compile(r'\b(?:token|macaroon)\s*=\s*"?([A-Za-z0-9+/_=-]+)"?', re.IGNORECASE)
_PREIMAGE = re.compile(r'\bpreimage\s*=\s*"?([0-9A-Fa-f]+)"?', re.IGNORECASE)

#: What a challenge may be answered with instead, when the invoice cannot be had.
BILL_ERRORS: tuple[type[BitcacheError], ...] = (
    errors.InvalidPrice,
    errors.FileMissing,
    errors.FilePathRefused,
    errors.RateUnavailable,
    errors.RailUnavailable,
    errors.NoInboundRoom,
    errors.InvoiceClosed,
    errors.StorageFull,
    errors.RailError,
    errors.LightningUnreachable,
    errors.LightningUnauthorized,
    errors.LightningPermission,
    errors.LightningCertificate,
    errors.LightningWrongNetwork,
    errors.LightningRejected,
    errors.LnurlUnreachable,
    errors.LnurlRefused,
    errors.LnurlForbidden,
    errors.LightningAddressInvalid,
)

Deliver = Callable[[Item], Response]


def serve(item_id: str, check: Callable[[Item], object], deliver: Deliver) -> Response:
    """Answer with what a grant or an L402 token opens, or with the bill for it.

    ``check`` raises for an item that cannot be delivered here, before anybody pays for it.
    Raises GrantMissing and the other errors of a grant, L402Invalid, RailUnavailable …

    What the site holds itself is not sold to machines: no site takes a token of ours. What
    was sold from here before stays open to those who have it.
    """
    item = get_item(session(), item_id)
    check_origin(deps(), session(), item.site_id, page_origin())
    if item.open_url is not None:
        check(item)
    credential = l402_credential()
    if credential is not None:
        check(item)
        return _serve_paid(item, credential, deliver)
    if _is_machine() and is_sold_by_l402(deps(), session(), item):
        check(item)
        return _bill_response(item, PaymentRequired(f"{item.title} has a price."))
    return deliver(open_item(deps(), session(), item.id, bearer_token()).item)


def l402_credential() -> tuple[str, str] | None:
    """Return token and preimage of the Authorization header; empty texts for what is broken.

    None without the scheme ``L402`` or its older name ``LSAT``.
    """
    header = request.headers.get("Authorization", "")
    if not _SCHEME.match(header):
        return None
    if found := _CREDENTIAL.search(header):
        return found[1], found[2]
    token, preimage = _TOKEN.search(header), _PREIMAGE.search(header)
    return token[1] if token else "", preimage[1] if preimage else ""


def _is_machine() -> bool:
    """Return whether the caller is no page, no browser, and nobody who brings a grant."""
    if request.headers.get("Origin") is not None or bearer_token() is not None:
        return False
    return not any(kind in _HTML for kind in request.accept_mimetypes.values())


def _serve_paid(item: Item, credential: tuple[str, str], deliver: Deliver) -> Response:
    try:
        claims = open_with_l402(deps(), session(), item, *credential)
        answer = deliver(item)
        # What brings nothing, such as 304 or a HEAD, is no use of the token.
        if request.method == "GET" and answer.status_code in (200, 206):
            try:
                count_use(deps(), session(), claims)
            except BitcacheError:
                answer.close()
                raise
    except PaymentRequired as refusal:
        if not is_sold_by_l402(deps(), session(), item):
            raise L402Invalid(refusal.detail) from refusal
        return _bill_response(item, refusal)
    return answer


def _bill_response(item: Item, refusal: PaymentRequired) -> Response:
    """Return status 402: with a challenge, unless nothing but a HEAD was asked.

    Raises ContentElsewhere for what the site holds itself: its bill would buy nothing.
    """
    if item.open_url is not None:
        raise elsewhere(item)
    bill = open_bill(deps(), session(), item, client_block())
    if bill is None:
        check_on_sale(item)
    if bill is None and request.method != "HEAD":
        check_limit(INVOICES)
        check_limit(SITE_INVOICES, item.site_id)
        bill = new_bill(deps(), session(), item, client_block())
    body, status, headers = problem(refusal)
    answer = Response(headers=headers, status=status)
    answer.data = json.dumps({**body, **_extras(item, bill)})
    for challenge in _challenges(bill) if bill else ():
        answer.headers.add("WWW-Authenticate", challenge)
    return answer


def _extras(item: Item, bill: Bill | None) -> dict[str, object]:
    extras: dict[str, object] = {"checkout_url": f"{deps().settings.public_url}/pay/{item.id}"}
    if bill is not None:
        extras["price"] = bill.price.model_dump()
        extras["bolt11"] = bill.bolt11
        extras["expires_at"] = bill.expires_at
    return extras


def _challenges(bill: Bill) -> tuple[str, ...]:
    """Return the challenge in each spelling that clients look for.

    Many of them match the text instead of parsing it: the specification of today has
    ``token``, bLIP-26 has ``macaroon``, and older clients know the name LSAT only.
    """
    rest = f'="{bill.token}", invoice="{bill.bolt11}"'
    return (f'L402 version="0", token{rest}', f"L402 macaroon{rest}", f"LSAT macaroon{rest}")


def serve_on_page(
    app: Flask, page: str, article: Callable[[str], Response], file: Callable[[str], Response]
) -> None:
    """Answer a machine that asks for an item's page as the item's own address would.

    Here ``*/*`` is a person's choice as well: link previews and ``curl`` get the page, and
    only who says what else they want, or brings a token, is answered as a machine.
    """

    @app.before_request
    def _answer_machine() -> Response | None:
        if request.endpoint != page or request.method not in ("GET", "HEAD"):
            return None
        asks_for_html = not request.accept_mimetypes or request.accept_mimetypes.accept_html
        if asks_for_html and l402_credential() is None:
            return None
        try:
            check_limit(READS)
            item = get_item(session(), str((request.view_args or {})["item_id"]))
            return article(item.id) if item.file_path is None else file(item.id)
        except Exception as error:
            # The page's own handler would answer with HTML.
            translated = translate(error)
            log_unexpected(translated)
            return problem_response(translated)
