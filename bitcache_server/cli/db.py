"""``bitcache db``: create the tables, bring them up to date, compare them."""

from dataclasses import asdict

import click

from bitcache_server import wiring
from bitcache_server.cli.output import emit, json_option, note
from bitcache_server.domain.words import count
from bitcache_server.models import migrate
from bitcache_server.services.backup import remember_backup, take_backup
from bitcache_server.services.database import database_state, parse_url, upgrade_database
from bitcache_server.services.upgrade_trial import Trial, try_upgrade
from bitcache_server.settings import Settings, load_settings

_LARGEST = 5


@click.group("db")
def db_group() -> None:
    """Create the database's tables and bring them up to date."""


@db_group.command()
@click.option(
    "--dry-run",
    is_flag=True,
    help="Run the steps on a copy, audit that, and change nothing.",
)
@click.option(
    "--backup",
    "backup_file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Take a backup first, unless there is nothing to do.",
)
@json_option
def upgrade(dry_run: bool, backup_file: str | None) -> int:
    """Create the tables, or change them to what this version needs.

    May run while a server runs, and from several machines at once. Make a backup
    before you install a new version, or let this make one.

    \b
    Examples:
      bitcache db upgrade --dry-run
      bitcache db upgrade --backup before-upgrade.tar
    """
    settings = load_settings()
    if dry_run:
        return _try(settings)
    url = settings.database_url
    state = database_state(url)
    manifest = None
    if backup_file is not None and state.pending and state.current is not None:
        manifest = take_backup(wiring.build(settings), backup_file, with_files=False)
        note(f"The backup {manifest.id} is in {backup_file}.")
    done = upgrade_database(url)
    if manifest is not None:
        remember_backup(wiring.build(settings), manifest)
    lines = [f"ran {step}" for step in done] or ["The database was up to date already."]
    emit({"ran": list(done), "revision": migrate.head()}, lines)
    return 0


def _try(settings: Settings) -> int:
    trial = try_upgrade(wiring.build(settings))
    report = trial.audit
    document = {
        "engine": trial.engine,
        "pending": list(trial.pending),
        "rows": dict(trial.rows),
        "locked": list(trial.locked),
        "seconds": round(trial.seconds, 2),
        "clean": report is None or report.clean,
        "findings": [asdict(one) for one in report.findings] if report else [],
    }
    # Without the password, which ``hide_password`` leaves out.
    where = parse_url(settings.database_url).render_as_string(hide_password=True)
    emit(document, [f"Database: {where}", *_trial_lines(trial)])
    return 0 if document["clean"] else 1


def _trial_lines(trial: Trial) -> list[str]:
    if not trial.pending:
        return ["It is up to date: no step would run."]
    lines = [f"{step} would run" for step in trial.pending]
    if trial.audit is None:
        return [*lines, "There are no tables yet, so there was nothing to try them on."]
    rows = sorted(trial.rows.items(), key=lambda pair: -pair[1])
    largest = ", ".join(f"{table} {number:,}" for table, number in rows[:_LARGEST])
    lines.append(f"It holds {sum(trial.rows.values()):,} rows; most in {largest}.")
    lines.append(f"On a copy all of them took {trial.seconds:.1f} s, in one transaction.")
    if trial.engine == "sqlite":
        lines.append("So long nobody else can write; what takes longer than 5 s is told to retry.")
    elif trial.locked:
        tables = count(len(trial.locked), "table", "tables")
        lines.append(f"So long nobody can use {tables}: {', '.join(trial.locked)}.")
    else:
        lines.append("Nobody would be kept waiting.")
    lines += [f"{one.subject}: {one.words} ({one.code})" for one in trial.audit.findings]
    if trial.audit.clean:
        lines.append("Afterwards the books of the copy balance. Nothing was changed.")
    return lines


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
