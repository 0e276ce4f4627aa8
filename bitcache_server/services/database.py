"""Where a database stands, in words for an operator, and bringing it up to date."""

from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.models import migrate
from bitcache_server.models.session import normalise_url

#: Readable by nobody else: the database holds the keys that sign grants.
_PRIVATE_FOLDER = 0o700


@dataclass(frozen=True)
class DatabaseState:
    """The revision that the database has, the newest one, and the steps between them."""

    engine: str
    """``sqlite`` or ``postgresql``."""
    current: str | None
    head: str
    pending: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Return whether a server can work with it."""
        return not self.pending


def database_state(url: str) -> DatabaseState:
    """Return where a database stands. Creates nothing.

    Raises ConfigurationError for an address that is none and for a database of a
    newer Bitcache, StorageUnavailable when it does not answer.
    """
    parsed = parse_url(url)
    engine = parsed.get_backend_name()
    path = sqlite_path(parsed)
    if path is not None and not path.exists():
        steps = _steps_after(None)
        return DatabaseState(engine, None, migrate.head(), steps)
    current = migrate.current(url)
    try:
        steps = _steps_after(current)
    except (CommandError, RevisionError):
        raise ConfigurationError(
            f"The database has the revision {str(current)[:40]!r}, which this version of "
            "Bitcache does not know. It was made by a newer version: install that one."
        ) from None
    return DatabaseState(engine, current, migrate.head(), steps)


def _steps_after(revision: str | None) -> tuple[str, ...]:
    """Return the revisions after one, oldest first; raises for one that is unknown."""
    scripts = ScriptDirectory(str(migrate.migrations_folder()))
    steps = scripts.iterate_revisions("head", revision or "base")
    return tuple(step.revision for step in steps)[::-1]


def require_migrated(url: str) -> None:
    """Raise ConfigurationError unless the database has the tables of this version."""
    state = database_state(url)
    if state.ready:
        return
    what = "has no tables yet" if state.current is None else "is of an older version"
    raise ConfigurationError(f"The database {what}. Run `bitcache db upgrade` first.")


def upgrade_database(url: str) -> tuple[str, ...]:
    """Run the steps that are missing and return them; makes SQLite's folder where needed."""
    pending = database_state(url).pending
    path = sqlite_path(parse_url(url))
    if path is not None:
        path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    migrate.upgrade(url)
    return pending


def parse_url(url: str) -> URL:
    """Return the address taken apart; the error never repeats it, it may hold a password."""
    try:
        parsed = normalise_url(url)
        parsed.get_dialect().import_dbapi()
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "database_url (BITCACHE_DATABASE_URL): must be an address such as "
            "postgresql://user:password@host/name or sqlite:////folder/file."
        ) from None
    except (NoSuchModuleError, ImportError):
        raise ConfigurationError(
            "database_url (BITCACHE_DATABASE_URL): the driver for this kind of database is not "
            "installed. SQLite needs none; for PostgreSQL: pip install 'bitcache[postgresql]'."
        ) from None
    return parsed


def sqlite_path(url: URL) -> Path | None:
    """Return the file of an SQLite database; None for a server or for memory."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))
