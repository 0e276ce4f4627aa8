"""What a member may change about an item, as they write it."""

from dataclasses import asdict, dataclass
from decimal import Decimal

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.domain.money import SAT, exponent_of
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Item
from bitcache_server.services.deps import Deps
from bitcache_server.services.items import (
    MAX_TEASER_CHARS,
    MAX_TITLE_CHARS,
    check_hours,
    check_price,
    page_url,
)
from bitcache_server.services.texts import check_name, check_text


@dataclass(frozen=True)
class Terms:
    """An item's words, price and access."""

    title: str
    teaser: str
    url: str | None
    price: str
    """Major units, in plain decimal notation: ``0.05``."""
    currency: str
    """ISO 4217, or SAT."""
    access_hours: int | None
    """None is for ever."""
    archived: bool = False

    def differences(self, other: "Terms") -> tuple[dict[str, object], dict[str, object]]:
        """Return what is another there: as it is here, and as it is there."""
        here, there = asdict(self), asdict(other)
        names = [name for name in here if here[name] != there[name]]
        return {name: here[name] for name in names}, {name: there[name] for name in names}


def terms_of(item: Item) -> Terms:
    """Return the terms that an item has."""
    return Terms(
        title=item.title,
        teaser=item.teaser,
        url=item.url,
        price=price_text(item.price_currency, item.price_amount),
        currency=item.price_currency,
        access_hours=item.access_hours,
        archived=item.archived_at is not None,
    )


def price_text(currency: str, amount: int) -> str:
    """Return a price in major units with all decimals of the currency: ``0.05``, ``7000``."""
    exponent = 0 if currency == SAT else exponent_of(currency)
    if not exponent:
        return str(amount)
    whole, rest = divmod(amount, 10**exponent)
    return f"{whole}.{rest:0{exponent}d}"


def minor_of(terms: Terms) -> int:
    """Return the minor units or sats of a price that was checked."""
    exponent = 0 if terms.currency == SAT else exponent_of(terms.currency)
    return int(Decimal(terms.price).scaleb(exponent))


def check_terms(
    deps: Deps, session: Session, site_id: str, terms: Terms, before: Terms | None = None
) -> Terms:
    """Return the terms in normal form; raise InvalidRequest, InvalidPrice, UnknownCurrency.

    What stays as it was is not looked at: an address that the site gave up since does not
    keep the price from being changed.
    """
    if len(terms.teaser) > MAX_TEASER_CHARS:
        raise InvalidRequest(
            _("%(what)s is longer than %(number)s characters."),
            what=_("The teaser"),
            number=MAX_TEASER_CHARS,
        )
    url = terms.url or None
    if url is not None and (before is None or url != before.url):
        url = page_url(session, site_id, url)
    check_hours(terms.access_hours)
    currency, amount = check_price(deps, session, terms.price, terms.currency)
    return Terms(
        title=check_name(terms.title, _("The title"), MAX_TITLE_CHARS),
        teaser=check_text(terms.teaser, "The teaser"),
        url=url,
        price=price_text(currency, amount),
        currency=currency,
        access_hours=terms.access_hours,
        archived=terms.archived,
    )
