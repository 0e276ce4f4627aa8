"""Invoices with a Lightning request through our API: beside LNbits, and beside the bare node.

Beside LNbits both have a node that costs nothing, ours the scripted one and LNbits its
FakeWallet, and each sale is one call. Beside the bare node it is a real Electrum daemon, and
the question is what our API adds to its own ``add_request``.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from bitcache_server.extensions import db
from bitcache_server.models import migrate
from bitcache_server.services.refresh_rates import refresh_rates
from demo.regtest.electrum_daemon import ElectrumDaemon
from demo.regtest.lightning import LightningNetwork
from tests.bench.lnbits import open_peer
from tests.bench.readers import SERVER_OPTIONS
from tests.bench.server import CONNECTIONS, requests_per_second, served
from tests.bench.stock import environment
from tests.bench.table import Row, in_turns
from tests.bench.unlocks import WORKERS
from tests.support.lightning_world import lightning_settings, make_lightning_world
from tests.support.lnbits import VERSION
from tests.support.postgres import PostgresServer
from tests.support.world import ORIGIN, sha256_challenge

PRICE_SAT = 5_000
WARM_UP = 5
MOST_CALLS = 200
PEER = (
    f"LNbits {VERSION}: FakeWallet, one process as it ships, the same PostgreSQL server, wrk with "
    f"{CONNECTIONS} connections for both; POST /api/v1/payments there, POST /v1/invoices with "
    '"rail": "lightning" here'
)


@dataclass(frozen=True)
class _Shop:
    environment: dict[str, str]
    article_id: str

    @property
    def order(self) -> dict[str, str]:
        """Return what a reader's browser sends."""
        challenge = sha256_challenge("bench" * 10)
        return {"item": self.article_id, "challenge": challenge, "rail": "lightning"}


def measure(seconds: float) -> Sequence[Row]:
    """Return the rows of both comparisons."""
    print(f"  ours: {WORKERS} workers, durable commits\n  {PEER}")
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(durable=True, options=SERVER_OPTIONS))
        return [_beside_lnbits(server, seconds), _beside_electrum(server, seconds)]


def _beside_lnbits(server: PostgresServer, seconds: float) -> Row:
    with ExitStack() as stack:
        shop = stack.enter_context(_stocked(server.create_database("scripted")))
        extra = {"BITCACHE_LIGHTNING_BACKEND": "scripted"}
        ours = stack.enter_context(_serve(shop, extra))
        peer = open_peer(stack, server.create_database("peer"))
        script = _post(shop)
        theirs, made = in_turns(
            lambda: peer.invoices_per_second(seconds),
            lambda: requests_per_second(f"{ours}/v1/invoices", seconds, script),
        )
    return Row(
        "invoices with a Lightning request a second, scripted node, durable",
        f"{made:,.0f}",
        f"LNbits {VERSION}, FakeWallet: {theirs:,.1f}",
        made / theirs,
        "≥ 25",
    )


def _beside_electrum(server: PostgresServer, seconds: float) -> Row:
    with ExitStack() as stack:
        shop = stack.enter_context(_stocked(server.create_database("electrum")))
        node = stack.enter_context(LightningNetwork()).merchant
        extra = {
            "BITCACHE_LIGHTNING_BACKEND": "electrum",
            "BITCACHE_LIGHTNING_URL": node.url,
            "BITCACHE_LIGHTNING_SECRET": node.user_password,
        }
        ours = stack.enter_context(_serve(shop, extra))
        client = stack.enter_context(httpx.Client(base_url=ours, headers={"Origin": ORIGIN}))
        bare_ms, ours_ms = _latencies_ms(node, client, shop, seconds)
    return Row(
        "an invoice through our API over a real Electrum daemon, median",
        f"{ours_ms:.1f} ms, {ours_ms - bare_ms:.1f} ms of them added",
        f"its own add_request: {bare_ms:.1f} ms",
        ours_ms / bare_ms,
        "—",
    )


def _latencies_ms(
    node: ElectrumDaemon, client: httpx.Client, shop: _Shop, seconds: float
) -> tuple[float, float]:
    """Return the medians of both, called in turns one at a time."""
    bare: list[float] = []
    ours: list[float] = []
    ends_at = time.monotonic() + 2 * seconds + WARM_UP
    while len(ours) < MOST_CALLS and time.monotonic() < ends_at:
        began = time.perf_counter()
        node.invoice(PRICE_SAT, "bench", 900)
        between = time.perf_counter()
        client.post("/v1/invoices", json=shop.order).raise_for_status()
        bare.append(1_000 * (between - began))
        ours.append(1_000 * (time.perf_counter() - between))
    return median(bare[WARM_UP:]), median(ours[WARM_UP:])


@contextmanager
def _stocked(database_url: str) -> Iterator[_Shop]:
    """Give a migrated database with an article, and a rail that was well a moment ago."""
    migrate.upgrade(database_url)
    with TemporaryDirectory() as folder:
        world = make_lightning_world(lightning_settings(Path(folder), database_url))
        with world.app.app_context():
            world.clock.now = int(time.time())
            world.record_health()
            refresh_rates(world.deps, world.session)
            db.session.remove()
            db.engine.dispose()
        settings = environment(folder, database_url) | {"BITCACHE_RAILS": "fake,lightning"}
        yield _Shop(settings, world.article_id)


@contextmanager
def _serve(shop: _Shop, extra: dict[str, str]) -> Iterator[str]:
    target = "bitcache_server.app:create_app"
    with served(target, {**shop.environment, **extra}, WORKERS) as url:
        yield url


def _post(shop: _Shop) -> str:
    return (
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.body = [[{json.dumps(shop.order)}]]"
    )
