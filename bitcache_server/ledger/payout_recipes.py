"""Which entries belong to a payout: reserved, then gone or given back.

Every function runs inside the caller's write transaction, which holds the row lock
of the payout's owner or of the payout. They return the id of the group they booked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bitcache_server.ledger import chart
from bitcache_server.ledger.chart import AccountKind
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.session import AnySession


@dataclass(frozen=True)
class Reserve:
    """What a payout holds: an amount for the payee, a fee for the network, in msat."""

    payout_id: str
    owner_account: str
    """``wallet:<id>``, ``merchant:<id>``, or ``promotion`` for a gift of the operator."""
    amount_msat: int
    fee_msat: int
    returned_msat: int = 0
    """The part of the fee that was not used, once that is known."""

    @property
    def owner_id(self) -> str:
        """Return whose transfers these are. Raises ValueError for who is never paid out."""
        owner = chart.parse(self.owner_account)
        if owner.kind is AccountKind.PROMOTION:
            return self.payout_id
        if owner.kind not in (AccountKind.WALLET, AccountKind.MERCHANT):
            raise ValueError(f"{self.owner_account} is not paid out.")
        return owner.key


def reserve(session: AnySession, held: Reserve, now: int) -> str:
    """Put amount and fee aside. Raises InsufficientBalance or UnknownWallet.

    A merchant's account is not guarded here: ``services/merchant_lock.py`` does that.
    """
    account, total_msat = chart.payout(held.payout_id), held.amount_msat + held.fee_msat
    entry = Entry(Kind.RESERVE, held.owner_account, account, total_msat)
    return post(session, [entry], owner_id=held.owner_id, now=now).group_id


def release(session: AnySession, held: Reserve, now: int) -> str:
    """Give amount and fee back to the owner."""
    account, total_msat = chart.payout(held.payout_id), held.amount_msat + held.fee_msat
    entry = Entry(Kind.RELEASE, account, held.owner_account, total_msat)
    return post(session, [entry], owner_id=held.owner_id, now=now).group_id


def pay_out(session: AnySession, held: Reserve, rail: str, now: int) -> str:
    """Book that the amount left through the rail.

    The fee goes to ``network_fees``, but for the part that goes back to the owner.
    """
    account, used_msat = chart.payout(held.payout_id), held.fee_msat - held.returned_msat
    entries = [Entry(Kind.PAYOUT, account, chart.clearing(rail), held.amount_msat)]
    if used_msat:
        entries.append(Entry(Kind.NETWORK_FEE, account, chart.NETWORK_FEES, used_msat))
    if held.returned_msat:
        entries.append(Entry(Kind.FEE_RETURN, account, held.owner_account, held.returned_msat))
    return post(session, entries, owner_id=held.owner_id, now=now).group_id


def pay_network(
    session: AnySession, batch_id: str, rail: str, fee_msat: int, now: int
) -> str | None:
    """Book what the network took for a transaction; None when it took nothing."""
    if not fee_msat:
        return None
    entry = Entry(Kind.NETWORK_FEE, chart.NETWORK_FEES, chart.clearing(rail), fee_msat)
    return post(session, [entry], owner_id=batch_id, now=now).group_id


def settle_batch(
    session: AnySession,
    batch_id: str,
    rail: str,
    reserves: Sequence[Reserve],
    network_fee_msat: int,
    now: int,
) -> None:
    """Book a transaction that paid all these payouts."""
    for held in reserves:
        pay_out(session, held, rail, now)
    pay_network(session, batch_id, rail, network_fee_msat, now)
