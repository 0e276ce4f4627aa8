"""A sale as JSON: the same in the API, in webhooks and in exports."""

from pydantic import BaseModel, Field

from bitcache_server.models.sales_book import Sale


class SaleView(BaseModel):
    """A sale, or a co-author's share of one, as its merchant sees it. Times are Unix seconds."""

    id: str
    kind: str = Field(pattern="^(sale|share|sent)$")
    """``share`` is a part of another merchant's sale; ``sent`` went to the Lightning address."""
    state: str = Field(pattern="^(paid|refunded|reversed)$")
    """``reversed``: the payment vanished, and the sale with it."""
    site: str | None
    item: str | None
    title: str
    """The item's at the time; what the payer wrote, for ``sent``."""
    holder: str
    """A reader, by a name that only this merchant sees, or an invoice."""
    invoice: str | None
    rail: str
    """That brought the money; ``balance`` for a reader's balance."""
    direct: bool
    """The merchant's own wallet received it."""
    amount_msat: int
    """What was paid: commission, co-authors' shares and the merchant's part."""
    commission_msat: int
    shares_msat: int
    net_msat: int
    """The merchant's part."""
    fiat_currency: str
    fiat_minor: int | None
    """What ``amount_msat`` was worth then, in minor units; null where no rate is known."""
    rate_price_per_btc: str | None
    rate_as_of: int | None
    tax_name: str
    tax_ppm: int
    """Parts per million; the price has the tax in it. Where the lines of an order have several
    rates it is the site's own; the order says them."""
    created_at: int
    refunded_at: int | None
    refund_msat: int
    refund_by: str | None
    """``merchant``, ``reader`` or ``undo``."""
    reversed_at: int | None


def sale_view(sale: Sale) -> SaleView:
    """Return a row of the book as JSON shows it."""
    return SaleView(
        id=sale.id,
        kind=sale.kind,
        state=sale.state,
        site=sale.site_id or None,
        item=sale.item_id or None,
        title=sale.title,
        holder=sale.holder,
        invoice=sale.invoice_id or None,
        rail=sale.rail,
        direct=sale.direct,
        amount_msat=sale.price_msat,
        commission_msat=sale.commission_msat,
        shares_msat=sale.shares_msat,
        net_msat=sale.net_msat,
        fiat_currency=sale.fiat_currency,
        fiat_minor=sale.fiat_minor,
        rate_price_per_btc=sale.rate_price_per_btc,
        rate_as_of=sale.rate_as_of,
        tax_name=sale.tax_name,
        tax_ppm=sale.tax_ppm,
        created_at=sale.created_at,
        refunded_at=sale.refunded_at,
        refund_msat=sale.refund_msat,
        refund_by=sale.refund_by or None,
        reversed_at=sale.reversed_at,
    )
