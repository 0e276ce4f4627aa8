"""The proof that the books balance: every figure that is stored is worked out again.

Reads one unchanging view of the database, in SQL aggregates, so that millions of
transfers need little memory. It changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import func, select, text

from bitcache_server.ledger.audit_check import Check
from bitcache_server.ledger.audit_checks import CHECKS, SQLITE_CHECK, UNUSUAL_ACCOUNTS
from bitcache_server.ledger.chart import parse
from bitcache_server.models.ledger import BalanceCheckpoint, Grant, Transfer, Wallet
from bitcache_server.models.session import AnySession, read_transaction

MAX_FINDINGS_PER_CHECK = 100
"""Whatever is broken more often than that is broken for one reason."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: a stable code, what it is about, and words for a person."""

    code: str
    subject: str
    words: str
    transfer_id: int | None = None
    """Where in the order of booking it shows first; only the deep audit knows."""


@dataclass(frozen=True)
class AuditReport:
    """What an audit looked at and what it found."""

    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.findings


Progress = Callable[[str, int, int], None]
"""Called before each check with its code, its number from 1, and how many there are."""


def audit(session: AnySession, progress: Progress | None = None) -> AuditReport:
    """Work every stored figure out again and return what does not agree."""
    with read_transaction(session):
        checks = list(CHECKS)
        if session.get_bind().dialect.name == "sqlite":
            checks.append(SQLITE_CHECK)
        total = len(checks) + 1
        report = AuditReport(counts=_counts(session))
        for number, check in enumerate(checks, start=1):
            if progress:
                progress(check.code, number, total)
            report.findings.extend(_run(session, check))
        if progress:
            progress("unknown_account", total, total)
        report.findings.extend(_unknown_accounts(session))
    return report


def _counts(session: AnySession) -> dict[str, int]:
    tables = {
        "transfers": Transfer,
        "wallets": Wallet,
        "grants": Grant,
        "checkpoints": BalanceCheckpoint,
    }
    return {
        name: session.execute(select(func.count()).select_from(model)).scalar_one()
        for name, model in tables.items()
    }


def _run(session: AnySession, check: Check) -> list[Finding]:
    rows = session.execute(text(check.query)).fetchmany(MAX_FINDINGS_PER_CHECK)
    return [Finding(check.code, str(row[0]), check.words.format(*row[1:])) for row in rows]


def _unknown_accounts(session: AnySession) -> list[Finding]:
    findings = []
    for name in session.execute(text(UNUSUAL_ACCOUNTS)).scalars():
        try:
            parse(name)
        except ValueError as error:
            findings.append(Finding("unknown_account", name, str(error)))
    return findings[:MAX_FINDINGS_PER_CHECK]
