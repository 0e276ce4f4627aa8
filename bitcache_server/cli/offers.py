"""Why an item cannot be bought now, in words for its merchant."""

from bitcache_server.cli.work import Work
from bitcache_server.domain.errors import AmountBelowFloor, InvalidPrice, RateUnavailable
from bitcache_server.models.catalog import Item, Merchant, Site
from bitcache_server.models.operations import RailStatus, StoredRate
from bitcache_server.services.offers import account_of, offers_for
from bitcache_server.services.quotes import quote
from bitcache_server.services.views import ItemView

_START_JOBS = "start `bitcache jobs`"


def why_not_on_offer(w: Work, found: Item, view: ItemView) -> str:
    """Return the reason why no rail takes the item; nothing when one does."""
    if view.rails:
        return ""
    if found.kind == "file" and view.file is None:
        return "its file is missing from the files folder"
    try:
        amount_msat = quote(w.deps, w.session, found.price_currency, found.price_amount).must()
    except InvalidPrice as error:
        return error.detail
    except RateUnavailable:
        known = w.session.get(StoredRate, found.price_currency) is not None
        which = "the exchange rate is too old" if known else "no exchange rate is known yet"
        return f"{which}; {_START_JOBS}"
    merchant = w.session.get_one(Merchant, w.session.get_one(Site, found.site_id).merchant_id)
    refusals = offers_for(w.deps, w.session, merchant, amount_msat).refusals
    # The jobs find the network, and no larger price.
    for refusal in refusals:
        if isinstance(refusal, AmountBelowFloor):
            return refusal.detail
    if any(account_of(w.deps, merchant, name) is not None for name in w.deps.rails):
        never = [name for name in w.deps.rails if w.session.get(RailStatus, name) is None]
        if never:
            return f"the payment network was not looked at yet; {_START_JOBS}"
    return " ".join(refusal.detail for refusal in refusals)
