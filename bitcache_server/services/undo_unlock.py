"""Undo what an allowance has just bought. Runs inside the caller's write transaction."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AllowanceExpired,
    AllowanceRevoked,
    OriginNotAllowed,
    UnknownAllowance,
    UnknownPurchase,
)
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.wallets import Allowance
from bitcache_server.services.deps import Deps
from bitcache_server.services.items import site_of
from bitcache_server.services.origins import origins_of
from bitcache_server.services.refund import undo_purchase
from bitcache_server.tokens.allowances import AllowanceClaims, read_allowance


@dataclass(frozen=True)
class Undone:
    """What came back, and what the wallet holds now, in msat."""

    item_id: str
    refunded_msat: int
    balance_msat: int
    gift_msat: int


def undo_unlock(
    deps: Deps, session: Session, token: str | None, origin: str | None, item_id: str
) -> Undone:
    """Take back a purchase on behalf of the page that holds the allowance.

    Raises AllowanceMissing, AllowanceInvalid, OriginNotAllowed, UnknownAllowance,
    AllowanceRevoked, AllowanceExpired, UnknownItem, and what ``undo_purchase`` raises.
    """
    claims = read_allowance(deps.settings.secret_key.get_secret_value(), token)
    if origin != claims.origin:
        raise OriginNotAllowed("This allowance works on the pages of its own site only.")
    _check_alive(deps, session, claims)
    if origin not in origins_of(session, claims.site):
        raise OriginNotAllowed(f"{origin[:200]} is no longer an origin of this item's site.")
    if site_of(deps, session, item_id) != claims.site:
        raise UnknownPurchase("This item is sold by another site.")
    refund = undo_purchase(deps, session, claims.wallet, item_id)
    wallet = session.get_one(Wallet, claims.wallet, populate_existing=True)
    return Undone(item_id, refund.amount_msat, wallet.balance_msat, wallet.gift_msat)


def _check_alive(deps: Deps, session: Session, claims: AllowanceClaims) -> None:
    key = (claims.wallet, claims.allowance)
    allowance = session.get(Allowance, key, populate_existing=True)
    if allowance is None or allowance.site_id != claims.site:
        raise UnknownAllowance()
    if allowance.revoked_at is not None:
        raise AllowanceRevoked()
    if allowance.expires_at <= deps.clock():
        raise AllowanceExpired()
