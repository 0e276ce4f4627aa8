"""Fixtures that run a test once on SQLite and once on PostgreSQL.

``database_url`` is a fresh, migrated database for each test. ``engine`` and
``new_session`` are bound to it.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from bitcache_server.models import migrate
from bitcache_server.models.session import configure_engine, normalise_url
from tests.support.postgres import PostgresServer, memory_folder

ENGINES = ("sqlite", "postgresql")
TEMPLATE = "bitcache_template"


@dataclass
class Databases:
    """Makes databases; the first of each engine is migrated, the others are copies."""

    folder: Path
    _server: PostgresServer | None = None
    _migrated: bool = False

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    @property
    def server(self) -> PostgresServer:
        """Return the PostgreSQL server of this process, started when it is first asked for."""
        if self._server is None:
            server = PostgresServer()
            server.start()
            self._server = server
        return self._server

    @contextmanager
    def fresh(self, engine: str) -> Iterator[str]:
        """Give the URL of a new migrated database, and remove it at the end."""
        with self.empty(engine, migrated=True) as url:
            yield url

    @contextmanager
    def empty(self, engine: str, *, migrated: bool = False) -> Iterator[str]:
        """Give the URL of a new database without tables, and remove it at the end."""
        name = f"bitcache_{os.getpid()}_{next(self._numbers)}"
        if engine == "sqlite":
            path = self.folder / f"{name}.db"
            if migrated:
                shutil.copyfile(self._sqlite_template(), path)
            yield f"sqlite:///{path}"
            for leftover in self.folder.glob(f"{name}.db*"):
                leftover.unlink()
            return
        url = self.server.create_database(name, self._pg_template() if migrated else None)
        try:
            yield url
        finally:
            self.server.drop_database(name)

    def stop(self) -> None:
        """Stop the PostgreSQL server, if it was needed."""
        if self._server is not None:
            self._server.stop()

    def _sqlite_template(self) -> Path:
        path = self.folder / f"{TEMPLATE}.db"
        if not path.exists():
            migrate.upgrade(f"sqlite:///{path}")
        return path

    def _pg_template(self) -> str:
        if not self._migrated:
            migrate.upgrade(self.server.create_database(TEMPLATE))
            self._migrated = True
        return TEMPLATE


def open_engine(url: str) -> Engine:
    """Return an engine as production has it."""
    return configure_engine(create_engine(normalise_url(url)))


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Return what makes databases for this test process."""
    with tempfile.TemporaryDirectory(prefix="bc-sqlite-", dir=memory_folder()) as folder:
        made = Databases(Path(folder))
        yield made
        made.stop()


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """Return the URL of a fresh, migrated database, on one engine after the other."""
    with databases.fresh(request.param) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Return an engine on the fresh database."""
    made = open_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def new_session(engine: Engine) -> Callable[[], Session]:
    """Return what opens a session on the fresh database."""
    return sessionmaker(engine)


@pytest.fixture
def session(new_session: Callable[[], Session]) -> Iterator[Session]:
    """Return one open session on the fresh database."""
    with new_session() as opened:
        yield opened
