"""The doctor's look at the rate sources, and at the clock that their servers show."""

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from email.utils import parsedate_to_datetime
from statistics import median
from urllib.parse import urlsplit

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import Clock
from bitcache_server.domain.errors import BitcacheError
from bitcache_server.domain.money import SAT
from bitcache_server.domain.words import count
from bitcache_server.models.catalog import Item
from bitcache_server.models.operations import StoredRate
from bitcache_server.rates.base import RateSource, RateSourceError
from bitcache_server.rates.http_sources import HttpRateSource
from bitcache_server.rates.median import fetch_median
from bitcache_server.services.deps import Deps
from bitcache_server.services.diagnose_node import CLOCK_TOLERANCE_S
from bitcache_server.services.findings import Finding, fine, problem, warning
from bitcache_server.services.refresh_rates import ALWAYS

_DATE_TIMEOUT_S = 5.0
#: After the sources' own time-outs; a thread that hangs is left behind.
_EXTRA_S = 2.0


@dataclass(frozen=True)
class _Answer:
    """What one source said: a price or a reason, how fast, and how far our clock is off."""

    source: str
    price: Decimal | None
    reason: str
    took_s: float
    ahead_s: int | None


@dataclass(frozen=True)
class _Said:
    """A source that repeats an answer, so that the median needs no second call."""

    answer: _Answer

    @property
    def name(self) -> str:
        return self.answer.source

    def fetch(self, currency: str) -> Decimal:
        if self.answer.price is None:
            raise RateSourceError(self.answer.reason)
        return self.answer.price


def check_rates(deps: Deps, session: Session | None) -> Iterator[Finding]:
    """Ask every source once for each currency in use, and look at the clock."""
    used = _currencies(session)
    needed = used - {SAT}
    # In sats nothing needs a rate; the sources are then asked for the time alone.
    only_sat = bool(used) and not needed
    currencies = sorted(needed or {ALWAYS})
    clocks: list[int] = []
    for currency in currencies:
        answers = _ask_all(deps, currency)
        clocks += [a.ahead_s for a in answers if a.ahead_s is not None]
        if not only_sat:
            yield from (_of_source(answer, currency) for answer in answers)
            yield _of_median(deps, answers, currency, needed)
    if only_sat:
        yield fine("rates", "All prices are in sats, so none is needed.")
    elif session is not None:
        yield from _stored(deps, session, currencies, needed)
    if any(isinstance(source, HttpRateSource) for source in deps.rate_sources):
        yield _of_clock(clocks)


def _currencies(session: Session | None) -> set[str]:
    """Return what items are priced in, SAT included; nothing where there are no items."""
    if session is None:
        return set()
    used = set(session.scalars(select(Item.price_currency).distinct()))
    session.rollback()
    return used


def _ask_all(deps: Deps, currency: str) -> list[_Answer]:
    """Ask all sources at the same time; one that hangs is left out."""
    inbox: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
    ends_at = time.monotonic() + deps.settings.rate_timeout_s + _DATE_TIMEOUT_S + _EXTRA_S
    for source in deps.rate_sources:

        def work(source: RateSource = source) -> None:
            inbox.put(_ask(source, currency, deps.clock))

        threading.Thread(target=work, daemon=True).start()
    answers: dict[str, _Answer] = {}
    for _ in deps.rate_sources:
        try:
            answer = inbox.get(timeout=max(0.0, ends_at - time.monotonic()))
        except queue.Empty:
            break
        answers[answer.source] = answer
    return [
        answers.get(s.name) or _Answer(s.name, None, "gave no answer in time", 0.0, None)
        for s in deps.rate_sources
    ]


def _ask(source: RateSource, currency: str, clock: Clock) -> _Answer:
    started = time.monotonic()
    price, reason = None, ""
    try:
        price = source.fetch(currency)
    except (RateSourceError, BitcacheError) as error:
        reason = str(error)[:200]
    except Exception as error:  # as in the median: a source may be anybody's code
        reason = f"failed: {type(error).__name__}"
    took_s = time.monotonic() - started
    ahead_s = _clock_ahead_s(source, clock) if isinstance(source, HttpRateSource) else None
    return _Answer(source.name, price, reason, took_s, ahead_s)


def _clock_ahead_s(source: HttpRateSource, clock: Clock) -> int | None:
    """Return by how much our clock is ahead of the server's Date (RFC 9110, 6.6.1)."""
    parts = urlsplit(source.url_template)
    try:
        with httpx.Client(timeout=_DATE_TIMEOUT_S, follow_redirects=False) as client:
            date = client.head(f"{parts.scheme}://{parts.netloc}/").headers["Date"]
        return clock() - int(parsedate_to_datetime(date).timestamp())
    except (httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError):
        return None


def _of_source(answer: _Answer, currency: str) -> Finding:
    name = f"rate source {answer.source}"
    if answer.price is not None:
        found = f"1 BTC = {answer.price:f} {currency}, in {answer.took_s:.1f} s."
        return fine(name, found)
    return warning(
        name,
        "rate_source_silent",
        f"{currency}: {answer.reason}.",
        "Nothing to do while others answer. Otherwise look at the firewall, or take it out of "
        "rate_sources.",
    )


def _of_median(
    deps: Deps, answers: Sequence[_Answer], currency: str, needed: Collection[str]
) -> Finding:
    result = fetch_median([_Said(answer) for answer in answers], currency, deps.clock)
    if result.rate is not None:
        price, count = result.rate.price_per_btc, len(result.rate.sources)
        return fine("rates", f"1 BTC = {price:f} {currency}, the median of {count}.")
    return _lacking(currency, needed)(
        "rates",
        "rate_unavailable",
        f"No source gives a usable rate for {currency}.",
        "Let this machine reach the rate sources over https, add others to rate_sources, or "
        "price items with --currency SAT.",
    )


def _lacking(currency: str, needed: Collection[str]) -> Callable[[str, str, str, str], Finding]:
    """Return how bad a missing rate is: before the first item is priced, nobody waits for it."""
    return problem if currency in needed else warning


def _stored(
    deps: Deps, session: Session, currencies: Sequence[str], needed: Collection[str]
) -> Iterator[Finding]:
    """Look at the rates that are sold at now."""
    for currency in currencies:
        row = session.get(StoredRate, currency)
        if row is None:
            found = f"No rate for {currency} is stored yet."
            yield warning("stored rate", "never_fetched", found, "Start `bitcache jobs`.")
            continue
        age_s = max(0, deps.clock() - row.as_of)
        found = f"1 BTC = {row.price_per_btc} {currency}, {age_s} s old, from {row.sources}."
        if age_s > deps.settings.rate_max_age_s:
            mend = "Start `bitcache jobs`; until then items in this currency cannot be sold."
            yield _lacking(currency, needed)("stored rate", "rates_old", found, mend)
        else:
            yield fine("stored rate", found)
    session.rollback()


def _of_clock(ahead_s: Sequence[int]) -> Finding:
    if not ahead_s:
        return warning(
            "clock",
            "clock_unchecked",
            "No rate source said what time it is.",
            "Compare it yourself: date -u",
        )
    off_s = int(median(ahead_s))
    if abs(off_s) <= CLOCK_TOLERANCE_S:
        return fine("clock", f"Within {max(1, abs(off_s))} s of {count(len(ahead_s), 'server')}.")
    side = "ahead of" if off_s > 0 else "behind"
    return problem(
        "clock",
        "clock_wrong",
        f"This machine's clock is {abs(off_s)} s {side} the rate sources': invoices and grants "
        "end at the wrong time.",
        "Set it and keep it right with NTP: timedatectl set-ntp true",
    )
