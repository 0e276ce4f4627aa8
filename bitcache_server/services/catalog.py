"""Look at merchants, sites and items, and change what may change, for an operator.

Those that change something run inside the caller's transaction.
"""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, UnknownMerchant
from bitcache_server.models.catalog import Item, Merchant, Site, SiteOrigin
from bitcache_server.services.items import get_item
from bitcache_server.services.merchants import get_site
from bitcache_server.services.origins import normalise_origin, origins_of
from bitcache_server.services.quotes import parse_item_price


def list_merchants(session: Session) -> Sequence[tuple[Merchant, int]]:
    """Return every merchant, oldest first, and how many sites each has."""
    query = (
        select(Merchant, func.count(Site.id))
        .outerjoin(Site, Site.merchant_id == Merchant.id)
        .group_by(Merchant.id)
        .order_by(Merchant.created_at, Merchant.id)
    )
    return [(merchant, sites) for merchant, sites in session.execute(query)]


def get_merchant(session: Session, merchant_id: str) -> Merchant:
    """Return a merchant; raise UnknownMerchant."""
    merchant = session.get(Merchant, merchant_id)
    if merchant is None:
        raise UnknownMerchant(f"There is no merchant {merchant_id[:64]!r}.")
    return merchant


def list_sites(session: Session, merchant_id: str | None = None) -> Sequence[Site]:
    """Return the sites of a merchant, or of all, oldest first."""
    query = select(Site).order_by(Site.created_at, Site.id)
    if merchant_id is not None:
        query = query.where(Site.merchant_id == get_merchant(session, merchant_id).id)
    return session.scalars(query).all()


def change_origins(
    session: Session, site_id: str, add: Sequence[str], remove: Sequence[str]
) -> frozenset[str]:
    """Add and remove origins of a site and return what it has then.

    Raises InvalidRequest when one to remove is not there, and when none would be left.
    """
    site = get_site(session, site_id)
    before = origins_of(session, site.id)
    added = {normalise_origin(text) for text in add}
    removed = {normalise_origin(text) for text in remove}
    for origin in sorted(removed - before):
        raise InvalidRequest(f"{origin} is not an origin of this site.")
    after = (before | added) - removed
    if not after:
        raise InvalidRequest("A site needs at least one origin; add another one first.")
    for origin in before - after:
        session.delete(session.get_one(SiteOrigin, (site.id, origin)))
    for origin in sorted(after - before):
        session.add(SiteOrigin(site_id=site.id, origin=origin))
    session.flush()
    return frozenset(after)


def change_price(session: Session, item_id: str, price: str, currency: str) -> Item:
    """Give an item another price; invoices that are open keep theirs."""
    item = get_item(session, item_id)
    item.price_currency, item.price_amount = parse_item_price(price, currency)
    session.flush()
    return item
