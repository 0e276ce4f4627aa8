"""Readers with money in their wallets who buy, for tests of what follows a purchase."""

from typing import Any

from sqlalchemy import select

from bitcache_server.ledger import chart
from bitcache_server.models.ledger import Grant, Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Allowance
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.merchant_payouts import request_merchant_payout, set_payout_terms
from bitcache_server.services.merchants import add_merchant, add_site, get_site
from bitcache_server.services.unlock_item import Unlocked, UnlockOrder, unlock_item
from bitcache_server.tokens.allowances import AllowanceClaims, issue_allowance
from bitcache_server.tokens.holders import holder_name
from tests.support.books import open_allowance, open_wallet
from tests.support.shops import held
from tests.support.world import ORIGIN, World

WALLET = "wa_reader"
ALLOWANCE = "al_reader"
#: The file of a world costs 7,000 sat, of which the operator takes 1 %.
FILE_MSAT = 7_000_000
FILE_COMMISSION_MSAT = 70_000


def fill_wallet(
    world: World, balance_msat: int = 20_000_000, gift_msat: int = 0, wallet_id: str = WALLET
) -> str:
    """Give a new wallet that holds this much."""
    return open_wallet(world.session, wallet_id, balance_msat, gift_msat)


def allow(world: World, wallet_id: str = WALLET, **changed: Any) -> str:
    """Let the site's pages spend from a wallet, and return the token."""
    values = {"per_item_msat": FILE_MSAT, "per_day_msat": 3 * FILE_MSAT, **changed}
    values.setdefault("expires_at", world.clock() + 30 * 86_400)
    open_allowance(world.session, ALLOWANCE, wallet_id=wallet_id, site_id=world.site_id, **values)
    claims = AllowanceClaims(wallet_id, ALLOWANCE, world.site_id, ORIGIN)
    secret_key = world.deps.settings.secret_key.get_secret_value()
    return issue_allowance(secret_key, claims, world.clock())


def buy_from_balance(
    world: World, item_id: str = "", wallet_id: str = WALLET, **changed: Any
) -> Unlocked:
    """Buy an item, the file unless another is named, from a wallet."""
    values = {"idempotency_key": None, **changed}
    return unlock_item(
        world.deps, world.session, UnlockOrder(wallet_id, item_id or world.file_id, **values)
    )


def purses(world: World, wallet_id: str = WALLET) -> tuple[int, int]:
    """Return a reader's own money and what is left of the starter credit."""
    world.session.rollback()
    wallet = world.session.get_one(Wallet, wallet_id, populate_existing=True)
    found = (wallet.balance_msat, wallet.gift_msat)
    world.session.rollback()
    return found


def holder_of(world: World, wallet_id: str = WALLET, merchant_id: str = "") -> str:
    """Return what a merchant, the world's own unless another is named, calls a wallet."""
    secret_key = world.deps.settings.secret_key.get_secret_value()
    return holder_name(secret_key, merchant_id or world.merchant_id, wallet_id)


def earned(world: World, *merchant_ids: str) -> tuple[int, ...]:
    """Return what the merchants have, the world's own unless others are named."""
    ids = merchant_ids or (world.merchant_id,)
    return tuple(held(world, chart.merchant(merchant_id)) for merchant_id in ids)


def spent_today(world: World) -> int:
    """Return what the allowance counts for its day."""
    world.session.rollback()
    key = (WALLET, ALLOWANCE)
    spent_msat = world.session.get_one(Allowance, key, populate_existing=True).spent_msat
    world.session.rollback()
    return spent_msat


def revisions_alive(world: World, item_id: str, owner_id: str = WALLET) -> list[int]:
    """Return the revisions of the owner's grants that are not revoked."""
    world.session.rollback()
    query = select(Grant.revision).where(Grant.owner_id == owner_id, Grant.item_id == item_id)
    found = list(world.session.scalars(query.where(Grant.revoked_at.is_(None))))
    world.session.rollback()
    return found


def add_author(world: World, name: str = "Bob") -> str:
    """Add a merchant who sells nothing and return the id."""
    with write_transaction(world.session):
        return add_merchant(world.deps, world.session, name, None).id


def sell_shared(world: World, price_sat: int, shares_ppm: dict[str, int]) -> str:
    """Add an article with co-authors and return its id."""
    new = NewItem(
        title="Together",
        price=price_sat,
        currency="SAT",
        content_html="<p>We.</p>",
        splits=shares_ppm,
    )
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        return add_item(world.deps, world.session, site, new).id


def sell_elsewhere(world: World, name: str) -> str:
    """Add a merchant with a site and an article for 5 sat, and return the article's id."""
    origin = f"https://{name.lower()}.example"
    new = NewItem(title="Else", price=5, currency="SAT", content_html="<p>There.</p>")
    merchant_id = add_author(world, name)
    with write_transaction(world.session):
        site = add_site(world.deps, world.session, merchant_id, name, [origin]).site
        return add_item(world.deps, world.session, site, new).id


def pay_out(world: World, merchant_id: str = "") -> str:
    """Ask for a payout of all that a merchant has, and return its id.

    The process that does it has a clock that is ahead, so that no undo keeps money back.
    """
    deps, session = world.deps, world.session
    merchant_id = merchant_id or world.merchant_id
    set_payout_terms(deps, session, merchant_id, address=f"fake:{merchant_id}")
    ahead_s = deps.settings.undo_window_s + 1
    world.clock.pass_time(ahead_s)
    payout_id = request_merchant_payout(deps, session, merchant_id).id
    world.clock.pass_time(-ahead_s)
    return payout_id
