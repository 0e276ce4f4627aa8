"""Receipts: the signed proof that an invoice was paid. They open nothing.

A merchant checks one offline, with the site's secret, when a reader writes in;
counting sales by ``invoice`` counts each of them once, however often it is shown.
"""

from dataclasses import dataclass
from typing import Any

from bitcache_server.domain.errors import ReceiptInvalid
from bitcache_server.tokens.codec import TokenUnreadable, int_of, text_of
from bitcache_server.tokens.grants import GrantClaims, GrantSigner

RECEIPT_PURPOSE = "bitcache.receipt.v1"

_INVALID = "The receipt was not given out by this site."


@dataclass(frozen=True)
class ReceiptClaims:
    """What a receipt says. In the token: s, i, n, p, c; its time is when it was paid."""

    site: str
    item: str
    invoice: str
    amount_msat: int
    paid_at: int
    content_sha256: str | None = None
    """What was bought, as the hex SHA-256 of its bytes, where the seller can say so."""


def issue_receipt(signer: GrantSigner, claims: ReceiptClaims) -> str:
    """Return the receipt as text."""
    payload: dict[str, object] = {
        "s": claims.site,
        "i": claims.item,
        "n": claims.invoice,
        "p": claims.amount_msat,
        "c": claims.content_sha256,
    }
    return signer.codec(RECEIPT_PURPOSE).seal(payload, claims.paid_at)


def sign_purchase(signer: GrantSigner, claims: GrantClaims, paid_by: str) -> tuple[str, str]:
    """Return the grant and the receipt of one purchase.

    ``paid_by`` names the payment in the receipt: the invoice, or the ledger group where a
    balance paid; once for each purchase, however often it is shown.
    """
    receipt = ReceiptClaims(
        site=claims.site,
        item=claims.item,
        invoice=paid_by,
        amount_msat=claims.price_msat,
        paid_at=claims.issued_at,
    )
    return signer.issue(claims), issue_receipt(signer, receipt)


def check_receipt(signer: GrantSigner, token: str, *, site: str) -> ReceiptClaims:
    """Return what a receipt of this site says; raise ReceiptInvalid. It never expires."""
    try:
        claims, paid_at = signer.codec(RECEIPT_PURPOSE).open(token)
        receipt = _receipt(claims, paid_at)
    except TokenUnreadable:
        raise ReceiptInvalid(_INVALID) from None
    if receipt.site != site:
        raise ReceiptInvalid(_INVALID)
    return receipt


def _receipt(claims: dict[str, Any], paid_at: int) -> ReceiptClaims:
    return ReceiptClaims(
        site=text_of(claims, "s"),
        item=text_of(claims, "i"),
        invoice=text_of(claims, "n"),
        amount_msat=int_of(claims, "p"),
        paid_at=paid_at,
        content_sha256=None if claims.get("c", 0) is None else text_of(claims, "c"),
    )
