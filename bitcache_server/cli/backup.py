"""``bitcache backup`` and ``bitcache restore``: copies that can be trusted."""

import sys
from dataclasses import asdict
from typing import Any

import click

from bitcache_server import wiring
from bitcache_server.cli.output import emit, is_terminal, json_option, moment, note, say
from bitcache_server.domain.errors import RestoreRefused
from bitcache_server.domain.words import count
from bitcache_server.ledger.audit import AuditReport
from bitcache_server.services.backup import STANDARD, take_backup, verify_backup
from bitcache_server.services.backup_archive import Manifest
from bitcache_server.services.restore import Restored, RestoreWishes, restore_backup
from bitcache_server.settings import load_settings

_CONFIRMATION = "replace"

_other_key = click.option(
    "--other-key",
    is_flag=True,
    help="Take one that another secret_key signed. Hashes are still checked.",
)


class _Group(click.Group):
    """``bitcache backup FILE`` takes one; a word of its own does something else."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Take what is no command for the file of `take`, or for one of its options."""
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["take", *args]
        return super().parse_args(context, args)


@click.group(cls=_Group)
def backup() -> None:
    """Take a backup while everything runs, or look whether one is good.

    `bitcache backup FILE` is short for `bitcache backup take FILE`.

    \b
    Examples:
      bitcache backup /var/backups/bitcache.tar
      bitcache backup --with-files - | age -r age1… > bitcache.tar.age
      bitcache backup verify /var/backups/bitcache.tar
    """


@backup.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--with-files", is_flag=True, help="Also the files for sale.")
@json_option
def take(file: str, with_files: bool) -> None:
    """Write a backup to FILE, or to standard output for `-`.

    May run while the server runs: it holds one moment, with everything that was answered
    before. FILE appears, or changes, when all of it is written; only its owner can read it.
    It holds every secret that the database holds, but not the settings: keep secret_key
    apart from it, because what is sealed in the database opens with that alone.
    """
    if file == STANDARD and sys.stdout.isatty():
        raise click.UsageError("A backup is no text: send it to a file or another program.")
    manifest = take_backup(wiring.build(load_settings()), file, with_files=with_files)
    size = sum(part.size_bytes for part in manifest.parts)
    words = f"{_words(manifest)}, {size:,} bytes."
    if file == STANDARD:
        # Standard output is the backup.
        say(words, to_stderr=True)
        return
    emit(_document(manifest), [words, "`bitcache backup verify` proves that it can be restored."])


@backup.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@_other_key
@json_option
def verify(file: str, other_key: bool) -> int:
    """Restore FILE into a database of its own, audit that, and throw it away.

    Nothing of the server is touched. Exit code 1 if the books of the backup do not balance.
    """
    found = verify_backup(wiring.build(load_settings()), file, other_key=other_key)
    document = {**_document(found.manifest), "audit": _audit_document(found.audit)}
    emit(document, [f"{_words(found.manifest)}.", *_audit_lines(found.audit)])
    return 0 if found.audit.clean else 1


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--replace", is_flag=True, help="Put the database that is there aside.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option(
    "--moved",
    is_flag=True,
    help="The server stood still from the backup on: hold no payouts.",
)
@_other_key
@json_option
def restore(file: str, replace: bool, yes: bool, moved: bool, other_key: bool) -> int:
    """Put a backup in the place of the database, and audit it.

    Stop `bitcache serve` and `bitcache jobs` first. The backup is restored beside the database,
    checked, and brought up to date; then it takes its place in one step, and what was there
    is kept under another name. Payouts that may have been paid since the backup are
    held, as `bitcache payout restored` does. Exit code 1 if the books do not balance.

    \b
    Examples:
      bitcache restore bitcache.tar
      age -d bitcache.tar.age | bitcache restore --replace --yes -
    """
    if replace and not yes:
        _confirm(file)
    wishes = RestoreWishes(replace=replace, moved=moved, other_key=other_key)
    done = restore_backup(wiring.build(load_settings()), file, wishes)
    document = {
        **_document(done.manifest),
        "audit": _audit_document(done.audit),
        "held": done.held,
        "before": done.before,
        "files": done.files,
    }
    emit(document, _restored(done, moved))
    return 0 if done.audit.clean else 1


def _confirm(file: str) -> None:
    if file == STANDARD or not is_terminal():
        raise RestoreRefused("`--replace` needs `--yes` where nobody can be asked.")
    note("What is in the database now is put aside, and nobody is served from it any more.")
    if click.prompt(f"Type {_CONFIRMATION!r} to go on", default="", show_default=False) != (
        _CONFIRMATION
    ):
        raise click.Abort


def _restored(done: Restored, moved: bool) -> list[str]:
    lines = [f"Restored: {_words(done.manifest)}.", *_audit_lines(done.audit)]
    if done.before:
        lines.append(f"What was there before is now {done.before}: remove it when all is well.")
    if done.files:
        lines.append(f"{count(done.files, 'file', 'files')} for sale were put back.")
    if not moved:
        held = count(done.held, "payout is", "payouts are")
        lines.append(f"{held} held, and what merchants are paid next: `bitcache payout list`.")
    return lines


def _words(manifest: Manifest) -> str:
    rows = sum(manifest.rows.values())
    files = len(manifest.parts) - 1
    also = f", {count(files, 'file', 'files')}" if manifest.with_files else ""
    return (
        f"backup {manifest.id} of {moment(manifest.taken_at)}: {manifest.engine}, revision "
        f"{manifest.revision}, {rows:,} rows{also}"
    )


def _document(manifest: Manifest) -> dict[str, Any]:
    return {"backup": manifest.model_dump()}


def _audit_document(report: AuditReport) -> dict[str, Any]:
    return {"clean": report.clean, "findings": [asdict(one) for one in report.findings]}


def _audit_lines(report: AuditReport) -> list[str]:
    if report.clean:
        return ["The books balance."]
    return [f"{one.subject}: {one.words} ({one.code})" for one in report.findings]
