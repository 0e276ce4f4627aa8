"""A merchant without a node: paid at a Lightning address of their own (LUD-16, LUD-21).

The invoices come from the address's provider, and the provider says whether they were paid:
we take its word, show the article for it, and cannot take anything back. The money never
passes through us, and so the commission is not taken at source but owed.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, SplitInvalid
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Item, ItemSplit, Merchant, Site
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.rail import RAIL_NAME, LightningRail
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.deps import Deps

#: What a merchant must know before they are paid this way.
TRUST = _(
    "The provider of this address receives the money and says whether an invoice was paid: "
    "you and your readers trust its word. The commission is not taken from the payments; "
    "it is owed, and shown in the statement."
)


def check_lightning_address(deps: Deps, address: str) -> str:
    """Return a Lightning address in its normal form, when goods can be sold through it.

    Asks its provider, so call it outside of any transaction. Raises LightningAddressInvalid,
    which says what it cannot do, and UnknownRail when Lightning is switched off.
    """
    rail = deps.rail(RAIL_NAME)
    if not isinstance(rail, LightningRail):
        raise InvalidRequest("This server follows no Lightning addresses.")
    return rail.try_account(address)


def set_lightning_address(
    deps: Deps, session: Session, merchant_id: str, address: str | None
) -> Merchant:
    """Pay a merchant at their own address from now on; None is through us again.

    Open invoices keep what they were made with. Opens its transaction. Raises as
    ``check_lightning_address``, UnknownMerchant; SplitInvalid where items have co-authors.
    """
    checked = check_lightning_address(deps, address) if address is not None else None
    with write_transaction(session):
        merchant = get_merchant(session, merchant_id)
        if checked is not None:
            refuse_shares(session, merchant_id)
        keep_lightning_address(merchant, checked)
        session.flush()
    return merchant


def refuse_shares(session: Session, merchant_id: str) -> None:
    """Raise SplitInvalid while co-authors have shares: what never comes here cannot be shared."""
    query = select(Item.title).join(Site, Site.id == Item.site_id)
    query = query.join(ItemSplit, ItemSplit.item_id == Item.id)
    title = session.scalar(query.where(Site.merchant_id == merchant_id).limit(1))
    if title is not None:
        raise SplitInvalid(
            f"{title!r} has co-authors, who could not be paid from this merchant's own wallet. "
            "Take their shares away first."
        )


def keep_lightning_address(merchant: Merchant, checked: str | None) -> None:
    """Store an address that was checked; raise InvalidRequest beside a name that we serve."""
    if checked is not None and merchant.handle is not None:
        raise InvalidRequest(
            f"This merchant has the name {merchant.handle!r} here, which pays into your node. "
            "Take it away first: bitcache merchant handle MERCHANT --remove"
        )
    merchant.lightning_address = checked
