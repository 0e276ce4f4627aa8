"""Fetch rates in the background and keep the last good ones, and what they were before."""

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.money import SAT
from bitcache_server.models.catalog import Item, Merchant
from bitcache_server.models.operations import StoredRate
from bitcache_server.models.sales_book import RateHistory
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.rates.base import Rate
from bitcache_server.rates.median import fetch_median
from bitcache_server.services.deps import Deps

#: Kept fresh even before the first item is priced in it.
ALWAYS = "USD"
#: The history has one rate for each such time, however often rates are fetched.
HISTORY_S = 60


def refresh_rates(deps: Deps, session: Session) -> dict[str, str]:
    """Fetch the rate of every currency in use; return what went wrong, by currency.

    A currency whose sources are silent keeps its last good rate and the rate's age.
    """
    priced = session.scalars(select(Item.price_currency).distinct())
    shown = session.scalars(select(Merchant.currency).distinct())
    currencies = {ALWAYS, *priced, *shown} - {SAT}
    # A rate that nobody needs any more would only grow old and look like a fault.
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
            _remember(session, result.rate)
    return silent


def _remember(session: Session, rate: Rate) -> None:
    """Add a rate to the history, unless there is a newer one or one of the same minute."""
    query = select(func.max(RateHistory.as_of)).where(RateHistory.currency == rate.currency)
    newest = session.scalar(query)
    if newest is not None and rate.as_of - newest < HISTORY_S:
        return
    insert_missing(
        session,
        RateHistory,
        currency=rate.currency,
        as_of=rate.as_of,
        price_per_btc=str(rate.price_per_btc),
        sources=",".join(rate.sources)[:400],
    )
