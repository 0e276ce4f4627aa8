"""``bitcache ledger``: prove the books, read balances, compare them with the rails."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from bitcache_server.cli.output import (
    emit,
    fields,
    is_terminal,
    json_option,
    moment,
    shown,
    table,
    wants_json,
)
from bitcache_server.cli.work import Work, work
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.words import count
from bitcache_server.ledger import balances
from bitcache_server.ledger.audit import AuditReport, Finding, audit
from bitcache_server.ledger.rebuild import RebuildReport, rebuild
from bitcache_server.models.session import write_transaction
from bitcache_server.services.books import balance_lines
from bitcache_server.services.reconcile import (
    Code,
    Comparison,
    book_deposit,
    book_withdrawal,
    reconcile,
)
from bitcache_server.services.solvency import (
    Verdict,
    newest_report,
    publish,
    report_view,
    verify_report,
)

_COLOURS = {Code.OK: "green", Code.SHORT: "red", Code.SURPLUS: "yellow", Code.UNKNOWN: "yellow"}
Step = Callable[[str, int, int], None]


@click.group()
def ledger() -> None:
    """Prove that the books balance, read them, and compare them with the money."""


@ledger.command("audit")
@click.option(
    "--deep",
    is_flag=True,
    help="Also rebuild every balance from the first transfer on, row by row.",
)
@json_option
def audit_books(deep: bool) -> int:
    """Work out every stored figure again; exit code 1 if one does not agree.

    Changes nothing and may run while a server runs. Run it daily, and before and
    after you install a new version or restore a backup. With --deep it also proves
    what each account held at every moment, and names the first transfer after which
    something differs; that reads every transfer (ten million take some minutes).
    """
    with work() as w:
        with _progress("Auditing") as step:
            report = audit(w.session, step)
        rebuilt = _rebuild(w) if deep else None
    findings = [*report.findings, *(rebuilt.findings if rebuilt else [])]
    document: dict[str, Any] = {
        "clean": not findings,
        "counts": report.counts,
        "findings": [asdict(finding) for finding in findings],
    }
    if rebuilt:
        document["rebuilt"] = {
            "transfers": rebuilt.transfers,
            "checkpoints": rebuilt.checkpoints,
            "accounts": rebuilt.accounts,
            "first_transfer_id": rebuilt.first_transfer_id,
        }
    emit(document, _verdict(report, rebuilt, findings))
    return 1 if findings else 0


def _rebuild(w: Work) -> RebuildReport:
    with _progress("Rebuilding") as step:
        return rebuild(w.session, (lambda at, end: step("", at, end)) if step else None)


@contextmanager
def _progress(label: str) -> Iterator[Step | None]:
    """Give what shows the progress on a terminal, None elsewhere."""
    if wants_json() or not is_terminal():
        yield None
        return
    with click.progressbar(length=0, label=label, item_show_func=str) as bar:

        def step(what: str, number: int, total: int) -> None:
            bar.length = total
            bar.update(number - bar.pos, what)

        yield step
        bar.update((bar.length or 0) - bar.pos, "done")


def _verdict(
    report: AuditReport, rebuilt: RebuildReport | None, findings: Sequence[Finding]
) -> list[str]:
    looked_at = ", ".join(
        count(number, name.removesuffix("s")) for name, number in report.counts.items()
    )
    lines = []
    if rebuilt:
        lines.append(
            f"Rebuilt {count(rebuilt.accounts, 'balance')} from "
            f"{count(rebuilt.transfers, 'transfer')}, and "
            f"compared {count(rebuilt.checkpoints, 'checkpoint')} on the way."
        )
        if rebuilt.first_transfer_id is not None:
            lines.append(f"The books first diverge at transfer {rebuilt.first_transfer_id}.")
    if not findings:
        return [*lines, f"{click.style('The books balance.', fg='green')} Looked at {looked_at}."]
    found = [
        f"{click.style(f.code, fg='red')}  {shown(f.subject)}: {shown(f.words)}" for f in findings
    ]
    verdict = click.style("The books do not balance.", fg="red", bold=True)
    return [*found, *lines, f"{verdict} {count(len(found), 'finding')}; looked at {looked_at}."]


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
        [f"Stored {count(report.accounts, 'balance')} through entry {report.through_id}."],
    )


@ledger.command("reconcile")
@click.option("--rail", help="Only this one; all of them by default.")
@json_option
def reconcile_rails(rail: str | None) -> int:
    """Compare what the books say each rail holds with what it says; exit code 1 if short.

    The jobs do it by themselves, and `bitcache doctor` and /health show the result.
    """
    with work() as w:
        rails = [w.deps.rail(rail)] if rail else list(w.deps.rails.values())
        found = [reconcile(w.deps, w.session, each) for each in rails]
    emit({"rails": [asdict(each) for each in found]}, [_comparison(each) for each in found])
    return 1 if any(each.code is Code.SHORT for each in found) else 0


def _comparison(found: Comparison) -> str:
    return f"{click.style(found.code, fg=_COLOURS[found.code])}  {shown(found.detail)}"


@ledger.command()
@click.argument("rail")
@click.argument("amount_sat", type=click.IntRange(min=1))
@json_option
def deposit(rail: str, amount_sat: int) -> None:
    """Book money of your own that you put into a rail, in sats.

    The paying wallet needs a float: the network's fees come out of it, and payouts that
    are due before the readers' coins can be spent. Send the coins, then book them.

    \b
    Example:
      bitcache ledger deposit onchain 200000
    """
    with work() as w, write_transaction(w.session):
        group = book_deposit(w.deps, w.session, rail, amount_sat * MSAT_PER_SAT)
    _booked(rail, amount_sat, group, "put into")


@ledger.command()
@click.argument("rail")
@click.argument("amount_sat", type=click.IntRange(min=1))
@json_option
def withdraw(rail: str, amount_sat: int) -> None:
    """Book money that you took out of a rail, in sats: your float, or your earnings.

    Count the network's fee in when your own transaction paid it from that wallet.
    """
    with work() as w, write_transaction(w.session):
        group = book_withdrawal(w.deps, w.session, rail, amount_sat * MSAT_PER_SAT)
    _booked(rail, amount_sat, group, "taken out of")


def _booked(rail: str, amount_sat: int, group: str, words: str) -> None:
    emit(
        {"rail": rail, "amount_msat": amount_sat * MSAT_PER_SAT, "group": group},
        [f"Booked: {format_sat(amount_sat * MSAT_PER_SAT)} of your own {words} {shown(rail)}."],
    )


@ledger.command()
@click.option("--publish", "now", is_flag=True, help="Publish a new proof first.")
@click.option("--verify", is_flag=True, help="Hash every stored node again.")
@json_option
def solvency(now: bool, verify: bool) -> int:
    """Show the last proof of solvency; exit code 1 if --verify finds a fault.

    The jobs publish one every `solvency_every_s` seconds. Readers check their own part
    on the wallet's page.
    """
    with work() as w:
        if now:
            publish(w.deps, w.session)
        report = newest_report(w.session)
        view = report_view(report)
        verdict = verify_report(w.session, report) if verify else None
    document = view.model_dump() | ({"problems": verdict.problems} if verdict else {})
    held = "not known then" if view.held_msat is None else format_sat(view.held_msat)
    lines = fields(
        [
            ("root", view.root_hash),
            ("owed to readers", format_sat(view.total_msat)),
            ("owed besides", format_sat(view.others_msat)),
            ("held", held),
            ("balances", str(view.leaves)),
            ("as of", moment(view.created_at)),
        ]
    )
    emit(document, [*lines, *_verified(verdict)])
    return 1 if verdict and verdict.problems else 0


def _verified(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return []
    if verdict.problems:
        return [click.style(shown(problem), fg="red") for problem in verdict.problems]
    return [click.style(f"{count(verdict.nodes, 'hash is', 'hashes are')} right.", fg="green")]
