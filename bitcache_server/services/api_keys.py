"""Keys that open a part of one site's API: scoped, expiring, revocable one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import BadSecret, InvalidRequest, ScopeMissing, UnknownKey
from bitcache_server.i18n import mark as _
from bitcache_server.models.access import ApiKey
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.merchants import site_of_merchant
from bitcache_server.services.texts import check_name
from bitcache_server.tokens.secrets import (
    hash_secret,
    key_of_secret,
    new_api_key_secret,
    new_id,
    secret_matches,
)

Scope = Literal[
    "items:read",
    "items:write",
    "invoices:read",
    "refunds:write",
    "balance:read",
    "payouts:read",
    "payouts:write",
    "orders:read",
    "orders:write",
    "webhooks:read",
    "webhooks:write",
    "sales:read",
]

SCOPES: tuple[Scope, ...] = get_args(Scope)

MAX_DAYS = 3_650
#: So many keys of a merchant may be open at once; nobody looks after more.
MAX_KEYS = 200


@dataclass(frozen=True)
class NewKey:
    """A key and the secret that is shown only now."""

    key: ApiKey
    secret: str


@dataclass(frozen=True)
class KeyOrder:
    """What somebody wants a key for; ``days`` of None is until it is revoked."""

    site_id: str
    name: str
    scopes: Sequence[str]
    days: int | None


def add_key(
    deps: Deps, session: Session, merchant_id: str, account_id: str, order: KeyOrder
) -> NewKey:
    """Make a key for a site of the merchant; its secret is returned this once.

    Raises UnknownSite, InvalidRequest. Runs in the caller's transaction.
    """
    site = site_of_merchant(session, merchant_id, order.site_id)
    scopes = check_scopes(order.scopes)
    if order.days is not None and not 1 <= order.days <= MAX_DAYS:
        raise InvalidRequest(f"A key is valid for 1 to {MAX_DAYS} days.")
    if _open_keys(deps, session, merchant_id) >= MAX_KEYS:
        raise InvalidRequest(_("%(number)s keys are open; revoke one first."), number=MAX_KEYS)
    now = deps.clock()
    key_id = new_id("ak")
    secret = new_api_key_secret(key_id)
    key = ApiKey(
        id=key_id,
        site_id=site.id,
        merchant_id=merchant_id,
        name=check_name(order.name, _("The key's name")),
        secret_hash=hash_secret(secret),
        scopes=" ".join(scopes),
        expires_at=None if order.days is None else now + order.days * SECONDS_PER_DAY,
        created_at=now,
        created_by=account_id,
    )
    session.add(key)
    session.flush()
    note(
        deps,
        session,
        "key.made",
        merchant_id=merchant_id,
        account_id=account_id,
        subject=key.id,
        name=key.name,
        site=site.id,
        scopes=list(scopes),
        expires_at=key.expires_at,
    )
    return NewKey(key, secret)


def check_scopes(wanted: Sequence[str]) -> list[Scope]:
    """Return the scopes in the order of the list above; raise InvalidRequest."""
    if unknown := set(wanted) - set(SCOPES):
        raise InvalidRequest(f"There is no scope {min(unknown)[:40]!r}.")
    if not wanted:
        raise InvalidRequest(_("Choose at least one thing that the key may do."))
    return [scope for scope in SCOPES if scope in wanted]


def revoke_key(
    deps: Deps, session: Session, merchant_id: str, account_id: str, key_id: str
) -> ApiKey:
    """End a key now; one that has ended stays as it is. Raises UnknownKey."""
    key = get_key(session, merchant_id, key_id)
    if key.revoked_at is None:
        key.revoked_at = deps.clock()
        session.flush()
        note(
            deps,
            session,
            "key.revoked",
            merchant_id=merchant_id,
            account_id=account_id,
            subject=key.id,
            name=key.name,
        )
    return key


def get_key(session: Session, merchant_id: str, key_id: str) -> ApiKey:
    """Return a key of this merchant; raise UnknownKey, also for a key of others."""
    query = select(ApiKey).where(ApiKey.id == key_id, ApiKey.merchant_id == merchant_id)
    key = session.scalar(query)
    if key is None:
        raise UnknownKey(f"There is no key {key_id[:64]!r}.")
    return key


def list_keys(session: Session, merchant_id: str, limit: int = 2 * MAX_KEYS) -> Sequence[ApiKey]:
    """Return the merchant's keys, the newest first, also those that have ended."""
    query = (
        select(ApiKey)
        .where(ApiKey.merchant_id == merchant_id)
        .order_by(ApiKey.created_at.desc(), ApiKey.id.desc())
        .limit(limit)
    )
    return session.scalars(query).all()


def is_open(key: ApiKey, now: int) -> bool:
    """Say whether a key works: neither revoked nor over."""
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


def authenticate_key(session: Session, secret: str, scope: Scope, now: int) -> ApiKey:
    """Return the key of a secret; raise BadSecret, or ScopeMissing for one that may not.

    Only reads.
    """
    key_id = key_of_secret(secret)
    key = session.get(ApiKey, key_id) if key_id else None
    if key is None or not secret_matches(secret, key.secret_hash):
        raise BadSecret("There is no such key. The dashboard's page “Keys” makes a new one.")
    if key.revoked_at is not None:
        raise BadSecret("This key was revoked. The dashboard's page “Keys” makes a new one.")
    if not is_open(key, now):
        raise BadSecret("This key is over. The dashboard's page “Keys” makes a new one.")
    if scope not in key.scopes.split():
        raise ScopeMissing(f"This key has no scope {scope!r}; it has: {key.scopes}.")
    return key


def _open_keys(deps: Deps, session: Session, merchant_id: str) -> int:
    query = (
        select(func.count())
        .select_from(ApiKey)
        .where(
            ApiKey.merchant_id == merchant_id,
            ApiKey.revoked_at.is_(None),
            ApiKey.expires_at.is_(None) | (ApiKey.expires_at > deps.clock()),
        )
    )
    return session.scalar(query) or 0
