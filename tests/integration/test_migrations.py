"""From an empty database to the models' schema, on both engines."""

import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import StorageUnavailable
from bitcache_server.extensions import db
from bitcache_server.models import migrate
from bitcache_server.models.session import write_transaction
from tests.support.databases import ENGINES, Databases, open_engine
from tests.support.workers import CONTEXT

HOT_TABLES = {
    "transfers": "owner_id",
    "grants": "owner_id",
    "idempotency_keys": "owner_id",
    "wallets": "id",
}
"""Tables that a spend touches, and the column that names the owner."""


@pytest.fixture(params=ENGINES)
def empty_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    with databases.empty(request.param) as url:
        yield url


def test_an_empty_database_is_brought_to_the_models(empty_url: str) -> None:
    assert migrate.current(empty_url) is None
    steps = migrate.pending(empty_url)
    assert steps == sorted(steps)
    assert steps[0] == "0001"
    assert steps[-1] == migrate.head()

    migrate.upgrade(empty_url)

    assert migrate.current(empty_url) == migrate.head()
    assert migrate.pending(empty_url) == []
    assert migrate.check(empty_url) == []


def test_every_step_runs_alone_and_back(empty_url: str) -> None:
    steps = migrate.pending(empty_url)
    for number, step in enumerate(steps):
        migrate.upgrade(empty_url, step)
        assert migrate.current(empty_url) == step
        assert migrate.pending(empty_url) == steps[number + 1 :]
    migrate.downgrade(empty_url, "base")
    engine = open_engine(empty_url)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    migrate.upgrade(empty_url)
    assert migrate.check(empty_url) == []


def test_a_second_upgrade_changes_nothing(database_url: str) -> None:
    migrate.upgrade(database_url)
    assert migrate.check(database_url) == []


def test_a_difference_between_database_and_models_is_seen(database_url: str) -> None:
    engine = open_engine(database_url)
    with Session(engine) as session, write_transaction(session):
        session.execute(text("ALTER TABLE wallets ADD COLUMN colour TEXT"))
        session.execute(text("DROP INDEX ix_transfers_to_account"))
    engine.dispose()
    differences = " ".join(migrate.check(database_url))
    assert "colour" in differences
    assert "ix_transfers_to_account" in differences


def test_processes_that_start_at_once_take_turns(empty_url: str) -> None:
    with ProcessPoolExecutor(3, mp_context=CONTEXT) as workers:
        for done in [workers.submit(migrate.upgrade, empty_url) for _ in range(3)]:
            done.result(timeout=240)
    assert migrate.check(empty_url) == []


@pytest.mark.parametrize("in_the_way", ["balance_checkpoints", "merchants"])
def test_a_step_that_fails_leaves_the_database_as_it_was(empty_url: str, in_the_way: str) -> None:
    """A table exists already: one of the first step, one of a later step."""
    engine = open_engine(empty_url)
    with Session(engine) as session, write_transaction(session):
        session.execute(text(f"CREATE TABLE {in_the_way} (x INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(empty_url)
    assert set(inspect(engine).get_table_names()) <= {in_the_way, "alembic_version"}
    assert migrate.current(empty_url) is None
    with Session(engine) as session, write_transaction(session):
        session.execute(text(f"DROP TABLE {in_the_way}"))
    engine.dispose()
    migrate.upgrade(empty_url)
    assert migrate.check(empty_url) == []


def test_a_database_that_is_away_is_told_in_our_words() -> None:
    with pytest.raises(StorageUnavailable):
        migrate.upgrade("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
    with pytest.raises(StorageUnavailable):
        migrate.current("sqlite:////nonexistent/folder/bitcache.db")


def test_the_key_of_each_hot_table_begins_with_the_owner(database_url: str) -> None:
    """So that the schema can be distributed by owner."""
    engine = open_engine(database_url)
    inspector = inspect(engine)
    firsts = {
        table: inspector.get_pk_constraint(table)["constrained_columns"][0] for table in HOT_TABLES
    }
    foreign_keys = {table: inspector.get_foreign_keys(table) for table in HOT_TABLES}
    unique = {
        (table, str(index["column_names"][0]))
        for table in HOT_TABLES
        for index in inspector.get_indexes(table)
        if index["unique"]
    }
    engine.dispose()
    assert firsts == HOT_TABLES
    assert not any(foreign_keys.values())
    assert unique <= set(HOT_TABLES.items())


def test_the_spends_first_argument_is_the_wallet(databases: Databases) -> None:
    with databases.fresh("postgresql") as url:
        engine = open_engine(url)
        with engine.connect() as connection:
            names = connection.exec_driver_sql(
                "SELECT proargnames[1] FROM pg_proc WHERE proname = 'bitcache_spend'"
            ).scalar_one()
            cached = connection.exec_driver_sql(
                "SELECT cache_size FROM pg_sequences WHERE sequencename = 'transfer_id_seq'"
            ).scalar_one()
        engine.dispose()
    assert names == "p_wallet_id"
    # More would let a checkpoint miss a transfer; see ledger/balances.py.
    assert cached == 1


def test_constraints_have_the_names_of_the_models(databases: Databases) -> None:
    """A migration that forgets op.f() doubles the prefix, and a later one finds nothing."""
    wanted = {
        str(constraint.name)
        for table in db.metadata.tables.values()
        for constraint in table.constraints
        if constraint.name
    }
    with databases.fresh("postgresql") as url:
        engine = open_engine(url)
        with engine.connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
                " AND contype IN ('c', 'p', 'u', 'f')"
            ).scalars()
            names = {name for name in found if not name.startswith("alembic_version")}
        engine.dispose()
    assert names == wanted


def test_migrations_stand_alone() -> None:
    """A step describes the past; it must not change when the application does."""
    steps = sorted((migrate.migrations_folder() / "versions").glob("0*.py"))
    assert steps
    for step in steps:
        source = Path(step).read_text("utf-8")
        assert not re.search(r"^\s*(from|import) bitcache_server", source, re.MULTILINE), step
