"""How far a new merchant is: a site, an item, the tag in a page."""

from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from bitcache_server.models.access import SiteContact
from bitcache_server.models.catalog import ORDER_KIND, Item, Site
from bitcache_server.models.sales_book import Sale
from bitcache_server.models.visits import ItemDay


@dataclass(frozen=True)
class FirstSteps:
    """What is done of it."""

    site: bool
    item: bool
    tag: bool
    """A page of a site has asked for an item, or an item was seen."""
    sold: bool

    @property
    def begun(self) -> bool:
        """Say whether there is anything to count: then figures are shown, not steps."""
        return self.sold or (self.item and self.tag)


def first_steps(session: Session, merchant_id: str) -> FirstSteps:
    """Return how far a merchant is."""
    sites = select(Site.id).where(Site.merchant_id == merchant_id)
    site, item, asked, seen, sold = session.execute(
        select(
            sites.exists(),
            exists().where(Item.site_id.in_(sites), Item.kind != ORDER_KIND),
            exists().where(SiteContact.site_id.in_(sites), SiteContact.widget_at.is_not(None)),
            exists().where(ItemDay.site_id.in_(sites)),
            exists().where(Sale.merchant_id == merchant_id),
        )
    ).one()
    return FirstSteps(site, item, asked or seen, sold)
