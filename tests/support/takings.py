"""Sales in the book, written straight into it: sums need many of them, at any time."""

from typing import Any

from bitcache_server.models.sales_book import Sale
from bitcache_server.models.session import write_transaction
from bitcache_server.services.sale_sums import count_sold, count_taken_back
from tests.support.world import World


def sale(world: World, at: int, net_msat: int, number: int = 0, **other: Any) -> Sale:
    """Return a sale of the article that is in no session yet: two per cent are commission."""
    commission_msat = net_msat // 50
    values: dict[str, Any] = {
        "merchant_id": world.merchant_id,
        "id": f"sa_{at}_{number}",
        "kind": "sale",
        "state": "paid",
        "site_id": world.site_id,
        "item_id": world.article_id,
        "title": "On engines",
        "owner_kind": "wallet",
        "holder": "reader",
        "invoice_id": "",
        "rail": "balance",
        "direct": False,
        "price_msat": net_msat + commission_msat,
        "commission_msat": commission_msat,
        "shares_msat": 0,
        "net_msat": net_msat,
        "fiat_currency": "USD",
        "fiat_minor": None,
        "tax_name": "",
        "tax_ppm": 0,
        "group_id": f"gr_{at}_{number}",
        "transfer_id": 0,
        "created_at": at,
        "refund_msat": 0,
        "refund_by": "",
    }
    return Sale(**{**values, **other})


def add_sales(world: World, *sales: Sale) -> None:
    """Put sales into the book."""
    with write_transaction(world.session):
        world.session.add_all(sales)
        world.session.flush()
        count_sold(world.session, sales)
        for one in sales:
            gone_at = one.refunded_at or one.reversed_at
            if gone_at is not None:
                count_taken_back(world.session, [one], gone_at)
