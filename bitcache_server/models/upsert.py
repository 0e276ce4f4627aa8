"""Insert a row unless it is there: the same statement on both engines."""

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bitcache_server.extensions import Base


def insert_missing(session: Session, model: type[Base], **values: Any) -> bool:
    """Insert a row; do nothing when its key exists, even when another process was faster.

    Return whether the row is new.
    """
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    # RETURNING, because drivers count the rows of an INSERT each in their own way.
    statement = insert(model).values(**values).on_conflict_do_nothing()
    new = session.execute(statement.returning(*inspect(model).primary_key))
    return new.first() is not None
