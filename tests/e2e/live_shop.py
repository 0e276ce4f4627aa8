"""The real server and the pages of two sites, each on a host of its own.

The server is ``localhost``, the sites are ``127.0.0.1`` and ``127.0.0.2``: for a browser
that is another site each, so that what works here works without third-party cookies.
"""

from pathlib import Path
from typing import Any

from flask import Flask, Response
from sqlalchemy import func, select

from bitcache_server.extensions import db
from bitcache_server.models.catalog import Item, SiteKey
from bitcache_server.models.ledger import Grant, Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Allowance
from bitcache_server.services.catalog import change_origins, change_price
from bitcache_server.services.merchants import add_site
from bitcache_server.tokens.secrets import new_grant_secret
from tests.e2e.api_double import SITE_CSS, Running
from tests.e2e.wall import element
from tests.support.shops import assert_nothing_lost, sell_at
from tests.support.world import World, make_settings, make_world

GIFT_SAT = 20_000
ARTICLE_SAT = 5_000
FILE_SAT = 7_000


class LiveShop:
    """A stocked server whose clock stands still, and two sites that embed its walls."""

    def __init__(self, folder: Path, database_url: str, **settings: Any) -> None:
        # The port is known before the server is: its address is one of its settings.
        self.server = Running(Flask("not_yet"))
        self.origin = self.server.origin
        values: dict[str, Any] = {
            "public_url": self.origin,
            # Nobody serves events here, at this address or at another: the wall asks instead.
            "events_url": self.origin,
            "gift_sat": GIFT_SAT,
            "gift_budget_sat_per_day": 1_000_000,
            "gifts_per_address": 100,
            "gift_work": 100,
            **settings,
        }
        self.world: World = self._make_world(folder, database_url, values)
        self.server.server.app = self.world.app
        self.pages: dict[str, str] = {}
        self.site = Running(self._site_app(), "127.0.0.1")
        self.other = Running(self._site_app(), "127.0.0.2")
        with self.world.app.app_context(), write_transaction(db.session()):
            change_origins(db.session(), self.world.site_id, [self.site.origin], [])
            add_site(
                self.world.deps, db.session(), self.world.merchant_id, "Other", [self.other.origin]
            )

    def _make_world(self, folder: Path, database_url: str, values: dict[str, Any]) -> World:
        return make_world(make_settings(folder, database_url, **values))

    def stop(self) -> None:
        """Stop the three; every test leaves the books in order."""
        for running in (self.site, self.other, self.server):
            running.stop()
        with self.world.app.app_context():
            assert_nothing_lost(self.world)
            db.session.remove()
            db.engine.dispose()

    def page(self, path: str, body: str, lang: str = "en") -> str:
        """Put a page on both sites; return its address on the first."""
        direction = "rtl" if lang == "ar" else "ltr"
        self.pages[path] = f"""<!doctype html>
<html lang="{lang}" dir="{direction}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The Slow Quarterly</title><link rel="stylesheet" href="/site.css">
<script type="module" src="{self.origin}/widget/bitcache.js"></script>
</head><body><main><h1>The Slow Quarterly</h1>{body}</main></body></html>"""
        return f"{self.site.origin}/{path}"

    def article(self) -> str:
        """Return the address of a page with the article."""
        return self.page("article", element(self.world.article_id))

    def file(self) -> str:
        """Return the address of a page with the file."""
        return self.page("file", element(self.world.file_id))

    def more(self, price_sat: int) -> str:
        """Add an article at a price; return the address of its page."""
        with self.world.app.app_context():
            item_id = sell_at(self.world, price_sat)
        return self.page(f"more-{price_sat}", element(item_id))

    def set_price(self, item_id: str, price: str, currency: str) -> None:
        """Give an item another price."""
        with self.world.app.app_context(), write_transaction(db.session()):
            change_price(db.session(), item_id, price, currency)

    def rotate_keys(self) -> None:
        """Make every grant that is out there unreadable, as a change of keys does."""
        with self.world.app.app_context(), write_transaction(db.session()):
            for key in db.session().scalars(select(SiteKey)):
                key.secret = new_grant_secret()
        self.world.deps.signers.clear()

    def wallets(self) -> list[tuple[int, int]]:
        """Return own money and gift of every wallet, in sats."""
        with self.world.app.app_context():
            rows = db.session().execute(select(Wallet.balance_msat, Wallet.gift_msat)).all()
        return [(row.balance_msat // 1000, row.gift_msat // 1000) for row in rows]

    def grants(self) -> list[tuple[str, bool]]:
        """Return (kind of item, still alive) of every grant that a wallet got."""
        query = (
            select(Item.kind, Grant.revoked_at)
            .join(Item, Item.id == Grant.item_id)
            .where(Grant.owner_id.startswith("wa_"))
            .order_by(Grant.issued_at, Item.kind)
        )
        with self.world.app.app_context():
            return [(kind, revoked is None) for kind, revoked in db.session().execute(query)]

    def count_allowances(self) -> int:
        """Return how many allowances were ever given."""
        with self.world.app.app_context():
            return db.session().scalar(select(func.count()).select_from(Allowance)) or 0

    def _site_app(self) -> Flask:
        app = Flask(__name__)

        @app.get("/site.css")
        def css() -> Response:
            return Response(SITE_CSS, mimetype="text/css")

        @app.get("/<path:path>")
        def page(path: str) -> Response:
            if path not in self.pages:
                return Response(status=404)
            # The strictest policy that a site can have with the wall.
            policy = (
                f"default-src 'none'; script-src {self.origin}; connect-src {self.origin}; "
                f"img-src {self.origin}; style-src 'self'; base-uri 'none'; form-action 'none'"
            )
            headers = {"Content-Security-Policy": policy}
            return Response(self.pages[path], mimetype="text/html", headers=headers)

        return app
