"""Try an upgrade on a copy: whether it goes well, how long it takes, whom it keeps waiting."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitcache_server.ledger.audit import AuditReport
from bitcache_server.models import migrate
from bitcache_server.services.backup_archive import DATABASE
from bitcache_server.services.copy_database import copy_database
from bitcache_server.services.database import database_state
from bitcache_server.services.deps import Deps
from bitcache_server.services.scratch import audit_database, scratch_database, work_folder


@dataclass(frozen=True)
class Trial:
    """What an upgrade did to a copy."""

    engine: str
    pending: Sequence[str]
    """The steps, in their order."""
    rows: Mapping[str, int]
    """How many rows each table of the copy had before."""
    locked: Sequence[str]
    """The tables that nobody could read meanwhile."""
    seconds: float
    audit: AuditReport | None
    """Of the copy afterwards; None where nothing was tried: there are no steps, or no tables."""


def try_upgrade(deps: Deps) -> Trial:
    """Copy the database, bring the copy up to date, audit it, and throw it away.

    Changes nothing. Raises what a step raises, and BackupFailed where no copy can be made.
    """
    url = deps.settings.database_url
    state = database_state(url)
    if not state.pending or state.current is None:
        return Trial(state.engine, state.pending, {}, (), 0.0, None)
    with work_folder(deps.settings.data_dir) as folder:
        copied = copy_database(url, folder / DATABASE)
        with scratch_database(url, folder / DATABASE) as scratch:
            began = time.monotonic()
            locked = migrate.upgrade_watched(scratch.url)
            seconds = time.monotonic() - began
            report = audit_database(scratch.url)
    return Trial(state.engine, state.pending, copied.rows, locked, seconds, report)
