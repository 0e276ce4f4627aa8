"""Several jobs processes that deliver webhooks beside each other, and one that dies."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from bitcache_server.services.deliver_webhooks import LEASE_MARGIN_S
from tests.support.receivers import Receiver, receiver, saying
from tests.support.shops import assert_nothing_lost
from tests.support.webhooks import attempts, deliveries, happen, listen, listening_world, states
from tests.support.workers import (
    PATIENCE_S,
    finish,
    run_jobs_until_told,
    server_of,
    spawn,
)
from tests.support.world import World

PROCESSES = 2
ENDPOINTS = 6
EVENTS = 25
TIMEOUT_S = 5
SETTINGS = {"webhook_allow_local": True, "webhook_timeout_s": TIMEOUT_S}


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    with listening_world(tmp_path, database_url, **SETTINGS) as world:
        yield world
        assert_nothing_lost(world)


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def wait_until_delivered(shop: World) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while set(states(shop)) != {"delivered"}:
        assert time.monotonic() < deadline, Counter(states(shop))
        time.sleep(0.1)


def test_two_processes_send_nothing_twice(shop: World, server: Receiver) -> None:
    for number in range(ENDPOINTS):
        listen(shop, f"http://127.0.0.1:{server.port}/{number}")
    happen(shop, EVENTS)
    running = [spawn(run_jobs_until_told, server_of(shop, **SETTINGS)) for _ in range(PROCESSES)]
    wait_until_delivered(shop)
    # What happens while they run is shared between them, too.
    happen(shop, EVENTS)
    wait_until_delivered(shop)
    for process in running:
        process.terminate()
    assert [finish(process) for process in running] == [0] * PROCESSES
    came = Counter((one.path, one.id) for one in server.received)
    assert set(came.values()) == {1}
    assert len(came) == ENDPOINTS * EVENTS * 2
    assert len(attempts(shop)) == len(came)


def test_killed_in_the_middle_it_is_sent_again(shop: World, server: Receiver) -> None:
    go_on = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        assert go_on.wait(PATIENCE_S)

    listen(shop, server.url)
    happen(shop, 3)
    server.answer = hang
    running = spawn(run_jobs_until_told, server_of(shop, **SETTINGS))
    server.wait()
    running.kill()
    assert finish(running) == -signal.SIGKILL
    go_on.set()
    assert states(shop) == ["waiting"] * 3
    assert attempts(shop) == []
    server.answer = saying(200)
    # Until the lease of the dead one is over nobody touches its endpoint.
    shop.clock.pass_time(TIMEOUT_S + LEASE_MARGIN_S)
    next_one = spawn(run_jobs_until_told, server_of(shop, **SETTINGS))
    wait_until_delivered(shop)
    next_one.terminate()
    assert finish(next_one) == 0
    assert len(server.ids) == 4
    assert server.ids[0] == server.ids[1]
    assert len(set(server.ids)) == len(deliveries(shop)) == 3
