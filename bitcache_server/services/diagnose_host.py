"""The doctor's look at this machine: secrets, database, disk, addresses, limits."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import create_engine, insert, text
from sqlalchemy.pool import NullPool

from bitcache_server.models.operations import JobLease
from bitcache_server.models.session import (
    configure_engine,
    normalise_url,
    storage_errors,
    write_options,
)
from bitcache_server.services.database import database_state, parse_url, sqlite_path
from bitcache_server.services.deps import Deps
from bitcache_server.services.findings import Finding, fine, problem, warning
from bitcache_server.services.origins import is_local
from bitcache_server.settings.sources import (
    CONFIG_VARIABLE,
    DEFAULT_CONFIG_FILE,
    FILE_SETTINGS,
    env_name,
)

#: SQLite's write-ahead log and PostgreSQL both need room to work.
_DISK_PROBLEM_BYTES = 100_000_000
_DISK_WARNING_BYTES = 1_000_000_000


def check_secrets(deps: Deps) -> Iterator[Finding]:
    """Look at who may read the settings, the files with secrets, and SQLite's file."""
    paths = [Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG_FILE)]
    named = (os.environ.get(f"{env_name(setting)}_FILE") for setting in FILE_SETTINGS)
    paths += [Path(path) for path in named if path]
    database = sqlite_path(parse_url(deps.settings.database_url))
    if database is not None:
        paths.append(database)
    open_to_all = [path for path in paths if _others_may_read(path)]
    for path in open_to_all:
        yield problem(
            "secrets",
            "secret_readable",
            f"Every user of this machine can read {path.absolute()}.",
            f"chmod 600 {path.absolute()}",
        )
    if not open_to_all:
        yield fine("secrets", "No other user of this machine can read them.")


def _others_may_read(path: Path) -> bool:
    """Return whether anybody may open it: the file and the folders above it let them."""
    if not path.exists() or not path.stat().st_mode & stat.S_IROTH:
        return False
    return all(above.stat().st_mode & stat.S_IXOTH for above in path.absolute().parents)


def check_database(deps: Deps) -> Iterator[Finding]:
    """Look whether the database answers, has its tables and can be written."""
    url = deps.settings.database_url
    state = database_state(url)
    if not state.ready:
        what = "has no tables yet" if state.current is None else "is of an older version"
        yield problem(
            "database",
            "not_migrated",
            f"The {state.engine} database {what}.",
            "Run `bitcache db upgrade`.",
        )
        return
    mode = _write_and_take_back(url)
    if state.engine == "sqlite" and mode != "wal":
        yield problem(
            "database",
            "no_wal",
            f"SQLite works in the mode {mode!r}: readers and writers block each other.",
            "Put the database on a local disk; network file systems cannot do WAL mode.",
        )
        return
    yield fine("database", f"{state.engine}, revision {state.current}, can be written.")


def _write_and_take_back(url: str) -> str:
    """Write a row, take it back, and return SQLite's journal mode; raise BitcacheError."""
    engine = configure_engine(create_engine(normalise_url(url), poolclass=NullPool))
    try:
        with storage_errors():
            with engine.connect().execution_options(**write_options()) as connection:
                row = {"name": "doctor", "holder": f"doctor:{os.getpid()}", "expires_at": 0}
                with connection.begin() as transaction:
                    connection.execute(insert(JobLease).values(row))
                    transaction.rollback()
            if engine.dialect.name != "sqlite":
                return ""
            with engine.connect() as connection:
                return str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
    finally:
        engine.dispose()


def check_disk(deps: Deps) -> Iterator[Finding]:
    """Look at the room that is left where the data lie."""
    folder = deps.settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free // 1_000_000} MB are free in {folder}."
    mend = "Make room, or move data_dir to a larger disk."
    if free < _DISK_PROBLEM_BYTES:
        yield problem("disk", "disk_full", found, mend)
    elif free < _DISK_WARNING_BYTES:
        yield warning("disk", "disk_nearly_full", found, mend)
    else:
        yield fine("disk", found)


def check_addresses(deps: Deps) -> Iterator[Finding]:
    """Look at the two addresses that readers' browsers call."""
    public, events = (urlsplit(u) for u in (deps.settings.public_url, deps.settings.events_url))
    host = public.hostname or ""
    if is_local(host):
        yield warning(
            "addresses",
            "public_url_local",
            f"public_url is {deps.settings.public_url}: only browsers on this machine reach it.",
            'Set public_url = "https://pay.example", the address that readers use.',
        )
    elif public.scheme != "https":
        yield problem(
            "addresses",
            "public_url_http",
            f"public_url is {deps.settings.public_url}: what readers pay for travels in the open.",
            "Put a web server with a certificate in front and set public_url to https://…",
        )
    if events.scheme != public.scheme or (events.hostname or "") != host:
        yield problem(
            "addresses",
            "events_url_elsewhere",
            f"events_url is {deps.settings.events_url}, which is another host or scheme than "
            "public_url: browsers may block it, and readers wait longer.",
            "Give both the same host and scheme; the ports may differ.",
        )
    elif public.scheme == "https" or not is_local(host):
        yield fine("addresses", f"{deps.settings.public_url}, events {deps.settings.events_url}")


def check_limits(deps: Deps) -> Iterator[Finding]:
    """Look whether the rate limits count for all processes together."""
    settings = deps.settings
    if settings.workers > 1 and settings.rate_limit_storage.startswith("memory:"):
        yield warning(
            "limits",
            "limits_per_process",
            f"{settings.workers} workers count requests each for themselves: the limits are "
            f"{settings.workers} times as wide as they read.",
            'Set rate_limit_storage = "redis://…", or divide the limits.',
        )
    else:
        yield fine("limits", "They count for all processes of this machine.")
