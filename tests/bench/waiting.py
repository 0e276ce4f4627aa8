"""Waiting readers: memory, CPU, and how soon the one whose payment came hears of it.

The server has one core. Each reader waits for an invoice of their own, from an address of
their own, over a connection of their own; while nothing happens, all stay quiet.
"""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sqlalchemy import text

from bitcache_server.cli.listeners import EVENTS_BUFFER_BYTES
from bitcache_server.extensions import db
from bitcache_server.models import migrate
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from tests.bench.stock import environment
from tests.bench.table import Row
from tests.support.postgres import PostgresServer
from tests.support.world import Purchase, World, make_settings, make_world

COUNTS = (1_000, 10_000)
OPEN_AT_ONCE = 50
SETTLEMENTS = 20
START_TIMEOUT_S = 30
BUDGET_MB = 300
BUDGET_MS = 200
#: Besides the readers: the database, the listener, what Python holds open.
SPARE_FILES = 500


def measure(seconds: float) -> Sequence[Row]:
    """Return the rows of waiting readers, over both databases."""
    _allow_files(max(COUNTS) + SPARE_FILES)
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        rows += _measure("SQLite", f"sqlite:///{Path(folder, 'bench.db')}", seconds)
    with PostgresServer() as server:
        rows += _measure("PostgreSQL", server.create_database("bench"), seconds)
    return rows


def _measure(engine: str, url: str, seconds: float) -> list[Row]:
    migrate.upgrade(url)
    rows = []
    with TemporaryDirectory() as folder:
        world = make_world(make_settings(Path(folder), url, gap_limit=100_000))
        with world.app.app_context():
            for count in COUNTS:
                rows += _with_readers(engine, world, environment(folder, url), count, seconds)
            db.session.remove()
            db.engine.dispose()
    return rows


def _with_readers(
    engine: str, world: World, settings: dict[str, str], count: int, seconds: float
) -> list[Row]:
    paying = [world.buy() for _ in range(SETTLEMENTS)]
    ids = [*(purchase.id for purchase in paying), *_copies(world, paying[0], count - SETTLEMENTS)]
    with _events_server(settings) as (port, pid), _Readers(port, ids) as readers:
        time.sleep(2)
        memory_mb, before = _memory_mb(pid), _cpu_s(pid)
        time.sleep(seconds)
        load = (_cpu_s(pid) - before) / seconds
        waits_ms = [_settle(world, purchase, readers) for purchase in paying]
        others = sum(readers.told.values()) - SETTLEMENTS
    if others:
        raise RuntimeError(f"{others} readers were told of what is not theirs.")
    what = f"{count:,} waiting readers, {engine}"
    wait_ms, worst_ms = median(waits_ms), max(waits_ms)
    return [
        Row(f"{what}: memory", f"{memory_mb:.0f} MB", f"{BUDGET_MB} MB", memory_mb / BUDGET_MB,
            "≤ 1"),
        Row(f"{what}: CPU while nothing happens", f"{load:.1%}", "one core", load, ""),
        Row(f"{what}: settled to told, median", f"{wait_ms:.0f} ms (worst {worst_ms:.0f})",
            f"{BUDGET_MS} ms", wait_ms / BUDGET_MS, "≤ 1"),
    ]  # fmt: skip


def _settle(world: World, purchase: Purchase, readers: "_Readers") -> float:
    """Pay an invoice; return the time from the beginning of its booking to the reader, in ms."""
    world.session.rollback()
    world.rail.pay(world.target_of(purchase), purchase.invoice["amount_msat"])
    began = time.perf_counter()
    world.watch()
    return 1_000 * (readers.told_at(purchase.id) - began)


def _copies(world: World, purchase: Purchase, count: int) -> list[str]:
    """Add invoices like one that there is, without a way to pay them."""
    ids = [f"{purchase.id[:12]}{number:010}" for number in range(count)]
    with write_transaction(world.session):
        columns = [column.name for column in Invoice.__table__.columns if column.name != "id"]
        names = ", ".join(columns)
        statement = text(
            f"INSERT INTO invoices (id, {names}) SELECT :new, {names} FROM invoices WHERE id = :old"
        )
        world.session.execute(statement, [{"new": new, "old": purchase.id} for new in ids])
    return ids


class _Readers:
    """Connections that wait, in a thread of their own."""

    def __init__(self, port: int, ids: Sequence[str]) -> None:
        self.told: dict[str, int] = dict.fromkeys(ids, 0)
        self._port, self._ids = port, ids
        self._at: dict[str, float] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._writers: list[asyncio.StreamWriter] = []

    def __enter__(self) -> "_Readers":
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open_all(), self._loop).result()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def told_at(self, invoice_id: str) -> float:
        """Return when a reader heard of their payment; raise RuntimeError if they never do."""
        with self._changed:
            if not self._changed.wait_for(lambda: invoice_id in self._at, START_TIMEOUT_S):
                raise RuntimeError("A reader was not told.")
            return self._at[invoice_id]

    async def _open_all(self) -> None:
        gate = asyncio.Semaphore(OPEN_AT_ONCE)
        await asyncio.gather(*(self._open(gate, n, one) for n, one in enumerate(self._ids)))

    async def _open(self, gate: asyncio.Semaphore, number: int, invoice_id: str) -> None:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**14)
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            head = f"GET /v1/invoices/{invoice_id}/events HTTP/1.1\r\nHost: localhost\r\n"
            writer.write(f"{head}X-Forwarded-For: {address}\r\n\r\n".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer[:20]:
                raise RuntimeError(answer.decode())
            await reader.readuntil(b"event: invoice")
            self._writers.append(writer)
        self._loop.create_task(self._listen(reader, invoice_id))

    async def _listen(self, reader: asyncio.StreamReader, invoice_id: str) -> None:
        try:
            while True:
                await reader.readuntil(b"event: invoice")
                with self._changed:
                    self.told[invoice_id] += 1
                    self._at.setdefault(invoice_id, time.perf_counter())
                    self._changed.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    async def _close_all(self) -> None:
        for writer in self._writers:
            writer.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def _events_server(settings: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Serve the events on one core; give the port and the process that answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    core = str(min(os.sched_getaffinity(0)))
    command = [
        "taskset", "-c", core, sys.executable, "-m", "granian",
        "bitcache_server.app:create_events_app", "--factory", "--interface", "asgi",
        "--port", str(port), "--workers", "1", "--backpressure", str(2 * max(COUNTS)),
        # As bitcache_server/cli/listeners.py has it.
        "--http", "1", "--no-ws", "--http1-buffer-size", str(EVENTS_BUFFER_BYTES),
        "--no-access-log", "--log-level", "error",
    ]  # fmt: skip
    extra = {"BITCACHE_TRUSTED_PROXIES": "1"}
    process = subprocess.Popen(
        command, env={**os.environ, **settings, **extra}, start_new_session=True
    )
    try:
        _wait_for(port, process)
        yield port, _worker_of(process.pid)
    finally:
        # It would wait for thousands of connections to end.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    ends_at = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start")


def _worker_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return max((int(child) for child in children), key=_memory_mb)


def _memory_mb(pid: int) -> float:
    """Return the memory that a process really holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RuntimeError(f"The system allows {hard} open files; {wanted} are needed (ulimit -n).")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
