"""Give a purchase back: an undo within a minute, a return by the reader, one by the merchant.

The full price goes back to where it came from, the operator's commission included; the
grant ends; a row in ``refunds`` keeps the purchase from being given back twice. All run
inside the caller's write transaction. They lock the buyer's row first and then the
merchants' in the order of their ids, as everybody does who takes money from merchants.
"""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import (
    AlreadyRefunded,
    MerchantBalanceTooLow,
    RefundNotOffered,
    UnknownPurchase,
)
from bitcache_server.ledger import recipes, refund_recipes
from bitcache_server.models.catalog import Merchant, Site
from bitcache_server.models.ledger import Grant, Wallet
from bitcache_server.models.payouts import Refund
from bitcache_server.models.sales import Invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.items import any_item
from bitcache_server.services.merchant_lock import lock_merchant, require_merchant_balance
from bitcache_server.services.order_sales import given_back, is_order
from bitcache_server.services.settle_invoice import settle_invoice
from bitcache_server.tokens.holders import buyer_of_holder
from bitcache_server.tokens.secrets import new_id

BY_MERCHANT = "merchant"
BY_READER = "reader"
BY_UNDO = "undo"

#: The time in which ``Merchant.refunds_per_reader`` and ``SPARE_UNDOS`` count.
READER_LIMIT_S = 30 * SECONDS_PER_DAY
#: How many more purchases of a merchant's items a wallet may undo than keep, in that time.
SPARE_UNDOS = 2

_NOTHING_BOUGHT = "This reader holds no purchase of this item that could be given back."


@dataclass(frozen=True)
class _Purchase:
    """What is given back: the newest grant of a buyer for an item, and whom it paid."""

    grant: Grant
    group_id: str
    merchant: Merchant


def undo_purchase(deps: Deps, session: Session, wallet_id: str, item_id: str) -> Refund:
    """Take back what a wallet bought a moment ago, once for each item.

    The day's limit of an allowance does not get the price back: who holds its token could
    undo another purchase and spend more than the limit.
    Raises UnknownPurchase, AlreadyRefunded; RefundNotOffered when the window is over or
    this wallet has undone too much.
    """
    _lock_wallet(session, wallet_id)
    purchase = _purchase(session, wallet_id, item_id)
    _refuse_order(session, item_id)
    if not _is_within(deps, purchase.grant, deps.settings.undo_window_s):
        raise RefundNotOffered("The time in which a purchase can be undone is over.")
    undone = (Refund.owner_id == wallet_id, Refund.by == BY_UNDO)
    if session.scalar(select(Refund.id).where(*undone, Refund.item_id == item_id).limit(1)):
        raise RefundNotOffered("You have undone a purchase of this item before.")
    _check_undos(deps, session, wallet_id, purchase.merchant.id)
    return _give_back_to_wallet(deps, session, purchase, BY_UNDO)


def refund_by_reader(deps: Deps, session: Session, wallet_id: str, item_id: str) -> Refund:
    """Return a purchase as the merchant offers it: within a window, so many in 30 days.

    Raises UnknownPurchase, AlreadyRefunded, RefundNotOffered, MerchantBalanceTooLow.
    """
    _lock_wallet(session, wallet_id)
    purchase = _purchase(session, wallet_id, item_id)
    _refuse_order(session, item_id)
    merchant = purchase.merchant
    if not _is_within(deps, purchase.grant, merchant.refund_window_s):
        raise RefundNotOffered("The time in which this purchase can be returned is over.")
    if _returned_lately(deps, session, wallet_id, merchant.id) >= merchant.refunds_per_reader:
        raise RefundNotOffered("You have returned as many purchases here as 30 days allow.")
    return _give_back_to_wallet(deps, session, purchase, BY_READER)


def refund_by_merchant(
    deps: Deps,
    session: Session,
    site: Site,
    holder: str,
    item_id: str,
    group_id: str | None = None,
) -> Refund:
    """Give a purchase back because its merchant wants to, at any time.

    ``holder`` is the name of a reader in the merchant's statement and in grants, or an
    invoice, whose money then is its payer's credit. ``group_id`` is the ledger group of the
    purchase that is meant; None means the newest. Raises UnknownPurchase,
    AlreadyRefunded, MerchantBalanceTooLow; RefundNotOffered where the money is not ours
    to give back.
    """
    if any_item(session, item_id).site_id != site.id:
        raise UnknownPurchase("This site does not sell that item.")
    buyer_id = buyer_of_holder(_secret(deps), site.merchant_id, holder)
    invoice = _lock_invoice(session, buyer_id)
    if invoice is not None:
        purchase = _purchase(session, buyer_id, item_id, group_id)
        return _give_back_to_invoice(deps, session, invoice, purchase)
    _lock_wallet(session, buyer_id)
    purchase = _purchase(session, buyer_id, item_id, group_id)
    return _give_back_to_wallet(deps, session, purchase, BY_MERCHANT)


def can_refund_until(deps: Deps, session: Session, grant: Grant) -> int | None:
    """Return until when the reader may return what a wallet's grant opens, or None.

    Looks only; what it promises can be refused once the merchant's balance is too low.
    """
    if grant.revoked_at is not None or grant.group_id is None:
        return None
    if is_order(session, grant.item_id):
        return None
    site = session.get_one(Site, grant.site_id)
    merchant = session.get_one(Merchant, site.merchant_id)
    if not _is_within(deps, grant, merchant.refund_window_s):
        return None
    returned = _returned_lately(deps, session, grant.owner_id, merchant.id)
    if returned >= merchant.refunds_per_reader:
        return None
    return grant.issued_at + merchant.refund_window_s


def _secret(deps: Deps) -> str:
    return deps.settings.secret_key.get_secret_value()


def _is_within(deps: Deps, grant: Grant, window_s: int) -> bool:
    """Return whether a window is open. A clock that jumps, either way, opens none for long."""
    return window_s > 0 and abs(deps.clock() - grant.issued_at) <= window_s


def _check_undos(deps: Deps, session: Session, wallet_id: str, merchant_id: str) -> None:
    """Raise RefundNotOffered for who reads by undoing what they have read.

    Half of a day's undos, rounded up, is for the sites of one merchant: none uses up
    what a reader may need elsewhere.
    """
    today = _undone_since(session, wallet_id, deps.clock() - SECONDS_PER_DAY)
    per_day = deps.settings.undos_per_day
    if today.total() >= per_day or today[merchant_id] >= (per_day + 1) // 2:
        raise RefundNotOffered("You have undone as many purchases as one day allows.")
    since = deps.clock() - READER_LIMIT_S
    undone = _undone_since(session, wallet_id, since)[merchant_id]
    # What is to be undone now is among them, and is not kept.
    kept = _kept_since(session, wallet_id, merchant_id, since) - 1
    if undone >= kept + SPARE_UNDOS:
        raise RefundNotOffered("You have undone more than you have kept in 30 days.")


def _undone_since(session: Session, wallet_id: str, since: int) -> Counter[str]:
    """Return how many purchases a wallet has undone, by merchant."""
    query = select(Refund.merchant_id, func.count()).group_by(Refund.merchant_id)
    mine = query.where(Refund.owner_id == wallet_id, Refund.by == BY_UNDO)
    undone: Counter[str] = Counter()
    for merchant_id, count in session.execute(mine.where(Refund.created_at > since)):
        undone[merchant_id] = count
    return undone


def _kept_since(session: Session, wallet_id: str, merchant_id: str, since: int) -> int:
    """Return how many purchases of a merchant's items a wallet has made and not given back."""
    query = (
        select(func.count())
        .select_from(Grant)
        .join(Site, Site.id == Grant.site_id)
        .where(Grant.owner_id == wallet_id, Site.merchant_id == merchant_id)
        .where(Grant.group_id.is_not(None), Grant.revoked_at.is_(None), Grant.issued_at > since)
    )
    return session.execute(query).scalar_one()


def _returned_lately(deps: Deps, session: Session, wallet_id: str, merchant_id: str) -> int:
    query = select(func.count()).select_from(Refund)
    mine = (Refund.owner_id == wallet_id, Refund.merchant_id == merchant_id)
    since = deps.clock() - READER_LIMIT_S
    lately = query.where(*mine, Refund.by == BY_READER, Refund.created_at > since)
    return session.execute(lately).scalar_one()


def _lock_wallet(session: Session, wallet_id: str) -> None:
    """Lock the wallet as a spend does: purchases and refunds of one wallet stand in a row."""
    query = select(Wallet).where(Wallet.id == wallet_id).with_for_update(key_share=True)
    wallet = session.scalar(query.execution_options(populate_existing=True))
    if wallet is None:
        raise UnknownPurchase(_NOTHING_BOUGHT)
    if wallet.closed_at is not None:
        raise RefundNotOffered("The reader has deleted this wallet; nothing can be paid into it.")


def _lock_invoice(session: Session, invoice_id: str) -> Invoice | None:
    query = select(Invoice).where(Invoice.id == invoice_id).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def _purchase(
    session: Session, owner_id: str, item_id: str, group_id: str | None = None
) -> _Purchase:
    """Return what the newest grant of an item was bought with, or the one that a ledger group
    paid for; the buyer is locked."""
    newest = select(Grant).where(Grant.owner_id == owner_id, Grant.item_id == item_id)
    if group_id is not None:
        newest = newest.where(Grant.group_id == group_id)
    newest = newest.order_by(Grant.revision.desc()).limit(1)
    grant = session.scalar(newest.execution_options(populate_existing=True))
    if grant is None or grant.group_id is None:
        raise UnknownPurchase(_NOTHING_BOUGHT)
    if session.get(Refund, (owner_id, grant.group_id), populate_existing=True) is not None:
        raise AlreadyRefunded()
    site = session.get_one(Site, grant.site_id)
    merchant = session.get_one(Merchant, site.merchant_id, populate_existing=True)
    return _Purchase(grant, grant.group_id, merchant)


def _give_back_to_wallet(deps: Deps, session: Session, purchase: _Purchase, by: str) -> Refund:
    _take_from_merchants(session, purchase, by)
    wallet_id, now = purchase.grant.owner_id, deps.clock()
    group_id = refund_recipes.give_back(session, wallet_id, purchase.group_id, now)
    return _record(deps, session, purchase, by, group_id)


def _give_back_to_invoice(
    deps: Deps, session: Session, invoice: Invoice, purchase: _Purchase
) -> Refund:
    """Take the sale of an invoice back for good; its money becomes the payer's credit."""
    if invoice.direct:
        raise RefundNotOffered(
            "This was paid into your own wallet, not to this server: send it back from there."
        )
    _take_from_merchants(session, purchase, BY_MERCHANT)
    now = deps.clock()
    group_id = recipes.unsell(session, invoice.id, purchase.group_id, now)
    if invoice.sale_group == purchase.group_id:
        invoice.sale_group = invoice.paid_at = None
    else:
        # It was bought with money that came late or short, or with a surplus.
        invoice.redeemed_msat -= purchase.grant.price_msat
    if invoice.sale_group is None:
        invoice.refunded_at = now
    refund = _record(deps, session, purchase, BY_MERCHANT, group_id)
    settle_invoice(deps, session, invoice.id)
    return refund


def _take_from_merchants(session: Session, purchase: _Purchase, by: str) -> None:
    """Lock whoever got a part of the price and see that they all still have it."""
    owner_id = purchase.grant.owner_id
    parts = refund_recipes.parts_not_returned(session, owner_id, purchase.group_id)
    if not parts:
        raise UnknownPurchase("The payment behind this purchase vanished; nobody has its money.")
    for merchant_id, amount_msat in refund_recipes.merchants_among(parts):
        lock_merchant(session, merchant_id)
        if by == BY_UNDO:
            # No payout takes what can be undone, so only who owes a commission may lack it.
            continue
        try:
            require_merchant_balance(session, merchant_id, amount_msat)
        except MerchantBalanceTooLow:
            if by == BY_MERCHANT and merchant_id == purchase.merchant.id:
                raise
            # What another has is nobody's business: a co-author's not the merchant's,
            # and a merchant's not the reader's.
            raise MerchantBalanceTooLow(
                "Whoever got this money has paid it out; it cannot come back now."
            ) from None


def _record(deps: Deps, session: Session, purchase: _Purchase, by: str, group_id: str) -> Refund:
    grant, now = purchase.grant, deps.clock()
    refund = Refund(
        owner_id=grant.owner_id,
        group_id=purchase.group_id,
        id=new_id("rf"),
        item_id=grant.item_id,
        merchant_id=purchase.merchant.id,
        by=by,
        amount_msat=grant.price_msat,
        refund_group=group_id,
        created_at=now,
    )
    session.add(refund)
    grant.revoked_at = now
    given_back(deps, session, grant.item_id, purchase.group_id)
    session.flush()
    return refund


def _refuse_order(session: Session, item_id: str) -> None:
    """Raise RefundNotOffered for an order: its shop may have sent it already."""
    if is_order(session, item_id):
        raise RefundNotOffered("An order is given back by the shop that took it.")
