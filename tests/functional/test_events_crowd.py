"""Hundreds of readers wait at two processes of one server: a payment is told to its own alone."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.bench.stock import environment
from tests.support.api import open_world
from tests.support.processes import PATIENCE_S, answers, family, free_ports, until
from tests.support.shops import assert_nothing_lost
from tests.support.world import Purchase, World

SERVERS = 2
INVOICES = 30
READERS_EACH = 10
"""At each server, so 300 wait at each, which is within what one address may have open."""


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as made:
        _set_clock(made)
        made.watch()
        yield made
        assert_nothing_lost(made)


def _set_clock(shop: World) -> None:
    """Set the world's clock, which stands still, to that of the servers, which is the real one."""
    shop.clock.pass_time(int(time.time()) - shop.clock())


@contextmanager
def _events_server(folder: Path, database_url: str) -> Iterator[int]:
    """Serve the events as ``bitcache serve`` does; give the port."""
    port, other = free_ports(2)
    ports = {"BITCACHE_EVENTS_PORT": str(port), "BITCACHE_PORT": str(other)}
    process = subprocess.Popen(
        [sys.executable, "-m", "bitcache_server", "serve", "--only", "events"],
        env={**os.environ, **environment(str(folder), database_url), **ports},
    )
    try:
        until(lambda: answers(port), "the events are served")
        yield port
    finally:
        for pid in (process.pid, *family(process.pid)):
            os.kill(pid, signal.SIGKILL)
        process.wait()


@dataclass
class Crowd:
    """Readers with a connection each, and what each of them was told."""

    ports: Sequence[int]
    purchases: Sequence[Purchase]
    told: dict[tuple[int, str, int], list[str]] = field(default_factory=dict)
    """The states that a reader was told, by server, invoice and number."""
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _reading: list[asyncio.Task[None]] = field(default_factory=list)

    async def gather(self) -> None:
        """Let everybody come, and wait until all of them were told how things stand."""
        for port in self.ports:
            for purchase in self.purchases:
                for number in range(READERS_EACH):
                    told = self.told[port, purchase.id, number] = []
                    reading = self._read(port, purchase.id, told)
                    self._reading.append(asyncio.create_task(reading))
        await self.until(lambda: all(told == ["open"] for told in self.told.values()))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for news after which it is so."""
        async with self._news, asyncio.timeout(PATIENCE_S):
            await self._news.wait_for(lambda: condition() or self._failed())
        for task in self._failed():
            task.result()

    async def heard(self, purchase: Purchase) -> None:
        """Wait until all readers of an invoice were told that it is paid."""
        await self.until(lambda: set(self._told_of(purchase)) == {("open", "paid")})

    def quiet(self, *paid: Purchase) -> bool:
        """Return whether everybody else was told nothing since they came."""
        ids = {purchase.id for purchase in paid}
        return all(told == ["open"] for (_, one, _), told in self.told.items() if one not in ids)

    async def end(self) -> None:
        """Wait until every stream has ended."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self._reading)

    def _told_of(self, purchase: Purchase) -> list[tuple[str, ...]]:
        return [tuple(told) for (_, one, _), told in self.told.items() if one == purchase.id]

    def _failed(self) -> list[asyncio.Task[None]]:
        return [task for task in self._reading if task.done() and task.exception()]

    async def _read(self, port: int, invoice_id: str, told: list[str]) -> None:
        # By hand: a client that does more would be what is kept busy here.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            path = f"/v1/invoices/{invoice_id}/events"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status = await reader.readline()
            assert b" 200 " in status, status
            async for line in reader:
                if line.startswith(b"data: "):
                    told.append(json.loads(line.removeprefix(b"data: "))["state"])
                    await self._tell()
                elif line == b"0\r\n":
                    return  # the last piece
        finally:
            writer.close()
            await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


async def _wait_together(shop: World, ports: Sequence[int], purchases: list[Purchase]) -> None:
    crowd = Crowd(ports, purchases)
    await crowd.gather()
    assert len(crowd.told) == SERVERS * INVOICES * READERS_EACH
    first, second, *others = purchases
    _set_clock(shop)
    shop.pay(first)
    await crowd.heard(first)
    # When the next ones hear of theirs, all that the first payment caused has been said.
    _set_clock(shop)
    shop.pay(second)
    await crowd.heard(second)
    assert crowd.quiet(first, second)
    _set_clock(shop)
    for purchase in others:
        shop.rail.pay(shop.target_of(purchase), purchase.invoice["amount_msat"])
    shop.watch()
    await crowd.end()
    assert {tuple(told) for told in crowd.told.values()} == {("open", "paid")}


def test_a_payment_is_told_to_its_own_readers_at_both_servers(shop: World, tmp_path: Path) -> None:
    url = shop.deps.settings.database_url
    with ExitStack() as stack:
        ports = [stack.enter_context(_events_server(tmp_path, url)) for _ in range(SERVERS)]
        purchases = [shop.buy() for _ in range(INVOICES)]
        asyncio.run(_wait_together(shop, ports, purchases))
