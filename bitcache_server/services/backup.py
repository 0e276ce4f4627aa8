"""Take a backup while everything runs, and look whether one is good."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy.exc import SQLAlchemyError

from bitcache_server import __version__
from bitcache_server.domain.errors import BackupFailed, BackupInvalid, BitcacheError
from bitcache_server.ledger.audit import AuditReport
from bitcache_server.models import migrate
from bitcache_server.models.operations import Backup
from bitcache_server.models.session import write_transaction
from bitcache_server.services.backup_archive import (
    DATABASE,
    FILES,
    FORMAT,
    PRIVATE,
    ArchiveWriter,
    Manifest,
    unpack,
)
from bitcache_server.services.copy_database import Copied, copy_database
from bitcache_server.services.database import database_state, parse_url
from bitcache_server.services.deps import Deps
from bitcache_server.services.scratch import (
    audit_database,
    require_rows,
    scratch_database,
    session_on,
    work_folder,
)
from bitcache_server.tokens.secrets import new_id

log = logging.getLogger(__name__)

STANDARD = "-"
_ID_PREFIX = "bu"


@dataclass(frozen=True)
class Verified:
    """What a look at a backup said."""

    manifest: Manifest
    audit: AuditReport


def take_backup(deps: Deps, target: str, *, with_files: bool) -> Manifest:
    """Write a backup to a file, which appears when it is whole, or to standard output (``-``).

    It holds one moment after the call, with everything that was answered before. Raises
    BackupFailed, OSError such as a full disk, and what the database could not do; a file that
    was there before stays then.
    """
    url = deps.settings.database_url
    beside = deps.settings.data_dir if target == STANDARD else Path(target).absolute().parent
    if target != STANDARD and not beside.is_dir():
        raise BackupFailed(f"There is no folder {beside}.")
    if not database_state(url).current:
        raise BackupFailed("The database has no tables yet.")
    taken_at = deps.clock()
    with work_folder(beside) as folder:
        copied = copy_database(url, folder / DATABASE)
        with _output(target, folder) as stream:
            manifest = _write(deps, stream, folder, copied, taken_at, with_files)
    # An older database has no table for it yet.
    if manifest.revision == migrate.head():
        remember_backup(deps, manifest)
    return manifest


@contextmanager
def _output(target: str, folder: Path) -> Iterator[BinaryIO]:
    """Give the stream to write to; a file takes its name when all of it is on the disk."""
    if target == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part, path = folder / "backup", Path(target).absolute()
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
    # The name itself must outlive a power cut, too.
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(
    deps: Deps, stream: BinaryIO, folder: Path, copied: Copied, taken_at: int, with_files: bool
) -> Manifest:
    settings = deps.settings
    writer = ArchiveWriter(stream, settings.secret_key.get_secret_value(), taken_at)
    with (folder / DATABASE).open("rb") as database:
        writer.add(DATABASE, database)
    # Not twice on the disk.
    (folder / DATABASE).unlink()
    if with_files:
        for name in _files_below(settings.files_dir):
            with deps.files.open(name) as source:
                writer.add(f"{FILES}/{name}", source)
    manifest = Manifest(
        format=FORMAT,
        id=new_id(_ID_PREFIX),
        bitcache=__version__,
        engine=parse_url(settings.database_url).get_backend_name(),
        revision=copied.revision,
        taken_at=taken_at,
        with_files=with_files,
        rows=copied.rows,
        parts=writer.parts,
    )
    writer.finish(manifest)
    return manifest


def _files_below(root: Path) -> Iterator[str]:
    """Yield the files that can be sold; hidden ones, links and devices cannot."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix()


def remember_backup(deps: Deps, manifest: Manifest) -> None:
    """Write down that there is a backup, for the doctor; the backup is good without it."""
    try:
        with session_on(deps.settings.database_url) as session, write_transaction(session):
            session.add(
                Backup(
                    id=manifest.id,
                    taken_at=manifest.taken_at,
                    size_bytes=sum(part.size_bytes for part in manifest.parts),
                    with_files=manifest.with_files,
                )
            )
    except (BitcacheError, SQLAlchemyError) as error:
        log.warning("the backup %s is not written down: %s", manifest.id, type(error).__name__)


@contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """Give a backup's bytes, of a file or of standard input (``-``)."""
    if source == STANDARD:
        yield sys.stdin.buffer
        return
    with Path(source).open("rb") as stream:
        yield stream


def verify_backup(deps: Deps, source: str, *, other_key: bool) -> Verified:
    """Restore a backup beside everything that is in use, bring it up to date, and audit it.

    Raises BackupInvalid, or BackupFailed where PostgreSQL lets us create no database.
    """
    settings = deps.settings
    with work_folder(settings.data_dir) as folder:
        manifest = read_backup(deps, source, folder, other_key=other_key)
        with scratch_database(settings.database_url, folder / DATABASE) as scratch:
            return Verified(manifest, make_ready(scratch.url, manifest))


def read_backup(deps: Deps, source: str, folder: Path, *, other_key: bool) -> Manifest:
    """Take a backup apart in a folder and check whether it is one for this server."""
    secret_key = None if other_key else deps.settings.secret_key.get_secret_value()
    with opened(source) as stream:
        manifest = unpack(stream, folder, secret_key)
    engine = parse_url(deps.settings.database_url).get_backend_name()
    if manifest.engine != engine:
        raise BackupInvalid(
            f"This is a backup of {manifest.engine}, and database_url is one of {engine}. "
            "A backup goes back into the kind of database that it came from."
        )
    migrate.require_known(manifest.revision)
    return manifest


def make_ready(url: str, manifest: Manifest) -> AuditReport:
    """Compare what was restored with the manifest, bring it up to date, and audit it."""
    require_rows(url, manifest)
    migrate.upgrade(url)
    return audit_database(url)
