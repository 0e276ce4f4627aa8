"""What a reader sees of their wallet: balance, purchases, what happened."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import UnknownPurchase, UnknownWallet
from bitcache_server.ledger import chart
from bitcache_server.models.catalog import Item, Site
from bitcache_server.models.ledger import Grant, Wallet
from bitcache_server.models.payouts import Payout, Refund
from bitcache_server.services.deps import Deps
from bitcache_server.services.payouts import payouts_of
from bitcache_server.services.refund import can_refund_until

PAGE_SIZE = 20
#: Nobody turns so many pages by hand; beyond that is the export.
MAX_PAGE = 10_000


@dataclass(frozen=True)
class WalletView:
    """A wallet's two sums in msat: the reader's own money, and what is left of the gift."""

    id: str
    balance_msat: int
    gift_msat: int
    created_at: int

    @property
    def total_msat(self) -> int:
        """Return what can be spent."""
        return self.balance_msat + self.gift_msat


@dataclass(frozen=True)
class Purchase:
    """A grant that the wallet holds or held."""

    item_id: str
    revision: int
    group_id: str | None
    title: str
    site_id: str
    site_name: str
    url: str
    """The page that sells it, or the hosted checkout."""
    held_by_site: bool
    """The site opens it, not this server."""
    price_msat: int
    bought_at: int
    expires_at: int | None
    given_back: bool
    taken_back: bool
    """Revoked for another reason than a refund."""
    ended: bool
    refund_until: int | None
    """Until when the reader may give it back, where the merchant offers that."""

    @property
    def opens(self) -> bool:
        """Say whether it opens the item now."""
        return not (self.given_back or self.taken_back or self.ended)


def wallet_view(deps: Deps, session: Session, wallet_id: str) -> WalletView:
    """Return the balance of a wallet; raise UnknownWallet, also for a deleted one."""
    # Columns, not the row: spends change the sums without this session's knowing.
    row = session.execute(
        select(Wallet.balance_msat, Wallet.gift_msat, Wallet.created_at).where(
            Wallet.id == wallet_id, Wallet.closed_at.is_(None)
        )
    ).one_or_none()
    if row is None:
        raise UnknownWallet()
    return WalletView(wallet_id, row.balance_msat, row.gift_msat, row.created_at)


def withdrawals(session: Session, wallet_id: str) -> Sequence[Payout]:
    """Return what the wallet has withdrawn, newest first, also what is still on its way."""
    return payouts_of(session, chart.wallet(wallet_id))


def purchases(
    deps: Deps, session: Session, wallet_id: str, page: int = 1, size: int = PAGE_SIZE
) -> tuple[Sequence[Purchase], bool]:
    """Return one page of the purchases, newest first, and whether there are older ones."""
    query = (
        _purchases(wallet_id)
        .order_by(Grant.issued_at.desc(), Grant.item_id, Grant.revision.desc())
        .offset((min(page, MAX_PAGE) - 1) * size)
        .limit(size + 1)
    )
    rows = session.execute(query).all()
    found = [_purchase(deps, session, *row) for row in rows]
    return found[:size], len(found) > size


def purchase(
    deps: Deps, session: Session, wallet_id: str, item_id: str, revision: int | None = None
) -> Purchase:
    """Return one purchase of the wallet, the newest without ``revision``.

    Raises UnknownPurchase.
    """
    query = _purchases(wallet_id).where(Grant.item_id == item_id)
    if revision is not None:
        query = query.where(Grant.revision == revision)
    row = session.execute(query.order_by(Grant.revision.desc()).limit(1)).one_or_none()
    if row is None:
        raise UnknownPurchase("This wallet has not bought that.")
    return _purchase(deps, session, *row)


def _purchases(wallet_id: str) -> Select[Grant, Item, Site, Refund | None]:
    refunded = and_(Refund.owner_id == Grant.owner_id, Refund.group_id == Grant.group_id)
    return (
        select(Grant, Item, Site, Refund)
        .join(Item, Item.id == Grant.item_id)
        .join(Site, Site.id == Grant.site_id)
        .outerjoin(Refund, refunded)
        .where(Grant.owner_id == wallet_id)
        .execution_options(populate_existing=True)
    )


def _purchase(
    deps: Deps, session: Session, grant: Grant, item: Item, site: Site, refund: Refund | None
) -> Purchase:
    ended = grant.expires_at is not None and grant.expires_at <= deps.clock()
    return Purchase(
        item_id=item.id,
        revision=grant.revision,
        group_id=grant.group_id,
        title=item.title,
        site_id=site.id,
        site_name=site.name,
        url=item.url or f"{deps.settings.public_url}/pay/{item.id}",
        held_by_site=item.open_url is not None,
        price_msat=grant.price_msat,
        bought_at=grant.issued_at,
        expires_at=grant.expires_at,
        given_back=refund is not None,
        taken_back=grant.revoked_at is not None and refund is None,
        ended=ended,
        refund_until=None if ended else can_refund_until(deps, session, grant),
    )
