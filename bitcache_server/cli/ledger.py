"""``bitcache ledger``: prove the books, read balances, store checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from bitcache_server.cli.output import emit, is_terminal, json_option, shown, table, wants_json
from bitcache_server.cli.work import work
from bitcache_server.domain.money import format_sat
from bitcache_server.ledger import balances
from bitcache_server.ledger.audit import AuditReport, Progress, audit
from bitcache_server.services.books import balance_lines


@click.group()
def ledger() -> None:
    """Prove that the books balance, and read them."""


@ledger.command("audit")
@json_option
def audit_books() -> int:
    """Work out every stored figure again; exit code 1 if one does not agree.

    Changes nothing and may run while a server runs. Run it daily, and before and
    after you install a new version or restore a backup.
    """
    with work() as w, _progress() as progress:
        report = audit(w.session, progress)
    document = {
        "clean": report.clean,
        "counts": report.counts,
        "findings": [asdict(finding) for finding in report.findings],
    }
    emit(document, _verdict(report))
    return 0 if report.clean else 1


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Give what shows the progress on a terminal, None elsewhere."""
    if wants_json() or not is_terminal():
        yield None
        return
    with click.progressbar(length=0, label="Auditing", item_show_func=str) as bar:

        def progress(code: str, number: int, total: int) -> None:
            bar.length = total
            bar.update(number - bar.pos, code)

        yield progress
        bar.update((bar.length or 0) - bar.pos, "done")


def _verdict(report: AuditReport) -> list[str]:
    looked_at = ", ".join(f"{number} {name}" for name, number in report.counts.items())
    if report.clean:
        return [f"{click.style('The books balance.', fg='green')} Looked at {looked_at}."]
    found = [
        f"{click.style(f.code, fg='red')}  {shown(f.subject)}: {shown(f.words)}"
        for f in report.findings
    ]
    verdict = click.style("The books do not balance.", fg="red", bold=True)
    return [*found, f"{verdict} {len(found)} findings; looked at {looked_at}."]


@ledger.command("balances")
@json_option
def show_balances() -> None:
    """Show what each account holds; together they are zero."""
    with work() as w:
        lines = balance_lines(w.session)
    total_msat = sum(line.balance_msat for line in lines)
    document = {"balances": [asdict(line) for line in lines], "total_msat": total_msat}
    rows = [[line.account, format_sat(line.balance_msat)] for line in lines]
    emit(document, table(["account", "balance"], [*rows, ["total", format_sat(total_msat)]]))


@ledger.command()
@json_option
def checkpoint() -> None:
    """Store balances now, so that reading them stays quick. The jobs do it by themselves."""
    with work() as w:
        report = balances.checkpoint(w.session, w.deps.clock())
    emit(
        {"through_id": report.through_id, "accounts": report.accounts},
        [f"Stored {report.accounts} balances through entry {report.through_id}."],
    )
