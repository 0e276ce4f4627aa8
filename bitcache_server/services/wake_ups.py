"""Tell the processes where readers wait that an invoice changed, without them asking.

PostgreSQL carries the invoice's id with the commit (LISTEN and NOTIFY), over one connection
of the process. SQLite has nobody to carry anything: ``PRAGMA data_version`` says whether
another connection has written, costs microseconds, and is asked many times a second.
https://www.postgresql.org/docs/current/sql-notify.html
https://www.sqlite.org/pragma.html#pragma_data_version
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import func, select
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

CHANNEL = "bitcache_invoices"
#: How often SQLite is asked whether anything was written.
DATA_VERSION_S = 0.025

#: Told the invoice that changed, or None when only a look at the database can tell which.
Changed = Callable[[str | None], None]


def announce(session: Session, invoice_id: str) -> None:
    """Let those who listen know of an invoice's change once it is committed.

    Only for what readers wait for: on PostgreSQL all transactions that announce something
    commit one after the other.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_notify(CHANNEL, invoice_id)))


async def listen(url: URL, ready: Callable[[], None], changed: Changed) -> None:
    """Call ``changed`` whenever something did, until the connection breaks, which raises.

    ``ready`` is called once nothing is missed any more. A database in memory is never
    changed by another process: then this waits for ever.
    """
    if url.get_backend_name() == "postgresql":
        await _listen_to_server(url, ready, changed)
    elif url.database in (None, "", ":memory:"):
        await asyncio.Event().wait()
    else:
        await _watch_file(Path(str(url.database)), ready, changed)


async def _watch_file(path: Path, ready: Callable[[], None], changed: Changed) -> None:
    address = f"file:{quote(str(path.absolute()))}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
        seen = _data_version(connection)
        ready()
        while True:
            await asyncio.sleep(DATA_VERSION_S)
            version = _data_version(connection)
            if version != seen:
                seen = version
                changed(None)


def _data_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


async def _listen_to_server(url: URL, ready: Callable[[], None], changed: Changed) -> None:
    # Installed with the driver that SQLAlchemy uses, and only for this database.
    from psycopg import AsyncConnection, sql

    arguments, options = url.get_dialect()().create_connect_args(url)
    async with await AsyncConnection.connect(*arguments, **options, autocommit=True) as connection:
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        ready()
        async for notice in connection.notifies():
            changed(notice.payload)
