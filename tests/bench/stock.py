"""A stocked server for benchmarks: settings as environment, one item, one grant."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bitcache_server.extensions import db
from bitcache_server.models import migrate
from tests.support.world import START, World, make_settings, make_world

UNLIMITED = "100000000/second"
SECRET_KEY = "bench-" * 8


@dataclass(frozen=True)
class Stock:
    """What a load generator needs."""

    environment: dict[str, str]
    article_id: str
    grant: str
    challenge: str


@contextmanager
def stocked(database_url: str) -> Iterator[Stock]:
    """Give a migrated database with an item that somebody bought."""
    migrate.upgrade(database_url)
    with TemporaryDirectory() as folder:
        world = make_world(make_settings(Path(folder), database_url, gap_limit=100_000))
        with world.app.app_context():
            purchase = world.buy()
            world.pay(purchase)
            grant = world.grant(purchase)
            challenge = world.stored(purchase).challenge
            _keep_fresh(world)
            db.session.remove()
            db.engine.dispose()
        yield Stock(environment(folder, database_url), world.article_id, grant, challenge)


def _keep_fresh(world: World) -> None:
    """Let rates and rail health count as fresh for the real clock of the server."""
    import time

    from bitcache_server.services.rail_health import record_health
    from bitcache_server.services.refresh_rates import refresh_rates

    world.clock.pass_time(int(time.time()) - START)
    record_health(world.deps, world.session, world.rail)
    refresh_rates(world.deps, world.session)


def environment(folder: str, database_url: str) -> dict[str, str]:
    """Return the settings of a server under load, as environment variables."""
    values = {
        "ENVIRONMENT": "test",
        "SECRET_KEY": SECRET_KEY,
        "DATA_DIR": folder,
        "DATABASE_URL": database_url,
        "PUBLIC_URL": "https://pay.example",
        "RAILS": "fake",
        "NETWORK": "regtest",
        "ONCHAIN_DESCRIPTOR": "operator",
        "FIXED_RATES": json.dumps({"USD": "1000"}),
        "GAP_LIMIT": "100000",
        "LIMIT_INVOICES_PER_ADDRESS": UNLIMITED,
        "LIMIT_INVOICES_PER_SITE": UNLIMITED,
        "LIMIT_READS_PER_ADDRESS": UNLIMITED,
        "LIMIT_UNLOCKS_PER_ADDRESS": UNLIMITED,
    }
    return {f"BITCACHE_{name}": value for name, value in values.items()}
