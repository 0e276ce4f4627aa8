"""The deep audit: every balance again, from the first transfer on, row by row.

The plain audit lets the database add up and so proves what accounts hold now. This one
walks the transfers in the order of booking and proves what each account held at every
moment: no wallet below zero in between, every checkpoint right at its own transfer.

Transfers and checkpoints are read in chunks. Kept in memory is one number for each
account that holds something at that moment, about 200 bytes with its name: 100,000
readers with money need 20 MB, however many transfers there are, because an invoice, a
payout or a wallet that came back to zero is forgotten.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import func, select

from bitcache_server.domain.payout_state import OPEN_STATES
from bitcache_server.ledger.audit import MAX_FINDINGS_PER_CHECK, Finding
from bitcache_server.ledger.chart import parse
from bitcache_server.models.ledger import BalanceCheckpoint, Transfer, Wallet
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import AnySession, read_transaction

CHUNK = 20_000
"""Transfer ids that are read at once; on PostgreSQL a gap in them is no loss."""

DeepProgress = Callable[[int, int], None]
"""Called after each chunk with the newest id that was read, and the newest there is."""

#: Accounts whose owner can never owe anything, in no moment.
_NEVER_NEGATIVE = ("wallet:", "gift:", "payout:")
#: An invoice that loses a payment is made good by the next transfer of the same moment.
_AT_ONCE = "invoice:"


@dataclass
class RebuildReport:
    """What the walk saw and what does not agree, in the order of booking."""

    transfers: int = 0
    accounts: int = 0
    """Accounts that hold something at the end."""
    checkpoints: int = 0
    most_accounts: int = 0
    """The most that were in memory at once."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.findings

    @property
    def first_transfer_id(self) -> int | None:
        """Return the transfer at which the books first diverge; None if they do not."""
        known = [f.transfer_id for f in self.findings if f.transfer_id is not None]
        return min(known, default=None)


class _Row(NamedTuple):
    id: int
    from_account: str
    to_account: str
    amount_msat: int
    created_at: int


class _Checkpoint(NamedTuple):
    account: str
    through_id: int
    balance_msat: int


def rebuild(session: AnySession, progress: DeepProgress | None = None) -> RebuildReport:
    """Rebuild every balance from the first transfer and compare each stored figure.

    Reads one unchanging view, in SQL that only reads, and changes nothing.
    """
    with read_transaction(session):
        walk = _Walk(session)
        newest_id = walk.newest_id()
        for upper_id in range(CHUNK, newest_id + CHUNK, CHUNK):
            walk.chunk(upper_id - CHUNK, upper_id)
            if progress:
                progress(min(upper_id, newest_id), newest_id)
        walk.finish()
        return walk.report


class _Walk:
    """Running balances, and what was found on the way."""

    def __init__(self, session: AnySession) -> None:
        self.session = session
        self.report = RebuildReport()
        self.held: dict[str, int] = {}
        self.owing: dict[str, _Row] = {}
        """Invoices below zero, and the transfer that brought them there."""
        self.named: set[str] = set()
        """Accounts that were reported: one finding each says enough."""
        self.found = Counter[str]()

    def newest_id(self) -> int:
        """Return the newest id of a transfer or a checkpoint; 0 for empty books."""
        transfer_id = self.session.scalar(select(func.max(Transfer.id)))
        through_id = self.session.scalar(select(func.max(BalanceCheckpoint.through_id)))
        return max(transfer_id or 0, through_id or 0)

    def chunk(self, after_id: int, through_id: int) -> None:
        """Go on with the transfers and checkpoints of these ids."""
        checkpoints = self._checkpoints(after_id, through_id)
        pending = next(checkpoints, None)
        for row in self._transfers(after_id, through_id):
            while pending is not None and pending.through_id < row.id:
                self._compare_checkpoint(pending)
                pending = next(checkpoints, None)
            self._apply(row)
        while pending is not None:
            self._compare_checkpoint(pending)
            pending = next(checkpoints, None)

    def _transfers(self, after_id: int, through_id: int) -> Iterator[_Row]:
        # By ranges of ids: PostgreSQL's index on them is a block range index, which
        # finds a range quickly and cannot sort a whole table.
        query = (
            select(
                Transfer.id,
                Transfer.from_account,
                Transfer.to_account,
                Transfer.amount_msat,
                Transfer.created_at,
            )
            .where(Transfer.id > after_id, Transfer.id <= through_id)
            .order_by(Transfer.id, Transfer.owner_id)
        )
        return map(_Row._make, self.session.execute(query))

    def _checkpoints(self, after_id: int, through_id: int) -> Iterator[_Checkpoint]:
        query = (
            select(
                BalanceCheckpoint.account,
                BalanceCheckpoint.through_id,
                BalanceCheckpoint.balance_msat,
            )
            .where(
                BalanceCheckpoint.through_id > after_id, BalanceCheckpoint.through_id <= through_id
            )
            .order_by(BalanceCheckpoint.through_id, BalanceCheckpoint.account)
        )
        return map(_Checkpoint._make, self.session.execute(query))

    def _apply(self, row: _Row) -> None:
        self.report.transfers += 1
        if row.amount_msat <= 0:
            words = f"It moves {row.amount_msat} msat; an amount is positive."
            self._found("amount_not_positive", f"transfer {row.id}", words, row.id)
        self._change(row, row.from_account, -row.amount_msat)
        self._change(row, row.to_account, row.amount_msat)
        self.report.most_accounts = max(self.report.most_accounts, len(self.held))

    def _change(self, row: _Row, account: str, change_msat: int) -> None:
        held_msat = self.held.get(account)
        if held_msat is None:
            self._check_name(account, row.id)
            held_msat = 0
        if account in self.owing:
            self._check_owing(account, row)
        held_msat += change_msat
        if held_msat:
            self.held[account] = held_msat
        else:
            self.held.pop(account, None)
        if held_msat >= 0:
            self.owing.pop(account, None)
        elif account.startswith(_NEVER_NEGATIVE):
            self._overdrawn(account, row.id, held_msat)
        elif account.startswith(_AT_ONCE):
            self.owing.setdefault(account, row)

    def _check_name(self, account: str, transfer_id: int) -> None:
        try:
            parse(account)
        except ValueError as error:
            if account not in self.named:
                self.named.add(account)
                self._found("unknown_account", account, str(error), transfer_id)

    def _check_owing(self, account: str, row: _Row) -> None:
        """Look whether an invoice below zero is made good in the very moment."""
        since = self.owing[account]
        if row.created_at != since.created_at:
            self._overdrawn(account, since.id, self.held[account])

    def _overdrawn(self, account: str, transfer_id: int, held_msat: int) -> None:
        if account not in self.named:
            self.named.add(account)
            words = f"With transfer {transfer_id} the account fell to {held_msat} msat."
            self._found("overdrawn", account, words, transfer_id)

    def _compare_checkpoint(self, stored: _Checkpoint) -> None:
        self.report.checkpoints += 1
        held_msat = self.held.get(stored.account, 0)
        if held_msat != stored.balance_msat:
            words = (
                f"The checkpoint at transfer {stored.through_id} stores {stored.balance_msat} "
                f"msat; rebuilt are {held_msat} msat."
            )
            self._found("checkpoint_rebuilt", stored.account, words, stored.through_id)

    def finish(self) -> None:
        """Compare what is stored with what the walk ended with."""
        for account, row in self.owing.items():
            self._overdrawn(account, row.id, self.held[account])
        self.report.accounts = len(self.held)
        stored_msat = self._compare_wallets() + self._compare_payouts()
        for account, held_msat in self.held.items():
            if account.startswith(_NEVER_NEGATIVE):
                words = f"Nothing is stored for this account; rebuilt are {held_msat} msat."
                self._found("account_missing", account, words, self._newest_of(account))
            stored_msat += held_msat
        if stored_msat:
            words = f"All balances together are {stored_msat} msat; they must be zero."
            self._found("sum_rebuilt", "all accounts", words, None)
        self.report.findings.sort(key=lambda f: (f.transfer_id is None, f.transfer_id or 0))

    def _compare_wallets(self) -> int:
        """Compare the stored wallets, forget them, and return what they store together."""
        total_msat = 0
        query = select(Wallet.id, Wallet.balance_msat, Wallet.gift_msat).order_by(Wallet.id)
        rows = self.session.execute(query.execution_options(yield_per=CHUNK))
        for wallet_id, balance_msat, gift_msat in rows:
            self._compare("wallet_rebuilt", f"wallet:{wallet_id}", balance_msat)
            self._compare("gift_rebuilt", f"gift:{wallet_id}", gift_msat)
            total_msat += balance_msat + gift_msat
        return total_msat

    def _compare_payouts(self) -> int:
        """Compare the open payouts, forget them, and return what they hold together."""
        total_msat = 0
        query = select(Payout.id, Payout.state, Payout.amount_msat + Payout.fee_msat)
        rows = self.session.execute(query.execution_options(yield_per=CHUNK))
        for payout_id, state, reserved_msat in rows:
            expected_msat = reserved_msat if state in OPEN_STATES else 0
            self._compare("payout_rebuilt", f"payout:{payout_id}", expected_msat)
            total_msat += expected_msat
        return total_msat

    def _compare(self, code: str, account: str, stored_msat: int) -> None:
        held_msat = self.held.pop(account, 0)
        if held_msat != stored_msat:
            words = f"{stored_msat} msat are stored; rebuilt are {held_msat} msat."
            self._found(code, account, words, self._newest_of(account))

    def _newest_of(self, account: str) -> int | None:
        """Return the last transfer of an account: no earlier one is known to be sound."""
        newest = [
            self.session.scalar(select(func.max(Transfer.id)).where(side == account))
            for side in (Transfer.from_account, Transfer.to_account)
        ]
        return max((number for number in newest if number is not None), default=None)

    def _found(self, code: str, subject: str, words: str, transfer_id: int | None) -> None:
        self.found[code] += 1
        if self.found[code] <= MAX_FINDINGS_PER_CHECK:
            self.report.findings.append(Finding(code, subject, words, transfer_id))
