"""Shares of co-authors in an item. All functions run inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import SplitInvalid
from bitcache_server.domain.fees import PARTS_PER_MILLION
from bitcache_server.models.catalog import Item, ItemSplit, Merchant, Site

#: Each co-author is one transfer more in every sale.
MAX_CO_AUTHORS = 10


@dataclass(frozen=True)
class CoAuthor:
    """Who else is paid for an item, and their share of what is left after the commission."""

    merchant_id: str
    name: str
    share_ppm: int


def list_splits(session: Session, item_ids: Sequence[str]) -> dict[str, list[CoAuthor]]:
    """Return the co-authors of each of the items, in the order of their ids."""
    found: dict[str, list[CoAuthor]] = {item_id: [] for item_id in item_ids}
    query = (
        select(ItemSplit.item_id, ItemSplit.merchant_id, Merchant.name, ItemSplit.share_ppm)
        .join(Merchant, Merchant.id == ItemSplit.merchant_id)
        .where(ItemSplit.item_id.in_(item_ids))
    )
    for item_id, author_id, name, share_ppm in session.execute(
        query.order_by(ItemSplit.merchant_id)
    ):
        found[item_id].append(CoAuthor(author_id, name, share_ppm))
    return found


def set_splits(session: Session, item: Item, shares_ppm: Mapping[str, int]) -> list[CoAuthor]:
    """Let these co-authors, and no others, have shares of an item's future sales.

    Empty for none. Raises SplitInvalid.
    """
    owner = session.get_one(Merchant, session.get_one(Site, item.site_id).merchant_id)
    _check(session, owner, shares_ppm)
    session.execute(delete(ItemSplit).where(ItemSplit.item_id == item.id))
    session.add_all(
        ItemSplit(item_id=item.id, merchant_id=author_id, share_ppm=share_ppm)
        for author_id, share_ppm in shares_ppm.items()
    )
    session.flush()
    return list_splits(session, [item.id])[item.id]


def _check(session: Session, owner: Merchant, shares_ppm: Mapping[str, int]) -> None:
    if not shares_ppm:
        return
    if owner.direct:
        raise SplitInvalid(
            "This item is paid into its merchant's own wallet: there is nothing to share here."
        )
    if len(shares_ppm) > MAX_CO_AUTHORS:
        raise SplitInvalid(f"An item has at most {MAX_CO_AUTHORS} co-authors.")
    if min(shares_ppm.values()) <= 0 or sum(shares_ppm.values()) > PARTS_PER_MILLION:
        raise SplitInvalid("Each share is more than 0, and all together are at most 100 %.")
    if owner.id in shares_ppm:
        raise SplitInvalid("The item's own merchant gets what the co-authors leave.")
    known = set(session.scalars(select(Merchant.id).where(Merchant.id.in_(shares_ppm))))
    for author_id in sorted(set(shares_ppm) - known):
        raise SplitInvalid(f"There is no merchant {author_id[:64]!r}.")
