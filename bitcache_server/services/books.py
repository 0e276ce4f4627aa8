"""The books as an operator reads them: balances by account, the entries of one invoice."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from bitcache_server.ledger import balances, chart
from bitcache_server.models.ledger import BalanceCheckpoint, Grant, Transfer, Wallet

#: Accounts of which there are as many as readers, invoices and payouts: shown as sums.
_MANY = ("wallet:%", "gift:%", "invoice:%", "payout:%")


@dataclass(frozen=True)
class BalanceLine:
    """An account, or a group of accounts, and what it holds."""

    account: str
    balance_msat: int


def balance_lines(session: Session) -> list[BalanceLine]:
    """Return the balance of each account; those of which there are many as one sum each.

    All lines together are zero, or the books are wrong.
    """
    own_msat, gift_msat = _wallets_msat(session)
    return [
        *_few_lines(session),
        BalanceLine("all invoices", _sum_of(session, "invoice:%")),
        BalanceLine("all payouts", _sum_of(session, "payout:%")),
        BalanceLine("all wallets", own_msat),
        BalanceLine("all gifts to readers", gift_msat),
    ]


def owed_besides_wallets_msat(session: Session) -> int:
    """Return what is owed to merchants, for payouts under way and for credit of invoices.

    All accounts together are zero, so invoices and payouts hold what the others lack; that
    spares a walk over all their transfers. A merchant who owes us lessens no one's claim.
    """
    lines = _few_lines(session)
    many_msat = -sum(line.balance_msat for line in lines) - sum(_wallets_msat(session))
    merchants_msat = sum(
        max(0, line.balance_msat)
        for line in lines
        if chart.parse(line.account).kind is chart.AccountKind.MERCHANT
    )
    return merchants_msat + many_msat


def _few_lines(session: Session) -> list[BalanceLine]:
    return [BalanceLine(name, balances.balance(session, name)) for name in _few(session)]


def _wallets_msat(session: Session) -> tuple[int, int]:
    """Return what all wallets hold: the readers' own money, and starter credit."""
    own_msat = session.scalar(select(func.sum(Wallet.balance_msat)))
    gift_msat = session.scalar(select(func.sum(Wallet.gift_msat)))
    return int(own_msat or 0), int(gift_msat or 0)


def _few(session: Session) -> list[str]:
    """Return the names of the accounts that are shown one by one."""
    newest = session.scalar(select(func.max(BalanceCheckpoint.through_id))) or 0
    found = set(session.scalars(select(BalanceCheckpoint.account).distinct()))
    for side in (Transfer.from_account, Transfer.to_account):
        query = select(side).where(Transfer.id > newest).distinct()
        found.update(session.scalars(query.where(*(side.not_like(many) for many in _MANY))))
    return sorted(found)


def _sum_of(session: Session, pattern: str) -> int:
    def total(side: bool) -> int:
        account = Transfer.to_account if side else Transfer.from_account
        query = select(func.coalesce(func.sum(Transfer.amount_msat), 0))
        return int(session.scalar(query.where(account.like(pattern))) or 0)

    return total(True) - total(False)


def merchant_balance_msat(session: Session, merchant_id: str) -> int:
    """Return what the operator owes a merchant; negative is what the merchant owes."""
    return balances.balance(session, chart.merchant(merchant_id))


def entries_of(session: Session, invoice_id: str) -> Sequence[Transfer]:
    """Return the ledger entries of an invoice in the order of their booking."""
    account = chart.invoice(invoice_id)
    query = select(Transfer).where(
        or_(
            Transfer.owner_id == invoice_id,
            Transfer.from_account == account,
            Transfer.to_account == account,
        )
    )
    return session.scalars(query.order_by(Transfer.id)).all()


def grants_of(session: Session, invoice_id: str) -> Sequence[Grant]:
    """Return what an invoice opened, oldest first."""
    query = select(Grant).where(Grant.owner_id == invoice_id)
    return session.scalars(query.order_by(Grant.issued_at, Grant.revision)).all()
