"""``bitcache db``: create the tables, bring them up to date, compare them."""

import click

from bitcache_server.cli.output import emit, json_option
from bitcache_server.models import migrate
from bitcache_server.services.database import database_state, upgrade_database
from bitcache_server.settings import load_settings


@click.group("db")
def db_group() -> None:
    """Create the database's tables and bring them up to date."""


@db_group.command()
@json_option
def upgrade() -> None:
    """Create the tables, or change them to what this version needs.

    May run while a server runs, and from several machines at once. Make a backup
    before you install a new version.
    """
    url = load_settings().database_url
    done = upgrade_database(url)
    lines = [f"ran {step}" for step in done] or ["The database was up to date already."]
    emit({"ran": list(done), "revision": migrate.head()}, lines)


@db_group.command()
@json_option
def check() -> int:
    """Compare the database with this version; exit code 1 if they differ."""
    url = load_settings().database_url
    state = database_state(url)
    differences = migrate.check(url) if state.ready else []
    document = {
        "engine": state.engine,
        "revision": state.current,
        "newest": state.head,
        "pending": list(state.pending),
        "differences": differences,
    }
    lines = [f"{step} has not run yet: `bitcache db upgrade` runs it." for step in state.pending]
    lines += [f"The tables differ from what this version expects: {d}" for d in differences]
    emit(document, lines or [f"{state.engine}: up to date, revision {state.current}."])
    return 1 if lines else 0
