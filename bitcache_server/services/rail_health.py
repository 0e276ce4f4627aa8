"""Keep the last health report of each rail, so that web processes never ask a node."""

from sqlalchemy.orm import Session

from bitcache_server.models.operations import RailStatus
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import Rail, RailHealth
from bitcache_server.services.deps import Deps


def record_health(deps: Deps, session: Session, rail: Rail) -> RailHealth:
    """Ask a rail how it is and store the answer."""
    health = rail.health()
    now = deps.clock()
    with write_transaction(session):
        status = session.get(RailStatus, rail.name) or RailStatus(rail=rail.name, ok_at=0)
        status.ok, status.code, status.detail = health.ok, health.code, health.detail
        status.checked_at = now
        status.tip_height = health.tip_height
        status.fee_rate_msat_per_vb = health.fee_rate_msat_per_vb
        if health.ok:
            status.ok_at = now
        session.add(status)
    return health
