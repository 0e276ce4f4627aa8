"""One click: a wallet pays for an item and gets the grant that opens it.

In three steps, so that the middle one can be done for many readers at once
(``spend_queue.py``): read the offer, spend, issue grant and receipt.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import ItemArchived, OriginNotAllowed, PriceChanged
from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.parts import Part
from bitcache_server.ledger.spend import Outcome, SpendResult, spend
from bitcache_server.models.catalog import ORDER_KIND
from bitcache_server.services.deps import Deps
from bitcache_server.services.items import check_in_stock, get_offer
from bitcache_server.services.order_spend import spend_on_order
from bitcache_server.services.origins import origins_of
from bitcache_server.services.quotes import quote
from bitcache_server.services.sale_parts import sale_parts
from bitcache_server.services.settle_invoice import SECONDS_PER_HOUR
from bitcache_server.services.site_keys import signer_for
from bitcache_server.tokens.allowances import read_allowance
from bitcache_server.tokens.grants import GrantClaims, GrantSigner
from bitcache_server.tokens.holders import holder_name
from bitcache_server.tokens.receipts import sign_purchase

#: How long a repeated call is told the balance, as the first one was.
BALANCE_TOLD_S = 60


@dataclass(frozen=True)
class UnlockOrder:
    """Which wallet wants which item."""

    wallet_id: str
    item_id: str
    idempotency_key: str | None
    allowance_id: str | None = None
    """The allowance that pays; None on our own pages, where the reader is signed in."""
    origin: str | None = None
    """The web origin (RFC 6454) that the allowance was given to."""
    max_amount_msat: int | None = None
    """The price that the reader was shown; a higher one is refused."""
    auto: bool = False
    """Nobody clicked: only up to the price that the reader allowed for that."""


@dataclass(frozen=True)
class Unlocked:
    """What the reader has now. Amounts are msat, times Unix seconds."""

    grant: str
    receipt: str
    item_id: str
    expires_at: int | None
    outcome: str
    """``booked`` now, ``replayed`` with the same key, or ``owned`` before."""
    charged_msat: int
    """What this request cost, however often it is repeated; 0 for ``owned``."""
    balance_msat: int | None
    """What is left, for who has just paid; None for all others: a site is no till to ask."""
    gift_msat: int | None
    undo_until: int | None
    """Until when the purchase can be undone on the site's page; None: not here, or no more."""


@dataclass(frozen=True)
class UnlockOffer:
    """What an item costs now, who gets it, and who may sell it."""

    item_id: str
    site_id: str
    merchant_id: str
    parts: tuple[Part, ...]
    access_hours: int | None
    origins: frozenset[str]
    signer: GrantSigner
    archived: bool = False
    """It is not sold any more: only who has it gets it."""
    is_order: bool = False
    """It is sold once, to the first who pays."""


def unlock_item(deps: Deps, session: Session, order: UnlockOrder) -> Unlocked:
    """Pay for an item, or return what the wallet holds already; safe to repeat.

    Never charges a wallet twice while a grant lives. Is a transaction of its own. Raises
    UnknownItem, ItemArchived, OriginNotAllowed, RateUnavailable, InvalidPrice, FileMissing,
    what ``spend`` raises, and OrderClosed for an order that another has paid.
    """
    offer = read_offer(deps, session, order.item_id)
    wanted = to_spend(deps, offer, order)
    try:
        paid = spend_on_order(deps, session, wanted) if offer.is_order else spend(session, wanted)
    except PriceChanged as error:
        raise refusal(offer, error) from None
    return issue(deps, offer, order, paid)


def read_offer(deps: Deps, session: Session, item_id: str) -> UnlockOffer:
    """Return what an item costs now; raise UnknownItem, RateUnavailable, FileMissing."""
    item, merchant = get_offer(session, item_id)
    check_in_stock(deps, item)
    price_msat = quote(deps, session, item.price_currency, item.price_amount).must()
    return UnlockOffer(
        item_id=item.id,
        site_id=item.site_id,
        merchant_id=merchant.id,
        parts=sale_parts(deps, session, item.id, merchant.id, price_msat),
        access_hours=item.access_hours,
        origins=origins_of(session, item.site_id),
        signer=signer_for(deps, session, item.site_id),
        archived=item.archived_at is not None,
        is_order=item.kind == ORDER_KIND,
    )


def refusal(offer: UnlockOffer, error: PriceChanged) -> ItemArchived | PriceChanged:
    """Return what ``to_spend`` meant by a highest price of nothing."""
    return ItemArchived() if offer.archived else error


def order_by_allowance(
    deps: Deps,
    token: str | None,
    origin: str | None,
    *,
    item_id: str,
    idempotency_key: str | None,
    max_amount_msat: int | None,
    auto: bool,
) -> UnlockOrder:
    """Return the order of a site's page; asks no database.

    Raises AllowanceMissing, AllowanceInvalid, or OriginNotAllowed for a page of another
    origin than the token's, and for a caller that names none: no browser hides it.
    """
    claims = read_allowance(_secret(deps), token)
    if origin != claims.origin:
        raise OriginNotAllowed("The allowance was given to pages of another origin.")
    return UnlockOrder(
        wallet_id=claims.wallet,
        item_id=item_id,
        idempotency_key=idempotency_key,
        allowance_id=claims.allowance,
        origin=origin,
        max_amount_msat=max_amount_msat,
        auto=auto,
    )


def to_spend(deps: Deps, offer: UnlockOffer, order: UnlockOrder) -> Spend:
    """Return what the wallet is to do; raise OriginNotAllowed for an origin the site gave up."""
    if order.allowance_id is not None and order.origin not in offer.origins:
        raise OriginNotAllowed(
            f"{(order.origin or 'No origin')[:200]} is not an origin of this item's site."
        )
    now = deps.clock()
    hours = offer.access_hours
    return Spend(
        wallet_id=order.wallet_id,
        idempotency_key=order.idempotency_key,
        site_id=offer.site_id,
        item_id=offer.item_id,
        parts=offer.parts,
        expires_at=now + hours * SECONDS_PER_HOUR if hours else None,
        now=now,
        allowance_id=order.allowance_id,
        # At no price, so that only who owns it already comes through.
        max_msat=0 if offer.archived else order.max_amount_msat,
        auto=order.auto,
    )


def issue(deps: Deps, offer: UnlockOffer, order: UnlockOrder, paid: SpendResult) -> Unlocked:
    """Return grant and receipt of a purchase; their holder is the wallet by its name here."""
    claims = GrantClaims(
        site=offer.site_id,
        item=offer.item_id,
        holder=holder_name(_secret(deps), offer.merchant_id, order.wallet_id),
        price_msat=paid.price_msat,
        issued_at=paid.issued_at,
        expires_at=paid.expires_at,
        revision=paid.revision,
    )
    grant, receipt = sign_purchase(offer.signer, claims, paid_by=paid.group_id)
    tells = _tells_balance(deps, paid)
    return Unlocked(
        grant=grant,
        receipt=receipt,
        item_id=offer.item_id,
        expires_at=paid.expires_at,
        outcome=paid.outcome.value,
        charged_msat=paid.charged_msat,
        balance_msat=paid.balance_msat if tells else None,
        gift_msat=paid.gift_msat if tells else None,
        undo_until=None if offer.is_order else _undo_until(deps, order, paid),
    )


def _tells_balance(deps: Deps, paid: SpendResult) -> bool:
    """Return whether the answer says what is left: once for each purchase.

    Whoever repeats a call whose answer was lost hears it, too, but not for ever: a page
    would otherwise watch what its reader spends and fills up elsewhere.
    """
    if paid.outcome is Outcome.OWNED:
        return False
    return abs(deps.clock() - paid.issued_at) <= BALANCE_TOLD_S


def _secret(deps: Deps) -> str:
    return deps.settings.secret_key.get_secret_value()


def _undo_until(deps: Deps, order: UnlockOrder, paid: SpendResult) -> int | None:
    """Return the end of the window, also for ``owned``: the first answer may have been lost."""
    until = paid.issued_at + deps.settings.undo_window_s
    return until if order.allowance_id is not None and until > deps.clock() else None
