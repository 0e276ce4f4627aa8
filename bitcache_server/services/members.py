"""Who may do what for a merchant."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import RoleMissing, UnknownMerchant
from bitcache_server.models.accounts import Membership
from bitcache_server.models.catalog import Merchant


class Role(StrEnum):
    """What a member may do; docs/merchants.md has the table."""

    OWNER = "owner"
    """Everything, also people, keys, payout destinations and webhooks."""
    EDITOR = "editor"
    """What is sold and to whom: items, orders, sales, refunds."""
    ACCOUNTANT = "accountant"
    """Looks at money and takes it along: sales, statements, exports, payouts."""


EVERYBODY = frozenset(Role)
SELLERS = frozenset({Role.OWNER, Role.EDITOR})
OWNERS = frozenset({Role.OWNER})


@dataclass(frozen=True)
class Member:
    """Who asks, for which merchant, in which role."""

    account_id: str
    merchant_id: str
    role: Role

    def may(self, roles: frozenset[Role]) -> bool:
        """Say whether the member has one of the roles."""
        return self.role in roles


def member_of(session: Session, account_id: str, merchant_id: str) -> Member:
    """Return what the account is to the merchant. Only reads.

    Raises UnknownMerchant for a merchant of others as for one that does not exist: nobody
    learns by guessing which ids there are.
    """
    query = select(Membership.role).where(
        Membership.merchant_id == merchant_id, Membership.account_id == account_id
    )
    role = session.scalar(query)
    if role is None:
        raise UnknownMerchant(f"There is no merchant {merchant_id[:64]!r}.")
    return Member(account_id, merchant_id, Role(role))


def require_role(member: Member, roles: frozenset[Role]) -> None:
    """Raise RoleMissing unless the member has one of the roles."""
    if not member.may(roles):
        raise RoleMissing()


def merchants_of(session: Session, account_id: str) -> Sequence[Merchant]:
    """Return the merchants that an account works for, oldest first."""
    query = (
        select(Merchant)
        .join(Membership, Membership.merchant_id == Merchant.id)
        .where(Membership.account_id == account_id)
        .order_by(Merchant.created_at, Merchant.id)
    )
    return session.scalars(query).all()
