"""A real Bitcache server for a WordPress: it sells what the plugin offers, on a scripted rail."""

import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bitcache_server.extensions import db
from bitcache_server.models.catalog import Item, SiteKey
from bitcache_server.models.sales import Invoice, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.services.catalog import change_origins
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.refresh_rates import refresh_rates
from tests.e2e.live_shop import LiveShop
from tests.support.wordpress import WordPressSite
from tests.support.world import World

_CONNECT = """
\\Bitcache\\Server\\Connection::save( $input['facts'], $input['secret'], $input['keys'] );
return \\Bitcache\\Server\\Connection::is_connected();
"""
_SYNC = """
do_action( 'bitcache_sync' );
$items = get_post_meta( $input['post'], '_bitcache_items', true );
return is_array( $items ) ? $items : array();
"""


class WordPressShop(LiveShop):
    """The server, its jobs when a test says so, and the WordPresses that are connected to it."""

    def _make_world(self, folder: Path, database_url: str, values: dict[str, Any]) -> World:
        values.update(rail_stale_after_s=10**8, rate_max_age_s=10**8)
        world = super()._make_world(folder, database_url, values)
        # PHP has no clock that a test could move.
        world.clock.now = int(time.time())
        with world.app.app_context():
            record_health(world.deps, world.session, world.rail)
            refresh_rates(world.deps, world.session)
        return world

    def connect(self, site: WordPressSite, path: str = "") -> None:
        """Give a WordPress (or one site of a network) the id and the secrets of the site."""
        with self.world.app.app_context():
            with write_transaction(db.session()):
                change_origins(db.session(), self.world.site_id, [site.origin], [])
            query = select(SiteKey.secret).where(SiteKey.site_id == self.world.site_id)
            keys = list(db.session().scalars(query))
        facts = {
            "server": self.origin,
            "api_url": f"{self.origin}/v1",
            "widget_url": f"{self.origin}/widget/bitcache.js",
            "events_url": self.origin,
            "dashboard_url": f"{self.origin}/dashboard",
            "site_id": self.world.site_id,
            "merchant_id": self.world.merchant_id,
            "site_name": "Ada's blog",
        }
        secret = self.world.secret
        assert site.eval(_CONNECT, path=path, facts=facts, secret=secret, keys=keys) is True

    def item_of(self, site: WordPressSite, post_id: int, key: str = "post") -> str:
        """Return the item that a part of a post is sold as, after the plugin's own jobs ran."""
        items = site.eval(_SYNC, post=post_id)
        found = items.get(key)
        return str(found["id"] if isinstance(found, dict) else found)

    def buy(self, item_id: str) -> str:
        """Buy an item as a reader does who pays at once; return the grant."""
        with self.world.app.app_context():
            purchase = self.world.buy(item_id)
            self.world.pay(purchase)
            return self.world.grant(purchase)

    def pay_open(self) -> int:
        """Pay the one invoice that waits for money; return how much it was, in sats."""
        with self.world.app.app_context():
            query = (
                select(RequestRow)
                .join(Invoice, Invoice.id == RequestRow.invoice_id)
                .where(Invoice.received_msat == 0, RequestRow.rail == "fake")
            )
            [row] = db.session().scalars(query)
            target, amount_msat = row.target, row.amount_msat
            db.session().rollback()
            self.world.rail.pay(target, amount_msat)
            self.world.watch()
        return amount_msat // 1000

    def count_payments(self) -> int:
        """Return how many invoices were ever paid."""
        with self.world.app.app_context():
            query = select(func.count()).select_from(Invoice).where(Invoice.received_msat > 0)
            return db.session().scalar(query) or 0

    def is_sold(self, item_id: str) -> bool:
        """Return whether an item is on sale."""
        with self.world.app.app_context():
            query = select(Item.archived_at).where(Item.id == item_id)
            return db.session().scalars(query).one() is None

    def items(self) -> dict[str, Item]:
        """Return what is sold, by the plugin's own name for it."""
        with self.world.app.app_context():
            rows = db.session().scalars(select(Item).where(Item.external_id.is_not(None)))
            return {str(row.external_id): row for row in rows}
