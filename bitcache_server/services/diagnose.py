"""Every check of the doctor, in an order in which the first problem explains the later ones."""

from collections.abc import Iterator

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from bitcache_server.models.session import configure_engine, normalise_url
from bitcache_server.services import (
    diagnose_host,
    diagnose_lightning,
    diagnose_money,
    diagnose_node,
    diagnose_rates,
    diagnose_running,
    diagnose_shop,
)
from bitcache_server.services.deps import Deps
from bitcache_server.services.findings import Finding, fine, guarded
from bitcache_server.services.payout_health import check_payouts


def diagnose(deps: Deps) -> Iterator[Finding]:
    """Yield each finding as soon as it is known. Changes nothing and never raises.

    Checks that need tables are left out while the database has none.
    """
    settings = deps.settings
    where = f"for {settings.public_url}, {settings.environment}, {settings.network}"
    yield fine("settings", where)
    yield from guarded("secrets", lambda: diagnose_host.check_secrets(deps))
    usable = True
    for finding in guarded("database", lambda: diagnose_host.check_database(deps)):
        usable &= finding.ok
        yield finding
    yield from guarded("disk", lambda: diagnose_host.check_disk(deps))
    yield from guarded("addresses", lambda: diagnose_host.check_addresses(deps))
    yield from guarded("limits", lambda: diagnose_host.check_limits(deps))
    yield from guarded("proxy", lambda: diagnose_running.check_proxy(deps))
    yield from guarded("mail", lambda: diagnose_running.check_mail(deps))
    if not usable:
        yield from _without_tables(deps)
        return
    engine = configure_engine(create_engine(normalise_url(settings.database_url)))
    try:
        with Session(engine) as session:
            yield from _with_tables(deps, session)
    finally:
        engine.dispose()


def _without_tables(deps: Deps) -> Iterator[Finding]:
    yield from guarded("node", lambda: diagnose_node.check_node(deps, None))
    yield from guarded("lightning", lambda: diagnose_lightning.check_lightning(deps, None))
    yield from guarded("rates", lambda: diagnose_rates.check_rates(deps, None))


def _with_tables(deps: Deps, session: Session) -> Iterator[Finding]:
    yield from guarded("files", lambda: diagnose_shop.check_files(deps, session))
    yield from guarded("wallets", lambda: diagnose_shop.check_wallets(deps, session))
    yield from guarded("sites", lambda: diagnose_shop.check_sites(session))
    yield from guarded("prices", lambda: diagnose_shop.check_prices(deps, session))
    yield from guarded("jobs", lambda: diagnose_shop.check_jobs(deps, session))
    yield from guarded("payouts", lambda: check_payouts(deps, session))
    yield from guarded("money", lambda: diagnose_money.check_money(deps, session))
    yield from guarded("backups", lambda: diagnose_running.check_backups(deps, session))
    # No transaction stays open while the network is asked.
    session.rollback()
    yield from guarded("node", lambda: diagnose_node.check_node(deps, session))
    yield from guarded("lightning", lambda: diagnose_lightning.check_lightning(deps, session))
    yield from guarded("rates", lambda: diagnose_rates.check_rates(deps, session))
