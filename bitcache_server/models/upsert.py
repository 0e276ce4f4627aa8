"""Insert a row unless it is there: the same statement on both engines."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bitcache_server.extensions import Base


def insert_missing(session: Session, model: type[Base], **values: Any) -> None:
    """Insert a row; do nothing when its key exists, even when another process was faster."""
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    session.execute(insert(model).values(**values).on_conflict_do_nothing())
