"""Alembic calls this file to run the steps.

The caller hands over an open ``connection`` or a ``url`` in the config's
attributes; see ``bitcache_server/models/migrate.py``.
"""

from alembic import context
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from bitcache_server.extensions import db

# Importing from the package of the models registers every table with the metadata.
from bitcache_server.models.session import configure_engine, normalise_url, write_options

#: Any number that nothing else locks: two processes that start at once take turns.
MIGRATION_LOCK = 4_250_671_103


def run(connection: Connection) -> None:
    """Run all steps in one transaction, so that a failed one leaves nothing behind."""
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
        compare_type=True,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            take_turns(connection)
        context.run_migrations()


def take_turns(connection: Connection) -> None:
    """Wait, however long, until no other process migrates this database."""
    patience = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{patience}'")


def main() -> None:
    """Use the caller's connection, or open one."""
    attributes = context.config.attributes
    if "connection" in attributes:
        run(attributes["connection"])
        return
    url = normalise_url(attributes["url"])
    # SQLite alters a table by copying it, which foreign keys would forbid.
    engine = configure_engine(create_engine(url, poolclass=NullPool), foreign_keys=False)
    try:
        with engine.connect().execution_options(**write_options()) as connection:
            run(connection)
    finally:
        engine.dispose()


main()
