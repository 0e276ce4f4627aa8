"""The doctor's look at the money: is what is booked also there."""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from bitcache_server.models.solvency import Reconciliation
from bitcache_server.services.deps import Deps
from bitcache_server.services.findings import Finding, fine, problem, warning
from bitcache_server.services.reconcile import Code


def check_money(deps: Deps, session: Session) -> Iterator[Finding]:
    """Look at the last comparison of each rail with its clearing accounts."""
    for name in deps.rails:
        row = session.get(Reconciliation, name)
        if row is None:
            # Where the jobs do not run, that is the finding.
            yield fine("money", f"{name} was not compared with the books yet; the jobs do that.")
        else:
            yield _finding(row)


def _finding(row: Reconciliation) -> Finding:
    match Code(row.code):
        case Code.OK:
            return fine("money", row.detail)
        case Code.SHORT:
            return problem(
                "money",
                "money_missing",
                row.detail,
                "Stop payouts and look who moved coins of the paying wallet. What you took "
                "yourself is booked with `bitcache ledger withdraw`.",
            )
        case Code.SURPLUS:
            mend = "Book your own money with `bitcache ledger deposit`."
            return warning("money", "money_unbooked", row.detail, mend)
        case Code.UNKNOWN:
            mend = "Run `bitcache ledger reconcile` when it answers."
            return warning("money", "money_unknown", row.detail, mend)
