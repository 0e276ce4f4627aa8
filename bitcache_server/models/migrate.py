"""Bring a database to the schema that the models describe, and say where it stands."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.pool import NullPool

from bitcache_server.domain.errors import BackupInvalid, ConfigurationError
from bitcache_server.extensions import db
from bitcache_server.models.session import (
    configure_engine,
    normalise_url,
    storage_errors,
    write_options,
)

T = TypeVar("T")


def migrations_folder() -> Path:
    """Return the folder of the steps: in a checkout beside the package, else installed."""
    beside = Path(__file__).resolve().parents[2] / "migrations"
    if (beside / "env.py").is_file():
        return beside
    spec = importlib.util.find_spec("bitcache_migrations")
    if spec is None or spec.origin is None:
        raise ConfigurationError("The package bitcache_migrations is not installed.")
    return Path(spec.origin).parent


def upgrade(url: str, revision: str = "head") -> None:
    """Run the steps that are missing. Any number of processes may call this at once."""
    with storage_errors():
        command.upgrade(_config(url), revision)


def upgrade_watched(url: str) -> list[str]:
    """Run the steps that are missing; return the tables that nobody can read meanwhile.

    PostgreSQL alone knows them: in SQLite everybody reads on, and nobody else writes.
    """
    engine = create_engine(normalise_url(url), poolclass=NullPool)
    engine = configure_engine(engine, foreign_keys=False)
    try:
        with storage_errors(), engine.connect().execution_options(**write_options()) as connection:
            before = set(inspect(connection).get_table_names())
            connection.rollback()
            with connection.begin():
                config = _config(url)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                return sorted(before & _locked(connection))
    finally:
        engine.dispose()


def _locked(connection: Connection) -> set[str]:
    if connection.dialect.name != "postgresql":
        return set()
    query = (
        "SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
        "WHERE l.pid = pg_backend_pid() AND l.mode = 'AccessExclusiveLock' AND c.relkind = 'r'"
    )
    return set(connection.exec_driver_sql(query).scalars())


def downgrade(url: str, revision: str) -> None:
    """Undo the steps after ``revision``; only for a database without money."""
    with storage_errors():
        command.downgrade(_config(url), revision)


def head() -> str:
    """Return the newest revision there is."""
    newest = _scripts().get_current_head()
    if newest is None:
        raise ConfigurationError("There are no migrations.")
    return newest


def current(url: str) -> str | None:
    """Return the revision of the database; None for an empty one."""
    return _inspect(url, lambda connection: _context(connection).get_current_revision())


def require_known(revision: str) -> None:
    """Raise BackupInvalid for the revision of a newer version than this one."""
    try:
        _scripts().get_revision(revision)
    except (CommandError, RevisionError):
        raise BackupInvalid(
            f"The backup has the revision {revision[:40]!r}, which this version of Bitcache does "
            "not know. A newer version made it: install that one."
        ) from None


def pending(url: str) -> list[str]:
    """Return the revisions that ``upgrade`` would run, oldest first."""
    steps = _scripts().iterate_revisions("head", current(url) or "base")
    return [step.revision for step in steps][::-1]


def check(url: str) -> list[str]:
    """Return where the database differs from the models, in Alembic's words."""

    def differences(connection: Connection) -> list[str]:
        return [repr(found) for found in compare_metadata(_context(connection), db.metadata)]

    return _inspect(url, differences)


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["url"] = url
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(migrations_folder()))


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"compare_type": True})


def _inspect(url: str, question: Callable[[Connection], T]) -> T:
    engine = configure_engine(create_engine(normalise_url(url), poolclass=NullPool))
    try:
        with storage_errors(), engine.connect() as connection:
            return question(connection)
    finally:
        engine.dispose()
