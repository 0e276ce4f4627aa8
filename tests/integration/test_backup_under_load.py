"""Backups taken while readers buy: each holds one moment, and its books balance."""

import contextvars
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from bitcache_server.extensions import db
from bitcache_server.models.ledger import Grant
from bitcache_server.models.sales import Invoice
from bitcache_server.services.backup import make_ready, read_backup, take_backup
from bitcache_server.services.backup_archive import DATABASE
from bitcache_server.services.books import balance_lines
from bitcache_server.services.scratch import scratch_database, session_on, work_folder
from bitcache_server.tokens.verifier import challenge_of
from tests.support.api import call
from tests.support.clicks import Clicker, open_clicker
from tests.support.processes import until
from tests.support.shops import assert_nothing_lost, sell_at
from tests.support.world import World

BACKUPS = 3
ITEMS = 60
# As many invoices as may be unpaid at once: a fast machine would use up the addresses otherwise.
AHEAD = 20


@dataclass
class Load:
    """Readers at work, and what they were told so far."""

    world: World
    items: list[str]
    unlocked: list[tuple[str, str]] = field(default_factory=list)
    invoices: list[str] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    running: list["Future[None]"] = field(default_factory=list)

    def wait_for_more(self) -> None:
        """Return when readers were sold something since; raise what went wrong with them."""
        before = len(self.invoices), len(self.paid)

        def sold() -> bool:
            for one in self.running:
                if one.done():
                    one.result()
            return len(self.invoices) > before[0] and len(self.paid) > before[1]

        until(sold, "nobody buys")

    def click(self, clicker: Clicker) -> None:
        """Buy one item after the other."""
        for item_id in self.items:
            if self.stop.is_set():
                return
            assert clicker.click(item_id).status_code == 200
            self.unlocked.append((clicker.wallet_id, item_id))

    def order(self) -> None:
        """Order one invoice after the other."""
        while not self.stop.is_set():
            if len(self.invoices) > len(self.paid) + AHEAD:
                self.stop.wait(0.01)
                continue
            body = {
                "item": self.items[0],
                "challenge": challenge_of(secrets.token_urlsafe(32)),
                "rail": "fake",
            }
            answer = call(self.world, "POST", "/v1/invoices", json=body)
            assert answer.status_code == 201, answer.text
            self.invoices.append(answer.get_json()["id"])

    def settle(self) -> None:
        """Pay one invoice after the other, as the jobs find it."""
        with self.world.app.app_context():
            while not self.stop.is_set():
                purchase = self.world.buy(self.items[1])
                self.world.pay(purchase)
                self.world.mine()
                db.session.rollback()
                self.paid.append(purchase.id)


@contextmanager
def load_on(world: World) -> Iterator[Load]:
    """Give readers that buy as fast as they can until the block ends."""
    items = [sell_at(world, 2_000) for _ in range(ITEMS)]
    clickers = [open_clicker(world, 10**9, per_day_msat=10**9) for _ in range(2)]
    world.session.rollback()
    load = Load(world, items)
    work = [lambda c=c: load.click(c) for c in clickers]
    with ThreadPoolExecutor(4) as pool:
        for one in (*work, load.order, load.settle):
            load.running.append(pool.submit(contextvars.Context().run, one))
        try:
            yield load
        finally:
            load.stop.set()
        for done in load.running:
            done.result()


def test_each_backup_under_load_restores_to_clean_books(world: World, tmp_path: Path) -> None:
    taken: list[tuple[Path, set[tuple[str, str]], set[str], set[str]]] = []
    with load_on(world) as load:
        for number in range(BACKUPS):
            load.wait_for_more()
            told = set(load.unlocked), set(load.invoices), set(load.paid)
            path = tmp_path / f"{number}.tar"
            take_backup(world.deps, str(path), with_files=False)
            taken.append((path, *told))
        load.wait_for_more()
    assert_nothing_lost(world)
    for path, unlocked, invoices, paid in taken:
        _check(world, path, unlocked, invoices, paid)


def _check(
    world: World,
    path: Path,
    unlocked: set[tuple[str, str]],
    invoices: set[str],
    paid: set[str],
) -> None:
    """Restore a backup beside everything and look for what was answered before it began."""
    with work_folder(path.parent) as folder:
        manifest = read_backup(world.deps, str(path), folder, other_key=False)
        with scratch_database(world.deps.settings.database_url, folder / DATABASE) as scratch:
            report = make_ready(scratch.url, manifest)
            assert report.findings == []
            with session_on(scratch.url) as session:
                grants = {(one.owner_id, one.item_id) for one in session.scalars(select(Grant))}
                states = {one.id: one.state for one in session.scalars(select(Invoice))}
                assert sum(line.balance_msat for line in balance_lines(session)) == 0
                session.rollback()
                # What keeps transfers from being changed is restored as well.
                with pytest.raises(DBAPIError):
                    session.execute(text("DELETE FROM transfers"))
    assert unlocked
    assert unlocked <= grants
    assert invoices <= set(states)
    assert {states[invoice] for invoice in paid} == {"paid"}
