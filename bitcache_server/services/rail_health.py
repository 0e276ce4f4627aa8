"""Keep the last health report of each rail, so that web processes never ask a node."""

from dataclasses import replace

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import RailError
from bitcache_server.models.operations import RailStatus
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import ChainRail, Rail, RailHealth
from bitcache_server.services.deps import Deps
from bitcache_server.services.walk import steps_from
from bitcache_server.services.watch_rail import stored_cursor


def record_health(deps: Deps, session: Session, rail: Rail) -> RailHealth:
    """Ask a rail how it is and store the answer."""
    health = _health(session, rail)
    now = deps.clock()
    with write_transaction(session):
        status = session.get(RailStatus, rail.name) or RailStatus(rail=rail.name, ok_at=0)
        status.ok, status.code, status.detail = health.ok, health.code, health.detail
        status.checked_at = now
        status.tip_height = health.tip_height
        status.fee_rate_msat_per_vb = health.fee_rate_msat_per_vb
        status.receivable_msat = health.receivable_msat
        if health.ok:
            status.ok_at = now
        session.add(status)
    return health


def _health(session: Session, rail: Rail) -> RailHealth:
    """Return the rail's health; it is ill too if the watch cannot go on from where it is.

    A node may be well in itself and yet lack the next block: it is pruned, or its
    data folder was replaced. Then payments would be invited that nobody sees.
    """
    health = rail.health()
    if not isinstance(rail, ChainRail):
        return health
    cursor = stored_cursor(session, rail.name)
    session.rollback()
    if not health.ok or cursor is None:
        return health
    try:
        # Not the mempool: whoever looks at it with no target in mind hides it from the watch.
        next(steps_from(session, rail, cursor, lambda _: frozenset(), with_mempool=False), None)
    except RailError as error:
        return replace(health, ok=False, code=error.code, detail=error.detail)
    return health
