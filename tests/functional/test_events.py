"""GET /v1/invoices/{invoice_id}/events, served for real on a port of its own."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from sqlalchemy import make_url

from bitcache_server.app import THREADS
from bitcache_server.domain.errors import StorageUnavailable
from bitcache_server.extensions import db
from bitcache_server.http import events
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.services import views
from tests.bench.stock import environment
from tests.support.api import PROBLEM, open_world
from tests.support.databases import Databases
from tests.support.processes import free_ports
from tests.support.world import ORIGIN, Purchase, World

WITHIN_S = 60.0
#: Longer than any test waits: what comes was not brought by a look or by a heartbeat.
NEVER_S = 3_600.0


class Listener:
    """Granian in a thread of this process, with the app of a world."""

    def __init__(self, world: World) -> None:
        self._app = events.create_events(world.app)
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = Server(
            self._app,
            port=self.port,
            interface=Interfaces.ASGI,
            # Waiting readers are requests under way; Granian lets no more in than this.
            backpressure=1_000,
            log_level=LogLevels.critical,
        )
        self._started.set()
        await self._server.serve()

    def start(self) -> None:
        [self.port] = free_ports(1)
        self._thread.start()
        assert self._started.wait(WITHIN_S)
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), WITHIN_S).close()
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()


@dataclass
class Stream:
    """One waiting reader."""

    response: HTTPResponse
    connection: HTTPConnection
    comments: list[str] = field(default_factory=list)
    retry_ms: int = 0

    def next(self) -> dict[str, Any] | None:
        """Return the data of the next event, or None at the end of the stream."""
        fields: dict[str, str] = {}
        while line := self.response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "retry":
                self.retry_ms = int(value)
            elif line.startswith(":"):
                self.comments.append(line)
            elif name:
                fields[name] = value
            elif fields:
                assert fields["event"] == "invoice"
                data = dict(json.loads(fields["data"]))
                assert fields["id"] == str(data["version"])
                return data
        return None

    def close(self) -> None:
        self.response.close()
        self.connection.close()


@dataclass
class Waiting:
    """The listener of a world, as readers see it."""

    world: World
    listener: Listener
    streams: list[Stream] = field(default_factory=list)

    def ask(
        self, invoice_id: str, method: str = "GET", **headers: str
    ) -> tuple[HTTPConnection, HTTPResponse]:
        connection = HTTPConnection("127.0.0.1", self.listener.port, timeout=WITHIN_S)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/v1/invoices/{invoice_id}/events", headers=named)
        return connection, connection.getresponse()

    def status(self, purchase: Purchase, **headers: str) -> int:
        connection, response = self.ask(purchase.id, **headers)
        response.close()
        connection.close()
        return response.status

    def open(self, purchase: Purchase, **headers: str) -> Stream:
        connection, response = self.ask(purchase.id, **headers)
        assert response.status == 200, response.read()
        self.streams.append(Stream(response, connection))
        return self.streams[-1]

    def problem(self, invoice_id: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        connection, response = self.ask(invoice_id, method, **headers)
        assert response.headers["Content-Type"] == PROBLEM
        assert response.headers["Access-Control-Allow-Origin"] is None
        body = json.loads(response.read() or b'{"code": ""}')
        connection.close()
        return response.status, str(body["code"])


@contextmanager
def waiting_for(world: World) -> Iterator[Waiting]:
    listener = Listener(world)
    listener.start()
    waiting = Waiting(world, listener)
    try:
        yield waiting
    finally:
        for stream in waiting.streams:
            stream.close()
        listener.stop()


@pytest.fixture
def waiting(world: World) -> Iterator[Waiting]:
    with waiting_for(world) as made:
        yield made


@pytest.fixture
def start_waiting(start_world: Callable[..., World]) -> Iterator[Callable[..., Waiting]]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(waiting_for(start_world(**settings)))


@pytest.fixture
def hubs(monkeypatch: pytest.MonkeyPatch) -> list[events.InvoiceHub]:
    """Return the list of those that are made from now on."""
    made: list[events.InvoiceHub] = []
    build = events.InvoiceHub.__init__

    def remember(hub: events.InvoiceHub, *args: Any) -> None:
        build(hub, *args)
        made.append(hub)

    monkeypatch.setattr(events.InvoiceHub, "__init__", remember)
    return made


def test_one_event_at_once_one_after_the_payment_and_the_end(waiting: Waiting) -> None:
    world = waiting.world
    purchase = world.buy()
    stream = waiting.open(purchase, Origin=ORIGIN)
    headers = stream.response.headers
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert headers["Vary"] == "Origin"
    first = stream.next()
    assert stream.retry_ms == 3_000
    assert first == world.read(purchase)
    world.pay(purchase)
    paid = stream.next()
    assert paid is not None
    assert (paid["state"], paid["received_msat"]) == ("paid", 5_000_000)
    assert stream.next() is None


def test_each_step_is_told_to_everybody_who_waits(waiting: Waiting) -> None:
    world = waiting.world
    purchase, other = world.buy(), world.buy()
    streams = [waiting.open(purchase) for _ in range(3)]
    quiet = waiting.open(other)
    assert [stream.next()["state"] for stream in (*streams, quiet)] == ["open"] * 4  # type: ignore[index]  # an event
    world.pay(purchase, 2_000_000)
    assert [stream.next()["missing_msat"] for stream in streams] == [3_000_000] * 3  # type: ignore[index]  # an event
    world.pay(purchase, 3_000_000)
    assert [stream.next()["state"] for stream in streams] == ["paid"] * 3  # type: ignore[index]  # an event
    assert [stream.next() for stream in streams] == [None] * 3
    world.pay(other)
    assert (quiet.next() or {})["state"] == "paid"


def test_a_paid_invoice_is_told_once(waiting: Waiting) -> None:
    purchase = waiting.world.buy()
    waiting.world.pay(purchase)
    stream = waiting.open(purchase)
    assert (stream.next() or {})["state"] == "paid"
    assert stream.next() is None


def test_an_invoice_that_expires_can_still_be_paid(start_waiting: Callable[..., Waiting]) -> None:
    waiting = start_waiting()
    purchase = waiting.world.buy()
    stream = waiting.open(purchase)
    assert (stream.next() or {})["state"] == "open"
    waiting.world.expire(waiting.world.deps.settings.invoice_lifetime_s + 1)
    assert (stream.next() or {})["state"] == "expired"
    waiting.world.pay(purchase)
    assert (stream.next() or {})["credit_msat"] == 5_000_000


def test_a_change_between_reading_and_waiting_is_not_lost(
    start_waiting: Callable[..., Waiting], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = start_waiting()
    purchase = waiting.world.buy()
    real = views.invoice_view

    def pay_after_reading(*args: Any) -> Any:
        view = real(*args)
        monkeypatch.setattr(events, "invoice_view", real)
        # It is old by the time that the reader waits, and the poller will see no change.
        waiting.world.rail.pay(target, 5_000_000)
        with waiting.world.app.app_context():
            waiting.world.watch()
        return view

    target = waiting.world.target_of(purchase)
    # Nobody else wakes the reader: it must look again by itself.
    monkeypatch.setattr(events, "changed_since", lambda *_: [])
    monkeypatch.setattr(events, "invoice_view", pay_after_reading)
    stream = waiting.open(purchase)
    assert [(stream.next() or {})["state"] for _ in range(2)] == ["open", "paid"]


def test_what_the_look_missed_is_found(
    start_waiting: Callable[..., Waiting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that took long, or a clock that is wrong: its time is in the past."""
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.5)
    waiting = start_waiting()
    world = waiting.world
    purchase = world.buy()
    stream = waiting.open(purchase)
    assert stream.next() is not None
    with write_transaction(world.session):
        row = world.session.get_one(Invoice, purchase.id)
        row.changed_at = world.clock() - 3_600
        row.version += 1
    found = stream.next()
    assert found is not None
    assert found["version"] == purchase.invoice["version"] + 1


def test_a_heartbeat_shows_that_the_line_is_alive(
    start_waiting: Callable[..., Waiting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.2)
    waiting = start_waiting()
    stream = waiting.open(waiting.world.buy())
    stream.next()
    assert stream.response.readline() == b": still here\n"
    assert stream.response.readline() == b"\n"
    assert stream.response.readline() == b": still here\n"


def test_who_may_not_wait(waiting: Waiting) -> None:
    purchase = waiting.world.buy()
    for origin in ("https://evil.example", "null", ""):
        assert waiting.problem(purchase.id, Origin=origin) == (403, "origin_not_allowed")
    for odd, code in (
        ("in_unknown", "unknown_invoice"), ("%00", "not_found"), ("%FF%FE", "unknown_invoice"),
        ("%ED%A0%80", "unknown_invoice"), ("%E2%98%83", "unknown_invoice"), ("a%2Fb", "not_found"),
        ("a" * 4_000, "unknown_invoice"), (purchase.id.upper(), "unknown_invoice"),
    ):  # fmt: skip
        assert waiting.problem(odd) == (404, code), odd
    assert waiting.problem(purchase.id, "POST") == (405, "method_not_allowed")
    connection, response = waiting.ask(
        purchase.id, "HEAD", Origin=waiting.world.deps.settings.public_url
    )
    assert (response.status, response.read()) == (200, b"")
    connection.close()


def test_calls_and_places_are_limited_by_address(
    start_waiting: Callable[..., Waiting],
    hubs: list[events.InvoiceHub],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MAX_READERS_PER_BLOCK", 3)
    waiting = start_waiting(trusted_proxies=1, limit_reads_per_address="6/day")
    purchase = waiting.world.buy()

    def wait(chain: str) -> Stream:
        stream = waiting.open(purchase, X_Forwarded_For=chain)
        stream.next()
        return stream

    streams = [wait(f"192.0.2.1, 2001:db8::{n}") for n in range(3)]
    [hub] = hubs
    # Who has the first event is about to wait, and does so a moment later.
    until(lambda: hub.readers == 3)
    # What stands in front of the address that our proxy saw is the caller's invention.
    assert waiting.problem(purchase.id, X_Forwarded_For="192.0.2.9, 2001:db8::f") == (
        429,
        "rate_limited",
    )
    wait("2001:db8:0:1::1")
    for stream in streams:
        stream.close()
    until(lambda: hub.readers <= 1)
    assert waiting.status(purchase, X_Forwarded_For="2001:db8::f") == 200
    codes = [waiting.status(purchase, X_Forwarded_For="2001:db8::e") for _ in range(4)]
    assert codes[-1] == 429


def until(condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_three_hundred_readers_cost_no_threads_and_no_connections(
    databases: Databases, tmp_path: Path
) -> None:
    with (
        databases.fresh("postgresql") as url,
        open_world(url, tmp_path) as world,
        waiting_for(world) as waiting,
    ):
        purchases = [world.buy() for _ in range(30)]
        name = make_url(url).database
        streams = [waiting.open(purchase) for purchase in purchases]
        threads = len(os.listdir("/proc/self/task"))
        streams += [waiting.open(purchase) for _ in range(9) for purchase in purchases]
        assert all(stream.next() for stream in streams)
        # Some threads of the pools may have been idle before; they do not grow with readers.
        assert len(os.listdir("/proc/self/task")) <= threads + 10
        with databases.server.admin() as admin:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            row = admin.execute(query, [name]).fetchone()
        assert row is not None
        assert 1 <= row[0] <= THREADS + 2
        world.pay(purchases[0])
        assert [(s.next() or {})["state"] for s in streams[::30]] == ["paid"] * 10


def test_the_database_goes_away_and_comes_back(databases: Databases, tmp_path: Path) -> None:
    with (
        databases.fresh("postgresql") as url,
        open_world(url, tmp_path) as world,
        waiting_for(world) as waiting,
    ):
        purchase, late = world.buy(), world.buy()
        streams = [waiting.open(one) for one in (purchase, late)]
        assert all(stream.next() for stream in streams)
        db.session.remove()
        databases.server.halt()
        try:
            time.sleep(3 * events.POLL_S)
            assert waiting.problem(purchase.id) == (503, "storage_unavailable")
        finally:
            databases.server.start()
        world.clock.pass_time(5 * events.OVERLAP_S)
        world.pay(purchase)
        assert (streams[0].next() or {})["state"] == "paid"
        world.pay(late)
        assert (streams[1].next() or {})["state"] == "paid"


def test_what_happened_while_nobody_could_ask_is_told(
    start_waiting: Callable[..., Waiting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it took until the database could be reached again."""
    monkeypatch.setattr(events, "AWAY_S", 0.1)
    waiting = start_waiting()
    world = waiting.world
    purchase = world.buy()
    stream = waiting.open(purchase)
    assert stream.next() is not None
    asked = threading.Event()

    def fail(*_: object) -> None:
        asked.set()
        raise StorageUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(events, "changed_since", fail)
        assert asked.wait(WITHIN_S)
        world.pay(purchase)
        world.clock.pass_time(100 * events.OVERLAP_S)
        asked.clear()
        assert asked.wait(WITHIN_S)
    assert (stream.next() or {})["state"] == "paid"


def test_readers_who_leave_are_forgotten(
    start_waiting: Callable[..., Waiting],
    hubs: list[events.InvoiceHub],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.2)
    waiting = start_waiting()
    streams = [waiting.open(waiting.world.buy()) for _ in range(10)]
    assert all(stream.next() for stream in streams)
    [hub] = hubs
    until(lambda: hub.readers == 10)
    for stream in streams:
        stream.close()
    until(lambda: hub.readers == 0)


def test_a_payment_is_told_without_anybody_asking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database says that something changed: nobody waits for the next look."""
    for name in ("POLL_S", "SLOW_POLL_S", "HEARTBEAT_S"):
        monkeypatch.setattr(events, name, NEVER_S)
    with waiting_for(world) as waiting:
        purchase, other = world.buy(), world.buy()
        stream, quiet = waiting.open(purchase), waiting.open(other)
        assert [(s.next() or {})["state"] for s in (stream, quiet)] == ["open"] * 2
        world.pay(purchase)
        assert (stream.next() or {})["state"] == "paid"
        # The other one was told nothing in the meantime: the next word is about its own.
        world.pay(other)
        assert (quiet.next() or {})["state"] == "paid"


def test_without_a_word_from_the_database_it_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(*_: object) -> None:
        raise OSError("Nobody listens.")

    monkeypatch.setattr(events, "listen", deaf)
    monkeypatch.setattr(events, "SLOW_POLL_S", NEVER_S)
    with waiting_for(world) as waiting:
        purchase = world.buy()
        stream = waiting.open(purchase)
        assert stream.next() is not None
        world.pay(purchase)
        assert (stream.next() or {})["state"] == "paid"


def test_the_line_to_the_database_is_taken_up_again(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "AWAY_S", 0.1)
    for name in ("SLOW_POLL_S", "HEARTBEAT_S"):
        monkeypatch.setattr(events, name, NEVER_S)
    listening = "FROM pg_stat_activity WHERE datname = %s AND query LIKE 'LISTEN%%'"
    with (
        databases.fresh("postgresql") as url,
        open_world(url, tmp_path) as world,
        databases.server.admin() as admin,
        waiting_for(world) as waiting,
    ):
        database = [make_url(url).database]

        def pids() -> set[int]:
            return {row[0] for row in admin.execute(f"SELECT pid {listening}", database)}

        until(lambda: len(pids()) == 1)
        purchase = world.buy()
        stream = waiting.open(purchase)
        assert stream.next() is not None
        first = pids()
        admin.execute(f"SELECT pg_terminate_backend(pid) {listening}", database)
        until(lambda: len(pids() - first) == 1)
        world.pay(purchase)
        assert (stream.next() or {})["state"] == "paid"


def _set_clock(world: World) -> None:
    """Set the world's clock, which stands still, to that of servers of their own, the real one."""
    world.clock.pass_time(int(time.time()) - world.clock())


def test_readers_of_several_processes_are_told(world: World, tmp_path: Path) -> None:
    """The payment is booked by a process in which nobody waits."""
    _set_clock(world)
    url = world.deps.settings.database_url
    with ExitStack() as stack:
        ports = [stack.enter_context(served(environment(str(tmp_path), url))) for _ in range(2)]
        paid, other = world.buy(), world.buy()
        streams = []
        for port in ports:
            for purchase in (paid, other):
                streams.append(stack.enter_context(reading(port, purchase)))
        assert [(s.next() or {})["state"] for s in streams] == ["open"] * 4
        _set_clock(world)
        world.pay(paid)
        assert [(s.next() or {})["state"] for s in streams[::2]] == ["paid"] * 2
        _set_clock(world)
        world.pay(other)
        assert [(s.next() or {})["state"] for s in streams[1::2]] == ["paid"] * 2


@contextmanager
def reading(port: int, purchase: Purchase) -> Iterator[Stream]:
    connection = HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
    connection.request("GET", f"/v1/invoices/{purchase.id}/events")
    stream = Stream(connection.getresponse(), connection)
    assert stream.response.status == 200
    yield stream
    stream.close()


@contextmanager
def served(variables: dict[str, str]) -> Iterator[int]:
    """Serve the events in a process of its own; give the port."""
    [port] = free_ports(1)
    command = [
        sys.executable, "-m", "granian", "bitcache_server.app:create_events_app", "--factory",
        "--interface", "asgi", "--port", str(port), "--no-access-log", "--log-level", "critical",
    ]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, **variables}, start_new_session=True)
    try:
        until(lambda: answers(port), 3 * WITHIN_S)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), WITHIN_S).close()
    except ConnectionRefusedError:
        return False
    return True
