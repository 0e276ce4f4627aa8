"""Bookings of a reader's balance: topping up, what vanishes again, leaving.

As in ``recipes.py`` every function runs inside the caller's write transaction; those
about an invoice expect that the caller holds its row lock.
"""

from sqlalchemy import select

from bitcache_server.domain.errors import UnknownWallet
from bitcache_server.ledger import chart
from bitcache_server.ledger.balances import balance
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.ledger import Wallet
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


def take_back(
    session: AnySession, invoice_id: str, wallet_id: str, vanished_msat: int, now: int
) -> int:
    """Return to the invoice what vanishes from it, as far as the wallet still has it.

    Call it before the receipt is taken back: ``unreceive`` then books what is missing as
    the operator's loss. Returns the msat that the wallet gave.
    """
    missing_msat = vanished_msat - max(0, balance(session, chart.invoice(invoice_id)))
    taken_msat = min(missing_msat, lock_wallet(session, wallet_id).balance_msat)
    if taken_msat <= 0:
        return 0
    entry = Entry(Kind.TOP_UP, chart.wallet(wallet_id), chart.invoice(invoice_id), taken_msat)
    post(session, [entry], owner_id=invoice_id, now=now)
    return taken_msat


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
