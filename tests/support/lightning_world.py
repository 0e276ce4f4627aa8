"""A whole server whose readers pay over Lightning first: a scripted node, and the fake chain."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bitcache_server import wiring
from bitcache_server.app import create_app
from bitcache_server.domain.clock import Clock
from bitcache_server.extensions import db
from bitcache_server.rails.fake import FakeRail
from bitcache_server.rails.lightning.backend import LightningBackend
from bitcache_server.rails.lightning.lnurl_client import LnurlClient
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.rails.lightning.registry import BackendSettings
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from bitcache_server.rates.fixed import FixedRates
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.watch_stream import check_requests, watch_stream
from bitcache_server.settings import Settings
from tests.support.world import MovableClock, Purchase, World, make_settings, stock

BACKEND = "scripted"


@dataclass
class LightningWorld(World):
    """A world whose ``rail`` is the fake chain and whose ``lightning`` is a scripted node."""

    lightning: ScriptedBackend = field(kw_only=True)

    @property
    def lightning_rail(self) -> LightningRail:
        """Return the rail that readers pay over."""
        rail = self.deps.rails["lightning"]
        assert isinstance(rail, LightningRail)
        return rail

    def buy(self, item_id: str | None = None, rail: str | None = "lightning") -> Purchase:
        """Create an invoice with a fresh verifier, and ask for its Lightning invoice."""
        return super().buy(item_id, rail)

    def settle(self) -> int:
        """Run the watch of the node once without waiting; return what it reported."""
        self.session.rollback()
        return watch_stream(self.deps, self.session, self.lightning_rail, 0)

    def check_requests(self) -> int:
        """Run the job that asks about requests which the stream does not report."""
        self.session.rollback()
        return check_requests(self.deps, self.session, self.lightning_rail)

    def record_health(self) -> None:
        """Run the job that asks every rail how it is."""
        for rail in self.deps.rails.values():
            record_health(self.deps, self.session, rail)

    def pay_lightning(self, purchase: Purchase, amount_msat: int | None = None) -> str:
        """Pay the Lightning invoice and let the jobs see it; return the payment hash."""
        payment_hash = str(lightning_request(purchase.invoice)["payment_hash"])
        self.lightning.pay(payment_hash, amount_msat)
        self.settle()
        return payment_hash


def lightning_request(invoice: dict[str, Any]) -> dict[str, Any]:
    """Return how an invoice, as the API shows it, is paid over Lightning."""
    [request] = [r for r in invoice["requests"] if r["rail"] == "lightning"]
    return dict(request)


def facts_of(request: dict[str, Any]) -> dict[str, Any]:
    """Return what a Lightning invoice commits to, as the API shows it."""
    return dict(json.loads(request["description"]))


def make_lightning_rail(
    backend: LightningBackend | None,
    settings: Settings,
    clock: Clock,
    lnurl: LnurlClient | None = None,
) -> LightningRail:
    """Return the rail as ``wiring`` builds it, over any backend."""
    return LightningRail(
        backend=backend,
        lnurl=lnurl or wiring.lnurl_client(settings, clock),
        network=settings.network,
        fee_ppm=settings.lightning_fee_ppm,
        fee_min_msat=settings.lightning_fee_min_sat * 1_000,
        pay_wait_s=settings.lightning_pay_wait_s,
        clock=clock,
    )


def scripted_backend(clock: Clock) -> ScriptedBackend:
    """Return a node that does what a test says, at the test's time."""
    nothing = BackendSettings(
        url="", secret="", payout_secret="", certificate="", timeout_s=1, allow_fake=True
    )
    return ScriptedBackend(nothing, clock)


def make_lightning_world(
    settings: Settings,
    *,
    lnurl: LnurlClient | None = None,
    with_node: bool = True,
    direct: bool = False,
) -> LightningWorld:
    """Build a server over a migrated database; push an app context before using it."""
    clock = MovableClock()
    lightning, chain = scripted_backend(clock), FakeRail(allow=True)
    rail = make_lightning_rail(lightning if with_node else None, settings, clock, lnurl)
    sources = [FixedRates(settings.fixed_rates)]
    deps = wiring.build(
        settings, clock=clock, rails={"fake": chain, "lightning": rail}, rate_sources=sources
    )
    world = LightningWorld(
        app=create_app(deps), deps=deps, rail=chain, clock=clock, lightning=lightning
    )
    with world.app.app_context():
        stock(world, direct)
        world.record_health()
        world.settle()
    return world


@contextmanager
def opened_lightning_world(
    folder: Path,
    database_url: str,
    *,
    lnurl: LnurlClient | None = None,
    with_node: bool = True,
    direct: bool = False,
    **settings: Any,
) -> Iterator[LightningWorld]:
    """Give a stocked world with some settings of its own."""
    made = make_lightning_world(
        lightning_settings(folder, database_url, with_node=with_node, **settings),
        lnurl=lnurl,
        with_node=with_node,
        direct=direct,
    )
    with made.app.app_context():
        yield made
        db.session.remove()
        db.engine.dispose()


def lightning_settings(
    folder: Path, database_url: str, *, with_node: bool = True, **overrides: Any
) -> Settings:
    """Return the settings of a world with a scripted node, or without any."""
    backend = BACKEND if with_node else ""
    return make_settings(
        folder,
        database_url,
        **{"rails": ["fake", "lightning"], "lightning_backend": backend, **overrides},
    )


@pytest.fixture
def lightning_world(database_url: str, tmp_path: Path) -> Iterator[LightningWorld]:
    """Return a stocked server with Lightning, once on each database engine."""
    with opened_lightning_world(tmp_path, database_url) as made:
        yield made
