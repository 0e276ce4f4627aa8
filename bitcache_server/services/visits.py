"""How many saw a wall and started to pay, without cookies or fingerprints.

Each process counts in memory and adds its sums to the database once a minute. What a
process had not written when it was killed is lost: these are figures to go by, not money.
"""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.services.sale_sums import add_to_item_days
from bitcache_server.services.visit_counts import Counted, Key


def count_seen(deps: Deps, item_id: str) -> None:
    """Count that the wall of an item was shown. Asks no database and never fails."""
    deps.visit_counts.add(item_id, _today(deps), seen=1)


def count_started(deps: Deps, item_id: str) -> None:
    """Count an invoice, or a click that the balance was too small for; as ``count_seen`` does."""
    deps.visit_counts.add(item_id, _today(deps), started=1)


def write_counts(deps: Deps, session: Session) -> int:
    """Add what this process has counted to the database; return how many rows that were.

    Opens its transaction. When it raises (StorageBusy, StorageFull …) the counts are kept
    for the next time, at most ``visit_counts.MOST_KEPT`` of them.
    """
    taken = deps.visit_counts.take()
    if not taken:
        return 0
    try:
        with write_transaction(session):
            _add(session, taken)
    except BaseException:
        deps.visit_counts.give_back(taken)
        raise
    return len(taken)


def _add(session: Session, taken: Mapping[Key, Counted]) -> None:
    add_to_item_days(
        session, {key: {"seen": one.seen, "started": one.started} for key, one in taken.items()}
    )


def _today(deps: Deps) -> int:
    return deps.clock() // SECONDS_PER_DAY
