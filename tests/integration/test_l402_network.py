"""L402 with real money: a client's wallet pays over a channel and gets the file."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from l402_requests.wallets import WalletBase

from bitcache_server import wiring
from bitcache_server.app import create_app
from bitcache_server.extensions import db
from bitcache_server.models.sales import Invoice
from bitcache_server.rails.fake import FakeRail
from bitcache_server.rates.fixed import FixedRates
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.watch_stream import watch_stream
from demo.regtest.lightning import LightningNetwork
from tests.functional.test_http_downloads import SONG
from tests.functional.test_l402_clients import l402_client, sold
from tests.support.databases import Databases
from tests.support.lightning_network import electrum_backend
from tests.support.lightning_world import lightning_settings, make_lightning_rail
from tests.support.shops import assert_nothing_lost
from tests.support.world import PUBLIC_URL, MovableClock, World, stock

WITHIN_S = 120


class RealClock(MovableClock):
    """The time of the wallets, which nobody moves."""

    def __call__(self) -> int:
        """Return Unix seconds."""
        return int(time.time())


class ReadersWallet(WalletBase):  # type: ignore[misc]  # it publishes no types
    """The reader's Electrum wallet."""

    def __init__(self, network: LightningNetwork) -> None:
        self.network = network
        self.paid: list[str] = []

    async def pay_invoice(self, bolt11: str) -> str:
        self.paid.append(bolt11)
        return self.network.reader.pay(bolt11)


@pytest.fixture
def real_shop(
    lightning_network: LightningNetwork, databases: Databases, tmp_path: Path
) -> Iterator[World]:
    """Return a server whose node is the merchant's wallet of the network."""
    with databases.fresh("sqlite") as url:
        settings, clock = lightning_settings(tmp_path, url), RealClock()
        backend = electrum_backend(lightning_network.merchant)
        rail, chain = make_lightning_rail(backend, settings, clock), FakeRail(allow=True)
        deps = wiring.build(
            settings,
            clock=clock,
            rails={"fake": chain, "lightning": rail},
            rate_sources=[FixedRates(settings.fixed_rates)],
        )
        world = World(app=create_app(deps), deps=deps, rail=chain, clock=clock)
        with world.app.app_context():
            stock(world, False)
            record_health(deps, world.session, rail)
            watch_stream(deps, world.session, rail, 0)
            yield world
            db.session.remove()
            db.engine.dispose()
        backend.close()


def test_a_client_pays_over_a_channel_and_gets_the_file(
    lightning_network: LightningNetwork, real_shop: World
) -> None:
    world = real_shop
    world.session.rollback()
    wallet = ReadersWallet(lightning_network)
    client = l402_client(world, wallet)
    address = f"{PUBLIC_URL}/v1/files/{world.file_id}"
    answer = client.get(address)
    assert (answer.status_code, answer.content == SONG) == (200, True)
    part = client.get(address, headers={"Range": "bytes=-5"})
    assert (part.status_code, part.content) == (206, SONG[-5:])
    rail = world.deps.stream_rails[0]
    ends_at = time.monotonic() + WITHIN_S
    while watch_stream(world.deps, world.session, rail, 1) == 0:
        assert time.monotonic() < ends_at
    assert len(wallet.paid) == 1
    assert sold(world) == (1, 1)
    [invoice] = world.session.query(Invoice).all()
    assert (invoice.state, invoice.received_msat) == ("paid", 7_000_000)
    assert_nothing_lost(world)
