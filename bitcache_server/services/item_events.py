"""Tell a merchant's webhooks that an item was added or changed."""

from sqlalchemy.orm import Session

from bitcache_server.models.catalog import Item, Site
from bitcache_server.services.deps import Deps
from bitcache_server.services.webhook_events import emit


def tell_of_item(deps: Deps, session: Session, item: Item) -> None:
    """Put ``item.changed`` (ItemData) into the outbox, in the caller's transaction."""
    emit(
        deps,
        session,
        session.get_one(Site, item.site_id).merchant_id,
        "item.changed",
        {
            "id": item.id,
            "site": item.site_id,
            "external_id": item.external_id,
            "kind": item.kind,
            "title": item.title,
            "price_currency": item.price_currency,
            "price_amount": item.price_amount,
            "access_hours": item.access_hours,
            "url": item.url,
            "archived_at": item.archived_at,
        },
    )
