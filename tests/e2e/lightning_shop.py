"""The real server with a scripted Lightning node, and the pages of a site that sells over it."""

from pathlib import Path
from typing import Any

from sqlalchemy import select

from bitcache_server.extensions import db
from bitcache_server.models.sales import RequestRow
from tests.e2e.live_shop import LiveShop
from tests.support.lightning_world import LightningWorld, lightning_settings, make_lightning_world


class LightningShop(LiveShop):
    """A live shop whose articles can be paid over Lightning."""

    world: LightningWorld

    def _make_world(
        self, folder: Path, database_url: str, values: dict[str, Any]
    ) -> LightningWorld:
        return make_lightning_world(lightning_settings(folder, database_url, **values))

    def pay(self, bolt11: str) -> None:
        """Pay an invoice as any wallet would, and let the server hear of it."""
        with self.world.app.app_context():
            query = select(RequestRow.target).where(RequestRow.destination == bolt11)
            payment_hash = db.session().scalars(query).one()
            self.world.lightning.pay(payment_hash)
            self.world.settle()
            db.session.remove()
