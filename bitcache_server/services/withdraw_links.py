"""Links behind which money waits: whoever has one takes it to their wallet, once (LUD-03).

A reader makes one to withdraw by scanning, or to give money away; an operator makes gifts.
The link is a payout without a destination: its money is put aside when it is made, and
claiming it (``withdraw_claims.py``) names the invoice to be paid.
https://github.com/lnurl/luds/blob/luds/03.md

A link's secret is worked out from the server's key, so that its maker can be shown it
again; stored is its hash.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    IdempotencyConflict,
    InvalidRequest,
    PayoutFeeChanged,
    PayoutNotWaiting,
    PayoutsUnavailable,
    UnknownPayout,
)
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.payout_state import UNSIGNED_STATES, PayoutState
from bitcache_server.ledger import chart
from bitcache_server.models.payouts import Payout, WithdrawLink
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_approvals import cancel_payout
from bitcache_server.services.payouts import (
    Destination,
    PayoutRequest,
    all_of_it,
    check_limits,
    cost_msat,
    earlier_payout,
    left_today_msat,
    lock_payout,
    open_payout,
    whole_sats,
)
from bitcache_server.services.withdraw import open_wallet_row, require_balance
from bitcache_server.tokens.secrets import hash_secret

#: One that the reader scans at once, and one that they give to somebody.
SCAN_LIFETIME_S = 3_600
GIFT_LIFETIME_S = 30 * 86_400
MAX_LIFETIME_S = 366 * 86_400
MAX_AT_ONCE = 1_000
NOT_IN_TIME = "The link was not used in time."
#: Told to the maker alone; for everybody else there is another sentence.
TAKEN_BACK = "You took the link back."
_SECRET_SALT = b"bitcache.link.secret.v1|"


@dataclass(frozen=True)
class LinkQuote:
    """What a link takes from the balance; shown before it is made."""

    amount_msat: int
    """What whoever claims it gets, in whole sats."""
    fee_msat: int
    """What is put aside for routing; the rest of it comes back."""

    @property
    def amount_sat(self) -> int:
        """Return what arrives in sats."""
        return self.amount_msat // MSAT_PER_SAT

    @property
    def total_msat(self) -> int:
        """Return what leaves the balance at first."""
        return self.amount_msat + self.fee_msat


@dataclass(frozen=True)
class NewLink:
    """A link and its secret, which is everything one needs to take the money."""

    payout_id: str
    secret: str
    amount_msat: int
    expires_at: int


def link_rail(deps: Deps) -> str:
    """Return the rail that pays what is claimed; raise PayoutsUnavailable for none."""
    for name, rail in deps.rails.items():
        if rail.payouts_together == 1:
            return name
    raise PayoutsUnavailable("This server pays nothing out over Lightning.")


def quote_link(deps: Deps, session: Session, wallet_id: str, amount_sat: int | None) -> LinkQuote:
    """Return what a link over an amount costs, or over all that can go now (None).

    Changes nothing. Raises PayoutLimit, InsufficientBalance, PayoutsUnavailable,
    UnknownWallet.
    """
    session.rollback()
    rail, owner = link_rail(deps), chart.wallet(wallet_id)
    balance_msat = open_wallet_row(session, wallet_id).balance_msat
    if amount_sat is None:
        left_msat = left_today_msat(deps, session, owner)
        session.rollback()
        amount_msat = all_of_it(deps, Destination(rail, "", 0), balance_msat)[0]
        amount_msat = min(amount_msat, whole_sats(left_msat))
    else:
        amount_msat = amount_sat * MSAT_PER_SAT
    found = LinkQuote(amount_msat, cost_msat(deps, rail, "", max(0, amount_msat)))
    check_limits(deps, session, owner, rail, amount_msat)
    require_balance(balance_msat, found.total_msat)
    return found


def create_link(
    deps: Deps,
    session: Session,
    wallet_id: str,
    *,
    amount_sat: int,
    fee_msat: int,
    lifetime_s: int,
    idempotency_key: str,
) -> NewLink:
    """Put the money aside and return the link; the same key returns the same link.

    ``fee_msat`` is what was shown. Opens its own transaction. Raises PayoutFeeChanged,
    IdempotencyConflict and what ``quote_link`` raises; then nothing was booked.
    """
    session.rollback()
    rail, amount_msat = link_rail(deps), amount_sat * MSAT_PER_SAT
    now_msat = cost_msat(deps, rail, "", amount_msat)
    if now_msat > fee_msat:
        raise PayoutFeeChanged(f"Routing now costs up to {format_sat(now_msat)}.")
    wanted = PayoutRequest(
        chart.wallet(wallet_id), Destination(rail, "", fee_msat), amount_msat, idempotency_key
    )
    with write_transaction(session):
        wallet = open_wallet_row(session, wallet_id, lock=True)
        earlier = earlier_payout(session, wanted.owner_account, idempotency_key)
        if earlier is not None:
            return _same_link(deps, session, earlier, amount_msat)
        require_balance(wallet.balance_msat, wanted.total_msat)
        return _store(deps, session, wanted, lifetime_s)


def create_gifts(
    deps: Deps, session: Session, amount_sat: int, count: int, lifetime_s: int
) -> Sequence[NewLink]:
    """Make links at the operator's cost, all or none. Opens its own transaction.

    Raises PayoutLimit, PayoutsUnavailable, InvalidRequest.
    """
    if not 1 <= count <= MAX_AT_ONCE or not 0 < lifetime_s <= MAX_LIFETIME_S:
        raise InvalidRequest(f"At most {MAX_AT_ONCE} gifts at once, for at most a year.")
    session.rollback()
    rail, amount_msat = link_rail(deps), amount_sat * MSAT_PER_SAT
    destination = Destination(rail, "", cost_msat(deps, rail, "", amount_msat))
    with write_transaction(session):
        return [
            _store(
                deps,
                session,
                PayoutRequest(
                    chart.PROMOTION, destination, amount_msat, f"gift:{secrets.token_urlsafe(16)}"
                ),
                lifetime_s,
            )
            for _ in range(count)
        ]


def _store(deps: Deps, session: Session, wanted: PayoutRequest, lifetime_s: int) -> NewLink:
    payout = open_payout(deps, session, wanted)
    now, secret = deps.clock(), _secret(deps, payout)
    link = WithdrawLink(
        payout_id=payout.id,
        secret_hash=hash_secret(secret),
        claims=0,
        created_at=now,
        expires_at=now + lifetime_s,
    )
    session.add(link)
    session.flush()
    return NewLink(payout.id, secret, payout.amount_msat, link.expires_at)


def _same_link(deps: Deps, session: Session, earlier: Payout, amount_msat: int) -> NewLink:
    link = session.get(WithdrawLink, earlier.id)
    if link is None or earlier.amount_msat != amount_msat:
        raise IdempotencyConflict("This key was used for another payout before.")
    return NewLink(earlier.id, _secret(deps, earlier), amount_msat, link.expires_at)


def open_links(deps: Deps, session: Session, wallet_id: str) -> Mapping[str, NewLink]:
    """Return a reader's links that nobody has claimed, by payout; only for the reader."""
    query = (
        select(Payout, WithdrawLink)
        .join(WithdrawLink, WithdrawLink.payout_id == Payout.id)
        .where(
            Payout.owner_account == chart.wallet(wallet_id),
            Payout.state.in_(UNSIGNED_STATES),
            Payout.destination == "",
        )
    )
    return {
        payout.id: NewLink(payout.id, _secret(deps, payout), payout.amount_msat, link.expires_at)
        for payout, link in session.execute(query)
    }


def cancel_link(deps: Deps, session: Session, wallet_id: str, payout_id: str) -> None:
    """Take a reader's own link back, inside the caller's write transaction.

    Raises UnknownPayout for somebody else's, PayoutNotWaiting once it was claimed.
    """
    payout = lock_payout(session, payout_id)
    if payout.owner_account != chart.wallet(wallet_id):
        raise UnknownPayout()
    if session.get(WithdrawLink, payout_id) is None or payout.destination:
        raise PayoutNotWaiting("Somebody has claimed the link; the payment is on its way.")
    if payout.held_at is not None:
        raise PayoutNotWaiting("The operator has to look at this link first.")
    cancel_payout(deps, session, payout_id, TAKEN_BACK)


def expire_links(deps: Deps, session: Session) -> int:
    """Give the money of links back that nobody claimed in time; return how many."""
    query = (
        select(WithdrawLink.payout_id)
        .join(Payout, Payout.id == WithdrawLink.payout_id)
        .where(
            WithdrawLink.expires_at <= deps.clock(),
            # It may have been paid, for all that a restored database knows.
            Payout.held_at.is_(None),
            Payout.state.in_((PayoutState.OFFERED, PayoutState.APPROVAL)),
        )
        .order_by(WithdrawLink.payout_id)
    )
    over = session.scalars(query).all()
    session.rollback()
    return sum(_expire(deps, session, payout_id) for payout_id in over)


def _expire(deps: Deps, session: Session, payout_id: str) -> bool:
    with write_transaction(session):
        payout = lock_payout(session, payout_id)
        if payout.state not in (PayoutState.OFFERED, PayoutState.APPROVAL) or payout.held_at:
            return False
        cancel_payout(deps, session, payout_id, NOT_IN_TIME)
        return True


def _secret(deps: Deps, payout: Payout) -> str:
    """Return 43 characters that nobody without the server's key can work out."""
    text = f"{payout.id}|{payout.owner_account}|{payout.idempotency_key}"
    return base64.urlsafe_b64encode(keyed_hash(deps, _SECRET_SALT, text)).decode().rstrip("=")


def keyed_hash(deps: Deps, salt: bytes, text: str) -> bytes:
    """Return 32 bytes that depend on a purpose, a text and the server's key."""
    key = hmac.new(deps.settings.secret_key.get_secret_value().encode(), salt, hashlib.sha256)
    return hmac.new(key.digest(), text.encode(), hashlib.sha256).digest()
