"""A purchase is given back: which entries that means.

Each runs inside the caller's write transaction, in which the buyer's row and then the
merchants' rows are locked. Correcting is adding: the entries of the purchase stay, and
each gets its opposite.
"""

from collections import Counter

from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import entries_of, reverse
from bitcache_server.models.session import AnySession


def give_back(session: AnySession, wallet_id: str, purchase_group: str, now: int) -> str:
    """Give a wallet the full price of a purchase back, and return the id of the new group.

    Merchant, co-authors and operator return their parts; what starter credit paid
    becomes starter credit again. Raises UnknownTransfer, or AlreadyReversed.
    """
    return reverse(session, purchase_group, owner_id=wallet_id, now=now).group_id


def parts_not_returned(session: AnySession, owner_id: str, group_id: str) -> dict[str, int]:
    """Return what each account got in a group and still has, in msat; empty for none."""
    parts_msat: Counter[str] = Counter()
    for transfer, is_reversed in entries_of(session, owner_id, group_id):
        if not is_reversed:
            parts_msat[transfer.to_account] += transfer.amount_msat
    return dict(parts_msat)


def merchants_among(parts_msat: dict[str, int]) -> list[tuple[str, int]]:
    """Return (merchant, msat) of those accounts that are merchants', in the order of ids."""
    parsed = [(chart.parse(account), amount_msat) for account, amount_msat in parts_msat.items()]
    return sorted(
        (account.key, amount_msat)
        for account, amount_msat in parsed
        if account.kind is chart.AccountKind.MERCHANT
    )
