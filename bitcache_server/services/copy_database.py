"""One unchanging copy of a database that is in use: SQLite's own backup, or ``pg_dump``.

Neither stops anybody: SQLite in WAL mode and PostgreSQL both let others write while one
reads what was there at one moment.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from bitcache_server.domain.errors import BackupFailed
from bitcache_server.models.session import configure_engine, normalise_url, storage_errors
from bitcache_server.services.backup_archive import PRIVATE
from bitcache_server.services.database import parse_url, sqlite_path

VERSION_TABLE = "alembic_version"
_PG_FOLDERS = "usr/lib/postgresql/*/bin"
_MAX_WORDS = 300


@dataclass(frozen=True)
class Copied:
    """What a copy holds."""

    revision: str
    """Empty where the database has no tables yet."""
    rows: dict[str, int]


def copy_database(url: str, path: Path) -> Copied:
    """Copy the database to a new file: of SQLite a database, of PostgreSQL a dump.

    Raises BackupFailed and what the database could not do.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    if parse_url(url).get_backend_name() == "sqlite":
        _copy_sqlite(url, path)
        return contents(f"sqlite:///{path}")
    return _dump_postgresql(url, path)


def contents(url: str) -> Copied:
    """Return what a database holds, at one moment."""
    with _reading(url) as connection:
        return _contents(connection)


def _contents(connection: Connection) -> Copied:
    tables = sorted(inspect(connection).get_table_names())
    quote = connection.dialect.identifier_preparer.quote
    rows = {
        table: int(connection.execute(text(f"SELECT count(*) FROM {quote(table)}")).scalar_one())  # noqa: S608  # names of tables, quoted
        for table in tables
        if table != VERSION_TABLE
    }
    revision = None
    if VERSION_TABLE in tables:
        revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return Copied(revision or "", rows)


@contextlib.contextmanager
def _reading(url: str) -> Iterator[Connection]:
    """Give a connection in a transaction that sees one moment."""
    parsed = normalise_url(url)
    options = {}
    if parsed.get_backend_name() == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    engine = configure_engine(create_engine(parsed, poolclass=NullPool))
    try:
        with storage_errors(), engine.connect().execution_options(**options) as connection:
            yield connection
    finally:
        engine.dispose()


def _copy_sqlite(url: str, path: Path) -> None:
    source_path = sqlite_path(parse_url(url))
    if source_path is None or not source_path.exists():
        raise BackupFailed("There is no database yet, or it lies in memory only.")
    try:
        source_uri = f"file:{_quoted(source_path)}?mode=rw"
        with (
            contextlib.closing(sqlite3.connect(source_uri, uri=True)) as source,
            contextlib.closing(sqlite3.connect(path)) as target,
        ):
            # All pages in one step: one moment, however much is written meanwhile.
            source.backup(target, pages=-1)
            # One file: nothing of it may lie in a log beside it.
            target.execute("PRAGMA journal_mode=DELETE").close()
            verdict = target.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupFailed(f"SQLite says: {error}.") from None
    if verdict != "ok":
        raise BackupFailed(f"The database is damaged: {verdict}")


def _quoted(path: Path) -> str:
    return re.sub(r"[%?#]", lambda found: f"%{ord(found[0]):02x}", str(path.absolute()))


def _dump_postgresql(url: str, path: Path) -> Copied:
    with _reading(url) as connection:
        # Counting and dumping see the same moment.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        version = server_version(connection)
        command = [str(program("pg_dump", version)), "--format=custom", "--no-owner"]
        command += ["--no-privileges", f"--snapshot={snapshot}", f"--file={path}"]
        run_program(command, url)
        return _contents(connection)


def load_dump(path: Path, url: str) -> None:
    """Fill an empty PostgreSQL database from a dump: all of it, or nothing. Raises BackupFailed."""
    with _reading(url) as connection:
        version = server_version(connection)
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    name = str(parse_url(url).database)
    command = [str(program("pg_restore", version)), *options, f"--dbname={name}", str(path)]
    run_program(command, url)


def server_version(connection: Connection) -> int:
    """Return the major version of a PostgreSQL server."""
    number = connection.execute(text("SHOW server_version_num")).scalar_one()
    return int(number) // 10_000


def program(name: str, version: int) -> Path:
    """Return a program of PostgreSQL that knows servers of a version; raise BackupFailed."""
    found = [folder / name for folder in Path("/").glob(_PG_FOLDERS)]
    on_path = shutil.which(name)
    if on_path is not None:
        found.insert(0, Path(on_path))
    for path in found:
        if path.is_file() and _version_of(path) >= version:
            return path
    raise BackupFailed(
        f"The program {name} of PostgreSQL {version} or newer is missing here: install it "
        f"(Debian: postgresql-client-{version})."
    )


def _version_of(path: Path) -> int:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603  # PostgreSQL's own program
    match = re.search(r"(\d+)", done.stdout)
    return int(match[1]) if match and done.returncode == 0 else 0


def run_program(command: list[str], url: str) -> None:
    """Run a program of PostgreSQL on a database; the password is in no list of processes."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    environment |= _variables(parse_url(url))
    done = subprocess.run(  # noqa: S603  # PostgreSQL's own program
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise BackupFailed(f"{Path(command[0]).name} says: {lines[0][:_MAX_WORDS]}")


def _variables(url: URL) -> dict[str, str]:
    """Return the address as the variables that libpq knows."""
    # Only here: who uses SQLite need not have the driver.
    from psycopg import pq

    _, arguments = url.get_dialect()().create_connect_args(url)
    names = {
        option.keyword.decode(): option.envvar.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar
    }
    return {names[key]: str(value) for key, value in arguments.items() if key in names}
