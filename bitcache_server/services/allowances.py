"""Allowances: what the pages of one origin may take from a wallet without asking again.

The reader approves on our own page, which gives the site's page a one-time code; the
page shows it with the verifier that only it knows and gets a token (the code flow of
RFC 6749 section 4.1 with the proof key of RFC 7636, without a client secret).
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import (
    AllowanceExpired,
    AllowanceRevoked,
    ApprovalPending,
    InvalidRequest,
    OriginNotAllowed,
    UnknownAllowance,
    UnknownWallet,
    VerifierMismatch,
)
from bitcache_server.domain.money import MAX_PRICE_MSAT, MSAT_PER_SAT, format_sat
from bitcache_server.models.catalog import Site
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.wallets import Allowance, OneTimeCode
from bitcache_server.services.deps import Deps
from bitcache_server.services.origins import origins_of
from bitcache_server.services.wallets import is_signed_out
from bitcache_server.tokens.allowances import AllowanceClaims, issue_allowance
from bitcache_server.tokens.secrets import hash_secret, new_id
from bitcache_server.tokens.verifier import check_challenge_format, matches

APPROVAL_PURPOSE = "allowance"
APPROVAL_LIFETIME_S = 600
APPROVAL_BYTES = 32

DEFAULT_DAYS = 90
MAX_DAYS = 366
#: The proposed limits, as multiples of the price at hand and of the limit per item.
ITEMS_PER_PRICE = 4
DAY_PER_ITEM = 10
#: A day holds no more than this many of the dearest items.
MAX_PER_DAY_MSAT = DAY_PER_ITEM * MAX_PRICE_MSAT


@dataclass(frozen=True)
class Limits:
    """What an allowance permits; ``days`` from now it ends."""

    per_item_msat: int
    per_day_msat: int
    auto_msat: int
    """Prices up to this open without a click; 0 is never."""
    days: int

    def __post_init__(self) -> None:
        if not MSAT_PER_SAT <= self.per_item_msat <= MAX_PRICE_MSAT:
            raise InvalidRequest(
                f"The limit for one item is 1 sat to {format_sat(MAX_PRICE_MSAT)}."
            )
        if not self.per_item_msat <= self.per_day_msat <= MAX_PER_DAY_MSAT:
            raise InvalidRequest(
                "The limit for a day is at least the limit for one item and at most "
                f"{format_sat(MAX_PER_DAY_MSAT)}."
            )
        if not 0 <= self.auto_msat <= self.per_item_msat:
            raise InvalidRequest("What opens without a click is at most the limit for one item.")
        if not 1 <= self.days <= MAX_DAYS:
            raise InvalidRequest(f"An allowance lasts 1 to {MAX_DAYS} days.")


@dataclass(frozen=True)
class AllowanceSummary:
    """An allowance as its reader sees it."""

    id: str
    site_id: str
    site_name: str
    origin: str
    per_item_msat: int
    per_day_msat: int
    auto_msat: int
    spent_today_msat: int
    created_at: int
    expires_at: int


@dataclass(frozen=True)
class CollectedAllowance:
    """The token that a site's page keeps, and the allowance that it names."""

    token: str
    allowance: Allowance


def default_limits(price_msat: int) -> Limits:
    """Return the limits to propose for a first item at this price, in round sats."""
    price_sat = -(-price_msat // MSAT_PER_SAT)
    per_item_msat = min(_round_up(price_sat * ITEMS_PER_PRICE) * MSAT_PER_SAT, MAX_PRICE_MSAT)
    return Limits(per_item_msat, per_item_msat * DAY_PER_ITEM, auto_msat=0, days=DEFAULT_DAYS)


def _round_up(amount_sat: int) -> int:
    """Return two leading digits and zeros, rounded up: a number that people would choose."""
    step: int = 10 ** max(0, len(str(amount_sat)) - 2)
    return -(-amount_sat // step) * step


def create_allowance(
    deps: Deps, session: Session, wallet_id: str, site_id: str, origin: str, limits: Limits
) -> Allowance:
    """Give a site's origin an allowance, or change the limits of the one that lives.

    Runs in the caller's transaction, which locks the wallet: of two approvals at once
    the second changes what the first made. Raises OriginNotAllowed for an origin that
    is not the site's, and UnknownWallet.
    """
    _lock_wallet(session, wallet_id)
    if origin not in origins_of(session, site_id):
        raise OriginNotAllowed(f"{origin[:200]} is not an origin of this site.")
    now = deps.clock()
    allowance = live_allowance(deps, session, wallet_id, site_id, origin)
    if allowance is None:
        allowance = Allowance(
            wallet_id=wallet_id,
            id=new_id("al"),
            site_id=site_id,
            origin=origin,
            day=now // SECONDS_PER_DAY,
            spent_msat=0,
            created_at=now,
        )
    allowance.per_item_msat = limits.per_item_msat
    allowance.per_day_msat = limits.per_day_msat
    allowance.auto_msat = limits.auto_msat
    allowance.expires_at = now + limits.days * SECONDS_PER_DAY
    session.add(allowance)
    session.flush()
    return allowance


def _lock_wallet(session: Session, wallet_id: str) -> None:
    query = select(Wallet.closed_at).where(Wallet.id == wallet_id).with_for_update()
    row = session.execute(query).one_or_none()
    if row is None or row.closed_at is not None:
        raise UnknownWallet("There is no such wallet, or it was deleted.")


def live_allowance(
    deps: Deps, session: Session, wallet_id: str, site_id: str, origin: str
) -> Allowance | None:
    """Return what a wallet allows the pages of an origin now, or None."""
    query = select(Allowance).where(
        Allowance.wallet_id == wallet_id,
        Allowance.site_id == site_id,
        Allowance.origin == origin,
        Allowance.revoked_at.is_(None),
        Allowance.expires_at > deps.clock(),
    )
    # What another transaction wrote while we waited for the wallet must be seen.
    return session.scalar(query.limit(1).execution_options(populate_existing=True))


def spent_today_msat(deps: Deps, allowance: Allowance) -> int:
    """Return what was taken on this UTC day, in msat."""
    return allowance.spent_msat if allowance.day >= deps.clock() // SECONDS_PER_DAY else 0


def permits(deps: Deps, allowance: Allowance, price_msat: int) -> bool:
    """Say whether a price is within what is left of the limits now."""
    left_msat = allowance.per_day_msat - spent_today_msat(deps, allowance)
    return price_msat <= min(allowance.per_item_msat, left_msat)


def list_allowances(deps: Deps, session: Session, wallet_id: str) -> Sequence[AllowanceSummary]:
    """Return the allowances of a wallet that can be used now, newest first."""
    query = (
        select(Allowance, Site.name)
        .join(Site, Site.id == Allowance.site_id)
        .where(
            Allowance.wallet_id == wallet_id,
            Allowance.revoked_at.is_(None),
            Allowance.expires_at > deps.clock(),
        )
        .order_by(Allowance.created_at.desc(), Allowance.id)
    )
    return [
        AllowanceSummary(
            id=allowance.id,
            site_id=allowance.site_id,
            site_name=site_name,
            origin=allowance.origin,
            per_item_msat=allowance.per_item_msat,
            per_day_msat=allowance.per_day_msat,
            auto_msat=allowance.auto_msat,
            spent_today_msat=spent_today_msat(deps, allowance),
            created_at=allowance.created_at,
            expires_at=allowance.expires_at,
        )
        for allowance, site_name in session.execute(query)
    ]


def revoke_allowance(deps: Deps, session: Session, wallet_id: str, allowance_id: str) -> None:
    """End an allowance of this wallet; again is fine. Runs in the caller's transaction.

    Locks its row, as a spend does: what was spent before is spent, and nothing after.
    Raises UnknownAllowance.
    """
    query = (
        select(Allowance)
        .where(Allowance.wallet_id == wallet_id, Allowance.id == allowance_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    allowance = session.scalar(query)
    if allowance is None:
        raise UnknownAllowance("This wallet has no such allowance.")
    if allowance.revoked_at is None:
        allowance.revoked_at = deps.clock()
        session.flush()


def revoke_all_allowances(deps: Deps, session: Session, wallet_id: str) -> None:
    """End every allowance of a wallet. Runs in the caller's transaction.

    Locks the wallet, as a new allowance does, so that none is made meanwhile.
    """
    _lock_wallet(session, wallet_id)
    living = update(Allowance).where(
        Allowance.wallet_id == wallet_id, Allowance.revoked_at.is_(None)
    )
    session.execute(living.values(revoked_at=deps.clock()))


def raises_limits(limits: Limits, allowed: Allowance | None, price_msat: int | None) -> bool:
    """Say whether limits give more than the reader's own earlier ones, or the proposed ones.

    Without either, any limit is more: there is no price to measure it by.
    """
    if limits.days > DEFAULT_DAYS:
        return True
    if allowed is None and price_msat is None:
        return True
    known = allowed or default_limits(price_msat or 0)
    return (
        limits.per_item_msat > known.per_item_msat
        or limits.per_day_msat > known.per_day_msat
        or limits.auto_msat > known.auto_msat
    )


def approve(
    deps: Deps, session: Session, allowance: Allowance, challenge: str, session_id: str
) -> str:
    """Return a code with which the page that made the challenge collects the allowance.

    The code is worth nothing once the browser ``session_id`` is signed out. Runs in the
    caller's transaction. Only the code's hash is stored. Raises InvalidRequest for what
    is no challenge.
    """
    check_challenge_format(challenge)
    code = secrets.token_urlsafe(APPROVAL_BYTES)
    now = deps.clock()
    data = {
        "wallet": allowance.wallet_id,
        "allowance": allowance.id,
        "origin": allowance.origin,
        "challenge": challenge,
        "session": session_id,
    }
    session.add(
        OneTimeCode(
            code_hash=hash_secret(code),
            purpose=APPROVAL_PURPOSE,
            data=json.dumps(data),
            created_at=now,
            expires_at=now + APPROVAL_LIFETIME_S,
        )
    )
    session.flush()
    return code


def collect_allowance(
    deps: Deps, session: Session, code: str, verifier: str, origin: str | None
) -> CollectedAllowance:
    """Return the token of an approved allowance. Reads only.

    The same call may be made again until the code ends: an answer can be lost, and who
    lacks the verifier gets nothing from the code. Raises ApprovalPending for a code that
    is not known or over, OriginNotAllowed, VerifierMismatch, AllowanceRevoked and
    AllowanceExpired.
    """
    stored = session.get(OneTimeCode, hash_secret(code))
    if stored is None or stored.purpose != APPROVAL_PURPOSE or stored.expires_at <= deps.clock():
        raise ApprovalPending("Ask the reader again: this code is not known or over.")
    data = json.loads(stored.data)
    if origin != data["origin"]:
        raise OriginNotAllowed("The reader approved this for the pages of another origin.")
    if not matches(verifier, data["challenge"]):
        raise VerifierMismatch("Only the page that asked for the approval can collect it.")
    if is_signed_out(session, data["wallet"], data["session"]):
        raise ApprovalPending("Ask the reader again: they are signed out where they approved this.")
    allowance = session.get_one(Allowance, (data["wallet"], data["allowance"]))
    if allowance.revoked_at is not None:
        raise AllowanceRevoked()
    if allowance.expires_at <= deps.clock():
        raise AllowanceExpired()
    claims = AllowanceClaims(
        wallet=allowance.wallet_id,
        allowance=allowance.id,
        site=allowance.site_id,
        origin=allowance.origin,
    )
    secret_key = deps.settings.secret_key.get_secret_value()
    return CollectedAllowance(issue_allowance(secret_key, claims, deps.clock()), allowance)
