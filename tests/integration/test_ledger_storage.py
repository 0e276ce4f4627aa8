"""What happens when the database is full, locked, away, or its client is killed."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from bitcache_server.domain.errors import (
    BitcacheError,
    InsufficientBalance,
    StorageBusy,
    StorageFull,
    StorageUnavailable,
)
from bitcache_server.ledger import chart, recipes
from bitcache_server.ledger.spend import Outcome, spend
from bitcache_server.models import migrate
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import (
    configure_engine,
    normalise_url,
    read_transaction,
    write_transaction,
)
from tests.support.books import (
    NOW,
    assert_clean,
    balances_of,
    count_rows,
    die_in_the_middle,
    open_wallet,
    order,
)
from tests.support.databases import Databases, open_engine
from tests.support.postgres import PostgresServer
from tests.support.workers import finish, spawn


def spend_until_full(session: Session) -> int:
    for number in range(2_000):
        try:
            spend(session, order(f"key-{number}", item_id=f"it_{number}"))
        except StorageFull:
            return number
    raise AssertionError("The database never filled up.")


def test_a_full_disk_books_nothing_half(databases: Databases) -> None:
    with databases.fresh("sqlite") as url:
        engine = open_engine(url)
        with Session(engine) as session:
            open_wallet(session, balance_msat=10_000_000)
            before = count_rows(session)
            with write_transaction(session):
                pages = session.execute(text("PRAGMA page_count")).scalar_one()
                session.execute(text(f"PRAGMA max_page_count = {pages + 3}"))
            booked = spend_until_full(session)
            assert booked > 0
            after = count_rows(session)
            assert after.transfers - before.transfers == 2 * booked
            assert (after.grants, after.keys) == (booked, booked)
            assert balances_of(session, "wallet:wa_1") == (10_000_000 - 5_000 * booked,)
            assert_clean(session)

            # With room again the very same request goes through.
            with write_transaction(session):
                session.execute(text("PRAGMA max_page_count = 1000000"))
            last = order(f"key-{booked}", item_id=f"it_{booked}")
            assert spend(session, last).outcome is Outcome.BOOKED
        engine.dispose()


def test_a_locked_database_is_busy(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitcache_server.models.session.LOCK_TIMEOUT_MS", 100)
    with databases.fresh("sqlite") as url:
        engine = open_engine(url)
        with Session(engine) as holder, Session(engine) as other:
            open_wallet(holder, balance_msat=10_000)
            with write_transaction(holder):
                with pytest.raises(StorageBusy):
                    spend(other, order())
                # Readers do not wait for the writer.
                assert balances_of(other, "wallet:wa_1") == (10_000,)
            assert spend(other, order()).outcome is Outcome.BOOKED
        engine.dispose()


def test_a_locked_wallet_is_busy_and_others_are_not(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitcache_server.models.session.LOCK_TIMEOUT_MS", 100)
    with databases.fresh("postgresql") as url:
        engine = open_engine(url)
        with Session(engine) as holder, Session(engine) as other:
            open_wallet(holder, balance_msat=10_000)
            open_wallet(holder, "wa_2", 10_000)
            with write_transaction(holder):
                recipes.give_starter_credit(holder, "wa_1", 1, NOW)
                with pytest.raises(StorageBusy):
                    spend(other, order())
                # The same merchant is paid from another wallet meanwhile: no hot row.
                assert spend(other, order(wallet_id="wa_2")).balance_msat == 5_000
            paid = spend(other, order())
            assert (paid.balance_msat, paid.gift_msat) == (5_001, 0)
            assert_clean(other)
        engine.dispose()


def test_a_pool_without_a_free_connection_is_busy(databases: Databases) -> None:
    with databases.fresh("sqlite") as url:
        engine = configure_engine(
            create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.05)
        )
        with Session(engine) as holder, Session(engine) as other:
            open_wallet(holder)
            holder.connection()
            with pytest.raises(StorageBusy):
                open_wallet(other, "wa_2")
        engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////nonexistent/folder/bitcache.db",
        "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2",
    ],
)
def test_a_database_that_is_not_there_is_unavailable(url: str) -> None:
    engine = configure_engine(create_engine(normalise_url(url), poolclass=NullPool))
    with Session(engine) as session:
        with pytest.raises(StorageUnavailable), write_transaction(session):
            raise AssertionError("never reached")
        with pytest.raises(StorageUnavailable), read_transaction(session):
            session.execute(text("SELECT 1"))


def test_a_read_only_database_cannot_be_written(databases: Databases) -> None:
    with databases.fresh("sqlite") as url:
        path = url.removeprefix("sqlite:///")
        for read_only in (False, True):
            engine = configure_engine(create_engine(url, poolclass=NullPool))
            if read_only:
                event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA query_only=ON"))
            with Session(engine) as session:
                if read_only:
                    with pytest.raises(StorageFull):
                        open_wallet(session, "wa_2")
                else:
                    open_wallet(session)
        assert Path(path).exists()


def test_a_server_that_went_away_is_unavailable_and_comes_back() -> None:
    server = PostgresServer(durable=True)
    server.start()
    try:
        url = server.create_database("away")
        migrate.upgrade(url)
        engine = open_engine(url)
        with Session(engine) as session:
            open_wallet(session, balance_msat=10_000)
            lost = order("lost", item_id="it_lost")
            first = spend(session, order())
            server.halt(signal.SIGQUIT)  # as in a crash: no checkpoint, no good-bye
            for _ in range(2):
                with pytest.raises(StorageUnavailable):
                    spend(session, lost)
                with pytest.raises(StorageUnavailable):
                    open_wallet(session, "wa_2")
            server.start()
            # What was answered is kept, and the repeated request gets its answer.
            again = spend(session, order())
            assert (again.outcome, again.group_id) == (Outcome.REPLAYED, first.group_id)
            assert spend(session, lost).balance_msat == 0
            assert_clean(session)
        engine.dispose()
    finally:
        server.stop()


def test_a_process_that_is_killed_loses_nothing_and_books_nothing_half(
    database_url: str, session: Session
) -> None:
    open_wallet(session, balance_msat=10_000)
    before = count_rows(session)
    assert finish(spawn(die_in_the_middle, database_url)) == -signal.SIGKILL
    assert count_rows(session) == before
    assert balances_of(session, "wallet:wa_1", "gift:wa_1", chart.PROMOTION) == (10_000, 0, 0)
    assert spend(session, order()).balance_msat == 5_000
    assert_clean(session)


# Transactions


def test_a_block_that_raises_leaves_nothing(session: Session) -> None:
    def fail() -> None:
        with write_transaction(session):
            session.add(Wallet(id="wa_1", balance_msat=0, gift_msat=0, created_at=NOW))
            session.flush()
            raise InsufficientBalance

    with pytest.raises(InsufficientBalance):
        fail()
    assert session.get(Wallet, "wa_1") is None


def test_write_transactions_do_not_nest(session: Session) -> None:
    with write_transaction(session):
        with pytest.raises(RuntimeError, match="open already"), write_transaction(session):
            raise AssertionError("never reached")
        with pytest.raises(RuntimeError, match="open already"), read_transaction(session):
            raise AssertionError("never reached")
    open_wallet(session)


def test_changes_made_before_the_transaction_are_not_swallowed(session: Session) -> None:
    session.add(Wallet(id="wa_1", balance_msat=0, gift_msat=0, created_at=NOW))
    with pytest.raises(RuntimeError, match="outside a write transaction"):
        open_wallet(session, "wa_2")


def test_a_write_transaction_sees_what_others_committed_before_it(
    new_session: Callable[[], Session],
) -> None:
    with new_session() as reader, new_session() as writer:
        open_wallet(writer)
        wallet = reader.get_one(Wallet, "wa_1")
        assert wallet.gift_msat == 0
        with write_transaction(writer):
            recipes.give_starter_credit(writer, "wa_1", 5, NOW)
        with write_transaction(reader):
            assert wallet.gift_msat == 5


def test_a_read_transaction_sees_one_moment(new_session: Callable[[], Session]) -> None:
    with new_session() as reader, new_session() as writer:
        open_wallet(writer)
        with read_transaction(reader):
            count = "SELECT count(*) FROM wallets"
            assert reader.execute(text(count)).scalar_one() == 1
            open_wallet(writer, "wa_2")
            assert reader.execute(text(count)).scalar_one() == 1
        assert reader.execute(text(count)).scalar_one() == 2


def test_faults_of_ours_keep_their_own_errors(session: Session) -> None:
    open_wallet(session)
    with pytest.raises(IntegrityError), write_transaction(session):
        session.execute(text("INSERT INTO wallets SELECT * FROM wallets"))
    with (
        pytest.raises((ProgrammingError, OperationalError)),
        write_transaction(session),
    ):
        session.execute(text("SELECT * FROM no_such_table"))


def test_an_error_of_storage_does_not_tell_the_url(session: Session) -> None:
    for error in (StorageBusy(), StorageFull(), StorageUnavailable()):
        assert isinstance(error, BitcacheError)
        assert "://" not in error.detail


def test_sqlite_is_set_up_for_money(databases: Databases) -> None:
    with databases.fresh("sqlite") as url:
        engine = open_engine(url)
        with engine.connect() as connection:
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        engine.dispose()
    full = 2
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": 5_000,
    }


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p@h/d?x=1", "postgresql+psycopg://u:p@h/d?x=1"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_urls_name_our_driver(given: str, used: str) -> None:
    assert normalise_url(given).render_as_string(hide_password=False) == used
