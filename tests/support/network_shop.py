"""A shop that takes and pays real money of the Lightning network, wired as in production."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bitcache_server import wiring
from bitcache_server.app import create_app
from bitcache_server.extensions import db
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.fake import FakeRail
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.merchants import add_merchant, add_site
from bitcache_server.services.payout_batches import run_payouts
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.watch_stream import watch_stream
from demo.regtest.lightning import ElectrumDaemon
from tests.support.lightning_world import make_lightning_rail
from tests.support.world import ORIGIN, MovableClock, Purchase, World, make_settings

PRICE_SAT = 5_000
#: Long enough for any payment of the network; a watch ends with the first that comes.
WATCH_S = 90.0


@dataclass
class NetworkShop(World):
    """A world whose rail is a real Lightning wallet."""

    @property
    def lightning(self) -> LightningRail:
        """Return the rail."""
        rail = self.deps.rails["lightning"]
        assert isinstance(rail, LightningRail)
        return rail

    def buy(self, item_id: str | None = None, rail: str | None = "lightning") -> Purchase:
        """Create an invoice with a fresh verifier, and ask for its Lightning invoice."""
        return super().buy(item_id, rail)

    def settle(self, wait_s: float = WATCH_S) -> int:
        """Wait until something is settled, book it, and return how much was reported."""
        self.session.rollback()
        return watch_stream(self.deps, self.session, self.lightning, wait_s)

    def ask_how_it_is(self) -> None:
        """Run the job that asks the wallet how it is."""
        record_health(self.deps, self.session, self.lightning)

    def pay_out(self) -> int:
        """Run the job that pays out; return how many payments were made."""
        return run_payouts(self.deps, self.session, self.lightning)


def bolt11_of(purchase: Purchase) -> str:
    """Return the Lightning invoice that a reader is shown."""
    [request] = purchase.invoice["requests"]
    return str(request["bolt11"])


def hash_of(purchase: Purchase) -> str:
    """Return its payment hash."""
    [request] = purchase.invoice["requests"]
    return str(request["payment_hash"])


@contextmanager
def opened_network_shop(
    folder: Path, database_url: str, daemon: ElectrumDaemon, url: str = "", **settings: Any
) -> Iterator[NetworkShop]:
    """Give a shop whose only rail is the daemon's wallet, or what listens at ``url``."""
    chosen = {
        "rails": ["lightning"],
        "lightning_backend": "electrum",
        "lightning_url": url or daemon.url,
        "lightning_secret": daemon.user_password,
        "lightning_pay_wait_s": 30,
        "lightning_timeout_s": 30,
    }
    made = make_settings(folder, database_url, **{**chosen, **settings})
    clock = MovableClock()
    clock.now = int(time.time())
    with _started(made, clock) as shop:
        refresh_rates(shop.deps, shop.session)
        _stock(shop)
        shop.settle(0)
        yield shop


@contextmanager
def started_again(shop: NetworkShop) -> Iterator[NetworkShop]:
    """Give the same shop as a new process would build it: same database, own connections."""
    shop.session.rollback()
    with _started(shop.deps.settings, shop.clock) as again:
        again.merchant_id, again.site_id = shop.merchant_id, shop.site_id
        again.secret, again.article_id = shop.secret, shop.article_id
        yield again


@contextmanager
def _started(settings: Any, clock: MovableClock) -> Iterator[NetworkShop]:
    backend = wiring.lightning_backend(settings)
    assert backend is not None
    rail = make_lightning_rail(backend, settings, clock)
    deps = wiring.build(settings, clock=clock, rails={"lightning": rail})
    # What a test tells the fake rail, it does here with wallets.
    shop = NetworkShop(app=create_app(deps), deps=deps, rail=cast(FakeRail, rail), clock=clock)
    with shop.app.app_context():
        shop.ask_how_it_is()
        yield shop
        db.session.remove()
        db.engine.dispose()
    backend.close()


def _stock(shop: NetworkShop) -> None:
    session = shop.session
    with write_transaction(session):
        merchant = add_merchant(shop.deps, session, "Ada", None)
        new = add_site(shop.deps, session, merchant.id, "Ada's blog", [ORIGIN])
        article = NewItem(
            title="On engines", price=PRICE_SAT, currency="SAT", content_html="<p>Locked.</p>"
        )
        shop.merchant_id, shop.site_id, shop.secret = merchant.id, new.site.id, new.secret
        shop.article_id = add_item(shop.deps, session, new.site, article).id
