"""Webhooks delivered a second by one jobs process, on PostgreSQL that keeps what it is told.

The yardstick is the same number of threads that send the same body to the same receiver and
keep nothing. The second row has as many dead endpoints as living ones beside them.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from bitcache_server.extensions import db
from bitcache_server.models import migrate
from bitcache_server.models.session import write_transaction
from bitcache_server.models.webhooks import WebhookEndpoint
from bitcache_server.services.deliver_webhooks import THREADS
from bitcache_server.services.merchants import add_merchant
from bitcache_server.services.webhook_events import emit
from tests.bench.server import served
from tests.bench.table import Row, in_turns
from tests.support.postgres import PostgresServer
from tests.support.webhooks import deliver, listen, listening_world, states
from tests.support.world import World

EVENTS = 100
#: For each dead endpoint: the run ends when all of them were tried, too.
DEAD_EVENTS = 10
#: Nobody listens there: a connection is refused at once.
DEAD = "http://127.0.0.1:1/hook"
BODY = '{"type":"test","timestamp":"2026-01-01T00:00:00Z","data":{"id":"x"}}'


def measure(seconds: float) -> Sequence[Row]:
    """Return the rows of webhooks."""
    with (
        PostgresServer(durable=True) as server,
        served("tests.bench.hook_receiver:create_app", {}) as receiver,
        _shop(server.create_database("alone"), f"{receiver}/hook", dead=0) as alone,
        _shop(server.create_database("beside"), f"{receiver}/hook", dead=THREADS) as beside,
    ):
        bare, ours, troubled = in_turns(
            lambda: _posts_per_second(f"{receiver}/hook", seconds),
            lambda: _delivered_per_second(alone),
            lambda: _delivered_per_second(beside),
        )
    what = f"webhooks delivered a second, {THREADS} endpoints, durable"
    return [
        Row(what, f"{ours:,.0f}", f"bare POSTs, {THREADS} threads: {bare:,.0f}", ours / bare, ""),
        Row(
            f"{what}, {THREADS} dead endpoints beside them",
            f"{troubled:,.0f}",
            f"without: {ours:,.0f}",
            troubled / ours,
            "≥ 0.5",
        ),
    ]


@contextmanager
def _shop(url: str, target: str, dead: int) -> Iterator[World]:
    migrate.upgrade(url)
    with TemporaryDirectory() as folder, listening_world(Path(folder), url) as world:
        for number in range(THREADS + dead):
            with write_transaction(world.session):
                merchant_id = add_merchant(world.deps, world.session, f"M{number}", None).id
            address = target if number < THREADS else DEAD
            listen(world, f"{address}?m={merchant_id}", merchant_id=merchant_id)
        db.session.remove()
        yield world


def _delivered_per_second(world: World) -> float:
    """Let the living endpoints have events, and return how fast they are delivered."""
    with world.app.app_context():
        endpoints = _endpoints(world)
        world.session.rollback()
        with write_transaction(world.session):
            for endpoint in endpoints:
                merchant_id = endpoint.url.partition("?m=")[2]
                for number in range(DEAD_EVENTS if endpoint.url.startswith(DEAD) else EVENTS):
                    data = {"id": str(number), "message": "bench"}
                    emit(world.deps, world.session, merchant_id, "test", data)
        began = time.perf_counter()
        deliver(world)
        spent_s = time.perf_counter() - began
        living = [
            state
            for one in _endpoints(world)
            if not one.url.startswith(DEAD)
            for state in states(world, one.id)
        ]
        if set(living) != {"delivered"}:
            raise RuntimeError("not everything was delivered")
        db.session.remove()
    return THREADS * EVENTS / spent_s


def _endpoints(world: World) -> Sequence[WebhookEndpoint]:
    """Return all endpoints, apart from the session."""
    found = world.session.query(WebhookEndpoint).order_by(WebhookEndpoint.id).all()
    world.session.expunge_all()
    return found


def _posts_per_second(url: str, seconds: float) -> float:
    """Return how many bodies the threads send when nothing is kept."""
    sent = [0] * THREADS
    ends_at = time.perf_counter() + seconds

    def post(number: int) -> None:
        with httpx.Client() as client:
            while time.perf_counter() < ends_at:
                client.post(url, content=BODY).raise_for_status()
                sent[number] += 1

    threads = [threading.Thread(target=post, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(sent) / seconds
