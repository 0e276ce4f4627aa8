"""A database that is locked, full, restarted or cut off: a clear code, and success later."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from bitcache_server.domain.errors import StorageBusy, StorageFull, StorageUnavailable
from bitcache_server.extensions import db
from bitcache_server.jobs import run_jobs
from bitcache_server.ledger.journal import Kind
from bitcache_server.models import session as sessions
from bitcache_server.tokens.verifier import challenge_of
from tests.support.databases import Databases
from tests.support.shops import (
    assert_nothing_lost,
    opened_world,
    payment_count,
    read_anew,
    transfers,
)
from tests.support.world import World

PATIENCE_MS = 200
_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def sqlite_url(databases: Databases) -> Iterator[str]:
    with databases.fresh("sqlite") as url:
        yield url


@pytest.fixture
def postgresql_url(databases: Databases) -> Iterator[str]:
    with databases.fresh("postgresql") as url:
        yield url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a statement wait a moment only for another's lock."""
    monkeypatch.setattr(sessions, "LOCK_TIMEOUT_MS", PATIENCE_MS)


@contextmanager
def _locked(world: World) -> Iterator[None]:
    """Let another process hold SQLite's write lock."""
    database = db.engine.url.database
    assert database is not None
    command = [sys.executable, "-c", _HOLDER, database]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.communicate("")


def _create(world: World) -> tuple[int, str]:
    body = {"item": world.article_id, "challenge": challenge_of("v" * 43), "rail": "fake"}
    answer = world.post("/v1/invoices", body, Idempotency_Key="one click")
    return answer.status_code, str(answer.get_json().get("code", ""))


@pytest.mark.usefixtures("impatient")
def test_a_locked_database_is_busy(tmp_path: Path, sqlite_url: str) -> None:
    with opened_world(tmp_path, sqlite_url) as shop:
        purchase = shop.buy()
        shop.rail.pay(shop.target_of(purchase), 5_000_000)
        with _locked(shop):
            assert _create(shop) == (503, "storage_busy")
            with pytest.raises(StorageBusy):
                shop.watch()
            # Reading goes on.
            assert shop.read(purchase)["state"] == "open"
            assert shop.get(f"/v1/items/{shop.article_id}").status_code == 200
            assert not run_jobs(shop.app, only_once=True)
        assert _create(shop) == (201, "")
        assert run_jobs(shop.app, only_once=True)
        assert read_anew(shop, purchase)["state"] == "paid"
        assert len(transfers(shop, Kind.RECEIPT)) == 1
        assert_nothing_lost(shop)


@pytest.mark.usefixtures("impatient")
def test_a_row_that_another_holds_is_busy(tmp_path: Path, postgresql_url: str) -> None:
    with opened_world(tmp_path, postgresql_url) as shop:
        purchase = shop.buy()
        shop.expire(901)
        shop.rail.pay(shop.target_of(purchase), 5_000_000)
        path, body = f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier}
        with db.engine.connect() as other:
            other.execute(text("SELECT * FROM invoices FOR UPDATE"))
            answer = shop.post(path, body)
            assert (answer.status_code, answer.get_json()["code"]) == (503, "storage_busy")
            assert answer.headers["Retry-After"]
            with pytest.raises(StorageBusy):
                shop.watch()
        shop.watch()
        assert shop.post(path, body).status_code == 200
        assert len(transfers(shop, Kind.SALE)) == 1
        assert_nothing_lost(shop)


@contextmanager
def _no_room() -> Iterator[None]:
    """Let no new page be added to the database, as on a full disk."""

    def limit(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]  # a DB-API connection
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count={pages}")
        cursor.close()

    db.session.remove()
    db.engine.dispose()
    event.listen(db.engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(db.engine, "connect", limit)
        db.session.remove()
        db.engine.dispose()


def test_a_full_disk_is_named_and_passes(tmp_path: Path, sqlite_url: str) -> None:
    with opened_world(tmp_path, sqlite_url) as shop:
        bought = [shop.buy() for _ in range(20)]
        for purchase in bought:
            shop.rail.pay(shop.target_of(purchase), 5_000_000)
        with _no_room():
            with pytest.raises(StorageFull):
                shop.watch()
            codes = {_fill(shop) for _ in range(40)}
            assert (503, "storage_full") in codes
            assert shop.read(bought[0])["state"] == "open"
            assert not run_jobs(shop.app, only_once=True)
        assert payment_count(shop) == 0
        assert run_jobs(shop.app, only_once=True)
        assert {read_anew(shop, purchase)["state"] for purchase in bought} == {"paid"}
        assert len(transfers(shop, Kind.RECEIPT)) == len(bought)
        assert _create(shop) == (201, "")
        assert_nothing_lost(shop)


def _fill(shop: World) -> tuple[int, str]:
    body = {"item": shop.article_id, "challenge": challenge_of("w" * 43)}
    answer = shop.post("/v1/invoices", body)
    return answer.status_code, str(answer.get_json().get("code", ""))


def test_postgresql_restarts(databases: Databases, tmp_path: Path, postgresql_url: str) -> None:
    with opened_world(tmp_path, postgresql_url) as shop:
        purchase = shop.buy()
        shop.rail.pay(shop.target_of(purchase), 5_000_000)
        databases.server.halt()
        try:
            assert _create(shop) == (503, "storage_unavailable")
            answer = shop.get("/health")
            assert answer.status_code == 503
            assert answer.get_json()["parts"][0]["code"] == "storage_unavailable"
            with pytest.raises(StorageUnavailable):
                _watch_from_a_new_session(shop)
            assert not run_jobs(shop.app, only_once=True)
        finally:
            databases.server.start()
        assert _create(shop) == (201, "")
        assert run_jobs(shop.app, only_once=True)
        assert read_anew(shop, purchase)["state"] == "paid"
        assert len(transfers(shop, Kind.RECEIPT)) == 1
        assert_nothing_lost(shop)


def _watch_from_a_new_session(shop: World) -> None:
    with sessions.storage_errors():
        shop.watch()


def test_the_jobs_outlive_a_restart(
    databases: Databases, tmp_path: Path, postgresql_url: str
) -> None:
    with opened_world(tmp_path, postgresql_url) as shop:
        purchase = shop.buy()
        stop = threading.Event()
        running = threading.Thread(target=run_jobs, args=(shop.app,), kwargs={"stop": stop})
        running.start()
        try:
            databases.server.halt()
            databases.server.start()
            shop.rail.pay(shop.target_of(purchase), 5_000_000)
            for _ in range(1_200):
                if read_anew(shop, purchase)["state"] == "paid":
                    break
                stop.wait(0.1)
        finally:
            stop.set()
            running.join(120)
        assert read_anew(shop, purchase)["state"] == "paid"
        assert_nothing_lost(shop)


@pytest.mark.parametrize("statement", ["INSERT INTO payments", "INSERT INTO transfers", "COMMIT"])
def test_a_connection_that_is_cut_in_the_middle(
    tmp_path: Path, postgresql_url: str, databases: Databases, statement: str
) -> None:
    """The half transaction is gone with its connection; the next pass books all of it."""
    with opened_world(tmp_path, postgresql_url) as shop:
        purchase = shop.buy()
        shop.rail.pay(shop.target_of(purchase), 5_000_000)
        with _cut_before(databases, statement), pytest.raises(StorageUnavailable):
            shop.watch()
        assert payment_count(shop) == 0
        shop.watch()
        assert shop.read(purchase)["state"] == "paid"
        assert len(transfers(shop, Kind.RECEIPT)) == 1
        assert_nothing_lost(shop)


@contextmanager
def _cut_before(databases: Databases, statement: str) -> Iterator[None]:
    """Let the server end the connection of the first transaction that comes so far."""
    cut: list[int] = []

    def end(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        cut.append(driver.info.backend_pid)
        with databases.server.admin() as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", cut)

    def before(connection: Connection, _cursor: object, sql: str, *_: object) -> None:
        if not cut and sql.startswith(statement):
            end(connection)

    def commit(connection: Connection) -> None:
        if not cut and statement == "COMMIT":
            end(connection)

    event.listen(db.engine, "before_cursor_execute", before)
    event.listen(db.engine, "commit", commit)
    try:
        yield
    finally:
        event.remove(db.engine, "before_cursor_execute", before)
        event.remove(db.engine, "commit", commit)
    assert cut
