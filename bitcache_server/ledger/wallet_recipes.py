"""Bookings of a reader's balance: topping up, what vanishes again, leaving.

As in ``recipes.py`` every function runs inside the caller's write transaction; those
about an invoice expect that the caller holds its row lock.
"""

from collections import Counter

from sqlalchemy import select

from bitcache_server.domain.errors import UnknownWallet
from bitcache_server.ledger import chart
from bitcache_server.ledger.balances import balance
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.ledger import Transfer, Wallet
from bitcache_server.models.session import AnySession


def lock_wallet(session: AnySession, wallet_id: str) -> Wallet:
    """Lock a wallet's row until the transaction ends, and return it; raise UnknownWallet.

    A deleted wallet is returned as well. Who locks an invoice, too, locks that one first.
    """
    query = select(Wallet).where(Wallet.id == wallet_id).with_for_update()
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise UnknownWallet(f"There is no wallet {wallet_id[:64]!r}.")
    return found


def top_up(session: AnySession, invoice_id: str, wallet_id: str, now: int) -> int:
    """Move all that the invoice holds to the reader's own money; return the msat.

    Nothing moves into a deleted wallet: the money then stays with its invoice.
    """
    held_msat = balance(session, chart.invoice(invoice_id))
    if held_msat <= 0 or lock_wallet(session, wallet_id).closed_at is not None:
        return 0
    entry = Entry(Kind.TOP_UP, chart.invoice(invoice_id), chart.wallet(wallet_id), held_msat)
    post(session, [entry], owner_id=invoice_id, now=now)
    return held_msat


def take_back(session: AnySession, invoice_id: str, vanished_msat: int, now: int) -> int:
    """Return to the invoice what vanishes from it, as far as wallets still have it.

    That is what was topped up or claimed. Call it before the receipt is taken back:
    ``unreceive`` then books what is missing as the operator's loss. Returns the msat that
    the wallets gave.
    """
    missing_msat = vanished_msat - max(0, balance(session, chart.invoice(invoice_id)))
    if missing_msat <= 0:
        return 0
    entries: list[Entry] = []
    given, kinds = Counter[str](), dict[str, Kind]()
    for row, wallet_id, came in _wallet_moves(session, invoice_id):
        given[wallet_id] += row.amount_msat if came else -row.amount_msat
        kinds.setdefault(wallet_id, Kind(row.kind))
    for wallet_id in sorted(given):
        has_msat = min(given[wallet_id], lock_wallet(session, wallet_id).balance_msat)
        taken_msat = min(missing_msat, has_msat)
        if taken_msat > 0:
            account, invoice = chart.wallet(wallet_id), chart.invoice(invoice_id)
            entries.append(Entry(kinds[wallet_id], account, invoice, taken_msat))
            missing_msat -= taken_msat
    if entries:
        post(session, entries, owner_id=invoice_id, now=now)
    return sum(entry.amount_msat for entry in entries)


def give_again(session: AnySession, invoice_id: str, credit_msat: int, now: int) -> int:
    """Return claimed credit that ``take_back`` took, now that the invoice has some again.

    Nothing moves into a deleted wallet. Returns the msat that were given.
    """
    owed = Counter[str]()
    for row, wallet_id, came in _wallet_moves(session, invoice_id):
        # A reader's own claim is no return of anything.
        if came and row.kind == Kind.TOP_UP:
            owed[wallet_id] -= row.amount_msat
        elif not came:
            owed[wallet_id] += row.amount_msat
    entries: list[Entry] = []
    for wallet_id in sorted(owed):
        given_msat = min(owed[wallet_id], credit_msat)
        if given_msat > 0 and lock_wallet(session, wallet_id).closed_at is None:
            account, invoice = chart.wallet(wallet_id), chart.invoice(invoice_id)
            entries.append(Entry(Kind.TOP_UP, invoice, account, given_msat))
            credit_msat -= given_msat
    if entries:
        post(session, entries, owner_id=invoice_id, now=now)
    return sum(entry.amount_msat for entry in entries)


def _wallet_moves(session: AnySession, invoice_id: str) -> list[tuple[Transfer, str, bool]]:
    """Return what moved between an invoice and wallets: transfer, wallet, whether it came there.

    In the order of booking. The first with each wallet is its top-up or its claim.
    """
    kinds = (Kind.TOP_UP.value, Kind.CLAIM.value)
    query = select(Transfer).where(Transfer.owner_id == invoice_id, Transfer.kind.in_(kinds))
    moves = []
    for row in session.scalars(query.order_by(Transfer.id)):
        came = row.from_account == chart.invoice(invoice_id)
        wallet = chart.parse(row.to_account if came else row.from_account)
        moves.append((row, wallet.key, came))
    return moves


def forfeit(session: AnySession, wallet_id: str, now: int) -> int:
    """Empty a wallet that its reader gives up; return the msat of own money left behind.

    Their own money becomes suspense, what is left of the gift goes back to where it
    came from.
    """
    wallet = lock_wallet(session, wallet_id)
    own_msat, gift_msat = wallet.balance_msat, wallet.gift_msat
    entries = []
    if own_msat:
        entries.append(Entry(Kind.FORFEIT, chart.wallet(wallet_id), chart.SUSPENSE, own_msat))
    if gift_msat:
        entries.append(Entry(Kind.GIFT, chart.gift(wallet_id), chart.PROMOTION, gift_msat))
    if entries:
        post(session, entries, owner_id=wallet_id, now=now)
    return own_msat
