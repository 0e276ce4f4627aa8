"""How an invoice can be paid, as the API shows it: a code for each rail, or one for all."""

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.money import MSAT_PER_SAT, msat_to_sat_ceil
from bitcache_server.models.sales import Invoice, RequestRow
from bitcache_server.rails.lightning.rail import RAIL_NAME as LIGHTNING
from bitcache_server.rails.lightning.uris import lightning_qr_uri, lightning_uri
from bitcache_server.rails.onchain.bip21 import payment_uri, qr_uri
from bitcache_server.services.create_invoice import FIRST_VERSION
from bitcache_server.services.deps import Deps
from bitcache_server.services.offers import in_order

#: What the pictures of a unified code are asked for by, in the place of a rail.
UNIFIED = "unified"


class RequestView(BaseModel):
    """How an invoice can be paid over one rail."""

    rail: str
    address: str | None
    """None for Lightning, which has none."""
    address_index: int | None
    bolt11: str | None
    """The Lightning invoice (BOLT 11); None for other rails."""
    payment_hash: str | None
    description: str | None
    """The text whose SHA-256 the invoice carries; None where it carries a short memo."""
    amount_msat: int
    """What is asked for, exact."""
    amount_sat: int
    """The same in whole sats, rounded up."""
    uri: str
    qr_uri: str
    qr_svg_url: str
    qr_png_url: str
    confirmations_required: int


class UnifiedView(BaseModel):
    """One code for both rails: a wallet pays over Lightning where it can (BIP 21)."""

    uri: str
    qr_uri: str
    qr_svg_url: str
    qr_png_url: str


def request_views(deps: Deps, session: Session, invoice: Invoice) -> list[RequestView]:
    """Return how the invoice can be paid, one entry for each rail that was asked for."""
    if invoice.version == FIRST_VERSION:
        return []  # Nobody has asked how to pay yet.
    query = select(RequestRow).where(RequestRow.invoice_id == invoice.id)
    rows = {row.rail: row for row in session.scalars(query.order_by(RequestRow.rail))}
    return [request_view(deps, invoice, rows[name]) for name in in_order(list(rows))]


def unified_view(deps: Deps, invoice: Invoice, requests: list[RequestView]) -> UnifiedView | None:
    """Return one code for both rails of an open invoice, or None.

    After a part of the amount came on-chain there is none: the Lightning invoice still
    asks for the whole.
    """
    lightning = next((r for r in requests if r.bolt11), None)
    onchain = next((r for r in requests if r.address), None)
    is_open = invoice.state == InvoiceState.OPEN and not invoice.received_msat
    if lightning is None or onchain is None or not is_open:
        return None
    address, bolt11 = onchain.address or "", lightning.bolt11 or ""
    svg_url, png_url = _pictures(deps, invoice, UNIFIED, onchain.amount_sat)
    return UnifiedView(
        uri=payment_uri(address, onchain.amount_sat, bolt11=bolt11),
        qr_uri=qr_uri(address, onchain.amount_sat, bolt11=bolt11),
        qr_svg_url=svg_url,
        qr_png_url=png_url,
    )


def _asked_msat(invoice: Invoice, row: RequestRow) -> int:
    """Return what a code should ask for: after too little on-chain, only what is missing.

    An address takes whole sats, rounded up; a Lightning invoice cannot change.
    """
    if row.rail == LIGHTNING:
        return row.amount_msat
    missing_msat = invoice.missing_msat if invoice.received_msat else row.amount_msat
    return msat_to_sat_ceil(missing_msat or row.amount_msat) * MSAT_PER_SAT


def request_view(deps: Deps, invoice: Invoice, row: RequestRow) -> RequestView:
    """Return how the invoice can be paid over the rail of a request."""
    amount_msat = _asked_msat(invoice, row)
    amount_sat = msat_to_sat_ceil(amount_msat)
    lightning = row.rail == LIGHTNING
    to = row.destination
    svg_url, png_url = _pictures(deps, invoice, row.rail, amount_sat)
    return RequestView(
        rail=row.rail,
        address=None if lightning else to,
        address_index=row.address_index,
        bolt11=to if lightning else None,
        payment_hash=row.target if lightning else None,
        description=row.description or None,
        amount_msat=amount_msat,
        amount_sat=amount_sat,
        uri=lightning_uri(to) if lightning else payment_uri(to, amount_sat),
        qr_uri=lightning_qr_uri(to) if lightning else qr_uri(to, amount_sat),
        qr_svg_url=svg_url,
        qr_png_url=png_url,
        confirmations_required=row.confirmations_required,
    )


def _pictures(deps: Deps, invoice: Invoice, rail: str, amount_sat: int) -> tuple[str, str]:
    """Return the addresses of the SVG and the PNG.

    The amount in the query makes a browser load the new picture after a part payment.
    """
    base = f"{deps.settings.public_url}/v1/invoices/{invoice.id}/qr"
    query = f"?rail={rail}&sat={amount_sat}"
    return f"{base}.svg{query}", f"{base}.png{query}"
