"""The Flask application. Constructing it connects to nothing."""

from flask import Flask
from starlette.types import ASGIApp

from bitcache_server import wiring
from bitcache_server.extensions import db
from bitcache_server.http.events import create_events
from bitcache_server.models.session import configure_engine, normalise_url
from bitcache_server.services.deps import EXTENSION, Deps
from bitcache_server.settings import load_settings

#: Threads of one worker process; each may hold a connection. So many clicks can share one
#: statement (``services/spend_queue.py``); with more, threads cost more than they bring.
THREADS = 16


def create_app(deps: Deps | None = None) -> Flask:
    """Return the app for the given dependencies, by default those of the settings."""
    # Only here: jobs and waiting readers do without the pages and the 25 MB behind them.
    from bitcache_server.http import site

    app = create_bare_app(deps)
    site.init_app(app)
    return app


def create_events_app() -> ASGIApp:
    """Return the asynchronous app of the events listener."""
    return create_events(create_bare_app())


def create_bare_app(deps: Deps | None = None) -> Flask:
    """Return an app with the database and nothing to serve, for jobs and commands."""
    deps = deps or wiring.build(load_settings())
    app = Flask("bitcache_server")
    url = normalise_url(deps.settings.database_url)
    # A fault must not write readers' values to the log along with the statement.
    options: dict[str, object] = {"hide_parameters": True}
    if url.get_backend_name() == "postgresql":
        options |= {"pool_size": THREADS, "max_overflow": 2, "pool_pre_ping": True}
    app.config.update(
        SQLALCHEMY_DATABASE_URI=url,
        SQLALCHEMY_ENGINE_OPTIONS=options,
        MAX_CONTENT_LENGTH=deps.settings.max_body_bytes,
    )
    app.extensions[EXTENSION] = deps
    db.init_app(app)
    with app.app_context():
        configure_engine(db.engine)
    return app
