"""The books as an operator reads them: balances by account, the entries of one invoice."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from bitcache_server.ledger import balances, chart
from bitcache_server.models.ledger import BalanceCheckpoint, Grant, Transfer, Wallet

#: Accounts of which there are as many as readers and invoices: shown as two sums.
_MANY = ("wallet:%", "invoice:%")


@dataclass(frozen=True)
class BalanceLine:
    """An account, or a group of accounts, and what it holds."""

    account: str
    balance_msat: int


def balance_lines(session: Session) -> list[BalanceLine]:
    """Return the balance of each account; wallets and invoices as one sum each.

    All lines together are zero, or the books are wrong.
    """
    lines = [BalanceLine(name, balances.balance(session, name)) for name in _few(session)]
    wallets = session.scalar(select(func.coalesce(func.sum(Wallet.balance_msat), 0)))
    return [
        *lines,
        BalanceLine("all invoices", _sum_of(session, "invoice:%")),
        BalanceLine("all wallets", int(wallets or 0)),
    ]


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
