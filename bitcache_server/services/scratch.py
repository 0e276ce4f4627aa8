"""A database beside the one in use, for what must not touch that: trials and restores."""

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from bitcache_server.domain.errors import BackupFailed, BackupInvalid
from bitcache_server.ledger.audit import AuditReport, audit
from bitcache_server.models.session import configure_engine, normalise_url, storage_errors
from bitcache_server.services.backup_archive import Manifest
from bitcache_server.services.copy_database import contents, load_dump
from bitcache_server.services.database import parse_url

#: PostgreSQL cuts longer names.
_MAX_NAME_CHARS = 63
#: SQLSTATE: the role may not create databases.
_NOT_ALLOWED = "42501"


@dataclass
class Scratch:
    """A database of our own. It goes at the end of the block unless ``keep`` was set."""

    url: str
    keep: bool = False


@contextlib.contextmanager
def work_folder(beside: Path) -> Iterator[Path]:
    """Give a folder that only we can read, on the disk of ``beside``; it goes at the end."""
    beside.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".bitcache-", dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def scratch_database(url: str, copied: Path) -> Iterator[Scratch]:
    """Give a database that holds what ``copied`` holds: SQLite's file itself, or a dump loaded.

    Raises BackupFailed where PostgreSQL does not let us create one.
    """
    if parse_url(url).get_backend_name() == "sqlite":
        yield Scratch(f"sqlite:///{copied}")
        return
    name = f"{str(parse_url(url).database)[:40]}_scratch_{secrets.token_hex(4)}"
    _create(url, name)
    # The password must stay in: it is for us alone.
    made = Scratch(with_database(url, name))
    try:
        load_dump(copied, made.url)
        yield made
    finally:
        if not made.keep:
            drop_database(url, name)


def with_database(url: str, name: str) -> str:
    """Return the address of another database of the same server."""
    return parse_url(url).set(database=name).render_as_string(hide_password=False)


def _create(url: str, name: str) -> None:
    like = text(
        "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database "
        "WHERE datname = current_database()"
    )
    with server(parse_url(url)) as connection:
        encoding, collate, ctype = connection.execute(like).one()
        options = f"ENCODING '{encoding}' LC_COLLATE '{collate}' LC_CTYPE '{ctype}'"
        try:
            connection.execute(
                text(f"CREATE DATABASE {name_of(name)} TEMPLATE template0 {options}")
            )
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _NOT_ALLOWED:
                raise
            raise BackupFailed(
                "This needs a database of its own for a while, and the role may create none. An "
                "administrator allows it with: ALTER ROLE … CREATEDB"
            ) from None


def drop_database(url: str, name: str) -> None:
    """Remove a database of ours and whoever is connected to it."""
    with server(parse_url(url)) as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name_of(name)} WITH (FORCE)"))


def name_of(name: str) -> str:
    """Return the name of a database as it stands in a statement."""
    escaped = name[:_MAX_NAME_CHARS].replace('"', '""').replace(":", "\\:")
    return f'"{escaped}"'


@contextlib.contextmanager
def server(url: URL) -> Iterator[Connection]:
    """Give a connection on which each statement stands alone."""
    engine = create_engine(normalise_url(url.render_as_string(False)), poolclass=NullPool)
    try:
        with storage_errors(), engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")
    finally:
        engine.dispose()


def require_rows(url: str, manifest: Manifest) -> None:
    """Raise BackupInvalid unless a database holds what the manifest says."""
    held = contents(url)
    if held.revision != manifest.revision or held.rows != manifest.rows:
        raise BackupInvalid("What was restored is not what the manifest says.")


def audit_database(url: str) -> AuditReport:
    """Work out every stored figure of a database again."""
    with session_on(url) as session:
        return audit(session)


@contextlib.contextmanager
def session_on(url: str) -> Iterator[Session]:
    """Give a session on a database that no app is built for."""
    engine = configure_engine(create_engine(normalise_url(url), poolclass=NullPool))
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()
