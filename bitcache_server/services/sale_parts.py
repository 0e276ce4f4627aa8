"""Who gets what of a sale, for every way to pay."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.fees import CommissionRule, shares_msat
from bitcache_server.ledger import chart
from bitcache_server.ledger.parts import Part
from bitcache_server.models.catalog import ItemSplit, Merchant
from bitcache_server.models.sales import Invoice
from bitcache_server.services.deps import Deps

Shares = tuple[tuple[str, int], ...]
"""Co-authors of an item and their shares in parts per million, in the order of their ids."""


def sale_parts(
    deps: Deps, session: Session, item_id: str, merchant_id: str, price_msat: int
) -> tuple[Part, ...]:
    """Return the parts of a price in msat; they add up to it, and none is zero."""
    rule = commission_rule(deps, session.get_one(Merchant, merchant_id))
    return parts_of_price(price_msat, rule, merchant_id, item_shares(session, item_id))


def parts_of_invoice(
    deps: Deps, session: Session, invoice: Invoice, price_msat: int
) -> tuple[Part, ...]:
    """Return the parts of what an invoice sells, as ``sale_parts`` does.

    Money in a merchant's own wallet is shared with nobody, whatever was agreed about the
    item: co-authors would be owed money here that nobody here has ever seen.
    """
    shares = () if invoice.direct else item_shares(session, invoice.item_id)
    rule = commission_rule(deps, session.get_one(Merchant, invoice.merchant_id))
    return parts_of_price(price_msat, rule, invoice.merchant_id, shares)


def parts_on_top(
    deps: Deps, session: Session, invoice: Invoice, sold_msat: int, rest_msat: int
) -> tuple[Part, ...]:
    """Return the parts of what was sent to a merchant on top of what was booked as sold.

    The commission is what the whole costs less what was taken: a smallest or a largest one
    counts once. Neither part is ever negative.
    """
    rule = commission_rule(deps, session.get_one(Merchant, invoice.merchant_id))
    taken_msat = rule.commission_msat(sold_msat)
    commission_msat = rule.commission_msat(sold_msat + rest_msat) - taken_msat
    parts = (
        Part(chart.merchant(invoice.merchant_id), rest_msat - commission_msat),
        Part(chart.COMMISSION, commission_msat),
    )
    return tuple(part for part in parts if part.amount_msat)


def parts_of_price(
    price_msat: int, rule: CommissionRule, merchant_id: str, shares: Sequence[tuple[str, int]]
) -> tuple[Part, ...]:
    """Return who gets what of a price, from figures alone: it asks no database.

    The commission comes first; of the rest each co-author gets a share, rounded down,
    and the item's merchant all that is left. Parts of zero are left out, and whoever
    stands in it twice gets one part. Raises ValueError for shares of more than the whole.
    """
    net_msat, commission_msat = rule.split_msat(price_msat)
    amounts_msat = shares_msat(net_msat, [share_ppm for _, share_ppm in shares])
    parts_msat = {merchant_id: net_msat - sum(amounts_msat)}
    for (author_id, _), amount_msat in zip(shares, amounts_msat, strict=True):
        parts_msat[author_id] = parts_msat.get(author_id, 0) + amount_msat
    parts = [Part(chart.merchant(who), amount_msat) for who, amount_msat in parts_msat.items()]
    parts.append(Part(chart.COMMISSION, commission_msat))
    return tuple(part for part in parts if part.amount_msat)


def commission_rule(deps: Deps, merchant: Merchant) -> CommissionRule:
    """Return the merchant's own rule, which holds as a whole, or else the operator's."""
    if merchant.commission_ppm is None:
        return deps.commission
    return CommissionRule(
        merchant.commission_ppm, merchant.commission_min_msat or 0, merchant.commission_max_msat
    )


def item_shares(session: Session, item_id: str) -> Shares:
    """Return the co-authors of an item and their shares."""
    query = select(ItemSplit.merchant_id, ItemSplit.share_ppm).where(ItemSplit.item_id == item_id)
    rows = session.execute(query.order_by(ItemSplit.merchant_id))
    return tuple((author_id, share_ppm) for author_id, share_ppm in rows)
