"""Fetch rates in the background and keep the last good ones."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bitcache_server.domain.money import SAT
from bitcache_server.models.catalog import Item
from bitcache_server.models.operations import StoredRate
from bitcache_server.models.session import write_transaction
from bitcache_server.rates.median import fetch_median
from bitcache_server.services.deps import Deps

#: Kept fresh even before the first item is priced in it.
ALWAYS = "USD"


def refresh_rates(deps: Deps, session: Session) -> dict[str, str]:
    """Fetch the rate of every currency in use; return what went wrong, by currency.

    A currency whose sources are silent keeps its last good rate and the rate's age.
    """
    currencies = {ALWAYS, *session.scalars(select(Item.price_currency).distinct())} - {SAT}
    # A rate that no item needs any more would only grow old and look like a fault.
    with write_transaction(session):
        session.execute(delete(StoredRate).where(StoredRate.currency.not_in(currencies)))
    silent = {}
    for currency in sorted(currencies):
        result = fetch_median(deps.rate_sources, currency, deps.clock)
        if result.rate is None:
            silent[currency] = "; ".join(result.problems)
            continue
        with write_transaction(session):
            session.merge(
                StoredRate(
                    currency=currency,
                    price_per_btc=str(result.rate.price_per_btc),
                    as_of=result.rate.as_of,
                    sources=",".join(result.rate.sources),
                )
            )
    return silent
