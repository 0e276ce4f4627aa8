"""Statements that are compiled once for all the engines of a test process.

SQLAlchemy writes the SQL of a statement once for each engine, and keeps it. A server has one
engine; the tests open thousands, all alike. Here an engine's dialect equals that of another
engine which was made in the same way, and all engines keep what they compile in one place,
whose keys consist of the dialect and the statement. No rows and no values are kept.
"""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.util import LRUCache

#: More than all statements of the code; what tests make up themselves falls out again.
CAPACITY = 5_000

_known: LRUCache[Any, Any] = LRUCache(CAPACITY)


class _Known(Dialect):
    """Equals the dialects that were made with the same options, for the same server program."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._made_with = options

    def __hash__(self) -> int:
        return hash(type(self))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._made_with == other._made_with

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """Let the new engine find what others compiled."""
        super().engine_created(engine)
        engine.update_execution_options(compiled_cache=_known)


class KnownPostgresql(_Known, PGDialect_psycopg):
    """PostgreSQL, through psycopg."""

    supports_statement_cache = True


class KnownSqlite(_Known, SQLiteDialect_pysqlite):
    """SQLite."""

    supports_statement_cache = True


# SQLAlchemy's own place for it (https://docs.sqlalchemy.org/en/21/core/connections.html#registering-new-dialects).
registry.register("postgresql.psycopg", __name__, KnownPostgresql.__name__)
registry.register("sqlite", __name__, KnownSqlite.__name__)
