"""Receipts and invoices as PDF, in the language of who asks.

What writes PDF is read in by who first asks for one: its fonts take long to load.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from flask import Response

from bitcache_server.domain.order_state import OrderState
from bitcache_server.http.checkout_words import minor_words, rate_of_bitcoin, rate_words
from bitcache_server.http.context import deps, session
from bitcache_server.http.language import day_words, gettext, language, number_words, time_words
from bitcache_server.http.money import exact_sats
from bitcache_server.i18n import direction
from bitcache_server.models.catalog import Item, Site
from bitcache_server.models.orders import Order
from bitcache_server.models.sales import Invoice
from bitcache_server.services.branding import BrandView, brand_of, read_logo
from bitcache_server.services.collect import Collected
from bitcache_server.services.merchants import get_site
from bitcache_server.services.order_documents import rate_of, with_number
from bitcache_server.services.order_lines import from_json, taxes_of
from bitcache_server.services.settle_invoice import payments_of
from bitcache_server.services.wallet_views import Purchase

if TYPE_CHECKING:
    from bitcache_server.delivery.pdf import Document

Facts = list[tuple[str, str]]


def receipt_of_invoice(invoice: Invoice, item: Item, collected: Collected) -> Response:
    """Return the receipt of what an invoice has paid, with the signed proof of it."""
    site = get_site(session(), item.site_id)
    facts: Facts = [
        (gettext("For"), item.title),
        (gettext("Sold by"), site.name),
        (gettext("Paid"), exact_sats(collected.price_msat)),
    ]
    # What was redeemed later had the price of that day, and not that of the invoice.
    is_as_asked = collected.price_msat == invoice.amount_msat
    if is_as_asked and invoice.rate_price_per_btc is not None:
        currency = invoice.price_currency
        facts += [
            (gettext("Price"), minor_words(invoice.price_amount, currency)),
            (gettext("Rate"), f"1 BTC = {rate_of_bitcoin(invoice.rate_price_per_btc)} {currency}"),
        ]
    facts.append((gettext("On"), time_words(collected.issued_at)))
    payments = [p for p in payments_of(session(), invoice.id) if not p.removed]
    facts += [(gettext("Payment"), payment.reference) for payment in payments]
    facts.append((gettext("Purchase"), invoice.id))
    return _receipt(site, facts, collected.receipt, invoice.id)


def receipt_of_purchase(bought: Purchase, token: str) -> Response:
    """Return the receipt of what a wallet has bought."""
    facts: Facts = [
        (gettext("For"), bought.title),
        (gettext("Sold by"), bought.site_name),
        (gettext("Paid"), exact_sats(bought.price_msat)),
        (gettext("On"), time_words(bought.bought_at)),
        (gettext("Purchase"), bought.group_id or ""),
    ]
    return _receipt(get_site(session(), bought.site_id), facts, token, bought.item_id)


def _receipt(site: Site, facts: Facts, token: str, name: str) -> Response:
    brand = brand_of(session(), site.merchant_id)
    with _document(gettext("Receipt"), brand) as document:
        document.facts(facts)
        document.heading(gettext("Proof"))
        document.paragraph(gettext("The seller can check this line; it opens nothing:"))
        document.paragraph(token, muted=True)
        _foot(document, brand)
        return _file(document, f"receipt-{name}.pdf")


def invoice_of_order(order: Order) -> Response:
    """Return the invoice of a paid order; raise InvoiceNotPaid. It has a number from then on."""
    order = with_number(deps(), session(), order)
    brand = brand_of(session(), order.merchant_id)
    number = str(order.document_number)
    with _document(gettext("Invoice %(number)s", number=number), brand) as document:
        document.facts(_invoice_facts(order, brand))
        if order.state == OrderState.REFUNDED and order.closed_at is not None:
            when = time_words(order.closed_at)
            document.paragraph(gettext("The whole amount was given back on %(time)s.", time=when))
        _lines(document, order)
        document.heading(gettext("Payment"))
        document.facts(_payment_facts(order))
        _foot(document, brand)
        return _file(document, f"invoice-{number}.pdf")


def _invoice_facts(order: Order, brand: BrandView) -> Facts:
    site = get_site(session(), order.site_id)
    facts: Facts = [
        (gettext("Seller"), brand.name),
        (gettext("Shop"), site.name),
        (gettext("Order"), order.reference),
        (gettext("Invoice date"), day_words(order.document_at or 0)),
        (gettext("Date of sale"), day_words(order.paid_at or 0)),
    ]
    return facts


def _lines(document: "Document", order: Order) -> None:
    from bitcache_server.delivery.pdf import Column

    lines = from_json(order.lines)
    columns = (
        Column(gettext("What"), share=2.6),
        Column(gettext("Quantity"), is_number=True, share=0.8),
        Column(gettext("Each"), is_number=True, share=1.3),
        Column(gettext("Tax"), is_number=True, share=0.7),
        Column(gettext("Sum"), is_number=True, share=1.3),
    )
    rows = [
        (
            line.title,
            number_words(line.quantity),
            minor_words(line.unit_minor, order.currency),
            "" if line.tax_ppm is None else rate_words(line.tax_ppm),
            minor_words(line.sum_minor, order.currency),
        )
        for line in lines
    ]
    totals: list[Sequence[str]] = [
        (gettext("Total"), "", "", "", minor_words(order.total_minor, order.currency))
    ]
    document.heading(gettext("Lines"))
    document.table(columns, rows, totals=totals)
    taxes = taxes_of(lines)
    if taxes:
        document.facts(
            [
                (
                    gettext("of it %(rate)s tax", rate=rate_words(tax.tax_ppm)),
                    minor_words(tax.tax_minor, order.currency),
                )
                for tax in taxes
            ]
        )


def _payment_facts(order: Order) -> Facts:
    facts: Facts = [
        (gettext("Paid"), exact_sats(order.paid_msat or 0)),
        (gettext("On"), time_words(order.paid_at or 0)),
    ]
    rate = rate_of(order)
    if rate is not None:
        price = rate_of_bitcoin(str(Decimal(rate.numerator) / Decimal(rate.denominator)))
        facts.append((gettext("Rate"), f"1 BTC = {price} {order.currency}"))
    facts.append((gettext("Number with Bitcache"), order.id))
    return facts


def _document(title: str, brand: BrandView) -> "Document":
    from bitcache_server.delivery.pdf import Document

    return Document(
        title,
        language=language(),
        direction=direction(language()),
        made_at=deps().clock(),
        logo_png=read_logo(session(), brand.merchant_id),
    )


def _foot(document: "Document", brand: BrandView) -> None:
    if brand.support:
        document.paragraph(gettext("Questions: %(address)s", address=brand.support), muted=True)
    if brand.legal_text:
        document.paragraph(brand.legal_text, muted=True)


def _file(document: "Document", name: str) -> Response:
    return Response(
        document.finish(),
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
        content_type="application/pdf",
    )
