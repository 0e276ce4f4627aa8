"""What most commands begin with: settings, dependencies, an open session."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import Flask
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.app import create_bare_app
from bitcache_server.extensions import db
from bitcache_server.models.session import storage_errors
from bitcache_server.services.database import require_migrated
from bitcache_server.services.deps import Deps
from bitcache_server.settings import load_settings


@dataclass(frozen=True)
class Work:
    """The dependencies and a session that a command works with."""

    deps: Deps
    session: Session


@contextmanager
def app_of_settings() -> Iterator[Flask]:
    """Give the app of the settings, with a database that has its tables."""
    deps = wiring.build(load_settings())
    require_migrated(deps.settings.database_url)
    app = create_bare_app(deps)
    try:
        yield app
    finally:
        with app.app_context():
            db.engine.dispose()


@contextmanager
def work() -> Iterator[Work]:
    """Give dependencies and a session; raises BitcacheError with words for a person."""
    with app_of_settings() as app, app.app_context(), storage_errors():
        yield Work(app.extensions["bitcache"], db.session())
