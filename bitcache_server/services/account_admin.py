"""What the operator's command line does with accounts.

Those that change something run inside the caller's write transaction; the log of the account
shows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import UnknownAccount
from bitcache_server.models.accounts import Account, AccountSession, Membership
from bitcache_server.services.accounts import add_account, find_account
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.mail_links import reset_link


@dataclass(frozen=True)
class AccountLine:
    """An account in a list."""

    id: str
    login: str
    name: str
    is_operator: bool
    merchants: int
    """For how many it works."""
    seen_at: int | None
    created_at: int


def open_account(
    deps: Deps, session: Session, login: str, name: str, *, is_operator: bool = False
) -> Account:
    """Add an account, which ``new_link`` opens. Raises LoginTaken, InvalidRequest."""
    account_id = add_account(deps, session, login, name, is_operator=is_operator)
    note(deps, session, "account.added", subject=account_id)
    return session.get_one(Account, account_id)


def require_account(session: Session, login: str) -> Account:
    """Return the open account with this login; raise UnknownAccount."""
    found = find_account(session, login)
    if found is None:
        raise UnknownAccount(f"There is no account {login[:64]!r}.")
    return found


def new_link(deps: Deps, session: Session, login: str) -> str:
    """Return a link with which its person sets a new password; raise UnknownAccount."""
    account = require_account(session, login)
    note(deps, session, "account.reset_made", subject=account.id)
    return reset_link(deps, account)


def list_accounts(session: Session) -> Sequence[AccountLine]:
    """Return every open account, oldest first."""
    merchants = (
        select(func.count())
        .where(Membership.account_id == Account.id)
        .correlate(Account)
        .scalar_subquery()
    )
    seen = (
        select(func.max(AccountSession.seen_at))
        .where(AccountSession.account_id == Account.id)
        .correlate(Account)
        .scalar_subquery()
    )
    query = (
        select(Account, merchants, seen)
        .where(Account.closed_at.is_(None))
        .order_by(Account.created_at, Account.id)
    )
    return [
        AccountLine(
            found.id,
            found.login,
            found.name,
            found.is_operator,
            number,
            seen_at,
            found.created_at,
        )
        for found, number, seen_at in session.execute(query)
    ]


def set_operator(deps: Deps, session: Session, login: str, is_operator: bool) -> Account:
    """Make an account the operator's, or an ordinary one again; raise UnknownAccount."""
    account = require_account(session, login)
    if account.is_operator != is_operator:
        account.is_operator = is_operator
        note(
            deps,
            session,
            "account.operator_added" if is_operator else "account.operator_removed",
            subject=account.id,
        )
    return account


def end_sessions(deps: Deps, session: Session, login: str) -> int:
    """Sign an account out everywhere and return how many browsers; raise UnknownAccount."""
    account = require_account(session, login)
    ended = session.execute(
        update(AccountSession)
        .where(AccountSession.account_id == account.id, AccountSession.revoked_at.is_(None))
        .values(revoked_at=deps.clock())
        .returning(AccountSession.id)
        .execution_options(synchronize_session=False)
    ).all()
    note(deps, session, "account.sessions_ended", subject=account.id, sessions=len(ended))
    return len(ended)
