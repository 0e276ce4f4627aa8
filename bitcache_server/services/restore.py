"""Put a backup in the place of the database: beside it first, and then in one step.

What was there before is kept under another name. Payouts that may have been paid since the
backup are held (``payout_restores``), before any other program sees what was restored.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DatabaseError, DBAPIError
from sqlalchemy.pool import NullPool

from bitcache_server.domain.errors import BackupInvalid, RestoreRefused
from bitcache_server.ledger.audit import AuditReport
from bitcache_server.models.session import configure_engine, normalise_url, storage_errors
from bitcache_server.services.backup import make_ready, read_backup
from bitcache_server.services.backup_archive import DATABASE, FILES, PRIVATE, Manifest
from bitcache_server.services.copy_database import load_dump
from bitcache_server.services.database import parse_url, sqlite_path
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_restores import hold_after_restore
from bitcache_server.services.scratch import (
    name_of,
    scratch_database,
    server,
    session_on,
    with_database,
    work_folder,
)

_STOP = "Stop `bitcache serve` and `bitcache jobs` first"
#: What SQLite keeps beside its file while it is in use.
_LOGS = ("-wal", "-shm", "-journal")
#: SQLSTATE: somebody is connected to it.
_IN_USE = "55006"
#: Databases that every server has, to be connected to while ours gets its name.
_OTHERS = ("postgres", "template1")


@dataclass(frozen=True)
class RestoreWishes:
    """What an operator said beside the file's name."""

    replace: bool = False
    """There is a database, and this backup takes its place."""
    moved: bool = False
    """The server stood still from the backup on, so nothing can have been paid since."""
    other_key: bool = False


@dataclass(frozen=True)
class Restored:
    """What was restored, and what an audit says of it."""

    manifest: Manifest
    audit: AuditReport
    held: int
    """How many payouts are held."""
    before: str
    """Where the old database is now; empty where there was none."""
    files: int


def restore_backup(deps: Deps, source: str, wishes: RestoreWishes) -> Restored:
    """Restore a backup. Raises RestoreRefused, BackupInvalid, BackupFailed; then all is as before.

    ``source`` is a file, or ``-`` for standard input.
    """
    url = deps.settings.database_url
    is_empty = has_no_tables(url)
    if not is_empty and not wishes.replace:
        raise RestoreRefused("There is a database already; `--replace` puts it aside.")
    path = sqlite_path(parse_url(url))
    if not is_empty:
        _require_unused(url, path)
    with work_folder(path.parent if path else deps.settings.data_dir) as folder:
        manifest = read_backup(deps, source, folder, other_key=wishes.other_key)
        files = _check_files(deps, folder, wishes.replace)
        if path is None and is_empty:
            load_dump(folder / DATABASE, url)
            report, held = _finish(deps, url, manifest, wishes)
            before = ""
        else:
            with scratch_database(url, folder / DATABASE) as scratch:
                report, held = _finish(deps, scratch.url, manifest, wishes)
                if path is not None:
                    before = _swap_sqlite(deps, path, folder / DATABASE)
                else:
                    before = _swap_postgresql(deps, url, scratch.url)
                    scratch.keep = True
        _place_files(deps.settings.files_dir, files)
    return Restored(manifest, report, held, before, len(files))


def _finish(
    deps: Deps, url: str, manifest: Manifest, wishes: RestoreWishes
) -> tuple[AuditReport, int]:
    report = make_ready(url, manifest)
    if wishes.moved:
        return report, 0
    with session_on(url) as session:
        return report, hold_after_restore(deps, session)


def has_no_tables(url: str) -> bool:
    """Return whether a database is empty, or not there yet. Creates nothing."""
    path = sqlite_path(parse_url(url))
    if path is not None and not path.exists():
        return True
    engine = configure_engine(create_engine(normalise_url(url), poolclass=NullPool))
    try:
        with storage_errors():
            return not inspect(engine).get_table_names()
    except DatabaseError:
        if path is None:
            raise
        # SQLite cannot read it: there is something, though it may be no database any more.
        return False
    finally:
        engine.dispose()


def _require_unused(url: str, path: Path | None) -> None:
    """Raise RestoreRefused while another program has the database open."""
    if path is not None:
        with _alone(path):
            return
    with server(parse_url(url)) as connection:
        query = text(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if connection.execute(query).scalar_one():
            raise RestoreRefused(f"Other programs are connected to the database. {_STOP}.")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold SQLite's file for ourselves, with nothing left in a log beside it."""
    connection = sqlite3.connect(path, timeout=1, isolation_level=None)
    with contextlib.closing(connection):
        try:
            # Leaving WAL mode is refused while anybody else has the file open.
            mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
            if mode != "delete":
                raise RestoreRefused(f"Another program has {path} open. {_STOP}.")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise RestoreRefused(f"Another program has {path} open. {_STOP}.") from None
        except sqlite3.DatabaseError:
            # It is damaged, which may be why it is replaced.
            pass
        yield


def _aside(deps: Deps) -> str:
    return datetime.fromtimestamp(deps.clock(), UTC).strftime("%Y%m%dT%H%M%SZ")


def _swap_sqlite(deps: Deps, path: Path, restored: Path) -> str:
    """Put the file in its place and return where the old one is."""
    _settle(restored)
    if not path.exists():
        restored.replace(path)
        return ""
    before = path.with_name(f"{path.name}.before-{_aside(deps)}")
    with _alone(path):
        # A second name first: at no moment is there no database.
        os.link(path, before)
        # The log of a damaged file; beside another one it would damage that.
        for suffix in _LOGS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{before}{suffix}")
        restored.replace(path)
    return str(before)


def _settle(path: Path) -> None:
    """Bring all of a database of SQLite into its file, and that to the disk."""
    with _alone(path):
        path.chmod(PRIVATE)
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _swap_postgresql(deps: Deps, url: str, scratch_url: str) -> str:
    """Let the scratch database take the name in one transaction; return the old one's name."""
    live, scratch = str(parse_url(url).database), str(parse_url(scratch_url).database)
    before = f"{live[:40]}_before_{_aside(deps).lower()}"
    steps = [(live, before), (scratch, live)]
    other = next(name for name in _OTHERS if name != live)
    engine = create_engine(normalise_url(with_database(url, other)), poolclass=NullPool)
    try:
        with storage_errors(), engine.begin() as connection:
            for old, new in steps:
                rename = f"ALTER DATABASE {name_of(old)} RENAME TO {name_of(new)}"
                connection.execute(text(rename))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _IN_USE:
            raise RestoreRefused(f"Other programs are connected to {live}. {_STOP}.") from None
        raise
    finally:
        engine.dispose()
    return before


def _check_files(deps: Deps, folder: Path, replace: bool) -> dict[str, Path]:
    """Return the files for sale by their path; raise RestoreRefused for others in their place."""
    root = deps.settings.files_dir
    below = folder / FILES
    found = {
        path.relative_to(below).as_posix(): path
        for path in sorted(below.rglob("*"))
        if path.is_file()
    }
    for name in found:
        target = root / name
        if not target.parent.resolve().is_relative_to(root.resolve()):
            raise BackupInvalid(f"{name!r} would lie outside of {root}.")
        if target.exists() and not replace:
            raise RestoreRefused(f"{target} is there already; `--replace` overwrites it.")
    return found


def _place_files(root: Path, files: Mapping[str, Path]) -> None:
    for name, source in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Through a name of its own: a reader never gets half of a file.
        part = target.with_name(f".{target.name}.part")
        shutil.move(source, part)
        part.replace(target)
