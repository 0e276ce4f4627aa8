"""What happened in a wallet, one line for each thing, from the ledger itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.catalog import Item
from bitcache_server.models.ledger import Grant, Transfer

#: A purchase takes a few transfers: the gift and the own money, to each payee.
TRANSFERS_PER_LINE = 8
#: What a kind of transfer is to the reader: when money came, and when it went.
_WORDS = {
    Kind.TOP_UP: ("Top-up", "A top-up that vanished from the network"),
    Kind.CLAIM: ("Left over from a payment", "A payment that vanished from the network"),
    Kind.GIFT: ("Gift", "Gift that was given back"),
    Kind.RESERVE: ("", "Withdrawal"),
    Kind.RELEASE: ("Withdrawal that was not sent", ""),
    Kind.FEE_RETURN: ("Unused fee reserve of a withdrawal", ""),
    Kind.FORFEIT: ("", "Given up"),
    Kind.SALE: ("", "Purchase"),
    Kind.COMMISSION: ("", "Purchase"),
    Kind.REVERSAL: ("Given back", "Taken back"),
}


@dataclass(frozen=True)
class Activity:
    """One thing that happened; the sums in msat are negative for money that went."""

    at: int
    kind: str
    words: str
    title: str
    """What was bought or given back; empty for everything else."""
    item_id: str | None
    own_msat: int
    gift_msat: int
    group_id: str

    @property
    def total_msat(self) -> int:
        """Return how the balance changed."""
        return self.own_msat + self.gift_msat


def activity(session: Session, wallet_id: str, limit: int | None = None) -> Sequence[Activity]:
    """Return what happened, newest first; all of it without ``limit``."""
    accounts = (chart.wallet(wallet_id), chart.gift(wallet_id))
    query = (
        select(Transfer)
        .where(or_(Transfer.from_account.in_(accounts), Transfer.to_account.in_(accounts)))
        .order_by(Transfer.id.desc())
    )
    if limit is not None:
        query = query.limit(limit * TRANSFERS_PER_LINE)
    groups: dict[str, list[Transfer]] = {}
    for row in session.scalars(query):
        groups.setdefault(row.group_id, []).append(row)
    items = _items(session, wallet_id, groups)
    lines = [_line(accounts, rows, items.get(group)) for group, rows in groups.items()]
    return lines if limit is None else lines[:limit]


def _items(
    session: Session, wallet_id: str, groups: dict[str, list[Transfer]]
) -> dict[str, tuple[str, str]]:
    """Return the id and title of what each group bought or gave back."""
    bought_by = _reversed_groups(session, wallet_id, groups)
    wanted = {bought_by.get(group, group) for group in groups}
    query = (
        select(Grant.group_id, Item.id, Item.title)
        .join(Item, Item.id == Grant.item_id)
        .where(Grant.owner_id == wallet_id)
    )
    # All grants of one wallet: fewer than the values that one statement may carry.
    bought = {
        group: (item_id, title)
        for group, item_id, title in session.execute(query)
        if group in wanted
    }
    found = {group: bought.get(bought_by.get(group, group)) for group in groups}
    return {group: item for group, item in found.items() if item is not None}


def _reversed_groups(
    session: Session, wallet_id: str, groups: dict[str, list[Transfer]]
) -> dict[str, str]:
    """Return the group that each reversal took back."""
    if not any(row.reverses_id for rows in groups.values() for row in rows):
        return {}
    original = aliased(Transfer)
    query = (
        select(Transfer.group_id, original.group_id)
        .join(
            original,
            (original.owner_id == Transfer.owner_id) & (original.id == Transfer.reverses_id),
        )
        .where(Transfer.owner_id == wallet_id, Transfer.reverses_id.is_not(None))
    )
    return {row[0]: row[1] for row in session.execute(query)}


def _line(
    accounts: tuple[str, str], rows: Sequence[Transfer], item: tuple[str, str] | None
) -> Activity:
    own_msat, gift_msat = (_change_msat(account, rows) for account in accounts)
    newest = rows[0]
    item_id, title = item or (None, "")
    return Activity(
        at=newest.created_at,
        kind=newest.kind,
        words=_words(Kind(newest.kind), came=own_msat + gift_msat > 0),
        title=title,
        item_id=item_id,
        own_msat=own_msat,
        gift_msat=gift_msat,
        group_id=newest.group_id,
    )


def _change_msat(account: str, rows: Sequence[Transfer]) -> int:
    came = sum(row.amount_msat for row in rows if row.to_account == account)
    return came - sum(row.amount_msat for row in rows if row.from_account == account)


def _words(kind: Kind, came: bool) -> str:
    when_came, when_went = _WORDS.get(kind, ("", ""))
    return (when_came if came else when_went) or kind.value.replace("_", " ").capitalize()
