"""The people who work for a merchant: who they are, in which role, and the end of it.

A merchant always has an owner: whoever takes one away holds the merchant's lock. Those that
change something run inside the caller's write transaction, and hold from its end on: each
request asks anew what somebody may do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, LastOwner, UnknownAccount
from bitcache_server.i18n import mark as _
from bitcache_server.models.accounts import Account, AccountSession, Membership
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.invitations import revoke_invitations_of
from bitcache_server.services.members import Role
from bitcache_server.services.merchant_lock import lock_merchant


@dataclass(frozen=True)
class Person:
    """Somebody who works for a merchant."""

    account_id: str
    name: str
    login: str
    role: Role
    since: int
    seen_at: int | None
    """When one of their browsers was last here; None for never."""


def list_people(session: Session, merchant_id: str) -> Sequence[Person]:
    """Return who works for a merchant, by name. Only reads."""
    seen = (
        select(func.max(AccountSession.seen_at))
        .where(AccountSession.account_id == Account.id)
        .scalar_subquery()
    )
    query = (
        select(
            Account.id, Account.name, Account.login, Membership.role, Membership.created_at, seen
        )
        .join(Membership, Membership.account_id == Account.id)
        .where(Membership.merchant_id == merchant_id, Account.closed_at.is_(None))
        .order_by(func.lower(Account.name), Account.id)
    )
    return [
        Person(account_id, name, login, Role(role), since, seen_at)
        for account_id, name, login, role, since, seen_at in session.execute(query)
    ]


def add_member(deps: Deps, session: Session, merchant_id: str, account_id: str, role: Role) -> None:
    """Let an account work for a merchant at the operator's word.

    Raises UnknownMerchant, UnknownAccount, InvalidRequest for who works for it already.
    """
    lock_merchant(session, merchant_id)
    account = session.get(Account, account_id)
    if account is None or account.closed_at is not None:
        raise UnknownAccount()
    if session.get(Membership, (merchant_id, account_id)) is not None:
        raise InvalidRequest(_("They work for this merchant already."))
    session.add(
        Membership(
            merchant_id=merchant_id,
            account_id=account_id,
            role=role.value,
            created_at=deps.clock(),
        )
    )
    note(
        deps,
        session,
        "member.added",
        merchant_id=merchant_id,
        subject=account_id,
        name=account.name,
        role=role.value,
    )


def change_role(
    deps: Deps, session: Session, merchant_id: str, account_id: str, role: Role, by: str | None
) -> None:
    """Give a member another role; ``by`` is the account of who does it, None for the operator.

    Raises UnknownMerchant, UnknownAccount, LastOwner.
    """
    member, account = _member(session, merchant_id, account_id)
    before = Role(member.role)
    if before is role:
        return
    if before is Role.OWNER:
        _keep_an_owner(deps, session, merchant_id, account_id)
    member.role = role.value
    note(
        deps,
        session,
        "member.role_changed",
        merchant_id=merchant_id,
        account_id=by,
        subject=account_id,
        name=account.name,
        before=before.value,
        after=role.value,
    )


def remove_member(
    deps: Deps, session: Session, merchant_id: str, account_id: str, by: str | None
) -> None:
    """End somebody's work for a merchant; ``by`` as above.

    Raises UnknownMerchant, UnknownAccount, LastOwner.
    """
    member, account = _member(session, merchant_id, account_id)
    if member.role == Role.OWNER:
        _keep_an_owner(deps, session, merchant_id, account_id)
    session.delete(member)
    note(
        deps,
        session,
        "member.removed",
        merchant_id=merchant_id,
        account_id=by,
        subject=account_id,
        name=account.name,
        role=member.role,
    )


def _member(session: Session, merchant_id: str, account_id: str) -> tuple[Membership, Account]:
    """Lock the merchant and return one of its members; raise UnknownMerchant, UnknownAccount."""
    lock_merchant(session, merchant_id)
    member = session.get(Membership, (merchant_id, account_id), populate_existing=True)
    if member is None:
        raise UnknownAccount()
    return member, session.get_one(Account, account_id)


def _keep_an_owner(deps: Deps, session: Session, merchant_id: str, leaving_id: str) -> None:
    """Raise LastOwner unless another owner stays, and withdraw what the leaving one invited."""
    query = (
        select(func.count())
        .select_from(Membership)
        .join(Account, Account.id == Membership.account_id)
        .where(
            Membership.merchant_id == merchant_id,
            Membership.account_id != leaving_id,
            Membership.role == Role.OWNER,
            Account.closed_at.is_(None),
        )
    )
    if not session.scalar(query):
        raise LastOwner(_("This is the merchant's only owner. Make somebody else an owner first."))
    revoke_invitations_of(deps, session, merchant_id, leaving_id)
