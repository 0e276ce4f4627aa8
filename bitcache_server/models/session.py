"""How the code base talks to a database: engines, transactions, and their errors.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that was answered is
on the disk, as on PostgreSQL. Writers begin with BEGIN IMMEDIATE, so that the
only place where they wait for each other is the beginning, where nothing is lost.
"""

import contextlib
from collections.abc import Iterator
from sqlite3 import (
    SQLITE_BUSY,
    SQLITE_ERROR,
    SQLITE_FULL,
    SQLITE_IOERR,
    SQLITE_LOCKED,
    SQLITE_READONLY,
)
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, scoped_session

from bitcache_server.domain.errors import (
    BitcacheError,
    StorageBusy,
    StorageFull,
    StorageUnavailable,
)

AnySession = Session | scoped_session[Session]

LOCK_TIMEOUT_MS = 5_000
"""How long a statement waits for another's lock before it gives up as busy."""

_WRITE_OPTION = "bitcache_write"
_WRITING = "bitcache_writing"
_EXTENDED_CODE_MASK = 0xFF

_SQLITE_ERRORS: dict[int, type[BitcacheError]] = {
    SQLITE_BUSY: StorageBusy,
    SQLITE_LOCKED: StorageBusy,
    SQLITE_FULL: StorageFull,
    SQLITE_IOERR: StorageFull,
    SQLITE_READONLY: StorageFull,
}
#: SQLSTATE codes, https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL_ERRORS: dict[str, type[BitcacheError]] = {
    "25006": StorageFull,  # read_only_sql_transaction
    "40001": StorageBusy,  # serialization_failure
    "40P01": StorageBusy,  # deadlock_detected
    "53100": StorageFull,  # disk_full
    "53300": StorageBusy,  # too_many_connections
    "55P03": StorageBusy,  # lock_not_available
    "57014": StorageBusy,  # query_canceled, after a time-out
}


def normalise_url(url: str) -> URL:
    """Return the URL with the driver that we use: psycopg 3 for PostgreSQL."""
    parsed = make_url(url)
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


def configure_engine(engine: Engine, *, foreign_keys: bool = True) -> Engine:
    """Attach what every connection of this engine needs, and return the engine.

    Only migrations switch ``foreign_keys`` off: SQLite alters a table by copying it.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        if foreign_keys:
            event.listen(engine, "connect", _sqlite_foreign_keys)
        event.listen(engine, "begin", _sqlite_begin)
    else:
        event.listen(engine, "connect", _postgresql_connect)
    return engine


def _sqlite_connect(connection: Any, _record: Any) -> None:
    # The driver would begin transactions by itself, too late and always deferred.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={LOCK_TIMEOUT_MS}")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _sqlite_foreign_keys(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON").close()


def _sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITE_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_connect(connection: Any, _record: Any) -> None:
    connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
    connection.commit()


def write_options() -> dict[str, Any]:
    """Return the execution options of a connection whose transactions will write."""
    return {_WRITE_OPTION: True}


@contextlib.contextmanager
def write_transaction(session: AnySession) -> Iterator[AnySession]:
    """Run the block in one transaction that writes: all of it is kept, or nothing.

    An earlier transaction that only read is ended first. Raises StorageBusy,
    StorageFull or StorageUnavailable for what the database could not do. After
    StorageUnavailable during the commit nobody knows whether the transaction was
    kept: repeat the call with the same idempotency key. Integrity errors pass.
    """
    _end_reading(session)
    session.info[_WRITING] = True
    try:
        with storage_errors():
            session.connection(execution_options=write_options())
            yield session
            session.commit()
    finally:
        session.info.pop(_WRITING, None)
        # Ends the transaction when the block did not reach its end.
        session.rollback()


@contextlib.contextmanager
def read_transaction(session: AnySession) -> Iterator[AnySession]:
    """Run the block on one unchanging view of the database and end the view after it."""
    _end_reading(session)
    try:
        with storage_errors():
            if session.get_bind().dialect.name == "postgresql":
                options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                session.connection(execution_options=options)
            yield session
    finally:
        session.rollback()


@contextlib.contextmanager
def own_statement(session: AnySession) -> Iterator[Connection]:
    """Give a connection on which each statement is a transaction, without round trips for it.

    For the one statement of the hot path, on PostgreSQL. An earlier transaction of
    the session that only read is ended.
    """
    _end_reading(session)
    try:
        with storage_errors():
            yield session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
    finally:
        session.rollback()


def _end_reading(session: AnySession) -> None:
    if session.info.get(_WRITING):
        raise RuntimeError("A write transaction is open already; its caller must end it.")
    if session.new or session.dirty or session.deleted:
        raise RuntimeError("The session holds changes made outside a write transaction.")
    session.rollback()


def require_write_transaction(session: AnySession) -> None:
    """Raise RuntimeError unless the caller opened a write transaction."""
    if not session.info.get(_WRITING):
        raise RuntimeError("Money moves inside write_transaction() only.")


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what the database could not do into an error with a stable code."""
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as error:
        raise StorageBusy("All database connections are in use; try again.") from error
    except DBAPIError as error:
        mapped = storage_error(error)
        if mapped is None:
            raise
        raise mapped from error


def storage_error(error: DBAPIError) -> BitcacheError | None:
    """Return our error for one of the database's, or None for a fault of the program."""
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        known = _SQLITE_ERRORS.get(sqlite_code & _EXTENDED_CODE_MASK)
    else:
        known = _POSTGRESQL_ERRORS.get(getattr(error.orig, "sqlstate", None) or "")
    if known is StorageBusy:
        return StorageBusy("The database is busy; nothing was changed; try again.")
    if known is StorageFull:
        return StorageFull("The database cannot be written; nothing was changed.")
    # SQLite calls a missing table (code 1) operational as well; that is our fault.
    if isinstance(error, OperationalError) and sqlite_code != SQLITE_ERROR:
        return StorageUnavailable("The database does not answer; try again.")
    return None
